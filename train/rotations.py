"""Rotations that a network can predict: the continuous 6D form (Zhou et al., CVPR 2019, arXiv 1812.07035)."""

from __future__ import annotations

import torch
from torch import Tensor

_EPS = 1e-6


def rot6d_to_rotmat(rot6d: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) from 6 numbers (..., 6): the first two columns before orthonormalisation.

    Always a rotation with finite gradients: where the columns are too short or parallel, fixed axes take their place.
    """
    first, second = rot6d[..., :3], rot6d[..., 3:]
    x = _unit_or(first, first.new_tensor([1.0, 0.0, 0.0]).expand_as(first))
    second = _unit_or(second, _perpendicular(x))
    y = _unit_or(second - (x * second).sum(-1, keepdim=True) * x, _perpendicular(x))
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def rotmat_to_rot6d(rotmat: Tensor) -> Tensor:
    """The first two columns (..., 6) of rotation matrices (..., 3, 3)."""
    return torch.cat([rotmat[..., 0], rotmat[..., 1]], dim=-1)


def _unit_or(vector: Tensor, fallback: Tensor) -> Tensor:
    is_safe = torch.linalg.vector_norm(vector.detach(), dim=-1, keepdim=True) > _EPS
    # The fallback goes in before the division: a gradient through 0 / 0 is NaN even where its result is not used.
    safe = torch.where(is_safe, vector, fallback)
    return torch.nn.functional.normalize(safe, dim=-1, eps=0)


def _perpendicular(unit: Tensor) -> Tensor:
    """Some constant unit vector (..., 3) at right angles to each `unit` (..., 3)."""
    axis = torch.nn.functional.one_hot(unit.detach().abs().argmin(-1), 3).to(unit.dtype)
    side = torch.linalg.cross(unit.detach(), axis)
    return torch.nn.functional.normalize(side, dim=-1, eps=0)
