"""`reseen bench ...`."""

import shlex
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from reseen.cli import app, settings_of
from reseen.data.reading import read
from reseen.engine.variants import published
from reseen.errors import SettingsError
from reseen.methods import METHODS, VARIANTS
from reseen.report.sweep import check_plot, plot_sweep
from reseen.tables import Row, rows_of, run_table, written_out


def table(
    name: str,
    data: Path,
    *,
    out: Path,
    source: Path | None = None,
    start: Path | None = None,
    seeds: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (0,),
    settings: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    only: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
) -> None:
    """Run every variant of a table and print it beside the published numbers.

    Finished runs are read, stopped ones go on: the same command on the same folder resumes.

    Parameters
    ----------
    name
        A table, such as adtc-2; `reseen methods NAME` says which there are.
    data
        Folder or manifest of crops with queries and a gallery.
    out
        Folder of the runs: one inside it for each variant and seed.
    source
        Labelled crops to learn from beside the data, for a method that takes both.
    start
        A run whose encoder every run begins with, such as one trained on a labelled source.
    seeds
        Seeds to run each variant with.
    settings
        Words of `reseen train` for every run, in quotes: "--config small.toml --epochs 10".
    only
        Variants to run, where not all are wanted.
    """
    method, variants = rows_of(name)
    for variant in only:
        if variant not in variants:
            known = ", ".join(variants)
            raise SettingsError(f"{name} has no {variant!r}. It has: {known}.")
    variants = only or variants
    bound = {v: _bound(method, data, out, ["--variant", v], settings) for v in variants}
    first = bound[variants[0]]
    dataset = read(data, format=first["format"], pattern=first["pattern"])
    known = {variant: VARIANTS[method][variant] for variant in variants}
    source, start = source or first["source"], start or first["start"]
    labelled = source and read(source)
    sources = {variant: dataset if known[variant].own_source else labelled for variant in variants}
    rows = run_table(
        {variant: arguments["settings"] for variant, arguments in bound.items()},
        dataset,
        out,
        seeds=seeds,
        sources={variant: images for variant, images in sources.items() if images},
        start=start,
        **{key: first[key] for key in ("device", "evaluate_every", "loading", "quiet")},
    )
    sets = list(dict.fromkeys(where for v in known.values() for where in v.published))
    grid = Table(title=f"{name} on {dataset.name}: mAP / rank-1 in percent", box=None)
    titles = ("variant", "last", "best on test", "minutes")
    for title in (*titles, *(f"published, {where}" for where in sets)):
        grid.add_column(title, no_wrap=True)
    broken: list[str] = []
    for row in rows:
        broken += _ends(row, seeds)
        numbers = written_out(row.last), written_out(row.best), f"{sum(row.minutes):.1f}"
        grid.add_row(row.variant, *numbers, *(published(known[row.variant], s) for s in sets))
    _print(grid, broken)


def sweep(
    method: str,
    setting: str,
    values: str,
    data: Path,
    *,
    out: Path,
    seeds: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (0,),
    settings: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    plot: Path | None = None,
) -> None:
    """Train a method with several values of one setting, and print what each gave.

    Finished runs are read, stopped ones go on: the same command on the same folder resumes.

    Parameters
    ----------
    method
        What to train; `reseen methods` lists them.
    setting
        The option of `reseen train` to change, without its dashes: own, encoder.pooling.
    values
        Values with commas between them: 0.1,0.3,0.6.
    data
        Folder or manifest of crops with queries and a gallery.
    out
        Folder of the runs: one inside it for each value and seed.
    seeds
        Seeds to run each value with.
    settings
        Words of `reseen train` for every run, in quotes: "--config small.toml --epochs 10".
    plot
        Draw mAP and rank-1 of the last rounds over the values into this .png (needs matplotlib).
    """
    if method not in METHODS:
        raise SettingsError(f"No method is called {method!r}. Use one of: {', '.join(METHODS)}.")
    tried = [value.strip() for value in values.split(",") if value.strip()]
    if not tried or len(set(tried)) < len(tried):
        raise SettingsError(f"values is {values!r}. Give different values with commas: 0.1,0.3.")
    if plot:
        check_plot(plot)
    name = setting.lstrip("-").replace("_", "-")
    bound = {v: _bound(method, data, out, [f"--{name}={v}"], settings) for v in tried}
    first = bound[tried[0]]
    dataset = read(data, format=first["format"], pattern=first["pattern"])
    rows = run_table(
        {f"{name}={value}": arguments["settings"] for value, arguments in bound.items()},
        dataset,
        out,
        seeds=seeds,
        **{key: first[key] for key in ("device", "evaluate_every", "loading", "quiet")},
    )
    grid = Table(title=f"{method} on {dataset.name}: mAP / rank-1 in percent", box=None)
    for title in (name, "last", "best on test", "minutes"):
        grid.add_column(title, no_wrap=True)
    broken, last = [], []
    for value, row in zip(tried, rows, strict=True):
        numbers = written_out(row.last), written_out(row.best), f"{sum(row.minutes):.1f}"
        grid.add_row(value, *numbers)
        broken += _ends(row, seeds)
        last.append(row.last)
    _print(grid, broken)
    if plot:
        plot_sweep(plot, name, tried, last)


def _bound(method: str, data: Path, out: Path, own: list[str], settings: str) -> dict[str, Any]:
    """Read words of `reseen train`, as that command would."""
    words = ["train", method, str(data), "--out", str(out), *own, *shlex.split(settings)]
    before, app.config = app.config, settings_of(words)
    _, arguments, _ = app.parse_args(words, exit_on_error=True)
    app.config = before
    arguments.apply_defaults()
    return arguments.arguments


def _ends(row: Row, seeds: tuple[int, ...]) -> list[str]:
    whys = zip(seeds, row.broken, strict=True)
    return [f"{row.variant}, seed {seed}, ended early: {why}" for seed, why in whys if why]


def _print(grid: Table, broken: list[str]) -> None:
    console = Console(soft_wrap=True)
    console.print(grid)
    for line in broken:
        console.print(line, markup=False)
