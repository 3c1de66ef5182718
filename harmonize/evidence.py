"""How well a body agrees with what the dataset itself says about the same person.

The source's own body (its model, gender and hands, in the camera frame) is held against the dataset's own points, by
joint name. Exact points were made from that very body, so they expose any wrong convention as millimetres or pixels;
annotated and detected points only bound it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.annotation import NamedPoints
from harmonize.geometry.cameras import project_with
from harmonize.record import Camera

Floats = npt.NDArray[np.floating[Any]]

MIN_POINTS = 4
"""Fewer labelled points than this say nothing about a pose."""

_APART = ("hip", "neck", "pelvis", "head")
"""Detector points of these parts lie centimetres from the model's joint of the same name; they are no evidence."""

_FACE = ("eyebrow", "nosebridge", "nose_", "eye_", "mouth", "lip_", "_lip", "contour")
_FINGER = ("thumb", "index", "middle", "ring", "pinky")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Distances between body and dataset points; NaN where there is nothing to compare.

    reprojection_px: median over annotated or detected body points, pixels. reprojection_share: the same over the person
    box's diagonal. left_hand_share, right_hand_share: median over a hand's points, over the diagonal of their extent.
    face_share: likewise for the face. exact_px, exact_share: largest distance to exact 2D points, pixels and over the
    box's diagonal. exact_mm: largest distance to exact 3D points, millimetres. measured_mm: median distance to measured
    3D points. other_hand_gain: by how much a hand's share would fall (the better of both hands) if the mean hand were
    added where the source is said to hold absolute hands, or left out where it is said to hold relative ones.
    """

    reprojection_px: float = np.nan
    reprojection_share: float = np.nan
    left_hand_share: float = np.nan
    right_hand_share: float = np.nan
    face_share: float = np.nan
    exact_px: float = np.nan
    exact_share: float = np.nan
    exact_mm: float = np.nan
    measured_mm: float = np.nan
    other_hand_gain: float = np.nan


@cache
def part_of(name: str) -> str:
    """`left_hand`, `right_hand`, `face` or `body` for a canonical joint name."""
    side, _, rest = name.partition("_")
    if side in ("left", "right") and rest.split("_")[0] in _FINGER:
        return f"{side}_hand"
    if any(mark in name for mark in _FACE) and not name.endswith("_openpose"):
        return "face"
    return "body"


@cache
def _parts(names: tuple[str, ...]) -> npt.NDArray[np.str_]:
    return np.array([part_of(name) for name in names])


@cache
def matching_rows(
    names: tuple[str, ...], joint_names: tuple[str, ...]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows of the points and of the joints that mean the same thing."""
    position = {name: i for i, name in enumerate(joint_names)}
    pairs = []
    for i, name in enumerate(names):
        base = name.removesuffix("_openpose")
        if base != name and any(word in base for word in _APART):
            continue
        if base in position:
            pairs.append((i, position[base]))
    rows = np.array(pairs, np.intp).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def measure(
    joints_cam_m: Floats,
    joint_names: tuple[str, ...],
    camera: Camera,
    keypoints2d: Sequence[NamedPoints],
    keypoints3d: NamedPoints | None,
    box_diagonal_px: float,
    other_joints_cam_m: Floats | None = None,
) -> Evidence:
    """The evidence for one person.

    joints_cam_m: (J, 3) joints of the source's body in the camera frame, named by `joint_names`.
    other_joints_cam_m: the same under the other hand-mean convention, where the source has hands.
    box_diagonal_px: of the person box; NaN when there is none.
    """
    found: dict[str, float] = {}
    if camera.has_intrinsics and keypoints2d:
        projected = project_with(camera, joints_cam_m)
        other_projected = None if other_joints_cam_m is None else project_with(camera, other_joints_cam_m)
        for points in keypoints2d:
            share = _measure2d(projected, joint_names, points, box_diagonal_px)
            if other_projected is not None and not points.is_exact:
                other = _measure2d(other_projected, joint_names, points, box_diagonal_px)
                gains = [share[key] - other[key] for key in ("left_hand_share", "right_hand_share") if key in share]
                if gains:
                    found["other_hand_gain"] = max(gains)
            found |= share
    if keypoints3d is not None:
        at_points, at_joints = matching_rows(keypoints3d.names, joint_names)
        values = keypoints3d.values[at_points]
        known = values[:, 3] > 0
        if known.sum() >= MIN_POINTS:
            distance_mm = 1000 * np.linalg.norm(values[known, :3] - joints_cam_m[at_joints[known]], axis=1)
            if keypoints3d.is_exact:
                found["exact_mm"] = float(distance_mm.max())
            else:
                found["measured_mm"] = float(np.median(distance_mm))
    return Evidence(**found)


def _measure2d(
    projected: Floats, joint_names: tuple[str, ...], points: NamedPoints, diagonal_px: float
) -> dict[str, float]:
    at_points, at_joints = matching_rows(points.names, joint_names)
    values = points.values[at_points]
    known = values[:, 2] > 0
    if known.sum() < MIN_POINTS:
        return {}
    with np.errstate(invalid="ignore"):
        distance = np.linalg.norm(values[:, :2] - projected[at_joints], axis=1)
    # A joint behind the camera projects to NaN: as far away as can be, and never silently out of the median.
    distance = np.where(np.isnan(distance), np.inf, distance)
    if points.is_exact:
        worst = float(distance[known].max())
        return {"exact_px": worst, "exact_share": worst / diagonal_px}
    found: dict[str, float] = {}
    parts = _parts(points.names)[at_points]
    for part in ("body", "left_hand", "right_hand", "face"):
        chosen = known & (parts == part)
        if chosen.sum() < MIN_POINTS:
            continue
        median = float(np.median(distance[chosen]))
        if part == "body":
            found |= {"reprojection_px": median, "reprojection_share": median / diagonal_px}
        else:
            extent = float(np.linalg.norm(np.ptp(values[chosen, :2], axis=0)))
            if extent > 0:
                found[f"{part}_share"] = median / extent
    return found
