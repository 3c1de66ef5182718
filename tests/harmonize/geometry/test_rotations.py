"""Axis-angle and matrices, also where the angle is awkward."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harmonize.errors import RecordError
from harmonize.geometry import aa_to_rotmat, canonical_aa, rotmat_to_aa

vectors = arrays(np.float64, (3,), elements=st.floats(-20, 20, allow_subnormal=True))
directions = vectors.filter(lambda v: np.linalg.norm(v) > 1e-3).map(lambda v: v / np.linalg.norm(v))


def rodrigues(aa: np.ndarray) -> np.ndarray:
    """Rodrigues' formula written out, for one vector."""
    angle = np.linalg.norm(aa)
    if angle == 0:
        return np.eye(3)
    x, y, z = aa / angle
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew


@given(vectors)
def test_matrix_is_rodrigues_formula(aa: np.ndarray) -> None:
    np.testing.assert_allclose(aa_to_rotmat(aa), rodrigues(aa), atol=1e-12)


@given(vectors)
def test_canonical_is_the_same_rotation_within_half_a_turn(aa: np.ndarray) -> None:
    canonical = canonical_aa(aa)
    assert np.linalg.norm(canonical) <= np.pi * (1 + 1e-15)
    np.testing.assert_allclose(rodrigues(canonical), rodrigues(aa), atol=1e-12)


@given(directions, st.sampled_from([np.pi, 3 * np.pi, np.nextafter(np.pi, 4), 2 * np.pi, 1e-9, 1e-160, 5e-324, 0.0]))
def test_canonical_at_exact_half_and_whole_turns_and_tiny_angles(direction: np.ndarray, angle: float) -> None:
    aa = direction * angle
    np.testing.assert_allclose(rodrigues(canonical_aa(aa)), rodrigues(aa), atol=1e-12)
    if angle < 1:
        np.testing.assert_array_equal(canonical_aa(aa), aa)


@given(vectors)
def test_way_through_a_matrix_gives_the_canonical_vector(aa: np.ndarray) -> None:
    back = rotmat_to_aa(aa_to_rotmat(aa))
    assert np.linalg.norm(back) <= np.pi * (1 + 1e-12)
    np.testing.assert_allclose(rodrigues(back), rodrigues(aa), atol=1e-7)


def test_batches_of_any_shape() -> None:
    aa = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    matrices = aa_to_rotmat(aa)
    assert matrices.shape == (2, 5, 3, 3)
    assert matrices.dtype == np.float64
    np.testing.assert_allclose(rotmat_to_aa(matrices), aa, atol=1e-6)
    np.testing.assert_array_equal(canonical_aa(aa), aa)
    assert aa_to_rotmat(np.zeros((0, 3))).shape == (0, 3, 3)


def test_rounded_matrix_becomes_the_nearest_rotation() -> None:
    noisy = aa_to_rotmat([0.3, -0.2, 0.9]) + np.random.default_rng(1).normal(size=(3, 3)) * 1e-6
    np.testing.assert_allclose(rotmat_to_aa(noisy), [0.3, -0.2, 0.9], atol=1e-5)


def test_mirrored_frame_and_wrong_shape_are_named() -> None:
    with pytest.raises(RecordError, match="determinant of 1, found -1"):
        rotmat_to_aa(np.diag([1.0, 1.0, -1.0]))
    with pytest.raises(RecordError, match=r"\(\.\.\., 3\), found \(2, 4\)"):
        aa_to_rotmat(np.zeros((2, 4)))
