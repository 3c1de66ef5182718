"""Meta-training with dual networks as one module, for the training loop and its wrapper for several processes."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from harmonize.errors import UsageError
from train.data.batch import Batch, Observed
from train.meta.auxiliary import Auxiliary, constant
from train.meta.config import DualConfig
from train.meta.inner import Steps, Vacuity, inner_steps, vacuity
from train.meta.objectives import Body, Inner, Outer, Pseudo, exact, points_of
from train.meta.stack import Stack
from train.meta.subsets import Rates, add_low_rank
from train.models.prediction import Prediction
from train.steps import Regressor, StepLoss


class DualStep(nn.Module):
    """The supervised loss of each sample at weights that were adapted to it without its label.

    regressor: the main network; "head+lora" gives it low-rank tensors. auxiliary: the network whose bodies stand in
    for labels; "none" takes none, and "ema" starts from a copy of the main network where none is given. body: points of
    parameters. inner, outer: losses (`train.meta.objectives`). rates: inner learning rates.

    Wrap this module, not the network, for several processes: its functional calls pass a wrapper of the network by.

    Raises:
        UsageError: the network cannot be adapted, or an auxiliary network is missing or superfluous.
    """

    def __init__(
        self,
        regressor: Regressor,
        auxiliary: Regressor | None,
        *,
        body: Body,
        inner: Inner,
        outer: Outer,
        config: DualConfig,
    ) -> None:
        super().__init__()
        if config.subset == "head+lora":
            add_low_rank(regressor, config.rank)
        if config.auxiliary == "ema" and auxiliary is None:
            auxiliary = copy.deepcopy(regressor)
        if (auxiliary is None) != (config.auxiliary == "none"):
            raise UsageError(
                f"auxiliary='{config.auxiliary}' {'needs an' if auxiliary is None else 'takes no'} auxiliary network",
                fix="give an auxiliary network, or set auxiliary='none'",
            )
        self.config = config
        self.regressor = regressor
        self.auxiliary = None if auxiliary is None else Auxiliary(auxiliary, config.auxiliary)
        self.rates = Rates.of(regressor, config.subset, head_rate=config.head_rate, other_rate=config.other_rate)
        self.rates.requires_grad_(config.learn_rates)
        self.body, self.inner, self.outer = body, inner, outer

    def forward(self, batch: Batch) -> StepLoss:
        size = len(batch.keys)
        chunk = self.config.chunk
        if chunk is None or chunk >= size or not torch.is_grad_enabled():
            losses = self._losses(batch)
            per_sample = self._weighted(losses)
            total = per_sample.mean()
        else:
            pieces: list[dict[str, Tensor]] = []
            gradients: list[Tensor] = []
            parameters = self.trainable_parameters()
            for start in range(0, size, chunk):
                piece = self._losses(batch.rows(slice(start, start + chunk)))
                found = torch.autograd.grad(self._weighted(piece).sum() / size, parameters, materialize_grads=True)
                gradients = [a + b for a, b in zip(gradients, found, strict=True)] if gradients else list(found)
                pieces.append({name: value.detach() for name, value in piece.items()})
            losses = {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}
            per_sample = self._weighted(losses)
            total = _WithGradients.apply(  # type: ignore[no-untyped-call]
                per_sample.mean(), gradients, *parameters
            )
        parts = {name: value.detach().mean() for name, value in losses.items()}
        return StepLoss(total, parts, per_sample.detach())

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Every parameter that gets a gradient; all others do not ask for one."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def after_update(self) -> None:
        """Call once after each step of the optimiser: an "ema" auxiliary network follows the main one."""
        if self.auxiliary is not None and self.config.auxiliary == "ema":
            self.auxiliary.follow(self.regressor, self.config.ema_decay)

    @torch.no_grad()
    def adapted(self, observed: Observed) -> Prediction:
        """What the main network says after the inner steps."""
        stack, steps, _ = self._adapt(observed)
        return stack.run(steps.weights, is_shared=self._is_shared)

    @torch.no_grad()
    def vacuity(self, observed: Observed) -> Vacuity:
        """How much the inner steps do to the weights and to the bodies."""
        stack, steps, _ = self._adapt(observed)
        with exact(observed):
            return vacuity(stack, steps.weights, self.body, is_shared=self._is_shared)

    @property
    def _is_shared(self) -> bool:
        return self.config.unit == "batch"

    def _adapt(self, observed: Observed) -> tuple[Stack, Steps, Pseudo | None]:
        """Everything before the label: the signature keeps it out."""
        pseudo = None if self.auxiliary is None else self.auxiliary(observed, self.body)
        taught = pseudo if pseudo is None or self.config.learns_from_outer else constant(pseudo)

        def loss(prediction: Prediction) -> Tensor:
            with exact(observed):
                return self.inner(prediction, points_of(self.body, prediction), observed, taught)

        stack = Stack.of(self.regressor, self.rates.names, observed)
        steps = inner_steps(
            stack,
            loss,
            self.rates(),
            steps=self.config.inner_steps,
            second_order=self.config.order == "second",
            is_shared=self._is_shared,
        )
        return stack, steps, pseudo

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        """Losses (B,) by name; those that train keep their graph."""
        stack, steps, pseudo = self._adapt(batch.observed)
        prediction = stack.run(steps.weights, is_shared=self._is_shared)
        with exact(batch.observed):
            points = points_of(self.body, prediction)
            losses = {"outer": self.outer(prediction, points, batch.truth, batch.observed)}
            if pseudo is not None and self.config.learns_from_truth:
                losses["auxiliary"] = self.outer(*pseudo, batch.truth, batch.observed)
        return {**losses, "inner": steps.losses[:, 0]}

    def _weighted(self, losses: dict[str, Tensor]) -> Tensor:
        if "auxiliary" not in losses:
            return losses["outer"]
        return losses["outer"] + self.config.aux_weight * losses["auxiliary"]


class _WithGradients(torch.autograd.Function):
    """A number whose gradients are known: chunks are differentiated one by one, so that one graph exists at a time."""

    @staticmethod
    def forward(ctx: Any, total: Tensor, gradients: list[Tensor], *parameters: Tensor) -> Tensor:
        ctx.gradients = gradients
        return total.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(gradient * scale for gradient in ctx.gradients)
