"""People of the synthetic world of `bench_meta`: bodies, cameras and crops of a domain, as arrays.

Two domains stand for a training set and a dataset from elsewhere. The second one differs in viewpoint, in which joints
move together and how far, in shape, in hands, in light and in what stands around: a network that has learnt the first
one has something to adapt to.

Dimension letters: N people, K = 144 joints, J = 55 joints of the kinematic chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyBatch, BodyModel

Floats = npt.NDArray[np.floating[Any]]

NUM_SYNERGIES = 12
_PICTURE_PX = (320.0, 240.0)
_MARGIN = 1.12


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A distribution of people and pictures.

    yaw_deg: half of the range in which people turn away from the camera. pitch_deg: mean and deviation of the camera's
    view from above. pose_scale: times the deviations of `_BODY_DEG`. new_synergies: 0 for the joint movements of the
    world's first set of synergies, 1 for those of a second one, in between a mixture. betas_mean: of the first three.
    curl: mean and deviation of the fingers' flexion in units of the mean hand. depth_m: range of distances.
    brightness: range of a gain on the picture. tint: deviation of the gain of each colour. noise: deviation of pixel
    noise, 0..1. occlusion: probability of a post before the person.
    """

    name: str
    yaw_deg: float
    pitch_deg: tuple[float, float]
    pose_scale: float
    new_synergies: float
    betas_mean: float
    curl: tuple[float, float]
    depth_m: tuple[float, float]
    brightness: tuple[float, float]
    tint: float
    noise: float
    occlusion: float


STUDIO = Domain(
    name="studio",
    yaw_deg=25,
    pitch_deg=(5, 6),
    pose_scale=0.8,
    new_synergies=0.0,
    betas_mean=0.0,
    curl=(1.5, 0.9),
    depth_m=(3.0, 5.0),
    brightness=(0.85, 1.1),
    tint=0.03,
    noise=0.01,
    occlusion=0.0,
)
FIELD = Domain(
    name="field",
    yaw_deg=35,
    pitch_deg=(10, 7),
    pose_scale=1.0,
    new_synergies=0.3,
    betas_mean=0.5,
    curl=(2.5, 1.2),
    depth_m=(2.2, 4.0),
    brightness=(0.6, 1.2),
    tint=0.08,
    noise=0.03,
    occlusion=0.2,
)

# Mean and deviation of body_pose in degrees about x, y, z of each joint; arms hang, knees and elbows are a little bent.
_BODY_DEG: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = (
    ((-8, 0, 4), (22, 10, 10)),  # left hip
    ((-8, 0, -4), (22, 10, 10)),  # right hip
    ((3, 0, 0), (7, 7, 5)),  # spine 1
    ((18, 0, 0), (22, 2, 2)),  # left knee
    ((18, 0, 0), (22, 2, 2)),  # right knee
    ((2, 0, 0), (6, 7, 5)),  # spine 2
    ((0, 0, 0), (8, 5, 5)),  # left ankle
    ((0, 0, 0), (8, 5, 5)),  # right ankle
    ((0, 0, 0), (4, 5, 4)),  # spine 3
    ((0, 0, 0), (2, 2, 2)),  # left foot
    ((0, 0, 0), (2, 2, 2)),  # right foot
    ((4, 0, 0), (9, 10, 7)),  # neck
    ((0, 0, -4), (3, 4, 6)),  # left collar
    ((0, 0, 4), (3, 4, 6)),  # right collar
    ((4, 0, 0), (9, 12, 7)),  # head
    ((0, -8, -48), (14, 24, 26)),  # left shoulder
    ((0, 8, 48), (14, 24, 26)),  # right shoulder
    ((0, -38, 0), (8, 28, 8)),  # left elbow
    ((0, 38, 0), (8, 28, 8)),  # right elbow
    ((0, 0, 0), (12, 10, 16)),  # left wrist
    ((0, 0, 0), (12, 10, 16)),  # right wrist
)
_KNEES, _LEFT_ELBOW, _RIGHT_ELBOW = (3, 4), 17, 18


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """N people before cameras. pose_aa (N, 55, 3) radians, hands absolute; betas, expression (N, 10); transl_m (N, 3);
    joints_m (N, 144, 3) in the camera frame; to_crop (N, 2, 3) from normalised camera coordinates to crop pixels."""

    pose_aa: Floats
    betas: Floats
    expression: Floats
    transl_m: Floats
    joints_m: Floats
    to_crop: Floats

    def body_batch(self, at: slice) -> BodyBatch:
        """The bodies of some of them."""
        return BodyBatch(
            pose_aa=self.pose_aa[at], betas=self.betas[at], transl_m=self.transl_m[at], expression=self.expression[at]
        )


