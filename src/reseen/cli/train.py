"""`reseen train METHOD DATA --out RUN`: one command a method, its options are its settings."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter, Token
from rich.table import Table

from reseen.cli import NOTHING
from reseen.cli.output import show
from reseen.data.loading import Loading
from reseen.data.reading import read
from reseen.engine.device import Device
from reseen.engine.run import read_metrics
from reseen.errors import SettingsError
from reseen.methods import METHODS
from reseen.training import train

app = App(
    name="train",
    help="Learn from unlabelled crops. The same command on the same folder goes on with it.",
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
        *,
        out: Path,
        config: Path | None = None,
        variant: str | None = None,
        seed: Annotated[int, Parameter(converter=_whole)] = 0,
        source: Path | None = None,
        start: Path | None = None,
        evaluate_every: int = 5,
        format: str = "auto",
        pattern: str | None = None,
        quiet: bool = False,
        device: Device = Device(),  # noqa: B008 (frozen)
        loading: Annotated[Loading, Parameter(name="*")] = Loading(),  # noqa: B008 (frozen)
        settings: Annotated[Any, Parameter(name="*")] = method(),  # noqa: B008 (frozen)
    ) -> None:
        dataset = read(data, format=format, pattern=pattern)
        train(
            settings,
            dataset,
            out,
            seed=seed,
            source=source,
            start=start,
            device=device,
            evaluate_every=evaluate_every,
            loading=loading,
            quiet=quiet,
        )
        if rows := read_metrics(out):
            show(_results(rows))

    run.__annotations__["settings"] = Annotated[method, Parameter(name="*")]
    run.__doc__ = f"""{method.__doc__}

    Parameters
    ----------
    data
        Folder or manifest of crops; `reseen data check` says how it is understood.
    out
        Folder of the run; one that holds the same run is gone on with.
    config
        A .toml, .yaml or .json file of these settings; the command line wins over it.
    variant
        A row of the method's tables: `reseen methods NAME` lists them; file and command line win.
    seed
        Root of every random draw.
    source
        Labelled crops to learn from beside the data, for the method that takes both (daal).
    start
        A run, or one of its checkpoints, whose encoder this run begins with; what its weights
        depend on (backbone, last stride) comes with them.
    evaluate_every
        Rounds between two searches of the gallery; 0 searches after the last only.
    format
        auto, market1501, dukemtmc, msmt17, personx, cuhk03, mars, dukevideo, folder or
        tracklets.
    pattern
        How file names are made, for a plain folder: {{camera}}_{{person}}_{{_}}.jpg.
    quiet
        Say nothing but the result.
    """
    return run


for _name, _method in METHODS.items():
    app.command(_command(_method), name=_name)


def _results(rows: list[dict[str, float]]) -> Table:
    """Lay out what a run measured: untrained, last, and best on the test set, named as such."""
    judged = [row for row in rows if "mAP" in row]
    trained = [row for row in judged if row["round"] > 0]
    shown, names = {"last": rows[-1]}, ALONE
    if trained:
        best = max(trained, key=lambda row: row["mAP"])
        shown, names = {"untrained": judged[0], **shown, "best on test": best}, JUDGED
    names = [n for n in names if any(n in row for row in shown.values())]
    table = Table(box=None, padding=(0, 1))
    for name in ("", "round", *names):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for title, row in shown.items():
        cells = (FORMS.get(n, "{:.1%}").format(row[n]) if n in row else "" for n in names)
        table.add_row(title, str(row["round"]), *cells)
    return table


JUDGED = ["mAP", "rank1", "rank5", "rank10", "mINP", "clusters", "noise", "nmi"]
ALONE = ["clusters", "noise", "nmi", "stability", "loss"]
FORMS = {"clusters": "{}", "nmi": "{:.3f}", "stability": "{:.3f}", "loss": "{:.3f}"}
