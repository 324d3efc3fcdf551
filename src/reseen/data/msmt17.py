"""MSMT17.

Wei et al., Person Transfer GAN to Bridge Domain Gap, CVPR 2018. 4,101 people, 15 cameras.
"""

import re
from pathlib import Path

from reseen.data import market_like
from reseen.data.listing import PICTURES, folders_in, read_text
from reseen.errors import DataError, counted
from reseen.records import Dataset, Image, distinct

_FOLDERS = {"train": ("train", "mask_train_v2"), "test": ("test", "mask_test_v2")}
_LISTS = ("train", "val", "query", "gallery")
_NAME = re.compile(r"\d{4}_\d{3}_\d{2}_\w+")


def recognises(root: Path) -> bool:
    """Return whether a folder has the list files, or MSMT17's folders of images without them."""
    return has_lists(root) or lacks_lists(root)


def read(root: Path) -> Dataset:
    """Read either layout: list files beside the folders of images, or Market-1501's folders.

    The lists train and val together are the training images, as in published unsupervised methods.
    The people of training and test are numbered separately: number 0 of one half is not number 0 of
    the other.

    Args:
        root: contains list_train.txt, list_val.txt, list_query.txt, list_gallery.txt and the
            folders train and test (or mask_train_v2 and mask_test_v2, the second edition).

    Raises:
        DataError: lists or folders are missing, or a line cannot be parsed.
    """
    if not has_lists(root):
        return _renamed(root)
    halves = {half: _folder(root, names) for half, names in _FOLDERS.items()}
    notes = list[str]()
    parts = {
        name: _list(
            root / f"list_{name}.txt", halves["train" if name in _LISTS[:2] else "test"], notes
        )
        for name in _LISTS
    }
    train = distinct(parts["train"], parts["val"])
    if both := len(parts["train"]) + len(parts["val"]) - len(train):
        notes.append(f"{counted(both, 'picture')} in list_train.txt and list_val.txt: used once.")
    query, gallery = parts["query"], parts["gallery"]
    return Dataset(root.resolve().name, root, train, query, gallery, notes=tuple(notes))


def has_lists(root: Path) -> bool:
    """Return whether a folder has the layout with list files."""
    return (root / "list_train.txt").is_file()


def lacks_lists(root: Path) -> bool:
    """Return whether a folder has MSMT17's folders of images without the lists."""
    halves = [root / name for names in _FOLDERS.values() for name in names]
    people = (person for half in halves if half.is_dir() for person in folders_in(half)[:1])
    first = next((path for person in people for path in person.glob("*")), None)
    return not has_lists(root) and first is not None and _NAME.match(first.name) is not None


def is_msmt17(root: Path) -> bool:
    """Return whether a folder has either layout."""
    return has_lists(root) or market_like.has_training(root)


_ALONE = (
    " The folders of images exist, but not the lists that come with them. Without lists, test "
    "images would be trained on. To train on the training half only, give its folder with "
    "--pattern '{person}/{_}_{_}_{camera}_{_}'."
)


def _renamed(root: Path) -> Dataset:
    if not is_msmt17(root):
        raise DataError(
            f"{root / 'list_train.txt'} is missing. MSMT17 has four lists beside the folders of "
            f"images, or {', '.join(market_like.PARTS)}. Give the folder with these."
            f"{market_like.nearby(root, is_msmt17)}{_ALONE if lacks_lists(root) else ''}"
        )
    return market_like.read_parts(root, "MSMT17")


def _folder(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DataError(
        f"{root} has list files but no folder {' or '.join(names)}. Unpack the data set again."
    )


def _list(path: Path, folder: Path, notes: list[str]) -> tuple[Image, ...]:
    if not path.is_file():
        raise DataError(f"{path} is missing. MSMT17 has four lists: {', '.join(_LISTS)}.")
    images: dict[str, Image] = {}
    suffixes, twice = None, 0
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            name, person = line.rsplit(maxsplit=1)
            listed = folder / name
            suffixes = suffixes or (listed.suffix, _suffix(listed))
            there = listed.with_suffix(suffixes[1]) if listed.suffix == suffixes[0] else listed
            image = Image(there, _number(person), _number(listed.name.split("_")[2]))
        except (ValueError, IndexError) as error:
            raise DataError(
                f"{path}, line {number}: {line!r} cannot be parsed. A line looks like "
                "0000/0000_000_01_0303morning_0015_0.jpg 0."
            ) from error
        twice += name in images
        if images.setdefault(name, image) != image:
            raise DataError(
                f"{path}, line {number}: {name} is person {person} here, but another one in an "
                "earlier line. Restore the list from the data set."
            )
    if twice:
        notes.append(f"{path} has {counted(twice, 'line')} twice: used once.")
    if suffixes and suffixes[0] != suffixes[1]:
        notes.append(f"{path} has names with {suffixes[0]}, but the files have {suffixes[1]}.")
    return tuple(images.values())


def _number(text: str) -> int:
    if not re.fullmatch(r"-1|\d{1,18}", text):
        raise ValueError(text)
    return int(text)


def _suffix(listed: Path) -> str:
    """Return the suffix of the files, which may differ from the one in the lists of MSMT17."""
    others = (suffix for suffix in sorted(PICTURES) if listed.with_suffix(suffix).is_file())
    return listed.suffix if listed.is_file() else next(others, listed.suffix)
