"""The inner step: a sample's own weights, one or a few gradient steps away from the network's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from train.meta.objectives import Body, points_of
from train.meta.stack import Stack
from train.models.prediction import Prediction

Loss = Callable[[Prediction], Tensor]
"""Losses (B,) of predictions, all else being given."""


class Steps(NamedTuple):
    """weights: adapted, (B, ...) each or not stacked where shared. losses: (B, steps) detached, before each step."""

    weights: dict[str, Tensor]
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
    second_order = second_order and torch.is_grad_enabled()
    weights = stack.own()
    runner = stack if second_order else stack.constant()
    descend = _descend if second_order else _ConstantGradient.apply
    losses = []
    for _ in range(steps):
        with torch.enable_grad():
            at = {
                name: value if second_order and value.requires_grad else value.detach().requires_grad_()
                for name, value in (weights if is_shared else stack.stacked(weights)).items()
            }
            found = loss(runner.run(at, is_shared=is_shared))
            gradients = torch.autograd.grad(
                found.mean() if is_shared else found.sum(),
                list(at.values()),
                create_graph=second_order,
                allow_unused=True,
                materialize_grads=True,
            )
        losses.append(found.detach())
        weights = {
            name: descend(weights[name], gradient, rates[name])
            for name, gradient in zip(weights, gradients, strict=True)
        }
    return Steps(weights, torch.stack(losses, dim=1))


def _descend(value: Tensor, gradient: Tensor, rate: Tensor) -> Tensor:
    return torch.addcmul(value, gradient, rate, value=-1)


class _ConstantGradient(torch.autograd.Function):
    """`_descend` along a gradient that is a constant: value of a tensor (...) or of each sample's (B, ...), gradient
    (B, ...). One pass over the stacked tensors each way; the plain formula makes several copies of them, which took a
    fifth of a step on a processor."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradient: Tensor, rate: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        ctx.is_stacked = value.ndim == gradient.ndim
        return _descend(value, gradient, rate)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        (gradient,) = ctx.saved_tensors
        wants_value, _, wants_rate = ctx.needs_input_grad
        to_value = (above if ctx.is_stacked else above.sum(0)) if wants_value else None
        return to_value, None, -torch.dot(above.flatten(), gradient.flatten()) if wants_rate else None


@torch.no_grad()
def vacuity(stack: Stack, weights: Mapping[str, Tensor], body: Body, *, is_shared: bool) -> Vacuity:
    """What became of the network's weights and of its bodies."""
    size = stack.size
    own = stack.own()
    moved = [(weights[name] - value).expand(size, *value.shape).flatten(1) for name, value in own.items()]
    change = torch.stack([value.square().sum(1) for value in moved]).sum(0)
    norm = torch.stack([value.square().sum() for value in own.values()]).sum()
    before = points_of(body, stack.plain()).joints_m
    after = points_of(body, stack.run(weights, is_shared=is_shared)).joints_m
    movement_mm = torch.linalg.vector_norm(after - before, dim=-1).mean(-1) * 1000
    return Vacuity(torch.sqrt(change / norm), movement_mm)
