"""What a long piece of work says while it goes on."""

import time
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
    TimeRemainingColumn,
)

Track = Callable[[Iterable, int], Iterable]
"""Wraps a loop over so many items, to show how far it is."""


class Screen:
    """Says things on standard error: bars on a terminal, plain lines in a log, or nothing.

    Args:
        quiet: say nothing at all.
    """

    def __init__(self, quiet: bool = False):
        self.console = Console(stderr=True, quiet=quiet, soft_wrap=True, highlight=False)

    def say(self, text: str) -> None:
        """Say one line."""
        self.console.print(text, markup=False)

    def track(self, what: str) -> Track:
        """Give a wrapper for loops: `for x in screen.track("reading")(items, total)`."""

        def wrap(items: Iterable, total: int) -> Iterator:
            if self.console.is_terminal:
                columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
                times = MofNCompleteColumn(), TimeRemainingColumn()
                with Progress(*columns, *times, console=self.console, transient=True) as bars:
                    yield from bars.track(items, total=total, description=what)
            else:
                yield from self._lines(items, total, what)

        return wrap

    def _lines(self, items: Iterable, total: int, what: str) -> Iterator:
        said = began = time.monotonic()
        for done, item in enumerate(items):
            yield item
            now = time.monotonic()
            if now - said > 30 and done + 1 < total:
                said, left = now, (now - began) * (total - done - 1) / (done + 1)
                self.say(f"  {what}: {done + 1} of {total}, {duration(left)} left")


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
    """Write a time span the short way: 42 s, 3 min 5 s, 2 h 7 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
