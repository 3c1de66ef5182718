"""Which camera points a picture shows, for many cameras at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.geometry.cameras import project

Floats = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.bool_]

_NUM_STEPS = 32


def project_inside(
    points_cam_m: Floats, focal_px: Floats, principal_point_px: Floats, distortion: Floats, low: Floats, high: Floats
) -> Flags:
    """(N, K) whether points (N, K, 3) fall between the corners low and high (N, 2) px; behind the camera they do not.

    focal_px, principal_point_px (N, 2) and distortion (N, 12) as in `harmonize.geometry.cameras.project`. A lens
    polynomial holds near the picture only: far outside it turns round and would throw points back into the picture.
    Such points are outside.
    """
    is_inside = _between(_ideal(points_cam_m, focal_px, principal_point_px), low, high)
    rows = np.flatnonzero(distortion.any(axis=1))
    if len(rows):
        points, lens = points_cam_m[rows], distortion[rows]
        pixels = project(points, focal_px[rows], principal_point_px[rows], lens)
        is_shown = _between((pixels[..., 0], pixels[..., 1]), low[rows], high[rows])
        # Only who is outside without the lens can have been thrown back.
        doubtful, joint = np.nonzero(is_shown & ~is_inside[rows])
        is_shown[doubtful, joint] = _is_before_turn(points[doubtful, joint], lens[doubtful])
        is_inside[rows] = is_shown
    return is_inside


def _ideal(points_cam_m: Floats, focal_px: Floats, principal_point_px: Floats) -> tuple[Floats, Floats]:
    depth = points_cam_m[:, :, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(depth > 0, 1 / depth, np.nan)
    x, y = points_cam_m[:, :, 0] * scale, points_cam_m[:, :, 1] * scale
    return (
        x * focal_px[:, :1] + principal_point_px[:, :1],
        y * focal_px[:, 1:] + principal_point_px[:, 1:],
    )


def _between(pixels: tuple[Floats, Floats], low: Floats, high: Floats) -> Flags:
    x, y = pixels
    return np.asarray((x >= low[:, :1]) & (x <= high[:, :1]) & (y >= low[:, 1:]) & (y <= high[:, 1:]))


def _is_before_turn(points_cam_m: Floats, distortion: Floats) -> Flags:
    """(M,) whether the lens moves rays ever further out from the axis to each of the points (M, 3)."""
    steps = np.arange(1, _NUM_STEPS + 1) / _NUM_STEPS
    rays = points_cam_m[:, None, :].astype(np.float64) * [1, 1, 0] * steps[:, None] + points_cam_m[:, None, 2:] * [
        0,
        0,
        1,
    ]
    ones, zeros = np.ones((len(rays), 2)), np.zeros((len(rays), 2))
    seen = project(rays, ones, zeros, distortion)
    # Only the radial part can turn: along the undistorted direction the picture must move outwards all the way.
    direction = points_cam_m[:, None, :2].astype(np.float64)
    along = (seen * direction).sum(axis=2)
    return np.asarray((np.diff(along, axis=1, prepend=0) > 0).all(axis=1))
