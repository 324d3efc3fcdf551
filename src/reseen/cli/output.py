"""What commands print: results on standard output, everything else on standard error."""

import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

Out = Annotated[Path, Parameter(alias="-o")]
Seed = Annotated[int, Parameter(alias="-s")]
Quiet = Annotated[bool, Parameter(alias="-q", help="Print only the result.")]
AsJson = Annotated[bool, Parameter(name="--json", help="Print the result as one line of JSON.")]
"""Options that several commands have, with one short form and one meaning."""


def give(numbers: Any, *shown: Table | str, as_json: bool) -> None:
    """Print a result: for a reader as a table and sentences, or for a program as a line of JSON.

    Args:
        numbers: what JSON can hold; paths and numpy's numbers too.
        shown: the same for a reader.
        as_json: whether a program reads it.
    """
    if as_json:
        print(json.dumps(numbers, default=_plain))
        return
    for part in shown:
        if isinstance(part, Table):
            show(part)
        else:
            Console(soft_wrap=True, highlight=False).print(part, markup=False)


def show(table: Table) -> None:
    """Print a table whole, however narrow the terminal: a number that is cut off is none."""
    console = Console(soft_wrap=True)
    console.width = max(console.width, Console(width=10_000).measure(table).maximum)
    console.print(table)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
