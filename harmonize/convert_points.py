"""Keypoints and boxes of a record, from the dataset's own points and from the body's joints."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.annotation import Annotation
from harmonize.evidence import part_of
from harmonize.geometry import boxes as box_math
from harmonize.geometry.cameras import project_with
from harmonize.keypoints import SMPLX_144, to_smplx
from harmonize.record import MAX_EXTRA_KEYPOINTS, NUM_JOINTS, Array, Body, Boxes, BoxOrigin, Keypoints, PointOrigin

Floats = npt.NDArray[np.floating[Any]]

_PART = np.array([part_of(name) for name in SMPLX_144])

BODY_JOINTS: tuple[str, ...] = SMPLX_144[1:22]
"""The joints whose rotations are `Body.body_pose_aa`, in its order."""

_PARENT = dict(zip(BODY_JOINTS, (0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19), strict=True))
"""SMPL's kinematic tree: a joint's parent as a row of SMPLX_144."""


def _carriers(name: str) -> tuple[int, ...]:
    """Body joints, as rows of `Body.body_pose_aa`, whose rotations move a point of SMPLX_144."""
    if name in _PARENT:
        at = _PARENT[name]
    elif name.endswith("toe"):
        at = SMPLX_144.index(f"{name.split('_')[0]}_foot")
    elif name.endswith("_heel"):
        at = SMPLX_144.index(f"{name.split('_')[0]}_ankle")
    elif part_of(name).endswith("_hand"):
        at = SMPLX_144.index(f"{name.split('_')[0]}_wrist")
    else:
        at = SMPLX_144.index("head")
    rows = []
    while at > 0:
        rows.append(at - 1)
        at = _PARENT[SMPLX_144[at]]
    return tuple(rows)


_CARRIED = np.zeros((NUM_JOINTS, len(BODY_JOINTS)), bool)
for _row, _name in enumerate(SMPLX_144[1:], start=1):
    _CARRIED[_row, list(_carriers(_name))] = True


def joint_confidence(body: Body) -> Array:
    """(144,) 1 where the body's parameters determine the joint, 0 where they do not.

    Fingers need their hand; face landmarks need the jaw; everything else follows from the body pose, as far as the
    rotations up its chain are known.
    """
    confidence = np.full(NUM_JOINTS, float(body.has_body), np.float32)
    confidence[_CARRIED @ (body.known_body_joints == 0)] = 0.0
    confidence[(_PART == "left_hand") & (not body.has_left_hand)] = 0.0
    confidence[(_PART == "right_hand") & (not body.has_right_hand)] = 0.0
    confidence[(_PART == "face") & (not body.has_jaw)] = 0.0
    return confidence


def keypoints_of(annotation: Annotation, body: Body, joints_m: Floats | None) -> Keypoints:
    """Dataset points by name (the first list that has a joint wins) and the body's joints (144, 3) in camera metres."""
    joints2d, extra = np.zeros((NUM_JOINTS, 3), np.float32), _Extra()
    origin2d: PointOrigin = "none"
    for points in annotation.keypoints2d:
        mapped, names, values = to_smplx(points.names, points.values)
        free = joints2d[:, 2] == 0
        joints2d[free] = mapped[free]
        if origin2d == "none" and (mapped[:, 2] > 0).any():
            origin2d = points.origin
        extra.add(names, values)
    joints3d = np.zeros((NUM_JOINTS, 4), np.float32)
    origin3d: PointOrigin = "none"
    measured = annotation.keypoints3d
    if measured is not None:
        mapped, names, values = to_smplx(measured.names, measured.values)
        extra.add(names, values)
        if joints_m is None:
            joints3d, origin3d = mapped, "measured"
    if joints_m is not None:
        joints3d[:, :3], joints3d[:, 3], origin3d = joints_m, joint_confidence(body), "body"
    return Keypoints(
        joints2d_px=joints2d,
        joints3d_cam_m=joints3d,
        joints2d_origin=origin2d,
        joints3d_origin=origin3d,
        extra2d_px=extra.points2d,
        extra3d_cam_m=extra.points3d,
        extra_names=tuple(extra.names),
    )


class _Extra:
    """The named block: 2D and 3D of the same name share a row."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.points2d = np.zeros((MAX_EXTRA_KEYPOINTS, 3), np.float32)
        self.points3d = np.zeros((MAX_EXTRA_KEYPOINTS, 4), np.float32)

    def add(self, names: tuple[str, ...], values: Floats) -> None:
        target = self.points2d if values.shape[1] == 3 else self.points3d
        for name, value in zip(names, values, strict=False):
            if name not in self.names:
                self.names.append(name)
            target[self.names.index(name)] = value


def boxes_of(annotation: Annotation, keypoints: Keypoints) -> Boxes:
    """The dataset's boxes; where it has none, boxes of its 2D points, else of the projected joints in the picture."""
    given = annotation.boxes
    projected = _projected(annotation, keypoints)
    person, origin = given.person_xywh_px, given.person_origin
    if person[4] <= 0:
        person, origin = _person_box(annotation, projected)
    elif origin == "none":
        origin = "dataset"
    return Boxes(
        person_xywh_px=person,
        left_hand_xywh_px=_or_part(given.left_hand_xywh_px, projected, "left_hand"),
        right_hand_xywh_px=_or_part(given.right_hand_xywh_px, projected, "right_hand"),
        face_xywh_px=_or_part(given.face_xywh_px, projected, "face"),
        person_origin=origin,
    )


def _projected(annotation: Annotation, keypoints: Keypoints) -> Floats | None:
    """(144, 3) the body's joints in pixels; confidence 0 if unknown, behind the camera or outside the picture."""
    camera = annotation.camera
    if keypoints.joints3d_origin != "body" or not camera.has_intrinsics:
        return None
    xy = project_with(camera, keypoints.joints3d_cam_m[:, :3])
    points = np.column_stack([xy, keypoints.joints3d_cam_m[:, 3]])
    points[~np.isfinite(xy).all(1), 2] = 0.0
    if annotation.image_size_px is not None:
        with np.errstate(invalid="ignore"):
            inside = ((xy >= 0) & (xy <= np.array(annotation.image_size_px))).all(1)
        points[~inside, 2] = 0.0
    return np.asarray(np.nan_to_num(points))


def _person_box(annotation: Annotation, projected: Floats | None) -> tuple[Array, BoxOrigin]:
    lists = [points.values for points in annotation.keypoints2d]
    if lists:
        values = np.concatenate(lists)
        known = values[:, 2] > 0
        if annotation.image_size_px is not None:
            known &= ((values[:, :2] >= 0) & (values[:, :2] <= np.array(annotation.image_size_px))).all(1)
        box = box_math.from_points(values[known, :2], None) if known.sum() >= 2 else None
        if box is not None and box_math.area(box) > 0:
            return box.astype(np.float32), "keypoints"
    if projected is not None and (projected[:, 2] > 0).sum() >= 2:
        return box_math.from_points(projected[:, :2], projected[:, 2]).astype(np.float32), "projected"
    return np.zeros(5, np.float32), "none"


def _or_part(given: Array, projected: Floats | None, part: str) -> Array:
    if given[4] > 0 or projected is None:
        return given
    chosen = (part == _PART) & (projected[:, 2] > 0)
    if chosen.sum() < 2:
        return given
    return box_math.from_points(projected[chosen, :2], None).astype(np.float32)
