"""`reseen gallery VERB G ...`: what needs no encoder, so that it begins at once."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from reseen.cli.output import AsJson, Out, Quiet, give
from reseen.errors import SettingsError, counted
from reseen.gallery.gallery import Gallery
from reseen.gallery.moments import span, told


def people(
    gallery: Path,
    /,
    *,
    unknown: bool = False,
    min_crops: int = 2,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """List who has a name in a gallery, and, where it is asked for, people who have none yet.

    Unknown people are groups of crops without a name that may show one person, by one camera or
    several. They are proposals for a human to look at: `reseen gallery accept` takes one over, and
    `reseen gallery deny` keeps a crop from being proposed as somebody.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    unknown
        Group the crops without a name too; takes long in a large gallery.
    min_crops
        Crops that an unknown person must have.
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
                        *(told(p.last), p.like or "", " ".join(p.crops)),
                    )
                    for p in proposals
                ],
            )
        )
    said = f"{counted(without, 'crop')} without a name"
    said += "." if unknown or not without else ": --unknown groups them."
    numbers: dict[str, Any] = {"people": [asdict(person) for person in known], "unnamed": without}
    if unknown:
        numbers["unknown"] = [asdict(proposal) for proposal in proposals]
    give(numbers, *(t for t in tables if t.row_count), said, as_json=as_json)


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
    """Find from which similarity on a match may be called the same person, or maybe the same.

    The cut-offs come from the gallery itself, and are kept there: every search says then by them
    what a similarity means.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    false_match_rate
        Share of pairs of different people that may be called the same; by default 1 in 10,000.
    confidence
        How sure it must be that no more are, 0 to 1.
    floor
        Keep the cut-off above the closest two people who have names, and above the highest
        stranger to one; very careful where many people have names.
    overlapping
        Cameras see the same places, so that one time at two cameras may be one person; kept for
        later. --overlapping=false takes it back.
    out
        An .html file to write: how alike pairs of crops are, and what the cut-offs cost.
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
            kinds, title = opened.evidence().kinds, f"Cut-offs of {gallery.name}"
            write_calibration(out, kinds, found.same, found.maybe, explain(found), title=title)
    said = f"same from {found.same:.3f} on, maybe from {found.maybe:.3f} on"
    give(asdict(found), f"{said}. {found.source}", as_json=as_json)


def name(gallery: Path, person: str, /, *ids: str, quiet: Quiet = False) -> None:
    """Say who is on crops; a name that they have is replaced.

    A name is refused where the data cannot carry it: two boxes of one frame, one time at two
    cameras, or crops of which somebody said that they are not this person.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    person
        Name, known or new.
    ids
        Ids of crops, as search, people and export print them.
    """
    with Gallery.open(gallery) as opened:
        opened.name(_some(ids), person)
    _say(f"{counted(len(ids), 'crop')} named {person}", quiet)


def accept(gallery: Path, person: str, /, *numbers: int, quiet: Quiet = False) -> None:
    """Give the crops of an unknown person a name, all at once.

    Look at them first: a stranger may be among them. A name is refused as by `reseen gallery name`.
    Where crops came or went since unknown people were listed, they have other numbers, and have to
    be listed again.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    person
        Name, known or new.
    numbers
        Of unknown people, as `reseen gallery people --unknown` prints them.
    """
    with Gallery.open(gallery) as opened:
        crops = opened.accept(_some(numbers), person)
    _say(f"{counted(crops, 'crop')} named {person}", quiet)


def unname(gallery: Path, /, *ids: str, quiet: Quiet = False) -> None:
    """Take the names of crops back.

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
    """Say that crops do not show a person: they are never named or proposed so again.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    person
        Name.
    ids
        Ids of crops.
    """
    with Gallery.open(gallery) as opened:
        opened.deny(person, _some(ids))
    _say(f"{counted(len(ids), 'crop')} not {person}", quiet)


