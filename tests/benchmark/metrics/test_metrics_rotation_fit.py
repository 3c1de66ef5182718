"""The nearest rotations against LAPACK, where they are unique, and against what makes them best, where they are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.metrics.rotation_fit import nearest_rotations

NUM = 1000
"""More than are left to LAPACK."""


def rotations(num: int, seed: int) -> Tensor:
    """Rotations (num, 3, 3), from random matrices."""
    q = torch.linalg.qr(torch.tensor(np.random.default_rng(seed).normal(size=(num, 3, 3)))).Q
    return q * torch.linalg.det(q)[:, None, None]


def with_singular_values(*values: float, is_mirror: bool = False) -> Tensor:
    """Matrices (NUM, 3, 3) with these singular values, of negative determinant where mirrored."""
    signs = torch.tensor([1.0, 1.0, -1.0 if is_mirror else 1.0]).double()
    return rotations(NUM, 1) @ torch.diag(torch.tensor(values).double() * signs) @ rotations(NUM, 2)


def by_lapack(matrices: Tensor) -> tuple[Tensor, Tensor]:
    left, singular, right = torch.linalg.svd(matrices)
    singular[:, 2] *= torch.linalg.det(left @ right).sign()
    left[:, :, 2] *= torch.linalg.det(left @ right)[:, None].sign()
    return left @ right, singular.sum(1)


def assert_rotations(found: Tensor) -> None:
    torch.testing.assert_close(found @ found.mT, torch.eye(3).double().expand(len(found), 3, 3), rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(len(found)).double())


@pytest.mark.parametrize("is_mirror", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        (3.0, 2.0, 1.0),
        (1.0, 1.0, 0.5),
        (1.0, 1e-4, 1e-5),
        (1.0, 0.5, 0.0),
        (1.0, 1e-5, 0.0),
        (1e-20, 1e-21, 1e-22),
        (1e20, 1e19, 1e18),
    ],
)
def test_equal_to_lapack_where_one_rotation_is_best(values: tuple[float, ...], is_mirror: bool) -> None:
    matrices = with_singular_values(*values, is_mirror=is_mirror)
    found, trace = nearest_rotations(matrices)
    expected, expected_trace = by_lapack(matrices)
    assert_rotations(found)
    # How far rounding of the matrix turns the best rotation: the sum of the two smallest values, the mirror's minus.
    unit = values[0] * 1e-14 / (values[1] + (-1 if is_mirror else 1) * values[2])
    torch.testing.assert_close(found, expected, rtol=0, atol=max(unit, 1e-12))
    torch.testing.assert_close(trace, expected_trace, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("values", "is_mirror"),
    [((1.0, 0.0, 0.0), False), ((2.0, 1.0, 1.0), True), ((1.0, 1.0, 1.0), True), ((0.0, 0.0, 0.0), False)],
)
def test_one_of_the_best_where_many_are(values: tuple[float, ...], is_mirror: bool) -> None:
    matrices = with_singular_values(*values, is_mirror=is_mirror)
    found, trace = nearest_rotations(matrices)
    assert_rotations(found)
    expected = values[0] + values[1] + (-values[2] if is_mirror else values[2])
    torch.testing.assert_close(trace, torch.full((NUM,), expected).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close((found * matrices).sum((1, 2)), trace, rtol=0, atol=1e-12)


def test_a_rotation_is_its_own_nearest() -> None:
    matrices = rotations(NUM, 3)
    found, trace = nearest_rotations(matrices)
    torch.testing.assert_close(found, matrices, rtol=0, atol=1e-12)
    torch.testing.assert_close(trace, torch.full((NUM,), 3.0).double())


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 2e-5), (torch.float64, 1e-9)])
def test_random_matrices_are_solved_without_lapack(
    dtype: torch.dtype, atol: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrices = torch.tensor(np.random.default_rng(0).normal(size=(NUM, 3, 3)), dtype=dtype)
    expected, expected_trace = by_lapack(matrices.double())

    def refuse(matrices: Tensor) -> Tensor:
        raise AssertionError("LAPACK was asked")

    monkeypatch.setattr(torch.linalg, "svd", refuse)
    found, trace = nearest_rotations(matrices)
    assert found.dtype == trace.dtype == dtype
    torch.testing.assert_close(trace.double(), expected_trace, rtol=0, atol=atol)
    is_clear = expected_trace - matrices.double().norm(dim=(1, 2)) > 0.1
    torch.testing.assert_close(found.double()[is_clear], expected[is_clear], rtol=0, atol=10 * atol)


def test_few_matrices_are_like_many() -> None:
    matrices = with_singular_values(3.0, 2.0, 1.0)
    together, alone = nearest_rotations(matrices), nearest_rotations(matrices[:3])
    for many, few in zip(together, alone, strict=True):
        torch.testing.assert_close(many[:3], few, rtol=1e-12, atol=1e-14)
    assert math.prod(nearest_rotations(matrices[:0])[0].shape) == 0
