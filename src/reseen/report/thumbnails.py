"""The thumbnails of a page: each is stored once, however often it is shown."""

from base64 import b64encode
from collections.abc import Iterator
from html import escape
from io import BytesIO

import numpy as np
import PIL.Image
import PIL.ImageOps

from reseen.data.pictures import blur_top, open_picture
from reseen.records import Image

WIDTH, HEIGHT = 64, 128
"""Size of a thumbnail in pixels; whole JPEG blocks, so that neighbours do not blend."""

ACROSS, DOWN = 16, 16
"""Thumbnails in one sheet; one large JPEG is smaller than many, and is decoded once."""


class Thumbnails:
    """Thumbnails of the images in the sections of a page, collected as they are used.

    Args:
        blur: whether to blur the upper quarter of each, where the face of a person is.
        pictures: whether to include pictures at all.
    """

    def __init__(self, *, blur: bool = False, pictures: bool = True):
        self.blur = blur
        self.pictures = pictures
        self._places: dict[tuple, int] = {}
        self._drawn: list[PIL.Image.Image] = []

    def __len__(self) -> int:
        return len(self._drawn)

    def place(self, image: Image, heat: np.ndarray | None = None) -> int:
        """Return the number of an image's thumbnail, which is created when it is first used.

        Args:
            image: the image.
            heat: heat map over it, as in `draw`.

        Raises:
            OSError: the picture cannot be read.
        """
        name = image.path.as_posix(), None if heat is None else (heat.shape, heat.tobytes())
        if name not in self._places:
            self._drawn.append(draw(image, blur=self.blur, heat=heat))
            self._places[name] = len(self._drawn) - 1
        return self._places[name]

    def pixels(self, image: Image, heat: np.ndarray | None = None) -> np.ndarray:
        """Return the thumbnail of an image for a figure: (HEIGHT, WIDTH, 3) uint8."""
        return np.asarray(self._drawn[self.place(image, heat)])

    def html(self, image: Image, label: str, heat: np.ndarray | None = None) -> str:
        """Return the HTML of an image for a page with the style `css`.

        Args:
            image: the image.
            label: description, for screen readers and as a tooltip.
            heat: heat map over it, as in `draw`.
        """
        sheet, x, y = where(self.place(image, heat))
        label = escape(label)
        return (
            f'<i class="thumb s{sheet}" style="--x:{x};--y:{y}" role="img" '
            f'aria-label="{label}" title="{label}"></i>'
        )

    def css(self) -> str:
        """Return the style of all thumbnails, which contains the sheets."""
        rules = (
            f".s{number}{{background-image:url(data:image/jpeg;base64,{sheet})}}"
            for number, sheet in enumerate(self._sheets())
        )
        tall = f"{HEIGHT / WIDTH:g}"
        shape = (
            f".thumb{{--u:var(--w,{WIDTH}px);display:inline-block;width:var(--u);"
            f"height:calc(var(--u)*{tall});background-size:calc(var(--u)*{ACROSS}) auto;"
            f"background-position:calc(var(--x)*-1*var(--u)) calc(var(--y)*-{tall}*var(--u));"
            "background-color:#8884}"
        )
        return "\n".join([shape, *rules])

    def _sheets(self) -> Iterator[str]:
        for start in range(0, len(self._drawn), ACROSS * DOWN):
            part = self._drawn[start : start + ACROSS * DOWN]
            rows = -(-len(part) // ACROSS)
            sheet = PIL.Image.new("RGB", (ACROSS * WIDTH, rows * HEIGHT))
            for i, picture in enumerate(part):
                sheet.paste(picture, (i % ACROSS * WIDTH, i // ACROSS * HEIGHT))
            packed = BytesIO()
            sheet.save(packed, "JPEG", quality=75, optimize=True)
            yield b64encode(packed.getvalue()).decode()


def where(place: int) -> tuple[int, int, int]:
    """Return the sheet of a thumbnail, and its column and row there."""
    sheet, inside = divmod(place, ACROSS * DOWN)
    return sheet, inside % ACROSS, inside // ACROSS


def draw(image: Image, *, blur: bool = False, heat: np.ndarray | None = None) -> PIL.Image.Image:
    """Draw the thumbnail of an image, or of the first frame of a tracklet.

    Args:
        image: the image.
        blur: whether to blur the upper quarter.
        heat: (h, w) 0 to 1, a heat map over it, the warmer the larger; black if NaN.

    Raises:
        OSError: the picture cannot be read.
    """
    size = WIDTH, HEIGHT
    picture = open_picture(image.paths[0])
    picture = PIL.ImageOps.contain(picture, size, PIL.Image.Resampling.BICUBIC)
    if blur:
        blur_top(picture)
    if heat is not None:
        picture = _heated(picture, heat)
    return PIL.ImageOps.pad(picture, size, color=(128, 128, 128))


def _heated(picture: PIL.Image.Image, heat: np.ndarray) -> PIL.Image.Image:
    from matplotlib import colormaps

    hidden = np.isnan(heat)
    how = PIL.Image.Resampling.NEAREST if hidden.any() else PIL.Image.Resampling.BICUBIC
    wide = PIL.Image.fromarray(heat.astype(np.float32)).resize(picture.size, how)
    warmth = np.asarray(wide).clip(0, 1)
    share = 0.75 * np.sqrt(warmth)[..., None]
    mixed = (1 - share) * np.asarray(picture) + share * 255 * colormaps["turbo"](warmth)[..., :3]
    return PIL.Image.fromarray(np.where(np.isnan(mixed), 0, mixed).round().astype(np.uint8))
