"""What a long piece of work says while it goes on."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

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
"""Wraps a loop over so many items, to show how far it is."""


LAST_STAGE = "training"
"""The loop that ends a round, from which the length of all rounds is estimated."""

Update = Callable[[int, float | None], None]
"""Shows how many items are done and how many seconds are left, where that is known."""


class Pace:
    """Estimates how long a loop still takes.

    There is no estimate in the first seconds, nor from the first item, which often waits for
    something. Later the last minute counts, and not how slow the beginning was.

    Args:
        total: items in all.
    """

    def __init__(self, total: int):
        self.done = 0
        self._total = total
        self._marks: deque[tuple[float, int]] = deque()

    def step(self) -> float | None:
        """Count an item, and give the seconds left, or None while nothing is known."""
        now = time.monotonic()
        self.done += 1
        self._marks.append((now, self.done))
        if self.done < 3 or now - self._marks[0][0] < 5:
            return None
        while now - self._marks[1][0] > 60:
            self._marks.popleft()
        then, before = self._marks[0]
        return (now - then) / (self.done - before) * (self._total - self.done)


class Screen:
    """Says things on standard error: bars on a terminal, plain lines in a log, or nothing.

    Args:
        quiet: say nothing at all.
    """

    def __init__(self, quiet: bool = False):
        self.console = Console(stderr=True, quiet=quiet, soft_wrap=True, highlight=False)
        self._round = 0, 0, 0.0
        self._estimated = False

    def say(self, text: str) -> None:
        """Say one line."""
        self.console.print(text, markup=False)

    def begin_round(self, number: int, total: int) -> None:
        """Note which round begins: its loops name it, and the first one tells what all will take.

        Args:
            number: of the round, from 1.
            total: rounds in all.
        """
        self._estimated = self._round[0] > 0  # at the end of a round there is a better estimate
        self._round = number, total, time.monotonic()

    def track(self, what: str) -> Track:
        """Give a wrapper for loops: `for x in screen.track("reading")(items, total)`."""

        def wrap(items: Iterable, total: int) -> Iterator:
            number, rounds, _ = self._round
            name = f"round {number}/{rounds}, {what}" if number else what
            pace = Pace(total)
            show = self._bar if self.console.is_terminal else self._lines
            with show(name, total) as update:
                for item in items:
                    yield item
                    left = pace.step()
                    update(pace.done, left)
                    if what == LAST_STAGE and left is not None:
                        self._estimate(left)

        return wrap

    @contextmanager
    def _bar(self, name: str, total: int) -> Iterator[Update]:
        columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
        times = MofNCompleteColumn(), TextColumn("{task.fields[left]}")
        with Progress(*columns, *times, console=self.console, transient=True) as bars:
            task = bars.add_task(name, total=total, left="")
            yield lambda done, left: bars.update(task, completed=done, left=_left(left))

    @contextmanager
    def _lines(self, name: str, total: int) -> Iterator[Update]:
        said = time.monotonic()

        def update(done: int, left: float | None) -> None:
            nonlocal said
            now = time.monotonic()
            if now - said > 30 and done < total:
                said = now
                self.say(", ".join(filter(None, (f"  {name}: {done} of {total}", _left(left)))))

        yield update

    def _estimate(self, left: float) -> None:
        """Say once how long the rounds take, if this one goes on as it does."""
        number, rounds, began = self._round
        if number and number < rounds and not self._estimated:
            self._estimated, todo = True, rounds - number + 1
            seconds = (time.monotonic() - began + left) * todo
            self.say(f"about {duration(seconds)} for {todo} rounds at this pace")


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f"{duration(seconds)} left"


@contextmanager
def compiling_said(screen: Screen) -> Iterator[None]:
    """Say so when numba has to compile, which it does once on a machine."""
    with event.install_listener("numba:compile", _Compiling(screen)):
        yield


class _Compiling(event.Listener):
    def __init__(self, screen: Screen):
        self.screen, self.said = screen, False

    def on_start(self, event: event.Event) -> None:
        if not self.said:
            self.said = True
            self.screen.say("compiling for this machine, once: some 15 seconds")

    def on_end(self, event: event.Event) -> None:
        pass


QUIET = Screen(quiet=True)
"""Says nothing."""

UNTRACKED = QUIET.track("")
"""Shows nothing of a loop."""


def duration(seconds: float) -> str:
    """Write a time span the short way: 42 s, 3 min 5 s, 2 h 7 min, 5 days 3 h."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    hours = seconds // 3600
    if hours < 24:
        return f"{hours} h {seconds % 3600 // 60} min"
    return f"{counted(hours // 24, 'day')} {hours % 24} h"
