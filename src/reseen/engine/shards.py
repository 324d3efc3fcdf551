"""Features of very many images: computed in parts, which are saved one by one and then joined.

A part contains SHARD consecutive images, in one file. Parts that exist are not computed again, so
that an extraction that was stopped, also by kill -9, can be resumed. Several processes share the
parts: each computes every n-th of them. The parts do not depend on the number of processes.
Pictures are read when they are needed, so memory does not grow with their number.
"""

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from math import inf
from pathlib import Path

import numpy as np
import torch

from reseen.data.loading import Crops, Loading, decoded_bytes
from reseen.engine import processes
from reseen.engine.extract import default_batch, extract, load
from reseen.engine.files import write_text, written
from reseen.engine.progress import QUIET, Screen
from reseen.errors import DataError, SettingsError
from reseen.nets.encoder import AnyEncoder, Encoder
from reseen.records import Image

SHARD = 4096
"""Images in a part."""
DECODED = 1 << 26
"""Bytes of decoded pictures that are read at a time."""

Rows = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Changes features (n, D) of the images at positions (n,)."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A folder of parts, and what it holds.

    Args:
        folder: where the parts are, beside the file into which they are joined.
        images: N records, in order.
        loading: how they are read.
    """

    folder: Path
    images: Sequence[Image]
    loading: Loading

    @property
    def files(self) -> list[Path]:
        """The file of each part."""
        count = -(-len(self.images) // SHARD)
        return [self.folder / f"{number:06d}.npz" for number in range(count)]

    def pieces(self, number: int, encoder: AnyEncoder) -> list[slice]:
        """Return slices of a part that are read at a time: whole batches, if these are pictures.

        The batches, and so the features, are then the same as with all images in memory. A rest
        that does not fill a batch is added to the slice before it.
        """
        batch = default_batch(encoder)
        first, last = number * SHARD, min((number + 1) * SHARD, len(self.images))
        each = decoded_bytes(1, encoder.settings.height, encoder.settings.width)
        most = max((len(i.frames) for i in self.images[first:last]), default=0)
        frames = min(most, self.loading.frames or most) or 1
        step = max(1, DECODED // (each * frames * batch)) * batch
        starts = list(range(first, last, step))
        if len(starts) > 1 and last - starts[-1] < batch:
            starts.pop()
        return [slice(a, b) for a, b in zip(starts, [*starts[1:], last], strict=True)]


def parts_of(out: Path) -> Path:
    """Return the folder that holds the parts of a file of features until it is complete."""
    return out.with_name(out.name + ".parts")


def extract_in_parts(
    encoder: AnyEncoder,
    images: Sequence[Image],
    out: Path,
    *,
    loading: Loading | None = None,
    screen: Screen = QUIET,
    change: Rows = lambda rows, positions: rows,
    more: dict[str, np.ndarray] | None = None,
) -> tuple[int, int]:
    """Write the features of any number of images to a .npz file.

    If several processes work together, all of them call it; the first joins the parts.

    Args:
        encoder: computes the features; the same in every process.
        images: N records.
        out: the .npz file: features (M, D) float32 unit rows, paths (M,), and `more`. M is N
            minus the pictures that cannot be read, if those are left out.
        loading: how pictures are read.
        screen: prints messages and progress.
        change: applied to features when the parts are joined, such as centring.
        more: other arrays for the file.

    Returns:
        M and D.

    Raises:
        DataError: pictures cannot be read; finished parts are kept.
        SettingsError: the folder of parts belongs to other features.

    Memory: two slices of DECODED bytes, and the features of a part; never N x D.
    """
    parts = Parts(parts_of(out), images, loading or Loading())
    screen = screen if processes.first() else QUIET
    processes.once(_claim, parts, encoder)
    missing = [number for number, path in enumerate(parts.files) if not path.exists()]
    missing = processes.everywhere(missing)[0]  # others may have started already
    if len(missing) < len(parts.files):
        there = len(parts.files) - len(missing)
        screen.say(f"{there} of {len(parts.files)} parts are finished already, in {parts.folder}")
    mine = missing[processes.rank() :: processes.world()]
    pieces = [(number, piece) for number in mine for piece in parts.pieces(number, encoder)]
    found: list[tuple[np.ndarray, np.ndarray]] = []
    read = _read(encoder, parts, [piece for _, piece in pieces], screen)
    for place, (number, _) in enumerate(screen.track("extracting")(pieces, len(pieces))):
        positions, crops = next(read)
        found.append((positions, extract(encoder, crops) if crops else np.empty((0, 0))))
        if place + 1 == len(pieces) or pieces[place + 1][0] != number:
            rows = [features for _, features in found if len(features)]
            with written(parts.files[number]) as file:
                np.savez(
                    file,
                    positions=np.concatenate([places for places, _ in found]),
                    features=np.concatenate(rows) if rows else np.empty((0, 0), np.float32),
                )
            found = []
    processes.barrier()
    count, size = processes.once(_join, parts, out, change, more or {})
    if processes.first():
        shutil.rmtree(parts.folder)
    return count, size


def _read(
    encoder: AnyEncoder, parts: Parts, pieces: Sequence[slice], screen: Screen
) -> Iterator[tuple[np.ndarray, Crops | None]]:
    """Read slices of images, each while the encoder works on the one before.

    Yields:
        (n,) positions of those that can be read, and their crops; None if there are none.
    """
    loading = replace(parts.loading, memory=inf)

    def read(piece: slice) -> tuple[np.ndarray, Crops | None]:
        images = parts.images[piece]
        try:
            crops = load(images, encoder, loading)
        except DataError:
            if not loading.skip_broken:
                raise
            return np.empty(0, np.int64), None
        place = {image.path: n for n, image in enumerate(images, piece.start)}
        return np.array([place[image.path] for image in crops.images]), crops

    with ThreadPoolExecutor(1) as pool:
        ahead = [pool.submit(read, piece) for piece in pieces[:1]]
        for following in [*pieces[1:], None]:
            if not ahead:
                return
            positions, crops = ahead.pop().result()
            if following is not None:
                ahead.append(pool.submit(read, following))
            for line in crops.broken if crops else ("a whole slice of pictures",):
                screen.say(f"  left out, cannot be read: {line}")
            yield positions, crops


def _claim(parts: Parts, encoder: AnyEncoder) -> None:
    """Create the folder of parts, or check that its parts are of the same features."""
    names = sha256()
    for image in parts.images:
        line = " ".join([image.path.as_posix(), *image.frames])
        names.update(line.encode(errors="surrogateescape") + b"\n")
    facts = {
        "images": names.hexdigest(),
        "encoder": _digest(encoder),
        "frames": parts.loading.frames,
        "skip_broken": parts.loading.skip_broken,
        "shard": SHARD,
    }
    path = parts.folder / "parts.json"
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            before = {}
        other = [name for name in facts if before.get(name) != facts[name]]
        if other:
            raise SettingsError(
                f"{parts.folder} holds parts of other features ({', '.join(other)} differ). Use "
                "the same settings and data to resume, remove it, or give another --out."
            )
        return
    if parts.folder.exists() and any(parts.folder.iterdir()):
        raise SettingsError(f"{parts.folder} is not empty and holds no parts. Give another --out.")
    write_text(path, json.dumps(facts, indent=2) + "\n")


def _digest(encoder: AnyEncoder) -> str:
    """Return a short digest of everything that determines an encoder's features."""
    found = sha256(repr(encoder.settings).encode())
    if isinstance(encoder, Encoder):
        for name, tensor in encoder.state_dict().items():
            found.update(name.encode())
            found.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        found.update(encoder.precision.encode())
    elif path := getattr(encoder, "path", None):
        found.update(Path(path).read_bytes())
    return found.hexdigest()


