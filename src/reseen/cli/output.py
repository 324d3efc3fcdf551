"""What commands print."""

from rich.console import Console
from rich.table import Table


def show(table: Table) -> Console:
    """Print a table whole, however narrow the terminal: a number that is cut off is none."""
    wide = Console(width=10_000).measure(table).maximum
    console = Console(soft_wrap=True)
    console.width = max(console.width, wide)
    console.print(table)
    return console
