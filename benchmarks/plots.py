"""Draws the plots of the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.experiments.section import Bars

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#123f73", "#1f6fb8", "#8cc0ea", "#2a9d8f", "#a5d8cf", "#7f8f2a", "#c46a1b", "#8a8f98")
"""In the order of the race's columns: ours in blue, then the peers."""
WIDTH_OF_GROUP = 0.86
INCHES_PER_BAR = 0.27
LEAST_INCHES = 8.0
INCHES_HIGH = 5.4
LEGEND_COLUMNS = 2


def draw(bars: Bars, folder: Path) -> None:
    """Write one PNG: grouped bars, the range of the runs as a thin line on each, the legend below."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    width = max(LEAST_INCHES, INCHES_PER_BAR * len(bars.groups) * (len(bars.series) + 1))
    figure, axes = pyplot.subplots(figsize=(width, INCHES_HIGH), layout="constrained")
    for index in range(len(bars.series)):
        _draw_series(axes, bars, index)
    axes.set_xticks(range(len(bars.groups)), bars.groups)
    axes.set_ylabel(bars.unit)
    axes.set_title(bars.title)
    axes.margins(x=0.02)
    axes.spines[["top", "right"]].set_visible(False)
    legend = figure.legend(loc="outside lower center", ncols=LEGEND_COLUMNS, frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_fontweight("bold" if text.get_text() == bars.emphasized else "normal")
    figure.savefig(folder / bars.file, dpi=120)
    pyplot.close(figure)


def _draw_series(axes: Axes, bars: Bars, index: int) -> None:
    """Draw one legend entry's bars, each at its place within its group."""
    name, spreads = list(bars.series.items())[index]
    emphasized = name == bars.emphasized
    width = WIDTH_OF_GROUP / len(bars.series)
    offset = (index - (len(bars.series) - 1) / 2) * width
    medians = [median for median, _, _ in spreads]
    ranges = [[median - low for median, low, _ in spreads], [high - median for median, _, high in spreads]]
    drawn = axes.bar(
        [place + offset for place in range(len(spreads))],
        medians,
        width * 0.92,
        yerr=ranges,
        label=name,
        color=COLORS[index % len(COLORS)],
        ecolor="#333333",
    )
    axes.bar_label(drawn, fmt=_label, fontsize=7, padding=2, fontweight="bold" if emphasized else "normal")


def _label(value: float) -> str:
    """Three digits, and never an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
