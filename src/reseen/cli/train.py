"""`reseen train METHOD DATA --out RUN`: one command a method, its options are its settings."""

from collections.abc import Callable, Sequence
from inspect import cleandoc
from pathlib import Path
from textwrap import dedent
from typing import Annotated, Any

from cyclopts import App, Parameter, Token
from rich.table import Table

from reseen.cli import NOTHING
from reseen.cli.help import GroupedHelp, examples
from reseen.cli.output import AsJson, Out, Quiet, Seed, give
from reseen.data.loading import Loading
from reseen.data.reading import read
from reseen.engine import processes
from reseen.engine.device import Device
from reseen.engine.files import check_out
from reseen.engine.folder import read_metrics
from reseen.engine.progress import Screen
from reseen.engine.settings import SHARED
from reseen.engine.signs import best_round
from reseen.errors import SettingsError
from reseen.methods import METHODS
from reseen.presets import PRESETS
from reseen.training import train

for _part in SHARED:
    Parameter(name="*")(_part)  # their settings are named as if they were the method's own

app = App(
    name="train",
    help="Train an encoder on unlabelled crops. If the folder already holds a run with the same "
    "settings, training resumes.",
    help_epilogue=examples("train"),
    default_parameter=NOTHING,
)


def _whole(_kind: type, tokens: Sequence[Token]) -> int:
    """Read a seed; cyclopts would round 1.5."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise SettingsError(
            f"seed is {tokens[0].value}. Use a whole number of 0 or more."
        ) from None


def _command(method: type) -> Callable[..., None]:
    def run(
        data: Path,
        /,
        *,
        out: Out,
        config: Annotated[Path | None, Parameter(alias="-c")] = None,
        variant: str | None = None,
        preset: str = "auto",
        seed: Annotated[Seed, Parameter(converter=_whole)] = 0,
        source: Path | None = None,
        start: Path | None = None,
        images_per_person: float | None = None,
        adapt_norm: bool = False,
        evaluate_every: int = 5,
        format: str = "auto",
        pattern: str | None = None,
        folders: str = "auto",
        quiet: Quiet = False,
        as_json: AsJson = False,
        device: Device = Device(),  # noqa: B008 (frozen)
        loading: Annotated[Loading, Parameter(name="*")] = Loading(),  # noqa: B008 (frozen)
        settings: Annotated[Any, Parameter(name="*")] = method(),  # noqa: B008 (frozen)
    ) -> None:
        quiet = quiet or not processes.first()
        if processes.first():
            check_out(out, screen=Screen(quiet))
        if preset != "published":
            said = f"preset {preset}: {PRESETS[preset]} (settings of the paper: --preset published)"
            Screen(quiet).say(said)
        dataset = read(data, format=format, pattern=pattern, folders=folders)
        train(
            settings,
            dataset,
            out,
            seed=seed,
            source=source,
            start=start,
            images_per_person=images_per_person,
            adapt_norm=adapt_norm,
            device=device,
            evaluate_every=evaluate_every,
            loading=loading,
            quiet=quiet,
        )
        if not processes.first():
            return
        rows = read_metrics(out)
        shown = _results(rows) if rows else {}
        numbers = {title.replace(" ", "_"): row for title, row in shown.items()}
        give(numbers, *([_table(shown), *_verdict(shown)] if rows else []), as_json=as_json)

    run.__annotations__["settings"] = Annotated[method, Parameter(name="*")]
    run.__doc__ = cleandoc(method.__doc__ or "") + dedent("""

    Parameters
    ----------
    data
        Folder or manifest of crops. `reseen data check` shows how it is read.
    out
        Folder of the run. Training resumes if the folder already holds the same run.
    config
        A .toml, .yaml or .json file with settings. Options on the command line override it.
    variant
        A row of the tables in the method's paper; `reseen methods NAME` lists them. The file and
        the command line override it.
    preset
        Default values of all settings that are not given otherwise: published (the defaults shown
        below), or gpu or cpu (settings that depend on the data are derived from it). auto is
        published for a benchmark or a variant, and gpu or cpu for images of your own.
    seed
        Seed of all random number generators.
    source
        Labelled crops to train on together with the data. daal requires them, spcl can use them,
        and no other method does.
    start
        A run, or one of its checkpoints, that provides the initial weights. The backbone and the
        last stride are taken from it too.
    images_per_person
        Average number of images per person. Settings that are auto are derived from it, such as k1,
        M and p of ADTC, the share of DAAL and the merge rate of BUC. By default it is estimated
        from the images.
    adapt_norm
        Recompute the batch-norm statistics on the training images before the first round, without
        training.
    evaluate_every
        Number of rounds between two evaluations; 0 evaluates only after the last round.
    format
        Format of the data set: auto, folder, tracklets, or a benchmark: market1501, dukemtmc,
        msmt17, personx, cuhk03, market_like, veri776, by_person, mars or dukevideo.
    pattern
        Pattern of the file names in a plain folder, such as {camera}_{person}_{_}.jpg; {_}
        stands for any text.
    folders
        What each sub-folder of a plain folder stands for: person, camera, or auto (guess).
    """)
    return run


for _name, _method in METHODS.items():
    app.command(
        _command(_method),
        name=_name,
        help_formatter=GroupedHelp(),
        help_epilogue=examples(f"train {_name}"),
    )


def _results(rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Give what a run measured: untrained, last, and best on the test set, named as such.

    Where training did harm by the sign without labels, its result is named apart.
    """
    chosen = best_round(rows)
    kept = next((row for row in rows if row["round"] == chosen), None)
    instead = {"result": kept} if kept else {}
    judged = [row for row in rows if "mAP" in row]
    trained = [row for row in judged if row["round"] > 0]
    if not trained:
        return {"last": rows[-1], **instead}
    best = max(judged, key=lambda row: row["mAP"])
    return {"untrained": judged[0], "last": rows[-1], **instead, "best on test": best}


def _table(shown: dict[str, dict[str, float]]) -> Table:
    names = JUDGED if "untrained" in shown else ALONE
    names = [name for name in names if any(name in row for row in shown.values())]
    table = Table(box=None, padding=(0, 1))
    for name in ("", "round", *names):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for title, row in shown.items():
        cells = (FORMS.get(n, "{:.1%}").format(row[n]) if n in row else "" for n in names)
        table.add_row(title, str(row["round"]), *cells)
    return table


def _verdict(shown: dict[str, dict[str, float]]) -> list[str]:
    """Say so where training did harm: the best round is one of the trained ones."""
    before, last = (shown.get(title, {}).get("mAP") for title in ("untrained", "last"))
    if before is None or last is None or last >= before:
        return []
    best = shown["best on test"]["round"]
    none = "" if best else "; no round was better than the encoder before training"
    return [f"Training lowered mAP from {before:.1%} to {last:.1%}{none}."]


JUDGED = ["mAP", "rank1", "rank5", "rank10", "mINP", "mAP_centred", "rank1_centred"]
JUDGED += ["clusters", "noise", "nmi"]
ALONE = ["clusters", "noise", "nmi", "stability", "loss"]
FORMS = {"clusters": "{}", "nmi": "{:.3f}", "stability": "{:.3f}", "loss": "{:.3f}"}
