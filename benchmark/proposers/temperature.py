"""Between natural and uniform: large datasets keep an advantage, but a flattened one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from catalogs.selection import Budget, Pool, Selection, select
from harmonize.errors import UsageError


def temperature(pool: Pool, budget: Budget, *, tau: float) -> Selection:
    """Weights in proportion to num_available ** (1 / tau): tau 1 is natural, large tau approaches uniform.

    Raises:
        UsageError: tau is below 1 or not finite, the budget is not feasible under its repeat cap, or the pool is empty.
    """
    counts = [source.num_available for source in pool.sources]
    weights = temperature_weights(counts, tau)
    total = sum(counts)
    reasons = [
        f"{count / total:.2%} of the samples, flattened by temperature {tau:g} to {weight:.2%} of the draws"
        for count, weight in zip(counts, weights, strict=True)
    ]
    return select(pool, weights, budget, method="temperature", parameters={"tau": tau}, reasons=reasons)


def temperature_weights(counts: Sequence[int], tau: float) -> list[float]:
    """count ** (1 / tau), adding up to 1. The logarithms are shifted by the largest, so that no power overflows."""
    if not (math.isfinite(tau) and tau >= 1):
        raise UsageError(
            f"temperature: tau: expected a finite number of 1 or more, found {tau}",
            fix="use the method uniform for the limit of large tau",
        )
    if not counts:
        return []
    logs = [math.log(count) / tau for count in counts]
    powers = [math.exp(value - max(logs)) for value in logs]
    total = math.fsum(powers)
    return [power / total for power in powers]
