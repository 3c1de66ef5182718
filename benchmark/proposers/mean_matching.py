"""The mixture whose attributes are distributed as those of the benchmarks: kernel mean matching over datasets.

Mean embeddings are linear in the mixture, so the maximum mean discrepancy between a mixture of sources and a target is
a quadratic function of the weights. It needs no training, and its residual says what no mixture of these sources can
supply. It sees inputs and poses only: a source with the right poses and wrong labels looks ideal to it.

J. Huang, A. Gretton, K. Borgwardt, B. Schoelkopf, A. Smola: Correcting sample selection bias by unlabeled data.
NeurIPS 2006; here with one weight for each source instead of one for each sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmark.limits import Floats
from benchmark.problem import Problem
from benchmark.quadratic import least_on
from catalogs.selection import Scalar, Selection
from harmonize.errors import UsageError

PATH = tuple(float(10**power) for power in np.arange(-6, 2.01, 0.5))
"""Strengths of the pull towards the baseline that are tried, relative to the squared distance of the sources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """One space. means (D, n): mean embeddings of the candidates. target (D,). scale: mean squared distance of a source
    from the target. noise: expected squared distance of two samples of the target's size from one distribution."""

    name: str
    means: Floats
    target: Floats
    scale: float
    noise: float

    def gap(self, shares: Floats) -> float:
        """Squared maximum mean discrepancy between the mixture and the target, relative to `scale`."""
        return float(np.sum((self.means @ shares - self.target) ** 2)) / self.scale


def mean_matching(
    problem: Problem,
    *,
    strength: float | None = None,
    towards: str = "uniform",
    benchmark_weights: Mapping[str, float] | None = None,
) -> Selection:
    """Minimises sum over spaces of |M w - t|^2 / scale + strength * |w - w0|^2 within the constraints.

    t is the mean embedding of the targets together, each benchmark counting the same unless benchmark_weights (by
    benchmark, not negative) say otherwise. strength: None takes the largest of `PATH` whose mixture cannot be told from
    the best match, given how few samples the targets have. towards: w0, `uniform` or `natural`. The residuals hold the
    relative gap of each space, and of the whole path (`path/STRENGTH`).

    Raises:
        UsageError: see `Problem.spaces`; strength is negative or not finite, no such baseline, or no such benchmark.
    """
    if strength is not None and not 0 <= strength < float("inf"):
        raise UsageError(f"mean_matching: strength: expected a number of 0 or more, found {strength}")
    spaces = [_space(problem, name, _shares_of(problem, benchmark_weights)) for name in problem.spaces()]
    start = _baseline(problem, towards)
    path = {value: _match(problem, spaces, start, value) for value in PATH}
    gaps = {value: sum(space.gap(shares) for space in spaces) for value, shares in path.items()}
    noise = sum(space.noise / space.scale for space in spaces)
    taken = max(value for value in PATH if gaps[value] <= min(gaps.values()) + noise) if strength is None else strength
    shares = path[taken] if taken in path else _match(problem, spaces, start, taken)
    residuals: dict[str, Scalar] = {f"gap/{space.name}": space.gap(shares) for space in spaces}
    residuals |= {f"gap-of-{towards}/{space.name}": space.gap(start) for space in spaces}
    residuals |= {f"noise/{space.name}": space.noise / space.scale for space in spaces}
    residuals |= {f"path/{value:.3g}": gap for value, gap in gaps.items()}
    return problem.select(
        shares,
        method="mean_matching",
        reasons=_reasons(spaces, shares, start, towards),
        parameters={"strength": taken, "is_strength_chosen": strength is None, "towards": towards},
        residuals=residuals,
    )


def lambda_path(problem: Problem, *, towards: str = "uniform") -> dict[float, Floats]:
    """The matched mixture (n,) of the candidates for every strength of `PATH`."""
    spaces = [_space(problem, name, _shares_of(problem, None)) for name in problem.spaces()]
    return {value: _match(problem, spaces, _baseline(problem, towards), value) for value in PATH}


