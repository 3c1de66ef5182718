"""Weights that are changed without being multiplied out: whatever function takes them sees the changed ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from train.meta.changes import Changed
from train.meta.linear import ChangedLinear

USES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "a linear layer": functional.linear,
    "a linear layer by name": lambda x, weight: functional.linear(x, weight=weight),
    "a product": lambda x, weight: x @ weight.T,
    "a list": lambda x, weight: functional.linear(x, torch.cat([weight, weight])),
    "a method": lambda x, weight: functional.linear(x, weight.double()),
    "a keyword": lambda x, weight: torch.einsum("bi,oi->bo", x, torch.mul(input=weight, other=2)),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_every_use_of_a_weight_is_one_of_the_changed_weight(use: Callable[[Tensor, Tensor], Tensor]) -> None:
    drawn = torch.Generator().manual_seed(0)
    x, own, gradient = (torch.randn(3, 4, dtype=torch.float64, generator=drawn) for _ in range(3))
    rate = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    own.requires_grad_()
    with ChangedLinear([Changed(own, gradient, rate)]):
        found = use(x, own)
    expected = use(x, own - rate * gradient)
    assert torch.allclose(found, expected, rtol=1e-12)
    assert not torch.allclose(found, use(x, own))
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), [own, rate]),
        torch.autograd.grad(expected.square().sum(), [own, rate]),
        strict=True,
    ):
        assert torch.allclose(one, other, rtol=1e-10)
