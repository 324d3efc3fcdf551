"""The command line: `reseen COMMAND ...`; each command is a plain function, loaded when asked."""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any, NoReturn

from cyclopts import App, CycloptsError, Parameter

from reseen.cli.help import PlainHelp, examples
from reseen.cli.mistakes import explain
from reseen.cli.refusals import refusal
from reseen.errors import ReseenError, SettingsError

NOTHING = Parameter(negative="")

app = App(
    name="reseen",
    help="Person re-identification without labels: train on unlabelled crops, then search them.",
    help_format="plaintext",
    help_formatter=PlainHelp(),
    help_epilogue=examples(""),
    default_parameter=NOTHING,
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # `main` says what is kept
)
app.register_install_completion_command(
    help="Install shell completion for commands and options, and enable it at shell start-up.",
    help_epilogue="",
)
data = App(name="data", help="Check a data set before training, or draw one of invented people.")
bench = App(name="bench", help="Benchmark methods and their settings.")
gallery = App(name="gallery", help="Store crops, search them, and name the people in them.")
for _group in (data, bench, gallery):
    _group.help_epilogue = examples(_group.name[0])
    app.command(_group)

app.command("reseen.cli.train:app", name="train", help="Train an encoder on unlabelled crops.")
for _command, _place, _help in (
    ("demo", "demo:demo", "Try everything on invented people, in a few minutes."),
    ("evaluate", "use:evaluate", "Evaluate a run on a data set."),
    ("attention-share", "use:attention_share", "Measure how much attention is on the person."),
    ("search", "search:search", "Find the crops that look most like a picture."),
    ("serve", "serve:serve", "Serve a gallery as a web page and a REST API."),
    ("extract", "use:extract", "Write the features of images to a file."),
    ("export", "export:export", "Export an encoder to a file for other programs."),
    ("choose-eps", "use:choose_eps", "Find an eps of DBSCAN that suits some features."),
    ("report", "report:report", "Write an HTML report on runs."),
    ("video", "video:video", "Detect and track people in videos, and write crops of them."),
    ("methods", "use:methods", "List the methods that can be trained."),
    ("data check", "data:check", "Show what a data set holds, and find problems."),
    ("data invent", "data:invent", "Draw a data set of invented people."),
    ("gallery create", "gallery_pictures:create", "Create an empty gallery."),
    ("gallery add", "gallery_pictures:add", "Add crops to a gallery."),
    ("gallery search", "gallery_pictures:search", "Find the crops that look most like a picture."),
    ("gallery enrol", "gallery_pictures:enrol", "Add pictures of a person under a name."),
    ("gallery people", "gallery:people", "List named people, and groups of unnamed crops."),
    ("gallery seen", "gallery_pictures:seen", "Show where and when a person was seen."),
    ("gallery calibrate", "gallery:calibrate", "Find the thresholds of a gallery."),
    ("gallery name", "gallery:name", "Name the person in some crops."),
    ("gallery accept", "gallery:accept", "Name an unknown person."),
    ("gallery unname", "gallery:unname", "Remove the names of crops."),
    ("gallery deny", "gallery:deny", "Record that crops do not show a person."),
    ("gallery allow", "gallery:allow", "Undo `deny` for some crops."),
    ("gallery ignore", "gallery:ignore", "Exclude people or crops from searches."),
    ("gallery unignore", "gallery:unignore", "Include people or crops in searches again."),
    ("gallery merge", "gallery:merge", "Merge two people into one."),
    ("gallery split", "gallery:split", "Move some crops of a person to a new person."),
    ("gallery rename", "gallery:rename", "Rename a person."),
    ("gallery undo", "gallery:undo", "Undo the last decision."),
    ("gallery forget", "gallery:forget", "Delete a person permanently."),
    ("gallery expire", "gallery:expire", "Delete old crops permanently."),
    ("gallery rebuild", "gallery_pictures:rebuild", "Change the encoder of a gallery."),
    ("gallery export", "gallery:export", "Write the contents of a gallery to a file."),
    ("gallery info", "gallery:info", "Show what a gallery holds."),
    ("gallery check", "gallery:check", "Check a gallery for damage."),
    ("bench table", "bench:table", "Reproduce a table of a paper."),
    ("bench sweep", "bench:sweep", "Try several values of one setting."),
    ("bench all", "bench:every", "Train all methods on several data sets."),
):
    _above = {"data": data, "bench": bench, "gallery": gallery}.get(_command.split()[0], app)
    _above.command(
        f"reseen.cli.{_place}",
        name=_command.split()[-1],
        help=_help,
        help_epilogue=examples(_command),
    )


def settings_of(words: list[str], preset: str = "auto") -> tuple:
    """Take `--config FILE` and `--variant NAME` out of the words of `train`.

    Args:
        words: of the command line; `--preset=NAME` is put in, where it does not stand there.
        preset: what is taken where neither a preset nor a variant is given; `auto` chooses by the
            data and the machine.

    Returns:
        What reads settings where the command line has none: the file, then the variant, then the
        preset, then what the method's parts have by default; the first that knows a setting wins.
    """
    if words[:1] == ["bench"]:  # its words for train are read when it trains
        return ()
    words[:] = [part for word in words for part in _apart(word)]
    config = _take(words, "--config", "-c")
    method = words[1] if words[:1] == ["train"] and len(words) > 1 else None
    readers = () if config is None else _file(Path(config), method)
    if method is None:
        return readers
    variant = _take(words, "--variant")
    preset = _take(words, "--preset") or ("published" if variant else preset)
    if not {"-h", "--help"}.isdisjoint(words):
        preset = "published"
    changes: dict[str, Any] = {}
    if preset != "published":
        plain = *readers, *_defaults(method, variant, changes)
        preset, changes = _preset(words, plain, preset)
    words.append(f"--preset={preset}")
    return *readers, *_defaults(method, variant, changes)