def allow(gallery: Path, person: str, /, *ids: str, quiet: Quiet = False) -> None:
    """Take back that crops do not show a person.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    person
        Name.
    ids
        Ids of crops.
    """
    with Gallery.open(gallery) as opened:
        opened.allow(person, _some(ids))
    _say(f"{counted(len(ids), 'crop')} may be {person}", quiet)


def ignore(gallery: Path, /, *what: str, quiet: Quiet = False) -> None:
    """Leave people, or crops, out of searches and proposals; they stay in the gallery.

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
    """Take people, or crops, into searches and proposals again.

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
    """Say that two names are one person.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    person
        The name that goes.
    into
        The name that stays.
    """
    with Gallery.open(gallery) as opened:
        crops = opened.merge(person, into)
    _say(f"{counted(crops, 'crop')} of {person} named {into}", quiet)


def split(gallery: Path, person: str, new: str, /, *ids: str, quiet: Quiet = False) -> None:
    """Give some crops of a person to somebody new.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    person
        Name whose crops they are.
    new
        Name that they get.
    ids
        Ids of crops.
    """
    with Gallery.open(gallery) as opened:
        opened.split(person, _some(ids), new)
    _say(f"{counted(len(ids), 'crop')} of {person} named {new}", quiet)


def rename(gallery: Path, person: str, new: str, /, *, quiet: Quiet = False) -> None:
    """Give a person another name.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    person
        The name that goes.
    new
        The name that comes.
    """
    with Gallery.open(gallery) as opened:
        crops = opened.rename(person, new)
    _say(f"{counted(crops, 'crop')} of {person} named {new}", quiet)


def undo(gallery: Path, /, *, quiet: Quiet = False) -> None:
    """Take back the last decision: a name, a merge, a split, an ignore and the like.

    What was deleted (forget, expire) does not come back.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    """
    with Gallery.open(gallery) as opened:
        said = opened.undo()
    _say("Nothing is left to take back." if said is None else f"taken back: {said}", quiet)


def forget(gallery: Path, person: str, /, *, quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Delete a person for good: crops, pictures, vectors, decisions and the name.

    Crops that show the person without carrying the name stay. `reseen gallery seen` finds them.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    person
        Name.
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
    """Delete what is older than a length of time for good: crops, pictures and vectors.

    A crop is as old as its time says, or, where that is unknown, as its stay in the gallery.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    older_than
        A number and s, min, h, d or w, such as 30d.
    keep_named
        Keep crops that have a name.
    """
    age = span(older_than, "--older-than")
    with Gallery.open(gallery) as opened:
        crops = opened.expire(age, keep_named=keep_named)
    give({"deleted": crops}, f"{counted(crops, 'crop')} deleted", as_json=as_json)


def export(gallery: Path, out: Path, /, *, quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Write what is known of all crops as a file for other programs.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    out
        The file to write: .csv or .json with all that is known, or .npz with the vectors as well.
    """
    with Gallery.open(gallery) as opened:
        crops = opened.export(out)
    give({"crops": crops, "file": str(out)}, f"{counted(crops, 'crop')} in {out}", as_json=as_json)


def info(gallery: Path, /, *, as_json: AsJson = False) -> None:
    """Say what a gallery is and holds: store, model, numbers, cameras, times, room, cut-offs.

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
        ("room", f"{found['bytes'] / 1e6:,.1f} MB"),
        ("cut-offs", f"same {cut['same']:.3f}, maybe {cut['maybe']:.3f}. {cut['source']}"),
    ]
    table = Table(title=str(gallery), title_justify="left", box=None, show_header=False)
    for row in rows:
        table.add_row(*row)
    give(found, table, as_json=as_json)


def check(gallery: Path, /, *, as_json: AsJson = False) -> None:
    """Look for damage in a gallery: the store, every picture, and the encoder.

    The exit code is 0 where there is none, 2 where there is some, and 1 where the gallery cannot be
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
        raise SettingsError("Nothing is given to do it with. Give one or more at the end.")
    return words


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        give(None, text, as_json=False)
