"""The inner step: a sample's own weights, one or a few gradient steps away from the network's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from train.meta.changes import Changed, Weights, descend, multiplied, whole
from train.meta.objectives import Body, points_of
from train.meta.stack import Stack
from train.models.prediction import Prediction

Loss = Callable[[Prediction], Tensor]
"""Losses (B,) of predictions, all else being given."""


class Steps(NamedTuple):
    """weights: adapted, (B, ...) each or not stacked where shared. losses: (B, steps) detached, before each step."""

    weights: Weights
    losses: Tensor


class Vacuity(NamedTuple):
    """How much an inner step does, if anything.

    weight_change: (B,) norm of the change of all adapted tensors together over their norm. movement_mm: (B,) mean
    movement of the joints relative to the pelvis. Below 0.1 mm nothing is being meta-learned.
    """

    weight_change: Tensor
    movement_mm: Tensor


def inner_steps(
    stack: Stack, loss: Loss, rates: Mapping[str, Tensor], *, steps: int, second_order: bool, is_shared: bool
) -> Steps:
    """Plain gradient steps from the network's own weights down `loss`.

    First order: gradients of the steps are constants, and the adapted weights depend on the network's own as on
    themselves (and on the rates); second order: everything is differentiable.
    is_shared: one set of weights, from the mean loss of the batch.
    """
    if not (second_order and torch.is_grad_enabled()):
        return _constant_steps(stack, loss, rates, steps, is_shared)
    weights = stack.own()
    losses = []
    for _ in range(steps):
        at = {
            name: value if value.requires_grad else value.detach().requires_grad_()
            for name, value in (weights if is_shared else stack.stacked(weights)).items()
        }
        found = loss(stack.run(at, is_shared=is_shared))
        gradients = _gradients(found, at, is_shared, create_graph=True)
        losses.append(found.detach())
        weights = {name: descend(value, gradients[name], rates[name]) for name, value in weights.items()}
    return Steps(weights, torch.stack(losses, dim=1))


def _constant_steps(stack: Stack, loss: Loss, rates: Mapping[str, Tensor], steps: int, is_shared: bool) -> Steps:
    """`inner_steps` in first order: the steps' gradients are added up and stay apart from the network's own tensors."""
    own = stack.own()
    runner = stack.constant()
    sums: dict[str, Tensor] = {}
    losses = []
    for _ in range(steps):
        now = {name: value.detach() for name, value in own.items()}
        if sums:
            now = whole({name: Changed(value, sums[name], rates[name].detach()) for name, value in now.items()})
        at = {name: value.requires_grad_() for name, value in (now if is_shared else stack.stacked(now)).items()}
        with torch.enable_grad():
            loss_now = loss(runner.run(at, is_shared=is_shared))
            gradients = _gradients(loss_now, at, is_shared, create_graph=False)
        losses.append(loss_now.detach())
        sums = {name: sums[name] + value if sums else value for name, value in gradients.items()}
    linear = frozenset[str]() if is_shared else stack.linear_names()
    changed = {name: Changed(value, sums[name], rates[name]) for name, value in own.items()}
    return Steps(
        {name: one if name in linear else multiplied(one) for name, one in changed.items()},
        torch.stack(losses, dim=1),
    )


def _gradients(losses: Tensor, at: Mapping[str, Tensor], is_shared: bool, *, create_graph: bool) -> dict[str, Tensor]:
    total = losses.mean() if is_shared else losses.sum()
    found = torch.autograd.grad(
        total, list(at.values()), create_graph=create_graph, allow_unused=True, materialize_grads=True
    )
    return dict(zip(at, found, strict=True))


@torch.no_grad()
def vacuity(stack: Stack, weights: Weights, body: Body, *, is_shared: bool) -> Vacuity:
    """What became of the network's weights and of its bodies."""
    size = stack.size
    own = stack.own()
    adapted = whole(weights)
    moved = [(adapted[name] - value).expand(size, *value.shape).flatten(1) for name, value in own.items()]
    change = torch.stack([value.square().sum(1) for value in moved]).sum(0)
    norm = torch.stack([value.square().sum() for value in own.values()]).sum()
    before = points_of(body, stack.plain()).joints_m
    after = points_of(body, stack.run(weights, is_shared=is_shared)).joints_m
    movement_mm = torch.linalg.vector_norm(after - before, dim=-1).mean(-1) * 1000
    return Vacuity(torch.sqrt(change / norm), movement_mm)
