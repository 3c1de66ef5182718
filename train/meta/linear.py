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
        return func(*self._multiplied(args), **self._multiplied(kwargs or {}))

    def _multiplied(self, value: Any) -> Any:
        """The same with changed weights in the places of own ones, also in lists such as that of `torch.cat`."""
        if isinstance(value, Tensor):
            one = self.changed.get(id(value))
            return value if one is None else one.own - one.rate * one.gradient
        if type(value) in (tuple, list):
            return type(value)(self._multiplied(item) for item in value)
        if type(value) is dict:
            return {name: self._multiplied(item) for name, item in value.items()}
        return value
