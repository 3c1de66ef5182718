"""NeuralAnnot fits to multi-view joints (Human3.6M, MPI-INF-3DHP): one body a frame, in the world, for all cameras.

An entry is neutral SMPL-X (`root_pose` 3, `body_pose` 63, `shape` 10, `trans` 3) or neutral SMPL (`pose` 72, `shape`
10, `trans` 3), axis-angle, metres, while joints and cameras of the same files are in millimetres. Hands, jaw and
expression do not exist; the readers of the authors (mks0601/Hand4Whole_RELEASE data/MPI_INF_3DHP) hold the rotations of
wrists and ankles for unknown, which 17 joints cannot determine. The authors' demo rotates the body about its own pelvis
and then turns the pelvis with the world (mks0601/NeuralAnnot_RELEASE Human3.6M/demo_smplx.py): the frame change that
`to_cam` stands for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonize.annotation import NamedPoints, RawBody, RigidTransform
from harmonize.geometry.cameras import project
from harmonize.readers.fields import Floats, MalformedRecord, floats, shaped, with_confidence
from harmonize.record import Array, BodyKind, Camera

MM = 1000.0
UNKNOWN_JOINTS = ("left_ankle", "right_ankle", "left_wrist", "right_wrist")
_PARTS: dict[BodyKind, tuple[tuple[str, int], ...]] = {
    "smplx": (("root_pose", 3), ("body_pose", 63)),
    "smpl": (("pose", 72),),
    "smplh": (),
}
_NUM_JOINTS: dict[BodyKind, int] = {"smplx": 55, "smpl": 24, "smplh": 52}


@dataclass(frozen=True, slots=True)
class WorldCamera:
    """A calibrated camera: world to camera (rotmat (3, 3), transl_m (3,)), focal_px (2,), principal_point_px (2,)."""

    rotmat: Floats
    transl_m: Floats
    focal_px: Floats
    principal_point_px: Floats

    @classmethod
    def of(cls, entry: Any, focal: str, principal_point: str) -> WorldCamera:
        """From `R`, `t` (millimetres) and two keys that differ between the datasets.

        Raises:
            MalformedRecord: one is missing, or not of its size.
        """
        return cls(
            floats(entry, "R", 3, 3),
            floats(entry, "t", 3) / MM,
            floats(entry, focal, 2),
            floats(entry, principal_point, 2),
        )

    def to_cam(self, points_m: Floats) -> Floats:
        """Points (..., 3) of the world in the camera frame."""
        return np.asarray(points_m @ self.rotmat.T + self.transl_m)

    def project(self, points_cam_m: Floats, distortion: Floats | None = None) -> Floats:
        """Pixels (..., N, 2)."""
        return np.asarray(project(points_cam_m, self.focal_px, self.principal_point_px, distortion))

    def record(self, distortion: Floats | None = None) -> Camera:
        """The record's camera, with the lens (12,) where there is one."""
        return Camera(
            focal_px=self.focal_px.astype(np.float32),
            principal_point_px=self.principal_point_px.astype(np.float32),
            distortion=np.asarray(np.zeros(12) if distortion is None else distortion, np.float32),
            world_to_cam_rotmat=self.rotmat.astype(np.float32),
            world_to_cam_transl_m=self.transl_m.astype(np.float32),
            has_intrinsics=True,
            is_calibrated=True,
            has_extrinsics=True,
        )


def world_fit(entry: Any, model: BodyKind) -> Array:
    """One entry in compact form: pose, betas (10), translation.

    Raises:
        MalformedRecord: a parameter is missing, or of another size.
    """
    parts = (*_PARTS[model], ("shape", 10), ("trans", 3))
    return np.concatenate([floats(entry, key, size) for key, size in parts]).astype(np.float32)


def world_body(fit: Array, model: BodyKind, camera: WorldCamera, offset_m: Floats | float = 0.0) -> RawBody:
    """The body of an entry seen by a camera; `offset_m` (3,) is added to its place in the world."""
    pose = np.zeros((_NUM_JOINTS[model], 3))
    given = fit[:-13].reshape(-1, 3)
    pose[: len(given)] = given
    return RawBody(
        model=model,
        gender="neutral",
        pose_aa=pose,
        betas=fit[-13:-3].astype(np.float64),
        transl_m=fit[-3:] + offset_m,
        hands="absent",
        to_cam=RigidTransform(rotmat=camera.rotmat, transl_m=camera.transl_m),
        unknown_joints=UNKNOWN_JOINTS,
    )


def world_joints(entry: Any) -> Array:
    """17 world joints (17, 3) of an entry, from millimetres to metres.

    Raises:
        MalformedRecord: they are not numbers, or another number of them.
    """
    return (shaped(entry, "joints", 17, 3) / MM).astype(np.float32)


def measured_points(names: tuple[str, ...], points_cam_m: Floats) -> NamedPoints:
    """Joints (K, 3) of the camera frame, as the dataset measured them."""
    return NamedPoints(names=names, values=with_confidence(points_cam_m), origin="measured")


def projected_points(names: tuple[str, ...], points_px: Floats, confidence: Floats | float = 1.0) -> NamedPoints:
    """Projections (K, 2) of measured joints; those behind the camera (NaN) have no confidence."""
    known = np.isfinite(points_px).all(axis=1) * np.clip(confidence, 0.0, 1.0)
    return NamedPoints(names=names, values=np.column_stack([np.nan_to_num(points_px), known]), origin="projected")


def nested(entry: Any, name: str, depth: int) -> Iterator[tuple[tuple[int, ...], Any]]:
    """The (key path, value) entries of dictionaries in dictionaries, `depth` levels down; keys are numbers as text.

    Raises:
        MalformedRecord: a level is no dictionary, or a key no number.
    """
    if not isinstance(entry, Mapping):
        raise MalformedRecord.of(name, "a record with a number for each key", entry)
    for key, value in entry.items():
        number_of_key = key_number(key)
        if depth == 1:
            yield (number_of_key,), value
        else:
            for path, inner in nested(value, f"{name}.{key}", depth - 1):
                yield (number_of_key, *path), inner


def key_number(key: str) -> int:
    """A key that is a whole number.

    Raises:
        MalformedRecord: it is something else.
    """
    if not key.isascii() or not key.isdigit() or len(key) > 9:
        raise MalformedRecord.of("key", "a whole number", key)
    return int(key)
