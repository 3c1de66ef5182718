"""Test-time optimisation: a trained network is adapted to each picture by the inner loss alone, a few steps further.

Steps use the whole inner loss, or heed the pseudo body at first alone (`AdaptConfig.pseudo_steps`): it shows the way,
and later holds a body that is nearer to the truth back to its own errors (docs/adaptation.md). A sample's result does
not depend on the batch it comes in, but for the rounding of matrix products whose order of summation the batch's size
decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from train.data.batch import Observed
from train.meta.auxiliary import pseudo_body
from train.meta.config import AdaptConfig
from train.meta.objectives import Body, Inner, Pseudo, exact, points_of
from train.meta.stack import Stack
from train.meta.subsets import Rates
from train.models.prediction import Prediction
from train.steps import Regressor

_ADAM_BETAS, _ADAM_EPS = (0.9, 0.999), 1e-8

_Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """What became of B samples in `steps` steps.

    path: predictions before the first and after each step, steps + 1 in all; a stopped sample's stays as it is.
    after: the answer, by the smallest inner loss or the last (`AdaptConfig.keep_best`).
    losses: (B, steps + 1) inner losses of `path`, without the pseudo body where not all steps heed it.
    stopped_at, best_at: (B,) int64, steps taken, and steps taken to the smallest loss.
    """

    path: tuple[Prediction, ...]
    after: Prediction
    losses: Tensor
    stopped_at: Tensor
    best_at: Tensor

    @property
    def before(self) -> Prediction:
        """The network's own answer."""
        return self.path[0]


def adapt(
    regressor: Regressor,
    auxiliary: Regressor | None,
    observed: Observed,
    *,
    body: Body,
    inner: Inner,
    rates: Rates,
    config: AdaptConfig,
) -> Adapted:
    """Adapts to each sample its own copy of the tensors that `rates` names; the network itself stays as it is.

    A sample stops where a step changed its loss by less than `AdaptConfig.tolerance` of it, or where its loss or
    gradient is not finite: it then keeps what it had before.
    """
    size = len(observed.crop)
    chunk = config.chunk or size
    pieces = [
        _adapt(regressor, auxiliary, observed.rows(slice(start, start + chunk)), body, inner, rates, config)
        for start in range(0, size, chunk)
    ]
    return Adapted(
        path=tuple(_joined(at) for at in zip(*(piece.path for piece in pieces), strict=True)),
        after=_joined([piece.after for piece in pieces]),
        losses=torch.cat([piece.losses for piece in pieces]),
        stopped_at=torch.cat([piece.stopped_at for piece in pieces]),
        best_at=torch.cat([piece.best_at for piece in pieces]),
    )


@torch.no_grad()
def _adapt(
    regressor: Regressor,
    auxiliary: Regressor | None,
    observed: Observed,
    body: Body,
    inner: Inner,
    rates: Rates,
    config: AdaptConfig,
) -> Adapted:
    stack = Stack.of(regressor, rates.names, observed).constant()
    pseudo = None if auxiliary is None else pseudo_body(auxiliary, observed, body)
    update = _sgd(rates()) if config.optimiser == "sgd" else _adam(config.adam_rate)
    weights = stack.stacked(stack.own())
    lasting = pseudo if config.pseudo_steps is None else None

    def evaluate(weights: _Tensors, heeded: Pseudo | None) -> tuple[Prediction, Tensor, Tensor]:
        """The loss with a pseudo body that is heeded at this step, and the one that is told, a constant."""
        prediction = stack.run(weights, is_shared=False)
        with exact(observed):
            points = points_of(body, prediction)
            descended = inner(prediction, points, observed, heeded)
            if heeded is lasting:
                return prediction, descended, descended.detach()
            with torch.no_grad():
                return prediction, descended, inner(prediction, points, observed, lasting)

    path: list[Prediction] = []
    losses: list[Tensor] = []
    for step in range(config.steps + 1):
        is_early = config.pseudo_steps is not None and step < config.pseudo_steps
        if step == config.steps:
            prediction, _, found = evaluate(weights, lasting)
        else:
            with torch.enable_grad():
                at = {name: value.detach().requires_grad_() for name, value in weights.items()}
                prediction, descended, found = evaluate(at, pseudo if is_early else lasting)
                gradients = torch.autograd.grad(
                    descended.sum(), list(at.values()), allow_unused=True, materialize_grads=True
                )
            prediction = Prediction(*(value.detach() for value in prediction))
        if step == 0:
            is_running = found.isfinite()
            stopped_at = torch.zeros_like(found, dtype=torch.int64)
        else:
            # Whoever stopped before has its old weights, so its numbers are the old ones but for a failed last step.
            is_taken = is_running & found.isfinite()
            prediction, found = _chosen(is_taken, prediction, path[-1]), torch.where(is_taken, found, losses[-1])
            stopped_at = torch.where(is_taken, step, stopped_at)
            has_moved = (found - losses[-1]).abs() > config.tolerance * losses[-1].abs()
            is_running = is_taken & (has_moved | is_early)
        path.append(prediction)
        losses.append(found)
        if step == config.steps or not is_running.any():
            break
        for gradient in gradients:
            is_running = is_running & gradient.flatten(1).isfinite().all(1)
        change = update(dict(zip(weights, gradients, strict=True)))
        weights = {name: _chosen_rows(is_running, value - change[name], value) for name, value in weights.items()}
    missing = config.steps + 1 - len(path)
    table = torch.stack(losses + [losses[-1]] * missing, dim=1)
    best_at = torch.where(table.isfinite(), table, torch.inf).argmin(1)
    after = path[-1]
    if config.keep_best:
        for step, prediction in enumerate(path):
            after = _chosen(best_at == step, prediction, after)
    return Adapted(
        path=(*path, *[path[-1]] * missing), after=after, losses=table, stopped_at=stopped_at, best_at=best_at
    )


def _sgd(rates: _Tensors) -> Callable[[_Tensors], _Tensors]:
    return lambda gradients: {name: rates[name] * gradient for name, gradient in gradients.items()}


def _adam(rate: float) -> Callable[[_Tensors], _Tensors]:
    """Adam (Kingma and Ba, ICLR 2015); its moments are elementwise, so each sample has its own."""
    first: dict[str, Tensor] = {}
    second: dict[str, Tensor] = {}
    step = 0

    def change(gradients: _Tensors) -> _Tensors:
        nonlocal step
        step += 1
        found = {}
        for name, gradient in gradients.items():
            first[name] = gradient.lerp(first.get(name, torch.zeros_like(gradient)), _ADAM_BETAS[0])
            square = gradient.square()
            second[name] = square.lerp(second.get(name, torch.zeros_like(square)), _ADAM_BETAS[1])
            mean = first[name] / (1 - _ADAM_BETAS[0] ** step)
            spread = (second[name] / (1 - _ADAM_BETAS[1] ** step)).sqrt()
            found[name] = rate * mean / (spread + _ADAM_EPS)
        return found

    return change


def _chosen_rows(mask: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(mask.reshape(-1, *[1] * (yes.ndim - 1)), yes, no)


def _chosen(mask: Tensor, yes: Prediction, no: Prediction) -> Prediction:
    return Prediction(*(_chosen_rows(mask, a, b) for a, b in zip(yes, no, strict=True)))


def _joined(pieces: tuple[Prediction, ...] | list[Prediction]) -> Prediction:
    return Prediction(*(torch.cat(values) for values in zip(*pieces, strict=True)))
