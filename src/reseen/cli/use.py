"""Commands that use what was trained: `reseen evaluate`, `attention-share`, `extract` and more."""

import shutil
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter
from rich.table import Table

from reseen import training
from reseen.cli.output import AsJson, Out, Quiet, give
from reseen.cluster.density import EPS, sweep
from reseen.data.loading import Loading
from reseen.data.reading import read
from reseen.engine import extract as extraction
from reseen.engine import processes
from reseen.engine.attention import attention_on_person
from reseen.engine.device import Device
from reseen.engine.files import check_out, refuse_inside
from reseen.engine.progress import Screen
from reseen.engine.variants import Variant, published
from reseen.errors import DataError, SettingsError, counted
from reseen.kernels.centring import CENTRINGS
from reseen.methods import METHODS
from reseen.published import VARIANTS
from reseen.records import camera_names, distinct


def evaluate(
    run: Path,
    data: Path,
    /,
    *,
    rerank: bool = False,
    centring: str | None = None,
    centring_from: Path | None = None,
    best: bool = False,
    adapt_norm: Path | None = None,
    format: str = "auto",
    pattern: str | None = None,
    folders: str = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
    device: Device = Device(),  # noqa: B008 (frozen)
    loading: Annotated[Loading, Parameter(name="*")] = Loading(),  # noqa: B008 (frozen)
) -> None:
    """Evaluate the encoder of a run on the queries and gallery of a data set.

    Parameters
    ----------
    run
        Folder of a run, one of its checkpoints, a file written by `reseen export`, or reseen-tiny,
        the encoder that comes with reseen.
    data
        Folder of a data set that has queries and a gallery.
    rerank
        Re-rank by k-reciprocal encoding, which is slower and usually gives a higher mAP.
    centring
        How to centre the features of each camera, using the camera statistics of the run: mean
        (subtract the mean), deviation (also divide by the standard deviation) or off. By default
        all three are evaluated if the run knows the cameras.
    centring_from
        Compute the camera statistics from the training crops of this folder instead.
    best
        Use the checkpoint that was best on the test set instead of the one of the last round.
    adapt_norm
        Images on which the batch-norm statistics of the encoder are recomputed first. Useful for an
        encoder that was not trained on images of this site.
    format
        Format of the data set: auto, folder, tracklets, or a benchmark: market1501, dukemtmc,
        msmt17, personx, cuhk03, market_like, veri776, by_person, mars or dukevideo.
    pattern
        Pattern of the file names in a plain folder, such as {camera}_{person}_{_}.jpg; {_} stands
        for any text.
    folders
        What each sub-folder of a plain folder stands for: person, camera, or auto (guess).
    """
    dataset = read(data, format=format, pattern=pattern, folders=folders)
    encoder = training.embedder(
        run, best=best, adapt_norm=adapt_norm, device=device, loading=loading, quiet=quiet
    )
    if centring_from is not None:
        site = read(centring_from, format=format, pattern=pattern, folders=folders)
        training.learn_cameras(encoder, site, loading=loading, quiet=quiet)
    learnt = encoder.camera_statistics.names if encoder.camera_statistics else ()
    seen = set(camera_names(dataset.query + dataset.gallery, dataset.cameras))
    known = [name for name in learnt if name in seen]
    ways = dict.fromkeys(("off", centring) if centring else CENTRINGS if known else ("off",))
    rankings = training.compare(
        encoder, dataset, tuple(ways), rerank=rerank, loading=loading, quiet=quiet
    )
    ranking = rankings[centring or "off"]
    numbers = {how: of.summary() for how, of in rankings.items()}
    table = Table(title=f"{run} on {dataset.name}", title_justify="left", box=None)
    told = len(ways) > 1
    for name in ("centring",) * told + tuple(ranking.summary()):
        table.add_column(name, justify="left" if name == "centring" else "right")
    for how, of in numbers.items():
        table.add_row(*(how,) * told, *(f"{number:.1%}" for number in of.values()))
    left_out = counted(ranking.skipped, "query has", "queries have")
    said = [f"{left_out} no match in the gallery and did not count."] if ranking.skipped else []
    if told:
        said.append(
            "Centring used the statistics of the training crops for these cameras: "
            f"{', '.join(known) or 'none'}. It is only meaningful if cameras of the same name are "
            "the same cameras here."
        )
    more = {"skipped": ranking.skipped} | ({"centring": numbers} if told else {})
    give(ranking.summary() | more, table, *said, as_json=as_json)


