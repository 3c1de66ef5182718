"""What every network of this project answers: neutral SMPL-X parameters and a camera.

Rotations are those of SMPL-X's kinematic chain in package order without the two eyes, which stay at rest as in
SMPLer-X: 0 global_orient, 1..21 body_pose, 22 jaw, 23..37 left hand, 38..52 right hand. Hands are absolute
(`flat_hand_mean=True`). In 6D form with betas, expression and camera that is 341 numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from train.rotations import rot6d_to_rotmat, rotmat_to_rot6d

NUM_ROTATIONS = 53
NUM_BETAS = 10
NUM_EXPRESSION = 10
_ROT6D = slice(0, NUM_ROTATIONS * 6)
_BETAS = slice(_ROT6D.stop, _ROT6D.stop + NUM_BETAS)
_EXPRESSION = slice(_BETAS.stop, _BETAS.stop + NUM_EXPRESSION)
NUM_NUMBERS = _EXPRESSION.stop + 3

ROTATIONS: Mapping[str, slice] = {
    "global_orient": slice(0, 1),
    "body_pose": slice(1, 22),
    "jaw": slice(22, 23),
    "left_hand": slice(23, 38),
    "right_hand": slice(38, 53),
}
"""Where each part stands in `Prediction.rotmat`."""


class Prediction(NamedTuple):
    """B bodies; a tuple, so that it passes through torch.func.

    rotmat: (B, 53, 3, 3), global_orient to the camera frame, others to the parent joint. betas: (B, 10).
    expression: (B, 10). weak_camera: (B, 3) scale > 0, x, y: the pelvis is seen at crop centre + (x, y) half heights
    of the crop, and one metre at its depth is `scale` half heights (`train.camera.pelvis_from_weak`).
    """

    rotmat: Tensor
    betas: Tensor
    expression: Tensor
    weak_camera: Tensor


def from_numbers(numbers: Tensor) -> Prediction:
    """341 numbers (B, 341): 53 x 6D rotations, betas, expression, then log scale, x, y of the weak camera."""
    rot6d, betas, expression = (numbers[..., at] for at in (_ROT6D, _BETAS, _EXPRESSION))
    camera = numbers[..., _EXPRESSION.stop :]
    rotmat = rot6d_to_rotmat(rot6d.reshape(*rot6d.shape[:-1], NUM_ROTATIONS, 6))
    return Prediction(rotmat, betas, expression, torch.cat([camera[..., :1].exp(), camera[..., 1:]], dim=-1))


def mean_numbers(hand_mean_rotmat: Tensor | None = None) -> Tensor:
    """The numbers (341,) of a mean body: upright before a camera that looks along +z with y down, so turned by pi about
    x; mean shape, neutral face, hands at `hand_mean_rotmat` (30, 3, 3) left first or flat, a person of about the crop's
    height (1.7 m of 1.9 half heights)."""
    rotmat = torch.eye(3).repeat(NUM_ROTATIONS, 1, 1)
    rotmat[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    if hand_mean_rotmat is not None:
        rotmat[23:] = hand_mean_rotmat
    scale = torch.tensor([1.9 / 1.7]).log()
    return torch.cat(
        [rotmat_to_rot6d(rotmat).flatten(), torch.zeros(NUM_BETAS + NUM_EXPRESSION), scale, torch.zeros(2)]
    )
