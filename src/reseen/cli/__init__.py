"""The command line: `reseen COMMAND ...`; each command is a plain function, loaded when asked."""

import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import current_thread, main_thread

from cyclopts import App, CycloptsError, Parameter

from reseen.cli.refusals import refusal
from reseen.errors import ReseenError, SettingsError

NOTHING = Parameter(negative="")

app = App(
    name="reseen",
    help="Find the same person again, learnt from unlabelled crops.",
    default_parameter=NOTHING,
    version_flags=["--version"],
)
app.command("reseen.cli.train:app", name="train", help="Learn from unlabelled crops.")
app.command("reseen.cli.use:evaluate", name="evaluate", help="Judge a run on a data set.")
app.command(
    "reseen.cli.use:attention_share",
    name="attention-share",
    help="Say how much attention is on the person.",
)
app.command("reseen.cli.use:extract", name="extract", help="Write the features of images.")
app.command(
    "reseen.cli.use:choose_eps", name="choose-eps", help="Say which eps suits some features."
)
app.command("reseen.cli.report:report", name="report", help="Write a page on runs.")
app.command("reseen.cli.use:methods", name="methods", help="List what can be trained.")
data = App(name="data", help="Look at data before training on it, or invent some.")
data.command("reseen.cli.data:check", name="check", help="Say what is there and what will hurt.")
data.command("reseen.cli.data:invent", name="invent", help="Draw people who do not exist.")
app.command(data)
bench = App(name="bench", help="Measure methods.")
bench.command("reseen.cli.bench:table", name="table", help="Run a whole table of a paper.")
bench.command("reseen.cli.bench:sweep", name="sweep", help="Try values of one setting.")
bench.command("reseen.cli.bench:every", name="all", help="Run all methods on several data sets.")
app.command(bench)


def settings_of(words: list[str]) -> tuple:
    """Take `--config FILE` and `--variant NAME` out of the words of `train`.

    Returns:
        What reads settings where the command line has none: the file, then the variant, then what
        the method's parts have by default; the first that knows a setting wins.
    """
    if words[:1] == ["bench"]:  # its words for train are read when it trains
        return ()
    words[:] = [part for word in words for part in _apart(word)]
    config = _take(words, "--config")
    method = words[1] if words[:1] == ["train"] and len(words) > 1 else None
    readers = () if config is None else _file(Path(config), method)
    if method is None:
        return readers
    variant = _take(words, "--variant")
    return *readers, *_defaults(method, variant)


def _file(path: Path, method: str | None) -> tuple:
    """Read settings; what stands under a method's name is for that method alone, and wins."""
    from cyclopts.config import Dict, Json, Toml, Yaml

    from reseen.methods import METHODS

    kinds = {".toml": Toml, ".yaml": Yaml, ".yml": Yaml, ".json": Json}
    if path.suffix not in kinds or not path.is_file():
        raise SettingsError(f"--config {path} is not a .toml, .yaml or .json file that is there.")
    try:
        told = kinds[path.suffix](path).config
    except (CycloptsError, ValueError) as error:
        raise SettingsError(f"--config {path} cannot be understood: {error}") from error
    rest = {name: value for name, value in told.items() if name not in METHODS}
    read = partial(Dict, use_commands_as_keys=False, source=str(path))
    return read(told.get(method, {})), read(rest)


def _defaults(method: str, variant: str | None) -> tuple:
    from cyclopts.config import Dict

    from reseen.engine.variants import nested, own_defaults, pick
    from reseen.methods import METHODS, VARIANTS

    if method not in METHODS:
        return ()
    changes = own_defaults(METHODS[method]())
    if variant is not None:
        changes |= pick(VARIANTS.get(method, {}), variant).settings
    return (Dict(nested(changes), use_commands_as_keys=False),)


def _take(words: list[str], option: str) -> str | None:
    if option not in words:
        return None
    place = words.index(option)
    value = "".join(words[place + 1 : place + 2])
    del words[place : place + 2]
    return value


def _apart(word: str) -> list[str]:
    return word.split("=", 1) if word.startswith(("--config=", "--variant=")) else [word]


def main(words: Sequence[str] | None = None) -> None:
    """Run one command.

    Exit codes: 0 done; 1 an error that the user can mend, said in a line; 2 words that are not
    understood; 130 stopped by Ctrl-C, 143 by SIGTERM. Anything else keeps its traceback.
    """
    words = list(sys.argv[1:] if words is None else words)
    stopped = [signal.SIGINT]

    def stop(number: int, _frame: object) -> None:
        stopped.append(signal.Signals(number))
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGTERM)
    mine = before == signal.SIG_DFL and current_thread() is main_thread()
    if mine:
        signal.signal(signal.SIGTERM, stop)
    try:
        app.config = settings_of(words)
        app(words)
    except ReseenError as error:
        print(f"reseen: {error}", file=sys.stderr)
        sys.exit(1)
    except (OSError, MemoryError, RuntimeError) as error:
        said = refusal(error)
        if said is None:
            raise
        print(f"reseen: {said}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt as error:
        told = str(error) or "stopped; a run goes on when the same command is given."
        print(f"reseen: {told}", file=sys.stderr)
        sys.exit(128 + stopped[-1])
    finally:
        if mine:
            signal.signal(signal.SIGTERM, before)
