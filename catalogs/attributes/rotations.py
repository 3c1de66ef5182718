"""Rotations of many joints at once, as arrays of components: a component of all rows lies together in memory.

Axis-angle vectors (N, J, 3) in radians become quaternions (4, J, N) and matrices (3, 3, J, N), which act on column
vectors: `matrices[i, j]` holds entry (i, j) of every joint of every row. With rows last, each step is one pass over
long vectors, which is many times faster than small matrices. The precision is that of the input's type.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

_SMALL = 1e-12
"""Squared angle below which the half-angle's sine over the angle is 1/2 to the last bit of float64."""


def components(vectors: Floats) -> Floats:
    """(N, J, 3) or (N, 3) as (3, J, N) or (3, N), contiguous."""
    return np.ascontiguousarray(vectors.T)


def quaternions(aa: Floats) -> Floats:
    """Unit quaternions w, x, y, z (4, ..., N) of axis-angle components (3, ..., N) in radians; any angle is allowed."""
    squared = aa[0] * aa[0] + aa[1] * aa[1] + aa[2] * aa[2]
    half = np.sqrt(squared) / 2
    out = np.empty((4, *aa.shape[1:]), aa.dtype)
    np.cos(half, out=out[0])
    scale = np.where(squared > _SMALL, np.sin(half) / (2 * np.maximum(half, np.sqrt(_SMALL) / 2)), 0.5)
    np.multiply(aa, scale, out=out[1:])
    return out


def matrices(quaternion: Floats) -> Floats:
    """Rotation matrices (3, 3, ..., N) of unit quaternions (4, ..., N)."""
    w, x, y, z = quaternion
    x2, y2, z2 = x + x, y + y, z + z
    xx, yy, zz = x * x2, y * y2, z * z2
    xy, xz, yz = x * y2, x * z2, y * z2
    wx, wy, wz = w * x2, w * y2, w * z2
    out = np.empty((3, 3, *w.shape), w.dtype)
    out[0, 0], out[0, 1], out[0, 2] = 1 - (yy + zz), xy - wz, xz + wy
    out[1, 0], out[1, 1], out[1, 2] = xy + wz, 1 - (xx + zz), yz - wx
    out[2, 0], out[2, 1], out[2, 2] = xz - wy, yz + wx, 1 - (xx + yy)
    return out


def canonical(aa: Floats) -> Floats:
    """The same rotations (3, ..., N) with angles in [0, pi] radians, whole turns taken off along the vector."""
    angle = norm(aa)
    turns = np.rint(angle / (2 * np.pi))
    return np.asarray(aa * (1 - 2 * np.pi * turns / np.maximum(angle, 1)))


def norm(vectors: Floats) -> Floats:
    """Length (..., N) of vectors given as components (3, ..., N)."""
    return np.asarray(np.sqrt(vectors[0] * vectors[0] + vectors[1] * vectors[1] + vectors[2] * vectors[2]))


def between_deg(one: Floats, other: Floats) -> Floats:
    """Angle in degrees, 0..180, of the rotation that takes one orientation to the other; unit quaternions (4, ..., N).

    From the chord between them, which keeps tiny angles: |q - p| = 2 sin(angle / 4); q and -q are the same rotation.
    """
    chord = one - other
    squared = (chord * chord).sum(axis=0)
    squared = np.clip(np.minimum(squared, 4 - squared), 0, 2)
    return np.asarray(np.degrees(4 * np.arcsin(np.sqrt(squared) / 2)))


def product(left: Floats, right: Floats) -> Floats:
    """Matrix products (3, 3, ..., N)."""
    out = left[:, 0, None] * right[None, 0]
    out += left[:, 1, None] * right[None, 1]
    out += left[:, 2, None] * right[None, 2]
    return np.asarray(out)


def turned(matrix: Floats, vectors: Floats) -> Floats:
    """Vectors (3, ..., N) turned by matrices (3, 3, ..., N)."""
    return np.asarray(matrix[:, 0] * vectors[0] + matrix[:, 1] * vectors[1] + matrix[:, 2] * vectors[2])
