"""Several calibrated cameras about a stage, and the frames that releases put their parameters in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from harmonize.miniatures.lenses import bent
from harmonize.miniatures.points import Floats
from harmonize.miniatures.studio import StudioCamera, looking_at

UP = np.array([0.0, 1.0, 0.0])
"""Up on the stage."""


def lens(*coefficients: float) -> Floats:
    """(12,): coefficients in OpenCV's order, zeros for those that are not given."""
    return np.array([*coefficients, *[0.0] * (12 - len(coefficients))])


def bend_of(distortion: Floats) -> Callable[[Floats], Floats]:
    """The lens as a map of rays x/z, y/z (N, 2)."""

    def bend(rays: Floats) -> Floats:
        return bent(np.column_stack([rays, np.ones(len(rays))]), distortion)[:, :2]

    return bend


def camera_at(
    angle_rad: float,
    distance_m: float,
    *,
    size: tuple[int, int],
    focal_px: Floats,
    principal_point_px: Floats,
    distortion: Floats | None = None,
    height_m: float = 1.5,
    target_m: tuple[float, float, float] = (0.0, 0.9, 0.0),
    roll_rad: float = 0.0,
) -> StudioCamera:
    """A camera that looks at a point of the stage from a direction; at angle 0 people of yaw 0 face it."""
    position = np.array([distance_m * np.sin(angle_rad), height_m, distance_m * np.cos(angle_rad)])
    rotmat, transl = looking_at(position, np.array(target_m), UP, roll_rad)
    return StudioCamera(
        focal_px=focal_px,
        principal_point_px=principal_point_px,
        size=size,
        rotmat=rotmat,
        transl_m=transl,
        bend=None if distortion is None else bend_of(distortion),
    )


def seen_from(camera: StudioCamera, rotmat: Floats, transl_m: Floats) -> StudioCamera:
    """The same camera in the frame x' = rotmat x + transl_m."""
    turned = camera.rotmat @ rotmat.T
    return replace(camera, rotmat=turned, transl_m=camera.transl_m - turned @ transl_m)


def matrix(rotmat: Floats, transl_m: Floats) -> Floats:
    """(4, 4) of x' = rotmat x + transl_m."""
    return np.vstack([np.column_stack([rotmat, transl_m]), (0.0, 0.0, 0.0, 1.0)])
