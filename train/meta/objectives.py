"""The two losses of a dual network, as callables: what they may read is what they are handed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from train.body import Points
from train.data.batch import Observed, Truth
from train.models.prediction import Prediction

Body = Callable[[Tensor, Tensor, Tensor], Points]
"""Rotations, betas and expression to points, as `train.body.Body`."""


class Pseudo(NamedTuple):
    """The body that the auxiliary network sees: it stands in for the label in the inner loss."""

    prediction: Prediction
    points: Points


class Inner(Protocol):
    """The loss that a sample adapts to, (B,): known at test time too, for it is handed no label.

    pseudo: None where there is no auxiliary network. One sample's loss must not depend on another's numbers.
    """

    def __call__(self, prediction: Prediction, points: Points, observed: Observed, pseudo: Pseudo | None) -> Tensor: ...


class Outer(Protocol):
    """The supervised loss, (B,)."""

    def __call__(self, prediction: Prediction, points: Points, truth: Truth, observed: Observed) -> Tensor: ...


def exact(observed: Observed) -> torch.autocast:
    """Within it nothing is rounded for speed: millimetres do not survive the 8 bits of bfloat16, so that body and
    losses stand outside of mixed precision."""
    return torch.autocast(observed.crop.device.type, enabled=False)


def points_of(body: Body, prediction: Prediction) -> Points:
    """The points of predicted bodies."""
    return body(prediction.rotmat, prediction.betas, prediction.expression)
