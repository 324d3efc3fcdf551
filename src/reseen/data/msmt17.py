"""MSMT17.

Wei et al., Person Transfer GAN to Bridge Domain Gap, CVPR 2018. 4,101 people, 15 cameras.
"""

from pathlib import Path

from reseen.data import market_like
from reseen.errors import DataError
from reseen.records import Dataset, Image

_FOLDERS = {"train": ("train", "mask_train_v2"), "test": ("test", "mask_test_v2")}
_LISTS = ("train", "val", "query", "gallery")


def read(root: Path) -> Dataset:
    """Read either layout: list files beside the folders of images, or Market-1501's folders.

    The lists train and val together are the training images, as published unsupervised methods
    use them. People of training and test are numbered anew in each half: number 0 of one is not
    number 0 of the other.

    Args:
        root: holds list_train.txt, list_val.txt, list_query.txt, list_gallery.txt and the folders
            train and test (or mask_train_v2 and mask_test_v2, the second edition).

    Raises:
        DataError: lists or folders are missing, or a line is not understood.
    """
    if not has_lists(root):
        return _renamed(root)
    halves = {half: _folder(root, names) for half, names in _FOLDERS.items()}
    parts = {
        name: _list(root / f"list_{name}.txt", halves["train" if name in _LISTS[:2] else "test"])
        for name in _LISTS
    }
    train = parts["train"] + parts["val"]
    return Dataset(root.resolve().name, root, train, parts["query"], parts["gallery"])


def has_lists(root: Path) -> bool:
    """Say whether a folder has the layout with list files."""
    return (root / "list_train.txt").is_file()


def is_msmt17(root: Path) -> bool:
    """Say whether a folder has either layout."""
    return has_lists(root) or market_like.has_training(root)


def _renamed(root: Path) -> Dataset:
    if not is_msmt17(root):
        raise DataError(
            f"{root / 'list_train.txt'} is not there. MSMT17 has four lists beside the folders of "
            f"images, or {', '.join(market_like.PARTS)}: give the folder that holds them."
            f"{market_like.nearby(root, is_msmt17)}"
        )
    return market_like.read(root, "MSMT17")


def _folder(root: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DataError(
        f"{root} has list files but no folder {' or '.join(names)}. Unpack the data set again."
    )


def _list(path: Path, folder: Path) -> tuple[Image, ...]:
    if not path.is_file():
        raise DataError(f"{path} is not there. MSMT17 has four lists: {', '.join(_LISTS)}.")
    images = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            name, person = line.rsplit(maxsplit=1)
            images.append(Image(folder / name, int(person), int(Path(name).name.split("_")[2])))
        except (ValueError, IndexError) as error:
            raise DataError(
                f"{path}, line {number}: {line!r} is not understood. A line looks like "
                "0000/0000_000_01_0303morning_0015_0.jpg 0."
            ) from error
    return tuple(images)
