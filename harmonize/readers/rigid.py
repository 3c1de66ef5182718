"""Rigid maps that calibration files give as 4x4 matrices."""

from __future__ import annotations

import numpy as np

from harmonize.annotation import RigidTransform
from harmonize.geometry.rotations import MAX_ORTHOGONALITY_ERROR, Float64, is_rotation, orthogonality_error
from harmonize.readers.fields import Floats, MalformedRecord


def rigid(matrix: Floats, name: str) -> RigidTransform:
    """The map x' = R x + t of a (4, 4) or (3, 4) matrix.

    Raises:
        MalformedRecord: a number is not finite, or the matrix turns no rigid body; the message names it.
    """
    exact: Float64 = np.asarray(matrix, np.float64)
    rotmat, transl = exact[:3, :3], exact[:3, 3]
    if not np.isfinite(matrix).all():
        raise MalformedRecord.of(name, "finite numbers", matrix.tolist())
    if not is_rotation(rotmat):
        error = orthogonality_error(rotmat)
        raise MalformedRecord.of(name, f"a rotation within {MAX_ORTHOGONALITY_ERROR}", f"one {error:.3g} from it")
    return RigidTransform(rotmat=rotmat, transl_m=transl)


def inverse(transform: RigidTransform) -> RigidTransform:
    """The way back."""
    rotmat = np.linalg.inv(transform.rotmat)
    return RigidTransform(rotmat=rotmat, transl_m=-rotmat @ transform.transl_m)


def then(first: RigidTransform, second: RigidTransform) -> RigidTransform:
    """`second` after `first`."""
    return RigidTransform(
        rotmat=second.rotmat @ first.rotmat, transl_m=second.rotmat @ first.transl_m + second.transl_m
    )
