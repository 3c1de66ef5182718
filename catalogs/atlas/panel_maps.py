"""Scatter plots of maps: image features, orientation and skeletons in two dimensions, by dataset or by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from catalogs.atlas.answers import Points
from catalogs.atlas.style import bare, class_style, dataset_style, handles

NUM_LAYERS = 6
"""Groups are drawn in turns of a sixth of their points each: none lies wholly on top of the others."""

CLASS_COLUMNS = 2
UNKNOWN, PALE = "unknown", "#BBBBBB"

RASTER_FROM = 4000
"""With more points a vector file holds them as pixels; text and axes stay vectors."""


def draw_by_dataset(axis: Any, points: Points, datasets: Sequence[str]) -> None:
    """One colour and marker a dataset; the legend belongs to the figure."""
    _scatter(axis, points, points.datasets, [(name, dataset_style(name)) for name in datasets])


def draw_by_class(axis: Any, points: Points) -> None:
    """One colour and marker a class, the most frequent first, with a legend under the panel that counts them."""
    names, counts = np.unique(points.classes, return_counts=True)
    order = np.lexsort((names, -counts, names == UNKNOWN))
    classes = [str(names[i]) for i in order]
    styles = [class_style(number) if name != UNKNOWN else (PALE, "o") for number, name in enumerate(classes)]
    _scatter(axis, points, points.classes, list(zip(classes, styles, strict=True)))
    axis.legend(
        handles=handles(
            [f"{name.replace('_', ' ')} ({counts[i]:,})" for name, i in zip(classes, order, strict=True)], styles
        ),
        loc="upper left",
        bbox_to_anchor=(-0.03, 0.0),
        ncols=CLASS_COLUMNS,
        columnspacing=0.8,
        handletextpad=0.1,
        labelspacing=0.3,
        borderpad=0.3,
    )


def _scatter(axis: Any, points: Points, groups: Any, styles: Sequence[tuple[str, tuple[str, str]]]) -> None:
    size_pt2 = float(np.clip(20_000 / max(1, len(points.xy)), 2.2, 14))
    for layer in range(NUM_LAYERS):
        for name, (colour, marker) in styles:
            xy = points.xy[groups == name][layer::NUM_LAYERS]
            axis.scatter(
                xy[:, 0],
                xy[:, 1],
                s=size_pt2,
                c=colour,
                marker=marker,
                alpha=0.8,
                linewidths=0,
                rasterized=len(points.xy) > RASTER_FROM,
            )
    axis.set_aspect("equal", adjustable="datalim")
    axis.margins(0.04)
    bare(axis)
