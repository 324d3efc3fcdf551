"""`reseen gallery VERB G ...`: what needs no encoder, so that it begins at once."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from reseen.cli.output import AsJson, Out, Quiet, give
from reseen.errors import SettingsError, counted
from reseen.gallery.gallery import Gallery
from reseen.gallery.moments import span, told

LISTED = 3
"""Ids of the crops of an unknown person that a table shows."""


def people(
    gallery: Path,
    /,
    *,
    unknown: bool = False,
    min_crops: int = 2,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """List the named people of a gallery, and optionally groups of crops without a name.

    With --unknown, crops without a name are grouped into unknown people, seen by one or more
    cameras. These groups are proposals to be checked by a human: `reseen gallery accept` gives
    such a group a name, and `reseen gallery deny` records that a crop does not show a person. The
    table shows the first ids of each group, --json all of them.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    unknown
        Also group the crops without a name. This takes long in a large gallery.
    min_crops
        Minimum number of crops of an unknown person.
    """
    with Gallery.open(gallery) as opened:
        known = opened.people()
        proposals = opened.unknown(min_crops) if unknown else []
        without = opened.store.count() - sum(person.crops for person in known)
    tables = [
        _table(
            "name crops cameras first last ignored",
            [
                (
                    p.name,
                    p.crops,
                    ", ".join(p.cameras),
                    told(p.first),
                    told(p.last),
                    _yes(p.ignored),
                )
                for p in known
            ],
        )
    ]
    if unknown:
        tables.append(
            _table(
                "unknown crops cameras first last like ids",
                [
                    (
                        *(p.number, len(p.crops), ", ".join(p.cameras), told(p.first)),
                        *(told(p.last), p.like or "", _first_of(p.crops)),
                    )
                    for p in proposals
                ],
            )
        )
    said = f"{counted(without, 'crop')} without a name"
    said += "." if unknown or not without else ". Use --unknown to group them."
    numbers: dict[str, Any] = {"people": [asdict(person) for person in known], "unnamed": without}
    if unknown:
        numbers["unknown"] = [asdict(proposal) for proposal in proposals]
    give(numbers, *(t for t in tables if t.row_count), said, as_json=as_json)


def _first_of(ids: Sequence[str]) -> str:
    """Write the first ids, and how many more there are (--json gives all)."""
    left = len(ids) - LISTED
    return " ".join(ids[:LISTED]) + (f" and {left} more" if left > 0 else "")


def calibrate(
    gallery: Path,
    /,
    *,
    false_match_rate: float | None = None,
    confidence: float = 0.95,
    floor: bool = True,
    overlapping: bool | None = None,
    out: Out | None = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Find the similarity thresholds from which a match is called same or maybe.

    The thresholds are computed from the crops in the gallery and stored there. All later searches
    use them for the verdict of each match.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    false_match_rate
        Share of the pairs of different people that may be called same. By default 1 in 10,000.
    confidence
        Confidence, 0 to 1, that the share is not exceeded.
    floor
        Keep the threshold above the similarity of the two most similar named people, and of the
        stranger most similar to one of them. This is very strict if many people have names.
    overlapping
        Whether cameras see the same places, so that crops of two cameras at the same time may show
        one person. The setting is stored; --overlapping=false reverts it.
    out
        Also write the distribution of similarities and the effect of the thresholds to this .html
        file.
    """
    from reseen.engine.files import check_out
    from reseen.engine.progress import Screen
    from reseen.gallery.cutoffs import explain
    from reseen.report.calibration import write_calibration
    from reseen.report.page import check_page

    if out is not None:
        check_out(out, ".html", Screen(quiet))
        check_page(out)
    with Gallery.open(gallery) as opened:
        if overlapping is not None:
            opened.overlapping = overlapping
        found = opened.calibrate(
            false_match_rate=false_match_rate, confidence=confidence, floor=floor
        )
        if out is not None:
            kinds, title = opened.evidence().kinds, f"Thresholds of {gallery.name}"
            write_calibration(out, kinds, found.same, found.maybe, explain(found), title=title)
    said = f"same from {found.same:.3f} on, maybe from {found.maybe:.3f} on"
    give(asdict(found), f"{said}. {found.source}", as_json=as_json)


