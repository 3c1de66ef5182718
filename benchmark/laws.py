"""Laws of how errors depend on the mixture: four with few parameters, for tens of proxy runs, and boosted trees, which
need no form to be guessed but, to be better, hundreds of runs. Held-out runs say which to believe."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmark.limits import Floats
from benchmark.ridge import rank_correlation, ridge

Law = Callable[[Floats], Floats]
"""Mixtures (..., p) to errors (...)."""

_FLOOR = 0.01
_DEPTHS = (0.02, 0.1, 0.3, 1.0, 3.0)


def linear(weights: Floats, errors: Floats) -> Law:
    """E = c + sum of t_i w_i: what mixing does if sources do not interact."""
    return ridge(weights, errors)


def logarithmic(weights: Floats, errors: Floats) -> Law:
    """E = c + sum of t_i log(w_i + 0.01): the first draws of a source matter most."""
    law = ridge(np.log(weights + _FLOOR), errors)
    return lambda mixtures: law(np.log(mixtures + _FLOOR))


def quadratic(weights: Floats, errors: Floats) -> Law:
    """E = c + sum of t_i w_i + sum of u_i w_i^2: each source has a best share."""
    law = ridge(np.concatenate([weights, weights**2], axis=1), errors)
    return lambda mixtures: law(np.concatenate([mixtures, mixtures**2], axis=-1))


def log_linear(weights: Floats, errors: Floats) -> Law:
    """E = c + exp(a + sum of t_i w_i): mixing laws (Ye et al. 2024). c is the best of a few floors."""
    spread = max(float(np.ptp(errors)), 1e-9)
    tried = []
    for depth in _DEPTHS:
        floor = float(errors.min()) - depth * spread
        law = ridge(weights, np.log(errors - floor))
        left = np.exp(law(weights)) + floor - errors
        tried.append((float(np.mean(left**2)) * (1 + law.error**2), floor, law))
    _, floor, law = min(tried, key=lambda one: (one[0], one[1]))
    return lambda mixtures: floor + np.exp(np.minimum(law(mixtures), 50.0))


def boosted(weights: Floats, errors: Floats) -> Law:
    """Gradient-boosted trees, as RegMix has (Liu et al. 2025), of which two hundred steps of 0.05 do what its thousand
    of 0.01 do. Leaves hold three runs or more. Needs scikit-learn.

    Beyond the shares that runs had, trees are constant.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    trees = HistGradientBoostingRegressor(
        max_iter=200, learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=3, early_stopping=False, random_state=0
    ).fit(weights, errors)

    def law(mixtures: Floats) -> Floats:
        flat = mixtures.reshape(-1, mixtures.shape[-1])
        return np.asarray(trees.predict(flat)).reshape(mixtures.shape[:-1])

    return law


def has_trees() -> bool:
    """Whether `boosted` can be fitted here."""
    return importlib.util.find_spec("sklearn") is not None


LAWS: dict[str, Callable[[Floats, Floats], Law]] = {
    "boosted": boosted,
    "linear": linear,
    "log_linear": log_linear,
    "logarithmic": logarithmic,
    "quadratic": quadratic,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """How well a law predicts runs that it was not fitted to: errors in mm, and rank correlation, -1 to 1."""

    predicted: Floats
    rms_mm: float
    rank_correlation: float


def held_out(
    law: Callable[[Floats, Floats], Law], weights: Floats, errors: Floats, seed: int, folds: int = 5
) -> HeldOut:
    """Predict each run (R,) from a law fitted to the other folds; runs are dealt to folds at random."""
    num = min(folds, len(errors))
    fold = np.random.default_rng([seed, 0xF01D]).permutation(len(errors)) % num
    predicted = np.empty(len(errors))
    for one in range(num):
        predicted[fold == one] = law(weights[fold != one], errors[fold != one])(weights[fold == one])
    rms = float(np.sqrt(np.mean((predicted - errors) ** 2)))
    return HeldOut(predicted=predicted, rms_mm=rms, rank_correlation=rank_correlation(predicted, errors))
