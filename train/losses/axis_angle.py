"""Comparing rotations as axis-angle vectors, two of which may mean the same turn."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def nearest_axis_angle(found: Tensor, to: Tensor) -> Tensor:
    """The same rotations as `found` (..., 3), written as near to those of `to` as their two shortest forms allow.

    A turn by a little less than half a circle about an axis is nearly the same as one about the opposite axis; an
    upright person before a camera that looks along +z with y down has such a global_orient.
    """
    square = found.square().sum(dim=-1, keepdim=True)
    has_other = square.detach() > (math.pi / 2) ** 2
    angle = torch.where(has_other, square, 1.0).sqrt()
    other = found * (1 - 2 * math.pi / angle)
    is_nearer = (other - to).square().sum(dim=-1, keepdim=True) < (found - to).square().sum(dim=-1, keepdim=True)
    return torch.where(has_other & is_nearer.detach(), other, found)