def name(gallery: Path, person: str, /, *ids: str, quiet: Quiet = False) -> None:
    """Name the person in some crops, replacing any name they already have.

    A name is refused if it contradicts the data: two boxes in the same frame, crops of two cameras
    at the same time, or crops for which it was recorded that they do not show this person.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    person
        Name of the person, who may be known or new.
    ids
        Ids of crops, as printed by search, people and export.
    """
    with Gallery.open(gallery) as opened:
        opened.name(_some(ids), person)
    _say(f"{counted(len(ids), 'crop')} named {person}", quiet)


def accept(gallery: Path, person: str, /, *numbers: int, quiet: Quiet = False) -> None:
    """Name all crops of an unknown person at once.

    Look at the crops first: some may show somebody else. A name is refused for the same reasons as
    in `reseen gallery name`. If crops were added or deleted after the unknown people were listed,
    their numbers have changed and they must be listed again.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    person
        Name of the person, who may be known or new.
    numbers
        Numbers of unknown people, as printed by `reseen gallery people --unknown`.
    """
    with Gallery.open(gallery) as opened:
        crops = opened.accept(_some(numbers), person)
    _say(f"{counted(crops, 'crop')} named {person}", quiet)


def unname(gallery: Path, /, *ids: str, quiet: Quiet = False) -> None:
    """Remove the names of crops.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    ids
        Ids of crops.
    """
    with Gallery.open(gallery) as opened:
        opened.unname(_some(ids))
    _say(f"{counted(len(ids), 'crop')} without a name", quiet)


def deny(gallery: Path, person: str, /, *ids: str, quiet: Quiet = False) -> None:
    """Record that crops do not show a person, so that they are never named or proposed as them.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    person
        Name of the person.
    ids
        Ids of crops.
    """
    with Gallery.open(gallery) as opened:
        opened.deny(person, _some(ids))
    _say(f"{counted(len(ids), 'crop')} not {person}", quiet)


def allow(gallery: Path, person: str, /, *ids: str, quiet: Quiet = False) -> None:
    """Undo `reseen gallery deny`: the crops may show this person again.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    person
        Name of the person.
    ids
        Ids of crops.
    """
    with Gallery.open(gallery) as opened:
        opened.allow(person, _some(ids))
    _say(f"{counted(len(ids), 'crop')} may be {person}", quiet)


def ignore(gallery: Path, /, *what: str, quiet: Quiet = False) -> None:
    """Exclude people or crops from searches and proposals. They stay in the gallery.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    what
        Names of people, or ids of crops.
    """
    with Gallery.open(gallery) as opened:
        crops = sum(opened.ignore(one) for one in _some(what))
    _say(f"{counted(crops, 'crop')} ignored", quiet)


def unignore(gallery: Path, /, *what: str, quiet: Quiet = False) -> None:
    """Include people or crops in searches and proposals again.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    what
        Names of people, or ids of crops.
    """
    with Gallery.open(gallery) as opened:
        crops = sum(opened.unignore(one) for one in _some(what))
    _say(f"{counted(crops, 'crop')} no longer ignored", quiet)


def merge(gallery: Path, person: str, into: str, /, *, quiet: Quiet = False) -> None:
    """Merge two people who are in fact one person.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    person
        Name that is given up.
    into
        Name that all crops get.
    """
    with Gallery.open(gallery) as opened:
        crops = opened.merge(person, into)
    _say(f"{counted(crops, 'crop')} of {person} named {into}", quiet)


def split(gallery: Path, person: str, new: str, /, *ids: str, quiet: Quiet = False) -> None:
    """Move some crops of a person to a new person.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    person
        Name that the crops have now.
    new
        Name that they get.
    ids
        Ids of crops.
    """
    with Gallery.open(gallery) as opened:
        opened.split(person, _some(ids), new)
    _say(f"{counted(len(ids), 'crop')} of {person} named {new}", quiet)


def rename(gallery: Path, person: str, new: str, /, *, quiet: Quiet = False) -> None:
    """Rename a person.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    person
        Old name.
    new
        New name.
    """
    with Gallery.open(gallery) as opened:
        crops = opened.rename(person, new)
    _say(f"{counted(crops, 'crop')} of {person} named {new}", quiet)


