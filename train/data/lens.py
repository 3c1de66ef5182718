"""Where a camera without its lens sees what the real one sees: OpenCV's distortion undone."""

from __future__ import annotations

import numpy as np

from harmonize.geometry.cameras import project
from harmonize.geometry.rotations import Float64

_STEPS = 30
_WIDTH = 1e-6
_TOLERANCE = 1e-6  # of the focal length: a hundredth of a pixel and less


def undistorted_rays(rays: Float64, distortion: Float64) -> Float64:
    """Normalised coordinates (N, K, 2) through an ideal lens of those seen through `distortion` (N, 12).

    Newton's method with the derivative by differences; NaN where no undistorted place is found, as happens far outside
    of the picture, where a lens's polynomial folds back.
    """
    known = np.isfinite(rays).all(axis=-1, keepdims=True)
    goal = np.where(known, rays, 0.0)
    found = goal.copy()
    right, down = np.array([_WIDTH, 0.0]), np.array([0.0, _WIDTH])
    with np.errstate(all="ignore"):
        for _ in range(_STEPS):
            at = _bent(found, distortion)
            miss = at - goal
            if np.nanmax(np.abs(miss), initial=0.0) < _TOLERANCE / 100:
                break
            by_x = (_bent(found + right, distortion) - at) / _WIDTH
            by_y = (_bent(found + down, distortion) - at) / _WIDTH
            determinant = by_x[..., 0] * by_y[..., 1] - by_x[..., 1] * by_y[..., 0]
            step_x = (by_y[..., 1] * miss[..., 0] - by_y[..., 0] * miss[..., 1]) / determinant
            step_y = (by_x[..., 0] * miss[..., 1] - by_x[..., 1] * miss[..., 0]) / determinant
            found = found - np.stack([step_x, step_y], axis=-1)
        is_right = (np.abs(_bent(found, distortion) - goal) < _TOLERANCE).all(axis=-1, keepdims=True)
    return np.asarray(np.where(known & is_right, found, np.nan), np.float64)


def _bent(rays: Float64, distortion: Float64) -> Float64:
    points = np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1)
    return project(points, np.ones(2), np.zeros(2), distortion)
