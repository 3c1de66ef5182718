"""Intervals of mean errors by drawing whole groups (sequences, subjects, pictures) with replacement.

Frames of a video are near copies, so instances are not drawn one by one: the cluster bootstrap (Davison and Hinkley
1997, "Bootstrap Methods and their Application", 3.8) with percentile bounds. A draw's mean is over its instances, the
same estimator as the reported mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
LEAST_GROUPS = 5
"""Of fewer groups, draws are so alike that an interval would promise too much."""

_CELLS_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """mean over instances that have a value, NaN without any; low and high NaN with fewer than LEAST_GROUPS groups."""

    mean: float
    low: float
    high: float
    num_instances: int
    num_groups: int


def mean_interval(
    values: npt.NDArray[np.floating[Any]],
    groups: Sequence[str],
    *,
    num_draws: int = 1000,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """The mean of the values (N,) that are not NaN, and its interval over the groups of the instances.

    The order of the instances does not matter: groups are drawn by name.
    """
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return Interval(mean=np.nan, low=np.nan, high=np.nan, num_instances=0, num_groups=0)
    names, codes = np.unique(np.array([groups[at] for at in known.tolist()], dtype=np.str_), return_inverse=True)
    num_groups = len(names)
    # Sorted, so that the sums do not depend on the order of the instances.
    order = np.lexsort((values[known], codes))
    sums = np.bincount(codes[order], weights=values[known][order], minlength=num_groups)
    counts = np.bincount(codes, minlength=num_groups).astype(np.float64)
    mean, low, high = float(sums.sum() / counts.sum()), np.nan, np.nan
    if num_groups >= LEAST_GROUPS and num_draws > 0:
        rng = np.random.default_rng(seed)
        means = np.empty(num_draws)
        at_once = max(1, _CELLS_AT_ONCE // num_groups)
        for start in range(0, num_draws, at_once):
            drawn = rng.integers(num_groups, size=(min(at_once, num_draws - start), num_groups))
            means[start : start + len(drawn)] = sums[drawn].sum(1) / counts[drawn].sum(1)
        low, high = map(float, np.quantile(means, [(1 - level) / 2, (1 + level) / 2]))
    return Interval(mean=mean, low=low, high=high, num_instances=len(known), num_groups=num_groups)
