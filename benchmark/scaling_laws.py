"""Power laws with a floor, fitted to errors: E = c + Σ_j a_j x_j^(−b_j), with c, a_j ≥ 0 and b_j > 0.

With one variable this is the usual saturating power law; with two, data and model size, the additive form of Hoffmann
et al. (arXiv 2203.15556, equation 2), there for losses of language models. For given exponents the law is linear in c
and a, so they are solved for exactly and only the exponents are searched: a grid, then finer grids around the best
point. Intervals come from a bootstrap over residuals; everything is deterministic.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmonize.errors import DataError, UsageError

Floats = npt.NDArray[np.float64]

MIN_EXPONENT, MAX_EXPONENT = 0.02, 3.0
NUM_GRID, NUM_REFINEMENTS, NUM_AROUND = 15, 14, 5
NUM_RESAMPLES = 300
LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """E(x) = floor + Σ_j scale_j · (x_j / unit_j)^(−exponent_j) in mm; `units` are the variables' geometric means."""

    variables: tuple[str, ...]
    units: tuple[float, ...]
    floor: float
    scales: tuple[float, ...]
    exponents: tuple[float, ...]

    def __call__(self, x: npt.ArrayLike) -> Floats:
        """x (..., V), positive -> errors (...,), mm."""
        return np.asarray(self.floor + self.parts(x).sum(axis=-1))

    def parts(self, x: npt.ArrayLike) -> Floats:
        """x (..., V) -> what each variable adds to the floor (..., V), mm."""
        values = np.asarray(x, dtype=np.float64) / np.array(self.units)
        return np.asarray(np.array(self.scales) * values ** -np.array(self.exponents))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A fitted law and what is known of its uncertainty.

    x (N, V), error_mm (N,): the points. residual_mm: sqrt(RSS / (N − P)), None where N = P leaves nothing to tell it
    from. r_squared: share of the variance explained. resamples: laws of the bootstrap, empty where N = P.
    at_limit: exponents that stopped at the border of the search: the data do not show a bend in this variable.
    """

    law: Law
    x: Floats
    error_mm: Floats
    residual_mm: float | None
    r_squared: float
    resamples: tuple[Law, ...]
    at_limit: tuple[str, ...]
    seed: int

    @property
    def num_parameters(self) -> int:
        return 1 + 2 * len(self.law.variables)

    def is_extrapolated(self, x: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """x (..., V) -> (...,): whether a variable lies outside the range of the points."""
        values = np.asarray(x, dtype=np.float64)
        is_inside = (values >= self.x.min(axis=0)) & (values <= self.x.max(axis=0))
        return np.asarray(~is_inside.all(axis=-1))

    def predict(self, x: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
        """x (M, V) -> prediction and the ends of its 95 % prediction interval, each (M,), mm.

        A future training scatters about the law as the points do: each resampled law gets a scatter of its own, in
        equal steps of Student's t with N − P degrees of freedom times `residual_mm` (few residuals have no tails to
        resample). The ends are NaN where nothing is left to tell the scatter from.
        """
        points = np.atleast_2d(np.asarray(x, dtype=np.float64))
        middle = self.law(points)
        if self.residual_mm is None:
            nothing = np.full(len(points), math.nan)
            return middle, nothing, nothing
        from scipy.stats import t

        laws = np.stack([law(points) for law in self.resamples])
        steps = (np.random.default_rng([self.seed, 1]).permutation(len(laws)) + 0.5) / len(laws)
        noise = self.residual_mm * t.ppf(steps, len(self.error_mm) - self.num_parameters)
        low, high = np.quantile(laws + noise[:, None], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        return middle, low, high

    def exponent_intervals(self) -> list[tuple[float, float]]:
        """95 % percentile interval of each exponent; NaN where there is no bootstrap."""
        if not self.resamples:
            return [(math.nan, math.nan)] * len(self.law.exponents)
        values = np.array([law.exponents for law in self.resamples])
        ends = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0).T
        return [(float(low), float(high)) for low, high in ends]


def fit_law(
    variables: Sequence[str],
    x: npt.ArrayLike,
    error_mm: npt.ArrayLike,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Fit:
    """Least squares of E = c + Σ_j a_j x_j^(−b_j); x (N, V), error_mm (N,), one or two variables.

    Raises:
        DataError: a value is not finite and positive, or shapes do not fit.
        UsageError: fewer points than the law has parameters (1 + 2 V), or fewer than 3 different values of a variable,
            which a floor, a scale and an exponent need.
    """
    points, errors = np.asarray(x, dtype=np.float64), np.asarray(error_mm, dtype=np.float64)
    num_parameters = 1 + 2 * len(variables)
    if points.shape != (len(errors), len(variables)) or not 1 <= len(variables) <= 2:
        raise DataError(f"scaling: expected x (N, V) with V 1 or 2 and N errors, found {points.shape}, {errors.shape}")
    if not (np.isfinite(points).all() and np.isfinite(errors).all() and (points > 0).all() and (errors > 0).all()):
        raise DataError(f"scaling: {', '.join(variables)}: expected finite values above 0")
    if len(errors) < num_parameters:
        raise UsageError(
            f"scaling: {', '.join(variables)}: {num_parameters} parameters need at least {num_parameters} trainings, "
            f"found {len(errors)}",
            fix="train more, or fit fewer variables",
        )
    for name, column in zip(variables, points.T, strict=True):
        if len(set(column.tolist())) < 3:
            raise UsageError(
                f"scaling: {name}: expected at least 3 different values, found {len(set(column.tolist()))}: a floor, a "
                "scale and an exponent cannot be told apart",
                fix=f"train with another {name}, or leave it out",
            )
    units = np.exp(np.log(points).mean(axis=0))
    (parameters,) = _solve(points / units, errors[:, None])
    law = _law(variables, units, parameters)
    residuals = errors - law(points)
    freedom = len(errors) - num_parameters
    resamples: tuple[Law, ...] = ()
    if freedom > 0:
        spread = (residuals - residuals.mean()) * math.sqrt(len(errors) / freedom)
        drawn = np.random.default_rng(seed).choice(spread, (len(errors), num_resamples))
        solved = _solve(points / units, law(points)[:, None] + drawn)
        resamples = tuple(_law(variables, units, row) for row in solved)
    span = float(((errors - errors.mean()) ** 2).sum())
    return Fit(
        law=law,
        x=points,
        error_mm=errors,
        residual_mm=math.sqrt(float(residuals @ residuals) / freedom) if freedom else None,
        r_squared=1 - float(residuals @ residuals) / span if span > 0 else math.nan,
        resamples=resamples,
        at_limit=tuple(
            name
            for name, exponent in zip(variables, law.exponents, strict=True)
            if not MIN_EXPONENT * 1.01 < exponent < MAX_EXPONENT / 1.01
        ),
        seed=seed,
    )


def _law(variables: Sequence[str], units: Floats, parameters: Floats) -> Law:
    num = len(variables)
    return Law(
        variables=tuple(variables),
        units=tuple(units.tolist()),
        floor=float(parameters[0]),
        scales=tuple(parameters[1 : 1 + num].tolist()),
        exponents=tuple(parameters[1 + num :].tolist()),
    )


def _solve(x: Floats, errors: Floats) -> Floats:
    """x (N, V), errors (N, R) -> (R, 1 + 2 V): floor, scales, exponents of the best law for each column of errors."""
    num_variables = x.shape[1]
    grid = np.geomspace(MIN_EXPONENT, MAX_EXPONENT, NUM_GRID)
    exponents = np.array(list(itertools.product(grid, repeat=num_variables)))  # (G, V)
    squares, coefficients = _linear(x, exponents[None], errors)
    best = squares.argmin(axis=1)
    rows = np.arange(errors.shape[1])
    found, least, weights = exponents[best], squares[rows, best], coefficients[rows, best]
    ratio = math.log(grid[1] / grid[0])
    around = np.array(list(itertools.product(np.linspace(-1, 1, NUM_AROUND), repeat=num_variables)))
    for _ in range(NUM_REFINEMENTS):
        near = np.clip(found[:, None] * np.exp(ratio * around), MIN_EXPONENT, MAX_EXPONENT)  # (R, G', V)
        squares, coefficients = _linear(x, near, errors)
        best = squares.argmin(axis=1)
        is_better = squares[rows, best] <= least
        found = np.where(is_better[:, None], near[rows, best], found)
        weights = np.where(is_better[:, None], coefficients[rows, best], weights)
        least = np.minimum(least, squares[rows, best])
        ratio /= NUM_AROUND // 2
    return np.concatenate([weights, found], axis=1)


def _linear(x: Floats, exponents: Floats, errors: Floats) -> tuple[Floats, Floats]:
    """Non-negative least squares of errors (N, R) on [1, x^(−b)] for exponents (R or 1, G, V).

    Returns the sums of squares (R, G) and the coefficients (R, G, 1 + V). Where the free solution has a negative
    coefficient, every smaller set of columns is tried: the best set with none is the answer (Lawson and Hanson 1974).
    """
    powers = x ** -exponents[:, :, None]
    columns = np.concatenate([np.ones((*powers.shape[:-1], 1)), powers], axis=-1)  # (R or 1, G, N, 1 + V)
    y = errors.T[:, None]  # (R, 1, N)
    best, answer = _free(columns, y)
    row, column = np.nonzero(~(answer >= 0).all(axis=-1))
    if not len(row):
        return best, answer
    wrong = columns[row if len(columns) > 1 else 0, column]  # (K, N, 1 + V)
    least, coefficients = np.full(len(row), np.inf), np.zeros((len(row), wrong.shape[-1]))
    for size in range(1, wrong.shape[-1]):
        for chosen in itertools.combinations(range(wrong.shape[-1]), size):
            squares, solved = _free(wrong[..., list(chosen)], y[row, 0])
            is_best = (solved >= 0).all(axis=-1) & (squares < least)
            least = np.where(is_best, squares, least)
            spread = np.zeros_like(coefficients)
            spread[:, list(chosen)] = solved
            coefficients = np.where(is_best[:, None], spread, coefficients)
    best[row, column], answer[row, column] = least, coefficients
    return best, answer


def _free(columns: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Least squares by QR: columns (..., N, S), y (..., N) -> sums of squares (...), coefficients (..., S).

    Columns that depend on one another have no answer: infinite squares, negative coefficients.
    """
    q, r = np.linalg.qr(columns)
    projected = np.einsum("...ns,...n->...s", q, y)
    is_full = np.abs(np.diagonal(r, axis1=-2, axis2=-1)).min(axis=-1) > 1e-9
    safe = np.where(is_full[..., None, None], r, np.eye(r.shape[-1]))
    solved = np.linalg.solve(safe, projected[..., None])[..., 0]
    squares = np.maximum((y**2).sum(axis=-1) - (projected**2).sum(axis=-1), 0)
    return np.where(is_full, squares, np.inf), np.where(is_full[..., None], solved, -1)
