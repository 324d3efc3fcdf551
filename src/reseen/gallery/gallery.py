"""The gallery: pictures of people in a folder, who they are, and where else they were seen."""

import json
import shutil
import time as clock
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from reseen.errors import CheckpointError, DataError, SettingsError, StoreError, counted
from reseen.gallery.facts import facts_of
from reseen.gallery.folder import (
    ENCODER,
    NEXT,
    begin,
    digest_in,
    make_store,
    open_store,
    read_facts,
    refuse_used,
    write_facts,
)
from reseen.gallery.records import (
    Added,
    Crop,
    Cutoffs,
    Decision,
    Match,
    Person,
    Proposal,
    Sighting,
    id_of,
)
from reseen.gallery.rules import check_name, impossible, some, stays, unknown_word
from reseen.gallery.server import check_store
from reseen.gallery.store import Filter, State, Store

if TYPE_CHECKING:  # torch is loaded when the first picture is embedded
    from reseen.engine.device import Device
    from reseen.engine.progress import Track
    from reseen.gallery.cutoffs import Evidence
    from reseen.gallery.embedding import Embedder
    from reseen.gallery.facts import Facts
    from reseen.gallery.incoming import Given, Incoming
    from reseen.nets.encoder import Encoder

BATCH = 256
"""Pictures that are embedded and kept at a time."""
RERANKED = 1000
"""Crops nearest to a query that re-ranking puts in a new order."""
EXEMPLARS = 100
"""Crops of a person, evenly spaced in time, by which others are found."""
FOUND = 500
"""Crops that are looked at for each of them."""

GLANCED = 300
"""Crops by which cut-offs are guessed until they are calibrated."""