def people(domain: Domain, num: int, rng: np.random.Generator, model: BodyModel, size_px: int) -> People:
    """N people of a domain, each in a square crop of `size_px`."""
    pose_aa = np.zeros((num, 55, 3))
    pose_aa[:, 0] = _global_orient(domain, num, rng)
    pose_aa[:, 1:22] = _body_pose(domain, num, rng)
    pose_aa[:, 22, 0] = np.abs(rng.normal(0, np.deg2rad(9), num))
    if model.hand_mean_aa is None:
        raise ValueError(f"expected a body model with hands, found {model.kind}")
    pose_aa[:, 25:] = (model.hand_mean_aa * _curl(domain, num, rng)[..., None]).reshape(num, 30, 3)
    betas = rng.normal(0, 0.8, (num, 10))
    betas[:, :3] += domain.betas_mean
    expression = rng.normal(0, 0.8, (num, 10))
    posed = model.joints(
        BodyBatch(pose_aa=pose_aa, betas=betas, transl_m=np.zeros((num, 3)), expression=expression)
    ).astype(np.float64)
    depth = rng.uniform(*domain.depth_m, num)
    aside = rng.uniform(-0.25, 0.25, (num, 2)) * depth[:, None]
    transl = np.concatenate([aside, depth[:, None]], 1) - posed[:, 0]
    joints = posed + transl[:, None]
    return People(
        pose_aa=pose_aa,
        betas=betas,
        expression=expression,
        transl_m=transl,
        joints_m=joints,
        to_crop=_to_crop(joints, rng, size_px),
    )


def _global_orient(domain: Domain, num: int, rng: np.random.Generator) -> Floats:
    """Rotation vectors (N, 3) from the body (y up, facing z) to the camera (y down, looking along z)."""
    yaw = Rotation.from_euler("y", rng.uniform(-domain.yaw_deg, domain.yaw_deg, (num, 1)), degrees=True)
    lean = Rotation.from_euler("xz", rng.normal(0, 6, (num, 2)), degrees=True)
    view = Rotation.from_euler("x", 180 + rng.normal(*domain.pitch_deg, (num, 1)), degrees=True)
    return np.asarray((view * lean * yaw).as_rotvec())


def _body_pose(domain: Domain, num: int, rng: np.random.Generator) -> Floats:
    """Rotation vectors (N, 21, 3): joints move together along a few synergies, and a little each by itself."""
    mean, deviation = np.moveaxis(np.array(_BODY_DEG, np.float64), 1, 0)
    fixed = np.random.default_rng(20)  # the synergies belong to the world: the same for every draw of people
    first, second = fixed.normal(size=(2, NUM_SYNERGIES, 63))
    mixed = np.sqrt(1 - domain.new_synergies) * first + np.sqrt(domain.new_synergies) * second
    mixed /= np.linalg.norm(mixed, axis=0)
    together = (rng.normal(size=(num, NUM_SYNERGIES)) @ mixed).reshape(num, 21, 3)
    alone = rng.normal(size=(num, 21, 3))
    angles = mean + domain.pose_scale * deviation * (0.92 * together + 0.39 * alone)
    for knee in _KNEES:
        angles[:, knee, 0] = np.abs(angles[:, knee, 0])
    angles[:, _LEFT_ELBOW, 1] = -np.abs(angles[:, _LEFT_ELBOW, 1])
    angles[:, _RIGHT_ELBOW, 1] = np.abs(angles[:, _RIGHT_ELBOW, 1])
    return np.asarray(Rotation.from_euler("xyz", angles.reshape(-1, 3), degrees=True).as_rotvec().reshape(num, 21, 3))


def _curl(domain: Domain, num: int, rng: np.random.Generator) -> Floats:
    """How much of the mean hand each finger joint shows (N, 2, 15): mostly one number a hand, partly one a finger."""
    mean, deviation = domain.curl
    hand, finger = rng.normal(size=(num, 2, 1)), rng.normal(size=(num, 2, 5))
    return np.repeat((mean + deviation * (0.8 * hand + 0.6 * finger)).clip(-0.5, 5), 3, axis=2)


def _to_crop(joints_m: Floats, rng: np.random.Generator, size_px: int) -> Floats:
    """(N, 2, 3): a pinhole picture with a focal length of its own, and a square around the joints, a little off."""
    num = len(joints_m)
    focal = _PICTURE_PX[0] * rng.uniform(0.9, 1.3, num)
    seen = joints_m[..., :2] / joints_m[..., 2:] * focal[:, None, None] + np.array(_PICTURE_PX) / 2
    low, high = seen.min(1), seen.max(1)
    side = _MARGIN * (high - low).max(1) * rng.uniform(0.95, 1.1, num)
    centre = (low + high) / 2 + rng.normal(0, 0.03, (num, 2)) * side[:, None]
    scale = size_px / side
    found = np.zeros((num, 2, 3))
    found[:, 0, 0] = found[:, 1, 1] = focal * scale
    found[:, :, 2] = (np.array(_PICTURE_PX) / 2 - centre) * scale[:, None] + size_px / 2
    return found
