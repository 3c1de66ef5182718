"""A network run with weights of each sample's own: `vmap` over the network's forward alone.

Everything after the network, body model and losses, is ordinary batched code, and the gradient of the summed loss with
respect to the stacked weights is each sample's own gradient, because samples are independent. Mapping the gradient
instead (`vmap(grad(loss))`) gives wrong second-order gradients upstream of a LayerNorm whose weight adapts
(torch 2.13.0: 4e-2 of the gradient in a minimal case).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from train.camera import crop_condition
from train.data.batch import Observed
from train.meta.changes import Changed, Weights, whole
from train.meta.linear import ChangedLinear
from train.models.prediction import Prediction
from train.plain_step import full_precision
from train.steps import Regressor


class _Whole(nn.Module):
    """A regressor as a function of crop and condition."""

    def __init__(self, regressor: Regressor) -> None:
        super().__init__()
        self.regressor = regressor

    def forward(self, crop: Tensor, condition: Tensor) -> Prediction:
        return self.regressor.decode(self.regressor.encode(crop, condition), condition)


class _Head(_Whole):
    """A regressor's head as a function of tokens and condition."""

    def forward(self, tokens: Tensor, condition: Tensor) -> Prediction:
        return self.regressor.decode(tokens, condition)


def seen(regressor: Regressor, observed: Observed) -> tuple[Tensor, Tensor]:
    """Crop and condition as a regressor takes them, of the precision of `Observed.to_crop`."""
    condition = crop_condition(observed.to_crop, regressor.size_px)
    return observed.crop.to(condition.dtype) / 255, condition


@dataclass(frozen=True)
class Stack:
    """A network and the batch it looks at; only the tensors `names` of it may differ from sample to sample.

    inputs: of what is run again and again: tokens and condition where only the head adapts, so that the backbone is run
    once, else crop and condition. constants: the other parameters as constants, or none to use the network's own.
    """

    part: _Whole
    names: tuple[str, ...]
    inputs: tuple[Tensor, Tensor]
    constants: Mapping[str, Tensor]

    @classmethod
    def of(cls, regressor: Regressor, names: tuple[str, ...], observed: Observed) -> Stack:
        """The network before a batch, with what need not be repeated computed."""
        crop, condition = seen(regressor, observed)
        if all(name.startswith(tuple(regressor.head_names)) for name in names):
            return cls(_Head(regressor), names, (regressor.encode(crop, condition), condition), {})
        return cls(_Whole(regressor), names, (crop, condition), {})

    @property
    def size(self) -> int:
        """Samples."""
        return len(self.inputs[1])

    def own(self) -> dict[str, Tensor]:
        """The network's own tensors of `names`, not stacked."""
        parameters = dict(self.part.regressor.named_parameters())
        return {name: parameters[name] for name in self.names}

    def stacked(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights (B, ...) of each sample's own; those that already are stay as they are."""
        own = self.own()
        return {
            name: value.expand(self.size, *value.shape) if value.ndim == own[name].ndim else value
            for name, value in weights.items()
        }

    def constant(self) -> Stack:
        """The same to which no gradient flows but through the weights it is run with."""
        others = {
            name: parameter.detach()
            for name, parameter in self.part.regressor.named_parameters()
            if name not in self.names
        }
        return replace(self, inputs=(self.inputs[0].detach(), self.inputs[1].detach()), constants=others)

    def linear_names(self) -> frozenset[str]:
        """Which of `names` are weights of linear layers."""
        layers = (name for name, layer in self.part.regressor.named_modules() if isinstance(layer, nn.Linear))
        return frozenset(self.names) & {f"{name}.weight" for name in layers}

    def run(self, weights: Weights, *, is_shared: bool) -> Prediction:
        """Predictions with weights (B, ...) of each sample's own, or with one set of weights for all where shared; in
        full precision also where the network ran in less."""
        # Fused attention has no second derivative and no rule for stacked weights.
        with sdpa_kernel(SDPBackend.MATH):
            if is_shared:
                return full_precision(self._call(whole(weights), *self.inputs))
            changed = {name: value for name, value in weights.items() if isinstance(value, Changed)}
            added = {name: value for name, value in weights.items() if isinstance(value, Tensor)}
            gradients = {name: one.gradient for name, one in changed.items()}
            return full_precision(torch.vmap(partial(self._one, changed))(added, gradients, *self.inputs))

    def plain(self) -> Prediction:
        """Predictions with the network's own weights."""
        return full_precision(self._call({}, *self.inputs))

    def _one(
        self,
        changed: Mapping[str, Changed],
        added: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
        *inputs: Tensor,
    ) -> Prediction:
        """One sample's prediction: its own tensors, and its own gradients of those that are changed."""
        ones = {name: one._replace(gradient=gradients[name]) for name, one in changed.items()}
        with ChangedLinear(ones.values()):
            weights = {**added, **{name: one.own for name, one in ones.items()}}
            found = self._call(weights, *(value[None] for value in inputs))
        return Prediction(*(value[0] for value in found))

    def _call(self, weights: Mapping[str, Tensor], *inputs: Tensor) -> Prediction:
        tensors = {f"regressor.{name}": value for name, value in {**self.constants, **weights}.items()}
        found: Prediction = functional_call(self.part, tensors, inputs)
        return found
