"""The mixture whose ensemble of single-source models errs least: MixMin over cached predictions.

One cheap model is trained on each source; the weights of their ensemble that predict a benchmark best are taken as the
weights of the mixture. The squared error of a weighted mean of predictions is convex in the weights. The theory behind
it assumes that the sources share the distribution of their inputs more than pose datasets do: verify by training.

A. Thudi, E. Rovers, Y. Ruan, T. Thrush, C. Maddison: MixMin: finding data mixtures via convex minimization (2025).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmark.limits import Floats, Limits, nearest
from benchmark.problem import Problem
from catalogs.selection import Scalar, Selection
from harmonize.errors import UsageError

MAX_STEPS = 20_000
_ENOUGH = 1e-9
"""Stop when the last hundred steps lowered the error by less than this share of it."""


def mixmin(
    problem: Problem, *, predictions: Mapping[str, Mapping[str, Floats]], truth: Mapping[str, Floats]
) -> Selection:
    """Exponentiated gradient on the mean squared error of the ensemble, within the constraints.

    predictions: by benchmark and source name (S, K), root-aligned joints or vertices of S instances, flattened, in mm;
    rotations cannot be averaged and do not belong here. truth: by benchmark (S, K). Each benchmark counts the same,
    relative to the mean error of the single models on it.

    Raises:
        UsageError: a source or benchmark lacks predictions, shapes differ, a number is not finite, or no mixture obeys
            the constraints.
    """
    tables = {name: _products(problem, name, predictions, truth) for name in sorted(truth)}
    if not tables:
        raise UsageError("mixmin: no benchmark has cached predictions", fix="evaluate the single-source models first")
    joint: Floats = np.mean([table / np.mean(np.diag(table)) for table in tables.values()], axis=0)
    limits = problem.limits
    start = nearest(np.ones(len(joint)), limits)
    shares, num_steps = descend(joint, start, limits)
    residuals: dict[str, Scalar] = {"steps": num_steps}
    for name, table in tables.items():
        residuals[f"rms/{name}"] = float(np.sqrt(shares @ table @ shares))
        residuals[f"rms-of-uniform/{name}"] = float(np.sqrt(start @ table @ start))
    alone = np.sqrt(np.diag(joint))
    together = float(np.sqrt(shares @ joint @ shares))
    reasons = [f"error of its model {own:.3g}, of the ensemble {together:.3g} (relative)" for own in alone.tolist()]
    return problem.select(shares, method="mixmin", reasons=reasons, residuals=residuals)


def descend(table: Floats, start: Floats, limits: Limits) -> tuple[Floats, int]:
    """The mixture w with the least w'Qw within the limits, and the number of steps. table: Q (n, n).

    Mirror descent with the entropy: w times exp(-step * gradient), then the nearest mixture within the limits in the
    same divergence. The gradient is 2 max|Q| Lipschitz between the norms 1 and infinity, so a step of 1 / (2 max|Q|)
    never raises the error.
    """
    rate = 1.0 / (2 * float(np.abs(table).max()))
    shares = start
    before = np.inf
    for step in range(1, MAX_STEPS + 1):
        gradient = 2 * table @ shares
        shares = nearest(shares * np.exp(-rate * (gradient - gradient.min())), limits)
        if step % 100 == 0:
            error = float(shares @ table @ shares)
            if before - error <= _ENOUGH * error:
                return shares, step
            before = error
    return shares, MAX_STEPS


def _products(
    problem: Problem, name: str, predictions: Mapping[str, Mapping[str, Floats]], truth: Mapping[str, Floats]
) -> Floats:
    """(n, n) mean over instances of the inner products of the models' errors on one benchmark."""
    own, aim = predictions.get(name, {}), np.asarray(truth[name], np.float64)
    if missing := [source for source in problem.names if source not in own]:
        raise UsageError(
            f"mixmin: {name}: no predictions of the models of {', '.join(missing)}",
            fix="evaluate those models, or exclude the datasets",
        )
    apart = []
    for source in problem.names:
        found = np.asarray(own[source], np.float64)
        if found.shape != aim.shape or aim.ndim != 2 or not aim.size:
            raise UsageError(f"mixmin: {name}: {source}: expected predictions {aim.shape}, found {found.shape}")
        if not np.isfinite(found).all():
            raise UsageError(f"mixmin: {name}: {source}: expected finite predictions, found NaN or infinite ones")
        apart.append((found - aim).ravel())
    errors = np.stack(apart)
    return np.asarray(errors @ errors.T / len(aim))
