"""Commands that use what was trained: `reseen evaluate`, `attention-share`, `extract` and more."""

from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter
from rich.table import Table

from reseen import training
from reseen.cli.output import show
from reseen.cluster.density import EPS, sweep
from reseen.data.loading import Loading
from reseen.data.reading import read
from reseen.engine import extract as extraction
from reseen.engine.attention import attention_on_person
from reseen.engine.device import Device
from reseen.engine.files import written
from reseen.engine.variants import Variant, published
from reseen.errors import DataError, SettingsError
from reseen.methods import METHODS, VARIANTS
from reseen.records import distinct


def evaluate(
    run: Path,
    data: Path,
    *,
    rerank: bool = False,
    best: bool = False,
    format: str = "auto",
    pattern: str | None = None,
    device: Device = Device(),  # noqa: B008 (frozen)
    loading: Annotated[Loading, Parameter(name="*")] = Loading(),  # noqa: B008 (frozen)
) -> None:
    """Search the gallery of a data set with the encoder of a run and print how well it went.

    Parameters
    ----------
    run
        Folder of a run, or one of its checkpoints.
    data
        Folder with queries and a gallery.
    rerank
        Re-rank by k-reciprocal encoding (slower, usually higher mAP).
    best
        Use the round that was best on the test set instead of the last one.
    format
        auto, market1501, dukemtmc, msmt17, personx, cuhk03, mars, dukevideo, folder or
        tracklets.
    pattern
        How file names are made, for a plain folder: {camera}_{person}_{_}.jpg.
    """
    dataset = read(data, format=format, pattern=pattern)
    encoder = training.load(run, best=best, device=device)
    ranking = training.evaluate(encoder, dataset, rerank=rerank, loading=loading)
    table = Table(title=f"{run} on {dataset.name}", title_justify="left", box=None)
    numbers = ranking.summary()
    for name in numbers:
        table.add_column(name, justify="right")
    table.add_row(*(f"{number:.1%}" for number in numbers.values()))
    console = show(table)
    if ranking.skipped:
        console.print(f"{ranking.skipped} queries have no match and are left out.")


def attention_share(
    run: Path,
    folder: Path,
    *,
    best: bool = False,
    device: Device = Device(),  # noqa: B008 (frozen)
    loading: Annotated[Loading, Parameter(name="*")] = Loading(),  # noqa: B008 (frozen)
) -> None:
    """Print the share of a run's attention that lies on the person, before and after training.

    Beside it stands the share of the area that the person covers, which looking nowhere in
    particular would give. Maps: the energy before attention, the weights of each module, the energy
    after it, and that of the last map; without attention, of the last map only.

    Parameters
    ----------
    run
        Folder of a run.
    folder
        A town that `reseen data invent` drew, with masks.
    best
        Use the round that was best on the test set instead of the last one.
    """
    dataset = read(folder)
    images = distinct(dataset.train, dataset.query, dataset.gallery)
    people = [image for image in images if (image.person or 0) > 0]
    trained = training.load(run, best=best, device=device)
    crops = extraction.load(people, trained, loading)
    after = attention_on_person(trained, crops, folder)
    before = attention_on_person(training.untrained(run, device=device), crops, folder)
    title = f"{run} on {dataset.name}, share on the person"
    table = Table(title=title, title_justify="left", box=None)
    for name in ("map", "area", "untrained", "trained"):
        table.add_column(name, justify="left" if name == "map" else "right")
    for name, (share, area) in after.items():
        table.add_row(name, *(f"{number:.1%}" for number in (area, before[name][0], share)))
    console = show(table)
    if not trained.settings.attention:
        console.print("This encoder has no attention: the energy of its last map stands alone.")


def extract(
    run: Path,
    images: Path,
    *,
    out: Path,
    best: bool = False,
    format: str = "auto",
    pattern: str | None = None,
    device: Device = Device(),  # noqa: B008 (frozen)
    loading: Annotated[Loading, Parameter(name="*")] = Loading(),  # noqa: B008 (frozen)
) -> None:
    """Write the features of all images of a folder: a .npz with `features` and `paths`.

    Parameters
    ----------
    run
        Folder of a run, or one of its checkpoints.
    images
        Folder or manifest of crops.
    out
        The .npz file to write: features (N, D) float32 unit rows, paths (N,).
    best
        Use the round that was best on the test set instead of the last one.
    format
        auto, market1501, dukemtmc, msmt17, personx, cuhk03, mars, dukevideo, folder or
        tracklets.
    pattern
        How file names are made, for a plain folder: {camera}_{person}_{_}.jpg.
    """
    dataset = read(images, format=format, pattern=pattern)
    encoder = training.load(run, best=best, device=device)
    found = distinct(dataset.train, dataset.query, dataset.gallery)
    features, kept = training.extract(encoder, found, loading=loading)
    with written(out) as file:
        np.savez(file, features=features, paths=np.array([str(image.path) for image in kept]))
    print(f"{len(features)} features of {features.shape[1]} numbers each in {out}")


def choose_eps(
    features: Path,
    *,
    at: tuple[float, ...] = EPS,
    k1: int = 30,
    k2: int = 6,
    min_samples: int = 4,
) -> None:
    """Say how many clusters DBSCAN finds at each of several eps, and suggest one.

    Parameters
    ----------
    features
        What `reseen extract` wrote.
    at
        The eps to try.
    k1
        Neighbours of which reciprocal ones describe an image.
    k2
        Neighbours over which descriptions are averaged.
    min_samples
        Images within eps that make a core point.
    """
    found = sweep(_features(features), at, k1=k1, k2=k2, min_samples=min_samples)
    print(found)
    print("Suggested:", found.suggest()[1])


def _features(path: Path) -> np.ndarray:
    """Read the features (N, D) that `extract` wrote."""
    if not path.is_file():
        raise DataError(f"{path} is not a file. Give one that `reseen extract` wrote.")
    try:
        with np.load(path) as file:
            rows = file["features"]
        sound = rows.ndim == 2 and rows.dtype.kind == "f" and bool(np.isfinite(rows).all())
    except PermissionError:
        raise
    except Exception:  # damage can make numpy raise nearly anything
        sound, rows = False, np.empty(0)
    if not sound:
        raise DataError(
            f"{path} is damaged or holds no features. Give a file that `reseen extract` wrote."
        )
    return rows


def methods(method: str | None = None, /) -> None:
    """List the methods that `reseen train` knows, or the variants of one.

    Parameters
    ----------
    method
        Lists its variants: what each changes, and what was published for it.
    """
    if method is None:
        for name, kind in METHODS.items():
            print(f"{name:20} {(kind.__doc__ or '').splitlines()[0]}")
        return
    if method not in METHODS:
        raise SettingsError(f"No method is called {method!r}. Use one of: {', '.join(METHODS)}.")
    variants = VARIANTS.get(method, {})
    for title in dict.fromkeys(title for v in variants.values() for title in v.tables):
        print(f"{title}: published mAP / rank-1 in percent")
        for name, variant in variants.items():
            if title in variant.tables:
                print(f"  {name:20} {_told(variant)}")


def _told(variant: Variant) -> str:
    changes = ", ".join(f"{name} {value}" for name, value in variant.settings.items())
    numbers = (f"{where} {published(variant, where)}" for where in variant.published)
    return "; ".join(filter(None, (changes or "defaults", *numbers, variant.note)))
