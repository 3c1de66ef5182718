"""What changes weights: Adam, its learning rate at each update, and the running mean of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import chain

import torch
from torch import Tensor, nn

from train.config import OptimConfig
from train.distributed import placed_like

INNER_RATES = "rates.log_rate"
"""How the name of dual networks' learned inner rates ends."""

_FACTOR = "factor"


def make_optimiser(step: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over the parameters that ask for a gradient; decay for tensors with two or more axes alone."""
    wanted = {name: parameter for name, parameter in step.named_parameters() if parameter.requires_grad}
    inner = [one for name, one in wanted.items() if name.endswith(INNER_RATES)]
    weights = [one for name, one in wanted.items() if not name.endswith(INNER_RATES)]
    groups = [
        {"params": [one for one in weights if one.ndim >= 2], "weight_decay": config.weight_decay, _FACTOR: 1.0},
        {"params": [one for one in weights if one.ndim < 2], "weight_decay": 0.0, _FACTOR: 1.0},
        {"params": inner, "weight_decay": 0.0, _FACTOR: config.inner_rates_lr / config.lr},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=config.lr, betas=config.betas)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """The weights' rate of the next update; inner rates keep their proportion to it."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group[_FACTOR]


def learning_rate(config: OptimConfig, done: int, total: int) -> float:
    """The rate of the update after `done` of `total` ones."""
    if done < config.warmup:
        return config.lr * (done + 1) / config.warmup
    share = (done - config.warmup) / max(1, total - 1 - config.warmup)
    return config.min_lr + (config.lr - config.min_lr) * (1 + math.cos(math.pi * min(1.0, share))) / 2


class Ema:
    """The running mean of a network's tensors: mean <- decay * mean + (1 - decay) * now.

    The decay starts small and reaches its value after about 10 / (1 - decay) updates, so that the first, random weights
    do not stay. tensors: parameters and buffers of the state dict by name; whatever is no float is the last value.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors: dict[str, Tensor] = {name: value.detach().clone() for name, value in _state(network)}

    @torch.no_grad()
    def update(self, network: nn.Module, done: int) -> None:
        """Take in the weights after `done` updates."""
        decay = min(self.decay, (1 + done) / (10 + done))
        for name, value in _state(network):
            mean = self.tensors[name]
            mean.lerp_(value.detach(), 1 - decay) if mean.is_floating_point() else mean.copy_(value)


def _state(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    kept = network.state_dict().keys()
    named: Iterator[tuple[str, Tensor]] = chain(network.named_parameters(), network.named_buffers())
    return ((name, value) for name, value in named if name in kept)


def optimiser_state(step: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's tensors by "parameter name/slot"; those of parameters that were never updated are missing."""
    return {
        f"{name}/{slot}": value
        for name, parameter in step.named_parameters()
        for slot, value in optimiser.state.get(parameter, {}).items()
    }


def restore_optimiser(step: nn.Module, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimiser_state` gave, made `whole`."""
    parameters = dict(step.named_parameters())
    for key, value in tensors.items():
        name, _, slot = key.rpartition("/")
        parameter = parameters[name]
        optimiser.state[parameter][slot] = placed_like(value, parameter) if value.ndim else value
