from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from reference_forward import full_forward, random_batch
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyBatch, BodyModels
from harmonize.bodies.joints import contour_row, rotation_matrices

KINDS = ("smplx", "smplh", "smpl")
GENDERS = ("neutral", "female", "male")
TOLERANCE_M = 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gender", GENDERS)
def test_joints_and_vertices_equal_the_full_forward_pass(standin: BodyModels, kind: Any, gender: Any) -> None:
    model = standin.get(kind, gender)
    batch = random_batch(model, 24, spread_rad=0.5)
    vertices, joints = full_forward(standin.root, model, batch)
    found = model.joints(batch)
    assert found.shape[1] == {"smplx": 144, "smplh": 73, "smpl": 45}[kind]
    np.testing.assert_allclose(found, joints, atol=TOLERANCE_M)
    np.testing.assert_allclose(model.vertices(batch), vertices, atol=TOLERANCE_M)


@pytest.mark.parametrize(("kind", "num_betas"), [("smplx", 11), ("smplx", 16), ("smplx", 4)])
def test_any_number_of_betas_up_to_sixteen(standin: BodyModels, kind: Any, num_betas: int) -> None:
    model = standin.get(kind, "neutral")
    batch = random_batch(model, 6, num_betas=num_betas)
    _, joints = full_forward(standin.root, model, batch)
    np.testing.assert_allclose(model.joints(batch), joints, atol=TOLERANCE_M)


@pytest.mark.parametrize("kind", KINDS)
def test_kids_equal_the_full_forward_pass(standin: BodyModels, kind: Any) -> None:
    model = standin.get(kind, "male")
    batch = replace(random_batch(model, 6), kid_weight=np.linspace(0, 1, 6))
    vertices, joints = full_forward(standin.root, model, batch)
    np.testing.assert_allclose(model.joints(batch), joints, atol=TOLERANCE_M)
    np.testing.assert_allclose(model.vertices(batch), vertices, atol=TOLERANCE_M)


def test_contour_follows_the_head_through_every_row(standin: BodyModels) -> None:
    model = standin.get("smplx", "neutral")
    yaw = np.deg2rad(np.arange(-60.25, 61))
    pose = np.zeros((len(yaw), 55, 3))
    pose[:, 12, 1] = yaw
    batch = BodyBatch(pose_aa=pose, betas=np.zeros((len(yaw), 10)), transl_m=np.zeros((len(yaw), 3)))
    _, joints = full_forward(standin.root, model, batch)
    np.testing.assert_allclose(model.joints(batch)[:, 127:], joints[:, 127:], atol=TOLERANCE_M)
    rows = contour_row(rotation_matrices(torch.tensor(pose, dtype=torch.float32)))
    assert len(set(rows.tolist())) == 79


def test_a_pose_that_is_not_finite_does_not_crash(standin: BodyModels) -> None:
    model = standin.get("smplx", "neutral")
    batch = random_batch(model, 2)
    batch.pose_aa[1] = np.nan
    joints = model.joints(batch)
    assert np.isfinite(joints[0]).all()
    assert np.isnan(joints[1, 144 - 17 :]).all()


def test_pelvis_stays_at_rest_pelvis_plus_transl(standin: BodyModels) -> None:
    for kind in KINDS:
        model = standin.get(kind, "female")
        batch = replace(random_batch(model, 5), kid_weight=np.linspace(0, 0.5, 5))
        expected = model.rest_pelvis_m(batch.betas, batch.kid_weight) + batch.transl_m
        np.testing.assert_allclose(model.joints(batch)[:, 0], expected, atol=2e-6)


def test_result_does_not_depend_on_the_batch(standin: BodyModels) -> None:
    model = standin.get("smplx", "male")
    batch = random_batch(model, 150)
    alone = BodyBatch(
        pose_aa=batch.pose_aa[140:141],
        betas=batch.betas[140:141],
        transl_m=batch.transl_m[140:141],
        expression=batch.expression[140:141],
    )
    np.testing.assert_allclose(model.joints(batch)[140], model.joints(alone)[0], atol=2e-6)


def test_no_bit_depends_on_the_number_of_threads(standin: BodyModels) -> None:
    model, threads = standin.get("smplx", "female"), torch.get_num_threads()
    batch = random_batch(model, 130)
    results = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            results.append((model.joints(batch), model.vertices(batch)))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


def test_empty_batch(standin: BodyModels) -> None:
    for kind in KINDS:
        model = standin.get(kind, "neutral")
        batch = random_batch(model, 0)
        assert model.joints(batch).shape == (0, len(model.joint_names), 3)
        assert model.vertices(batch).shape == (0, model.num_vertices, 3)


def test_gradients_reach_every_parameter_and_are_right(standin: BodyModels) -> None:
    module = standin.get("smplx", "neutral").joints_module.double()
    try:
        generator = torch.Generator().manual_seed(0)

        def values(*shape: int) -> torch.Tensor:
            return (0.3 * torch.randn(*shape, generator=generator, dtype=torch.float64)).requires_grad_()

        pose, coefficients, transl = values(1, 55, 3), values(1, module.point_directions.shape[0]), values(1, 3)
        weights = torch.randn(1, 144, 3, generator=generator, dtype=torch.float64)
        loss = (module(pose, coefficients, transl) * weights).sum()
        gradients = torch.autograd.grad(loss, (pose, coefficients, transl))
        step = 1e-6
        for value, gradient in zip((pose, coefficients, transl), gradients, strict=True):
            direction = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            ends = []
            for sign in (1, -1):
                moved = [
                    v.detach() + (sign * step * direction if v is value else 0) for v in (pose, coefficients, transl)
                ]
                ends.append((module(*moved) * weights).sum())
            numeric = (ends[0] - ends[1]) / (2 * step)
            assert float((gradient * direction).sum()) == pytest.approx(float(numeric), rel=1e-4, abs=1e-6)
        at_rest = torch.zeros(1, 55, 3, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(module(at_rest, coefficients, transl).sum(), at_rest)
        assert torch.isfinite(gradient).all()
    finally:
        module.float()


def test_rotation_matrices_equal_scipy() -> None:
    rng = np.random.default_rng(0)
    axis_angle = np.concatenate([rng.normal(0, 2, (50, 3)), np.zeros((1, 3)), 1e-7 * rng.normal(size=(5, 3))])
    found = rotation_matrices(torch.tensor(axis_angle))
    np.testing.assert_allclose(found.numpy(), Rotation.from_rotvec(axis_angle).as_matrix(), atol=1e-12)


def test_joint_names_are_as_many_as_joints(standin: BodyModels) -> None:
    for kind, number in (("smplx", 144), ("smplh", 73), ("smpl", 45)):
        assert len(standin.get(kind, "neutral").joint_names) == number
