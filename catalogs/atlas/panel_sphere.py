"""From where bodies are seen: cells of the sphere in Mollweide's projection, which keeps areas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from catalogs.atlas.answers import Source
from catalogs.atlas.style import Size, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_AZIMUTH, NUM_ELEVATION = 24, 9
NUM_CELLS = NUM_AZIMUTH * NUM_ELEVATION
SLICES = 8
CAPTION = "times the samples of evenly spread views"

Grid = npt.NDArray[np.float64]


def orientation_grids(source: Source) -> dict[str, Grid]:
    """Samples in each cell of equal solid angle, (24, 9) a dataset: azimuth, then sin(elevation).

    Raises:
        UsageError: the family `orientation` has no values.
    """
    sql = (
        "SELECT dataset, cell, count(*) FROM orientation "
        "WHERE list_contains($datasets, dataset) AND cell IS NOT NULL GROUP BY ALL ORDER BY ALL"
    )
    grids: dict[str, Grid] = {}
    for dataset, cell, num in source.rows(sql, "orientation"):
        elevation, azimuth = divmod(int(cell), NUM_AZIMUTH)
        grids.setdefault(dataset, np.zeros((NUM_AZIMUTH, NUM_ELEVATION)))[azimuth, elevation] = num
    return {dataset: grids[dataset] for dataset in source.datasets if dataset in grids}


def draw_sphere(axis: Any, grid: Grid, norm: Any) -> Any:
    """One dataset on a Mollweide axis; empty cells stay white. Returns what a colour bar needs."""
    step = 2 * np.pi / NUM_AZIMUTH
    # Cell 0 of the azimuth is centred at the back, which is the edge of the projection: it is drawn in two halves.
    azimuth = np.concatenate([[-np.pi], -np.pi + step / 2 + step * np.arange(NUM_AZIMUTH), [np.pi]])
    # Each cell is drawn in slices, so that its sides follow the meridians.
    elevation = np.interp(
        np.arange(NUM_ELEVATION * SLICES + 1) / SLICES,
        np.arange(NUM_ELEVATION + 1),
        np.arcsin(np.linspace(-1, 1, NUM_ELEVATION + 1)),
    )
    ratio = np.repeat(np.concatenate([grid, grid[:1]]) * NUM_CELLS / grid.sum(), SLICES, axis=1)
    mesh = axis.pcolormesh(
        azimuth, elevation, np.ma.masked_equal(ratio.T, 0), norm=norm, cmap="viridis_r", rasterized=True
    )
    axis.grid(linewidth=0.25, color="#999999")
    axis.set_xticks(np.radians([-90, 0, 90]))
    axis.set_yticks(np.radians([-30, 0, 30]))
    axis.set_xticklabels([])
    axis.set_yticklabels([])
    axis.spines["geo"].set_linewidth(0.5)
    return mesh


def sphere_norm(grids: dict[str, Grid]) -> Any:
    """One logarithmic colour scale for all: from what the rarest cell has to all samples in one cell."""
    from matplotlib.colors import LogNorm

    ratios = np.concatenate([(grid * NUM_CELLS / grid.sum()).reshape(-1) for grid in grids.values()])
    return LogNorm(min(0.5, float(ratios[ratios > 0].min())), max(2.0, float(ratios.max())))


def sphere_figure(source: Source, size: Size) -> Figure:
    """All datasets together, then each alone.

    Raises:
        UsageError: the family `orientation` has no values.
    """
    grids = orientation_grids(source)
    shown = {"all": np.sum(list(grids.values()), axis=0), **grids} if len(grids) > 1 else grids
    columns = min(len(shown), max(1, round(size.width_mm / 34)))
    rows = -(-len(shown) // columns)
    figure = new_figure(size, rows * (size.width_mm / columns * 0.5 + 5.5) + 15)
    axes = figure.subplots(rows, columns, squeeze=False, subplot_kw={"projection": "mollweide"}).reshape(-1)
    norm = sphere_norm(shown)
    for axis, (dataset, grid) in zip(axes, shown.items(), strict=False):
        mesh = draw_sphere(axis, grid, norm)
        axis.set_title(f"{dataset} ({int(grid.sum()):,})", fontsize=6, fontweight="normal", loc="center", pad=3)
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    bar = figure.colorbar(mesh, ax=list(axes), orientation="horizontal", fraction=0.025, pad=0.02, aspect=60)
    label_bar(bar, norm)
    figure.suptitle(
        "Viewing direction: centre the front, right half the body's left side, up from above",
        fontsize=7,
        x=0.01,
        ha="left",
    )
    return figure


def label_bar(bar: Any, norm: Any) -> None:
    """Ticks at round ratios."""
    ticks = [tick for tick in (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100) if norm.vmin <= tick <= norm.vmax]
    bar.set_ticks(ticks, labels=[f"{tick:g}×" for tick in ticks])
    bar.ax.minorticks_off()
    bar.outline.set_linewidth(0.4)
    bar.set_label(CAPTION, fontsize=6)