def undo(gallery: Path, /, *, quiet: Quiet = False) -> None:
    """Undo the last decision, such as a name, a merge, a split or an ignore.

    Deletions (forget, expire) cannot be undone.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    """
    with Gallery.open(gallery) as opened:
        said = opened.undo()
    _say("There is nothing left to undo." if said is None else f"undone: {said}", quiet)


def forget(gallery: Path, person: str, /, *, quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Delete a person permanently, with all crops, pictures, features, decisions and the name.

    Crops that show the person but do not have the name are not deleted. `reseen gallery seen` helps
    to find them beforehand.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    person
        Name of the person.
    """
    with Gallery.open(gallery) as opened:
        crops = opened.forget(person)
    give({"deleted": crops}, f"{counted(crops, 'crop')} deleted", as_json=as_json)


def expire(
    gallery: Path,
    /,
    *,
    older_than: str,
    keep_named: bool = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Permanently delete crops older than a given age, with their pictures and features.

    The age of a crop is counted from the time it was taken or, if that is unknown, from the time it
    was added to the gallery.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    older_than
        Age: a number followed by s, min, h, d or w, such as 30d.
    keep_named
        Keep crops that have a name.
    """
    age = span(older_than, "--older-than")
    with Gallery.open(gallery) as opened:
        crops = opened.expire(age, keep_named=keep_named)
    give({"deleted": crops}, f"{counted(crops, 'crop')} deleted", as_json=as_json)


def export(gallery: Path, out: Path, /, *, quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Write all that is known about the crops of a gallery to a file for other programs.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    out
        The file to write: .csv or .json, or .npz, which also contains the features.
    """
    with Gallery.open(gallery) as opened:
        crops = opened.export(out)
    said = f"wrote {counted(crops, 'crop')} to {out}"
    give({"crops": crops, "file": str(out)}, said, as_json=as_json)


def info(gallery: Path, /, *, as_json: AsJson = False) -> None:
    """Show the store, encoder, crops, people, cameras, times, size and thresholds of a gallery.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    """
    with Gallery.open(gallery) as opened:
        found = opened.info()
    cameras = ", ".join(f"{name} ({count:,})" for name, count in found["cameras"].items())
    cut = found["cutoffs"]
    rows = [
        ("store", found["store"]),
        ("encoder", f"{found['run']}, {found['model'][:12]}"),
        ("centring", found["centring"]),
        ("crops", f"{found['crops']:,}, {found['named']:,} with a name"),
        ("people", f"{found['people']:,}"),
        ("cameras", cameras or "none"),
        (
            "times",
            f"{told(found['first'])} to {told(found['last'])}" * (found["first"] is not None),
        ),
        ("size", f"{found['bytes'] / 1e6:,.1f} MB"),
        ("thresholds", f"same {cut['same']:.3f}, maybe {cut['maybe']:.3f}. {cut['source']}"),
    ]
    table = Table(title=str(gallery), title_justify="left", box=None, show_header=False)
    for row in rows:
        table.add_row(*row)
    give(found, table, as_json=as_json)


def check(gallery: Path, /, *, as_json: AsJson = False) -> None:
    """Check a gallery for damage: the store, every picture, and the encoder.

    The exit code is 0 if there is no damage, 2 if there is some, and 1 if the gallery cannot be
    opened at all.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    """
    with Gallery.open(gallery) as opened:
        wrong = opened.check()
    give({"damage": wrong}, *(wrong or ["No damage was found."]), as_json=as_json)
    if wrong:
        sys.exit(2)


def _table(names: str, rows: list[tuple]) -> Table:
    table = Table(box=None)
    for place, column in enumerate(names.split()):
        number = bool(rows) and isinstance(rows[0][place], int | float)
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(str(value) for value in row))
    return table


def _yes(value: bool) -> str:
    return "yes" if value else ""


def _some(words: tuple[Any, ...]) -> tuple[Any, ...]:
    if not words:
        raise SettingsError("Arguments are missing: give one or more at the end of the command.")
    return words


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        give(None, text, as_json=False)
