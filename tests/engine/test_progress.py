import io

from numba import njit
from rich.console import Console

from reseen.engine.progress import QUIET, Screen, compiling_said, duration


def screen_of(terminal):
    screen = Screen()
    screen.console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    return screen


def test_every_item_comes_through_in_order():
    for screen in (QUIET, screen_of(True), screen_of(False)):
        assert list(screen.track("reading")(iter(range(5)), 5)) == [0, 1, 2, 3, 4]


def test_a_terminal_sees_a_bar_with_the_count():
    screen = screen_of(True)
    for _ in screen.track("reading")(range(3), 3):
        pass
    assert "reading" in screen.console.file.getvalue()


def test_a_log_sees_a_line_now_and_then(monkeypatch):
    clock = iter(range(0, 1000, 40))
    monkeypatch.setattr("reseen.engine.progress.time.monotonic", lambda: next(clock))
    screen = screen_of(False)
    list(screen.track("reading")(range(3), 3))
    assert screen.console.file.getvalue().splitlines() == [
        "  reading: 1 of 3, 1 min 20 s left",
        "  reading: 2 of 3, 40 s left",
    ]


def test_quiet_says_nothing(capsys):
    Screen(quiet=True).say("hello")
    Screen().say("[file] name")
    assert capsys.readouterr().err == "[file] name\n"


def test_durations_are_short():
    assert [duration(s) for s in (41.6, 185, 7620)] == ["42 s", "3 min 5 s", "2 h 7 min"]


def test_compiling_is_said_once():
    screen = screen_of(False)
    one, other = njit(lambda x: x + 1), njit(lambda x: x + 2)
    with compiling_said(screen):
        assert one(1) + other(1) == 5
    assert screen.console.file.getvalue().count("compiling for this machine") == 1
    screen = screen_of(False)
    with compiling_said(screen):
        one(1)
    assert screen.console.file.getvalue() == ""
