"""The shelves: documented names, each in the list at the top."""

import inspect
import re

from reseen import parts


def test_every_part_is_documented_and_listed():
    doc = parts.__doc__ or ""
    listed = re.findall(r"\b\w+\b", " ".join(re.findall(r"^- .*?\.$", doc, re.M | re.S)))
    for name in parts.__all__:
        assert name in listed, name
        assert name == "NOISE" or inspect.getdoc(getattr(parts, name)), name
    given = {name for name, part in vars(parts).items() if not inspect.ismodule(part)}
    assert {name for name in given if name[0] != "_"} == set(parts.__all__)
