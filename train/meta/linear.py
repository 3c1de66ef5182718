"""Linear layers whose weights differ from sample to sample by gradient steps that are never added to them.

x (W - r G)^T = x W^T - r x G^T: the first product is one for the whole batch, forward and backward, where W - r G is
one matrix for each sample. Multiplied out, such matrices and their gradients are most of what an inner step costs.

B batch, T rows of a sample (tokens), I and O numbers that go in and come out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from train.meta.changes import Changed


class ChangedLinear(TorchFunctionMode):
    """Within it every linear layer that is handed the own weight of a `Changed` works as with the changed one, and any
    other function is handed the changed one. For a function mapped over samples."""

    def __init__(self, changed: Iterable[Changed]) -> None:
        super().__init__()
        self.changed = {id(one.own): one for one in changed}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is functional.linear and not kwargs:
            x, weight, *bias = args
            one = self.changed.get(id(weight))
            if one is not None:
                return functional.linear(x, weight, *bias) - one.rate * functional.linear(x, one.gradient)
        if any(id(value) in self.changed for value in args):
            args = tuple(_multiplied(self.changed[id(value)]) if id(value) in self.changed else value for value in args)
        return func(*args, **(kwargs or {}))


def _multiplied(one: Changed) -> Tensor:
    return one.own - one.rate * one.gradient
