"""Rotations as axis-angle vectors, for losses that compare them so."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SMALL = 1e-4


def axis_angle(rotmat: Tensor) -> Tensor:
    """Axis times angle in [0, pi] (..., 3) of rotation matrices (..., 3, 3), through the unit quaternion.

    The quaternion is read off the largest of its four squares (Shepperd 1978), so no root is taken near 0 and gradients
    are finite everywhere, at no turn and at half a turn too.
    """
    xx, yy, zz = (rotmat[..., i, i] for i in range(3))
    skew = [rotmat[..., 2, 1] - rotmat[..., 1, 2], rotmat[..., 0, 2] - rotmat[..., 2, 0]]
    skew.append(rotmat[..., 1, 0] - rotmat[..., 0, 1])
    xy = rotmat[..., 0, 1] + rotmat[..., 1, 0]
    xz = rotmat[..., 0, 2] + rotmat[..., 2, 0]
    yz = rotmat[..., 1, 2] + rotmat[..., 2, 1]
    # Rows are 4 q_i q, for i = w, x, y, z; the diagonal is 4 q_i^2.
    rows = torch.stack(
        [
            torch.stack([1 + xx + yy + zz, *skew], dim=-1),
            torch.stack([skew[0], 1 + xx - yy - zz, xy, xz], dim=-1),
            torch.stack([skew[1], xy, 1 - xx + yy - zz, yz], dim=-1),
            torch.stack([skew[2], xz, yz, 1 - xx - yy + zz], dim=-1),
        ],
        dim=-2,
    )
    best = rows.detach().diagonal(dim1=-2, dim2=-1).argmax(dim=-1)
    row = torch.take_along_dim(rows, best[..., None, None], dim=-2)[..., 0, :]
    quaternion = torch.nn.functional.normalize(row, dim=-1)
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    w, vector = quaternion[..., :1], quaternion[..., 1:]
    square = vector.square().sum(dim=-1, keepdim=True)
    is_small = square < _SMALL**2
    sine = torch.where(is_small, 1.0, square).sqrt()
    # angle / sin(angle / 2): 2 + O(angle^2) where the vector vanishes.
    factor = torch.where(is_small, 2.0, 2 * torch.atan2(sine, w) / sine)
    return vector * factor


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
