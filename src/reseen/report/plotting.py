"""The style of figures, and how they are embedded in a page and written to files."""

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from io import StringIO
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any
from unicodedata import category
from warnings import catch_warnings, filterwarnings

from reseen.engine.files import written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#0b0c0d"
"""Colour of lines and text; in a page it is replaced by the colour of the page's text."""

GREY = "#8d8d8d"
"""Colour of noise and of unimportant things; visible on light and dark."""

PALETTE = (
    *("#3584c9", "#e07b28", "#2f9e5f", "#cf4a5a", "#8d6cc9"),
    *("#a9793f", "#d76ab0", "#6f9a1d", "#23a3ae", "#b59a1a"),
)
"""Ten colours that are visible on black and on white."""

OWN_FONT = "DejaVu Sans"
"""The font that comes with matplotlib."""

STYLE: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "font.size": 9,
    "grid.alpha": 0.3,
    "grid.color": GREY,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
    "svg.fonttype": "none",  # keep text as text: smaller, and searchable
    "svg.hashsalt": "reseen",  # the same figure gives the same file
    "text.color": INK,
    "text.parse_math": False,  # a $ in a name is a $
    "xtick.color": INK,
    "xtick.labelsize": 8,
    "ytick.color": INK,
    "ytick.labelsize": 8,
}


def styled() -> AbstractContextManager:
    """Use the style of this package within a `with` block."""
    import matplotlib

    return matplotlib.rc_context(STYLE)


def new_figure(width: float, height: float) -> "Figure":
    """Create an empty figure, without a window; a notebook shows it.

    Args:
        width, height: in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def add_legend(figure: "Figure", most: int, *given: Sequence[Any], **style: Any) -> None:
    """Put a legend below the axes, in as many columns as fit.

    Args:
        figure: with finished axes.
        most: largest number of columns.
        given: handles and labels, if they are not those of the axes.
        style: as in `Figure.legend`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn = (axes.get_legend_handles_labels()[1] for axes in figure.axes)
    words = given[1] if given else [word for words in drawn for word in words]
    for columns in range(max(1, min(most, len(words))), 0, -1):
        legend = figure.legend(*given, loc="outside lower center", ncols=columns, **style)
        with _drawn(figure):
            wide = legend.get_window_extent(FigureCanvasAgg(figure).get_renderer()).width
        if columns == 1 or ROOM * wide <= figure.bbox.width:
            break
        legend.remove()


ROOM = 1.15
"""Factor by which the font of a page, chosen by the reader, may be wider than ours."""


def colours(count: int) -> list[str]:
    """Return a colour for each of `count` things: the palette, or hues a golden angle apart."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    from colorsys import hls_to_rgb

    from matplotlib.colors import to_hex

    # Consecutive numbers get very different hues; three lightnesses distinguish more of them.
    hues = [(i * 0.381966) % 1 for i in range(count)]
    return [to_hex(hls_to_rgb(h, (0.6, 0.5, 0.42)[i % 3], 0.62)) for i, h in enumerate(hues)]


def inline(figure: "Figure", label: str) -> str:
    """Return a figure as SVG for a page, whose text colour it uses.

    Args:
        figure: made under `styled`.
        label: description for screen readers.
    """
    from html import escape

    out = StringIO()
    with _drawn(figure):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r'(<g) id="\w+_\d+"', r"\1", text)  # not unique within a page
    text = text.replace("xlink:href", "href").replace(INK, "currentColor")
    text = re.sub(r"\s*\n\s*", "\n", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)


def save_figure(figure: "Figure", path: Path) -> bool:
    """Write a figure as .png or .svg, on white; its folder is created.

    In a .png, a character that no installed font has is replaced by its code point. An .svg keeps
    its characters, because the reader may have such a font.

    Returns:
        Whether there were such characters in a .png.
    """
    kind = path.suffix[1:].lower()
    about = {"Date": None} if kind == "svg" else {"Software": None}
    letters = _letters(figure) if kind == "png" else frozenset()
    lost = letters.difference(*(found for _, found in _fonts(letters)))
    _replace(figure, lost)
    with _drawn(figure), written(path) as file:
        figure.savefig(file, format=kind, dpi=150, facecolor="white", metadata=about)
    return bool(lost)


@contextmanager
def _drawn(figure: "Figure") -> Iterator[None]:
    """Draw in our style, with the installed fonts that the characters of a figure need."""
    import matplotlib

    letters = _letters(figure)
    # Undecodable bytes in names, and line breaks, cannot be drawn at all.
    _replace(figure, frozenset(letter for letter in letters if category(letter) in ("Cs", "Cc")))
    with styled(), catch_warnings():
        # matplotlib would warn of each character that no font has, each time.
        filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        if fonts := _fonts(letters):
            matplotlib.rcParams["font.sans-serif"] = [OWN_FONT, *(name for name, _ in fonts)]
        yield


def _replace(figure: "Figure", lost: frozenset[str]) -> None:
    """Replace characters by their code points."""
    if not lost:
        return
    codes = {ord(letter): letter.encode("unicode_escape").decode() for letter in lost}
    for text in _texts(figure):
        text.set_text(text.get_text().translate(codes))
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        words = [label.get_text() for label in axis.get_ticklabels()]
        if lost & set("".join(words)):
            axis.set_ticklabels([word.translate(codes) for word in words])


def _texts(figure: "Figure") -> list[Any]:
    from matplotlib.text import Text

    for axes in figure.axes:  # tick labels are created when they are requested
        _ = axes.xaxis.get_ticklabels(), axes.yaxis.get_ticklabels()
    return figure.findobj(Text)


def _letters(figure: "Figure") -> frozenset[str]:
    """Return the characters of a figure that the font of matplotlib does not have."""
    text = "".join(text.get_text() for text in _texts(figure))
    letters = frozenset(text.replace("\n", ""))
    return letters - _covered(_path_of(OWN_FONT), letters)


@lru_cache(64)
def _fonts(letters: frozenset[str]) -> tuple[tuple[str, frozenset[str]], ...]:
    """Choose installed fonts for characters: name, and the characters that only it adds."""
    from matplotlib.font_manager import fontManager

    chosen = []
    regular = [f for f in fontManager.ttflist if f.style == "normal" and f.weight == 400]
    for font in regular if letters else ():
        if font.name.startswith(("Last Resort", "cm", "STIX")):  # boxes, and formula symbols
            continue
        if found := letters & _covered(font.fname, letters):
            chosen.append((font.name, found))
            letters -= found
    return tuple(chosen)


def _covered(path: str, letters: frozenset[str]) -> frozenset[str]:
    from matplotlib.font_manager import get_font

    font = get_font(path)
    return frozenset(letter for letter in letters if font.get_char_index(ord(letter)))


@lru_cache(1)
def _path_of(name: str) -> str:
    from matplotlib.font_manager import findfont

    return str(findfont(name))


def shortened(names: Sequence[str], most: int = 28) -> list[str]:
    """Shorten names that are too long for a legend, in the middle."""
    half = (most - 1) // 2
    return [name if len(name) <= most else f"{name[:half]}…{name[-half:]}" for name in names]


def wrapped(names: Sequence[str], most: int = 28) -> list[str]:
    """Wrap names that are too long for one line of a legend or an axis; nothing is cut off."""
    return [fill(name, most) or name for name in names]
