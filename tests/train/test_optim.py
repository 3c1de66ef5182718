"""The learning rate's curve, what decays, the mean of the weights, and what counts as an exploding loss."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from train.config import OptimConfig
from train.guard import Guard
from train.optim import Ema, learning_rate, make_optimiser, optimiser_state, restore_optimiser, set_learning_rate


def test_the_rate_rises_linearly_and_falls_along_half_a_cosine() -> None:
    config = OptimConfig(lr=1.0, min_lr=0.2, warmup=4)
    rates = [learning_rate(config, done, 15) for done in range(15)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert rates[9] == pytest.approx(0.6)  # half of the way down
    assert rates[-1] == pytest.approx(0.2)
    assert rates[7] == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi * 0.3)) / 2)
    assert all(one >= other for one, other in pairwise(rates[4:]))
    assert learning_rate(OptimConfig(lr=1.0), 0, 1) == 1.0


def test_only_matrices_decay_and_frozen_weights_do_not_move() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 1))
    network[2].requires_grad_(False)
    groups = make_optimiser(network, OptimConfig(weight_decay=0.1)).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.1), (3, 0.0)]


def test_inner_rates_follow_the_same_curve_from_a_rate_of_their_own() -> None:
    class Dual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.regressor, self.rates = nn.Linear(2, 2), nn.Module()
            self.rates.log_rate = nn.Parameter(torch.zeros(3))

    optimiser = make_optimiser(Dual(), OptimConfig(lr=1e-3, inner_rates_lr=0.05))
    for rate in (1e-3, 4e-4):
        set_learning_rate(optimiser, rate)
        found = [group["lr"] for group in optimiser.param_groups]
        assert found == pytest.approx([rate, rate, 50 * rate])


def test_the_mean_of_the_weights_is_the_stated_one() -> None:
    network = nn.Linear(1, 1, bias=False)
    ema, expected = Ema(network, decay=0.9), float(network.weight.detach())
    for done in range(1, 200):
        with torch.no_grad():
            network.weight.fill_(float(done))
        ema.update(network, done)
        decay = min(0.9, (1 + done) / (10 + done))
        expected = decay * expected + (1 - decay) * done
    assert float(ema.tensors["weight"]) == pytest.approx(expected, rel=1e-5)


def test_an_optimiser_is_the_same_after_it_was_put_away() -> None:
    def updated(network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad()
        network(torch.ones(1, 3)).sum().square().backward()
        optimiser.step()

    torch.manual_seed(0)
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    first = make_optimiser(one, OptimConfig())
    updated(one, first)
    other.load_state_dict(one.state_dict())
    second = make_optimiser(other, OptimConfig())
    restore_optimiser(other, second, {name: value.clone() for name, value in optimiser_state(one, first).items()})
    for network, optimiser in ((one, first), (other, second)):
        updated(network, optimiser)
    assert torch.equal(one.weight, other.weight)
    assert optimiser_state(one, first).keys() == {
        f"{p}/{s}" for p in ("weight", "bias") for s in ("step", "exp_avg", "exp_avg_sq")
    }


def test_a_loss_is_compared_with_what_was_usual() -> None:
    guard = Guard(10.0)
    assert [guard.objection(1.0 + i / 100, 1.0) for i in range(20)] == [None] * 20
    assert guard.objection(10.9, 1.0) is None
    assert guard.objection(11.2, 1.0) == "expected at most 10 times the usual loss of 1.1, found 11.2"
    assert "finite loss, found inf" in str(guard.objection(math.inf, 1.0))
    assert "finite gradient, found norm nan" in str(guard.objection(1.0, math.nan))
    assert guard.objection(1.0, None) is None  # loss scaling finds its own infinities
    assert len(guard.losses) == 22
    assert Guard(10.0, guard.losses).objection(11.2, 1.0) is not None
    assert Guard(None, guard.losses).objection(1e9, 1.0) is None
    assert Guard(10.0).objection(1e9, 1.0) is None  # nothing is usual yet
