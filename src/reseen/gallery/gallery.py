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

if TYPE_CHECKING:  # torch is imported when the first feature is computed
    from reseen.engine.device import Device
    from reseen.engine.progress import Track
    from reseen.gallery.cutoffs import Evidence
    from reseen.gallery.embedding import Embedder
    from reseen.gallery.facts import Facts
    from reseen.gallery.incoming import Given, Incoming
    from reseen.nets.encoder import Encoder

BATCH = 256
"""Number of pictures that are processed and stored at a time."""
RERANKED = 1000
"""Number of crops nearest to a query that are sorted again by re-ranking."""
EXEMPLARS = 100
"""Number of crops of a person, evenly spaced in time, by which others are found."""
FOUND = 500
"""Number of crops that are considered for each of them."""

GLANCED = 300
"""Number of crops from which thresholds are guessed until they are calibrated."""


class Gallery:
    """A searchable store of crops and of the people in them; made by `create` or `open`.

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
        """Create an empty gallery.

        Args:
            folder: new or empty folder.
            run: folder of a run, one of its checkpoints, reseen-tiny, or an encoder. The gallery
                keeps a copy of the encoder.
            store: `postgresql://...` stores everything but the encoder in this database. By default
                everything is stored in the folder.
            centring: how to centre the features of each camera: off, mean or deviation. auto is
                deviation if the encoder has camera statistics, and off otherwise.
            onnx: extract features with ONNX Runtime if it is installed (reseen[gallery]), its
                features agree with those of torch in float32 within 1e-4, and there is no GPU. On a
                CPU it is several times as fast. Preparing it takes up to a minute, once.
            device: device of the encoder.
            quiet: whether to print nothing.

        Raises:
            StoreError: the folder is not empty, or the database server cannot be reached.
            SettingsError: `centring` is not possible, as in `extract`.
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
        """Open an existing gallery.

        Args:
            folder: folder of the gallery.
            device: device of the encoder.

        Raises:
            StoreError: the folder holds no gallery, or one that is damaged or of a newer version.
        """
        folder = Path(folder)
        return cls(folder, open_store(folder, read_facts(folder)), device)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def model(self) -> str:
        """The digest of the encoder that computed the features."""
        return self.store.value("model") or ""

    @property
    def centring(self) -> str:
        """How the features of each camera are centred: off, mean or deviation."""
        return self.model.partition("-")[2] or "off"

    def embedder(self) -> "Embedder":
        """Load the encoder of the gallery.

        Raises:
            StoreError: the encoder in the folder is not the one that computed the features.
            CheckpointError: the encoder is damaged.
        """
        model = self.model
        with self._loading:  # once, however many threads need it
            if self._embedder is None or self._embedder.model != model:
                self.check_encoder()
                from reseen.gallery.embedding import Embedder

                self._embedder = Embedder.load(self.folder / ENCODER, self.centring, self._device)
            return self._embedder

    def check_encoder(self) -> None:
        """Check, without loading it, that the encoder in the folder computed the features.

        Raises:
            StoreError: the encoder is a different one.
        """
        self._settle()
        if digest_in(self.folder / ENCODER) != self.model.partition("-")[0]:
            raise StoreError(
                f"The encoder in {self.folder / ENCODER} is not the one that computed the features "
                "of this gallery. Restore it from a backup, or compute new features with reseen "
                "gallery rebuild."
            )

    def _settle(self) -> None:
        """Install the encoder of a finished rebuild, if that was interrupted."""
        coming, place = self.folder / NEXT, self.folder / ENCODER
        if digest_in(coming) is None:
            return
        with self.store.changing():  # one process at a time
            model = self.model
            if digest_in(coming) == model.partition("-")[0]:
                shutil.rmtree(place, ignore_errors=True)
                coming.rename(place)
                write_facts(self.folder, read_facts(self.folder) | {"model": model})

    # Adding pictures, and search.

    def add(
        self,
        images: "Given",
        *,
        camera: str | None = None,
        time: float | None = None,
        quiet: bool = True,
    ) -> Added:
        """Add pictures to the gallery, skipping those that it already has.

        Every batch of 256 pictures is stored before the next one is read. After an interruption,
        even by kill -9, call this again to continue. Identities in a folder or manifest are not
        taken over as names; use `enrol` and `name` for that.

        Args:
            images: one or several folders, manifests, data sets, records (all frames of a
                tracklet), paths of pictures, PIL images or arrays (H, W, 3) uint8.
            camera: name of the camera for pictures that do not tell it.
            time: time for pictures that do not tell it, in seconds since 1970 (UTC).
            quiet: whether to print nothing.

        Raises:
            DataError: there are no pictures, or something is not a picture, folder or manifest.
            StoreError: the store cannot be written.
            KeyboardInterrupt: Ctrl-C was pressed; the message tells how much was stored.
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
        """Add files that are in memory, given by name and content; otherwise as `add`."""
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
                f"stopped; {counted(new, 'new picture was', 'new pictures were')} added. Run the "
                "same command again to resume."
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
                f"The features were computed by the encoder {embedder.model}, but those in "
                f"{self.folder} by {self.model}, so they cannot be compared. Run the command again "
                "with pictures."
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
        """Find the crops that are most similar to each picture.

        Ignored crops are left out, and so is the picture itself. Similarity is not proof of
        identity: some crop always comes first, even if the person is not in the gallery.

        Args:
            pictures: pictures to search for, as in `add`. A tracklet is searched by the mean
                feature of its frames.
            camera: only find crops of this camera.
            since, until: only find crops of this period, both ends included, in seconds since 1970
                (UTC).
            top: number of matches for each picture; fewer if there are no more.
            same_camera: whether to find crops of the camera that took the picture, if it is known.
            rerank: whether to sort the 1000 most similar crops by k-reciprocal re-ranking.
                Similarity and verdict are not changed by it.

        Returns:
            The matches of each picture, the best first.

        Raises:
            DataError: a picture cannot be read.
            SettingsError: top is below 1.
            StoreError: there is no such camera in the gallery.
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
        """Find the crops that are most similar to a crop in the gallery; otherwise as `search`."""
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
        """Return the features of pictures (Q, D), their ids and their cameras."""
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
        """Compute the features of pictures without adding them: (Q, D) float32, unit rows.

        Raises:
            DataError: a picture cannot be read.
        """
        return self._embedded(pictures)[0]

    # Decisions about crops.

    def enrol(self, name: str, pictures: "Given", *, quiet: bool = True) -> Added:
        """Add pictures of a person, and name them.

        Raises:
            StoreError: the name is refused (see `name`); the pictures are added without a name.
            DataError: as `add`.
        """
        check_name(name)
        added = self.add(pictures, quiet=quiet)
        if added.ids:
            self.name(added.ids, name)
        return added

    def name(self, ids: Iterable[str], name: str) -> None:
        """Name the person in some crops, replacing any name they already have.

        Args:
            ids: ids of crops.
            name: name of the person, who may be known or new.

        Raises:
            StoreError: there is no such crop, or the name contradicts the data: two crops of the
                person would be from the same frame, or from two cameras at the same time, or it was
                recorded that a crop does not show this person. Nothing is changed in that case.
            SettingsError: `name` is not a valid name.
        """
        self._name(ids, name, "hand")

    def accept(self, what: int | Iterable[int | str], name: str) -> int:
        """Name all crops of an unknown person at once.

        Args:
            what: number of a proposal as last returned by `unknown`, ids of crops, or several of
                these.
            name: name of the person, who may be known or new.

        Returns:
            The number of crops.

        Raises:
            StoreError: there is no such proposal, crops were added or deleted since unknown people
                were listed, or the name is refused as in `name`.
            SettingsError: `name` is not a valid name.
        """
        every: list[Any] = [what] if isinstance(what, int) else list(what)
        if numbers := {one for one in every if isinstance(one, int)}:
            self._refuse_unlisted()
            proposed = {p.number: p.crops for p in self.unknown() if p.number in numbers}
            if lost := numbers - set(proposed):
                raise StoreError(
                    f"There is no unknown person {min(lost)} in {self.folder}. The crops may have "
                    "been named or ignored. List them: reseen gallery people --unknown."
                )
            every = [id for one in every for id in proposed.get(one, [one])]
        return self._name(every, name, "proposed")

    def _refuse_unlisted(self) -> None:
        if self._kept_unknown().get("crops") != self._which_crops():
            raise StoreError(
                f"The numbers of unknown people in {self.folder} have changed, because crops were "
                "added or deleted. List them first: reseen gallery people --unknown."
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
                f"{some(denied)} cannot be {name}: it was recorded that this is not {name}. If it "
                "is after all, revert that first (undo or allow)."
            )
        if reason := impossible(crops, others, overlapping=self.overlapping):
            raise StoreError(f"These crops cannot all be {name}: {reason} Nothing was changed.")

    def unname(self, ids: Iterable[str]) -> None:
        """Remove the names of crops.

        Raises:
            StoreError: there is no such crop.
        """
        with self.store.changing():
            crops = self._found(ids)
            states = {crop.id: (None, None, crop.ignored) for crop in crops}
            names = tuple(sorted({crop.person for crop in crops if crop.person}))
            said = f"{counted(len(crops), 'crop')} without a name"
            self._decide("unname", said, crops, states, names)

    def deny(self, name: str, ids: Iterable[str]) -> None:
        """Record that crops do not show a person, so that they are not named or proposed as them.

        Raises:
            StoreError: there is no such crop.
            SettingsError: `name` is not a valid name.
        """
        name = check_name(name)
        with self.store.changing():
            crops = self._found(ids)
            states = {c.id: (None, None, c.ignored) for c in crops if c.person == name}
            new = {(crop.id, name) for crop in crops} - self.store.denials(c.id for c in crops)
            said = f"{counted(len(crops), 'crop')} not {name}"
            self._decide("deny", said, crops, states, (name,), denied=tuple(sorted(new)))

    def allow(self, name: str, ids: Iterable[str]) -> None:
        """Undo `deny`: the crops may show this person again.

        Raises:
            StoreError: there is no such crop.
        """
        with self.store.changing():
            crops = self._found(ids)
            old = {(crop.id, name) for crop in crops} & self.store.denials(c.id for c in crops)
            said = f"{counted(len(crops), 'crop')} may be {name}"
            self._decide("allow", said, crops, {}, (name,), allowed=tuple(sorted(old)))

    def ignore(self, what: str | Iterable[str]) -> int:
        """Exclude a person, or crops by id, from searches and proposals.

        They stay in the gallery, and count as strangers when thresholds are calibrated.

        Returns:
            The number of crops.

        Raises:
            StoreError: there is no such person or crop.
        """
        return self._ignore(what, True)

    def unignore(self, what: str | Iterable[str]) -> int:
        """Undo `ignore`; returns the number of crops.

        Raises:
            StoreError: there is no such person or crop.
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
        """Merge two people into one.

        Args:
            name: name that is given up.
            into: name that all crops get.

        Returns:
            The number of crops whose name changes.

        Raises:
            StoreError: there is no such person, or the name contradicts the data (see `name`).
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
        """Move some crops of a person to a new person.

        Raises:
            StoreError: a crop is not named `name`, or the new name is already taken.
            SettingsError: `new_name` is not a valid name.
        """
        new_name = check_name(new_name)
        with self.store.changing():
            self._of(name)
            self._refuse_taken(new_name)
            crops = self._found(ids)
            if wrong := [crop.id for crop in crops if crop.person != name]:
                raise StoreError(f"{some(wrong)} is not named {name}. Give only crops that are.")
            states = {c.id: (new_name, "hand", c.ignored) for c in crops}
            said = f"{counted(len(crops), 'crop')} of {name} named {new_name}"
            self._decide("split", said, crops, states, (name, new_name))

    def rename(self, name: str, new_name: str) -> int:
        """Rename a person; returns the number of crops.

        Raises:
            StoreError: there is no such person, or the new name is already taken.
            SettingsError: `new_name` is not a valid name.
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
            raise StoreError(f"{name} already exists. Use another name, or merge the two people.")

    def undo(self) -> str | None:
        """Undo the last decision that has not been undone yet.

        Returns:
            A description of the decision, or None if there is nothing to undo.
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
        """Change the state of crops, and record it so that it can be undone."""
        before: dict[str, State] = {c.id: (c.person, c.by, c.ignored) for c in crops}
        states = {id: state for id, state in states.items() if state != before[id]}
        if not (states or denied or allowed):
            return
        self.store.edit(states)
        self.store.allow(allowed)
        self.store.deny(denied)
        old = {id: before[id] for id in states}
        self.store.decided(Decision(verb, said, clock.time(), names, old, denied, allowed))

    # Reading.

    def crop(self, id: str) -> Crop:
        """Return a crop.

        Raises:
            StoreError: there is no crop with this id.
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
        """List crops, sorted by time (unknown times last) and then by when they were added.

        Args:
            person: only list crops with this name; empty for crops without a name.
            camera: only list crops of this camera.
            since, until: only list crops of this period, in seconds since 1970 (UTC).
            limit: maximum number of crops; None for all.
            offset: number of crops to skip.
        """
        return self.store.select(Filter(camera, since, until, person), limit, offset)

    def picture(self, id: str) -> bytes:
        """Return the image file of a crop as it was added; a PNG if it was added from memory.

        Raises:
            StoreError: there is no crop with this id.
        """
        content = self.store.picture(id)
        if content is None:
            raise StoreError(f"There is no crop {id} in {self.folder}. It may have been deleted.")
        return content

    def features(self, ids: Sequence[str] | None = None) -> tuple[np.ndarray, list[str]]:
        """Return the features (N, D) float32, unit rows, and the ids of their crops.

        Args:
            ids: ids of crops; by default those of all crops.
        """
        return self.store.vectors(ids)

    def people(self) -> list[Person]:
        """List all named people, sorted by name."""
        return self.store.people()

    def cameras(self) -> dict[str | None, int]:
        """Return the number of crops of each camera by name; None stands for unknown."""
        return self.store.cameras()

    @property
    def cutoffs(self) -> Cutoffs:
        """The similarity thresholds from which a match is called same or maybe.

        Until they are calibrated they are a guess from a few crops, which `source` says.
        """
        if (told := self.store.value("cutoffs")) is not None:
            return Cutoffs(**json.loads(told))
        from reseen.gallery.cutoffs import guess_cutoffs

        crops = self.store.select(limit=GLANCED)
        return guess_cutoffs(self.store.vectors([crop.id for crop in crops])[0])

    @property
    def overlapping(self) -> bool:
        """Whether cameras see the same places, so that two can see one person at the same time."""
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
        """Compute the thresholds of this gallery, and store them.

        Args:
            false_match_rate: share of the pairs of different people that may be called same; by
                default 1 in 10,000. Ten times as many may be called maybe.
            confidence: confidence, 0 to 1, that the share is not exceeded.
            floor: whether to keep the threshold of same above every wrong pair of a named person.

        Raises:
            SettingsError: a setting is out of range.
            StoreError: there are no crops, or the encoder was changed in the meantime.
        """
        from reseen.gallery import cutoffs

        if not self.store.count():
            raise StoreError(f"{self.folder} holds no crops, so it cannot be calibrated. Add some.")
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
                raise StoreError(
                    f"The encoder of {self.folder} was changed in the meantime. Calibrate again."
                )
            self.store.set_value("cutoffs", json.dumps(asdict(found)))
        return found

    def evidence(self) -> "Evidence":
        """Return the similarities of the pairs from which thresholds are computed."""
        from reseen.gallery.cutoffs import gather_evidence

        return gather_evidence(*self._known(), overlapping=self.overlapping)

    def unknown(self, min_crops: int = 2) -> list[Proposal]:
        """Group crops without a name that may show one person each.

        Decisions are respected: named and ignored crops are left out, and crops that cannot show
        one person are never in one group (see `gallery.unknown`). The result is cached until crops,
        names or thresholds change.

        Args:
            min_crops: minimum number of crops in a group.
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
            with suppress(StoreError), self.store.changing():  # the result is returned in any case
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
        """Return what determines the numbers of unknown people."""
        deletions, places = self.store.value("deletions"), self.overlapping
        return [version("reseen"), self.model, self.store.count(), deletions, places]

    def _state(self) -> list[Any]:
        """Return what unknown people depend on."""
        value = self.store.value
        return [*self._which_crops(), value("changes"), value("cutoffs")]

    def _crops(self) -> tuple[np.ndarray, list[Crop]]:
        """Return all features (N, D) and their crops."""
        features, ids = self.store.vectors()
        found = self.store.crops(ids)
        there = [place for place, id in enumerate(ids) if id in found]  # others may delete some
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
        """List where and when a person was seen.

        For a name, these are the crops with this name, and crops without a name that are same or
        maybe by the thresholds compared with one of them. For a picture, they are all crops that
        are same or maybe, whatever their name. Crops for which it was recorded that they do not
        show this person are left out.

        Args:
            who: name of a person in the gallery, or a picture as in `search`.
            since, until: only list sightings of this period, in seconds since 1970 (UTC).
            gap: seconds without a crop after which a new sighting at the same camera begins.

        Returns:
            Sightings sorted by time; those with unknown times come last, one per camera.

        Raises:
            StoreError: `who` is neither a person in the gallery nor a file.
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

    # Deleting, and the rest.

    def forget(self, name: str) -> int:
        """Delete a person permanently, with all crops, pictures, features, decisions and the name.

        Crops that show the person but do not have the name are not deleted; find them with `seen`
        beforehand.

        Returns:
            The number of deleted crops.

        Raises:
            StoreError: there is no such person, or another process prevents the file from being
                compacted.
        """
        with self.store.changing():
            deleted = self.store.delete([crop.id for crop in self._of(name)], [name])
            self.store.set_value("unknown", None)
        self.store.compact()
        return deleted

    def expire(self, older_than: float, *, keep_named: bool = False) -> int:
        """Permanently delete crops that are older than a given age, with pictures and features.

        The age of a crop is counted from the time it was taken or, if that is unknown, from the
        time it was added to the gallery.

        Args:
            older_than: age in seconds.
            keep_named: whether to keep crops that have a name.

        Returns:
            The number of deleted crops.

        Raises:
            SettingsError: `older_than` is negative.
            StoreError: another process prevents the file from being compacted.
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
        """Change the encoder, and recompute all features from the stored pictures.

        The gallery can be used with the old features until all new ones are computed. After an
        interruption, call this again to continue. The thresholds have to be calibrated again.

        Args:
            run, centring, onnx: as in `create`.
            quiet: whether to print nothing.

        Returns:
            The number of features that were computed.

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
        for _ in Screen(quiet).track("computing features")(range(batches), batches):
            made += self._make_vectors(embedder)
        done = False
        while not done:  # other processes may add pictures meanwhile
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
                f"The picture of crop {ids[place]} in {self.folder} is damaged: {why}. Restore the "
                "gallery from a backup."
            )
        if ids:
            vectors = embedder.embed(list(decoded.values()), [crops[id].camera for id in ids])
            with self.store.changing():
                self.store.add_vectors(embedder.model, ids, vectors)
        return len(ids)

    def export(self, out: Path | str) -> int:
        """Write all that is known about the crops to a file.

        Args:
            out: file to write. A .csv file has one line per crop and a .json file one list entry,
                with the fields of `Crop`. A .npz file has features (N, D) float32, and ids,
                cameras, times (seconds since 1970, NaN if unknown), people and sources (N,), empty
                if unknown.

        Returns:
            The number of crops.

        Raises:
            SettingsError: the suffix is unknown, or the file cannot be written.
        """
        from reseen.gallery.export import write

        crops = self.store.select()
        return write(Path(out), crops, self.store)

    def info(self) -> dict[str, Any]:
        """Return the store, encoder, counts, times, size and thresholds of the gallery."""
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
        """Check the gallery for damage, and return one sentence for each problem.

        Every picture is read and compared with its id.
        """
        wrong = self.store.check()
        try:
            self.embedder()
        except (StoreError, CheckpointError) as error:
            wrong.append(str(error))
        for crop in self.store.select():
            content = self.store.picture(crop.id)
            if content is not None and id_of(content) != crop.id:
                wrong.append(f"The picture of crop {crop.id} is damaged. Restore it from a backup.")
        return wrong

    def _found(self, ids: Iterable[str]) -> list[Crop]:
        wanted = list(dict.fromkeys([ids] if isinstance(ids, str) else ids))
        found = self.store.crops(wanted)
        if lost := [id for id in wanted if id not in found]:
            raise StoreError(
                f"There is no crop {some(lost)} in {self.folder}. It may have been deleted. "
                "`reseen gallery export` lists all crops."
            )
        if not wanted:
            raise SettingsError("No crop is given. Give one or more ids of crops.")
        return [found[id] for id in wanted]

    def _of(self, name: str) -> list[Crop]:
        found = self.store.select(Filter(person=name))
        if not found:
            raise unknown_word(name, "person", (person.name for person in self.people()))
        return found


def _attempted(
    pool: ThreadPoolExecutor, do: Callable[[Any], Any], items: Sequence[Any], broken: dict[int, str]
) -> dict[int, Any]:
    """Process pictures in threads; return results by position, and record what is broken."""
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
