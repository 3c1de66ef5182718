"""Pinhole projection with OpenCV's rational distortion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harmonize.geometry.rotations import Float64
from harmonize.record import Camera


def project(
    points_cam_m: npt.ArrayLike,
    focal_px: npt.ArrayLike,
    principal_point_px: npt.ArrayLike,
    distortion: npt.ArrayLike | None = None,
) -> Float64:
    """Pixels (..., N, 2) of points in the camera frame (x right, y down, z forward), in float64.

    With x = X/Z, y = Y/Z, r2 = x^2 + y^2 (OpenCV documentation, "Camera Calibration and 3D Reconstruction"):

        radial = (1 + k1 r2 + k2 r2^2 + k3 r2^3) / (1 + k4 r2 + k5 r2^2 + k6 r2^3)
        x'' = x radial + 2 p1 x y + p2 (r2 + 2 x^2)
        y'' = y radial + p1 (r2 + 2 y^2) + 2 p2 x y

    Points at or behind the camera plane (z <= 0) have no picture and become NaN.

    Args:
        points_cam_m: (..., N, 3) metres.
        focal_px: (..., 2) fx, fy.
        principal_point_px: (..., 2) cx, cy.
        distortion: (..., 8) k1 k2 p1 p2 k3 k4 k5 k6, or None for an ideal lens.
    """
    points = np.asarray(points_cam_m, np.float64)
    depth = points[..., 2:]
    rays = np.divide(points[..., :2], depth, out=np.full_like(points[..., :2], np.nan), where=depth > 0)
    if distortion is not None:
        rays = _distort(rays, np.asarray(distortion, np.float64)[..., None, :])
    focal = np.asarray(focal_px, np.float64)[..., None, :]
    return np.asarray(rays * focal + np.asarray(principal_point_px, np.float64)[..., None, :], np.float64)


def project_with(camera: Camera, points_cam_m: npt.ArrayLike) -> Float64:
    """Pixels (N, 2) of camera points (N, 3) in the picture of a record's camera, which must have intrinsics."""
    return project(points_cam_m, camera.focal_px, camera.principal_point_px, camera.distortion)


def _distort(rays: Float64, distortion: Float64) -> Float64:
    k1, k2, p1, p2, k3, k4, k5, k6 = np.moveaxis(distortion, -1, 0)
    x, y = rays[..., 0], rays[..., 1]
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return np.stack(
        (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ),
        axis=-1,
    )
