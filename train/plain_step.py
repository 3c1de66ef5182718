"""Plain training: one prediction, compared with the record, and if wanted with another network's body too."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.body import Body
from train.camera import crop_condition
from train.data.batch import Batch
from train.losses.pseudo import unified
from train.losses.regions import region_terms
from train.losses.supervised import LossWeights, Terms, supervised
from train.losses.targets import known
from train.models.prediction import Prediction
from train.models.smpler_x import SmplerX, SmplerXExtra
from train.steps import Regressor, StepLoss, predict


class PlainStep(nn.Module):
    """Supervised training of one network (`train.steps.Step`).

    body gives the vertices of `train.losses.vertex_subset`, or none. A SMPLer-X is taught its heatmaps and boxes too
    (`train.losses.regions`). With `pseudo_labels`, a frozen network of the same
    crop size, the loss of a sample is the sum of the distance to its record and of the objective of adaptation
    (`train.losses.pseudo.unified`): the control that sees all that dual networks see, but does not adapt.
    """

    def __init__(
        self, regressor: Regressor, body: Body, weights: LossWeights, pseudo_labels: Regressor | None = None
    ) -> None:
        super().__init__()
        self.regressor, self.body, self.weights = regressor, body, weights
        self.pseudo_labels = pseudo_labels if pseudo_labels is None else pseudo_labels.requires_grad_(False)

    def forward(self, batch: Batch) -> StepLoss:
        observed = batch.observed
        regions = self.regressor if isinstance(self.regressor, SmplerX) else None
        if regions is None:
            prediction = predict(self.regressor, observed)
        else:
            crop, condition = observed.crop.float() / 255, crop_condition(observed.to_crop, regions.size_px)
            prediction, extra = regions.forward_full(crop, condition)
        # Millimetres do not survive the 8 bits of bfloat16: body and losses are computed outside of mixed precision.
        with torch.autocast(observed.crop.device.type, enabled=False):
            prediction = full_precision(prediction)
            points = self.body(prediction.rotmat, prediction.betas, prediction.expression)
            target = known(batch.truth, observed, self.body)
            terms = supervised(prediction, points, target, observed, self.weights)
            if regions is not None:
                extra = SmplerXExtra(*(at_least_single(part) for part in extra))
                terms = terms.plus(region_terms(extra, batch.truth, observed, regions.config.vit.patch_px))
        if self.pseudo_labels is not None:
            with torch.no_grad():
                pseudo = predict(self.pseudo_labels, observed)
            with torch.autocast(observed.crop.device.type, enabled=False):
                pseudo = full_precision(pseudo)
                pseudo_points = self.body(pseudo.rotmat, pseudo.betas, pseudo.expression)
                terms = terms.plus(
                    {"pseudo": unified(prediction, points, pseudo, pseudo_points, observed, self.weights)}
                )
        return step_loss(terms)


def full_precision(prediction: Prediction) -> Prediction:
    """A prediction in float32 where mixed precision made it less; float64 stays."""
    return Prediction(*(at_least_single(part) for part in prediction))


def at_least_single(value: Tensor) -> Tensor:
    """The same in float32 where it has fewer bits."""
    return value.to(torch.promote_types(value.dtype, torch.float32))


def step_loss(terms: Terms) -> StepLoss:
    """Means over the batch. Each sample weighs the same, whatever is known of it."""
    parts: dict[str, Tensor] = {name: value.detach().mean() for name, value in terms.per_sample.items()}
    return StepLoss(total=terms.total.mean(), parts=parts, per_sample=terms.total.detach())
