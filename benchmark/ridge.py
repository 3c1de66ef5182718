"""Linear laws fitted to few observations: ridge and lasso, with their penalty chosen by held-out error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmark.limits import Floats

PENALTIES = tuple(float(10**power) for power in np.arange(-6, 4.1, 0.5))
"""Of ridge, relative to the mean variance of a feature times the number of observations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """intercept + features (., p) @ slopes (p,). error: root mean square of the leave-one-out residuals."""

    intercept: float
    slopes: Floats
    penalty: float
    error: float

    def __call__(self, features: Floats) -> Floats:
        return np.asarray(self.intercept + features @ self.slopes)


def ridge(features: Floats, values: Floats, penalty: float | None = None) -> Linear:
    """Least squares of values (R,) on features (R, p) with a penalty on the squares of the slopes.

    penalty None: that of `PENALTIES` with the smallest leave-one-out error, which has a closed form: residual i over
    1 - leverage i.
    """
    centre, middle = features.mean(axis=0), float(values.mean())
    u, s, vt = np.linalg.svd(features - centre, full_matrices=False)
    scale = max(float(np.sum(s**2)) / features.shape[1], 1e-12)
    aim = u.T @ (values - middle)

    def fitted(strength: float) -> tuple[float, Floats]:
        shrink = s**2 / (s**2 + strength * scale)
        leverage = np.minimum((u**2) @ shrink + 1 / len(values), 1 - 1e-9)
        left = (values - middle - u @ (shrink * aim)) / (1 - leverage)
        slopes = vt.T @ (s / (s**2 + strength * scale) * aim)
        return float(np.sqrt(np.mean(left**2))), slopes

    tried = {strength: fitted(strength) for strength in (PENALTIES if penalty is None else (penalty,))}
    best = min(tried, key=lambda strength: (tried[strength][0], -strength))
    error, slopes = tried[best]
    return Linear(intercept=middle - float(centre @ slopes), slopes=slopes, penalty=best, error=error)


def lasso(features: Floats, values: Floats, penalty: float | None = None, *, folds: int = 5) -> Linear:
    """Least squares with a penalty on the sizes of the slopes, by coordinate descent.

    penalty: relative to the smallest one that makes all slopes 0. None: of 1, 0.7, ... 0.001 that with the smallest
    error on held-out folds (every folds-th observation).
    """
    centre, middle = features.mean(axis=0), float(values.mean())
    most = max(float(np.abs((features - centre).T @ (values - middle)).max()) / len(values), 1e-12)
    path = tuple(float(value) for value in np.logspace(0, -3, 20)) if penalty is None else (penalty,)
    squares = np.zeros(len(path))
    for fold in range(min(folds, len(values))):
        held = np.arange(len(values)) % min(folds, len(values)) == fold
        own, own_middle = features[~held].mean(axis=0), float(values[~held].mean())
        slopes = np.zeros(features.shape[1])
        for place, strength in enumerate(path):
            slopes = _descend(features[~held] - own, values[~held] - own_middle, strength * most, slopes)
            squares[place] += np.sum((values[held] - own_middle - (features[held] - own) @ slopes) ** 2)
    best = int(np.argmin(squares))
    slopes = lasso_slopes(features, values, path[best])
    error = float(np.sqrt(squares[best] / len(values)))
    return Linear(intercept=middle - float(centre @ slopes), slopes=slopes, penalty=path[best], error=error)


def lasso_slopes(features: Floats, values: Floats, penalty: float) -> Floats:
    """The slopes (p,) of `lasso` at a penalty, without its error on held-out folds."""
    apart, left = features - features.mean(axis=0), values - values.mean()
    most = max(float(np.abs(apart.T @ left).max()) / len(values), 1e-12)
    return _descend(apart, left, penalty * most, np.zeros(features.shape[1]))


def _descend(features: Floats, values: Floats, penalty: float, start: Floats) -> Floats:
    """The least |values - features @ slopes|^2 / 2R + penalty * sum |slopes|."""
    num = len(values)
    squares = (features**2).sum(axis=0) / num
    slopes = start.copy()
    left = values - features @ slopes
    for _ in range(1000):
        moved = 0.0
        for j in np.flatnonzero(squares > 0):
            pull = float(features[:, j] @ left) / num + squares[j] * slopes[j]
            new = np.sign(pull) * max(abs(pull) - penalty, 0.0) / squares[j]
            step = float(new - slopes[j])
            if step:
                left -= step * features[:, j]
                slopes[j] = new
                moved = max(moved, abs(step) * float(np.sqrt(squares[j])))
        if moved < 1e-9 * max(float(np.abs(values).max()), 1e-300):
            break
    return slopes


def rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's: Pearson's correlation of ranks, ties having their mean rank; 0 where one side is constant."""
    ranks = [_ranks(values) - (len(values) - 1) / 2 for values in (one, other)]
    scale = float(np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1]))
    return float(ranks[0] @ ranks[1]) / scale if scale else 0.0


def _ranks(values: Floats) -> Floats:
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values))
    ranks[order] = np.arange(len(values))
    distinct, place = np.unique(values, return_inverse=True)
    sums = np.bincount(place, ranks, len(distinct)) / np.bincount(place, minlength=len(distinct))
    return np.asarray(sums[place])
