"""The curve of a sweep: what one setting does to mAP and rank-1."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from reseen.errors import SettingsError


def check_plot(path: Path) -> None:
    """Refuse a plot that could not be drawn, before hours of training.

    Raises:
        SettingsError: the file is no .png, or matplotlib is not installed.
    """
    if path.suffix.lower() != ".png":
        raise SettingsError(f"The plot is {path}. Give the name of a .png file.")
    if find_spec("matplotlib") is None:
        raise SettingsError(
            "A plot needs matplotlib, which is not installed: pip install matplotlib, or leave the "
            "plot out. The table needs nothing."
        )


def plot_sweep(
    path: Path,
    setting: str,
    values: Sequence[str],
    measured: Sequence[Sequence[tuple[float, float]]],
) -> None:
    """Draw mAP and rank-1 over the values of a setting, with the standard deviation over seeds.

    Args:
        path: the .png to write; its folder is made.
        setting: what was changed.
        values: as they were given; numbers stand at their place, words in their order.
        measured: for each value, mAP and rank-1 of each seed, 0 to 1.

    Raises:
        SettingsError: see `check_plot`.
    """
    check_plot(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel=setting, ylabel="percent")
    places = _numbers(values)
    for which, name in enumerate(("mAP", "rank-1")):
        seeds = [[100 * pair[which] for pair in pairs] for pairs in measured]
        means = [np.mean(s) for s in seeds]
        spread = [float(np.std(s, ddof=min(1, len(s) - 1))) for s in seeds]
        axes.errorbar(places or range(len(values)), means, spread, marker="o", label=name)
    if not places:
        axes.set_xticks(range(len(values)), values)
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _numbers(values: Sequence[str]) -> list[float]:
    try:
        return [float(value) for value in values]
    except ValueError:
        return []
