"""Numeric attributes by dataset: ridges of several attributes side by side, and one attribute in small multiples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from catalogs.atlas.answers import Histogram
from catalogs.atlas.style import GROUND, Size, dataset_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW_MM, DENSE_ROW_MM, HEAD_MM, FOOT_MM = 5.2, 3.3, 5.0, 10.0
DENSE_FROM = 12
"""Rows are lower when there are more datasets than this."""

OVERLAP = 1.25
"""Height of a ridge's peak, in rows."""


def ridge_figure(histograms: Sequence[Histogram], datasets: Sequence[str], size: Size, title: str) -> Figure:
    """One column an attribute, one row a dataset: shares scaled to the row's own peak, the median as a line.

    A dataset without values of an attribute has an empty row.
    """
    lines = -(-len(histograms) // max(1, round((size.width_mm - 20) / 32)))
    columns = -(-len(histograms) // lines)
    row_mm = ROW_MM if len(datasets) <= DENSE_FROM else DENSE_ROW_MM
    figure = new_figure(size, lines * (len(datasets) * row_mm + FOOT_MM) + HEAD_MM)
    axes = figure.subplots(lines, columns, squeeze=False)
    for number, histogram in enumerate(histograms):
        line, column = divmod(number, columns)
        _ridges(axes[line, column], histogram, datasets, has_names=column == 0)
    for unused in axes.reshape(-1)[len(histograms) :]:
        unused.set_visible(False)
    figure.suptitle(
        f"{title}: share of samples, each row scaled to its own peak; line: median", fontsize=7, x=0.01, ha="left"
    )
    return figure


def _ridges(axis: Any, histogram: Histogram, datasets: Sequence[str], *, has_names: bool) -> None:
    for row, dataset in enumerate(datasets):
        base = len(datasets) - 1 - row
        axis.axhline(base, color="#CCCCCC", linewidth=0.3, zorder=row)
        if dataset in histogram.counts:
            shares = histogram.shares(dataset)
            heights = base + OVERLAP * shares / shares.max()
            colour = dataset_style(dataset)[0]
            axis.fill_between(
                histogram.edges,
                np.append(heights, heights[-1]),
                base,
                step="post",
                facecolor=colour,
                alpha=0.75,
                linewidth=0,
                zorder=row + 0.5,
            )
            axis.stairs(heights, histogram.edges, baseline=None, color="white", linewidth=0.4, zorder=row + 0.6)
            middle = float(np.clip(histogram.medians[dataset], histogram.edges[0], histogram.edges[-1]))
            axis.plot([middle, middle], [base, base + 0.55], color="black", linewidth=0.8, zorder=len(datasets) + 1)
    axis.set_ylim(-0.1, len(datasets) - 1 + OVERLAP + 0.1)
    axis.set_yticks(range(len(datasets)), list(reversed(datasets)) if has_names else [])
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    _value_axis(axis, histogram)
    axis.set_xlabel(histogram.label)


def multiples_figure(histogram: Histogram, size: Size, title: str) -> Figure:
    """One panel a dataset: its samples as a coloured line, those of all other datasets together in grey."""
    datasets = list(histogram.counts)
    columns = min(len(datasets), max(1, round(size.width_mm / 30)))
    rows = -(-len(datasets) // columns)
    figure = new_figure(size, rows * 19 + 12)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for axis, dataset in zip(axes.reshape(-1), datasets, strict=False):
        axis.stairs(histogram.shares_of_others(dataset), histogram.edges, fill=True, color="#D0D0D0", linewidth=0)
        axis.stairs(histogram.shares(dataset), histogram.edges, color=dataset_style(dataset)[0], linewidth=1.0)
        axis.set_title(f"{dataset} ({int(histogram.counts[dataset].sum()):,})", fontsize=6, fontweight="normal", pad=2)
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        axis.set_ylim(0)
        _value_axis(axis, histogram)
    for number, axis in enumerate(axes.reshape(-1)):
        axis.set_visible(number < len(datasets))
        axis.tick_params(axis="x", labelbottom=number >= (rows - 1) * columns)
    figure.supxlabel(histogram.label, fontsize=7)
    figure.suptitle(f"{title}: share of samples; grey: all other datasets", fontsize=7, x=0.01, ha="left")
    return figure


def _value_axis(axis: Any, histogram: Histogram) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axis.set_xlim(histogram.edges[0], histogram.edges[-1])
    if histogram.is_log:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=5))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.3g}"))
    else:
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=histogram.is_count))
    axis.set_facecolor("none")
    axis.set_axisbelow(True)
    axis.grid(axis="x", color=GROUND, linewidth=0.4)
