"""Distances as heat maps: a panel for each space and metric, sources by targets, dark where the source is near."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.distances import METRICS
from benchmark.distances.table import Cell
from harmonize.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS_IN_A_ROW = 3
ROW_MM, HEAD_MM, LABELS_MM, CELL_MM, BAR_MM = 3.2, 12.0, 26.0, 8.0, 12.0
MIN_PANEL_MM = 56.0
_MAX_NUMBERED = 12
"""Most targets for which the numbers are written into the cells."""

_MAX_TITLE = 28
"""Longer names of spaces, those of image features, lose their middle: hashes of weights are at the end."""


def heat_maps(cells: Sequence[Cell], *, dpi: int = 200) -> Figure:
    """One figure. Sources are ordered by their mean over the targets, the nearest first; a dash is an empty cell, a
    star an in-domain one. Panels without any value are left out.

    Raises:
        UsageError: no cell has a value.
    """
    from catalogs.atlas.style import Size, new_figure

    panels = list(dict.fromkeys((cell.space, cell.metric) for cell in cells if cell.value is not None))
    if not panels:
        raise UsageError("--plot: no cell has a value", fix="choose metrics that need fewer instances, or ingest more")
    num_targets = len({cell.target for cell in cells})
    num_sources = len({cell.source for cell in cells})
    across = min(PANELS_IN_A_ROW, len(panels))
    down = -(-len(panels) // across)
    panel_mm = max(MIN_PANEL_MM, LABELS_MM + BAR_MM + CELL_MM * num_targets)
    height_mm = down * (HEAD_MM + LABELS_MM + ROW_MM * num_sources)
    figure = new_figure(Size(width_mm=across * panel_mm, dpi=dpi), height_mm)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis, (space, metric) in zip(axes, panels, strict=False):
        _panel(figure, axis, [cell for cell in cells if (cell.space, cell.metric) == (space, metric)])
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    return figure


def _panel(figure: Figure, axis: Any, cells: Sequence[Cell]) -> None:
    metric = METRICS[cells[0].metric]
    targets = list(dict.fromkeys(cell.target for cell in cells))
    values = {(cell.source, cell.target): np.nan if cell.value is None else cell.value for cell in cells}
    sources = _ordered(list(dict.fromkeys(cell.source for cell in cells)), targets, values, metric.is_good_when_large)
    grid = np.array([[values[source, target] for target in targets] for source in sources])
    axis.set_facecolor("#F2F2F2")
    # Dark is near: distances are drawn the other way round than coverage.
    image = axis.imshow(grid, aspect="auto", cmap="viridis_r" if metric.is_good_when_large else "viridis")
    space = cells[0].space
    short = space if len(space) <= _MAX_TITLE else f"{space[: _MAX_TITLE // 2]}…{space[-_MAX_TITLE // 2 :]}"
    axis.set_title(f"{short}\n{metric.name}")
    axis.set_xticks(range(len(targets)), targets, rotation=60, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(sources)), sources)
    for spine in axis.spines.values():
        spine.set_visible(False)
    for cell in cells:
        x, y = targets.index(cell.target), sources.index(cell.source)
        if cell.value is None:
            axis.text(x, y, "–", ha="center", va="center", color="#888888", fontsize=5)
        elif len(targets) <= _MAX_NUMBERED:
            red, green, blue, _ = image.cmap(image.norm(cell.value))
            ink = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
            text = f"{cell.value:.2g}{'*' if cell.is_in_domain else ''}"
            axis.text(x, y, text, ha="center", va="center", color=ink, fontsize=5)
    figure.colorbar(image, ax=axis, shrink=0.6, aspect=30, pad=0.02)


def _ordered(sources: list[str], targets: list[str], values: dict[tuple[str, str], float], is_good: bool) -> list[str]:
    """The nearest first by the mean over targets; those without any value last; equals by name."""

    def place(source: str) -> tuple[bool, float, str]:
        known = [values[source, target] for target in targets if np.isfinite(values[source, target])]
        mean = sum(known) / len(known) if known else 0.0
        return not known, -mean if is_good else mean, source

    return sorted(sources, key=place)
