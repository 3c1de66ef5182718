"""Figures of evaluations: errors side by side, their spread, and where they are large."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.evaluation import Figure as ErrorFigure
from catalogs.atlas.style import COLOURS, Size, new_figure
from pipelines.study_failures import Failure
from pipelines.study_figures import INK, WIDTH_MM, marker, to_svg
from pipelines.study_page import short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS_IN_A_ROW = 3
MAX_BINS = 40


def primary_figure(found: Sequence[tuple[str, Mapping[str, ErrorFigure]]]) -> bytes:
    """Primary error of each benchmark with its interval, evaluations side by side."""
    return to_svg(lambda: _primary(found))


def histogram_figure(spread: Mapping[str, tuple[str, Sequence[float]]]) -> bytes:
    """A panel a benchmark: its metric's errors in mm, counted."""
    return to_svg(lambda: _histograms({name: of for name, of in spread.items() if of[1]}))


def failure_figure(found: Sequence[Failure], mean_mm: float | None) -> bytes:
    """A panel an attribute: mean error of each bin with its interval, and the mean of all as a line."""
    return to_svg(lambda: _failures(found, mean_mm))


def _primary(found: Sequence[tuple[str, Mapping[str, ErrorFigure]]]) -> Figure:
    names = list(dict.fromkeys(name for _, of in found for name in of))
    figure = new_figure(Size(width_mm=WIDTH_MM), 26 + (4 + 3 * len(found)) * len(names))
    axis = figure.subplots()
    for number, (label, of) in enumerate(found):
        colour, shape = marker(number)
        shift = (number - (len(found) - 1) / 2) * 0.7 / len(found)
        places = {name: names.index(name) + shift for name, one in of.items() if one.mean_mm is not None}
        axis.plot(
            [of[name].mean_mm or 0.0 for name in places],
            list(places.values()),
            linestyle="",
            marker=shape,
            color=colour,
            label=short(label, 60),
        )
        for name, at in places.items():
            one = of[name]
            if one.low_mm is not None and one.high_mm is not None:
                axis.plot([one.low_mm, one.high_mm], [at, at], color=colour)
    axis.set_yticks(range(len(names)), [short(name) for name in names])
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(0, None)
    axis.set_xlabel("primary error (mm)")
    axis.grid(axis="x", color="#EEEEEE", linewidth=0.6)
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def _histograms(spread: Mapping[str, tuple[str, Sequence[float]]]) -> Figure:
    figure, axes = _panels(len(spread), 46)
    for axis, (name, (metric, values)) in zip(axes, spread.items(), strict=False):
        num = int(np.clip(round(2 * len(values) ** (1 / 3)), 5, MAX_BINS))
        axis.hist(values, bins=num, color=COLOURS[0], edgecolor="white", linewidth=0.4)
        axis.axvline(float(np.mean(values)), color=COLOURS[5], linewidth=1.2)
        axis.set_title(f"{short(name)} ({len(values)} instances)")
        axis.set_xlabel(f"{metric} (mm)")
        axis.set_ylabel("instances")
        axis.yaxis.get_major_locator().set_params(integer=True)
    return figure


def _failures(found: Sequence[Failure], mean_mm: float | None) -> Figure:
    most = max(len(one.bins) for one in found)
    figure, axes = _panels(len(found), 18 + 6 * most)
    for axis, one in zip(axes, found, strict=False):
        places = range(len(one.bins))
        if mean_mm is not None:
            axis.axvline(mean_mm, color=INK, linewidth=0.7, linestyle=":")
        for at, each in zip(places, one.bins, strict=True):
            axis.plot([each.error.low, each.error.high], [at, at], color=COLOURS[0], linewidth=1.4)
        axis.plot([each.error.mean for each in one.bins], places, "o", color=COLOURS[0], markersize=4.5)
        axis.set_yticks(places, [f"{short(each.label, 24)} ({each.error.num_instances})" for each in one.bins])
        axis.set_ylim(len(one.bins) - 0.4, -0.6)
        unit = f" ({one.unit})" if one.unit else ""
        axis.set_title(textwrap.fill(f"{one.title}{unit} [{one.explained:.0%}]", 34))
        axis.grid(axis="x", color="#EEEEEE", linewidth=0.6)
        axis.set_axisbelow(True)
    return figure


def _panels(num: int, height_mm: float) -> tuple[Figure, Any]:
    across = min(PANELS_IN_A_ROW, num)
    down = -(-num // across)
    figure = new_figure(Size(width_mm=WIDTH_MM * across / PANELS_IN_A_ROW), 6 + height_mm * down)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis in axes[num:]:
        axis.set_axis_off()
    return figure, axes
