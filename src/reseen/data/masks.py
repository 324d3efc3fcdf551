"""The masks of invented people: which pixels of a crop show the person."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from reseen.errors import DataError
from reseen.records import Image


def read_masks(root: Path, images: Sequence[Image], height: int, width: int) -> np.ndarray:
    """Read the masks that `invent` wrote.

    Args:
        root: folder of the town; its `masks` has a PNG for each crop, 255 where the person is.
        images: N records of that folder.
        height, width: size to which masks are resized (nearest pixel), that of an encoder's crops.

    Returns:
        (N, height, width) bool.

    Raises:
        DataError: there is no folder of masks, or a mask cannot be read.
    """
    if not (root / "masks").is_dir():
        raise DataError(
            f"{root} has no masks. Attention is measured on invented people, whose masks are "
            "known. Give a folder made by reseen data invent."
        )
    masks = np.empty((len(images), height, width), bool)
    for i, image in enumerate(images):
        path = (root / "masks" / image.path.relative_to(root)).with_suffix(".png")
        try:
            with PIL.Image.open(path) as picture:
                resized = picture.convert("L").resize((width, height), PIL.Image.Resampling.NEAREST)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error}). Draw the data set again.") from error
        masks[i] = np.asarray(resized) > 127
    return masks
