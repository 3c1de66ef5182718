"""Test-time optimisation of a variant: rate and number of steps are chosen on the validation split, then measured once
on the test split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from meta_errors import HEADLINE, Errors, errors, true_points
from meta_world import Split
from torch import Tensor

from train.body import Body
from train.data.batch import Batch
from train.data.chance import chance_of
from train.data.detector import NO_ERRORS, TYPICAL, Detector, detect
from train.losses.objectives import InnerLoss
from train.losses.supervised import UNIFIED
from train.meta.config import AdaptConfig
from train.meta.subsets import Rates, adapted_names
from train.meta.test_time import Adapted, adapt
from train.models.tokens import TokensModel

STEPS = (0, 1, 3, 7, 14)
DETECTORS: Mapping[str, Detector] = {"true": NO_ERRORS, "jittered": TYPICAL}
_SEED = 424242  # of the test's detections: the same for every variant and every seed of the training
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Choice:
    """How weights are moved: "sgd" at `factor` times the training's learned rates (or at `factor` for all tensors where
    none were learned), or "adam" at the rate `factor`."""

    optimiser: str
    factor: float


_ADAM = tuple(Choice("adam", rate) for rate in (5e-4, 1e-3, 2e-3))
UNIFORM = (*(Choice("sgd", rate) for rate in (0.003, 0.01, 0.03)), *_ADAM)
LEARNED = (*(Choice("sgd", times) for times in (0.3, 1.0, 2.0)), *_ADAM)
"""What is tried on the validation split, as many for networks with learned rates as for those without."""


def measured(
    regressor: TokensModel,
    auxiliary: TokensModel | None,
    rates: Rates | None,
    body: Body,
    validation: Split,
    test: Split,
    pseudo_steps: int | None = None,
) -> dict[str, Any]:
    """Of each 2D source: for each number of steps (a budget) the way to move that is best on validation, and the test
    errors (samples,) of each metric with it; the budget that is best on validation; all validation errors; movement by
    the first step of the first budget."""
    found: dict[str, Any] = {}
    for source, detector in DETECTORS.items():
        batch = observed(validation, detector)
        true = true_points(body, batch.truth)
        tried = {}
        for choice in UNIFORM if rates is None else LEARNED:
            path = _adapted(regressor, auxiliary, rates, body, batch, choice, STEPS[-1], pseudo_steps).path
            tried[choice] = [float(errors(body, path[k], true)[HEADLINE].mean()) for k in STEPS]
        chosen = [min(tried, key=lambda of, at=at: tried[of][at]) for at in range(len(STEPS))]  # type: ignore[misc]
        best = min(range(len(STEPS)), key=lambda at: tried[chosen[at]][at])

        batch = observed(test, detector)
        true = true_points(body, batch.truth)
        paths: dict[Choice, Adapted] = {}
        for budget, choice in reversed(list(zip(STEPS, chosen, strict=True))):
            if choice not in paths:
                paths[choice] = _adapted(regressor, auxiliary, rates, body, batch, choice, max(budget, 1), pseudo_steps)
        at_steps: list[Errors] = [
            errors(body, paths[choice].path[k], true) for k, choice in zip(STEPS, chosen, strict=True)
        ]
        found[source] = {
            "chosen": [f"{of.optimiser} {of.factor:g}" for of in chosen],
            "steps": STEPS[best],
            "validation": {f"{of.optimiser} {of.factor:g}": values for of, values in tried.items()},
            "errors": {name: [_listed(of[name]) for of in at_steps] for name in at_steps[0]},
            "movement_mm": float(_movement_mm(body, paths[chosen[1]]).mean()),
        }
    return found


def observed(split: Split, detector: Detector) -> Batch:
    """All of a split, with what a detector says of it."""
    at = torch.arange(len(split))
    found = detect(detector, split.truth.keypoints_px.numpy(), chance_of(_SEED, 0, at.numpy()))
    return split.batch(at, torch.from_numpy(found))


def _adapted(
    regressor: TokensModel,
    auxiliary: TokensModel | None,
    rates: Rates | None,
    body: Body,
    batch: Batch,
    choice: Choice,
    steps: int,
    pseudo_steps: int | None,
) -> Adapted:
    names = adapted_names(regressor, "head") if rates is None else rates.names
    start = torch.ones(len(names)) if rates is None else rates.log_rate.detach().exp()
    is_adam = choice.optimiser == "adam"
    return adapt(
        regressor,
        auxiliary,
        batch.observed,
        body=body,
        inner=InnerLoss(UNIFIED),
        rates=Rates(names, start if is_adam else start * choice.factor),
        config=AdaptConfig(
            steps=steps,
            optimiser="adam" if is_adam else "sgd",
            adam_rate=choice.factor if is_adam else 1e-3,
            tolerance=0,
            pseudo_steps=pseudo_steps,
            keep_best=False,
            chunk=_AT_ONCE,
        ),
    )


def _movement_mm(body: Body, done: Adapted) -> Tensor:
    with torch.no_grad():
        before, after = (body(of.rotmat, of.betas, of.expression).joints_m for of in done.path[:2])
    moved: Tensor = 1000 * (after - before).norm(dim=-1).mean(-1)
    return moved


def _listed(values: Tensor) -> list[float]:
    return [round(value, 3) for value in values.tolist()]
