"""A synthetic world: invented people with known bodies, standing on a stage before a camera.

Stage frame: y up, the ground at y = 0, the camera's foot at the origin looking along -z; a person of yaw 0 faces it.
Everything is drawn from a `numpy.random.Generator`, so one seed gives one world. The formulas are written out here,
apart from `harmonize.geometry` and `harmonize.convert`, so that miniatures and readers cannot share a mistake.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyBatch, BodyModel, BodyModels
from harmonize.record import BodyKind, Gender

Floats = npt.NDArray[np.floating[Any]]

Y_UP_TO_Y_DOWN = np.diag([1.0, -1.0, -1.0])
"""Stage axes (y up, the camera looking along -z) to OpenCV axes (y down, looking along z)."""

# Bounds of each body joint, radians about x, y, z: a person who stands, walks or gestures. The models rest in a T-pose
# facing +z with their left along +x: arms come down about z, elbows bend about y, hips and knees about x.
_LEFT_BOUNDS: dict[int, tuple[tuple[float, float], ...]] = {
    1: ((-0.7, 0.25), (-0.2, 0.2), (0.0, 0.2)),
    3: ((-0.1, 0.3), (-0.15, 0.15), (-0.1, 0.1)),
    4: ((0.05, 0.9), (-0.05, 0.05), (-0.05, 0.05)),
    6: ((-0.1, 0.2), (-0.15, 0.15), (-0.1, 0.1)),
    7: ((-0.2, 0.2), (-0.2, 0.2), (-0.1, 0.1)),
    9: ((-0.1, 0.15), (-0.15, 0.15), (-0.1, 0.1)),
    10: ((-0.1, 0.2), (-0.05, 0.05), (-0.05, 0.05)),
    12: ((-0.15, 0.25), (-0.3, 0.3), (-0.15, 0.15)),
    13: ((-0.05, 0.05), (-0.1, 0.1), (-0.15, 0.1)),
    15: ((-0.15, 0.25), (-0.3, 0.3), (-0.1, 0.1)),
    16: ((-0.3, 0.3), (-0.6, 0.2), (-1.3, -0.5)),
    18: ((-0.2, 0.2), (-1.6, -0.1), (-0.15, 0.15)),
    20: ((-0.4, 0.4), (-0.3, 0.3), (-0.3, 0.3)),
    22: ((-0.1, 0.1), (-0.1, 0.1), (-0.4, 0.0)),  # SMPL's own hand joint; overwritten in models with fingers
}
_MIRROR = {1: 2, 4: 5, 7: 8, 10: 11, 13: 14, 16: 17, 18: 19, 20: 21, 22: 23}
_NUM_JOINTS = {"smpl": 24, "smplh": 52, "smplx": 55}
_LEFT_HAND_AT = {"smplh": 22, "smplx": 25}
_MIRRORED = np.array([1.0, -1.0, -1.0])  # axis-angle of the mirrored rotation


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Body-model parameters in some frame. pose_aa (J, 3) with ABSOLUTE hands; betas (n,); expression (10,) or None."""

    kind: BodyKind
    gender: Gender
    pose_aa: Floats
    betas: Floats
    transl_m: Floats
    expression: Floats | None
    kid_weight: float = 0.0

    def hands_aa(self) -> Floats:
        """(2, 15, 3): left and right hand, absolute."""
        start = _LEFT_HAND_AT[self.kind]
        return self.pose_aa[start : start + 30].reshape(2, 15, 3)


def random_person(
    rng: np.random.Generator, kind: BodyKind, gender: Gender, *, num_betas: int = 10, kid_weight: float = 0.0
) -> Person:
    """Somebody upright at the origin, facing +z: a bounded random pose, two different hands, jaw, eyes, face, shape."""
    pose = np.zeros((_NUM_JOINTS[kind], 3))
    for joint, bounds in _LEFT_BOUNDS.items():
        if joint == 22 and kind != "smpl":
            continue
        low, high = np.array(bounds).T
        pose[joint] = rng.uniform(low, high)
        if joint in _MIRROR:
            pose[_MIRROR[joint]] = rng.uniform(low, high) * _MIRRORED
    if kind != "smpl":
        start = _LEFT_HAND_AT[kind]
        pose[start : start + 15] = _random_left_hand(rng)
        pose[start + 15 : start + 30] = _random_left_hand(rng) * _MIRRORED
    if kind == "smplx":
        pose[22] = (rng.uniform(0.03, 0.3), 0.0, 0.0)
        pose[23:25] = rng.uniform((-0.15, -0.25, 0.0), (0.15, 0.25, 0.0), (2, 3))
    return Person(
        kind=kind,
        gender=gender,
        pose_aa=pose,
        betas=rng.normal(size=num_betas).clip(-2.2, 2.2),
        transl_m=np.zeros(3),
        expression=rng.normal(size=10).clip(-2.0, 2.0) if kind == "smplx" else None,
        kid_weight=kid_weight,
    )


