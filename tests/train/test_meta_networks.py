"""Dual networks of the real parts: transformer, token decoder, SMPL-X, the unified objective."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from meta_toys import gradients
from torch import nn

from train.body import Body
from train.camera import pelvis_from_weak, project
from train.data.batch import Batch, Observed, Truth
from train.losses.objectives import InnerLoss, OuterLoss
from train.losses.supervised import UNIFIED
from train.losses.vertex_subset import vertex_subset
from train.meta.config import AdaptConfig, DualConfig
from train.meta.stack import Stack, seen
from train.meta.step import DualStep
from train.meta.subsets import Rates
from train.meta.test_time import adapt
from train.models.prediction import from_numbers, mean_numbers
from train.models.tokens import TokensConfig, TokensModel
from train.models.vit import VitConfig

SMALL = TokensConfig(
    vit=VitConfig(width=16, depth=1, num_heads=2, height_px=32, width_px=32),
    decoder_width=16, num_layers=1, num_heads=2, body_queries=1, hand_queries=1, face_queries=1,
)  # fmt: skip
SIZE_PX = SMALL.vit.size_px


@pytest.fixture(scope="module")
def body(standin: Any) -> Body:
    return Body(standin, vertex_subset(standin)).double()


def network(seed: int) -> TokensModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = TokensModel(SMALL).double()
        for output in found.head.outputs.values():
            nn.init.normal_(output.weight, std=0.02)
    return found


def people(body: Body, size: int, seed: int = 0) -> Batch:
    """Noise for pictures; near-mean bodies for labels, seen exactly."""
    rng = torch.Generator().manual_seed(seed)
    label = from_numbers(mean_numbers().double() + 0.1 * torch.randn(size, 341, generator=rng, dtype=torch.float64))
    to_crop = torch.tensor([[60.0, 0.0, 16.0], [0.0, 60.0, 16.0]], dtype=torch.float64).repeat(size, 1, 1)
    pelvis = pelvis_from_weak(label.weak_camera, to_crop, SIZE_PX)
    joints = body(*label[:3]).joints_m
    sure = torch.ones(size, 144, 1, dtype=torch.float64)
    keypoints = torch.cat([project(joints + pelvis[:, None], to_crop), sure], dim=2)
    yes = torch.ones(size, dtype=torch.bool)
    truth = Truth(
        rotmat=label.rotmat, has_rotation=yes[:, None].repeat(1, 53), betas=label.betas, has_betas=yes,
        expression=label.expression, has_expression=yes, pelvis_m=pelvis, has_pelvis=yes,
        joints_m=torch.cat([joints, sure], dim=2), keypoints_px=keypoints.clone(),
    )  # fmt: skip
    crop = torch.randint(0, 256, (size, 3, *SIZE_PX), generator=rng, dtype=torch.uint8)
    observed = Observed(crop=crop, to_crop=to_crop, has_intrinsics=yes, keypoints_px=keypoints)
    keys = tuple(f"{seed}-{at}" for at in range(size))
    return Batch(observed=observed, truth=truth, keys=keys, sources=(("made", "train"),) * size)


def dual(body: Body, **options: Any) -> DualStep:
    config = DualConfig(**{"head_rate": 2e-3, "other_rate": 2e-3, "rank": 2, **options})
    auxiliary = None if config.auxiliary in ("none", "ema") else network(9)
    return DualStep(
        network(0), auxiliary, body=body, inner=InnerLoss(UNIFIED), outer=OuterLoss(body, UNIFIED), config=config
    )


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("subset", ["head", "head+lora", "head+norm", "all"])
def test_gradients_of_a_batch_are_the_mean_of_those_of_each_sample_alone(body: Body, subset: Any, order: Any) -> None:
    step = dual(body, subset=subset, order=order, auxiliary="both" if order == "second" else "supervised")
    samples = people(body, 3)
    together = gradients(step, step(samples).total)
    alone = [gradients(step, step(samples.rows(slice(at, at + 1))).total) for at in range(3)]
    for name, found in together.items():
        expected = torch.stack([one[name] for one in alone]).mean(0)
        assert (found - expected).norm() <= 1e-10 * expected.norm().clamp(min=1e-6), name


def test_second_order_gradients_are_what_finite_differences_say(body: Body) -> None:
    step = dual(body, subset="head+norm", order="second", auxiliary="both")
    samples = people(body, 2)
    found = gradients(step, step(samples).total)
    for name in ("regressor.encoder.norm.weight", "regressor.encoder.blocks.0.attn.qkv.weight", "rates.log_rate"):
        parameter = step.get_parameter(name)
        along = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2), dtype=parameter.dtype)
        sums = []
        for shift in (-2e-4, -1e-4, 1e-4, 2e-4):
            with torch.no_grad():
                parameter += shift * along
            sums.append(step(samples).total.item())
            with torch.no_grad():
                parameter -= shift * along
        expected = (sums[0] - 8 * sums[1] + 8 * sums[2] - sums[3]) / 12e-4
        assert float((found[name] * along).sum()) == pytest.approx(expected, rel=1e-4), name


@pytest.mark.parametrize("auxiliary", ["supervised", "none"])
def test_labels_do_not_reach_the_inner_loss(body: Body, auxiliary: Any) -> None:
    step = dual(body, auxiliary=auxiliary)
    samples = people(body, 2)
    wrong = samples.truth._each(
        lambda value: torch.full_like(value, torch.nan) if value.is_floating_point() else ~value
    )
    clean, broken = step(samples), step(replace(samples, truth=wrong))
    assert clean.parts["inner"].item() == broken.parts["inner"].item() > 0
    assert clean.parts["outer"].item() != broken.parts["outer"].item()


def test_2d_points_leave_hands_without_points_alone(body: Body) -> None:
    """Rotations of hands are moved by points of hands only: their part of the gradient is zero without."""
    samples = people(body, 2)
    has_hands = people(body, 2).observed
    samples.observed.keypoints_px[:, 25:55, 2] = 0
    samples.observed.keypoints_px[:, 66:76, 2] = 0
    pushed = []
    for observed in (has_hands, samples.observed):
        rotmat = network(0)(*seen(network(0), observed))
        leaf = rotmat.rotmat.detach().requires_grad_()
        prediction = rotmat._replace(rotmat=leaf)
        loss = InnerLoss(UNIFIED)(prediction, body(*prediction[:3]), observed, None).sum()
        pushed.append(torch.autograd.grad(loss, leaf)[0].abs().amax((0, 2, 3)))
    assert (pushed[0][23:] > 0).any()
    assert (pushed[1][23:] == 0).all()
    assert (pushed[1][:22] > 0).any()


def test_adaptation_lowers_the_error_of_2d_points(body: Body) -> None:
    main = network(0)
    observed = people(body, 3).observed
    found = adapt(
        main, network(9), observed, body=body, inner=InnerLoss(UNIFIED),
        rates=Rates.of(main, "head", head_rate=2e-3), config=AdaptConfig(steps=5),
    )  # fmt: skip
    assert (found.losses.gather(1, found.best_at[:, None])[:, 0] < found.losses[:, 0]).all()


def in_single(samples: Batch) -> Batch:
    single = lambda value: value.float() if value.is_floating_point() else value  # noqa: E731
    return replace(samples, observed=samples.observed._each(single), truth=samples.truth._each(single))


@pytest.mark.parametrize("subset", ["head", "head+norm"])
@pytest.mark.parametrize(("order", "auxiliary"), [("first", "supervised"), ("second", "both")])
def test_mixed_precision_rounds_the_network_and_nothing_else(
    standin: Any, subset: Any, order: Any, auxiliary: Any
) -> None:
    body = Body(standin, vertex_subset(standin))
    samples = in_single(people(body.double(), 2))
    step = dual(body.float(), subset=subset, order=order, auxiliary=auxiliary, chunk=1).float()
    exact = step(samples)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = step(samples)
        stack = Stack.of(step.regressor, step.rates.names, samples.observed)
        assert stack.plain().rotmat.dtype == torch.float32
    assert rounded.total.dtype == torch.float32
    assert exact.total.item() != rounded.total.item()
    torch.testing.assert_close(rounded.total, exact.total, rtol=0.05, atol=0)
    rounded.total.backward()
    assert all(
        parameter.grad is not None and parameter.grad.isfinite().all() for parameter in step.trainable_parameters()
    )
