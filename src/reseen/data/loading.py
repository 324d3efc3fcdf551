"""From records to pixels: decoded once and kept if they fit, otherwise read ahead by threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, islice
from os import cpu_count
from pathlib import Path
from zlib import crc32

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor

from reseen.data.pictures import BrokenPictureError, open_picture, read_jpeg
from reseen.errors import DataError, SettingsError, counted
from reseen.records import Image, cameras_of
from reseen.transfer import send

SHOWN = 20
"""Number of broken pictures that an error names; the rest are counted."""
MAPPED = 4096
"""Number of pictures that are submitted to threads at a time."""
AHEAD = 4
"""Number of batches that threads read ahead."""
Rows = Callable[[int], slice]
"""Returns the rows to read of a batch with this number of images, as `Encoder.rows` does."""


def decode(path: Path, height: int, width: int) -> np.ndarray:
    """Read one picture as RGB: (3, height, width) uint8, upright, resized bicubically if needed.

    Raises:
        BrokenPictureError: it is missing, truncated, or not a picture.
        OSError: the system is at fault, for example because too many files are open.
    """
    pixels = read_jpeg(path)
    return resized(open_picture(path) if pixels is None else pixels, height, width)


def resized(picture: PIL.Image.Image | np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the pixels of an RGB picture, or of (3, H, W) uint8, as `decode` does."""
    if isinstance(picture, PIL.Image.Image):
        picture = np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))
    if picture.shape[1:] == (height, width):
        return picture
    if (2 * picture.shape[1], 2 * picture.shape[2]) == (height, width):
        # torch copies Pillow's pixels in half of the time, but rounds differently when it resizes
        one = torch.from_numpy(picture)[None]
        return F.interpolate(one, (height, width), mode="bicubic", antialias=True)[0].numpy()
    whole = PIL.Image.fromarray(picture.transpose(1, 2, 0))
    whole = whole.resize((width, height), PIL.Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(whole).transpose(2, 0, 1))


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How pictures are read."""

    memory: float = 8.0
    """Memory for decoded images, in gigabytes. If they do not fit, they are read from disk each
    time."""
    workers: int = 0
    """Number of threads that read images; 0 is one per core. Results do not depend on it."""
    skip_broken: bool = False
    """Skip images that cannot be read, instead of stopping."""
    frames: int = 0
    """Number of evenly spaced frames whose mean is the feature of a tracklet; 0 uses all frames."""

    def __post_init__(self):
        if self.memory < 0 or self.workers < 0 or self.frames < 0:
            raise SettingsError(
                f"memory is {self.memory}, workers is {self.workers} and frames is {self.frames}. "
                "Use 0 or more."
            )

    def fits(self, count: int, height: int, width: int) -> bool:
        """Return whether `count` decoded pictures may be kept in memory."""
        return decoded_bytes(count, height, width) <= self.memory * 1e9


def evenly(count: int, most: int) -> np.ndarray:
    """Return the middles of `most` equal parts of 0..count-1, or all if there are no more."""
    if not most or count <= most:
        return np.arange(count)
    return (2 * np.arange(most) + 1) * count // (2 * most)


def thin(image: Image, most: int) -> Image:
    """Return a tracklet with at most `most` of its frames, evenly spaced; 0 keeps all."""
    if not most or len(image.frames) <= most:
        return image
    return replace(image, frames=tuple(image.frames[i] for i in evenly(len(image.frames), most)))


def decoded_bytes(count: int, height: int, width: int) -> int:
    """Return the size of decoded pictures in bytes."""
    return count * 3 * height * width


class Crops:
    """The pixels of a list of images, (N, 3, H, W) uint8, or of the frames of tracklets.

    Args:
        images: N records.
        height, width: H, W.
        loading: how they are read, and whether they are kept.
        track: wraps the first reading of all pictures to show its progress.
        chance: for training, makes the generator that draws frames of tracklets, a new one for each
            call of `batches`.
        pictures: RGB pictures in memory, to be used instead of the files at their paths.

    Attributes:
        checksums: (N,) int64, for training: of the bytes of each image's files.
        scratch: a folder for derived arrays that are too large for memory, if any.

    Raises:
        DataError: pictures cannot be read; names the first SHOWN of them and the reasons.
        OSError: the system is at fault, for example because too many files are open.

    Memory: 3 * H * W bytes for each picture if they are kept, otherwise a few batches.
    """

    def __init__(
        self,
        images: Sequence[Image],
        height: int,
        width: int,
        loading: Loading | None = None,
        *,
        track: Callable[[Iterable, int], Iterable] = lambda items, total: items,
        chance: Callable[[], np.random.Generator] | None = None,
        pictures: Mapping[Path, PIL.Image.Image] | None = None,
    ):
        loading = loading or Loading()
        paths = [path for image in images for path in image.paths]
        self.size = height, width
        self.scratch: Path | None = None
        self.pixels: Tensor | None = None
        self._pictures = pictures or {}
        self._workers = loading.workers or cpu_count() or 1
        if loading.fits(len(paths), height, width):
            self.pixels = torch.empty(len(paths), 3, height, width, dtype=torch.uint8)
        sums = np.zeros(len(paths), np.int64)
        broken = self._read_all(paths, track, None if chance is None else sums)
        if broken and (not loading.skip_broken or len(broken) == len(paths)):
            raise DataError(_broken(broken, len(paths)))
        if broken:
            sound = [i for i in range(len(paths)) if i not in broken]
            images = _without(images, {paths[i] for i in broken})
            paths = [paths[i] for i in sound]
            sums = sums[sound]
            if self.pixels is not None:
                for to, i in enumerate(sound):  # in place: there may be no memory for a copy
                    self.pixels[to] = self.pixels[i]
                self.pixels = self.pixels[: len(sound)]
        self.images = tuple(images)
        self.broken = [line for _, line in sorted(broken.items())]
        self.tracklets = any(image.frames for image in images)
        self._paths = paths
        self._chance = chance
        self._counts = np.array([len(image.frames) or 1 for image in images], np.int64)
        self._starts = np.cumsum(self._counts) - self._counts  # where the frames of each begin
        parts = zip(self._starts, self._counts, strict=True) if chance else ()
        self.checksums = np.array([crc32(sums[i : i + n].tobytes()) for i, n in parts], np.int64)
        picked = [evenly(count, loading.frames) for count in self._counts]
        self.owners = np.repeat(np.arange(len(images)), [len(places) for places in picked])
        """(M,) the image of each of the frames from which features are computed, ascending."""
        self._rows = np.concatenate([np.empty(0, np.int64), *picked]) + self._starts[self.owners]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def cameras(self) -> np.ndarray:
        """(N,) int64, the camera of each image, -1 if unknown."""
        return cameras_of(self.images)

    def to(self, device: torch.device) -> "Crops":
        """Keep the decoded pixels on a GPU if they take at most a quarter of its free memory."""
        if self.pixels is not None and device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if self.pixels.numel() <= free / 4:
                self.pixels = self.pixels.to(device)
        return self

    def batches(
        self, order: Iterable[np.ndarray], rows: Rows | None = None
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yield each array of positions (B,) with its pixels (B, 3, H, W), read ahead if necessary.

        For a tracklet, one frame is drawn each time that it occurs.

        Args:
            order: positions of each batch.
            rows: which rows of a batch are needed; the content of the others is undefined.
        """
        if not self.tracklets:
            return self._read(((positions, positions) for positions in order), rows)
        if self._chance is None:
            raise ValueError("batches draws frames of tracklets, for which Crops needs chance")
        rng = self._chance()
        drawn = ((p, self._starts[p] + rng.integers(self._counts[p])) for p in order)
        return self._read(drawn, rows)

    def frames(
        self, order: Iterable[np.ndarray], rows: Rows | None = None
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yield the frames from which features are computed: places in `owners`, and their pixels.

        Args:
            order: places (B,) of each batch; pixels are (B, 3, H, W).
            rows: as in `batches`.
        """
        return self._read(((places, self._rows[places]) for places in order), rows)

    def _read(
        self, order: Iterator[tuple[np.ndarray, np.ndarray]], wanted: Rows | None
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yield each array of `order` with the pixels of its rows."""
        if self.pixels is not None:
            for positions, rows in order:
                first, last = int(rows[0]), int(rows[-1])
                if last - first + 1 == len(rows) and (np.diff(rows) == 1).all():
                    yield positions, self.pixels[first : last + 1]  # as in extraction: no copy
                else:
                    yield positions, self.pixels[send(rows, self.pixels.device)]
            return
        with ThreadPoolExecutor(self._workers) as pool:
            yield from self._read_ahead(order, pool, wanted or (lambda count: slice(0, count)))

    def _read_ahead(
        self,
        order: Iterator[tuple[np.ndarray, np.ndarray]],
        pool: ThreadPoolExecutor,
        wanted: Rows,
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        waiting = deque[tuple[np.ndarray, list[Future]]]()
        while True:
            for positions, rows in islice(order, AHEAD - len(waiting)):
                some = rows[wanted(len(rows))]
                read = [pool.submit(self._decode, self._paths[i]) for i in some]
                waiting.append((positions, read))
            if not waiting:
                return
            positions, read = waiting.popleft()
            pixels = np.empty((len(positions), 3, *self.size), np.uint8)
            np.stack([_result(done) for done in read], out=pixels[wanted(len(positions))])
            yield positions, torch.from_numpy(pixels)

    def _decode(self, path: Path) -> np.ndarray:
        picture = self._pictures.get(path)
        return decode(path, *self.size) if picture is None else resized(picture, *self.size)

    def _read_all(
        self, paths: Sequence[Path], track: Callable, sums: np.ndarray | None
    ) -> dict[int, str]:
        broken: dict[int, str] = {}

        def read(i: int) -> None:
            try:
                pixels = self._decode(paths[i])
                if self.pixels is not None:
                    self.pixels[i] = torch.from_numpy(pixels)
                if sums is not None:
                    sums[i] = crc32(paths[i].read_bytes())
            except BrokenPictureError as error:
                broken[i] = f"{paths[i]}: {error}"

        with ThreadPoolExecutor(self._workers) as pool:
            starts = range(0, len(paths), MAPPED)  # each submitted read takes a kilobyte
            parts = (pool.map(read, range(s, min(s + MAPPED, len(paths)))) for s in starts)
            for _ in track(chain.from_iterable(parts), len(paths)):
                pass
        return broken


def _without(images: Iterable[Image], lost: set[Path]) -> list[Image]:
    """Leave out pictures: frames of a tracklet, or the whole tracklet if none is left."""
    left = []
    for image in images:
        sound = tuple(path.name for path in image.paths if path not in lost)
        if sound:
            left.append(replace(image, frames=sound) if image.frames else image)
    return left


def _result(done: Future) -> np.ndarray:
    try:
        return done.result()
    except BrokenPictureError as error:
        raise DataError(
            f"A picture that could be read before cannot be read any more: {error}. Restore it and "
            "run the same command again to resume."
        ) from error


def _broken(broken: dict[int, str], total: int) -> str:
    if total == 1:
        return f"The picture cannot be read: {broken[0]}. Replace it, or give another."
    lines = "\n  ".join(line for _, line in sorted(broken.items())[:SHOWN])
    if len(broken) > SHOWN:
        lines += f"\n  ... and {len(broken) - SHOWN} more"
    return (
        f"{len(broken)} of {counted(total, 'picture')} cannot be read:\n  {lines}\n"
        + "Replace or remove them"
        + (", or continue without them (--skip-broken)." if len(broken) < total else ".")
    )
