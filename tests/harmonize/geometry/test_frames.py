"""The frame change, against vertices of a body that turns about its rest pelvis."""

from __future__ import annotations

import numpy as np
import pytest

from harmonize.errors import RecordError
from harmonize.geometry import aa_to_rotmat, change_frame

NUM = 6
chance = np.random.default_rng(5)
rest = chance.normal(size=(40, 3)) * [0.4, 0.8, 0.2]
pelvis = np.tile([0.0, -0.35, 0.01], (NUM, 1)) + chance.normal(size=(NUM, 3)) * 0.05
elbow = np.array([0.3, 0.2, 0.0])
weight = chance.uniform(size=(40, 1))


def posed(orient: np.ndarray, transl: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """Vertices (B, 40, 3) of a toy linear-blend body: two bones, the root at the rest pelvis."""
    root, forearm = aa_to_rotmat(orient), aa_to_rotmat(bend)
    bent = (rest - elbow) @ forearm.swapaxes(1, 2) + elbow
    blended = weight * bent + (1 - weight) * rest
    return (blended - pelvis[:, None]) @ root.swapaxes(1, 2) + pelvis[:, None] + transl[:, None]


@pytest.mark.parametrize("is_batched", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_vertices_move_as_points_do(is_batched: bool, dtype: type) -> None:
    orient, transl, bend = (chance.normal(size=(NUM, 3)) for _ in range(3))
    shape = (NUM, 3) if is_batched else (3,)
    rotmat, offset = aa_to_rotmat(chance.normal(size=shape)), chance.normal(size=shape) * 3
    expected = posed(orient, transl, bend) @ rotmat.swapaxes(-1, -2) + (offset[:, None] if is_batched else offset)
    moved = change_frame(*(array.astype(dtype) for array in (orient, transl, pelvis, rotmat, offset)))
    error = np.abs(posed(*moved, bend) - expected).max()
    assert error < (1e-6 if dtype is np.float64 else 1e-5)


def test_check_sees_a_missing_pelvis_and_a_transposed_rotation() -> None:
    orient, transl, bend = (chance.normal(size=(NUM, 3)) for _ in range(3))
    rotmat, offset = aa_to_rotmat([0.4, 1.2, -0.7]), np.array([0.1, 0.2, 3.0])
    expected = posed(orient, transl, bend) @ rotmat.T + offset
    for wrong in (
        change_frame(orient, transl, np.zeros_like(pelvis), rotmat, offset),
        change_frame(orient, transl, pelvis, rotmat.T, offset),
    ):
        assert np.abs(posed(*wrong, bend) - expected).max() > 0.1


def test_identity_and_inverse() -> None:
    orient, transl = chance.normal(size=(NUM, 3)) * 0.5, chance.normal(size=(NUM, 3))
    np.testing.assert_allclose(
        change_frame(orient, transl, pelvis, np.eye(3), np.zeros(3)), (orient, transl), atol=1e-9
    )
    rotmat, offset = aa_to_rotmat([0.4, 1.2, -0.7]), np.array([0.1, 0.2, 3.0])
    there = change_frame(orient, transl, pelvis, rotmat, offset)
    back = change_frame(*there, pelvis, rotmat.T, -rotmat.T @ offset)
    np.testing.assert_allclose(back, (orient, transl), atol=1e-9)


def test_mirrored_frame_is_refused() -> None:
    with pytest.raises(RecordError, match="flipped"):
        change_frame(np.zeros((1, 3)), np.zeros((1, 3)), np.zeros((1, 3)), np.diag([1, -1, 1]), np.zeros(3))
