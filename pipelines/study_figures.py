"""Figures of the report on choosing, as SVG that looks the same everywhere: letters are outlines."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.rankings.runs import RunErrors, mean_half_widths
from benchmark.rankings.scores import rank_by
from catalogs.atlas.style import COLOURS, MARKERS, Size, new_figure, styled
from catalogs.selection import Selection
from pipelines.study_page import short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH_MM = 290.0
"""About 1,100 pixels of a screen: the width of the page."""

INK, QUIET = "#444444", "#BBBBBB"


def to_svg(draw: Callable[[], Figure]) -> bytes:
    """The file of a figure; same data, same bytes."""
    with _drawing():
        figure = draw()
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return _with_counted_clips(file.getvalue())


def _with_counted_clips(svg: bytes) -> bytes:
    """matplotlib 3.11 names clip paths by where they lie in memory; their numbers in the file are always the same."""
    for number, name in enumerate(dict.fromkeys(re.findall(rb'<clipPath id="(\w+)"', svg))):
        svg = svg.replace(name, b"clip%d" % number)
    return svg


@contextmanager
def _drawing() -> Iterator[None]:
    import matplotlib as mpl

    with styled():
        # Names are data: a dollar in one is no formula. A page has other fonts than the machine that made the figure.
        mpl.rcParams.update({"text.parse_math": False, "svg.fonttype": "path", "font.size": 8, "axes.labelsize": 8})
        mpl.rcParams.update({"xtick.labelsize": 7.5, "ytick.labelsize": 7.5, "legend.fontsize": 7.5})
        mpl.rcParams.update({"axes.titlesize": 8.5})
        yield


def ranking_figure(errors: RunErrors) -> bytes:
    """Mean error of each dataset, in-domain cells out (filled, with intervals) and in (hollow), and all cells."""
    return to_svg(lambda: _ranking(errors))


def proposal_figure(selections: Sequence[tuple[str, Selection]]) -> bytes:
    """Share of the draws, draws of each sample, and distinct samples of each source, selections side by side."""
    return to_svg(lambda: _proposals(selections))


def _ranking(errors: RunErrors) -> Figure:
    table = errors.table
    out, both = (rank_by(table, "mean", with_in_domain=is_in) for is_in in (False, True))
    names = [*out.datasets, *sorted(out.unranked)]
    figure = new_figure(Size(width_mm=WIDTH_MM), 24 + 6.5 * len(names))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1 + 0.62 * len(table.benchmarks)])
    widths = mean_half_widths(errors, with_in_domain=False)
    for ranking, face, label in ((both, "none", "in-domain in"), (out, COLOURS[0], "in-domain out")):
        at = [names.index(name) for name in ranking.datasets]
        left.plot(
            ranking.scores, at, linestyle="", marker="o", markersize=5.5, markerfacecolor=face,
            markeredgecolor=COLOURS[0], markeredgewidth=0.9, label=label,
        )  # fmt: skip
    for name, score in zip(out.datasets, out.scores, strict=True):
        if name in widths:
            y = names.index(name)
            left.plot([score - widths[name], score + widths[name]], [y, y], color=COLOURS[0], linewidth=1.2)
    left.set_yticks(range(len(names)), [short(name) for name in names])
    left.set_ylim(len(names) - 0.5, -0.5)
    left.set_xlabel("mean of the primary errors (mm)")
    left.grid(axis="y", color="#EEEEEE", linewidth=0.6)
    left.set_axisbelow(True)
    left.legend(loc="best")
    _cells(right, errors, names)
    return figure


def _cells(axis: Any, errors: RunErrors, names: Sequence[str]) -> None:
    table = errors.table
    rows = [table.datasets.index(name) for name in names]
    values, is_in = table.error_mm[rows], table.is_in_domain[rows]
    known = ~np.isnan(values)
    low = np.min(values, axis=0, where=known, initial=np.inf)
    span = np.max(values, axis=0, where=known, initial=-np.inf) - low
    # Within each benchmark: errors of two benchmarks do not compare.
    shade = np.where(known, (values - low) / np.where(span > 0, span, 1), np.nan)
    axis.set_facecolor("#F2F2F2")
    image = axis.imshow(shade, aspect="auto", cmap="viridis", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            axis.text(column, row, "–", ha="center", va="center", color="#888888", fontsize=7)
            continue
        text = f"{value:.3g}{'*' if is_in[row, column] else ''}"
        axis.text(column, row, text, ha="center", va="center", color=_ink(image, float(shade[row, column])), fontsize=7)
    axis.set_xticks(range(len(table.benchmarks)), [short(name) for name in table.benchmarks], rotation=30, ha="right")
    axis.tick_params(left=False, labelleft=False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _ink(image: Any, value: float) -> str:
    red, green, blue, _ = image.cmap(image.norm(value))
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"


def _proposals(selections: Sequence[tuple[str, Selection]]) -> Figure:
    members = [{member.name: member for member in one.members} for _, one in selections]
    weight = {name: max(of[name].weight for of in members if name in of) for of in members for name in of}
    names = sorted(weight, key=lambda name: (-weight[name], name))
    num = len(selections)
    figure = new_figure(Size(width_mm=WIDTH_MM), 26 + (3.5 + 2.8 * num) * len(names))
    axes = figure.subplots(1, 3, sharey=True, width_ratios=[1.3, 1, 1])
    values: tuple[Callable[[Any], float], ...] = (
        lambda member: 100 * member.weight,
        lambda member: member.num_repeats,
        lambda member: 100 * member.num_distinct / member.num_available,
    )
    thick = 0.8 / num
    for number, ((label, _), of) in enumerate(zip(selections, members, strict=True)):
        at = [place + (number - (num - 1) / 2) * thick for place in range(len(names))]
        for axis, value in zip(axes, values, strict=True):
            lengths = [value(of[name]) if name in of else 0.0 for name in names]
            axis.barh(at, lengths, thick * 0.92, color=COLOURS[number % len(COLOURS)], label=short(label, 48))
    axes[0].set_yticks(range(len(names)), [short(name) for name in names])
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    axes[0].set_xlabel("share of the draws (%)")
    axes[1].set_xlabel("draws of each sample in an epoch")
    axes[1].axvline(1, color=INK, linewidth=0.6, linestyle=":")
    axes[2].set_xlabel("samples drawn at least once (%)")
    axes[2].set_xlim(0, 105)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=min(num, 3))
    return figure


def marker(number: int) -> tuple[str, str]:
    """Colour and marker of the n-th line of a figure."""
    return COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)]
