"""The gallery: pictures of people in a folder, who they are, and where else they were seen."""

import json
import shutil
import time as clock
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from difflib import get_close_matches
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import PIL.Image

from reseen.errors import DataError, SettingsError, StoreError, counted
from reseen.gallery.embedded import FILE, Embedded
from reseen.gallery.records import (
    Added,
    Crop,
    Cutoffs,
    Decision,
    Match,
    Person,
    Sighting,
)
from reseen.gallery.store import Filter, State, Store

if TYPE_CHECKING:  # torch is loaded when the first picture is embedded
    from reseen.data.given import Given, Thing
    from reseen.engine.device import Device
    from reseen.gallery.embedding import Embedder
    from reseen.nets.encoder import Encoder
    from reseen.records import Dataset

FORMAT = 1
"""Version of what a gallery's folder holds."""
FACTS, ENCODER, NEXT = "gallery.json", "encoder", "encoder-next"
EMBEDDED = "embedded"
BATCH = 256
"""Pictures that are embedded and kept at a time."""
RERANKED = 1000
"""Crops nearest to a query that re-ranking puts in a new order."""
EXEMPLARS = 100
"""Crops of a person, evenly spaced in time, by which others are found."""
FOUND = 500
"""Crops that are looked at for each of them."""

UNCALIBRATED = Cutoffs(
    0.8, 0.65, "These cut-offs were never calibrated on this gallery (reseen gallery calibrate)."
)


