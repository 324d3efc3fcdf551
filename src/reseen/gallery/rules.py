"""What can be one person, one stay and one name."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from reseen.errors import SettingsError, StoreError
from reseen.gallery.records import Crop


def stays(crops: Iterable[Crop], gap: float) -> list[list[Crop]]:
    """Put the crops of one camera together that follow each other without a longer gap.

    Args:
        crops: in any order.
        gap: in seconds.

    Returns:
        Ordered by time; those of a camera without times are one stay, and come last.
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


def impossible(crops: Sequence[Crop], others: Sequence[Crop]) -> str | None:
    """Say why crops cannot be one person, if they cannot.

    Args:
        crops: who are to become one person with each other and with the others.
        others: who are one person already.
    """
    frames: dict[tuple[str, int], Crop] = {}
    times: dict[float, Crop] = {}
    new = {crop.id for crop in crops}
    for crop in (*(other for other in others if other.id not in new), *crops):
        if crop.frame is not None and crop.source:
            before = frames.setdefault((crop.source, crop.frame), crop)
            if before is not crop and before.box != crop.box:
                return (
                    f"{before.id} and {crop.id} are two boxes in frame {crop.frame} of "
                    f"{crop.source}."
                )
        if crop.time is not None and crop.camera is not None:
            before = times.setdefault(crop.time, crop)
            if before.camera != crop.camera:
                return (
                    f"{before.id} and {crop.id} are of the same time at two cameras, "
                    f"{before.camera} and {crop.camera}."
                )
    return None


def check_name(name: str) -> str:
    """Give a name without space around it.

    Raises:
        SettingsError: it cannot be used.
    """
    kept = name.strip() if isinstance(name, str) else ""
    if not kept or len(kept) > 100 or not kept.isprintable() or "/" in kept:
        raise SettingsError(
            f"The name {name!r:.120} cannot be used. Give 1 to 100 letters, digits and spaces, "
            "without / and line ends."
        )
    return kept


def some(ids: Iterable[str]) -> str:
    """Name the first of several ids, and how many more there are."""
    ids = sorted(ids)
    return ids[0] if len(ids) == 1 else f"{ids[0]} (and {len(ids) - 1} more)"


def unknown_word(word: str, what: str, known: Iterable[str]) -> StoreError:
    """Make the error of a name that nobody gave, with the one that may be meant."""
    known = sorted(known)
    near = get_close_matches(word, known, 1)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known[:20]) or 'none'}."
    return StoreError(f"The gallery knows no {what} {word!r}. {hint}")