def attention_share(
    run: Path,
    folder: Path,
    /,
    *,
    best: bool = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    device: Device = Device(),  # noqa: B008 (frozen)
    loading: Annotated[Loading, Parameter(name="*")] = Loading(),  # noqa: B008 (frozen)
) -> None:
    """Print the share of the attention that falls on the person, before and after training.

    The share of the area that the person covers is printed for comparison: an encoder that looks
    everywhere equally would reach exactly that. With attention modules, the table has one row for
    the energy of the feature map before attention, one for the weights of each module, one for the
    energy after attention and one for the energy of the last feature map. Without attention modules
    it only has the last of these.

    Parameters
    ----------
    run
        Folder of a run.
    folder
        A data set of invented people, made by `reseen data invent`.
    best
        Use the checkpoint that was best on the test set instead of the one of the last round.
    """
    dataset = read(folder)
    images = distinct(dataset.train, dataset.query, dataset.gallery)
    people = [image for image in images if (image.person or 0) > 0]
    trained = training.load(run, best=best, device=device)
    crops = extraction.load(people, trained, loading, Screen(quiet))
    after = attention_on_person(trained, crops, folder)
    before = attention_on_person(training.untrained(run, device=device), crops, folder)
    title = f"{run} on {dataset.name}, share on the person"
    table = Table(title=title, title_justify="left", box=None)
    for name in ("map", "area", "untrained", "trained"):
        table.add_column(name, justify="left" if name == "map" else "right")
    maps = {
        name: {"area": area, "untrained": before[name][0], "trained": share}
        for name, (share, area) in after.items()
    }
    for name, shares in maps.items():
        table.add_row(name, *(f"{number:.1%}" for number in shares.values()))
    none = "This encoder has no attention modules, so only its last feature map is shown."
    give(maps, table, *([] if trained.settings.attention else [none]), as_json=as_json)


def extract(
    run: Path,
    images: Path,
    /,
    *,
    out: Out,
    centring: str = "off",
    centring_from: Path | None = None,
    camera: str | None = None,
    best: bool = False,
    adapt_norm: Path | None = None,
    format: str = "auto",
    pattern: str | None = None,
    folders: str = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
    device: Device = Device(),  # noqa: B008 (frozen)
    loading: Annotated[Loading, Parameter(name="*")] = Loading(),  # noqa: B008 (frozen)
) -> None:
    """Write the features of one image, or of all images in a folder, to a .npz file.

    The file holds `features`, a float32 array of shape (N, D) with rows of length 1, and `paths`,
    the N absolute paths of the images.

    More than 4,096 images are processed in parts, which are saved in FILE.npz.parts until all are
    finished. Run the same command again to resume after an interruption. torchrun
    --nproc-per-node 2 -m reseen extract ... shares the parts among processes.

    Parameters
    ----------
    run
        Folder of a run, one of its checkpoints, a file written by `reseen export`, or reseen-tiny,
        the encoder that comes with reseen.
    images
        Folder or manifest of crops, or one image.
    out
        The .npz file to write.
    centring
        How to centre the features of each camera, using the camera statistics of the run: mean
        (subtract the mean), deviation (also divide by the standard deviation) or off. Compare
        centred features only with features centred in the same way.
    centring_from
        Compute the camera statistics from the training crops of this folder instead.
    camera
        Camera to assume, for centring, if the data does not tell the camera of an image.
    best
        Use the checkpoint that was best on the test set instead of the one of the last round.
    adapt_norm
        Images on which the batch-norm statistics of the encoder are recomputed first. Useful for an
        encoder that was not trained on images of this site.
    format
        Format of the data set: auto, folder, tracklets, or a benchmark: market1501, dukemtmc,
        msmt17, personx, cuhk03, market_like, veri776, by_person, mars or dukevideo.
    pattern
        Pattern of the file names in a plain folder, such as {camera}_{person}_{_}.jpg; {_} stands
        for any text.
    folders
        What each sub-folder of a plain folder stands for: person, camera, or auto (guess).
    """
    check_out(out, ".npz", Screen(quiet))
    dataset = read(images, format=format, pattern=pattern, folders=folders)
    if images.is_dir():
        refuse_inside(out, images)
    encoder = training.embedder(
        run, best=best, adapt_norm=adapt_norm, device=device, loading=loading, quiet=quiet
    )
    if centring_from is not None:
        site = read(centring_from, format=format, pattern=pattern, folders=folders)
        training.learn_cameras(encoder, site, loading=loading, quiet=quiet)
    count, size = training.extract_to(
        encoder, dataset, out, centring=centring, camera=camera, loading=loading, quiet=quiet
    )
    if not processes.first():
        return
    said = f"wrote {counted(count, 'feature')} with {counted(size, 'dimension')} each to {out}"
    give({"features": count, "size": size, "file": str(out)}, said, as_json=as_json)


