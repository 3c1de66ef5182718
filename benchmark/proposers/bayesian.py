"""Which mixture to train next, when runs are made one after the other: Bayesian optimisation.

A Gaussian process over log-ratio coordinates of the mixture predicts the mean error with its uncertainty; the next
mixture is the one of largest expected improvement over the best so far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmark.lazy_greedy import squared_distances
from benchmark.limits import Floats, nearest
from benchmark.problem import Problem, Run
from benchmark.run_table import random_mixtures, run_table
from catalogs.selection import Scalar, Selection
from harmonize.errors import UsageError

NUM_CANDIDATES = 2000
_FLOOR = 0.01
_LENGTHS = (0.3, 0.6, 1.0, 1.7, 3.0, 6.0)
_NOISES = (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)


def bayesian(problem: Problem, *, runs: Sequence[Run], goal: Literal["explore", "best"] = "explore") -> Selection:
    """The mixture to train next (`explore`), or that of the runs made with the smallest expected error (`best`).

    Raises:
        UsageError: fewer than 3 runs, none of which obeys the constraints when the best is asked for; no such goal; or
            see `run_table`.
    """
    if goal not in ("explore", "best"):
        raise UsageError(f"bayesian: goal: expected explore or best, found {goal!r}")
    table = run_table(problem, runs, "bayesian", least=3)
    limits, size = problem.limits, len(problem.names)
    errors = table.errors.mean(axis=1)
    process = Process.fit(log_ratios(table.weights), errors)
    made = table.weights[limits.holds(table.weights[:, :size]) & (table.weights[:, size:].sum(axis=1) == 0)][:, :size]
    if goal == "best":
        if not len(made):
            raise UsageError("bayesian: no run obeys the constraints", fix="train a mixture that does: --goal explore")
        mean, deviation = process(log_ratios(table.widened(made)))
        at = int(np.argmin(mean))
        shares = made[at]
        text = f"smallest expected error of {len(made)} runs"
        gain = 0.0
    else:
        candidates = _candidates(problem, made)
        mean, deviation = process(log_ratios(table.widened(candidates)))
        gains = expected_improvement(mean, deviation, float(process(process.points)[0].min()))
        at = int(np.argmax(gains))
        shares, gain = candidates[at], float(gains[at])
        text = "largest expected improvement of all candidates"
    residuals: dict[str, Scalar] = {
        "expected-mm": float(mean[at]),
        "deviation-mm": float(deviation[at]),
        "expected-improvement-mm": gain,
        "noise-mm": process.noise_mm,
    }
    return problem.select(
        shares,
        method="bayesian",
        reasons=[text] * size,
        parameters={"goal": goal, "num_runs": len(runs), "seed": problem.seed},
        residuals=residuals,
    )


def log_ratios(weights: Floats) -> Floats:
    """Centred log ratios (., p) of mixtures (Aitchison 1986), shares below 0.01 counting as nearly that."""
    logs = np.log(weights + _FLOOR)
    return np.asarray(logs - logs.mean(axis=-1, keepdims=True))


def expected_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """E[max(best - y, 0)] for y normal (Jones, Schonlau, Welch 1998)."""
    z = (best - mean) / np.maximum(deviation, 1e-12)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    below = 0.5 * (1 + np.array([math.erf(value / math.sqrt(2)) for value in z.tolist()]))
    return np.asarray((best - mean) * below + deviation * density)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A Gaussian process with a squared-exponential kernel, fitted to points (R, p); values in mm.

    length: of the kernel, relative to the median distance of points. noise_mm: deviation of a single run.
    """

    points: Floats
    length: float
    scale_mm: float
    middle_mm: float
    noise_mm: float
    root: Floats
    weights: Floats

    @classmethod
    def fit(cls, points: Floats, values: Floats) -> Process:
        """Length and noise of largest likelihood on a grid; the scale has a closed form."""
        apart = squared_distances(points, points)
        unit = float(np.median(apart[~np.eye(len(points), dtype=bool)])) if len(points) > 1 else 1.0
        unit = unit or 1.0
        middle = float(values.mean())
        best: tuple[float, Process] | None = None
        for length in _LENGTHS:
            kernel = np.exp(-apart / (2 * length**2 * unit))
            for noise in _NOISES:
                root = np.asarray(np.linalg.cholesky(kernel + (noise + 1e-9) * np.eye(len(points))), np.float64)
                half = np.linalg.solve(root, values - middle)
                variance = max(float(half @ half) / len(values), 1e-12)
                likelihood = -0.5 * len(values) * math.log(variance) - float(np.log(np.diag(root)).sum())
                if best is None or likelihood > best[0] + 1e-12:
                    process = cls(
                        points=points,
                        length=length * math.sqrt(unit),
                        scale_mm=math.sqrt(variance),
                        middle_mm=middle,
                        noise_mm=math.sqrt(variance * noise),
                        root=root,
                        weights=np.linalg.solve(root.T, half),
                    )
                    best = (likelihood, process)
        assert best is not None
        return best[1]

    def __call__(self, points: Floats) -> tuple[Floats, Floats]:
        """Expected error and its deviation (N,), without the noise of a run, at points (N, p)."""
        kernel = np.exp(-squared_distances(points, self.points) / (2 * self.length**2))
        known = np.linalg.solve(self.root, kernel.T)
        rest = np.maximum(1 - (known**2).sum(axis=0), 0)
        return self.middle_mm + kernel @ self.weights, self.scale_mm * np.sqrt(rest)


def _candidates(problem: Problem, made: Floats) -> Floats:
    """Random mixtures, and steps away from those made."""
    rng = np.random.default_rng([problem.seed, 0xBA7E5])
    limits = problem.limits
    random = random_mixtures(rng, problem.counts, limits, NUM_CANDIDATES)
    if not len(made):
        return random
    start = made[rng.integers(len(made), size=NUM_CANDIDATES // 4)]
    sizes = np.resize([0.1, 0.3, 1.0], (len(start), 1))  # small steps near the best, large ones away from it
    steps = np.maximum(np.exp(rng.normal(0, sizes, start.shape)) * (start + _FLOOR) - _FLOOR, 1e-12)
    near = np.stack([nearest(one, limits) for one in steps])
    return np.concatenate([random, near])