def _match(problem: Problem, spaces: list[Space], start: Floats, strength: float) -> Floats:
    size = len(start)
    quadratic = np.zeros((size, size))
    linear = np.zeros(size)
    for space in spaces:
        # Distances from the target, not embeddings: the shares add up to 1, and differences keep their digits.
        away = space.means - space.target[:, None]
        quadratic += 2 * away.T @ away / space.scale
    # A trace of strength keeps the answer unique where two sources are the same.
    pull = max(strength, 1e-9)
    quadratic += 2 * pull * np.eye(size)
    linear -= 2 * pull * start
    return least_on(problem.limits, quadratic, linear)


def _space(problem: Problem, name: str, shares: Mapping[str, float]) -> Space:
    summaries = [problem.sources[source][name] for source in problem.names]
    targets = {benchmark: problem.targets[benchmark][name] for benchmark in shares}
    if len(kinds := {one.space for one in [*summaries, *targets.values()]}) > 1:
        raise UsageError(f"mean_matching: {name}: summaries of different spaces: {', '.join(sorted(kinds))}")
    if empty := [one for one, of in zip(problem.names, summaries, strict=True) if of.num < 1]:
        raise UsageError(f"mean_matching: {name}: no samples of {', '.join(empty)}", fix="exclude them")
    means = np.stack([one.embedding for one in summaries], axis=1)
    target = np.sum([share * targets[benchmark].embedding for benchmark, share in shares.items()], axis=0)
    scale = float(np.mean(np.sum((means - target[:, None]) ** 2, axis=0)))
    # |z(x)|^2 is 1 on average, so a mean of m samples is off by (1 - |mean|^2) / m in expected square.
    noise = 0.0
    for benchmark, share in shares.items():
        spread = max(0.0, 1 - float(np.sum(targets[benchmark].embedding ** 2)))
        noise += share**2 * spread / max(targets[benchmark].num, 1)
    return Space(name=name, means=means, target=target, scale=max(scale, 1e-12), noise=noise)


def _shares_of(problem: Problem, weights: Mapping[str, float] | None) -> dict[str, float]:
    given = dict.fromkeys(sorted(problem.targets), 1.0) if weights is None else {k: weights[k] for k in sorted(weights)}
    if unknown := sorted(set(given) - set(problem.targets)):
        raise UsageError(f"mean_matching: no benchmark {', '.join(unknown)}", fix="name one: --for BENCHMARK")
    total = sum(given.values())
    if total <= 0 or min(given.values()) < 0:
        raise UsageError("mean_matching: benchmark_weights: expected numbers of 0 or more with a positive sum")
    return {name: value / total for name, value in given.items()}


def _baseline(problem: Problem, towards: str) -> Floats:
    if towards not in ("uniform", "natural"):
        raise UsageError(f"mean_matching: towards: expected uniform or natural, found {towards!r}")
    counts = problem.counts.astype(np.float64)
    return problem.feasible(np.ones(len(counts)) if towards == "uniform" else counts)


def _reasons(spaces: list[Space], shares: Floats, start: Floats, towards: str) -> list[str]:
    before, after = (sum(space.gap(mixture) for space in spaces) for mixture in (start, shares))
    reasons = []
    for i, share in enumerate(shares):
        alone = sum(space.gap(np.eye(len(shares))[i]) for space in spaces)
        without = shares.copy()
        without[i] = 0
        rest = sum(space.gap(without / without.sum()) for space in spaces) if without.sum() > 1e-12 else float("nan")
        text = f"distance to the benchmarks alone {alone:.3g}; mixture {before:.3g} ({towards}) -> {after:.3g}"
        reasons.append(text + (f", without it {rest:.3g}" if share > 1e-6 and rest == rest else ""))
    return reasons
