"""Trainings that were made, as arrays; and mixtures to train next, drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmark.limits import Floats, Limits, nearest
from benchmark.problem import Problem, Run
from harmonize.errors import UsageError

MIN_SHARE = 0.01
"""Shares below this are set to 0 in a random mixture: a proxy would hardly see the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTable:
    """weights (R, p) of the sources `names`, candidates first; errors (R, B) of `benchmarks`, in mm."""

    names: tuple[str, ...]
    weights: Floats
    benchmarks: tuple[str, ...]
    errors: Floats

    def widened(self, shares: Floats) -> Floats:
        """Mixtures (..., n) of the candidates with zeros for the sources of runs that are no candidates: (..., p)."""
        missing = len(self.names) - shares.shape[-1]
        return np.concatenate([shares, np.zeros((*shares.shape[:-1], missing))], axis=-1)


def run_table(problem: Problem, runs: Sequence[Run], method: str, *, least: int) -> RunTable:
    """Runs as arrays; only the problem's targets count as benchmarks, or those of all runs when it has none.

    Raises:
        UsageError: fewer than `least` runs, weights that do not add up to 1, an unknown source, runs that lack a
            benchmark, or errors that are not finite.
    """
    if len(runs) < least:
        raise UsageError(f"{method}: expected at least {least} runs, found {len(runs)}", fix="train more proxies")
    pool = {source.name for source in problem.pool.sources}
    used = {name for run in runs for name in run.weights}
    if unknown := sorted(used - pool):
        raise UsageError(f"{method}: runs with sources that the pool does not have: {', '.join(unknown)}")
    names = (*problem.names, *sorted(used - set(problem.names)))
    weights = np.array([[run.weights.get(name, 0.0) for name in names] for run in runs])
    sums = weights.sum(axis=1)
    if not (np.isfinite(weights).all() and (weights >= 0).all() and (np.abs(sums - 1) < 1e-6).all()):
        raise UsageError(f"{method}: expected weights of 0 or more that add up to 1 in each run, found {sums.tolist()}")
    benchmarks = tuple(sorted(problem.targets or set.intersection(*(set(run.errors) for run in runs))))
    for run in runs:
        if lacking := [name for name in benchmarks if not np.isfinite(run.errors.get(name, np.nan))]:
            raise UsageError(f"{method}: a run has no finite error on {', '.join(lacking)}", fix="evaluate it there")
    if not benchmarks:
        raise UsageError(f"{method}: the runs have no benchmark in common", fix="evaluate all on the same ones")
    errors = np.array([[run.errors[name] for name in benchmarks] for run in runs])
    return RunTable(names=names, weights=weights, benchmarks=benchmarks, errors=errors)


def random_mixtures(
    rng: np.random.Generator, counts: npt.NDArray[np.int64], limits: Limits, num: int, *, tau: float = 2.0
) -> Floats:
    """(num, n) mixtures within the limits, around the flattened natural mixture, as RegMix draws its proxies.

    Dirichlet with concentration strength * n * prior; the prior is counts ** (1 / tau), the strength log-uniform in
    [0.1, 5]: from nearly one source at a time to nearly the prior. Shares below `MIN_SHARE` are set to 0. What breaks a
    limit is drawn again as RegMix does, or moved to the nearest mixture that does not where that hardly ever succeeds.
    """
    prior = counts.astype(np.float64) ** (1 / tau)
    prior = prior / prior.sum()
    found = np.zeros((0, len(counts)))
    for _ in range(4):
        drawn = _dirichlet(rng, prior, num)
        found = np.concatenate([found, drawn[limits.holds(drawn)]])[:num]
        if len(found) == num:
            return found
    moved = _dirichlet(rng, prior, min(num - len(found), 2000))
    near = np.stack([nearest(mixture, limits) for mixture in moved])
    repeated = np.resize(np.arange(len(near)), num - len(found))
    return np.concatenate([found, near[repeated]])


def _dirichlet(rng: np.random.Generator, prior: Floats, num: int) -> Floats:
    strength = np.exp(rng.uniform(np.log(0.1), np.log(5.0), (num, 1))) * len(prior)
    # Gamma variates of tiny shape underflow to 0 together: draw them one level up in log space.
    shape = np.maximum(strength * prior, 1e-3)
    logs = np.log(rng.gamma(shape + 1)) + np.log(rng.random(shape.shape)) / shape
    mixtures = np.exp(logs - logs.max(axis=1, keepdims=True))
    mixtures /= mixtures.sum(axis=1, keepdims=True)
    mixtures[mixtures < MIN_SHARE] = 0
    return np.asarray(mixtures / mixtures.sum(axis=1, keepdims=True))
