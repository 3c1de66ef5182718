"""Where a body stands, from its joints and their 2D points: for datasets that give a pose and a camera but no place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.annotation import NamedPoints
from harmonize.evidence import MIN_POINTS, matching_rows
from harmonize.geometry.cameras import project_with
from harmonize.record import Camera

Floats = npt.NDArray[np.floating[Any]]

MAX_RMS_SHARE = 5 / 1080
"""Largest root-mean-square distance of a solved body from its points, over the picture's height: 5 px at 1080 lines."""


def solve_transl(
    joints_m: Floats, joint_names: tuple[str, ...], camera: Camera, keypoints2d: Sequence[NamedPoints]
) -> Floats | None:
    """The translation (3,) that puts joints (J, 3), in the camera's axes, on the 2D points of the same names.

    None where fewer than four points count, the camera is unknown, or the body lands behind it or misses its points.

    A pinhole makes u = (fx X + cx Z) / Z linear in the translation: two equations a point, weighted by its confidence,
    solved by least squares. The lens is taken as ideal, as it is for rendered pictures.
    """
    if not camera.has_intrinsics or not keypoints2d:
        return None
    focal, centre = camera.focal_px.astype(np.float64), camera.principal_point_px.astype(np.float64)
    if not (np.isfinite(focal).all() and np.isfinite(centre).all()):
        return None
    rows, values = [], []
    for points in keypoints2d:
        at_points, at_joints = matching_rows(points.names, joint_names)
        known = points.values[at_points, 2] > 0
        rows.append(at_joints[known])
        values.append(points.values[at_points[known]])
    used, targets = joints_m[np.concatenate(rows)].astype(np.float64), np.concatenate(values).astype(np.float64)
    if len(used) < MIN_POINTS:
        return None
    weights = np.sqrt(np.repeat(targets[:, 2], 2))
    offsets = centre - targets[:, :2]
    system = np.zeros((2 * len(used), 3))
    system[0::2, 0], system[1::2, 1], system[:, 2] = focal[0], focal[1], offsets.ravel()
    right = -(used[:, :2] * focal + offsets * used[:, 2:]).ravel()
    transl: Floats = np.linalg.lstsq(system * weights[:, None], right * weights, rcond=None)[0]
    missed = project_with(camera, used + transl) - targets[:, :2]
    rms = float(np.sqrt(np.mean(np.sum(missed**2, axis=1))))
    # A body behind the camera projects to NaN, which is no smaller than anything.
    return transl if rms <= MAX_RMS_SHARE * 2 * centre[1] else None
