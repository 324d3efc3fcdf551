"""Messages and progress bars of long work."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import nan

from numba.core import event
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
)

from reseen.errors import counted

Track = Callable[[Iterable, int], Iterable]
"""Wraps a loop over a given number of items, to show its progress."""


LAST_STAGE = "training"
"""The last loop of a round, after which the duration of all rounds is estimated."""

LONG = 12 * 3600
"""Duration of a run in seconds from which a shorter schedule is suggested."""

Update = Callable[[int, str], None]
"""Shows the number of finished items, and the remaining time if it is known."""


class Pace:
    """Estimates the remaining time of a loop.

    There is no estimate in the first seconds, nor from the first item, which often includes a
    start-up. Later, only the last minute counts.

    Args:
        total: number of items.

    Attributes:
        done: number of finished items.
        each: seconds for an item, without the first one; nan if not known yet.
    """

    def __init__(self, total: int):
        self.done = 0
        self.each = nan
        self._total = total
        self._marks: deque[tuple[float, int]] = deque()

    def step(self) -> float | None:
        """Count an item, and return the remaining seconds, or None if not known yet."""
        now = time.monotonic()
        self.done += 1
        self._marks.append((now, self.done))
        if self.done < 3 or now - self._marks[0][0] < 5:
            return None
        while now - self._marks[1][0] > 60:
            self._marks.popleft()
        then, before = self._marks[0]
        self.each = (now - then) / (self.done - before)
        return self.each * (self._total - self.done)


class Screen:
    """Prints to standard error: bars on a terminal, plain lines in a log, or nothing.

    Args:
        quiet: print nothing at all.
    """

    def __init__(self, quiet: bool = False):
        self.console = Console(stderr=True, quiet=quiet, soft_wrap=True, highlight=False)
        self._round, self._rounds, self._began = 0, 0, 0.0
        self._beside = 0.0
        self._estimated = self._warned = False

    def say(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, markup=False)

    def begin_round(self, number: int, total: int, beside: float = 0.0) -> None:
        """Set the current round, which progress bars show, and from which the total is estimated.

        Args:
            number: of the round, from 1.
            total: number of rounds.
            beside: seconds that the run will spend between rounds, such as for searches.
        """
        self._estimated = self._round > 0  # at the end of a round there is a better estimate
        self._round, self._rounds, self._beside = number, total, beside
        self._began = time.monotonic()

    def leave_out(self, seconds: float) -> None:
        """Exclude one-time work from the duration of this round."""
        self._began += seconds

    def track(self, what: str) -> Track:
        """Return a wrapper for loops: `for x in screen.track("reading")(items, total)`."""

        def wrap(items: Iterable, total: int) -> Iterator:
            name = f"round {self._round}/{self._rounds}, {what}" if self._round else what
            before = time.monotonic() - self._began  # earlier loops of this round
            pace = Pace(total)
            show = self._bar if self.console.is_terminal else self._lines
            with show(name, total) as update:
                for item in items:
                    yield item
                    left = pace.step()
                    said = "" if left is None else f"{duration(left)} left"
                    if left is not None and self._round:
                        one, last = before + pace.each * total, what == LAST_STAGE
                        in_all = left + one * (self._rounds - self._round) + self._beside
                        if last and self._round < self._rounds:
                            said = f"about {said} in this round, {duration(in_all)} in all"
                        self._estimate(in_all, last)
                    update(pace.done, said)
            self._estimated |= what == LAST_STAGE  # later loops are not part of every round

        return wrap

    @contextmanager
    def _bar(self, name: str, total: int) -> Iterator[Update]:
        columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
        times = MofNCompleteColumn(), TextColumn("{task.fields[left]}")
        with Progress(*columns, *times, console=self.console, transient=True) as bars:
            task = bars.add_task(name, total=total, left="")
            yield lambda done, left: bars.update(task, completed=done, left=left)

    @contextmanager
    def _lines(self, name: str, total: int) -> Iterator[Update]:
        said = time.monotonic()

        def update(done: int, left: str) -> None:
            nonlocal said
            now = time.monotonic()
            if now - said > 30 and done < total:
                said = now
                self.say(", ".join(filter(None, (f"  {name}: {done} of {total}", left))))

        yield update

    def _estimate(self, in_all: float, last: bool) -> None:
        """Print once how long all rounds take, and suggest alternatives if that is very long.

        Before the last stage of a round the estimate is a lower bound, which is printed if it is
        long.
        """
        if self._estimated:
            return
        self._estimated, todo = last, self._rounds - self._round + 1
        long = in_all > LONG and not self._warned
        self._warned |= long
        if long or (last and todo > 1):
            what = "about" if last else "more than"
            self.say(f"{what} {duration(in_all)} for {counted(todo, 'round')} at this pace")
        if long:
            self.say(
                "That is long. Fewer rounds, fewer iterations or a smaller encoder take less; on "
                "a machine without a GPU, --preset cpu chooses them (in Python, "
                'reseen.method(NAME, "cpu")). Every finished round is saved: you can stop this '
                "run. Run the same command again to resume."
            )


@contextmanager
def compiling_said(screen: Screen) -> Iterator[None]:
    """Print a message when numba has to compile, which happens once on a machine."""
    with event.install_listener("numba:compile", _Compiling(screen)):
        yield


class _Compiling(event.Listener):
    def __init__(self, screen: Screen):
        self.screen, self.said = screen, False
        self._depth, self._began = 0, 0.0

    def on_start(self, event: event.Event) -> None:
        if not self.said:
            self.said = True
            self.screen.say("compiling for this machine, once: about 15 seconds")
        if not self._depth:  # compiling a function compiles the functions that it calls
            self._began = time.monotonic()
        self._depth += 1

    def on_end(self, event: event.Event) -> None:
        self._depth -= 1
        if not self._depth:
            self.screen.leave_out(time.monotonic() - self._began)


QUIET = Screen(quiet=True)
"""Prints nothing."""

UNTRACKED = QUIET.track("")
"""Shows no progress."""


def duration(seconds: float) -> str:
    """Format a duration: 42 s, 3 min 5 s, 2 h 7 min, 5 days 3 h."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    hours = seconds // 3600
    if hours < 24:
        return f"{hours} h {seconds % 3600 // 60} min"
    return f"{counted(hours // 24, 'day')} {hours % 24} h"
