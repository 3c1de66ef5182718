"""Which joints, rotations and vertices belong to which part of the body, as constant index tables.

Parts are body, left_hand, right_hand, face, in this order wherever they are an axis of length 4.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from harmonize.evidence import part_of
from harmonize.keypoints import SMPLX_144
from train.models.prediction import NUM_ROTATIONS, ROTATIONS

PARTS = ("body", "left_hand", "right_hand", "face")
BODY, LEFT_HAND, RIGHT_HAND, FACE = range(4)

NUM_JOINTS = len(SMPLX_144)

JOINT_PART: tuple[int, ...] = tuple(PARTS.index(part_of(name)) for name in SMPLX_144)
"""The part of each of the 144 joints. Wrists, nose, eyes, ears, feet and the jaw's joint are the body's."""

IS_CONTOUR: tuple[bool, ...] = tuple("contour" in name for name in SMPLX_144)
"""The 17 face points that are looked up by the head's yaw: a step, through which no gradient can learn."""

IS_FINGER_OR_FACE: tuple[bool, ...] = tuple(part != BODY for part in JOINT_PART)

PART_ROOT: Mapping[int, int] = {
    LEFT_HAND: SMPLX_144.index("left_wrist"),
    RIGHT_HAND: SMPLX_144.index("right_wrist"),
    FACE: SMPLX_144.index("neck"),
}
"""The joint that a part's own positions are relative to."""

JOINT_ROOT: tuple[int, ...] = tuple(PART_ROOT.get(part, 0) for part in JOINT_PART)
"""For each joint the root of its part; the pelvis for the body's."""

NUM_PART_VERTICES: Mapping[str, int] = {"body": 256, "left_hand": 160, "right_hand": 160, "face": 192}
"""How many vertices the fixed subset takes from each part, in the order of `PARTS`: 768 of 10475. A hand is 7 % of the
mesh and 21 % of the subset."""

VERTEX_PART: tuple[int, ...] = tuple(
    PARTS.index(part) for part, count in NUM_PART_VERTICES.items() for _ in range(count)
)
"""The part of each vertex of `train.losses.vertex_subset.vertex_subset`."""

_ROTATION_PART: Mapping[str, int] = {
    "global_orient": BODY,
    "body_pose": BODY,
    "jaw": FACE,
    "left_hand": LEFT_HAND,
    "right_hand": RIGHT_HAND,
}


def rotation_parts() -> tuple[int, ...]:
    """The part of each of the 53 rotations; the wrists' are the body's."""
    found = [BODY] * NUM_ROTATIONS
    for name, at in ROTATIONS.items():
        found[at] = [_ROTATION_PART[name]] * (at.stop - at.start)
    return tuple(found)


ROTATION_PART: tuple[int, ...] = rotation_parts()


def index(table: tuple[int, ...] | tuple[bool, ...], like: Tensor) -> Tensor:
    """A table of this module as a tensor on a tensor's device."""
    return torch.tensor(table, device=like.device)


def part_masks(like: Tensor) -> Tensor:
    """(4, 144) of a tensor's type: 1 where a joint is one of a part's 2D points. The face's are the 51 inner
    landmarks, without the contour."""
    part, is_contour = index(JOINT_PART, like), index(IS_CONTOUR, like)
    at = torch.arange(len(PARTS), device=like.device)[:, None]
    return ((part == at) & ~is_contour).to(like.dtype)
