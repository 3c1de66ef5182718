"""Lenses that are not ideal, written out from OpenCV's documentation apart from `harmonize.geometry`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]


def bent(points_cam_m: Floats, distortion: Floats | None) -> Floats:
    """(N, 3): the points moved across the line of sight, so that an ideal lens sees them where this lens saw the given
    ones; depths stay. A mesh of bent vertices can be rendered without another word about the lens.

    Args:
        points_cam_m: (N, 3), in front of the camera. distortion: (12,) k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4, None for an
            ideal lens.
    """
    if distortion is None:
        return points_cam_m
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = distortion
    depth = points_cam_m[:, 2]
    x, y = points_cam_m[:, 0] / depth, points_cam_m[:, 1] / depth
    r2 = x**2 + y**2
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    bent_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2) + s1 * r2 + s2 * r2**2
    bent_y = y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y + s3 * r2 + s4 * r2**2
    return np.stack([bent_x * depth, bent_y * depth, depth], 1)
