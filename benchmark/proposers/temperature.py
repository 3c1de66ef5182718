"""Between natural and uniform: large datasets keep an advantage, but a flattened one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmark.problem import Problem
from catalogs.selection import Selection
from harmonize.errors import UsageError


def temperature(problem: Problem, *, tau: float) -> Selection:
    """Weights in proportion to num_available ** (1 / tau): tau 1 is natural, large tau approaches uniform.

    Raises:
        UsageError: tau is below 1 or not finite, the budget is not feasible under its repeat
            cap or the constraints, or the pool is empty.
    """
    counts = problem.counts.tolist()
    weights = temperature_weights(counts, tau)
    total = sum(counts)
    reasons = [
        f"{count / total:.2%} of the samples, flattened by temperature {tau:g} to {weight:.2%} of the draws"
        for count, weight in zip(counts, weights, strict=True)
    ]
    return problem.select(
        weights, method="temperature", parameters={"tau": tau}, reasons=reasons, bends_to_repeat_cap=False
    )


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
