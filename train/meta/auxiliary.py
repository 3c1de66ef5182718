"""The auxiliary network: it is not adapted, and the body it sees stands in for the label that adaptation lacks."""

from __future__ import annotations

import contextlib
from typing import Self

import torch
from torch import nn

from harmonize.errors import UsageError
from train.body import Points
from train.data.batch import Observed
from train.meta.config import AuxiliaryUpdate
from train.meta.objectives import Body, Pseudo, exact, points_of
from train.meta.stack import seen
from train.models.prediction import Prediction
from train.plain_step import full_precision
from train.steps import Regressor


class Auxiliary(nn.Module):
    """A regressor that gives pseudo bodies; always in evaluation mode. update: how it learns (`DualConfig.auxiliary`).

    Parameters that get no gradient do not ask for one, so that neither an optimiser nor a reducer waits for them.
    """

    def __init__(self, network: Regressor, update: AuxiliaryUpdate) -> None:
        super().__init__()
        self.network = network
        self.is_trained = update in ("supervised", "meta", "both")
        self.network.requires_grad_(self.is_trained)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode."""
        return super().train(False)

    def forward(self, observed: Observed, body: Body) -> Pseudo:
        with contextlib.nullcontext() if self.is_trained else torch.no_grad():
            return pseudo_body(self.network, observed, body)

    @torch.no_grad()
    def follow(self, main: Regressor, decay: float) -> None:
        """Moves towards the main network: each tensor becomes decay * itself + (1 - decay) * the main one's.

        Raises:
            UsageError: the two networks have not the same tensors.
        """
        theirs, own = main.state_dict(), self.network.state_dict()
        if theirs.keys() != own.keys():
            odd = sorted(theirs.keys() ^ own.keys())
            raise UsageError(f"an 'ema' auxiliary network is of the main network's kind; only one of them has {odd[0]}")
        for name, value in own.items():
            value.lerp_(theirs[name], 1 - decay) if value.is_floating_point() else value.copy_(theirs[name])


def pseudo_body(network: Regressor, observed: Observed, body: Body) -> Pseudo:
    """The body that a network sees."""
    prediction = full_precision(network(*seen(network, observed)))
    with exact(observed):
        return Pseudo(prediction, points_of(body, prediction))


def constant(pseudo: Pseudo) -> Pseudo:
    """The same without a gradient."""
    prediction = Prediction(*(value.detach() for value in pseudo.prediction))
    return Pseudo(prediction, Points(*(value.detach() for value in pseudo.points)))