def _join(parts: Parts, out: Path, change: Rows, more: dict[str, np.ndarray]) -> tuple[int, int]:
    """Join all parts in one file, with one part in memory at a time."""
    positions, widths = [], set[int]()
    for path in parts.files:
        features, places = _read_part(path)
        positions.append(places)
        widths |= {features.shape[1]} if len(places) else set()
    every = np.concatenate(positions)
    if not len(every):
        raise DataError("None of the pictures can be read.")

    def path_of(i: int) -> str:
        return str(parts.images[i].path.absolute())

    def paths() -> Iterator[np.ndarray]:
        return (np.array([path_of(i) for i in places], longest) for places in positions)

    def features_of() -> Iterator[np.ndarray]:
        for path in parts.files:
            features, places = _read_part(path)
            yield change(features, places) if len(places) else features

    longest = np.dtype(f"U{max(len(path_of(i)) for i in every)}")
    shape = len(every), widths.pop()
    arrays = {
        "features": (features_of(), np.dtype(np.float32), shape),
        "paths": (paths(), longest, shape[:1]),
        **{name: ([of], of.dtype, of.shape) for name, of in more.items()},
    }
    with written(out) as file, zipfile.ZipFile(file, "w", allowZip64=True) as archive:
        for name, (blocks, kind, size) in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                head = {"descr": kind.str, "fortran_order": False, "shape": size}
                np.lib.format.write_array_header_2_0(entry, head)
                for block in blocks:
                    entry.write(np.ascontiguousarray(block, kind).tobytes())
    return shape


def _read_part(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the features (n, D) of a part, and the positions (n,) of their images.

    Raises:
        DataError: it is damaged or missing.
    """
    try:
        with path.open("rb") as file, np.load(file) as part:
            return part["features"], part["positions"]
    except PermissionError:
        raise
    except FileNotFoundError as error:
        raise DataError(
            f"{path} is missing. Processes on several machines need a folder that all of them "
            "see; otherwise, run the same command again to compute it."
        ) from error
    except Exception as error:  # numpy raises nearly any error for a damaged file
        raise DataError(
            f"{path} is damaged. Remove it, and run the same command again to compute it."
        ) from error
