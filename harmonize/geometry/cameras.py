"""Pinhole projection with OpenCV's rational and thin-prism distortion."""

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
        x'' = x radial + 2 p1 x y + p2 (r2 + 2 x^2) + s1 r2 + s2 r2^2
        y'' = y radial + p1 (r2 + 2 y^2) + 2 p2 x y + s3 r2 + s4 r2^2

    Points at or behind the camera plane (z <= 0) have no picture and become NaN.

    Args:
        points_cam_m: (..., N, 3) metres.
        focal_px: (..., 2) fx, fy.
        principal_point_px: (..., 2) cx, cy.
        distortion: (..., 12) k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4, or None for an ideal lens.
    """
    points = np.asarray(points_cam_m, np.float64)
    depth = points[..., 2:]
    rays = np.divide(points[..., :2], depth, out=np.full_like(points[..., :2], np.nan), where=depth > 0)
    lens = None if distortion is None else np.asarray(distortion, np.float64)
    if lens is not None and lens.any():  # most cameras are ideal, and a lens of zeros changes nothing
        rays = _distort(rays, lens[..., None, :])
    focal = np.asarray(focal_px, np.float64)[..., None, :]
    return np.asarray(rays * focal + np.asarray(principal_point_px, np.float64)[..., None, :], np.float64)


def project_with(camera: Camera, points_cam_m: npt.ArrayLike) -> Float64:
    """Pixels (N, 2) of camera points (N, 3) in the picture of a record's camera, which must have intrinsics."""
    return project(points_cam_m, camera.focal_px, camera.principal_point_px, camera.distortion)


def as_pinhole(camera: Camera, points_cam_m: npt.ArrayLike) -> Float64:
    """Camera points (N, 3) moved sideways to where a camera without the lens sees them at their distorted places.

    For rasterisers, which know no lens. Points without a picture stay where they are.
    """
    points = np.array(points_cam_m, np.float64)
    pixels = project_with(camera, points)
    seen = np.isfinite(pixels).all(axis=1)
    points[seen, :2] = (pixels[seen] - camera.principal_point_px) / camera.focal_px * points[seen, 2:]
    return points


def _distort(rays: Float64, distortion: Float64) -> Float64:
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = np.moveaxis(distortion, -1, 0)
    x, y = rays[..., 0], rays[..., 1]
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return np.stack(
        (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) + r2 * (s1 + r2 * s2),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y + r2 * (s3 + r2 * s4),
        ),
        axis=-1,
    )


def opencv_distortion(coefficients: npt.ArrayLike) -> Float64:
    """OpenCV's coefficients (n,), n of 4, 5, 8 or 12, filled up with zeros to the record's 12.

    Raises:
        ValueError: there is another number of them.
    """
    given = np.asarray(coefficients, np.float64).ravel()
    if len(given) not in (4, 5, 8, 12):
        raise ValueError(f"distortion: expected 4, 5, 8 or 12 coefficients, found {len(given)}")
    return np.concatenate([given, np.zeros(12 - len(given))])


def imar_distortion(radial: npt.ArrayLike, tangential: npt.ArrayLike) -> Float64:
    """The lens model of the Human3.6M toolbox and of the IMAR datasets in OpenCV's terms, exactly: (12,).

    Theirs (imar_vision_datasets_tools, util/dataset_util.py), with radial (3,) = k1 k2 k3 and tangential (2,) = p1 p2:

        x'' = x (1 + k1 r2 + k2 r2^2 + k3 r2^3 + p1 y + p2 x) + p2 r2
        y'' = y (1 + k1 r2 + k2 r2^2 + k3 r2^3 + p1 y + p2 x) + p1 r2

    has half of OpenCV's mixed tangential term, so p is halved and the rest of p r2 is a thin prism.
    """
    k1, k2, k3 = np.asarray(radial, np.float64).ravel()
    p1, p2 = np.asarray(tangential, np.float64).ravel()
    return np.array([k1, k2, p1 / 2, p2 / 2, k3, 0, 0, 0, p2 / 2, 0, p1 / 2, 0])
