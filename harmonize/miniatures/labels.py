"""Points that annotators mark, of a person before a camera: also those that no body model has as a joint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harmonize.miniatures.points import Floats, body_joint, is_inside
from harmonize.miniatures.virtual import View
from harmonize.miniatures.world import project

_NEXT_TO = {
    "thorax_extra": "neck",
    "head_bottom_pt": "neck",
    "jaw_extra": "head",
    "spine_extra": "spine_2",
    "left_toe_3dhp": "left_foot",
    "right_toe_3dhp": "right_foot",
}
"""Annotated point: the joint that it lies next to, where the name does not tell."""


def points_cam_m(seen: View, names: Sequence[str]) -> Floats:
    """(K, 3) camera points of the named labels; the top of the head is the mesh's farthest vertex from neck to head."""
    at = {name: row for row, name in enumerate(seen.joint_names)}
    head, neck = (seen.joints_cam_m[at[name]] for name in ("head", "neck"))
    top = seen.vertices_cam_m[np.argmax(seen.vertices_cam_m @ (head - neck))]
    joints = (name if name == "headtop" else _NEXT_TO.get(name, body_joint(name)) for name in names)
    return np.array([top if name == "headtop" else seen.joints_cam_m[at[name]] for name in joints])


def points_px(seen: View, names: Sequence[str]) -> Floats:
    """(K, 2) pixels of the named labels."""
    return project(points_cam_m(seen, names), seen.focal_px, seen.principal_point_px)


def annotated(
    rng: np.random.Generator,
    seen: View,
    names: Sequence[str],
    size: tuple[int, int],
    noise_px: float,
    hidden_share: float = 0.0,
) -> Floats:
    """(K, 3) x, y, v as COCO has them: v is 2 for visible and 1 for hidden points; all zero where off the picture."""
    points = points_px(seen, names)
    points = points + rng.normal(0.0, noise_px, points.shape)
    v = np.where(rng.random(len(points)) < hidden_share, 1.0, 2.0)
    labelled = np.column_stack([points, v])
    labelled[~is_inside(points, size)] = 0.0
    return labelled
