"""Which tensors of a network adapt, at what rates, and which networks cannot be adapted."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from harmonize.errors import UsageError
from train.meta.config import Subset
from train.steps import Regressor

_LOW_RANK = ("low_rank_in", "low_rank_out")
_ATTENTION = (".attn.qkv", ".attn.proj")
_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class LowRankLinear(nn.Linear):
    """A linear layer plus a product of two thin matrices (LoRA: Hu et al., ICLR 2022, arXiv 2106.09685, scale 1).

    Takes over the tensors of `linear` under their own names. `low_rank_out` (out, rank) starts at zero, so that at
    first nothing changes; `low_rank_in` (rank, in) is drawn from `generator`.
    """

    def __init__(self, linear: nn.Linear, rank: int, generator: torch.Generator) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        like = linear.weight
        drawn = torch.randn(rank, linear.in_features, generator=generator) / math.sqrt(linear.in_features)
        self.low_rank_in = nn.Parameter(drawn.to(like))
        self.low_rank_out = nn.Parameter(like.new_zeros(linear.out_features, rank))

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + functional.linear(functional.linear(input, self.low_rank_in), self.low_rank_out)


def add_low_rank(regressor: Regressor, rank: int, *, seed: int = 0) -> None:
    """Gives the query-key-value and output layers of the encoder's attention low-rank tensors; once only.

    Before an optimiser is made of the network's parameters, and before weights trained with them are loaded.

    Raises:
        UsageError: the encoder has no such layers, or has low-rank tensors of another rank.
    """
    head = tuple(regressor.head_names)
    found = [
        (name, module)
        for name, module in regressor.named_modules()
        if isinstance(module, nn.Linear) and name.endswith(_ATTENTION) and not name.startswith(head)
    ]
    if not found:
        raise UsageError(
            f"{type(regressor).__name__} has no attention layers named {' or '.join(_ATTENTION)} outside its head, "
            "where low-rank tensors would go",
            fix="set subset='head' or 'head+norm'",
        )
    generator = torch.Generator().manual_seed(seed)
    for name, module in found:
        if isinstance(module, LowRankLinear):
            if len(module.low_rank_in) != rank:
                raise UsageError(f"{name} has low-rank tensors of rank {len(module.low_rank_in)}; asked for {rank}")
            continue
        parent, _, own = name.rpartition(".")
        setattr(regressor.get_submodule(parent), own, LowRankLinear(module, rank, generator))


def adapted_names(regressor: Regressor, subset: Subset) -> tuple[str, ...]:
    """Names of the parameters that adapt: "head" those under `Regressor.head_names`, "head+lora" also the low-rank
    tensors (`add_low_rank`), "head+norm" also the encoder's normalisation, "all" every parameter.

    Raises:
        UsageError: the network cannot be adapted, or has no tensors of the kind.
    """
    check_adaptable(regressor)
    names = [name for name, _ in regressor.named_parameters()]
    head = [name for name in names if name.startswith(tuple(regressor.head_names))]
    if not head:
        raise UsageError(f"no parameter of {type(regressor).__name__} is under its head, {regressor.head_names}")
    if subset == "all":
        return tuple(names)
    norms = {
        f"{module}.{tensor}"
        for module, layer in regressor.named_modules()
        if isinstance(layer, _NORMS)
        for tensor, _ in layer.named_parameters(recurse=False)
    }
    kind = {
        "head": set(),
        "head+lora": {name for name in names if name.endswith(_LOW_RANK)},
        "head+norm": norms,
    }[subset]
    chosen = kind - set(head)
    if subset != "head" and not chosen:
        fix = "call add_low_rank first" if subset == "head+lora" else "set subset='head'"
        raise UsageError(f"{type(regressor).__name__} has no tensors of {subset!r} outside its head", fix=fix)
    return tuple(name for name in names if name in chosen or name in head)


def check_adaptable(regressor: nn.Module) -> None:
    """Refuses what would make a sample's adapted weights depend on its neighbours or on chance.

    Raises:
        UsageError: the network has batch normalisation, dropout or drop path; the message names the layer.
    """
    for name, module in regressor.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            what = "normalises by the batch, so that a sample's adapted weights would depend on its neighbours"
        elif _drop_share(module) > 0:
            what = "drops at random, so that the losses before and after adaptation would not be of one network"
        else:
            continue
        raise UsageError(
            f"{name} ({type(module).__name__}) {what}; a network that adapts has neither",
            fix="use a network with layer normalisation and with dropout and drop path of 0, such as `tokens`",
        )


def _drop_share(module: nn.Module) -> float:
    """Probability with which a layer drops something; 0 for a layer that never does."""
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return float(module.p)
    if isinstance(module, nn.MultiheadAttention):
        return float(module.dropout)
    share = getattr(module, "drop_prob", None)  # drop path as timm and others write it
    return float(share) if isinstance(share, int | float) else 0.0


class Rates(nn.Module):
    """Inner learning rates, one for each adapted tensor, as logarithms so that they stay positive.

    names: the adapted tensors. log_rate: (len(names),) one vector parameter, in the order of names; sharded training
    takes no scalar parameters.
    """

    def __init__(self, names: tuple[str, ...], start: Tensor) -> None:
        super().__init__()
        self.names = names
        self.log_rate = nn.Parameter(start.log())

    @classmethod
    def of(cls, regressor: Regressor, subset: Subset, *, head_rate: float = 1e-4, other_rate: float = 1e-3) -> Self:
        """Starting rates of the tensors of a subset: `head_rate` in the head, `other_rate` elsewhere."""
        names = adapted_names(regressor, subset)
        head = tuple(regressor.head_names)
        like = next(regressor.parameters())
        return cls(names, like.new_tensor([head_rate if name.startswith(head) else other_rate for name in names]))

    def forward(self) -> dict[str, Tensor]:
        """Rate (scalar tensor) of each name."""
        return dict(zip(self.names, self.log_rate.exp().unbind(), strict=True))
