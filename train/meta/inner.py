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
    """value - rate * gradient, of a tensor (...) or of each sample's (B, ...), along gradients (B, ...) or (...)."""
    axes = _memory_order(gradient)
    if value.ndim == gradient.ndim:
        start = value.permute(axes)
    else:
        start = value.permute([axis - 1 for axis in axes[1:]]).contiguous()
    found = torch.addcmul(start, gradient.permute(axes), rate, value=-1)
    return found.permute([axes.index(axis) for axis in range(len(axes))])


def _memory_order(stacked: Tensor) -> list[int]:
    """The first axis, then the others as they lie in memory. Mapped gradients of matrices lie transposed, and to pass
    over them in the order of their axes takes ten times as long."""
    return sorted(range(stacked.ndim), key=lambda axis: (axis > 0, -stacked.stride()[axis]))


class _ConstantGradient(torch.autograd.Function):
    """`_descend` along a gradient that is a constant, with as few passes over stacked tensors as there can be."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradient: Tensor, rate: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        ctx.is_unstacked = value.ndim < gradient.ndim
        return _descend(value, gradient, rate)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        (gradient,) = ctx.saved_tensors
        wants_value, _, wants_rate = ctx.needs_input_grad
        axes = _memory_order(gradient)
        ordered = above.permute(axes)
        to_value: Tensor | None = None
        to_rate: Tensor | None = None
        if wants_value and ctx.is_unstacked:
            to_value = ordered.sum(0).permute([axes.index(axis) - 1 for axis in range(1, len(axes))])
        elif wants_value:
            to_value = above
        if wants_rate:
            to_rate = torch.dot(ordered.flatten(), gradient.permute(axes).flatten()).neg()
        return to_value, None, to_rate


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