class Gallery:
    """Crops, who is on them, and a search among them; opened by `create` or `open`.

    Any number of processes and threads may use one gallery at the same time.
    """

    def __init__(self, folder: Path, store: Store, facts: dict[str, Any], device: "Device | None"):
        self.folder = folder
        self.store = store
        self._facts = facts
        self._device = device
        self._embedder: Embedder | None = None

    @classmethod
    def create(
        cls,
        folder: Path | str,
        run: "Encoder | Path | str",
        *,
        store: str | None = None,
        centring: str = "auto",
        device: "Device | None" = None,
    ) -> Self:
        """Make a gallery.

        Args:
            folder: new or empty.
            run: folder of a run, one of its checkpoints, reseen-tiny, or an encoder. The gallery
                keeps a copy of it.
            store: `postgresql://...` keeps everything but the encoder in this database; by default
                it lies in the folder.
            centring: off, mean or deviation: what is taken out of the features of each camera; auto
                is deviation where the encoder has camera statistics, and off otherwise.
            device: where the encoder computes.

        Raises:
            StoreError: the folder holds a gallery or something else, or the server is not there.
            SettingsError: as `extract`, of centring.
            CheckpointError: there is no such run.
        """
        from reseen import training
        from reseen.engine.device import Device
        from reseen.engine.extract import statistics_for
        from reseen.gallery import embedding
        from reseen.nets.encoder import Encoder

        folder = Path(folder)
        _refuse_used(folder)
        encoder = run if isinstance(run, Encoder) else training.load(run, device=device)
        encoder = (device or Device()).place(encoder)
        if centring == "auto":
            centring = "deviation" if encoder.camera_statistics else "off"
        statistics_for(encoder, centring)
        folder.mkdir(parents=True, exist_ok=True)
        for name in (ENCODER, NEXT):
            shutil.rmtree(folder / name, ignore_errors=True)
        for end in ("", "-wal", "-shm"):
            (folder / f"{FILE}{end}").unlink(missing_ok=True)
        embedding.save(encoder, folder / ENCODER)
        embedder = embedding.Embedder(encoder, centring)
        facts = {
            "format": FORMAT,
            "store": EMBEDDED,
            "model": embedder.model,
            "dimensions": encoder.dimensions,
            "centring": centring,
            "run": str(run) if isinstance(run, Path | str) else "an encoder from Python",
            "created": clock.time(),
        }
        kept = _make_store(folder, facts, store)
        try:
            with kept.changing():
                kept.set_value("model", embedder.model)
            _write_facts(folder, facts)  # from here on it is a gallery
        except BaseException:
            kept.close()
            raise
        gallery = cls(folder, kept, facts, device)
        gallery._embedder = embedder
        return gallery

    @classmethod
    def open(cls, folder: Path | str, device: "Device | None" = None) -> Self:
        """Open a gallery.

        Args:
            folder: that `create` made.
            device: where its encoder computes.

        Raises:
            StoreError: it holds no gallery, one of a newer version, or a damaged one.
        """
        folder = Path(folder)
        facts = _read_facts(folder)
        return cls(folder, _open_store(folder, facts), facts, device)

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def model(self) -> str:
        """The digest of the encoder whose vectors are in use."""
        return self.store.value("model") or ""

    @property
    def centring(self) -> str:
        """What is taken out of the features of each camera: off, mean or deviation."""
        return self._facts["centring"]

    def embedder(self) -> "Embedder":
        """Give the encoder that belongs to the vectors.

        Raises:
            StoreError: the encoder in the folder is another one.
            CheckpointError: it is damaged.
        """
        model = self.model
        if self._embedder is None or self._embedder.model != model:
            from reseen.gallery.embedding import Embedder

            self._facts = _read_facts(self.folder)
            for name in (ENCODER, NEXT):  # a rebuild that was killed at its end left it there
                if (self.folder / name).is_dir():
                    found = Embedder.load(self.folder / name, self.centring, self._device)
                    if found.model == model:
                        self._embedder = found
                        return found
            raise StoreError(
                f"The encoder in {self.folder / ENCODER} is not the one that made the vectors of "
                "this gallery. Bring back a copy of it, or make new vectors: reseen gallery "
                "rebuild."
            )
        return self._embedder

    # Pictures come in, and are looked for.

    def add(
        self,
        images: "Dataset | Thing | Iterable[Thing]",
        *,
        camera: str | None = None,
        time: float | None = None,
        quiet: bool = True,
    ) -> Added:
        """Add pictures; those that are there already are neither added nor embedded again.

        Every BATCH of pictures is kept for good before the next is read, so what is stopped, also
        by kill -9, goes on where it was when it is called again. People whom a folder or a manifest
        names are not taken over: a name comes from `enrol` and `name`.

        Args:
            images: folders, manifests, data sets, records (of a tracklet every frame), paths of
                pictures, PIL pictures or arrays (H, W, 3) uint8; one or several.
            camera: name of the camera of those that say none.
            time: of those that say none, in seconds since 1970 (UTC).
            quiet: say nothing.

        Raises:
            DataError: there is nothing, or something is no picture, folder or manifest.
            StoreError: the store refuses.
            KeyboardInterrupt: Ctrl-C; its text says how much is kept.
        """
        from reseen.data.given import gather
        from reseen.engine.progress import Screen

        given, screen = gather(images), Screen(quiet)
        for note in given.notes:
            screen.say(note)
        todo = list(_coming(given, camera, time))
        embedder = self.embedder()
        new = known = 0
        ids: list[str] = []
        lines: list[str] = []
        batch: list[Crop] = []
        try:
            with ThreadPoolExecutor() as pool:
                for place, crop in enumerate(screen.track("adding")(todo, len(todo)), 1):
                    batch.append(crop)
                    if len(batch) == BATCH or place == len(todo):
                        one = self._add(batch, _content(given), embedder, pool)
                        new, known, batch = new + one.new, known + one.known, []
                        ids += one.ids
                        lines += one.lines
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped; {counted(new, 'new picture is', 'new pictures are')} kept. The same "
                "command continues."
            ) from None
        return Added(new, known, len(lines), tuple(lines), tuple(dict.fromkeys(ids)))

    def add_files(
        self,
        files: Sequence[tuple[str, bytes]],
        *,
        camera: str | None = None,
        time: float | None = None,
    ) -> Added:
        """Add pictures that are no files here, such as those that a program sends.

        Args:
            files: name and content of each.
            camera: name of their camera.
            time: when they were taken, in seconds since 1970 (UTC).

        Raises:
            StoreError: the store refuses.
        """
        now = clock.time()
        crops = [Crop("", camera, time, None, name, added=now) for name, _ in files]
        contents = {id(crop): file[1] for crop, file in zip(crops, files, strict=True)}
        with ThreadPoolExecutor() as pool:
            return self._add(crops, lambda crop: contents[id(crop)], self.embedder(), pool)

    def _add(
        self,
        crops: list[Crop],
        content_of: Callable[[Crop], bytes],
        embedder: "Embedder",
        pool: ThreadPoolExecutor,
    ) -> Added:
        from reseen.data.pictures import BrokenPictureError

        lines: list[str] = []

        def attempted(do: Any, of: Any) -> Any:
            try:
                return do(of)
            except BrokenPictureError as error:
                return error

        contents = list(pool.map(lambda crop: attempted(content_of, crop), crops))
        named = [
            crop if isinstance(content, Exception) else _identified(crop, content)
            for crop, content in zip(crops, contents, strict=True)
        ]
        there = self.store.known(crop.id for crop in named)
        fresh = {
            crop.id: (crop, content)
            for crop, content in zip(named, contents, strict=True)
            if not isinstance(content, Exception) and crop.id not in there
        }
        decoded = pool.map(
            lambda pair: attempted(lambda p: embedder.decode(p[1]), pair), fresh.values()
        )
        read = dict(zip(fresh, decoded, strict=True))
        sound = {id: picture for id, picture in read.items() if not isinstance(picture, Exception)}
        for crop, content in zip(named, contents, strict=True):
            error = content if isinstance(content, Exception) else read.get(crop.id)
            if isinstance(error, Exception):
                lines.append(f"{crop.source or 'a picture in memory'}: {error}")
        added: list[str] = []
        if sound:
            coming = [fresh[id][0] for id in sound]
            vectors = embedder.embed(list(sound.values()), [crop.camera for crop in coming])
            with self.store.changing():
                self._refuse_other(embedder)
                added = self.store.add(coming, vectors, [fresh[id][1] for id in sound])
        ids = [crop.id for crop in named if crop.id in there or crop.id in sound]
        return Added(len(added), len(ids) - len(added), len(lines), tuple(lines), tuple(ids))

    def _refuse_other(self, embedder: "Embedder") -> None:
        if self.model != embedder.model:
            raise StoreError(
                f"The vectors are of the model {embedder.model}, and those in {self.folder} of "
                f"{self.model}: they cannot be compared. Give the command again, with pictures."
            )

    def embed(self, pictures: "Dataset | Thing | Iterable[Thing]") -> np.ndarray:
        """Give the vectors (Q, D) float32, unit rows, of pictures, which are not kept.

        Args:
            pictures: as `search` takes them.

        Raises:
            DataError: a picture cannot be read.
        """
        return self._embedded(pictures)[0]

    def search(
        self,
        pictures: "Dataset | Thing | Iterable[Thing]",
        *,
        camera: str | None = None,
        since: float | None = None,
        until: float | None = None,
        top: int = 10,
        same_camera: bool = True,
        rerank: bool = False,
    ) -> list[list[Match]]:
        """Find the crops that are most like each picture; a picture does not find itself.

        Ignored crops are left out. A similarity is not proof of identity: somebody always comes
        first, also where the person is not there.

        Args:
            pictures: whom to look for, as `add` takes them; a tracklet is one, by the mean of its
                frames.
            camera: only crops of this camera.
            since, until: only crops of this time, both included, in seconds since 1970 (UTC).
            top: matches of each picture, fewer where there are no more.
            same_camera: also crops of the camera that took the picture itself, where it is known.
            rerank: put the RERANKED nearest in the order of k-reciprocal re-ranking; similarity and
                verdict stay those of the two pictures.

        Returns:
            For each picture its matches, the best first.

        Raises:
            DataError: a picture cannot be read.
            SettingsError: top is below 1.
            StoreError: the gallery knows no such camera.
        """
        vectors, ids, cameras = self._embedded(pictures)
        where = self._filter(camera, since, until)
        return self._matches(vectors, ids, cameras, where, top, same_camera, rerank)

    def search_crop(
        self,
        id: str,
        *,
        camera: str | None = None,
        since: float | None = None,
        until: float | None = None,
        top: int = 10,
        same_camera: bool = True,
        rerank: bool = False,
    ) -> list[Match]:
        """Find the crops that are most like one of the gallery; arguments as in `search`."""
        crop = self.crop(id)
        vectors, _ = self.store.vectors([id])
        where = self._filter(camera, since, until)
        found = self._matches(vectors, [id], [crop.camera], where, top, same_camera, rerank)
        return found[0]

    def _filter(self, camera: str | None, since: float | None, until: float | None) -> Filter:
        if camera is not None and camera not in self.store.cameras():
            raise _unknown(camera, "camera", (c for c in self.store.cameras() if c))
        return Filter(camera, since, until, ignored=False)

    def _matches(
        self,
        vectors: np.ndarray,
        ids: Sequence[str | None],
        cameras: Sequence[str | None],
        where: Filter,
        top: int,
        same_camera: bool,
        rerank: bool,
    ) -> list[list[Match]]:
        if top < 1:
            raise SettingsError(f"top is {top}. Use 1 or more.")
        without = [(id, None if same_camera else c) for id, c in zip(ids, cameras, strict=True)]
        taken = max(top, RERANKED) if rerank else top
        found = self.store.nearest(vectors, taken, where, without)
        if rerank:
            found = [self._reranked(v, some)[:top] for v, some in zip(vectors, found, strict=True)]
        cutoffs = self.cutoffs
        return [
            [Match(c, s, cutoffs.verdict(s), rank) for rank, (c, s) in enumerate(some, 1)]
            for some in found
        ]

    def _reranked(
        self, vector: np.ndarray, found: list[tuple[Crop, float]]
    ) -> list[tuple[Crop, float]]:
        if len(found) < 2:
            return found
        from reseen.metrics.rerank import rerank_blocks

        by_id = {crop.id: (crop, similarity) for crop, similarity in found}
        near, ids = self.store.vectors(list(by_id))
        k1 = min(20, len(ids) - 1)
        ((_, block),) = rerank_blocks(vector[None], near, k1=k1, k2=min(6, k1))
        return [by_id[ids[i]] for i in np.argsort(block[0], kind="stable")]

    def _embedded(
        self, pictures: "Dataset | Thing | Iterable[Thing]"
    ) -> tuple[np.ndarray, list[str | None], list[str | None]]:
        """Give the vectors of pictures (Q, D), their ids and their cameras."""
        from reseen.data.given import gather
        from reseen.data.pictures import BrokenPictureError

        given, embedder = gather(pictures), self.embedder()
        crops = list(_coming(given, None, None))
        content = _content(given)

        def read(crop: Crop) -> tuple[str, PIL.Image.Image]:
            try:
                found = content(crop)
                return _identified(crop, found).id, embedder.decode(found)
            except BrokenPictureError as error:
                raise DataError(
                    f"{crop.source or 'A picture'} cannot be read: {error}. Give another."
                ) from error

        vectors: list[np.ndarray] = []
        ids: list[str] = []
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(crops), BATCH):
                some = crops[start : start + BATCH]
                names, decoded = zip(*pool.map(read, some), strict=True)
                ids += names
                vectors.append(embedder.embed(decoded, [crop.camera for crop in some]))
        self._refuse_other(embedder)
        every = np.concatenate(vectors)
        counts = [len(image.paths) for image in given.images]
        if len(every) == len(counts):
            return every, list(ids), [crop.camera for crop in crops]
        ends = np.cumsum(counts)
        means = np.add.reduceat(every, ends - counts)
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        return means, [None] * len(counts), list(given.cameras)

    # What people decide.

    def enrol(
        self, name: str, pictures: "Dataset | Thing | Iterable[Thing]", *, quiet: bool = True
    ) -> Added:
        """Add pictures of a person, and give them the name.

        Raises:
            StoreError: the name is refused (see `name`); the pictures are in the gallery then,
                without it.
            DataError: as `add`.
        """
        _check_name(name)
        added = self.add(pictures, quiet=quiet)
        if added.ids:
            self.name(added.ids, name)
        return added

    def name(self, ids: Iterable[str], name: str) -> None:
        """Say who is on crops; another name that they have is replaced.

        Args:
            ids: of crops.
            name: of the person, known or new.

        Raises:
            StoreError: no such crop, or the data cannot carry the name: two of the person's crops
                would be from one frame, or of one time at two cameras, or somebody said that a crop
                is not this person. Nothing is changed then.
            SettingsError: it is no name.
        """
        self._name(ids, name, "hand")

    def accept(self, ids: Iterable[str], name: str) -> None:
        """Give the crops of a proposal (`unknown`) a name at once; refused as in `name`."""
        self._name(ids, name, "proposed")

    def _name(self, ids: Iterable[str], name: str, by: str) -> None:
        name = _check_name(name)
        with self.store.changing():
            crops = self._found(ids)
            others = self.store.select(Filter(person=name))
            self._refuse_impossible(crops, others, name)
            ignored = bool(others) and all(crop.ignored for crop in others)
            states = {crop.id: (name, by, ignored or crop.ignored) for crop in crops}
            said = f"{counted(len(crops), 'crop')} named {name}"
            self._decide("name", said, crops, states, (name,))

    def _refuse_impossible(self, crops: list[Crop], others: list[Crop], name: str) -> None:
        denied = {id for id, of in self.store.denials(c.id for c in crops) if of == name}
        if denied:
            raise StoreError(
                f"{_some(denied)} cannot be {name}: somebody said that it is not this person. If "
                "it is after all, take that back first (undo, or allow)."
            )
        if reason := _impossible(crops, others):
            raise StoreError(f"These crops cannot all be {name}: {reason} Nothing was changed.")

    def unname(self, ids: Iterable[str]) -> None:
        """Take the names of crops back.

        Raises:
            StoreError: no such crop.
        """
        with self.store.changing():
            crops = self._found(ids)
            states = {crop.id: (None, None, crop.ignored) for crop in crops}
            names = tuple(sorted({crop.person for crop in crops if crop.person}))
            said = f"{counted(len(crops), 'crop')} without a name"
            self._decide("unname", said, crops, states, names)

    def deny(self, name: str, ids: Iterable[str]) -> None:
        """Say that crops do not show a person: they are never proposed or named so again.

        Raises:
            StoreError: no such crop.
            SettingsError: it is no name.
        """
        name = _check_name(name)
        with self.store.changing():
            crops = self._found(ids)
            states = {c.id: (None, None, c.ignored) for c in crops if c.person == name}
            new = {(crop.id, name) for crop in crops} - self.store.denials(c.id for c in crops)
            said = f"{counted(len(crops), 'crop')} not {name}"
            self._decide("deny", said, crops, states, (name,), denied=tuple(sorted(new)))

    def allow(self, name: str, ids: Iterable[str]) -> None:
        """Take back that crops do not show a person.

        Raises:
            StoreError: no such crop.
        """
        with self.store.changing():
            crops = self._found(ids)
            old = {(crop.id, name) for crop in crops} & self.store.denials(c.id for c in crops)
            said = f"{counted(len(crops), 'crop')} may be {name}"
            self._decide("allow", said, crops, {}, (name,), allowed=tuple(sorted(old)))

    def ignore(self, what: str | Iterable[str]) -> int:
        """Leave a person, or crops by id, out of searches and proposals; gives their number.

        They stay in the gallery, and count as strangers where cut-offs are calibrated.

        Raises:
            StoreError: no such person or crop.
        """
        return self._ignore(what, True)

    def unignore(self, what: str | Iterable[str]) -> int:
        """Take that back.

        Raises:
            StoreError: no such person or crop.
        """
        return self._ignore(what, False)

    def _ignore(self, what: str | Iterable[str], ignored: bool) -> int:
        verb = "ignore" if ignored else "unignore"
        with self.store.changing():
            if isinstance(what, str):
                crops = self.store.select(Filter(person=what)) or self._named_or_id(what)
                names = tuple({what} & {crop.person for crop in crops if crop.person})
            else:
                crops, names = self._found(what), ()
            states: dict[str, State] = {c.id: (c.person, c.by, ignored) for c in crops}
            of = f" of {names[0]}" if names else ""
            said = f"{counted(len(crops), 'crop')}{of} {verb}d"
            self._decide(verb, said, crops, states, names)
        return len(crops)

    def _named_or_id(self, what: str) -> list[Crop]:
        if found := self.store.crops([what]):
            return list(found.values())
        raise _unknown(what, "person", (person.name for person in self.people()))

    def merge(self, name: str, into: str) -> int:
        """Say that two names are one person; gives the number of crops that change their name.

        Args:
            name: whose crops get the other name.
            into: the name that stays.

        Raises:
            StoreError: no such person, or the data cannot carry it (see `name`).
        """
        with self.store.changing():
            crops, others = self._of(name), self._of(into)
            if name == into:
                raise StoreError(f"{name} cannot be merged with itself. Give two names.")
            self._refuse_impossible(crops, others, into)
            self._refuse_impossible(others, [], name)
            denied = {id for id, of in self.store.denials() if of == name}
            by: Any = "hand"
            ignored = all(crop.ignored for crop in others)
            states: dict[str, State] = {c.id: (into, by, ignored or c.ignored) for c in crops}
            self._decide(
                *("merge", f"{name} merged into {into}", crops, states, (name, into)),
                denied=tuple(sorted((id, into) for id in denied)),
                allowed=tuple(sorted((id, name) for id in denied)),
            )
        return len(crops)

    def split(self, name: str, ids: Iterable[str], new_name: str) -> None:
        """Give some crops of a person to somebody new.

        Raises:
            StoreError: a crop is not of this person, or the new name is taken.
            SettingsError: it is no name.
        """
        new_name = _check_name(new_name)
        with self.store.changing():
            self._of(name)
            self._refuse_taken(new_name)
            crops = self._found(ids)
            if wrong := [crop.id for crop in crops if crop.person != name]:
                raise StoreError(f"{_some(wrong)} is not named {name}. Give crops that are.")
            states: dict[str, State] = {c.id: (new_name, "hand", c.ignored) for c in crops}
            said = f"{counted(len(crops), 'crop')} of {name} named {new_name}"
            self._decide("split", said, crops, states, (name, new_name))

    def rename(self, name: str, new_name: str) -> int:
        """Give a person another name; gives the number of crops.

        Raises:
            StoreError: no such person, or the new name is taken.
            SettingsError: it is no name.
        """
        new_name = _check_name(new_name)
        with self.store.changing():
            crops = self._of(name)
            self._refuse_taken(new_name)
            denied = {id for id, of in self.store.denials() if of == name}
            states: dict[str, State] = {c.id: (new_name, c.by, c.ignored) for c in crops}
            self._decide(
                *("rename", f"{name} renamed {new_name}", crops, states, (name, new_name)),
                denied=tuple(sorted((id, new_name) for id in denied)),
                allowed=tuple(sorted((id, name) for id in denied)),
            )
        return len(crops)

    def _refuse_taken(self, name: str) -> None:
        if self.store.select(Filter(person=name), 1):
            raise StoreError(f"{name} is a person already. Give another name, or merge the two.")

    def undo(self) -> str | None:
        """Take back the last decision that is not taken back yet.

        Returns:
            The decision in words, or None where there is none.
        """
        with self.store.changing():
            last = self.store.last_decision()
            if last is None:
                return None
            there = self.store.known([*last.before, *(id for id, _ in last.allowed)])
            self.store.edit({id: state for id, state in last.before.items() if id in there})
            self.store.allow(last.denied)
            self.store.deny(pair for pair in last.allowed if pair[0] in there)
            self.store.take_decision()
            return last.said

    def _decide(
        self,
        verb: str,
        said: str,
        crops: Sequence[Crop],
        states: dict[str, State],
        names: tuple[str, ...],
        *,
        denied: tuple[tuple[str, str], ...] = (),
        allowed: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Change what is said of crops, so that it can be taken back."""
        before: dict[str, State] = {c.id: (c.person, c.by, c.ignored) for c in crops}
        states = {id: state for id, state in states.items() if state != before[id]}
        if not (states or denied or allowed):
            return
        self.store.edit(states)
        self.store.allow(allowed)
        self.store.deny(denied)
        old = {id: before[id] for id in states}
        self.store.decided(Decision(verb, said, clock.time(), names, old, denied, allowed))

    # What is known.

    def crop(self, id: str) -> Crop:
        """Give a crop.

        Raises:
            StoreError: there is none of this id.
        """
        return self._found([id])[0]

    def crops(
        self,
        person: str | None = None,
        camera: str | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int | None = 100,
        offset: int = 0,
    ) -> list[Crop]:
        """List crops, ordered by time (unknown last) and then as they were added.

        Args:
            person: of this name; empty for crops without a name.
            camera: of this camera.
            since, until: of this time, in seconds since 1970 (UTC).
            limit: the most to give; None for all.
            offset: how many to pass over.
        """
        return self.store.select(Filter(camera, since, until, person), limit, offset)

    def picture(self, id: str) -> bytes:
        """Give the file of a crop, as it was added; of a picture in memory a PNG.

        Raises:
            StoreError: there is none of this id.
        """
        content = self.store.picture(id)
        if content is None:
            raise StoreError(f"There is no crop {id} in {self.folder}. It may have been deleted.")
        return content

    def features(self, ids: Sequence[str] | None = None) -> tuple[np.ndarray, list[str]]:
        """Give the vectors (N, D) float32, unit rows, and the ids they belong to.

        Args:
            ids: of crops; by default of all.
        """
        return self.store.vectors(ids)

    def people(self) -> list[Person]:
        """List who has a name, ordered by name."""
        return self.store.people()

    def cameras(self) -> dict[str | None, int]:
        """Give the number of crops of each camera by name; None is the unknown one."""
        return self.store.cameras()

    @property
    def cutoffs(self) -> Cutoffs:
        """From which similarity on a match is called the same person, or maybe the same."""
        told = self.store.value("cutoffs")
        return UNCALIBRATED if told is None else Cutoffs(**json.loads(told))

    def seen(
        self,
        who: "str | Thing",
        *,
        since: float | None = None,
        until: float | None = None,
        gap: float = 60,
    ) -> list[Sighting]:
        """Tell where and when a person was seen.

        Of a name, these are the crops that carry it, and those without a name that are the same or
        maybe the same by the cut-offs as one of them; of a picture, all that are so, whatever their
        name. Crops that somebody said not to be this person are left out.

        Args:
            who: a name that the gallery knows, or a picture as `search` takes it.
            since, until: in seconds since 1970 (UTC).
            gap: seconds without a crop after which a new sighting at the same camera begins.

        Returns:
            Ordered by time; sightings of unknown times come last, one a camera.

        Raises:
            StoreError: a word that is neither a person of the gallery nor a file.
            DataError: the picture cannot be read.
        """
        where = Filter(None, since, until, ignored=False)
        scores: dict[str, float] = {}
        crops: dict[str, Crop] = {}
        if isinstance(who, str) and (named := self.store.select(Filter(person=who))):
            step = -(-len(named) // EXEMPLARS)
            vectors, _ = self.store.vectors([crop.id for crop in named[::step]])
            crops = {c.id: c for c in self.store.select(Filter(None, since, until, who))}
            scores = dict.fromkeys(crops, 1.0)
            where = Filter(None, since, until, "", ignored=False)
        else:
            if isinstance(who, str) and not Path(who).exists():
                raise _unknown(who, "person", (person.name for person in self.people()))
            vectors, _, _ = self._embedded(who)
        cutoffs = self.cutoffs
        for found in self.store.nearest(vectors, FOUND, where):
            for crop, similarity in found:
                if similarity >= cutoffs.maybe and similarity > scores.get(crop.id, -1):
                    crops[crop.id], scores[crop.id] = crop, similarity
        denied = {id for id, name in self.store.denials(crops) if name == who}
        kept = [crop for crop in crops.values() if crop.id not in denied]
        return [
            Sighting(
                some[0].camera,
                *(some[0].time, some[-1].time, tuple(some)),
                similarity := max(scores[crop.id] for crop in some),
                cutoffs.verdict(similarity) if similarity < 1 else "same",
            )
            for some in _stays(kept, gap)
        ]

    def _found(self, ids: Iterable[str]) -> list[Crop]:
        wanted = list(dict.fromkeys([ids] if isinstance(ids, str) else ids))
        found = self.store.crops(wanted)
        if lost := [id for id in wanted if id not in found]:
            raise StoreError(
                f"There is no crop {_some(lost)} in {self.folder}. It may have been deleted; "
                "`reseen gallery export` lists all."
            )
        if not wanted:
            raise SettingsError("No crop is given. Give ids of crops.")
        return [found[id] for id in wanted]

    def _of(self, name: str) -> list[Crop]:
        found = self.store.select(Filter(person=name))
        if not found:
            raise _unknown(name, "person", (person.name for person in self.people()))
        return found


def _stays(crops: list[Crop], gap: float) -> list[list[Crop]]:
    """Put the crops of one camera together that follow each other without a longer gap."""
    stays: list[list[Crop]] = []
    end = float("inf")
    for crop in sorted(crops, key=lambda c: (c.camera or "", c.time is None, c.time or 0, c.id)):
        last = stays[-1][-1] if stays else None
        near = last is not None and last.camera == crop.camera
        if near and last.time is not None and crop.time is not None:
            near = crop.time - last.time <= gap
        elif near:
            near = last.time is crop.time  # both are unknown
        if near:
            stays[-1].append(crop)
        else:
            stays.append([crop])
    return sorted(stays, key=lambda s: (end if s[0].time is None else s[0].time, s[0].camera or ""))


def _impossible(crops: Sequence[Crop], others: Sequence[Crop]) -> str | None:
    """Say why crops cannot be one person, if they cannot.

    Args:
        crops: who are to become one person with each other and with the others.
        others: who are one person already.
    """
    frames: dict[tuple[str, int], Crop] = {}
    times: dict[float, Crop] = {}
    new = {crop.id for crop in crops}
    for crop in (*(other for other in others if other.id not in new), *crops):
        if crop.frame is not None and crop.source:
            before = frames.setdefault((crop.source, crop.frame), crop)
            if before is not crop and before.box != crop.box:
                return (
                    f"{before.id} and {crop.id} are two boxes in frame {crop.frame} of "
                    f"{crop.source}."
                )
        if crop.time is not None and crop.camera is not None:
            before = times.setdefault(crop.time, crop)
            if before.camera != crop.camera:
                return (
                    f"{before.id} and {crop.id} are of the same time at two cameras, "
                    f"{before.camera} and {crop.camera}."
                )
    return None


def _check_name(name: str) -> str:
    kept = name.strip() if isinstance(name, str) else ""
    if not kept or len(kept) > 100 or not kept.isprintable() or "/" in kept:
        raise SettingsError(
            f"The name {name!r:.120} cannot be used. Give 1 to 100 letters, digits and spaces, "
            "without / and line ends."
        )
    return kept


def _some(ids: Iterable[str]) -> str:
    ids = sorted(ids)
    return ids[0] if len(ids) == 1 else f"{ids[0]} (and {len(ids) - 1} more)"


def _unknown(word: str, what: str, known: Iterable[str]) -> StoreError:
    known = sorted(known)
    near = get_close_matches(word, known, 1)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known[:20]) or 'none'}."
    return StoreError(f"The gallery knows no {what} {word!r}. {hint}")


def _coming(given: "Given", camera: str | None, time: float | None) -> Iterator[Crop]:
    """Make crops of records, one a frame; they have no id before their files are read."""
    now = clock.time()
    for image, named in zip(given.images, given.cameras, strict=True):
        tracklet = image.path.parent.name if image.frames else None
        taken = time if image.time is None else image.time
        for path in image.paths:
            source = str(path) if path in given.pictures else str(path.absolute())
            yield Crop("", named or camera, taken, tracklet, source, added=now)


def _content(given: "Given") -> Any:
    """Give a function that reads the file of a crop, and makes one of a picture in memory."""
    from reseen.data.pictures import broken_said

    def content(crop: Crop) -> bytes:
        picture = given.pictures.get(Path(crop.source))
        if picture is None:
            with broken_said():
                return Path(crop.source).read_bytes()
        file = BytesIO()
        picture.save(file, "PNG", compress_level=1)
        return file.getvalue()

    return content


def _identified(crop: Crop, content: bytes) -> Crop:
    """Give a crop its id; one that was in memory has no source."""
    source = crop.source if Path(crop.source).is_absolute() else ""
    return replace(crop, id=sha256(content).hexdigest()[:32], source=source)


def _refuse_used(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file. Give the name of a folder for the gallery.")
    if (folder / FACTS).exists():
        raise StoreError(
            f"{folder} holds a gallery already. Add to it, give it another encoder (reseen gallery "
            "rebuild), or give a new folder."
        )
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    ours = {ENCODER, NEXT, f"{FACTS}.tmp", *(f"{FILE}{end}" for end in ("", "-wal", "-shm"))}
    if names - ours or (names and f"{FACTS}.tmp" not in names and ENCODER not in names):
        raise StoreError(f"{folder} is not empty and holds no gallery. Give a new folder.")


def _write_facts(folder: Path, facts: dict[str, Any]) -> None:
    from reseen.engine.files import write_text

    write_text(folder / FACTS, json.dumps(facts, indent=2) + "\n")


_KINDS: dict[str, type] = {"store": str, "model": str, "centring": str, "dimensions": int}


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / FACTS
    if not path.is_file():
        raise StoreError(
            f"{folder} holds no gallery (no {FACTS}). Give a folder that `reseen gallery create` "
            "made."
        )
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict) or type(facts.get("format")) is not int:
        raise StoreError(f"{path} is damaged or of something else. Bring back a copy of it.")
    if facts["format"] > FORMAT:
        raise StoreError(
            f"{folder} was made by a newer version of reseen (format {facts['format']}; this one "
            f"knows {FORMAT}). Install a newer version."
        )
    if wrong := [name for name, kind in _KINDS.items() if not isinstance(facts.get(name), kind)]:
        raise StoreError(f"{path} is damaged: {wrong[0]} is missing. Bring back a copy of it.")
    return facts


def _make_store(folder: Path, facts: dict[str, Any], store: str | None) -> Store:
    if store is None:
        return Embedded(folder, new=True)
    raise SettingsError(f"store is {store!r}. Leave it out.")


def _open_store(folder: Path, facts: dict[str, Any]) -> Store:
    return Embedded(folder)
