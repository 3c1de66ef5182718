"""Weights after gradient steps: a tensor of the network's and, for each sample, what was taken off it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Changed(NamedTuple):
    """own - rate * gradient, not multiplied out.

    own: (...) the network's tensor. gradient: (B, ...), or (...) where shared: a constant, the sum over all steps.
    rate: scalar.
    """

    own: Tensor
    gradient: Tensor
    rate: Tensor


Weights = Mapping[str, Tensor | Changed]
"""Weights by name, (B, ...) each or not stacked."""


def whole(weights: Weights) -> dict[str, Tensor]:
    """The same multiplied out."""
    return {name: multiplied(value) if isinstance(value, Changed) else value for name, value in weights.items()}


def multiplied(one: Changed) -> Tensor:
    """own - rate * gradient."""
    return ConstantGradient.apply(*one)  # type: ignore[no-untyped-call,no-any-return]


def descend(value: Tensor, gradient: Tensor, rate: Tensor) -> Tensor:
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


class ConstantGradient(torch.autograd.Function):
    """`descend` along a gradient that is a constant, with as few passes over stacked tensors as there can be."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradient: Tensor, rate: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        ctx.is_unstacked = value.ndim < gradient.ndim
        return descend(value, gradient, rate)

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
