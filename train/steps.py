"""What the training loop runs: a module whose forward takes a batch and returns its loss.

The loop (and the wrapper for several processes) sees nothing else: plain supervised training is one such module,
meta-training with dual networks another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from train.camera import crop_condition
from train.data.batch import Batch, Observed
from train.models.prediction import Prediction


class StepLoss(NamedTuple):
    """total: scalar to be minimised, the mean over the batch. parts: detached scalars by name, for the log.

    per_sample: (B,) detached, each sample's part of the total, so that an exploding loss can be blamed."""

    total: Tensor
    parts: Mapping[str, Tensor]
    per_sample: Tensor


class Step(Protocol):
    """A training step; an `nn.Module` in fact. `regressor`: the network that is trained for use."""

    regressor: nn.Module

    def __call__(self, batch: Batch) -> StepLoss: ...


class Regressor(nn.Module):
    """The contract of every network in `train.models`.

    size_px: height and width of the crop it takes. `encode` is what may be computed once and kept while a head adapts;
    `decode` depends on parameters of `head_names` only (prefixes of parameter names). Neither has batch statistics,
    dropout, or any other dependence between samples or on chance.
    """

    size_px: tuple[int, int]
    head_names: tuple[str, ...]

    def encode(self, crop: Tensor, condition: Tensor) -> Tensor:
        """Tokens (B, N, D) of crops (B, 3, height, width), float in [0, 1], and `crop_condition` (B, 3)."""
        raise NotImplementedError

    def decode(self, tokens: Tensor, condition: Tensor) -> Prediction:
        """The body that tokens say."""
        raise NotImplementedError

    def forward(self, crop: Tensor, condition: Tensor) -> Prediction:
        return self.decode(self.encode(crop, condition), condition)


def predict(regressor: Regressor, observed: Observed) -> Prediction:
    """The network's answer to what is observed."""
    found: Prediction = regressor(observed.crop.float() / 255, crop_condition(observed.to_crop, regressor.size_px))
    return found
