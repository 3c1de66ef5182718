"""The dual step against a loop over samples, against finite differences, and against what its settings promise."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from meta_loop import loop_total
from meta_toys import RATES, Toy, batch, body, dual, gradients, inner, outer
from torch import Tensor

from harmonize.errors import UsageError
from train.camera import crop_condition
from train.data.batch import Batch, Observed
from train.meta.changes import whole as multiplied_out
from train.meta.config import DualConfig
from train.meta.step import DualStep

SUBSETS = ("head", "head+lora", "head+norm", "all")


def config(**options: Any) -> DualConfig:
    return DualConfig(**{**RATES, "rank": 2, **options})


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-10) -> None:
    """Tensor by tensor: in the whole vector a wrong small tensor is not seen."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        size = value.norm().clamp(min=1e-6)
        assert (found[name] - value).norm() / size < tolerance, name


@pytest.mark.parametrize("inner_steps", [1, 2])
@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("subset", SUBSETS)
def test_every_gradient_equals_that_of_a_loop_over_samples(subset: Any, order: Any, inner_steps: int) -> None:
    auxiliary = "both" if order == "second" else "supervised"
    step = dual(config(subset=subset, order=order, inner_steps=inner_steps, auxiliary=auxiliary))
    samples = batch(3)
    total, looped = step(samples).total, loop_total(step, samples)
    torch.testing.assert_close(total, looped, rtol=1e-12, atol=0)
    assert_same(gradients(step, total), gradients(step, looped))


def test_first_and_second_order_differ_enough_to_be_told_apart() -> None:
    samples = batch(3)
    first, second = (dual(config(order=order, subset="all", auxiliary="frozen")) for order in ("first", "second"))
    one, two = (gradients(step, step(samples).total) for step in (first, second))
    name = "regressor.blocks.0.norm.weight"
    assert (one[name] - two[name]).norm() > 0.01 * two[name].norm()


