"""Rows of a shard in memory, what a family makes of them, and geometry of the tests' own."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.spatial.transform import Rotation

from catalogs.attributes.family import Family, Prepared, Rows, Scope, to_table
from catalogs.attributes.rest_body import rest_body
from harmonize.layout import LAYOUT

SPECS = {column.name.replace(".", "_"): column.spec for column in LAYOUT}


def rows_of(family: Family, num_rows: int, **values: Any) -> Rows:
    """Rows whose columns are the given values; of the others, flags are up, joints known, and arrays zero."""
    columns: dict[str, Any] = {"key": [f"toy-{i}" for i in range(num_rows)]}
    columns |= {name: ["toy"] * num_rows for name in ("dataset", "split")}
    for name in family.reads:
        spec = SPECS[name]
        if spec.kind == "flag":
            columns[name] = pa.array(np.broadcast_to(values.get(name, True), num_rows))
            continue
        default = 1 if name == "body_known_body_joints" else 0
        array = np.broadcast_to(np.asarray(values.get(name, default), np.float32), (num_rows, *spec.shape))
        flat = pa.array(np.ascontiguousarray(array).reshape(-1))
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, int(np.prod(spec.shape)))
    return Rows(shard="toy", table=pa.table(columns))


def values_of(family: Family, rows: Rows, context: Any = None) -> dict[str, np.ndarray]:
    """Every column as its file would hold it: NaN for null."""
    table = to_table(family, rows, family.compute(rows, context))
    found = {}
    for attribute in family.attributes:
        column = table.column(attribute.name)
        if attribute.kind == "vector":
            empty = [np.nan] * attribute.size
            found[attribute.name] = np.array([empty if one is None else one for one in column.to_pylist()], float)
        else:
            found[attribute.name] = np.array([np.nan if one is None else one for one in column.to_pylist()], float)
    return found


@cache
def standin_rest() -> Prepared:
    """The stand-in's rest body."""
    return rest_body(Scope(store=Path(), body_models="standin", shards={}))


def seen_from(place: np.ndarray, roll_deg: float = 0.0) -> np.ndarray:
    """global_orient as a matrix (3, 3) of a body in its own axes, for a camera at `place` that looks at it.

    The camera's y axis points down along the body's -y as far as it can; the picture is then turned clockwise by roll.
    """
    forward = -place / np.linalg.norm(place)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    body_to_camera = np.stack([right, np.cross(forward, right), forward])
    # x right, y down: turning x towards y is clockwise as seen.
    return Rotation.from_euler("z", roll_deg, degrees=True).as_matrix() @ body_to_camera


def place_at(azimuth_deg: float, elevation_deg: float) -> np.ndarray:
    """A unit vector in body axes (x left, y up, z front)."""
    azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
    return np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])


def axis_angle(matrices: np.ndarray) -> np.ndarray:
    """(N, 3) radians."""
    return Rotation.from_matrix(np.asarray(matrices).reshape(-1, 3, 3)).as_rotvec()


def apart_deg(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Difference of two angles in degrees, 0..180, around the circle."""
    return np.abs((np.asarray(one) - other + 180) % 360 - 180)
