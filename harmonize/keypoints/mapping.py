"""Named points to the record's two blocks: the 144 SMPL-X joints and the extra points."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from harmonize.errors import RecordError
from harmonize.keypoints.conventions import SMPLX_144
from harmonize.record import MAX_EXTRA_KEYPOINTS, NUM_JOINTS, Array

_POSITION = {name: at for at, name in enumerate(SMPLX_144)}


def to_smplx(names: Sequence[str], values: npt.ArrayLike) -> tuple[Array, tuple[str, ...], Array]:
    """Points (K, D) sorted by name into joints (144, D), the names that SMPL-X does not know, and their rows (64, D).

    Extra points keep their order and fill the first rows; whatever is not given is 0. Names that end in `_unused` are
    slots that the source leaves empty and are dropped.

    Raises:
        RecordError: a name comes twice, names and rows differ in number, or more than 64 points are extra.
    """
    points = np.asarray(values, np.float32)
    if points.ndim != 2 or len(points) != len(names):
        raise RecordError(f"keypoints: expected ({len(names)}, D) values for {len(names)} names, found {points.shape}")
    rows, places, extra, extra_names = _places(tuple(names))
    joints = np.zeros((NUM_JOINTS, points.shape[1]), np.float32)
    joints[places] = points[rows]
    extra_values = np.zeros((MAX_EXTRA_KEYPOINTS, points.shape[1]), np.float32)
    extra_values[: len(extra)] = points[extra]
    return joints, extra_names, extra_values


_Rows = npt.NDArray[np.intp]


@lru_cache(maxsize=256)
def _places(names: tuple[str, ...]) -> tuple[_Rows, _Rows, _Rows, tuple[str, ...]]:
    """Rows that are joints, which joints they are, rows that are extra points, and their names."""
    if len(set(names)) != len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise RecordError(f"keypoints: expected each name once, found {', '.join(repeated)} more often")
    rows = [row for row, name in enumerate(names) if name in _POSITION]
    extra = [row for row, name in enumerate(names) if name not in _POSITION and not name.endswith("_unused")]
    if len(extra) > MAX_EXTRA_KEYPOINTS:
        raise RecordError(f"keypoints: expected at most {MAX_EXTRA_KEYPOINTS} extra points, found {len(extra)}")
    places = np.array([_POSITION[names[row]] for row in rows], np.intp)
    return np.array(rows, np.intp), places, np.array(extra, np.intp), tuple(names[row] for row in extra)
