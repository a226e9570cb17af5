"""Draws the plots of the report."""

from __future__ import annotations

from pathlib import Path

from benchmarks.experiments.section import Bars

COLORS = ("#123f73", "#2f7fc4", "#8cc0ea", "#c46a1b", "#8a8f98")
"""Ours in blue, then the peers."""
WIDTH_OF_GROUP = 0.8


def draw(bars: Bars, folder: Path) -> None:
    """Write one PNG: grouped bars, the range of the runs as a thin line on each."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 4.5), layout="constrained")
    width = WIDTH_OF_GROUP / max(1, len(bars.series))
    for index, (name, spreads) in enumerate(bars.series.items()):
        offset = (index - (len(bars.series) - 1) / 2) * width
        positions = [place + offset for place in range(len(spreads))]
        medians = [median for median, _, _ in spreads]
        below = [median - low for median, low, _ in spreads]
        ranges = [below, [high - median for median, _, high in spreads]]
        color = COLORS[index % len(COLORS)]
        drawn = axes.bar(positions, medians, width * 0.92, yerr=ranges, label=name, color=color, ecolor="#333333")
        axes.bar_label(drawn, fmt="%.3g", fontsize=7, padding=2)
    axes.set_xticks(range(len(bars.groups)), bars.groups)
    axes.set_ylabel(bars.unit)
    axes.set_title(bars.title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(folder / bars.file, dpi=110)
    pyplot.close(figure)