def _random_left_hand(rng: np.random.Generator) -> Floats:
    """(15, 3): each finger curled by its own amount about z, with a little spread; the thumb turned inwards."""
    hand = rng.normal(0.0, 0.04, (15, 3))
    curl = rng.uniform(0.1, 0.9, 4)
    hand[:12, 2] -= np.repeat(curl, 3)
    hand[12:, 1] += rng.uniform(-0.35, 0.1)
    return hand


def batch_of(person: Person) -> BodyBatch:
    """The person as a batch of one."""
    return BodyBatch(
        pose_aa=person.pose_aa[None].astype(np.float32),
        betas=person.betas[None].astype(np.float32),
        transl_m=person.transl_m[None].astype(np.float32),
        expression=None if person.expression is None else person.expression[None].astype(np.float32),
        kid_weight=np.array([person.kid_weight], np.float32) if person.kid_weight else None,
    )


def model_of(models: BodyModels, person: Person) -> BodyModel:
    """The body model that the person's parameters belong to."""
    return models.get(person.kind, person.gender)


def vertices_of(models: BodyModels, person: Person) -> Floats:
    """(V, 3) metres, in the frame of the parameters."""
    return np.asarray(model_of(models, person).vertices(batch_of(person))[0], np.float64)


def joints_of(models: BodyModels, person: Person) -> Floats:
    """(144 | 73 | 45, 3) metres, in the frame of the parameters."""
    return np.asarray(model_of(models, person).joints(batch_of(person))[0], np.float64)


def rest_pelvis_of(models: BodyModels, person: Person) -> Floats:
    """(3,) metres: the pelvis of the unposed body at transl 0."""
    batch = batch_of(person)
    return np.asarray(model_of(models, person).rest_pelvis_m(batch.betas, batch.kid_weight)[0], np.float64)


def relative_hands_of(models: BodyModels, person: Person) -> Floats:
    """(2, 15, 3): the hands as releases store them whose body model adds its mean hand (`flat_hand_mean=False`)."""
    mean = model_of(models, person).hand_mean_aa
    if mean is None:
        raise ValueError(f"{person.kind} has no fingers")
    return person.hands_aa() - mean


def moved(models: BodyModels, person: Person, rotmat: Floats, offset_m: Floats) -> Person:
    """The same person under x' = rotmat x + offset_m: the body turns about its rest pelvis, not about the origin."""
    pelvis = rest_pelvis_of(models, person)
    pose = person.pose_aa.copy()
    pose[0] = (Rotation.from_matrix(rotmat) * Rotation.from_rotvec(pose[0])).as_rotvec()
    transl = rotmat @ (person.transl_m + pelvis) + offset_m - pelvis
    return replace(person, pose_aa=pose, transl_m=transl)


def stand(models: BodyModels, person: Person, x_m: float, z_m: float, yaw_rad: float) -> Person:
    """The person with the lowest point on the ground, the pelvis over stage position (x, z), turned by yaw."""
    turned = moved(models, person, Rotation.from_rotvec([0.0, yaw_rad, 0.0]).as_matrix(), np.zeros(3))
    pelvis = turned.transl_m + rest_pelvis_of(models, turned)
    lowest = vertices_of(models, turned)[:, 1].min()
    shift = np.array([x_m - pelvis[0], -lowest, z_m - pelvis[2]])
    return replace(turned, transl_m=turned.transl_m + shift)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCamera:
    """A pinhole camera above the stage's origin. x_cam = rotmat @ x_stage + transl_m; pitch is positive downwards."""

    focal_px: Floats
    principal_point_px: Floats
    size: tuple[int, int]
    height_m: float = 1.6
    pitch_rad: float = 0.0
    roll_rad: float = 0.0

    @property
    def rotmat(self) -> Floats:
        """(3, 3) stage to camera."""
        tilt = Rotation.from_euler("xz", [self.pitch_rad, self.roll_rad]).as_matrix()
        return np.asarray(tilt @ Y_UP_TO_Y_DOWN)

    @property
    def transl_m(self) -> Floats:
        """(3,) stage to camera."""
        return np.asarray(-self.rotmat @ np.array([0.0, self.height_m, 0.0]))

    def horizon_px(self) -> float:
        """Row of the horizon in the middle of the picture."""
        return float(self.principal_point_px[1] - self.focal_px[1] * np.tan(self.pitch_rad))


def project(points_cam_m: Floats, focal_px: Floats, principal_point_px: Floats) -> Floats:
    """(N, 2) pixels of camera points (N, 3); pinhole, no distortion."""
    return np.asarray(points_cam_m[:, :2] / points_cam_m[:, 2:] * focal_px + principal_point_px)


def places(rng: np.random.Generator, camera: StageCamera, count: int, near_m: float, far_m: float) -> Floats:
    """(count, 3): stage x, stage z and yaw of people spread over the picture, each in a column of their own."""
    columns = (rng.permutation(count) + rng.uniform(0.3, 0.7, count)) / count * 0.8 + 0.1
    depths = rng.uniform(near_m, far_m, count)
    x = (columns * camera.size[0] - camera.principal_point_px[0]) / camera.focal_px[0] * depths
    yaw = np.where(rng.random(count) < 0.4, rng.uniform(-np.pi, np.pi, count), rng.uniform(-0.9, 0.9, count))
    return np.stack([x, -depths, yaw], 1)
