"""The plain step: what the loop gets from it, alone and with pseudo labels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from loss_people import HEIGHT, WIDTH, points_of, predictions, recorded, seen
from torch import Tensor, nn

from harmonize.bodies import BodyModels
from train.body import Body
from train.data.batch import Batch
from train.losses.pseudo import unified
from train.losses.supervised import SMPLER_X, UNIFIED, LossWeights, supervised
from train.losses.targets import known
from train.losses.vertex_subset import vertex_subset
from train.models.prediction import NUM_NUMBERS, Prediction, from_numbers, mean_numbers
from train.plain_step import PlainStep
from train.steps import Regressor, predict


class Small(Regressor):
    """Eight numbers of the crop and the camera, and a linear head."""

    size_px = (HEIGHT, WIDTH)
    head_names = ("head",)

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.body = nn.Linear(3 * 12 + 3, 8)
        self.head = nn.Linear(8, NUM_NUMBERS)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.05, generator=generator)
        self.register_buffer("mean", mean_numbers())

    def encode(self, crop: Tensor, condition: Tensor) -> Tensor:
        coarse = nn.functional.avg_pool2d(crop, 64).flatten(1)
        return torch.tanh(self.body(torch.cat([coarse, condition], dim=1)))[:, None]

    def decode(self, tokens: Tensor, condition: Tensor) -> Prediction:
        return from_numbers(self.mean + self.head(tokens[:, 0]))


@pytest.fixture(scope="module")
def body(standin: BodyModels) -> Body:
    return Body(standin, vertex_subset(standin))


@pytest.fixture(scope="module")
def batch(body: Body) -> Batch:
    people = Prediction(*(part.float() for part in predictions(4)))
    points = points_of(body, people)
    observed = seen(people, points)
    truth = recorded(people, points, observed)
    has_betas = torch.tensor([True, False, True, False])
    truth = replace(truth, betas=torch.where(has_betas[:, None], truth.betas, torch.nan), has_betas=has_betas)
    tiles = torch.randint(0, 256, (4, 3, 4, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    crop = tiles.repeat_interleave(64, dim=2).repeat_interleave(64, dim=3)
    observed = replace(observed, crop=crop)

    def single(value: Tensor) -> Tensor:
        return value.float() if value.is_floating_point() else value

    return Batch(
        observed=observed._each(single),
        truth=truth._each(single),
        keys=("a", "b", "c", "d"),
        sources=(("x", "train"),) * 4,
    )


@pytest.mark.parametrize("weights", [UNIFIED, SMPLER_X])
def test_total_is_the_mean_over_samples_and_the_sum_of_parts(body: Body, batch: Batch, weights: LossWeights) -> None:
    step = PlainStep(Small(0), body, weights)
    loss = step(batch)
    prediction = predict(step.regressor, batch.observed)
    target = known(batch.truth, batch.observed, body)
    expected = supervised(prediction, points_of(body, prediction), target, batch.observed, weights)
    assert torch.equal(loss.per_sample, expected.total.detach())
    assert loss.total.requires_grad
    assert not loss.per_sample.requires_grad
    assert torch.allclose(loss.total, loss.per_sample.mean())
    assert torch.allclose(torch.stack(list(loss.parts.values())).sum(), loss.total)
    assert not any(part.requires_grad for part in loss.parts.values())
    loss.total.backward()
    for name, parameter in step.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name


@pytest.mark.parametrize("cut", [1, 2])
def test_a_batch_may_be_cut(body: Body, batch: Batch, cut: int) -> None:
    step = PlainStep(Small(0), body, UNIFIED)
    step(batch).total.backward()
    whole = [parameter.grad.clone() for parameter in step.parameters() if parameter.grad is not None]
    step.zero_grad()
    for part in (batch.rows(slice(0, cut)), batch.rows(slice(cut, 4))):
        (step(part).total * len(part.keys) / 4).backward()
    for parameter, expected in zip(step.parameters(), whole, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("weights", [UNIFIED, SMPLER_X])
def test_training_on_it_finds_the_people(body: Body, batch: Batch, weights: LossWeights) -> None:
    step = PlainStep(Small(0), body, weights)
    optimiser = torch.optim.Adam(step.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = step(batch)
        loss.total.backward()
        optimiser.step()
        losses.append(loss.total.item())
    assert losses[-1] < 0.2 * losses[0]


def test_pseudo_labels_add_the_objective_of_adaptation(body: Body, batch: Batch) -> None:
    auxiliary = Small(1)
    step = PlainStep(Small(0), body, UNIFIED, pseudo_labels=auxiliary)
    before = [parameter.clone() for parameter in auxiliary.parameters()]
    loss = step(batch)
    prediction, pseudo = predict(step.regressor, batch.observed), predict(auxiliary, batch.observed)
    expected = unified(
        prediction, points_of(body, prediction), pseudo, points_of(body, pseudo), batch.observed, UNIFIED
    )
    plain = PlainStep(step.regressor, body, UNIFIED)(batch)
    assert torch.allclose(loss.parts["pseudo"], expected.mean())
    assert torch.allclose(loss.per_sample, plain.per_sample + expected)
    assert expected.min() > 0
    loss.total.backward()
    optimiser = torch.optim.SGD(step.parameters(), lr=0.1, weight_decay=0.1)
    optimiser.step()
    for parameter, value in zip(auxiliary.parameters(), before, strict=True):
        assert not parameter.requires_grad
        assert torch.equal(parameter, value)


def test_a_label_that_is_wrong_does_not_move_pseudo_labels(body: Body, batch: Batch) -> None:
    step = PlainStep(Small(0), body, UNIFIED, pseudo_labels=Small(1))
    broken = replace(batch.truth, rotmat=batch.truth.rotmat.transpose(2, 3), joints_m=-batch.truth.joints_m.abs())
    one, other = step(batch), step(replace(batch, truth=broken))
    assert torch.equal(one.parts["pseudo"], other.parts["pseudo"])
    assert one.parts["body_pose"] != other.parts["body_pose"]


def test_bodies_keep_full_precision_under_mixed_precision(body: Body, batch: Batch) -> None:
    class Fixed(Small):
        def decode(self, tokens: Tensor, condition: Tensor) -> Prediction:
            return from_numbers(self.mean.repeat(len(tokens), 1))

    step = PlainStep(Fixed(0), body, UNIFIED)
    plain = step(batch)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = step(batch)
    assert mixed.total.dtype == torch.float32
    assert torch.equal(mixed.per_sample, plain.per_sample)
    with torch.autocast("cpu", torch.bfloat16):
        rough = points_of(body, step.regressor(batch.observed.crop.float(), torch.zeros(4, 3)))
    assert (
        rough.joints_m.float() - points_of(body, predict(step.regressor, batch.observed)).joints_m
    ).abs().max() > 1e-4
