"""`reseen bench ...`."""

import re
import shlex
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from reseen.cli import app, settings_of
from reseen.cli.output import AsJson, Out, Quiet, give
from reseen.data.reading import read
from reseen.engine.device import Device
from reseen.engine.files import check_out, safe_name
from reseen.engine.folder import read_facts
from reseen.engine.progress import Screen
from reseen.engine.settings import varied
from reseen.engine.variants import published
from reseen.errors import SettingsError
from reseen.methods import METHODS
from reseen.published import GAINS, VARIANTS
from reseen.records import Dataset
from reseen.report.markdown import around, write_table
from reseen.report.plotting import save_figure
from reseen.report.sweep import plot_sweep
from reseen.tables import Row, StartAlone, rows_of, run_table, written_out
from reseen.training import load

ALL = "reseen bench all"
SHARED = (
    *("start", "images_per_person", "adapt_norm", "device"),
    *("evaluate_every", "loading", "quiet"),
)
NUMBERS = ("last", "best on test", "minutes")


def table(
    name: str,
    data: Path,
    /,
    *,
    out: Out,
    source: Path | None = None,
    start: Path | None = None,
    seeds: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (0,),
    settings: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    only: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train every variant of a table and print the results next to the published ones.

    Run the same command on the same folder again to resume: finished runs are only read, and
    interrupted runs are continued.

    Parameters
    ----------
    name
        Name of a table, such as adtc-2; `reseen methods NAME` lists the tables of a method.
    data
        Folder or manifest of crops that has queries and a gallery.
    out
        Folder of the runs; it gets a subfolder for each variant and seed.
    source
        Labelled crops to train on together with the data, for methods that use both.
    start
        A run whose weights every run starts from, such as one trained on labelled crops. Rows that
        were published without such a start do not use it.
    seeds
        Seeds to train each variant with.
    settings
        Options of `reseen train` for every run, in quotes: "--config small.toml --epochs 10".
        Settings that define a row of the table are not overridden.
    only
        Variants to train. By default all are trained.
    """
    check_out(out, screen=Screen(quiet))
    method, variants = rows_of(name)
    for variant in only:
        if variant not in variants:
            known = ", ".join(variants)
            raise SettingsError(f"{name} has no {variant!r}. It has: {known}.")
    variants = only or variants
    settings += _given(source, start, quiet)
    bound = {v: _bound(method, data, out, ["--variant", v], settings) for v in variants}
    first = bound[variants[0]]
    dataset, labelled = _read(data, first)
    known = {variant: VARIANTS[method][variant] for variant in variants}
    begun = [v for v, of in known.items() if of.start_alone]
    alone = {}
    if first["start"] and begun:
        encoder = load(first["start"], device=Device(name="cpu")).settings
        alone = dict.fromkeys(begun, StartAlone(encoder=encoder))
    skipped = [v for v in begun if v not in alone]
    variants = tuple(v for v in variants if v not in skipped)
    sources = {variant: dataset if known[variant].own_source else labelled for variant in variants}
    trained = run_table(
        {v: alone.get(v) or varied(bound[v]["settings"], known[v].settings) for v in variants},
        dataset,
        out,
        seeds=seeds,
        sources={variant: images for variant, images in sources.items() if images},
        without_start=[variant for variant, of in known.items() if of.without_start],
        **{key: first[key] for key in SHARED},
    )
    sets = list(dict.fromkeys(where for v in known.values() for where in v.published))
    rows, base = list(trained), GAINS.get(name, "")
    over = [row for row in rows if row.variant == base]
    told = [f"gain over {base}"] if over else []
    titles = ["variant", *NUMBERS, *told, *(f"published, {where}" for where in sets)]
    lines, measured = [], []
    broken = [f"{v} is left out because it requires --start RUN." for v in skipped]
    for row in rows:
        gains = [_gain(row, of) for of in over]
        beside = (published(known[row.variant], where, known.get(base)) for where in sets)
        lines.append([row.variant, *_numbers(row), *gains, *beside])
        broken += _ends(row, seeds)
        measured += _measured(row, seeds, published=known[row.variant].published)
    broken += [f"{variant}: {of.note}" for variant, of in known.items() if of.note]
    if sets and not any(_same(where, dataset.name, first["format"]) for where in sets):
        broken.append(
            f"The published results are on other data ({', '.join(sets)}) than {dataset.name} and "
            "cannot be compared."
        )
    title = f"{name} on {dataset.name}: mAP / rank-1 in percent"
    give(measured, _grid(title, titles, lines), *broken, as_json=as_json)


def sweep(
    method: str,
    setting: str,
    values: str,
    data: Path,
    /,
    *,
    out: Out,
    source: Path | None = None,
    start: Path | None = None,
    seeds: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (0,),
    settings: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    plot: Path | None = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a method with several values of one setting, and print the results.

    Run the same command on the same folder again to resume: finished runs are only read, and
    interrupted runs are continued.

    Parameters
    ----------
    method
        Method to train; `reseen methods` lists all methods.
    setting
        The option of `reseen train` to vary, without its dashes, such as eps or encoder.pooling.
    values
        Values separated by commas: 0.1,0.3,0.6.
    data
        Folder or manifest of crops that has queries and a gallery.
    out
        Folder of the runs; it gets a subfolder for each value and seed.
    source
        Labelled crops to train on together with the data, for methods that use both.
    start
        A run whose weights every run starts from, such as one trained on labelled crops.
    seeds
        Seeds to train each value with.
    settings
        Options of `reseen train` for every run, in quotes: "--config small.toml --epochs 10".
    plot
        Also plot mAP and rank-1 after the last round against the values, to this .png file.
    """
    if method not in METHODS:
        raise SettingsError(f"No method is called {method!r}. Use one of: {', '.join(METHODS)}.")
    check_out(out, screen=Screen(quiet))
    tried = [value.strip() for value in values.split(",") if value.strip()]
    if not tried or len(set(tried)) < len(tried):
        raise SettingsError(
            f"values is {values!r}. Give different values separated by commas: 0.1,0.3."
        )
    if plot:
        check_out(plot, ".png", Screen(quiet))
    name = setting.lstrip("-").replace("_", "-")
    settings += _given(source, start, quiet)
    bound = {v: _bound(method, data, out, [f"--{name}={v}"], settings) for v in tried}
    first = bound[tried[0]]
    dataset, labelled = _read(data, first)
    methods = {f"{name}={value}": arguments["settings"] for value, arguments in bound.items()}
    rows = run_table(
        methods,
        dataset,
        out,
        seeds=seeds,
        sources=dict.fromkeys(methods, labelled) if labelled else None,
        **{key: first[key] for key in SHARED},
    )
    lines, broken, last, measured = [], [], {}, []
    for value, row in zip(tried, rows, strict=True):
        lines.append([value, *_numbers(row)])
        broken += _ends(row, seeds)
        last[value] = row.last
        measured += _measured(row, seeds, value=value)
    title = f"{method} on {dataset.name}: mAP / rank-1 in percent"
    give(measured, _grid(title, [name, *NUMBERS], lines), *broken, as_json=as_json)
    if plot:
        save_figure(plot_sweep(name, last), plot)


def every(
    *data: Path,
    out: Out,
    source: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = (),
    start: Path | None = None,
    seeds: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (0,),
    settings: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    only: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    write: Path | None = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train every method on every data set, and print all results in one table.

    Run the same command on the same folder again to resume: finished runs are only read, and
    interrupted runs are continued.

    Parameters
    ----------
    data
        Folders or manifests of crops with queries and a gallery.
    out
        Folder of the runs; it gets the subfolders DATA/METHOD/SEED.
    source
        Labelled crops for methods that use two data sets: one source for all data sets, or one for
        each. Without it these methods are left out.
    start
        A run whose weights every run starts from, such as one trained on labelled crops.
    seeds
        Seeds to train each method with.
    settings
        Options of `reseen train` for every run, in quotes: "--config all.toml". In such a file, the
        settings of one method stand under its name.
    only
        Methods to train. By default all are trained.
    write
        Markdown file to write the table to, between the lines <!-- reseen bench all --> and
        <!-- end of reseen bench all -->. A new file will hold only the table.
    """
    for method in only:
        if method not in METHODS:
            raise SettingsError(f"No method is called {method!r}. Known: {', '.join(METHODS)}.")
    check_out(out, screen=Screen(quiet))
    if not data or len(source) not in (0, 1, len(data)):
        raise SettingsError(
            f"{len(data)} data sets and {len(source)} sources are given. Give one or more data "
            "sets, and either no source, one source for all of them, or one for each."
        )
    if write:
        check_out(write, ".md", Screen(quiet))
        around(write, ALL)  # before hours of training
    methods = [method for method in METHODS if not only or method in only]
    sources = source or (None,)
    bounds = []
    for path, labelled in zip(data, sources * (len(data) // len(sources)), strict=True):
        words = settings + _given(labelled, start, quiet)
        bounds.append({method: _bound(method, path, out, [], words) for method in methods})
    sets = [_read(path, bound[methods[0]]) for path, bound in zip(data, bounds, strict=True)]
    names = [dataset.name for dataset, _ in sets]
    if len(set(names)) < len(names):
        raise SettingsError(
            f"Some data sets have the same name: {', '.join(names)}. Rename their folders."
        )
    cells: dict[str, list[str]] = {method: [] for method in methods}
    minutes, broken, run, measured = dict.fromkeys(methods, 0.0), [], out, []
    for (dataset, labelled), bound in zip(sets, bounds, strict=True):
        asks = {method: getattr(METHODS[method], "needs_source", False) for method in methods}
        told = {method: getattr(METHODS[method], "needs_people", False) for method in methods}
        rows = run_table(
            {
                method: arguments["settings"]
                for method, arguments in bound.items()
                if (labelled or not asks[method]) and (dataset.labelled(0) or not told[method])
            },
            dataset,
            out / safe_name(dataset.name),
            seeds=seeds,
            sources={method: labelled for method in methods if labelled and asks[method]},
            **{key: bound[methods[0]][key] for key in SHARED},
        )
        found = {row.variant: row for row in rows}
        for method in methods:
            cells[method] += [""] * 3
            if method in found:
                row = found[method]
                cells[method][-3:] = map(written_out, (row.first, row.last, row.best))
                minutes[method] += sum(row.minutes)
                broken += [f"{dataset.name}: {why}" for why in _ends(row, seeds)]
                measured += _measured(row, seeds, data=dataset.name)
                run = out / safe_name(dataset.name) / method / str(seeds[0])
    if run == out:
        raise SettingsError(
            f"Nothing to train: {', '.join(methods)} needs data in which the people are known, or "
            "--source DATA."
        )
    parts = ("before", "last", "best on test")
    titles = ["method", *(f"{name}, {part}" for name in names for part in parts), "minutes"]
    lines = [[name, *row, f"{minutes[name]:.1f}"] for name, row in cells.items() if any(row)]
    grid = _grid("all methods: mAP / rank-1 in percent", titles, lines)
    give(measured, grid, *broken, as_json=as_json)
    if write:
        told = read_facts(run)["environment"]
        place = f"{told['machine']}, {told['cuda'] or 'no GPU'}, {told['threads']} CPU threads"
        about = f"mAP / rank-1 in percent, seeds {' '.join(map(str, seeds))}. {place}, "
        about += f"reseen {told['reseen']}, torch {told['torch']}."
        write_table(write, ALL, titles, lines, [about, *broken])


def _given(source: Path | None, start: Path | None, quiet: bool) -> str:
    words = [f"--{name}={path}" for name, path in (("source", source), ("start", start)) if path]
    words += ["--quiet"] * quiet
    return " " + shlex.join(words)


def _bound(method: str, data: Path, out: Path, own: list[str], settings: str) -> dict[str, Any]:
    """Read words of `reseen train`, as that command would."""
    try:
        given = shlex.split(settings)
    except ValueError as error:
        raise SettingsError(
            f"--settings {settings.strip()!r} cannot be split into words: {error}. "
            "Close every quote."
        ) from error
    words = ["train", method, str(data), "--out", str(out), *own, *given]
    before, app.config = app.config, settings_of(words, "published")
    _, arguments, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    app.config = before
    arguments.apply_defaults()
    return arguments.arguments


def _read(data: Path, words: dict[str, Any]) -> tuple[Dataset, Dataset | None]:
    """Read the data, and the source if there is one, as `reseen train` would."""
    source = words["source"] and read(words["source"])
    told = {name: words[name] for name in ("format", "pattern", "folders")}
    return read(data, **told), source


def _numbers(row: Row) -> list[str]:
    return [written_out(row.last), written_out(row.best), f"{sum(row.minutes):.1f}"]


def _gain(row: Row, base: Row) -> str:
    """Write what a row has more after its last round than another, seed by seed."""
    pairs = zip(row.last, base.last, strict=True)
    return "" if row is base else written_out([(a - c, b - d) for (a, b), (c, d) in pairs])


def _ends(row: Row, seeds: tuple[int, ...]) -> list[str]:
    whys = zip(seeds, row.broken, strict=True)
    return [f"{row.variant}, seed {seed}, ended early: {why}" for seed, why in whys if why]


def _measured(row: Row, seeds: tuple[int, ...], **more: Any) -> list[dict[str, Any]]:
    """Give what JSON holds of a row: one record a seed."""
    parts = {"untrained": row.first, "last": row.last, "best_on_test": row.best}
    return [
        {
            "variant": row.variant,
            "seed": seed,
            **{part: dict(zip(("mAP", "rank1"), of[i], strict=True)) for part, of in parts.items()},
            "minutes": row.minutes[i],
            "ended_early": row.broken[i],
            **more,
        }
        for i, seed in enumerate(seeds)
    ]


def _same(published: str, name: str, format: str) -> bool:
    """Say whether numbers published for a data set (SOURCE to TARGET) are of the one at hand."""
    target = published.split(" to ")[-1]
    where, here = (re.sub("[^a-z0-9]", "", text.lower()) for text in (target, name))
    return here.startswith(where) or where.startswith(format)


def _grid(title: str, titles: list[str], lines: list[list[str]]) -> Table:
    grid = Table(title=title, box=None)
    for name in titles:
        grid.add_column(name, no_wrap=True)
    for line in lines:
        grid.add_row(*line)
    return grid
