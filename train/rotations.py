"""Rotations that a network can predict: the continuous 6D form (Zhou et al., CVPR 2019, arXiv 1812.07035).

Everything here has finite first and second derivatives everywhere, because adaptation differentiates twice.
"""

from __future__ import annotations

import torch
from torch import Tensor

NEAR = 1e-2
"""Below this a column's length, or its distance from the other's direction, counts as too little to go by."""

_SMALL = 1e-4


def rot6d_to_rotmat(rot6d: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) from 6 numbers (..., 6): the first two columns before orthonormalisation.

    Gram-Schmidt, exactly so where the columns are longer than `NEAR` and that far from parallel. Where they are not, a
    fixed axis is blended in, smoothly over the size of the column: Gram-Schmidt's derivatives grow without bound there.
    """
    first, second = rot6d[..., :3], rot6d[..., 3:]
    x = _unit(_lengthened(first, first.new_tensor([1.0, 0.0, 0.0]).expand_as(first)))
    side = _perpendicular(x)
    second = _unit(_lengthened(second, side))
    y = _unit(_lengthened(_without(second, x), side))
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def rotmat_to_rot6d(rotmat: Tensor) -> Tensor:
    """The first two columns (..., 6) of rotation matrices (..., 3, 3)."""
    return torch.cat([rotmat[..., 0], rotmat[..., 1]], dim=-1)


def rotmat_to_aa(rotmat: Tensor) -> Tensor:
    """Axis-angle vectors (..., 3), angle in [0, pi] radians, of rotation matrices (..., 3, 3).

    By way of the unit quaternion whose largest component leads (Shepperd 1978), so that no root is taken near 0 and
    derivatives are finite at no turn and at half a turn. At half a turn the sign of the axis is arbitrary.
    """
    m = [[rotmat[..., i, j] for j in range(3)] for i in range(3)]
    xx, yy, zz = m[0][0], m[1][1], m[2][2]
    wx, wy, wz = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    xy, xz, yz = m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]
    # Row i is 4 q_i q for the quaternion q = (w, x, y, z); the diagonal holds 4 q_i^2.
    rows = torch.stack([1 + xx + yy + zz, wx, wy, wz, wx, 1 + xx - yy - zz, xy, xz], dim=-1)
    rows = torch.cat([rows, torch.stack([wy, xy, 1 - xx + yy - zz, yz, wz, xz, yz, 1 - xx - yy + zz], dim=-1)], dim=-1)
    rows = rows.reshape(*rotmat.shape[:-2], 4, 4)
    largest = rows.detach().diagonal(dim1=-2, dim2=-1).argmax(-1)
    quaternion = _unit(torch.take_along_dim(rows, largest[..., None, None], dim=-2)[..., 0, :])
    quaternion = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    cosine, vector = quaternion[..., :1], quaternion[..., 1:]
    square = vector.square().sum(-1, keepdim=True)
    is_small = square < _SMALL**2
    sine = torch.where(is_small, 1.0, square).sqrt()
    return vector * torch.where(is_small, 2 + square / 3, 2 * torch.atan2(sine, cosine) / sine)


def aa_to_rotmat(aa: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of axis-angle vectors (..., 3) in radians: Rodrigues' formula."""
    square = aa.square().sum(-1)[..., None, None]
    is_small = square < _SMALL**2
    angle = torch.where(is_small, 1.0, square).sqrt()
    sine = torch.where(is_small, 1 - square / 6, angle.sin() / angle)
    cosine = torch.where(is_small, 0.5 - square / 24, 2 * ((angle / 2).sin() / angle).square())
    x, y, z = aa.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*aa.shape[:-1], 3, 3)
    found: Tensor = torch.eye(3, dtype=aa.dtype, device=aa.device) + sine * skew + cosine * (skew @ skew)
    return found


def _lengthened(vector: Tensor, axis: Tensor) -> Tensor:
    """`vector` (..., 3), to which `axis` (..., 3) of length 1 is added where it is shorter than `NEAR`: the less of it
    the longer, with two continuous derivatives, and on the side where they do not cancel."""
    shortness = (1 - vector.square().sum(-1, keepdim=True) / NEAR**2).clamp(min=0) ** 3
    side = torch.where((vector * axis).sum(-1, keepdim=True).detach() < 0, -NEAR, NEAR)
    return vector + side * shortness * axis


def _without(vector: Tensor, unit: Tensor) -> Tensor:
    return vector - (unit * vector).sum(-1, keepdim=True) * unit


def _unit(vector: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
    return vector / length


def _perpendicular(unit: Tensor) -> Tensor:
    """A unit vector (..., 3) at right angles to each `unit` (..., 3), towards the coordinate axis farthest from it."""
    axis = torch.nn.functional.one_hot(unit.detach().abs().argmin(-1), 3).to(unit.dtype)
    return _unit(_without(axis, unit))
