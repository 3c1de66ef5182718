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
    with np.errstate(all="ignore"):
        for _ in range(_STEPS):
            miss = _bent(found, distortion) - goal
            if np.nanmax(np.abs(miss), initial=0.0) < _TOLERANCE / 100:
                break
            found = found - np.linalg.solve(_slope(found, distortion), miss[..., None])[..., 0]
        slope = _slope(found, distortion)
        # Beyond the fold of the polynomial the same place is found a second time, mirrored.
        is_unfolded = (np.linalg.det(slope) > 0) & (np.trace(slope, axis1=-2, axis2=-1) > 0)
        is_right = (np.abs(_bent(found, distortion) - goal) < _TOLERANCE).all(axis=-1) & is_unfolded
    return np.asarray(np.where(known & is_right[..., None], found, np.nan), np.float64)


def _slope(rays: Float64, distortion: Float64) -> Float64:
    """The derivative (N, K, 2, 2) of `_bent`; the unit where a ray has left the numbers."""
    here = _bent(rays, distortion)
    columns = [(_bent(rays + step, distortion) - here) / _WIDTH for step in _WIDTH * np.eye(2)]
    slope = np.stack(columns, axis=-1)
    is_usable = np.isfinite(slope).all(axis=(-1, -2)) & (np.abs(np.linalg.det(slope)) > _WIDTH)
    return np.asarray(np.where(is_usable[..., None, None], slope, np.eye(2)), np.float64)


def _bent(rays: Float64, distortion: Float64) -> Float64:
    points = np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1)
    return project(points, np.ones(2), np.zeros(2), distortion)
