"""How figures look, and how they come into a page and into files."""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reseen.engine.files import written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#0b0c0d"
"""Lines and letters; in a page they take the colour of its text, light or dark."""

GREY = "#8d8d8d"
"""Noise, and what does not matter; between light and dark."""

PALETTE = (
    *("#3584c9", "#e07b28", "#2f9e5f", "#cf4a5a", "#8d6cc9"),
    *("#a9793f", "#d76ab0", "#6f9a1d", "#23a3ae", "#b59a1a"),
)
"""Ten colours that stand out from black and from white."""

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
    "svg.fonttype": "none",  # letters stay letters: small, and they can be searched for
    "svg.hashsalt": "reseen",  # the same figure gives the same file
    "text.color": INK,
    "text.parse_math": False,  # a $ in a name is a $
    "xtick.color": INK,
    "xtick.labelsize": 8,
    "ytick.color": INK,
    "ytick.labelsize": 8,
}


def styled() -> AbstractContextManager:
    """Draw and save in the style of this package for the length of a `with`."""
    import matplotlib

    return matplotlib.rc_context(STYLE)


def new_figure(width: float, height: float) -> "Figure":
    """Make an empty figure; it belongs to no window, and a notebook shows it.

    Args:
        width, height: in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def colours(count: int) -> list[str]:
    """Give a colour for each of `count` things: the palette, or hues a golden angle apart."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    from colorsys import hls_to_rgb

    from matplotlib.colors import to_hex

    # Neighbouring numbers get far hues; three depths tell more of them apart.
    hues = [(i * 0.381966) % 1 for i in range(count)]
    return [to_hex(hls_to_rgb(h, (0.6, 0.5, 0.42)[i % 3], 0.62)) for i, h in enumerate(hues)]


def inline(figure: "Figure", label: str) -> str:
    """Give a figure as SVG to stand in a page: letters and lines take the colour of its text.

    Args:
        figure: drawn under `styled`.
        label: what it shows, for those who cannot see it.
    """
    from html import escape

    out = StringIO()
    with styled():
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r'(<g) id="\w+_\d+"', r"\1", text)  # the same in every figure of a page
    text = text.replace("xlink:href", "href").replace(INK, "currentColor")
    text = re.sub(r"\s*\n\s*", "\n", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as .png or .svg, on white; its folder is made."""
    kind = path.suffix[1:].lower()
    about = {"Date": None} if kind == "svg" else {"Software": None}
    with styled(), written(path) as file:
        figure.savefig(file, format=kind, dpi=150, facecolor="white", metadata=about)


def shortened(names: Sequence[str], most: int = 28) -> list[str]:
    """Cut names that are too long for a legend in the middle."""
    half = (most - 1) // 2
    return [name if len(name) <= most else f"{name[:half]}…{name[-half:]}" for name in names]
