"""What is wrong with words that are no command line: one sentence each."""

from collections.abc import Iterable
from difflib import get_close_matches

from cyclopts import (
    ConsumeMultipleError,
    CycloptsError,
    MissingArgumentError,
    UnknownOptionError,
    UnusedCliTokensError,
)

NEAR = 0.75
"""How like a word must be to be suggested, 0 to 1."""


def explain(error: CycloptsError) -> str:
    """Say what is wrong and what to do."""
    error.verbose = False
    see = f"`{' '.join(('reseen', *(error.command_chain or ())))} --help` lists all options."
    if isinstance(error, UnknownOptionError):
        word = (error.token.keyword or error.token.value).split("=")[0]
        names = [name for known in error.argument_collection if known.parse for name in known.names]
        where = ""
        if error.token.source != "cli":  # a file, in which names have no dashes
            word, where = word.strip("[]").replace("][", "."), f" in {error.token.source}"
            names = [name.lstrip("-").replace("-", "_") for name in names]
        near = nearest(word, names)
        return f"Unknown option: {word}{where}. " + (f"Did you mean {near}?" if near else see)
    if isinstance(error, MissingArgumentError) and not isinstance(error, ConsumeMultipleError):
        argument = error.argument
        assert argument is not None
        given = error.keyword or next((t.keyword for t in argument.tokens if t.keyword), None)
        if given:
            return f"{given} needs {'more values' if argument.tokens else 'a value'}."
        name = argument.name if argument.name.startswith("-") else argument.name.upper()
        near = nearest(argument.name, [w for w in error.unused_tokens or () if w.startswith("-")])
        if near:
            return f"Unknown option: {near}. Did you mean {name}?"
        return f"{name} is missing: {_meaning(error, argument.name) or see}"
    if isinstance(error, UnusedCliTokensError):
        return f"Unexpected argument: {' '.join(error.unused_tokens or ())}. {see}"
    return str(error)


def _meaning(error: CycloptsError, name: str) -> str | None:
    """Give what the help says of an argument: it is not read before somebody asks."""
    known = error.app.assemble_argument_collection(parse_docstring=True) if error.app else ()
    told = next((argument.parameter.help for argument in known if argument.name == name), None)
    return told and " ".join(told.split())


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Give the option that a word most likely means, or None where none is near.

    The part behind the dot counts too: --backbone means --encoder.backbone.
    """
    ends = {name.lstrip("-").split(".")[-1]: name for name in names}
    known = ends | {name.lstrip("-"): name for name in names}
    found = get_close_matches(word.lstrip("-"), known, n=1, cutoff=NEAR)
    return known[found[0]] if found else None
