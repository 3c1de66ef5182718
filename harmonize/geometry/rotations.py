"""Rotations: axis-angle ("aa", radians) and matrices that act on column vectors.

Everything is computed and returned in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.errors import RecordError

Float64 = npt.NDArray[np.float64]

MAX_ORTHOGONALITY_ERROR = 1e-3
"""Camera rotations are released with six digits; mirrored, scaled or damaged ones miss by far more."""


def aa_to_rotmat(aa: npt.ArrayLike) -> Float64:
    """Rotation matrices (..., 3, 3) of axis-angle vectors (..., 3) in radians; any angle is allowed."""
    vectors = _trailing(aa, (3,))
    # Imported here: scipy.spatial costs 0.3 s, and listing datasets must not pay for it.
    from scipy.spatial.transform import Rotation

    matrices = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    return np.asarray(matrices, np.float64).reshape(*vectors.shape[:-1], 3, 3)


def rotmat_to_aa(rotmat: npt.ArrayLike) -> Float64:
    """Axis-angle vectors (..., 3) with angle in [0, pi] of rotation matrices (..., 3, 3).

    A matrix that rounding has made slightly non-orthogonal is replaced by the nearest rotation.

    Raises:
        RecordError: a determinant is not positive, as for a mirrored frame; the message gives the worst one.
    """
    matrices = _trailing(rotmat, (3, 3))
    determinants = np.linalg.det(matrices)
    if np.any(determinants <= 0):
        raise RecordError(
            f"rotation matrix: expected a determinant of 1, found {determinants.min():.3g}; is an axis flipped?"
        )
    from scipy.spatial.transform import Rotation

    vectors = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec()
    return np.asarray(vectors, np.float64).reshape(*matrices.shape[:-2], 3)


def canonical_aa(aa: npt.ArrayLike) -> Float64:
    """The same rotations (..., 3) with angles in [0, pi] radians. Vectors within pi are returned unchanged.

    Whole turns are taken off along the vector itself, which keeps tiny angles exact; the way through a quaternion
    would round them.
    """
    vectors = _trailing(aa, (3,))
    angle = np.linalg.norm(vectors, axis=-1, keepdims=True)
    turns = np.round(angle / (2 * np.pi))
    scale = np.divide(angle - 2 * np.pi * turns, angle, out=np.ones_like(angle), where=turns > 0)
    return np.asarray(vectors * scale, np.float64)


def orthogonality_error(rotmat: Float64) -> float:
    """Largest entry of |R R^T - 1| of one matrix (3, 3); 0 for a rotation or a mirror image of one."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.abs(rotmat @ rotmat.T - np.eye(3)).max())


def is_rotation(rotmat: Float64) -> bool:
    """Whether one matrix (3, 3) is a rotation up to MAX_ORTHOGONALITY_ERROR, and no mirror image."""
    return bool(orthogonality_error(rotmat) < MAX_ORTHOGONALITY_ERROR and np.linalg.det(rotmat) > 0)


def _trailing(values: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    array = np.asarray(values, np.float64)
    if array.shape[-len(shape) :] != shape:
        raise RecordError(f"rotation: expected shape (..., {', '.join(map(str, shape))}), found {array.shape}")
    return array
