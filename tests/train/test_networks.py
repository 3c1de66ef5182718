"""6D rotations in degenerate cases, and the shapes of the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from train.models.tiny_vit import TinyVit, TinyVitConfig
from train.rotations import rot6d_to_rotmat, rotmat_to_rot6d

DEGENERATE = [
    [0, 0, 0, 0, 0, 0],
    [1, 0, 0, 1, 0, 0],
    [1, 0, 0, -3, 0, 0],
    [0, 0, 0, 0, 1, 0],
    [0, 1, 0, 0, 0, 0],
    [1e-9, 0, 0, 0, 1e-9, 0],
    [1e8, 0, 0, 0, 1e-8, 0],
    [1, 2, 3, 1, 2, 3.0000001],
    [1e-3, 1e-3, 0, 1e-3, 1e-3, 1e-9],
]


def assert_rotations(rotmat: torch.Tensor) -> None:
    eye = torch.eye(3).expand_as(rotmat)
    assert torch.allclose(rotmat @ rotmat.transpose(-1, -2), eye, atol=1e-5)
    assert torch.allclose(torch.linalg.det(rotmat), torch.ones(rotmat.shape[:-2]), atol=1e-5)


@pytest.mark.parametrize("numbers", DEGENERATE)
def test_degenerate_6d_is_still_a_rotation_with_a_finite_gradient(numbers: list[float]) -> None:
    rot6d = torch.tensor([numbers], dtype=torch.float32, requires_grad=True)
    rotmat = rot6d_to_rotmat(rot6d)
    assert_rotations(rotmat.detach())
    (rotmat * torch.arange(9.0).view(3, 3)).sum().backward()
    assert rot6d.grad is not None
    assert torch.isfinite(rot6d.grad).all()


def test_6d_round_trip_and_gram_schmidt() -> None:
    rotmat = torch.from_numpy(Rotation.random(100, random_state=0).as_matrix()).float()
    assert torch.allclose(rot6d_to_rotmat(rotmat_to_rot6d(rotmat)), rotmat, atol=1e-6)
    rot6d = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    found = rot6d_to_rotmat(rot6d)
    assert_rotations(found)
    expected = []
    for a, b in zip(rot6d[:, :3].double().numpy(), rot6d[:, 3:].double().numpy(), strict=True):
        q, r = np.linalg.qr(np.stack([a, b], axis=1))
        q = q * np.sign(np.diag(r))
        expected.append(np.column_stack([q, np.cross(q[:, 0], q[:, 1])]))
    assert np.allclose(found.numpy(), np.stack(expected), atol=1e-4)


def test_network_starts_at_the_upright_rest_pose() -> None:
    torch.manual_seed(0)
    model = TinyVit(TinyVitConfig(width=32, depth=2))
    prediction = model(torch.rand(3, 3, 128, 96))
    assert (prediction.rotmat.shape, prediction.betas.shape) == ((3, 22, 3, 3), (3, 10))
    assert prediction.weak_camera.shape == (3, 3)
    assert_rotations(prediction.rotmat.detach())
    rest = torch.eye(3).repeat(22, 1, 1)
    rest[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    assert (prediction.rotmat - rest).abs().max() < 0.4
