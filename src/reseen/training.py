"""The one call that joins a method, data and a folder."""

from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Protocol

from reseen.data.loading import Loading
from reseen.data.reading import read
from reseen.engine.device import Device
from reseen.engine.evaluate import Judge
from reseen.engine.progress import Screen
from reseen.engine.run import Run, digest
from reseen.errors import DataError
from reseen.nets.encoder import Encoder
from reseen.records import Dataset, Image


class Method(Protocol):
    """What can be trained: any object with `fit`; its settings are kept if it is a dataclass."""

    def fit(self, images: tuple[Image, ...], run: Run) -> Encoder:
        """Learn from images whose people are withheld."""
        ...


def train(
    method: Method,
    data: Dataset | Path | str,
    folder: Path | str,
    *,
    seed: int = 0,
    device: Device | None = None,
    evaluate_every: int = 5,
    loading: Loading | None = None,
    quiet: bool = False,
) -> Encoder:
    """Train a method on data and keep everything in a folder; the same call resumes.

    People in the data, where they are known, only judge: the method gets the images without them,
    shuffled.

    Args:
        method: settings with `fit`, such as `ClusterContrast(epochs=20)`.
        data: a data set, or a folder that `read` understands.
        folder: the run's; new, or holding the same run.
        seed: root of every random draw.
        device: where to compute.
        evaluate_every: rounds between two searches of the gallery; 0 searches after the last only.
        loading: how pictures are read.
        quiet: say nothing.

    Returns:
        The encoder of the last round.

    Raises:
        DataError, SettingsError, ClusteringError, CheckpointError: see each.
    """
    dataset = data if isinstance(data, Dataset) else read(Path(data))
    if not dataset.train:
        raise DataError(f"{dataset.root} has no training images.")
    facts: dict[str, Any] = {
        "method": type(method).__name__,
        "settings": asdict(method) if is_dataclass(method) else {},  # pyright: ignore[reportArgumentType]
        "data": {
            "name": dataset.name,
            "images": len(dataset.train),
            "digest": digest(dataset.train, dataset.root),
        },
    }
    screen = Screen(quiet)
    run = Run(
        Path(folder),
        facts,
        seed=seed,
        device=device,
        judge=Judge(dataset, loading, screen),
        evaluate_every=evaluate_every,
        loading=loading,
        screen=screen,
    )
    return method.fit(dataset.unlabelled(seed), run)
