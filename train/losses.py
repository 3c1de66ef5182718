"""How far a prediction is from the record, each part counted only where it is known.

Dimension letters: B batch, J joints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from train.data.loader import Batch
from train.models.tiny_vit import Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """What each part counts in the total."""

    global_orient: float = 1.0
    body_pose: float = 1.0
    betas: float = 0.05
    camera: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Scalars: the weighted total and its parts (each 0 when no sample of the batch has that part)."""

    total: Tensor
    global_orient: Tensor
    body_pose: Tensor
    betas: Tensor
    camera: Tensor


def losses(prediction: Prediction, batch: Batch, weights: LossWeights) -> Losses:
    """Mean squared differences of rotation matrices, betas, and weak camera, and their weighted sum."""
    global_orient = masked_mean_square(prediction.rotmat[:, :1], batch.rotmat[:, :1], batch.has_rotation[:, :1])
    body_pose = masked_mean_square(prediction.rotmat[:, 1:], batch.rotmat[:, 1:], batch.has_rotation[:, 1:])
    betas = masked_mean_square(prediction.betas, batch.betas, batch.has_betas)
    camera = masked_mean_square(prediction.weak_camera, batch.weak_camera, batch.has_camera)
    total = (
        weights.global_orient * global_orient
        + weights.body_pose * body_pose
        + weights.betas * betas
        + weights.camera * camera
    )
    return Losses(total=total, global_orient=global_orient, body_pose=body_pose, betas=betas, camera=camera)


def masked_mean_square(predicted: Tensor, target: Tensor, is_known: Tensor) -> Tensor:
    """Mean over what is known of (predicted - target)^2; shapes (B, ...), mask (B,) or (B, J).

    Unknown targets never enter the arithmetic, so that not even a NaN there can reach the loss or its gradient.
    """
    mask = is_known.view(*is_known.shape, *[1] * (predicted.ndim - is_known.ndim))
    difference = torch.where(mask, predicted - torch.where(mask, target, torch.zeros_like(target)), 0.0)
    per_part = difference.square().flatten(is_known.ndim).mean(dim=-1)
    return per_part.sum() / is_known.sum().clamp(min=1)