def _preset(words: list[str], readers: tuple, name: str) -> tuple[str, dict[str, Any]]:
    """Give a preset and what it changes; for auto, that which suits the data and the machine."""
    from reseen.data.reading import recognised
    from reseen.engine.device import Device
    from reseen.presets import preset, suited
    from reseen.training import load

    app.config = readers
    _, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    bound.apply_defaults()
    asked = bound.arguments
    data, format, device = asked["data"], asked["format"], asked["device"]
    if not data.exists():
        return "published", {}  # reading it says what is wrong
    if name == "auto":
        plain = asked["pattern"] or asked["folders"] != "auto"
        format = ("folder" if plain else recognised(data)) if format == "auto" else format
        name = suited(format, device.resolve().name != "cpu")
    start = load(asked["start"], device=Device(name="cpu")).settings if asked["start"] else None
    return name, preset(words[1], name, start)


def _file(path: Path, method: str | None) -> tuple:
    """Read settings; what stands under a method's name is for that method alone, and wins."""
    from cyclopts.config import Dict, Json, Toml, Yaml

    from reseen.methods import METHODS

    kinds = {".toml": Toml, ".yaml": Yaml, ".yml": Yaml, ".json": Json}
    if path.suffix not in kinds or not path.is_file():
        raise SettingsError(f"--config {path} is not an existing .toml, .yaml or .json file.")
    try:
        told = kinds[path.suffix](path).config
    except (CycloptsError, ValueError) as error:
        raise SettingsError(f"--config {path} cannot be parsed: {error}") from error
    rest = {name: value for name, value in told.items() if name not in METHODS}
    read = partial(Dict, use_commands_as_keys=False, source=str(path))
    return read(told.get(method, {})), read(rest)


def _defaults(method: str, variant: str | None, preset: dict[str, Any]) -> tuple:
    from cyclopts.config import Dict

    from reseen.engine.settings import nested, own_defaults
    from reseen.engine.variants import pick
    from reseen.methods import METHODS
    from reseen.published import VARIANTS

    if method not in METHODS:
        return ()
    changes = own_defaults(METHODS[method]()) | preset
    if variant is not None:
        changes |= pick(VARIANTS.get(method, {}), variant).settings
    return (Dict(nested(changes), use_commands_as_keys=False),)


def _take(words: list[str], *names: str) -> str | None:
    place = next((place for place, word in enumerate(words) if word in names), None)
    if place is None:
        return None
    if len(words) == place + 1:
        raise SettingsError(f"{words[place]} needs a value.")
    value = words[place + 1]
    del words[place : place + 2]
    return value


def _apart(word: str) -> list[str]:
    """Part --config=FILE, -c=FILE, -cFILE, --variant=NAME and --preset=NAME."""
    if word.startswith(("--config=", "--variant=", "--preset=")):
        return word.split("=", 1)
    return ["-c", word[2:].removeprefix("=")] if word[:2] == "-c" and word != "-c" else [word]


def main(words: Sequence[str] | None = None) -> None:
    """Run one command.

    Exit codes: 0 for success; 1 for an error that the user can fix, printed in one line; 130 if
    stopped by Ctrl-C, 143 by SIGTERM. Only `data check` and `gallery check` exit with 2, if there
    are problems or damage. Any other error keeps its traceback.
    """
    for stream in (sys.stdout, sys.stderr):  # names that a console's alphabet cannot show
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
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
        with _together(words):
            app.config = settings_of(words)
            app(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _refuse(explain(error))
    except ReseenError as error:
        _refuse(str(error))
    except KeyboardInterrupt as error:
        told = str(error) or "stopped. Run the same command again to resume a training run."
        _refuse(told, 128 + stopped[-1], first=True)
    except Exception as error:
        said = refusal(error)
        if said is None and _speaks():
            raise
        _refuse(said or "")
    finally:
        if mine:
            signal.signal(signal.SIGTERM, before)


def _refuse(why: str, code: int = 1, *, first: bool = False) -> NoReturn:
    """End, and say why; of several processes one says it, or the first one alone."""
    if _speaks(first):
        print(f"reseen: {why}", file=sys.stderr)
    sys.exit(code)


def _several() -> int:
    """Give the number of processes that torchrun has started, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _speaks(first: bool = False) -> bool:
    if _several() == 1:
        return True
    from reseen.engine import processes

    return (processes.first() or not first) and processes.speaks()


def _together(words: Sequence[str]) -> AbstractContextManager:
    """Join the processes that torchrun has started, where it has."""
    if _several() == 1:
        return nullcontext()
    from reseen.engine import processes

    if words[:1] not in (["train"], ["extract"]):
        raise SettingsError(
            f"torchrun started {_several()} processes of `reseen {' '.join(words[:1])}`, but only "
            "train and extract share their work among several. Start it without torchrun."
        )
    return processes.group()
