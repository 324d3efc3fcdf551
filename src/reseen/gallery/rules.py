"""Rules about what can be one person, one sighting and one name."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from reseen.errors import SettingsError, StoreError
from reseen.gallery.facts import cannot_be_one, facts_of
from reseen.gallery.records import Crop


def stays(crops: Iterable[Crop], gap: float) -> list[list[Crop]]:
    """Group the crops of one camera that follow each other without a longer gap.

    Args:
        crops: in any order.
        gap: in seconds.

    Returns:
        Groups sorted by time; the crops of a camera without times are one group, and come last.
    """
    found: list[list[Crop]] = []
    for crop in sorted(crops, key=lambda c: (c.camera or "", *_when(c), c.id)):
        if found and _follows(crop, found[-1][-1], gap):
            found[-1].append(crop)
        else:
            found.append([crop])
    return sorted(found, key=lambda stay: (*_when(stay[0]), stay[0].camera or ""))


def _when(crop: Crop) -> tuple[bool, float]:
    return crop.time is None, crop.time or 0.0


def _follows(crop: Crop, last: Crop, gap: float) -> bool:
    if crop.camera != last.camera:
        return False
    if crop.time is None or last.time is None:
        return crop.time is last.time
    return crop.time - last.time <= gap


def impossible(
    crops: Sequence[Crop], others: Sequence[Crop], *, overlapping: bool = False
) -> str | None:
    """Return the reason why crops cannot be one person, or None (see `cannot_be_one`).

    Args:
        crops: to become one person with each other and with the others.
        others: are one person already.
        overlapping: whether cameras see the same places, so that two can see one person at once.
    """
    new = {crop.id for crop in crops}
    every = [*(other for other in others if other.id not in new), *crops]
    for i, j in cannot_be_one(facts_of(every), overlapping=overlapping):
        if every[j].id in new:  # the others were checked before
            a, b = every[i], every[j]
            if a.frame is not None and (a.source, a.frame) == (b.source, b.frame):
                return f"{a.id} and {b.id} are two boxes in frame {a.frame} of {a.source}."
            where = f"{a.camera} and {b.camera}"
            return f"{a.id} and {b.id} were taken at the same time by two cameras, {where}."
    return None


def check_name(name: str) -> str:
    """Return a name without spaces around it.

    Raises:
        SettingsError: it is not a valid name.
    """
    kept = name.strip() if isinstance(name, str) else ""
    if not kept or len(kept) > 100 or not kept.isprintable() or "/" in kept:
        raise SettingsError(
            f"The name {name!r:.120} cannot be used. Use 1 to 100 characters, without / and line "
            "breaks."
        )
    return kept


def some(ids: Iterable[str]) -> str:
    """Return the first of several ids, and how many more there are."""
    ids = sorted(ids)
    return ids[0] if len(ids) == 1 else f"{ids[0]} (and {len(ids) - 1} more)"


def unknown_word(word: str, what: str, known: Iterable[str]) -> StoreError:
    """Return the error for an unknown word, with the most similar known one."""
    known = sorted(known)
    near = get_close_matches(word, known, 1)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known[:20]) or 'none'}."
    return StoreError(f"The gallery has no {what} {word!r}. {hint}")
