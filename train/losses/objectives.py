"""The losses of this package with their settings bound, in the form that meta-training and adaptation call."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from train.body import Body, Points
from train.data.batch import Observed, Truth
from train.losses.pseudo import unified
from train.losses.reprojection import reprojection
from train.losses.supervised import LossWeights, supervised
from train.losses.targets import known
from train.models.prediction import Prediction


@dataclass(frozen=True, slots=True)
class InnerLoss:
    """The objective of adaptation (B,). Without a pseudo body (prediction and points) only its 2D term is left."""

    weights: LossWeights

    def __call__(
        self, prediction: Prediction, points: Points, observed: Observed, pseudo: tuple[Prediction, Points] | None
    ) -> Tensor:
        if pseudo is None:
            return self.weights.keypoints * reprojection(prediction, points, observed)
        return unified(prediction, points, *pseudo, observed, self.weights)


@dataclass(frozen=True, slots=True)
class OuterLoss:
    """The distance (B,) to what the records know. body gives the vertices of `vertex_subset`, or none."""

    body: Body
    weights: LossWeights

    def __call__(self, prediction: Prediction, points: Points, truth: Truth, observed: Observed) -> Tensor:
        return supervised(prediction, points, known(truth, observed, self.body), observed, self.weights).total
