import ast
import inspect
import shlex
from functools import reduce

import pytest
from rich.console import Console

from reseen.cli import app, main, settings_of
from reseen.cli.help import COMMON, EXAMPLES, GROUPS, group_of
from reseen.data.augment import AugmentSettings
from reseen.data.loading import Loading
from reseen.engine.device import Device
from reseen.methods import METHODS
from reseen.nets.encoder import EncoderSettings


def commands(above=app, words=()):
    for name in above:
        if not name.startswith("-"):
            yield " ".join([*words, name])
            yield from commands(above[name], (*words, name))


COMMANDS = ["", *commands()]


PRINTED = {}
"""What was printed by command and columns: it takes half a second."""


@pytest.fixture
def helped(monkeypatch, capsys):
    """Print the help of a command, so wide that no sentence breaks where nothing else is asked."""

    def run(command, columns=1000):
        if (command, columns) not in PRINTED:
            monkeypatch.setattr(app, "console", Console(width=columns))
            with pytest.raises(SystemExit) as end:
                main([*command.split(), "--help"])
            printed = capsys.readouterr()
            assert (end.value.code, printed.err) == (0, "")
            PRINTED[command, columns] = printed.out
        return PRINTED[command, columns]

    return run


def sentences(kind):
    """Read what the source says of each field of a dataclass."""
    (body,) = ast.parse(inspect.getsource(kind)).body
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            yield field.target.id, " ".join(text.value.value.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_what_the_source_says_letter_by_letter(helped, command):
    shown = helped(command)
    told = reduce(lambda above, name: above[name], command.split(), app)
    options = (
        told.assemble_argument_collection(parse_docstring=True) if told.default_command else ()
    )
    for argument in options:
        if argument.show:
            assert argument.parameter.help, argument.name
            assert " ".join(argument.parameter.help.split()) in shown
    if "--pattern" in shown and command != "video":  # there films have names, not pictures
        assert "{camera}_{person}_{_}.jpg" in shown


@pytest.mark.parametrize("method", METHODS)
def test_help_shows_the_sentence_of_every_setting(helped, method):
    shown = helped(f"train {method}")
    for kind in (METHODS[method], EncoderSettings, AugmentSettings, Device, Loading):
        for name, sentence in sentences(kind):
            assert sentence in shown or name.startswith(("needs_", "takes_")), name


def test_comments_of_html_are_shown(helped):
    assert "<!-- reseen bench all --> and <!-- end of reseen bench all -->" in helped("bench all")


@pytest.mark.parametrize("columns", [80, 120])
def test_help_fits_the_terminal(helped, columns):
    for command in ("", "train adtc", "bench all", "report"):
        assert max(map(len, helped(command, columns).splitlines())) == columns


def test_every_command_has_examples():
    assert sorted(EXAMPLES) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_stand_at_the_end_and_can_be_typed(helped, command):
    shown = helped(command).splitlines()
    lines = [f"  {line}" for line in EXAMPLES[command]]
    assert shown[-len(lines) - 1 :] == ["Examples:", *lines] and len(lines) == 2
    for line in EXAMPLES[command]:
        assert len(line) <= 78  # else it is broken on a terminal, and cannot be copied
        first, *words = shlex.split(line)
        assert first == "reseen" and " ".join(words).startswith(command)
        app.config = settings_of(words)
        app.parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("method", METHODS)
def test_options_of_train_stand_in_groups_the_common_ones_first(helped, method):
    shown = helped(f"train {method}").splitlines()
    titles = [line.strip("╭╮─ ") for line in shown if line.startswith("╭")]
    assert titles[:2] == ["Arguments", COMMON] and "More" not in titles
    assert [title for title in GROUPS if title in titles] == titles[1:]
    common = shown[shown.index(next(line for line in shown if COMMON in line)) + 1 :]
    assert "--out -o PATH" in common[0] and "--config -c PATH" in common[1]
    assert next(n for n, line in enumerate(common) if line.startswith("╰")) <= 16


def test_groups_name_no_option_that_is_gone():
    told = [app["train"][method].assemble_argument_collection() for method in METHODS]
    known = {name.lstrip("-") for options in told for option in options for name in option.names}
    known |= {name.split(".")[0] for name in known} | {"folders"}
    words = [word for group in GROUPS.values() for word in group.split()]
    assert len(set(words)) == len(words) and set(words) <= known


@pytest.mark.parametrize(
    ("option", "title"),
    [
        ("--encoder.backbone", COMMON),
        ("--encoder.width", "Encoder"),
        ("--width", "Attention"),
        ("--k1", COMMON),
        ("--new", "More"),
    ],
)
def test_an_option_has_one_group(option, title):
    assert group_of(option) == title


def test_what_stands_in_a_place_has_no_name_beside_it(helped):
    for command in ("evaluate", "extract", "attention-share", "choose-eps", "train adtc"):
        assert not {"--run", "--data", "--images", "--folder", "--features"} & set(
            helped(command).split()
        )


@pytest.mark.parametrize(
    "words",
    [
        "train cluster-contrast crops -o runs -s 3 -q",
        "evaluate run crops -q",
        "extract run crops -o f.npz -q",
        "report run -o page.html -q",
        "bench table adtc-2 crops -o runs -q",
        "data invent -o town -s 3 -q",
        "data check crops -q",
    ],
)
def test_the_common_options_are_short(words):
    app.config = ()
    _, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    assert bound.arguments["quiet"] is True
    assert bound.arguments.get("seed", 3) == 3


def test_help_names_every_format(helped):
    from reseen.data.reading import READERS

    shown = helped("extract").replace("│", " ").split()
    assert {
        name for name in READERS if not any(word.strip(":,.") == name for word in shown)
    } == set()
