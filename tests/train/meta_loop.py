"""The dual step said once more in the plainest way: one sample after the other, every tensor by name, no mapping."""

from __future__ import annotations

import torch
from meta_toys import body, inner, outer
from torch import Tensor
from torch.func import functional_call

from train.camera import crop_condition
from train.data.batch import Batch, Observed
from train.meta.objectives import Pseudo
from train.meta.step import DualStep
from train.models.prediction import Prediction
from train.steps import Regressor


def says(regressor: Regressor, weights: dict[str, Tensor], observed: Observed) -> Prediction:
    """The network's answer with some of its tensors replaced."""

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.regressor = regressor

        def forward(self) -> Prediction:
            condition = crop_condition(observed.to_crop, regressor.size_px)
            return regressor(observed.crop.double() / 255, condition)

    return functional_call(Whole(), {f"regressor.{name}": value for name, value in weights.items()}, ())


def loop_total(step: DualStep, batch: Batch) -> Tensor:
    """The total of `step(batch)`."""
    config = step.config
    totals = []
    for at in range(len(batch.keys)):
        one = batch.rows(slice(at, at + 1))
        pseudo = None
        if step.auxiliary is not None:
            seen = says(step.auxiliary.network, {}, one.observed)
            pseudo = Pseudo(seen, body(*seen[:3]))
        taught = pseudo
        if pseudo is not None and config.auxiliary not in ("meta", "both"):
            taught = Pseudo(
                Prediction(*(x.detach() for x in pseudo[0])), type(pseudo[1])(*(x.detach() for x in pseudo[1]))
            )
        parameters = dict(step.regressor.named_parameters())
        weights = {name: parameters[name] for name in step.rates.names}
        rates = step.rates()
        for _ in range(config.inner_steps):
            found = says(step.regressor, weights, one.observed)
            loss = inner(found, body(*found[:3]), one.observed, taught).sum()
            gradients = torch.autograd.grad(
                loss, list(weights.values()), create_graph=True, allow_unused=True, materialize_grads=True
            )
            if config.order == "first":
                gradients = tuple(gradient.detach() for gradient in gradients)
            weights = {
                name: value - rates[name] * gradient
                for (name, value), gradient in zip(weights.items(), gradients, strict=True)
            }
        found = says(step.regressor, weights, one.observed)
        total = outer(found, body(*found[:3]), one.truth, one.observed).sum()
        if pseudo is not None and config.auxiliary in ("supervised", "both"):
            total = total + config.aux_weight * outer(*pseudo, one.truth, one.observed).sum()
        totals.append(total)
    return torch.stack(totals).mean()
