"""What both releases of DNA-Rendering share: one actor, gendered SMPL-X in the world, cameras given by their pose.

Rows are frames. `betas` and `expression` may have fewer than the poses have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject, RigidTransform
from harmonize.geometry.cameras import opencv_distortion
from harmonize.readers.fields import Floats, MalformedRecord, floats, shaped
from harmonize.record import Boxes, Camera, Gender, Provenance

FIRST_HIRES_CAMERA = 48
"""Cameras 0 to 47 have 5 megapixels, 48 to 59 have 12."""
LICENCE = "research (terms of the project's site, text unverified)"

_GENDERS: dict[str, Gender] = {"male": "male", "female": "female"}


@dataclass(frozen=True, slots=True)
class Studio:
    """A camera, and the map from the world to it."""

    camera: Camera
    to_cam: RigidTransform


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The bodies of a sequence, one row a frame, in the world.

    gender is None where nothing says it. pose_aa (T, 55, 3); betas and expression have as many rows as are known.
    joints_m (T, K, 4): measured joints and their confidence, under `joint_names`; None where there are none.
    """

    gender: Gender | None
    pose_aa: Floats
    betas: Floats
    transl_m: Floats
    expression: Floats
    joint_names: tuple[str, ...] = ()
    joints_m: Floats | None = None


def is_hires(camera_id: str) -> bool:
    """Whether a camera, by its number, is one of the 12-megapixel ones."""
    return int(camera_id) >= FIRST_HIRES_CAMERA


def studio(matrices: Mapping[str, Any]) -> Studio:
    """A camera from K (3, 3), RT (4, 4) camera to world, and D (5,), if it is there.

    Raises:
        MalformedRecord: a matrix is missing or of another shape.
    """
    intrinsics, pose = floats(matrices, "K", 3, 3), floats(matrices, "RT", 4, 4)
    distortion = np.zeros(12)
    if matrices.get("D") is not None:
        distortion = opencv_distortion(floats(matrices, "D", 5))
    rotmat = pose[:3, :3].T
    transl = -rotmat @ pose[:3, 3]
    camera = Camera(
        focal_px=intrinsics[[0, 1], [0, 1]].astype(np.float32),
        principal_point_px=intrinsics[:2, 2].astype(np.float32),
        distortion=distortion.astype(np.float32),
        world_to_cam_rotmat=rotmat.astype(np.float32),
        world_to_cam_transl_m=transl.astype(np.float32),
        has_intrinsics=True,
        is_calibrated=True,
        has_extrinsics=True,
    )
    return Studio(camera, RigidTransform(rotmat=rotmat, transl_m=transl))


def rows(value: Any, name: str, *shape: int) -> Floats:
    """A value as (n, *shape).

    Raises:
        MalformedRecord: it is not numeric or of another shape.
    """
    return shaped(value, name, -1, *shape)


def gender_of(value: Any) -> Gender | None:
    """The gender that a file states; None where it states none.

    Raises:
        MalformedRecord: it is neither male nor female.
    """
    if value is None:
        return None
    gender = _GENDERS.get(str(value).lower())
    if gender is None:
        raise MalformedRecord.of("gender", "male or female", value)
    return gender


def person(
    provenance: Provenance,
    actor: Actor,
    row: int,
    seen_by: Studio,
    image: ImageSource,
    image_size_px: tuple[int, int] | None,
    keypoints2d: tuple[NamedPoints, ...] = (),
) -> Annotation | Reject:
    """The actor in one picture."""
    if actor.gender is None:
        detail = "no file says whether the body is the male or the female model's"
        return Reject(reason="no-gender", provenance=provenance, detail=detail)
    num_betas = len(actor.betas)
    if num_betas != 1 and row >= num_betas:
        numbers = {"row": float(row), "num_betas": float(num_betas)}
        return Reject(reason="no-betas", provenance=provenance, detail="fewer shapes than poses", numbers=numbers)
    has_expression = row < len(actor.expression)
    return Annotation(
        provenance=provenance,
        image=image,
        camera=seen_by.camera,
        boxes=Boxes(),
        body=RawBody(
            model="smplx",
            gender=actor.gender,
            pose_aa=actor.pose_aa[row],
            betas=actor.betas[0 if num_betas == 1 else row],
            transl_m=actor.transl_m[row],
            hands="relative",
            expression=actor.expression[row] if has_expression else None,
            to_cam=seen_by.to_cam,
            has_left_hand=True,
            has_right_hand=True,
            has_jaw=True,
            has_eyes=True,
            has_expression=has_expression,
        ),
        keypoints2d=keypoints2d,
        keypoints3d=_measured(actor, row, seen_by.to_cam),
        image_size_px=image_size_px,
    )


def _measured(actor: Actor, row: int, to_cam: RigidTransform) -> NamedPoints | None:
    if actor.joints_m is None or row >= len(actor.joints_m):
        return None
    joints = actor.joints_m[row]
    moved = joints[:, :3] @ to_cam.rotmat.T + to_cam.transl_m
    known = np.isfinite(joints).all(axis=1, keepdims=True)
    return NamedPoints(
        names=actor.joint_names,
        values=np.where(known, np.column_stack([moved, np.clip(joints[:, 3], 0.0, 1.0)]), 0.0),
        origin="measured",
    )