class Gallery:
    """Crops, who is on them, and a search among them; opened by `create` or `open`.

    Any number of processes and threads may use one gallery at the same time.
    """

    def __init__(self, folder: Path, store: Store, device: "Device | None" = None):
        self.folder = folder
        self.store = store
        self._device = device
        self._embedder: Embedder | None = None
        self._loading = Lock()

    @classmethod
    def create(
        cls,
        folder: Path | str,
        run: "Encoder | Path | str",
        *,
        store: str | None = None,
        centring: str = "auto",
        onnx: bool = True,
        device: "Device | None" = None,
        quiet: bool = True,
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
            onnx: embed by ONNX Runtime, several times as fast on a CPU, where it is installed
                (reseen[gallery]), gives the vectors of torch in float32 within 1e-4, and there is
                no GPU. Making its file takes up to a minute, once.
            device: where the encoder computes.
            quiet: say nothing.

        Raises:
            StoreError: the folder holds a gallery or something else, or the server is not there.
            SettingsError: as `extract`, of centring.
            CheckpointError: there is no such run.
        """
        from reseen.engine.pretrained import save_pretrained
        from reseen.engine.progress import Screen

        folder = Path(folder)
        refuse_used(folder)
        check_store(store)
        embedder = _new_embedder(run, centring, device)
        begin(folder)
        save_pretrained(embedder.encoder, folder / ENCODER)
        if onnx:
            embedder.quicken(folder / ENCODER, Screen(quiet))
        size = embedder.encoder.dimensions
        kept, facts = make_store(folder, store, size)
        try:
            with kept.changing():
                kept.set_value("model", embedder.model)
                kept.set_value("run", _named(run))
            write_facts(folder, facts | {"model": embedder.model, "created": clock.time()})
        except BaseException:
            kept.close()
            raise
        gallery = cls(folder, kept, device)
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
        return cls(folder, open_store(folder, read_facts(folder)), device)

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
        return self.model.partition("-")[2] or "off"

    def embedder(self) -> "Embedder":
        """Give the encoder that belongs to the vectors.

        Raises:
            StoreError: the encoder in the folder is another one.
            CheckpointError: it is damaged.
        """
        model = self.model
        with self._loading:  # once, however many threads ask
            if self._embedder is None or self._embedder.model != model:
                self.check_encoder()
                from reseen.gallery.embedding import Embedder

                self._embedder = Embedder.load(self.folder / ENCODER, self.centring, self._device)
            return self._embedder

    def check_encoder(self) -> None:
        """Look whether the encoder in the folder is that of the vectors, without loading it.

        Raises:
            StoreError: it is another one.
        """
        self._settle()
        if digest_in(self.folder / ENCODER) != self.model.partition("-")[0]:
            raise StoreError(
                f"The encoder in {self.folder / ENCODER} is not the one that made the vectors "
                "of this gallery. Bring back a copy of it, or make new vectors: reseen gallery "
                "rebuild."
            )

    def _settle(self) -> None:
        """Put the encoder of a finished rebuild in its place, if that was not done."""
        coming, place = self.folder / NEXT, self.folder / ENCODER
        if digest_in(coming) is None:
            return
        with self.store.changing():  # one process at a time
            model = self.model
            if digest_in(coming) == model.partition("-")[0]:
                shutil.rmtree(place, ignore_errors=True)
                coming.rename(place)
                write_facts(self.folder, read_facts(self.folder) | {"model": model})

    # Pictures come in, and are looked for.

    def add(
        self,
        images: "Given",
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
        from reseen.engine.progress import Screen
        from reseen.gallery.incoming import incoming

        todo, notes = incoming(images, camera, time)
        screen = Screen(quiet)
        for note in notes:
            screen.say(note)
        return self._add_all(todo, screen.track("adding"))

    def add_files(
        self,
        files: Iterable[tuple[str, bytes]],
        *,
        camera: str | None = None,
        time: float | None = None,
    ) -> Added:
        """Add files in memory, as they come over a network, by name and content; as `add`."""
        from reseen.engine.progress import UNTRACKED
        from reseen.gallery.incoming import from_files

        return self._add_all(list(from_files(files, camera, time)), UNTRACKED)

    def _add_all(self, todo: "list[Incoming]", track: "Track") -> Added:
        embedder = self.embedder()
        parts: list[Added] = []
        batch: list[Incoming] = []
        try:
            with ThreadPoolExecutor() as pool:
                for place, coming in enumerate(track(todo, len(todo)), 1):
                    batch.append(coming)
                    if len(batch) == BATCH or place == len(todo):
                        parts.append(self._add(batch, embedder, pool))
                        batch = []
        except KeyboardInterrupt:
            new = sum(part.new for part in parts)
            raise KeyboardInterrupt(
                f"stopped; {counted(new, 'new picture is', 'new pictures are')} kept. The same "
                "command continues."
            ) from None
        self.store.settle()
        lines = tuple(line for part in parts for line in part.lines)
        ids = tuple(dict.fromkeys(id for part in parts for id in part.ids))
        new = sum(part.new for part in parts)
        return Added(new, sum(part.known for part in parts), len(lines), lines, ids)

    def _add(
        self, batch: "list[Incoming]", embedder: "Embedder", pool: ThreadPoolExecutor
    ) -> Added:
        broken: dict[int, str] = {}
        contents = _attempted(pool, lambda coming: coming.content(), batch, broken)
        crops = {i: batch[i].identified(content) for i, content in contents.items()}
        there = self.store.known(crop.id for crop in crops.values())
        fresh = {crop.id: i for i, crop in crops.items() if crop.id not in there}
        todo = list(fresh.values())
        spoilt: dict[int, str] = {}
        decoded = _attempted(pool, lambda i: embedder.decode(contents[i]), todo, spoilt)
        broken |= {todo[place]: why for place, why in spoilt.items()}
        sound = [todo[place] for place in decoded]
        added: list[str] = []
        if sound:
            cameras = [crops[i].camera for i in sound]
            vectors = embedder.embed(list(decoded.values()), cameras)
            with self.store.changing():
                self._refuse_other(embedder)
                kept = [crops[i] for i in sound]
                added = self.store.add(kept, vectors, [contents[i] for i in sound])
        here = there | {crops[i].id for i in sound}
        ids = tuple(crop.id for crop in crops.values() if crop.id in here)
        lines = tuple(f"{batch[i].said}: {broken[i]}" for i in sorted(broken))
        return Added(len(added), len(ids) - len(added), len(lines), lines, ids)

    def _refuse_other(self, embedder: "Embedder") -> None:
        if self.model != embedder.model:
            raise StoreError(
                f"The vectors are of the model {embedder.model}, and those in {self.folder} of "
                f"{self.model}: they cannot be compared. Give the command again, with pictures."
            )

    def search(
        self,
        pictures: "Given",
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
            raise unknown_word(camera, "camera", (c for c in self.store.cameras() if c))
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
            found = [self._reranked(v, near)[:top] for v, near in zip(vectors, found, strict=True)]
        cutoffs = self.cutoffs
        return [
            [Match(c, s, cutoffs.verdict(s), rank) for rank, (c, s) in enumerate(near, 1)]
            for near in found
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

    def _embedded(self, pictures: "Given") -> tuple[np.ndarray, list[str | None], list[str | None]]:
        """Give the vectors of pictures (Q, D), their ids and their cameras."""
        from reseen.gallery.incoming import incoming

        todo, _ = incoming(pictures)
        embedder = self.embedder()
        broken: dict[int, str] = {}
        vectors: list[np.ndarray] = []
        ids: list[str] = []
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(todo), BATCH):
                batch = todo[start : start + BATCH]
                contents = _attempted(pool, lambda coming: coming.content(), batch, broken)
                decoded = _attempted(pool, embedder.decode, list(contents.values()), broken)
                for place, why in broken.items():
                    raise DataError(f"{batch[place].said} cannot be read: {why}. Give another.")
                ids += [batch[i].identified(content).id for i, content in contents.items()]
                cameras = [coming.crop.camera for coming in batch]
                vectors.append(embedder.embed(list(decoded.values()), cameras))
        self._refuse_other(embedder)
        every, owners = np.concatenate(vectors), [coming.owner for coming in todo]
        cameras = dict(zip(owners, (coming.crop.camera for coming in todo), strict=True))
        if len(cameras) == len(every):
            return every, list(ids), list(cameras.values())
        means = np.add.reduceat(every, np.searchsorted(owners, list(cameras)))
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        return means, [None] * len(means), list(cameras.values())

    def embed(self, pictures: "Given") -> np.ndarray:
        """Give the vectors (Q, D) float32, unit rows, of pictures that are not added.

        Raises:
            DataError: a picture cannot be read.
        """
        return self._embedded(pictures)[0]

    # What people decide.

    def enrol(self, name: str, pictures: "Given", *, quiet: bool = True) -> Added:
        """Add pictures of a person, and give them the name.

        Raises:
            StoreError: the name is refused (see `name`); the pictures are in the gallery then,
                without it.
            DataError: as `add`.
        """
        check_name(name)
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

    def accept(self, what: int | Iterable[int | str], name: str) -> int:
        """Give the crops of a proposal a name at once.

        Args:
            what: number of a proposal, as `unknown` last gave it, or ids of its crops; or several.
            name: of the person, known or new.

        Returns:
            The number of crops.

        Raises:
            StoreError: there is no such proposal, crops came or went since unknown people were
                listed, or the name is refused as in `name`.
            SettingsError: it is no name.
        """
        every: list[Any] = [what] if isinstance(what, int) else list(what)
        if numbers := {one for one in every if isinstance(one, int)}:
            self._refuse_unlisted()
            proposed = {p.number: p.crops for p in self.unknown() if p.number in numbers}
            if lost := numbers - set(proposed):
                raise StoreError(
                    f"There is no unknown person {min(lost)} in {self.folder}: the crops may have "
                    "got a name, or are ignored. List them: reseen gallery people --unknown."
                )
            every = [id for one in every for id in proposed.get(one, [one])]
        return self._name(every, name, "proposed")

    def _refuse_unlisted(self) -> None:
        if self._kept_unknown().get("crops") != self._which_crops():
            raise StoreError(
                f"Unknown people of {self.folder} have other numbers since crops came or went. "
                "List them first: reseen gallery people --unknown."
            )

    def _name(self, ids: Iterable[str], name: str, by: str) -> int:
        name = check_name(name)
        with self.store.changing():
            crops = self._found(ids)
            others = self.store.select(Filter(person=name))
            self._refuse_impossible(crops, others, name)
            ignored = bool(others) and all(crop.ignored for crop in others)
            states = {crop.id: (name, by, ignored or crop.ignored) for crop in crops}
            said = f"{counted(len(crops), 'crop')} named {name}"
            self._decide("name", said, crops, states, (name,))
        return len(crops)

    def _refuse_impossible(self, crops: list[Crop], others: list[Crop], name: str) -> None:
        denied = {id for id, of in self.store.denials(c.id for c in crops) if of == name}
        if denied:
            raise StoreError(
                f"{some(denied)} cannot be {name}: somebody said that it is not this person. If "
                "it is after all, take that back first (undo, or allow)."
            )
        if reason := impossible(crops, others, overlapping=self.overlapping):
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
        name = check_name(name)
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
            states = {c.id: (c.person, c.by, ignored) for c in crops}
            of = f" of {names[0]}" if names else ""
            said = f"{counted(len(crops), 'crop')}{of} {verb}d"
            self._decide(verb, said, crops, states, names)
        return len(crops)

    def _named_or_id(self, what: str) -> list[Crop]:
        if found := self.store.crops([what]):
            return list(found.values())
        raise unknown_word(what, "person", (person.name for person in self.people()))

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
            states = {c.id: (into, by, ignored or c.ignored) for c in crops}
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
        new_name = check_name(new_name)
        with self.store.changing():
            self._of(name)
            self._refuse_taken(new_name)
            crops = self._found(ids)
            if wrong := [crop.id for crop in crops if crop.person != name]:
                raise StoreError(f"{some(wrong)} is not named {name}. Give crops that are.")
            states = {c.id: (new_name, "hand", c.ignored) for c in crops}
            said = f"{counted(len(crops), 'crop')} of {name} named {new_name}"
            self._decide("split", said, crops, states, (name, new_name))

    def rename(self, name: str, new_name: str) -> int:
        """Give a person another name; gives the number of crops.

        Raises:
            StoreError: no such person, or the new name is taken.
            SettingsError: it is no name.
        """
        new_name = check_name(new_name)
        with self.store.changing():
            crops = self._of(name)
            self._refuse_taken(new_name)
            denied = {id for id, of in self.store.denials() if of == name}
            states = {c.id: (new_name, c.by, c.ignored) for c in crops}
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
        states: Mapping[str, State],
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
        """From which similarity on a match is called the same person, or maybe the same.

        Until they are calibrated they are a guess by a few crops, and say so.
        """
        if (told := self.store.value("cutoffs")) is not None:
            return Cutoffs(**json.loads(told))
        from reseen.gallery.cutoffs import guess_cutoffs

        crops = self.store.select(limit=GLANCED)
        return guess_cutoffs(self.store.vectors([crop.id for crop in crops])[0])

    @property
    def overlapping(self) -> bool:
        """Whether cameras see the same places; if not, one time at two cameras is two people."""
        return self.store.value("overlapping") is not None

    @overlapping.setter
    def overlapping(self, value: bool) -> None:
        with self.store.changing():
            self.store.set_value("overlapping", "yes" if value else None)

    def calibrate(
        self,
        *,
        false_match_rate: float | None = None,
        confidence: float = 0.95,
        floor: bool = True,
    ) -> Cutoffs:
        """Find the cut-offs of this gallery, and keep them; arguments as in `cutoffs.calibrate`.

        Raises:
            SettingsError: a setting is out of range.
            StoreError: there are no crops, or the gallery got another encoder meanwhile.
        """
        from reseen.gallery import cutoffs

        if not self.store.count():
            raise StoreError(f"{self.folder} holds no crops to calibrate by. Add some first.")
        model = self.model
        found = cutoffs.calibrate(
            *self._known(),
            false_match_rate=cutoffs.RATE if false_match_rate is None else false_match_rate,
            confidence=confidence,
            floor=floor,
            overlapping=self.overlapping,
        )
        with self.store.changing():
            if self.model != model:
                raise StoreError(f"{self.folder} got another encoder meanwhile: calibrate again.")
            self.store.set_value("cutoffs", json.dumps(asdict(found)))
        return found

    def evidence(self) -> "Evidence":
        """Give the similarities of pairs that cut-offs come from, to be drawn."""
        from reseen.gallery.cutoffs import gather_evidence

        return gather_evidence(*self._known(), overlapping=self.overlapping)

    def unknown(self, min_crops: int = 2) -> list[Proposal]:
        """Propose unknown people: crops without a name that may show one person.

        What people decided holds: named and ignored crops are left out, and crops that cannot be
        one person are never together (see `gallery.unknown`). What was found is kept until crops,
        names or cut-offs change; how crops look alike, which takes longest, until crops do.

        Args:
            min_crops: of a proposal.
        """
        kept = self._kept_unknown()
        which, state = self._which_crops(), self._state()
        if kept.get("state") != state:
            from reseen.gallery.unknown import label_crops, propose

            features, crops = self._crops()
            if kept.get("crops") != which:
                kept = {"crops": which, "labels": label_crops(features, crops).tolist()}
            found = propose(
                *(features, crops, np.array(kept["labels"], np.int64)),
                *(self.cutoffs, self.store.denials()),
                overlapping=self.overlapping,
            )
            kept |= {"state": state, "proposals": [asdict(proposal) for proposal in found]}
            with suppress(StoreError), self.store.changing():  # they are given all the same
                if state == self._state():
                    self.store.set_value("unknown", json.dumps(kept))
        proposals = (
            Proposal(**p | {what: tuple(p[what]) for what in ("crops", "cameras")})
            for p in kept["proposals"]
        )
        return [proposal for proposal in proposals if len(proposal.crops) >= min_crops]

    def _kept_unknown(self) -> dict[str, Any]:
        return json.loads(self.store.value("unknown") or "{}")

    def _which_crops(self) -> list[Any]:
        """Say which crops there are, and how their numbers as unknown people come about."""
        deletions, places = self.store.value("deletions"), self.overlapping
        return [version("reseen"), self.model, self.store.count(), deletions, places]

    def _state(self) -> list[Any]:
        """Say what unknown people depend on."""
        value = self.store.value
        return [*self._which_crops(), value("changes"), value("cutoffs")]

    def _crops(self) -> tuple[np.ndarray, list[Crop]]:
        """Give all vectors (N, D) and what is known of their crops."""
        features, ids = self.store.vectors()
        found = self.store.crops(ids)
        there = [place for place, id in enumerate(ids) if id in found]  # others may delete
        return features[there], [found[ids[place]] for place in there]

    def _known(self) -> "tuple[np.ndarray, Facts]":
        features, crops = self._crops()
        return features, facts_of(crops, self.store.denials())

    def seen(
        self,
        who: "str | Given",
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
                raise unknown_word(who, "person", (person.name for person in self.people()))
            vectors, _, _ = self._embedded(who)
        cutoffs = self.cutoffs
        for found in self.store.nearest(vectors, FOUND, where):
            for crop, similarity in found:
                if similarity >= cutoffs.maybe and similarity > scores.get(crop.id, -1):
                    crops[crop.id], scores[crop.id] = crop, similarity
        name = who if isinstance(who, str) else None
        denied = {id for id, of in self.store.denials(crops) if of == name}
        kept = [crop for crop in crops.values() if crop.id not in denied]
        return [
            Sighting(
                stay[0].camera,
                *(stay[0].time, stay[-1].time, tuple(stay)),
                similarity := max(scores[crop.id] for crop in stay),
                cutoffs.verdict(similarity) if similarity < 1 else "same",
            )
            for stay in stays(kept, gap)
        ]

    # What goes, and what becomes of the rest.

    def forget(self, name: str) -> int:
        """Delete a person: crops, pictures, vectors, decisions, and the name.

        Crops that show the person without carrying the name stay: `seen` finds them first.

        Returns:
            The number of crops deleted.

        Raises:
            StoreError: no such person, or another process keeps the file from being compacted.
        """
        with self.store.changing():
            deleted = self.store.delete([crop.id for crop in self._of(name)], [name])
            self.store.set_value("unknown", None)
        self.store.compact()
        return deleted

    def expire(self, older_than: float, *, keep_named: bool = False) -> int:
        """Delete crops, pictures and vectors that are older than so many seconds.

        A crop is as old as its time, or, where that is unknown, as its stay in the gallery.

        Args:
            older_than: in seconds.
            keep_named: not those that have a name.

        Returns:
            The number of crops deleted.

        Raises:
            SettingsError: less than no time.
            StoreError: another process keeps the file from being compacted.
        """
        if not older_than >= 0:
            raise SettingsError(f"older_than is {older_than:g} seconds. Use 0 or more.")
        with self.store.changing():
            ids = self.store.older(clock.time() - older_than, unnamed=keep_named)
            deleted = self.store.delete(ids) if ids else 0
            self.store.set_value("unknown", None)
        self.store.compact()
        return deleted

    def rebuild(
        self,
        run: "Encoder | Path | str",
        *,
        centring: str = "auto",
        onnx: bool = True,
        quiet: bool = True,
    ) -> int:
        """Make all vectors anew, by another encoder, from the pictures; the rest stays.

        The gallery is used with the old vectors until all new ones are there. What is stopped goes
        on where it was when it is called again. Cut-offs belong to vectors, and have to be
        calibrated again.

        Args:
            run, centring, onnx: as in `create`.
            quiet: say nothing.

        Returns:
            The number of vectors that were made.

        Raises:
            CheckpointError, SettingsError: as `create`.
            StoreError: a picture in the store is damaged.
        """
        from reseen.engine.pretrained import save_pretrained
        from reseen.engine.progress import Screen

        embedder = _new_embedder(run, centring, self._device)
        self._settle()
        if embedder.model == self.model:
            return 0
        coming = self.folder / NEXT
        if digest_in(coming) != embedder.model.partition("-")[0]:
            shutil.rmtree(coming, ignore_errors=True)
            save_pretrained(embedder.encoder, coming)
        if onnx:
            embedder.quicken(coming, Screen(quiet))
        made, batches = 0, -(-self.store.count() // BATCH)
        for _ in Screen(quiet).track("making vectors")(range(batches), batches):
            made += self._make_vectors(embedder)
        done = False
        while not done:  # others add pictures meanwhile
            made += self._make_vectors(embedder)
            with self.store.changing():
                done = not self.store.missing(embedder.model, 1)
                if done:
                    self.store.use_vectors(embedder.model)
                    self.store.set_value("run", _named(run))
                    self.store.set_value("cutoffs", None)
        self._settle()
        self._embedder = embedder
        self.store.compact()
        self.store.settle()
        return made

    def _make_vectors(self, embedder: "Embedder") -> int:
        ids = self.store.missing(embedder.model, BATCH)
        crops = self.store.crops(ids)
        broken: dict[int, str] = {}
        with ThreadPoolExecutor() as pool:
            decoded = _attempted(pool, lambda id: embedder.decode(self.picture(id)), ids, broken)
        if broken:
            place, why = min(broken.items())
            raise StoreError(
                f"The picture of crop {ids[place]} in {self.folder} is damaged: {why}. Bring back "
                "a copy of the gallery."
            )
        if ids:
            vectors = embedder.embed(list(decoded.values()), [crops[id].camera for id in ids])
            with self.store.changing():
                self.store.add_vectors(embedder.model, ids, vectors)
        return len(ids)

    def export(self, out: Path | str) -> int:
        """Write what is known of all crops as a file: .csv, .json, or .npz with the vectors.

        Args:
            out: the file. A .csv has a line a crop and a .json a list, with the fields of `Crop`; a
                .npz has features (N, D) float32, ids, cameras, times (seconds since 1970, NaN where
                unknown), people and sources (N,), empty where unknown.

        Returns:
            The number of crops.

        Raises:
            SettingsError: another suffix, or a place that cannot be written.
        """
        from reseen.gallery.export import write

        crops = self.store.select()
        return write(Path(out), crops, self.store)

    def info(self) -> dict[str, Any]:
        """Tell what the gallery is and holds: store, model, numbers, times, room, cut-offs."""
        people, times = self.people(), self.store.times()
        return {
            "folder": str(self.folder),
            "store": self.store.place,
            "run": self.store.value("run"),
            "model": self.model,
            "centring": self.centring,
            "crops": self.store.count(),
            "named": sum(person.crops for person in people),
            "people": len(people),
            "cameras": {camera or "unknown": n for camera, n in self.cameras().items()},
            "first": times[0],
            "last": times[1],
            "bytes": self.store.bytes_used(),
            "cutoffs": asdict(self.cutoffs),
        }

    def check(self) -> list[str]:
        """Look for damage, and give a sentence for each thing that is wrong.

        Every picture is read and held against its id.
        """
        wrong = self.store.check()
        try:
            self.embedder()
        except (StoreError, CheckpointError) as error:
            wrong.append(str(error))
        for crop in self.store.select():
            content = self.store.picture(crop.id)
            if content is not None and id_of(content) != crop.id:
                wrong.append(f"The picture of crop {crop.id} is damaged: bring back a copy.")
        return wrong

    def _found(self, ids: Iterable[str]) -> list[Crop]:
        wanted = list(dict.fromkeys([ids] if isinstance(ids, str) else ids))
        found = self.store.crops(wanted)
        if lost := [id for id in wanted if id not in found]:
            raise StoreError(
                f"There is no crop {some(lost)} in {self.folder}. It may have been deleted; "
                "`reseen gallery export` lists all."
            )
        if not wanted:
            raise SettingsError("No crop is given. Give ids of crops.")
        return [found[id] for id in wanted]

    def _of(self, name: str) -> list[Crop]:
        found = self.store.select(Filter(person=name))
        if not found:
            raise unknown_word(name, "person", (person.name for person in self.people()))
        return found


def _attempted(
    pool: ThreadPoolExecutor, do: Callable[[Any], Any], items: Sequence[Any], broken: dict[int, str]
) -> dict[int, Any]:
    """Do something with pictures in threads; give results by place, and note what is broken."""
    from reseen.data.pictures import BrokenPictureError

    def attempt(place: int) -> Any:
        try:
            return do(items[place])
        except BrokenPictureError as error:
            broken[place] = str(error)

    done = dict(enumerate(pool.map(attempt, range(len(items)))))
    return {place: result for place, result in done.items() if place not in broken}


def _new_embedder(
    run: "Encoder | Path | str", centring: str, device: "Device | None"
) -> "Embedder":
    from reseen import training
    from reseen.engine.device import Device
    from reseen.engine.extract import statistics_for
    from reseen.gallery.embedding import Embedder
    from reseen.nets.encoder import Encoder

    encoder = run if isinstance(run, Encoder) else training.load(run, device=device)
    if centring == "auto":
        centring = "deviation" if encoder.camera_statistics else "off"
    statistics_for(encoder, centring)
    return Embedder((device or Device()).place(encoder), centring)


def _named(run: "Encoder | Path | str") -> str:
    return str(run) if isinstance(run, Path | str) else "an encoder from Python"
