"""The figure of a scaling fit: error against draws at each model size, and what equal errors take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.scaling import Training, cheapest, draws_needed
from benchmark.scaling_laws import Fit
from catalogs.atlas.style import COLOURS, MARKERS, Size, new_figure
from harmonize.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT_MM = 70.0
NUM_POINTS = 60
BEYOND = 2.0
"""How far past the last point curves are drawn, dashed: there they are extrapolated."""


def scaling_figure(trainings: Sequence[Training], joint: Fit, size: Size, target_mm: float) -> Figure:
    """Left: error against draws, a curve with its 95 % prediction band at each model size; dashed where extrapolated.
    Right: draws that equal errors take at each model size, and the cheapest model of each error.

    Raises:
        UsageError: the fit is not one in draws and parameters.
    """
    if joint.law.variables != ("draws", "parameters"):
        raise UsageError("scaling: the figure needs a fit in draws and parameters: both must vary")
    figure = new_figure(size, HEIGHT_MM)
    left, right = figure.subplots(1, 2)
    _curves(left, trainings, joint)
    _equal_errors(right, joint, target_mm)
    return figure


def _curves(axis: Any, trainings: Sequence[Training], joint: Fit) -> None:
    first, last = joint.x[:, 0].min(), joint.x[:, 0].max()
    inside, outside = np.geomspace(first, last, NUM_POINTS), np.geomspace(last, last * BEYOND, NUM_POINTS // 4)
    for number, parameters in enumerate(sorted(set(joint.x[:, 1].tolist()))):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        for draws, style in ((inside, "-"), (outside, (0, (3, 2)))):
            middle, low, high = joint.predict(np.stack([draws, np.full_like(draws, parameters)], axis=1))
            axis.plot(draws, middle, color=colour, linestyle=style, zorder=2)
            axis.fill_between(draws, low, high, color=colour, alpha=0.12, linewidth=0, zorder=1)
        mine = [training for training in trainings if training.parameters == parameters]
        axis.plot(
            [training.draws for training in mine],
            [training.error_mm for training in mine],
            linestyle="",
            marker=marker,
            markersize=4,
            markeredgewidth=0,
            color=colour,
            label=_millions(parameters),
            zorder=3,
        )
    axis.set_xscale("log")
    axis.set_xlabel("draws in the whole training")
    axis.set_ylabel("error (mm)")
    axis.set_title("more data")
    axis.legend(title="parameters")


def _equal_errors(axis: Any, joint: Fit, target_mm: float) -> None:
    sizes = np.geomspace(joint.x[:, 1].min() / BEYOND, joint.x[:, 1].max() * BEYOND, 4 * NUM_POINTS)
    quartiles: list[float] = np.quantile(joint.error_mm, [0.25, 0.5, 0.75]).round().tolist()
    errors = sorted({target_mm, *quartiles})
    best = []
    for number, error in enumerate(errors):
        needed = np.array([draws_needed(joint.law, error, parameters) for parameters in sizes])
        is_near = needed < joint.x[:, 0].max() * 20
        colour = COLOURS[number % len(COLOURS)]
        axis.plot(sizes[is_near], needed[is_near], color=colour, label=f"{error:.4g} mm")
        if (found := cheapest(joint, error)) is not None and found.draws is not None:
            best.append((found.parameters, found.draws, colour))
    axis.plot(joint.x[:, 1], joint.x[:, 0], linestyle="", marker=".", markersize=3, color="#444444", label="trained")
    for parameters, draws, colour in best:
        if sizes[0] <= parameters <= sizes[-1]:
            axis.plot([parameters], [draws], linestyle="", marker="*", markersize=7, markeredgewidth=0, color=colour)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("parameters")
    axis.set_ylabel("draws needed")
    axis.set_title("equal errors; star: least draws x parameters")
    axis.legend()


def _millions(value: float) -> str:
    return f"{value / 1e6:.4g}M"
