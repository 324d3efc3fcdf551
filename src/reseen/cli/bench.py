"""`reseen bench ...`."""

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from reseen.cli import app, settings_of
from reseen.data.reading import read
from reseen.engine.variants import published
from reseen.errors import SettingsError
from reseen.methods import VARIANTS
from reseen.tables import rows_of, run_table, written_out


def table(
    name: str,
    data: Path,
    *,
    out: Path,
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
    bound = {}
    for variant in variants:
        words = ["train", method, str(data), "--out", str(out), "--variant", variant]
        words += shlex.split(settings)
        before, app.config = app.config, settings_of(words)
        _, arguments, _ = app.parse_args(words, exit_on_error=True)
        app.config = before
        arguments.apply_defaults()
        bound[variant] = arguments.arguments
    first = bound[variants[0]]
    dataset = read(data, format=first["format"], pattern=first["pattern"])
    rows = run_table(
        {variant: arguments["settings"] for variant, arguments in bound.items()},
        dataset,
        out,
        seeds=seeds,
        **{key: first[key] for key in ("device", "evaluate_every", "loading", "quiet")},
    )
    known = {variant: VARIANTS[method][variant] for variant in variants}
    sets = list(dict.fromkeys(where for v in known.values() for where in v.published))
    grid = Table(title=f"{name} on {dataset.name}: mAP / rank-1 in percent", box=None)
    titles = ("variant", "last", "best on test", "minutes")
    for title in (*titles, *(f"published, {where}" for where in sets)):
        grid.add_column(title, no_wrap=True)
    broken: list[str] = []
    for row in rows:
        numbers = written_out(row.last), written_out(row.best), f"{sum(row.minutes):.1f}"
        grid.add_row(row.variant, *numbers, *(published(known[row.variant], s) for s in sets))
        whys = zip(seeds, row.broken, strict=True)
        broken += [f"{row.variant}, seed {seed}, ended early: {why}" for seed, why in whys if why]
    console = Console(soft_wrap=True)
    console.print(grid)
    for line in broken:
        console.print(line, markup=False)
