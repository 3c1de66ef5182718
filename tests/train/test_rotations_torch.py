"""6D rotations and axis-angle vectors: equality with Gram-Schmidt and scipy, and derivatives at degenerate points."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from train.rotations import NEAR, aa_to_rotmat, rot6d_to_rotmat, rotmat_to_aa, rotmat_to_rot6d

DEGENERATE = {
    "zero": [0, 0, 0, 0, 0, 0],
    "first zero": [0, 0, 0, 0, 1, 0],
    "first zero, second along the replacement": [0, 0, 0, 1, 0, 0],
    "second zero": [0, 1, 0, 0, 0, 0],
    "parallel": [1, 2, 3, 1, 2, 3],
    "opposite": [1, 0, 0, -3, 0, 0],
    "tiny": [1e-9, 0, 0, 0, 1e-9, 0],
    "nearly parallel": [1, 2, 3, 1, 2, 3.001],
    "short": [0.5 * NEAR, 0, 0.2 * NEAR, 0, 0.5 * NEAR, 0],
    "first at the threshold": [NEAR, 0, 0, 0, 1, 0],
    "long and short": [1e8, 0, 0, 0, 1e-8, 0],
}


def double(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


def weighted(rotmat: Tensor) -> Tensor:
    return (rotmat * torch.linspace(1, 2, 9, dtype=rotmat.dtype).view(3, 3)).sum()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("numbers", DEGENERATE.values(), ids=list(DEGENERATE))
def test_degenerate_6d_is_a_rotation_with_finite_second_derivatives(numbers: list[float], dtype: torch.dtype) -> None:
    rot6d = torch.tensor(numbers, dtype=dtype, requires_grad=True)
    rotmat = rot6d_to_rotmat(rot6d)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-12
    assert torch.allclose(rotmat @ rotmat.mT, torch.eye(3, dtype=dtype), atol=tolerance)
    assert torch.linalg.det(rotmat).item() == pytest.approx(1, abs=tolerance)
    (first,) = torch.autograd.grad(weighted(rotmat), rot6d, create_graph=True)
    assert torch.isfinite(first).all()
    second = torch.stack([torch.autograd.grad(value, rot6d, retain_graph=True)[0] for value in first])
    assert torch.isfinite(second).all()
    # Bounded, too, however short the columns are: each of the two brings a factor 1 / NEAR into each derivative.
    assert first.abs().max() < 10 / NEAR**2
    assert second.abs().max() < 10 / NEAR**4


@pytest.mark.parametrize(
    "numbers",
    [
        [0.3 * NEAR, 0.1 * NEAR, 0.2 * NEAR, 0.1 * NEAR, 0.4 * NEAR, 0.2 * NEAR],
        [1.0, 2.0, 3.0, 1.0, 2.0, 3.01],
        [0.5, 0.1, -0.2, 0.1, 0.9, 0.3],
        [0.2 * NEAR, 0.1 * NEAR, 0.0, 0.3, 0.9, 0.1],
    ],
)
def test_6d_derivatives_agree_with_differences(numbers: list[float]) -> None:
    # In units of NEAR near the degenerate points, so that the differences are taken within the blend.
    scale = NEAR if max(map(abs, numbers)) < NEAR else 1.0
    point = (torch.tensor(numbers, dtype=torch.float64) / scale).requires_grad_()
    step = 1e-6
    if abs(numbers[0]) < NEAR:
        step = 1e-7

    def scaled(values: Tensor) -> Tensor:
        return rot6d_to_rotmat(values * scale)

    assert torch.autograd.gradcheck(scaled, (point,), eps=step, rtol=1e-3, atol=1e-4)
    assert torch.autograd.gradgradcheck(scaled, (point,), eps=step, rtol=1e-3, atol=1e-3)


def test_6d_is_exactly_gram_schmidt_elsewhere() -> None:
    columns = torch.randn(500, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = rot6d_to_rotmat(columns.flatten(1)).numpy()
    for (a, b), rotmat in zip(columns.numpy(), found, strict=True):
        x = a / np.linalg.norm(a)
        rest = b - (x @ b) * x
        y = rest / np.linalg.norm(rest)
        expected = np.column_stack([x, y, np.cross(x, y)])
        assert np.abs(rotmat - expected).max() < 1e-12
    rotmats = torch.from_numpy(Rotation.random(100, random_state=0).as_matrix())
    assert torch.allclose(rot6d_to_rotmat(rotmat_to_rot6d(rotmats)), rotmats, atol=1e-12)


def test_6d_may_be_mapped_over_samples() -> None:
    columns = torch.randn(7, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    columns[0] = 0
    assert torch.equal(torch.vmap(rot6d_to_rotmat)(columns), rot6d_to_rotmat(columns))


def test_axis_angle_agrees_with_scipy_at_every_angle() -> None:
    axes = np.random.default_rng(0).normal(size=(200, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    for angle in (0.0, 1e-12, 1e-7, 1.9e-4, 2.1e-4, 0.1, 1.5, 3.0, math.pi - 1e-6):
        rotation = Rotation.from_rotvec(axes * angle)
        rotmat = torch.from_numpy(rotation.as_matrix())
        assert np.abs(rotmat_to_aa(rotmat).numpy() - axes * angle).max() < 1e-9
        assert np.abs(aa_to_rotmat(torch.from_numpy(axes * angle)).numpy() - rotation.as_matrix()).max() < 1e-12


@pytest.mark.parametrize("axis", [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0.6, 0, 0.8]])
def test_half_a_turn_has_an_axis_and_finite_gradients(axis: list[float]) -> None:
    rotmat = torch.from_numpy(Rotation.from_rotvec(np.array(axis) * math.pi).as_matrix()).requires_grad_()
    aa = rotmat_to_aa(rotmat)
    assert torch.allclose(aa.detach().abs(), math.pi * torch.tensor(axis, dtype=torch.float64), atol=1e-9)
    (gradient,) = torch.autograd.grad(aa.abs().sum(), rotmat)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() < 10


@pytest.mark.parametrize("vector", [[0.0, 0, 0], [1e-6, 0, 2e-6], [0.3, -0.2, 1.1], [0.0, 2.9, 0.4]])
def test_axis_angle_derivatives(vector: list[float]) -> None:
    aa = double(*vector)
    assert torch.autograd.gradcheck(lambda a: rotmat_to_aa(aa_to_rotmat(a)), (aa,), eps=1e-6, atol=1e-5)
    assert torch.autograd.gradgradcheck(lambda a: rotmat_to_aa(aa_to_rotmat(a)), (aa,), eps=1e-6, atol=1e-3)
    assert torch.allclose(rotmat_to_aa(aa_to_rotmat(aa)), aa, atol=1e-12)
