import io
from types import SimpleNamespace

import pytest
from numba import njit
from rich.console import Console

from reseen.engine.progress import QUIET, Pace, Screen, _Compiling, compiling_said, duration


def screen_of(terminal):
    screen = Screen()
    screen.console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    return screen


def test_every_item_comes_through_in_order():
    for screen in (QUIET, screen_of(True), screen_of(False)):
        assert list(screen.track("reading")(iter(range(5)), 5)) == [0, 1, 2, 3, 4]


def test_a_terminal_sees_a_bar_with_the_count():
    screen = screen_of(True)
    for _ in screen.track("reading")(range(3), 3):
        pass
    assert "reading" in screen.console.file.getvalue()


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets; reading it takes no time."""
    hands = SimpleNamespace(now=0.0)
    monkeypatch.setattr("reseen.engine.progress.time.monotonic", lambda: hands.now)
    return hands


def ticking(clock, seconds):
    """Items, each of which takes that long."""
    for number, takes in enumerate(seconds):
        clock.now += takes
        yield number


def test_a_log_sees_a_line_now_and_then(clock):
    screen = screen_of(False)
    list(screen.track("reading")(ticking(clock, [40, 40, 40, 10, 10, 40, 40]), 7))
    assert screen.console.file.getvalue().splitlines() == [
        "  reading: 1 of 7",
        "  reading: 2 of 7",
        "  reading: 3 of 7, 2 min 40 s left",
        "  reading: 6 of 7, 25 s left",
    ]


def test_no_time_is_told_before_some_items_and_seconds_are_over(clock):
    pace, lefts = Pace(676), []
    for _ in ticking(clock, [60, 1, 1, 1, 1, 1, 1]):
        lefts.append(pace.step())
    assert lefts == [None] * 5 + [670, 669]  # not 11 hours, by the first item


def test_the_recent_part_counts(clock):
    pace = Pace(1000)
    lefts = [pace.step() for _ in ticking(clock, [10] * 50 + [1] * 200)]
    assert lefts[49] == 9500 and lefts[-1] == 750


def test_an_unsteady_second_is_no_surprise_on_a_terminal(clock):
    screen = screen_of(True)
    list(screen.track("drawing")(ticking(clock, [60, 1, 1, 1, 1, 1, 1]), 676))
    said = screen.console.file.getvalue()
    assert "7/676" in said and "11 min 9 s left" in said and " h " not in said


def test_loops_say_their_round_and_what_all_rounds_take(clock):
    screen = screen_of(False)
    screen.begin_round(1, 50)
    list(screen.track("extracting")(ticking(clock, [10] * 5), 5))
    training = [27] * 400
    list(screen.track("training")(ticking(clock, training), 400))
    said = screen.console.file.getvalue().splitlines()
    assert "  round 1/50, extracting: 4 of 5, 10 s left" in said
    # 54 s, and 49 times (5 x 10 s and 400 x 27 s)
    row = "  round 1/50, training: 398 of 400, about 54 s left in this round, 6 days 3 h in all"
    assert row in said
    # at the third step: 397 x 27 s, and the same
    assert said[said.index("  round 1/50, training: 2 of 400") + 1] == (
        "about 6 days 6 h for 50 rounds at this pace"
    )
    screen.begin_round(2, 50)
    list(screen.track("training")(ticking(clock, training), 400))
    assert screen.console.file.getvalue().count("at this pace") == 1


def test_what_happens_once_is_not_counted_for_all_rounds(clock):
    """Neither the first step, which waits for something, nor compiling."""
    screen = screen_of(False)
    compiling = _Compiling(screen)
    screen.begin_round(1, 11, beside=5 * 60)
    list(screen.track("extracting")(ticking(clock, [10]), 1))
    for nested in (compiling.on_start, compiling.on_start, compiling.on_end, compiling.on_end):
        clock.now += 100
        nested(None)
    list(screen.track("training")(ticking(clock, [1000] + [5] * 9), 10))
    # at the third step: 7 x 5 s; 10 rounds of 10 s, 10 x 5 s and the 100 s before compiling;
    # and 5 min of searches
    assert "about 32 min 15 s for 11 rounds at this pace" in screen.console.file.getvalue()


@pytest.mark.parametrize(
    ("rounds", "step", "long"), [(50, 3, True), (50, 1, False), (1, 300, True)]
)
def test_a_run_of_more_than_half_a_day_is_said_after_some_steps(clock, rounds, step, long):
    screen = screen_of(False)
    screen.begin_round(1, rounds)
    list(screen.track("training")(ticking(clock, [step] * 8), 400))
    said = screen.console.file.getvalue()
    assert ("--preset cpu" in said) == long
    assert said.count("at this pace") == 1


def test_a_run_whose_features_alone_take_long_is_said_before_it_trains(clock):
    screen = screen_of(False)
    screen.begin_round(1, 50)
    list(screen.track("extracting")(ticking(clock, [10] * 200), 200))
    said = screen.console.file.getvalue()
    # at the third batch: 197 x 10 s, and 49 x 200 x 10 s
    assert said.count("more than 1 day 3 h for 50 rounds at this pace") == 1
    list(screen.track("training")(ticking(clock, [10] * 9), 10))
    said = screen.console.file.getvalue()
    # 7 x 10 s, and 49 x 210 x 10 s
    assert said.count("about 1 day 4 h for 50 rounds at this pace") == 1
    assert said.count("--preset cpu") == 1


def test_a_long_search_after_a_short_round_is_not_taken_for_a_part_of_every_round(clock):
    screen = screen_of(False)
    screen.begin_round(1, 50)
    list(screen.track("training")(ticking(clock, [1] * 3), 3))
    list(screen.track("searching")(ticking(clock, [10] * 200), 200))
    assert "at this pace" not in screen.console.file.getvalue()


@pytest.mark.parametrize(("number", "says"), [(20, "about 1 h 1 min for 31 rounds"), (50, "")])
def test_a_run_that_goes_on_tells_what_is_left(clock, number, says):
    screen = screen_of(False)
    screen.begin_round(number, 50)
    list(screen.track("training")(ticking(clock, [6] * 20), 20))
    assert says in screen.console.file.getvalue()
    assert ("pace" in screen.console.file.getvalue()) == bool(says)


def test_quiet_says_nothing(capsys):
    Screen(quiet=True).say("hello")
    Screen().say("[file] name")
    assert capsys.readouterr().err == "[file] name\n"


def test_durations_are_short():
    said = {
        41.6: "42 s",
        185: "3 min 5 s",
        7620: "2 h 7 min",
        90000: "1 day 1 h",
        442800: "5 days 3 h",
    }
    assert {seconds: duration(seconds) for seconds in said} == said


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
