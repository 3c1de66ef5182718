"""Histograms as PNG files: from where bodies are seen, and how far their joints are bent.

Drawn without a display. matplotlib is imported when a figure is drawn, so that the query path does not load it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from catalogs.store import Table, query
from harmonize.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_AZIMUTH, NUM_ELEVATION = 24, 9
FLEXION_BIN_DEG = 10


def orientation_figure(con: duckdb.DuckDBPyConnection, path: Path) -> Path:
    """One panel a dataset: how many samples each viewing direction has, against views spread evenly over the sphere.

    Cells have equal solid angle and, as rows are equal steps of sin(elevation), equal area on paper. Empty cells are
    white.

    Raises:
        UsageError: no sample has a body.
    """
    from matplotlib.colors import LogNorm

    sql = f"FROM orientation_histogram(num_azimuth := {NUM_AZIMUTH}, num_elevation := {NUM_ELEVATION})"
    num_cells = NUM_AZIMUTH * NUM_ELEVATION
    groups = _by_dataset(query(con, sql))
    grids = {dataset: num_cells * _orientation_shares(rows) for dataset, rows in groups.items()}
    figure, axes = _panels(len(grids), width_in=4.2, height_in=2.8)
    step = 360 / NUM_AZIMUTH
    azimuth_edges = np.arange(NUM_AZIMUTH + 1) * step - 180 - step / 2
    sine_edges = np.linspace(-1, 1, NUM_ELEVATION + 1)
    low = min(0.5, *(float(grid[grid > 0].min()) for grid in grids.values()))
    norm = LogNorm(low, num_cells)
    for axis, (dataset, grid) in zip(axes, grids.items(), strict=True):
        mesh = axis.pcolormesh(azimuth_edges, sine_edges, np.ma.masked_equal(grid.T, 0), norm=norm, cmap="viridis_r")
        axis.set_title(f"{dataset} ({sum(row['num_instances'] for row in groups[dataset]):,} samples)")
        axis.set_xticks([-180, -90, 0, 90], ["back\n±180°", "right side\n−90°", "front\n0°", "left side\n90°"])
        marks = (-90, -30, 0, 30, 90)
        axis.set_yticks(np.sin(np.radians(marks)), [f"{mark}°".replace("-", "−") for mark in marks])
        axis.set_xlabel("azimuth: which side the camera sees")
        axis.set_ylabel("elevation (90°: from above)")
    bar = figure.colorbar(mesh, ax=axes, label="times as many samples as with evenly spread views")
    ticks = [tick for tick in (0.1, 0.3, 1, 3, 10, 30, 100) if low <= tick <= num_cells]
    bar.set_ticks(ticks, labels=[f"{tick:g}×" for tick in ticks])
    figure.suptitle("From where bodies are seen")
    return _save(figure, path)


def pose_figure(con: duckdb.DuckDBPyConnection, path: Path) -> Path:
    """Per dataset: flexion of knees and of elbows, and mean rotation of each body joint.

    Raises:
        UsageError: no sample has a body.
    """
    flexion = _by_dataset(query(con, f"FROM flexion_histogram(bin_deg := {FLEXION_BIN_DEG})"))
    angles = _by_dataset(query(con, "FROM joint_angles()"))
    figure, (knee, elbow, joints) = _panels(3, width_in=5.0, height_in=4.6, columns=3)
    edges = np.arange(0, 180 + FLEXION_BIN_DEG, FLEXION_BIN_DEG)
    for axis, joint in ((knee, "knee"), (elbow, "elbow")):
        for dataset, rows in flexion.items():
            shares = np.zeros(len(edges) - 1)
            for row in rows:
                if row["joint"] == joint:
                    shares[row["bin"]] = row["share"]
            axis.stairs(100 * shares, edges, label=dataset, linewidth=1.5)
        axis.set_title(f"{joint}s")
        axis.set_xlabel("flexion [°]  (0: straight)")
        axis.set_ylabel(f"share of {joint}s per {FLEXION_BIN_DEG}° [%]")
        axis.set_xlim(0, 180)
        axis.set_xticks(range(0, 181, 30))
    for dataset, rows in angles.items():
        names = [str(row["joint"]).replace("_", " ") for row in rows]
        joints.plot([row["mean_deg"] for row in rows], names, "o", markersize=5, alpha=0.8, label=dataset)
    joints.set_title("all body joints")
    joints.set_xlabel("mean rotation against the rest pose [°]")
    joints.set_xlim(0, 1.05 * max(row["mean_deg"] for rows in angles.values() for row in rows) + 1)
    joints.invert_yaxis()
    joints.tick_params(axis="y", labelsize=8)
    joints.grid(alpha=0.3)
    figure.legend(*joints.get_legend_handles_labels(), title="dataset", loc="outside right upper")
    figure.suptitle("How bodies are posed")
    return _save(figure, path)


def _orientation_shares(rows: Sequence[dict[str, Any]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    grid = np.zeros((NUM_AZIMUTH, NUM_ELEVATION))
    for row in rows:
        grid[row["azimuth_bin"], row["elevation_bin"]] = row["share"]
    return grid


def _by_dataset(table: Table) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in table.rows:
        named = dict(zip(table.columns, row, strict=True))
        groups.setdefault(named["dataset"], []).append(named)
    if not groups:
        raise UsageError("nothing to draw: no sample of the store has a body", fix='ehps query STORE "@validity"')
    return groups


def _panels(num: int, *, width_in: float, height_in: float, columns: int | None = None) -> tuple[Figure, list[Any]]:
    """A figure with `num` panels in about as many rows as columns; no global state, hence no display and no leak."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = columns or min(num, max(2, round(math.sqrt(num))))
    rows = -(-num // columns)
    figure = Figure(figsize=(width_in * columns, height_in * rows), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for unused in grid[num:]:
        unused.set_axis_off()
    return figure, list(grid[:num])


def _save(figure: Figure, path: Path) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")
    return Path(path)
