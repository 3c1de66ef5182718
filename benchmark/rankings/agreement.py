"""How far two rankings agree: Kendall's tau-b, Spearman's rho and the overlap of their best k.

Two architectures rank the same datasets differently; a number without its chance level and interval would not say
whether a cheap proxy can stand in for an expensive one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from benchmark.rankings.scores import Floats, Ranking, average_ranks
from harmonize.errors import UsageError

NUM_RESAMPLES = 2_000
NUM_PERMUTATIONS = 9_999
LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """num_common of the k best are the best of both; `p`: chance that random orders share at least as many."""

    k: int
    num_common: int
    num_expected: float
    p: float
    common: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Of two rankings over the datasets that both rank.

    tau_p: two-sided chance of a tau at least as far from 0 between random orders; is_p_exact: by counting all orders
    (no ties), else from `NUM_PERMUTATIONS` random ones. Intervals: percentile bootstrap over datasets, 95 %.
    """

    first: str
    second: str
    num_datasets: int
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    tau_b: float
    tau_p: float
    is_p_exact: bool
    tau_interval: tuple[float, float]
    spearman: float
    spearman_interval: tuple[float, float]
    overlaps: tuple[Overlap, ...]


def agreement(first: Ranking, second: Ranking, *, ks: tuple[int, ...] = (5, 10, 20), seed: int = 0) -> Agreement:
    """Compare two rankings; each k of `ks` that is smaller than the number of common datasets gets an overlap.

    Raises:
        UsageError: fewer than 3 datasets are in both, or one of the rankings puts all of them in one place.
    """
    in_both = sorted(set(first.datasets) & set(second.datasets))
    if len(in_both) < 3:
        raise UsageError(
            f"{first.name} and {second.name}: expected at least 3 datasets that both rank, found {len(in_both)}",
            fix="compare rankings of the same datasets",
        )
    a = average_ranks(np.array([first.ranks[name] for name in in_both]))
    b = average_ranks(np.array([second.ranks[name] for name in in_both]))
    for ranking, ranks in ((first, a), (second, b)):
        if np.ptp(ranks) == 0:
            raise UsageError(f"{ranking.name}: all {len(in_both)} common datasets share one place: nothing to compare")
    tau = kendall_tau_b(a, b)
    has_ties = len(set(a)) < len(a) or len(set(b)) < len(b)
    weights = np.random.default_rng(seed).multinomial(len(a), np.full(len(a), 1 / len(a)), NUM_RESAMPLES)
    return Agreement(
        first=first.name,
        second=second.name,
        num_datasets=len(in_both),
        only_first=tuple(sorted(set(first.datasets) - set(in_both))),
        only_second=tuple(sorted(set(second.datasets) - set(in_both))),
        tau_b=tau,
        tau_p=_permutation_p(a, b, tau, seed) if has_ties else exact_tau_p(a, b),
        is_p_exact=not has_ties,
        tau_interval=_interval(_weighted_tau(a, b, weights)),
        spearman=spearman_rho(a, b),
        spearman_interval=_interval(_weighted_rho(a, b, weights)),
        overlaps=tuple(_overlap(first, second, in_both, k) for k in ks if k < len(in_both)),
    )


def kendall_tau_b(a: Floats, b: Floats) -> float:
    """(C − D) / sqrt((P − T_a)(P − T_b)): concordant less discordant pairs, corrected for ties (Kendall 1945)."""
    return float(_weighted_tau(a, b, np.ones((1, len(a)), dtype=np.int64))[0])


def spearman_rho(a: Floats, b: Floats) -> float:
    """Correlation of the ranks, ties at their mean place; NaN where one side has a single value."""
    return float(_weighted_rho(a, b, np.ones((1, len(a)), dtype=np.int64))[0])


def exact_tau_p(a: Floats, b: Floats) -> float:
    """Two-sided p of Kendall's tau without ties, from the exact number of orders with each count of discordant pairs.

    The number of permutations of n with d inversions: I(n, d) = sum of I(n−1, d−j) over j = 0..n−1 (MacMahon).
    """
    num = len(a)
    order = b[np.argsort(a)]
    num_discordant = int(np.triu(order[:, None] > order[None, :], 1).sum())
    ways = [1]
    for size in range(2, num + 1):
        ways = [sum(ways[max(0, d - size + 1) : d + 1]) for d in range(len(ways) + size - 1)]
    num_pairs = num * (num - 1) // 2
    extreme = min(num_discordant, num_pairs - num_discordant)
    return float(min(Fraction(1), Fraction(2 * sum(ways[: extreme + 1]), math.factorial(num))))


def _weighted_tau(a: Floats, b: Floats, weights: np.typing.NDArray[np.int64]) -> Floats:
    """tau-b of each resample; weights (R, N): how often it holds each dataset. NaN where all its ranks are equal.

    A dataset that comes twice is a tie with itself, and its signs are 0.
    """
    signs_a, signs_b = np.sign(a[:, None] - a[None, :]), np.sign(b[:, None] - b[None, :])
    w = weights.astype(np.float64)

    def pairs(matrix: Floats) -> Floats:
        return np.asarray(np.einsum("ri,ri->r", w @ matrix, w)) / 2

    size = np.sqrt(pairs(signs_a**2) * pairs(signs_b**2))
    taus: Floats = np.divide(pairs(signs_a * signs_b), size, out=np.full(len(w), np.nan), where=size > 0)
    return taus


def _weighted_rho(a: Floats, b: Floats, weights: np.typing.NDArray[np.int64]) -> Floats:
    """Spearman's rho of each resample; weights as in `_weighted_tau`."""
    w = weights.astype(np.float64)

    def centred(values: Floats) -> Floats:
        # The mean place of copies of i: those before it, and half of those beside it.
        before = (values[None, :] < values[:, None]) + 0.5 * (values[None, :] == values[:, None])
        ranks = w @ before.T
        return np.asarray(ranks - (ranks * w).sum(axis=1, keepdims=True) / w.sum(axis=1, keepdims=True))

    x, y = centred(a), centred(b)
    size = np.sqrt((w * x * x).sum(axis=1) * (w * y * y).sum(axis=1))
    rhos: Floats = np.divide((w * x * y).sum(axis=1), size, out=np.full(len(w), np.nan), where=size > 0)
    return rhos


def _permutation_p(a: Floats, b: Floats, tau: float, seed: int) -> float:
    rng = np.random.default_rng([seed, 1])
    signs_a, signs_b = np.sign(a[:, None] - a[None, :]), np.sign(b[:, None] - b[None, :])
    observed = abs(float((signs_a * signs_b).sum()))
    num_extreme = 0
    for _ in range(NUM_PERMUTATIONS):
        order = rng.permutation(len(b))
        num_extreme += abs(float((signs_a * signs_b[np.ix_(order, order)]).sum())) >= observed - 1e-9
    return (num_extreme + 1) / (NUM_PERMUTATIONS + 1)


def _interval(values: Floats) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _overlap(first: Ranking, second: Ranking, in_both: list[str], k: int) -> Overlap:
    """Of the k best of each among the common datasets; p is hypergeometric, exact."""
    best = [[name for name in ranking.datasets if name in in_both][:k] for ranking in (first, second)]
    common = sorted(set(best[0]) & set(best[1]))
    num = len(in_both)
    ways = sum(math.comb(k, j) * math.comb(num - k, k - j) for j in range(len(common), k + 1))
    return Overlap(
        k=k,
        num_common=len(common),
        num_expected=k * k / num,
        p=float(Fraction(ways, math.comb(num, k))),
        common=tuple(common),
    )