def choose_eps(
    features: Path,
    data: Path | None = None,
    /,
    *,
    at: tuple[float, ...] = EPS,
    k1: int = 30,
    k2: int = 6,
    min_samples: int = 4,
    format: str = "auto",
    pattern: str | None = None,
    folders: str = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
    device: Device = Device(),  # noqa: B008 (frozen)
    loading: Annotated[Loading, Parameter(name="*")] = Loading(),  # noqa: B008 (frozen)
) -> None:
    """Show how many clusters DBSCAN finds for several values of eps, and suggest one of them.

    Parameters
    ----------
    features
        A .npz file written by `reseen extract`; or, if data is given too, a run, one of its
        checkpoints or reseen-tiny.
    data
        Folder or manifest of crops. Its training images are clustered.
    at
        The values of eps to try.
    k1
        Number of nearest neighbours used to find the k-reciprocal neighbours of an image.
    k2
        Number of nearest neighbours used for local query expansion.
    min_samples
        Number of images within eps that make an image a core point of DBSCAN.
    format
        Format of the data set: auto, folder, tracklets, or a benchmark: market1501, dukemtmc,
        msmt17, personx, cuhk03, market_like, veri776, by_person, mars or dukevideo.
    pattern
        Pattern of the file names in a plain folder, such as {camera}_{person}_{_}.jpg; {_} stands
        for any text.
    folders
        What each sub-folder of a plain folder stands for: person, camera, or auto (guess).
    """
    if data is None:
        rows = _features(features)
    else:
        dataset = read(data, format=format, pattern=pattern, folders=folders)
        encoder = training.embedder(features, device=device)
        rows, _ = training.extract(encoder, dataset.train, loading=loading, quiet=quiet)
    found = sweep(rows, at, k1=k1, k2=k2, min_samples=min_samples)
    columns = ("eps", "clusters", "noise", "largest", "stability")
    tried = zip(*(getattr(found, column) for column in columns), strict=True)
    eps, why = found.suggest()
    give(
        {"tried": [dict(zip(columns, row, strict=True)) for row in tried], "suggested": eps},
        str(found),
        f"Suggested: {why}",
        as_json=as_json,
    )


def _features(path: Path) -> np.ndarray:
    """Read the features (N, D) that `extract` wrote."""
    if not path.is_file():
        raise DataError(
            f"{path} is not a file. Give a .npz file that `reseen extract` wrote, or an encoder "
            "and crops (reseen choose-eps RUN DATA)."
        )
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            rows = file["features"]
        sound = rows.ndim == 2 and rows.dtype.kind == "f" and bool(np.isfinite(rows).all())
    except PermissionError:
        raise
    except Exception:  # damage can make numpy raise nearly anything
        sound, rows = False, np.empty(0)
    if not sound:
        raise DataError(
            f"{path} is damaged or holds no features. Give a .npz file that `reseen extract` wrote."
        )
    return rows


def methods(method: str | None = None, /, *, as_json: AsJson = False) -> None:
    """List the methods that can be trained, or the variants of one method.

    Parameters
    ----------
    method
        List the variants of this method: the settings that each changes, and its published results.
    """
    if method is None:
        lines = {name: (kind.__doc__ or "").splitlines()[0] for name, kind in METHODS.items()}
        give(lines, _wrapped(lines), as_json=as_json)
        return
    if method not in METHODS:
        raise SettingsError(f"No method is called {method!r}. Use one of: {', '.join(METHODS)}.")
    variants = VARIANTS.get(method, {})
    said = (
        []
        if variants
        else [f"{method} has no variants. `reseen train {method} --help` lists its settings."]
    )
    for title in dict.fromkeys(title for v in variants.values() for title in v.tables):
        rows = {name: variant for name, variant in variants.items() if title in variant.tables}
        notes = {variant.note for variant in rows.values()}
        note = notes.pop() if len(notes) == 1 else ""  # said once, where it holds for all rows
        heading = f"{title}: published mAP / rank-1 in percent"
        said += [heading, f"  ({note})"] if note else [heading]
        said.append(_wrapped({name: _told(rows[name], note) for name in rows}, "  "))
    give({name: asdict(variant) for name, variant in variants.items()}, *said, as_json=as_json)


def _told(variant: Variant, known: str) -> str:
    changes = ", ".join(f"{name} {value}" for name, value in variant.settings.items())
    numbers = (f"{where} {published(variant, where)}" for where in variant.published)
    note = variant.note if variant.note != known else ""
    return "; ".join(filter(None, (changes or "defaults", *numbers, note)))


def _wrapped(lines: dict[str, str], indent: str = "") -> str:
    """Write names and what is said of each, as wide as the terminal."""
    wide = max(map(len, lines)) + len(indent) + 2
    width = max(shutil.get_terminal_size().columns, 2 * wide)
    return "\n".join(
        textwrap.fill(
            text,
            width,
            initial_indent=f"{indent}{name}".ljust(wide),
            subsequent_indent=" " * wide,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for name, text in lines.items()
    )
