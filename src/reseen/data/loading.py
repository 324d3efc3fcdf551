"""From records to pixels: decoded once and kept when they fit, read ahead by threads otherwise."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from os import cpu_count
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from reseen.data.pictures import open_picture
from reseen.errors import DataError, SettingsError
from reseen.records import Image

AHEAD = 4
"""Batches that threads read ahead."""


def decode(path: Path, height: int, width: int) -> np.ndarray:
    """Read one picture as RGB: (3, height, width) uint8, upright, resized bicubically if needed.

    Raises:
        OSError: missing, truncated, or not a picture.
    """
    picture = open_picture(path)
    if picture.size != (width, height):
        picture = picture.resize((width, height), PIL.Image.Resampling.BICUBIC)
    return np.array(picture).transpose(2, 0, 1)


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How pictures are read."""

    memory: float = 8.0
    """Gigabytes that decoded pictures may take; beyond it they are read anew each time."""
    workers: int = 0
    """Threads that read; 0 is one a core. No result depends on it."""
    skip_broken: bool = False
    """Go on without pictures that cannot be read, instead of stopping."""

    def __post_init__(self):
        if self.memory < 0 or self.workers < 0:
            raise SettingsError(
                f"memory is {self.memory} and workers is {self.workers}. Use 0 or more."
            )

    def fits(self, count: int, height: int, width: int) -> bool:
        """Say whether `count` decoded pictures may stay in memory."""
        return decoded_bytes(count, height, width) <= self.memory * 1e9


def decoded_bytes(count: int, height: int, width: int) -> int:
    """Give the memory that decoded pictures take, in bytes."""
    return count * 3 * height * width


class Crops:
    """The pixels of a list of images, (N, 3, H, W) uint8.

    Args:
        images: N records.
        height, width: H, W.
        loading: how they are read, and whether they are kept.
        track: wraps the first reading of all pictures to show its progress.

    Raises:
        DataError: pictures cannot be read; names every one of them and why.

    Memory: N * 3 * H * W bytes when kept, else a few batches.
    """

    def __init__(
        self,
        images: Sequence[Image],
        height: int,
        width: int,
        loading: Loading | None = None,
        *,
        track: Callable[[Iterable, int], Iterable] = lambda items, total: items,
    ):
        loading = loading or Loading()
        self.size = height, width
        self.pixels: Tensor | None = None
        self._workers = loading.workers or cpu_count() or 1
        if loading.fits(len(images), height, width):
            self.pixels = torch.empty(len(images), 3, height, width, dtype=torch.uint8)
        broken = self._read_all(images, track)
        if broken and (not loading.skip_broken or len(broken) == len(images)):
            raise DataError(_broken(broken, len(images)))
        if broken:
            sound = [i for i in range(len(images)) if i not in broken]
            images = [images[i] for i in sound]
            if self.pixels is not None:
                for to, i in enumerate(sound):  # in place: there may be no room for a copy
                    self.pixels[to] = self.pixels[i]
                self.pixels = self.pixels[: len(sound)]
        self.images = tuple(images)
        self.broken = [line for _, line in sorted(broken.items())]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def cameras(self) -> np.ndarray:
        """(N,) int64, the camera of each image, -1 where unknown."""
        return np.array([-1 if i.camera is None else i.camera for i in self.images], np.int64)

    def to(self, device: torch.device) -> "Crops":
        """Keep the decoded pixels on a GPU, when they take at most a quarter of what is free."""
        if self.pixels is not None and device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if self.pixels.numel() <= free / 4:
                self.pixels = self.pixels.to(device)
        return self

    def batches(self, order: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Give each array of positions (B,) with its pixels (B, 3, H, W), read ahead if need be."""
        if self.pixels is not None:
            for positions in order:
                first, last = int(positions[0]), int(positions[-1])
                if last - first + 1 == len(positions) and (np.diff(positions) == 1).all():
                    yield positions, self.pixels[first : last + 1]  # as extraction asks: no copy
                else:
                    yield positions, self.pixels[torch.from_numpy(positions)]
            return
        with ThreadPoolExecutor(self._workers) as pool:
            yield from self._read_ahead(iter(order), pool)

    def _read_ahead(
        self, order: Iterator[np.ndarray], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        waiting = deque[tuple[np.ndarray, list[Future]]]()
        while True:
            for positions in islice(order, AHEAD - len(waiting)):
                paths = [self.images[i].path for i in positions]
                read = [pool.submit(decode, path, *self.size) for path in paths]
                waiting.append((positions, read))
            if not waiting:
                return
            positions, read = waiting.popleft()
            yield positions, torch.from_numpy(np.stack([_result(done) for done in read]))

    def _read_all(self, images: Sequence[Image], track: Callable) -> dict[int, str]:
        broken: dict[int, str] = {}

        def read(i: int) -> None:
            try:
                pixels = decode(images[i].path, *self.size)
                if self.pixels is not None:
                    self.pixels[i] = torch.from_numpy(pixels)
            except OSError as error:
                broken[i] = f"{images[i].path}: {error}"

        with ThreadPoolExecutor(self._workers) as pool:
            for _ in track(pool.map(read, range(len(images))), len(images)):
                pass
        return broken


def _result(done: Future) -> np.ndarray:
    try:
        return done.result()
    except OSError as error:
        raise DataError(
            f"A picture that could be read before cannot be read any more: {error}. Bring it back; "
            "the same command goes on from the last round."
        ) from error


def _broken(broken: dict[int, str], total: int) -> str:
    lines = "\n  ".join(line for _, line in sorted(broken.items()))
    return (
        f"{len(broken)} of {total} pictures cannot be read:\n  {lines}\n"
        + "Replace or remove them"
        + (", or go on without them (--skip-broken)." if len(broken) < total else ".")
    )