@pytest.mark.parametrize(
    ("subset", "name"),
    [
        ("head+norm", "regressor.blocks.0.norm.weight"),
        ("head+norm", "regressor.patch.weight"),
        ("head", "regressor.head.norm.weight"),
        ("head", "regressor.blocks.0.attn.qkv.weight"),
        ("all", "regressor.norm.weight"),
        ("all", "auxiliary.network.norm.weight"),
        ("head+lora", "regressor.blocks.0.attn.qkv.low_rank_in"),
        ("head+lora", "rates.log_rate"),
    ],
)
def test_second_order_gradients_are_what_finite_differences_say(subset: Any, name: str) -> None:
    """Also upstream of a LayerNorm whose weight adapts, where mapped gradients go wrong silently."""
    step = dual(config(subset=subset, order="second", inner_steps=2, auxiliary="both"))
    samples = batch(2)
    found = gradients(step, step(samples).total)[name]
    parameter = step.get_parameter(name)
    along = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1), dtype=parameter.dtype)
    sums = []
    for shift in (-2e-4, -1e-4, 1e-4, 2e-4):
        with torch.no_grad():
            parameter += shift * along
        sums.append(step(samples).total.item())
        with torch.no_grad():
            parameter -= shift * along
    expected = (sums[0] - 8 * sums[1] + 8 * sums[2] - sums[3]) / 12e-4
    assert float((found * along).sum()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("subset", ["head", "all"])
def test_chunks_bound_memory_and_change_nothing(subset: Any, order: Any) -> None:
    samples = batch(5)
    whole, cut = (dual(config(subset=subset, order=order, chunk=chunk)) for chunk in (None, 2))
    one, other = whole(samples), cut(samples)
    torch.testing.assert_close(one.per_sample, other.per_sample, rtol=1e-12, atol=0)
    assert {name: value.item() for name, value in one.parts.items()} == pytest.approx(
        {name: value.item() for name, value in other.parts.items()}
    )
    assert_same(gradients(cut, other.total * 3), gradients(whole, one.total * 3))
    with torch.no_grad():
        torch.testing.assert_close(cut(samples).total, whole(samples).total, rtol=1e-12, atol=0)


@pytest.mark.parametrize("order", ["first", "second"])
def test_unit_batch_takes_one_step_from_the_mean_loss(order: Any) -> None:
    step = dual(config(unit="batch", order=order, auxiliary="frozen", subset="head+norm"))
    samples = batch(3)
    shared = copy.deepcopy(step.regressor)
    assert step.auxiliary is not None
    pseudo = step.auxiliary(samples.observed, body)
    found = shared(samples.observed.crop.double() / 255, _condition(samples.observed))
    inner(found, body(*found[:3]), samples.observed, pseudo).mean().backward()
    rates = step.rates()
    with torch.no_grad():
        for name, parameter in shared.named_parameters():
            if name in rates:
                assert parameter.grad is not None
                parameter -= rates[name] * parameter.grad
    found = shared(samples.observed.crop.double() / 255, _condition(samples.observed))
    expected = outer(found, body(*found[:3]), samples.truth, samples.observed)
    torch.testing.assert_close(step(samples).per_sample, expected.detach(), rtol=1e-12, atol=0)
    alone = torch.stack([step(samples.rows(slice(at, at + 1))).total for at in range(3)])
    assert not torch.allclose(alone, expected, rtol=1e-4)


def _condition(observed: Observed) -> Tensor:
    return crop_condition(observed.to_crop, Toy.size_px)


@pytest.mark.parametrize("subset", SUBSETS)
def test_a_sample_does_not_know_its_neighbours(subset: Any) -> None:
    step = dual(config(subset=subset, inner_steps=2))
    samples = batch(5)
    together = step.adapted(samples.observed)
    order = torch.tensor([3, 1, 4, 0, 2])
    moved = step.adapted(samples.observed.rows(order))
    for whole, shuffled in zip(together, moved, strict=True):
        torch.testing.assert_close(shuffled, whole[order], rtol=0, atol=1e-10)
    for at in range(5):
        alone = step.adapted(samples.observed.rows(slice(at, at + 1)))
        for whole, one in zip(together, alone, strict=True):
            torch.testing.assert_close(one[0], whole[at], rtol=0, atol=1e-10)


def corrupted(samples: Batch) -> Batch:
    """The same pictures and points with every label not a number."""
    truth = samples.truth
    broken = truth._each(lambda value: torch.full_like(value, torch.nan) if value.is_floating_point() else ~value)
    return replace(samples, truth=broken)


@pytest.mark.parametrize("order", ["first", "second"])
def test_labels_do_not_reach_the_inner_loss(order: Any) -> None:
    step = dual(config(order=order, auxiliary="both" if order == "second" else "supervised"))
    samples = batch(3)
    clean, broken = step(samples), step(corrupted(samples))
    assert clean.parts["inner"].item() == broken.parts["inner"].item()
    assert clean.total.isfinite()
    assert not broken.total.isfinite()


def test_hands_without_points_stay_where_they_are() -> None:
    samples = batch(2)
    samples.observed.keypoints_px[1, 23:, 2] = 0
    samples.observed.keypoints_px[1, 23:, :2] = torch.nan
    step = dual(config(auxiliary="none"))
    for at, name in enumerate(step.rates.names):
        if ".mix." in name or ".norm." in name:  # shared with the body, whose points move them
            step.rates.log_rate.data[at] = -torch.inf
    before = step.regressor(samples.observed.crop.double() / 255, _condition(samples.observed))
    after = step.adapted(samples.observed)
    moved = (after.rotmat - before.rotmat).abs().amax((2, 3))
    assert moved[1, 23:].max() < 1e-14
    assert moved[1, :22].max() > 1e-5
    assert moved[0, 23:].max() > 1e-5


def test_a_missing_gradient_is_no_gradient() -> None:
    """Tensors that the inner loss does not reach stay; those of the outer loss are trained all the same."""
    step = dual(config(auxiliary="none"))
    step.inner = lambda prediction, points, observed, pseudo: prediction.weak_camera.square().sum(1)
    found = gradients(step, step(batch(2)).total)
    assert found["regressor.head.hands.weight"].norm() > 0


def trained_by(step: DualStep, samples: Batch) -> bool:
    """Whether the auxiliary network gets a gradient; asserts that what asks for one gets one, whole."""
    assert step.auxiliary is not None
    for parameter in step.parameters():
        parameter.grad = None
    step(samples).total.backward()
    for name, parameter in step.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    assert {id(p) for p in step.trainable_parameters()} == {id(p) for p in step.parameters() if p.grad is not None}
    return any(p.grad is not None and p.grad.abs().max() > 0 for p in step.auxiliary.parameters())


@pytest.mark.parametrize(
    ("auxiliary", "order", "is_trained"),
    [
        ("frozen", "first", False),
        ("frozen", "second", False),
        ("ema", "first", False),
        ("ema", "second", False),
        ("supervised", "first", True),
        ("supervised", "second", True),
        ("meta", "second", True),
        ("both", "second", True),
    ],
)
def test_the_auxiliary_network_learns_as_configured(auxiliary: Any, order: Any, is_trained: bool) -> None:
    assert trained_by(dual(config(auxiliary=auxiliary, order=order)), batch(2)) is is_trained


def test_both_is_the_sum_of_meta_and_supervised() -> None:
    samples = batch(2)
    found = {}
    for auxiliary in ("supervised", "meta", "both"):
        step = dual(config(auxiliary=auxiliary, order="second", aux_weight=0.7))
        found[auxiliary] = gradients(step, step(samples).total)
    for name, both in found["both"].items():
        if name.startswith("auxiliary"):
            torch.testing.assert_close(both, found["meta"][name] + found["supervised"][name], rtol=1e-9, atol=1e-14)


def test_the_auxiliary_network_stays_in_evaluation_mode() -> None:
    step = dual(config()).train()
    assert step.training
    assert step.auxiliary is not None
    assert not any(module.training for module in step.auxiliary.modules())


def test_an_ema_auxiliary_network_follows_the_main_one() -> None:
    step = dual(config(auxiliary="ema", ema_decay=0.75, subset="head+lora"))
    assert step.auxiliary is not None
    start = {name: value.clone() for name, value in step.auxiliary.network.state_dict().items()}
    with torch.no_grad():
        for parameter in step.regressor.parameters():
            parameter += 1
    step.after_update()
    main = step.regressor.state_dict()
    for name, value in step.auxiliary.network.state_dict().items():
        torch.testing.assert_close(value, 0.75 * start[name] + 0.25 * main[name])
    still = dual(config(auxiliary="frozen"))
    assert still.auxiliary is not None
    before = copy.deepcopy(still.auxiliary.state_dict())
    still.after_update()
    assert all(torch.equal(value, before[name]) for name, value in still.auxiliary.state_dict().items())


def test_an_ema_auxiliary_network_of_another_kind_is_refused() -> None:
    step = DualStep(
        Toy(), Toy(), body=body, inner=inner, outer=outer, config=config(auxiliary="ema", subset="head+lora")
    )
    with pytest.raises(UsageError, match="low_rank"):
        step.after_update()


def test_outer_training_lowers_the_loss_after_adaptation() -> None:
    step = dual(config(auxiliary="supervised"))
    samples = batch(4)
    optimiser = torch.optim.Adam(step.trainable_parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = step(samples)
        loss.total.backward()
        optimiser.step()
        losses.append(loss.parts["outer"].item())
    assert losses[-1] < 0.7 * losses[0]
    assert step.rates.log_rate.detach().exp().sub(RATES["head_rate"]).abs().max() > 1e-4


def test_rates_are_learned_only_if_asked() -> None:
    assert not dual(config(learn_rates=False)).rates.log_rate.requires_grad
    step = dual(config())
    assert step.rates.log_rate.requires_grad
    assert set(step.rates.names) == {name for name, _ in step.regressor.named_parameters() if name.startswith("head.")}


def test_vacuity_says_how_far_weights_and_bodies_move() -> None:
    samples = batch(3)
    step = dual(config(subset="all"))
    found = step.vacuity(samples.observed)
    own = dict(step.regressor.named_parameters())
    for at in range(3):
        one = step.vacuity(samples.observed.rows(slice(at, at + 1)))
        torch.testing.assert_close(one.movement_mm[0], found.movement_mm[at])
    still = step.regressor(samples.observed.crop.double() / 255, _condition(samples.observed))
    after = step.adapted(samples.observed)
    moved = body(*after[:3]).joints_m - body(*still[:3]).joints_m
    torch.testing.assert_close(found.movement_mm, moved.detach().norm(dim=-1).mean(1) * 1000)
    _, steps, _ = step._adapt(samples.observed)
    adapted = multiplied_out(steps.weights)
    change = [torch.cat([(adapted[n][at] - own[n]).flatten() for n in own]).norm() for at in range(3)]
    whole = torch.cat([value.flatten() for value in own.values()]).norm()
    torch.testing.assert_close(found.weight_change, (torch.stack(change) / whole).detach())
    step.rates.log_rate.data -= 30
    assert step.vacuity(samples.observed).movement_mm.max() < 0.1


def test_no_graph_is_kept_without_gradients() -> None:
    step = dual(config(order="second"))
    samples = batch(2)
    with torch.no_grad():
        found = step(samples)
    assert not found.total.requires_grad
    torch.testing.assert_close(found.total, step(samples).total.detach(), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"auxiliary": "meta"}, "order='first' would train nothing"),
        ({"auxiliary": "both"}, "order='first' would train nothing"),
        ({"order": "third"}, "order is one of first, second"),
        ({"subset": "tail"}, "subset is one of"),
        ({"unit": "video"}, "unit is one of"),
        ({"auxiliary": "free"}, "auxiliary is one of"),
        ({"inner_steps": 0}, "inner_steps is at least 1"),
        ({"rank": 0}, "rank is at least 1"),
        ({"head_rate": 0.0}, "head_rate is a positive number"),
        ({"other_rate": -1.0}, "other_rate is a positive number"),
        ({"aux_weight": 0.0}, "aux_weight is a positive number"),
        ({"ema_decay": 1.0}, "ema_decay is a share"),
        ({"chunk": 0}, "chunk is at least 1"),
        ({"chunk": 2, "unit": "batch"}, "would cut"),
    ],
)
def test_contradictions_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DualConfig(**options)


@pytest.mark.parametrize(("auxiliary", "network"), [("none", Toy()), ("frozen", None)])
def test_a_missing_or_superfluous_auxiliary_network_is_refused(auxiliary: Any, network: Toy | None) -> None:
    with pytest.raises(UsageError, match="auxiliary network"):
        DualStep(Toy(), network, body=body, inner=inner, outer=outer, config=config(auxiliary=auxiliary))
