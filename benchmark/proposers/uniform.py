"""Every dataset counts the same, however many samples it has."""

from __future__ import annotations

from benchmark.problem import Problem
from catalogs.selection import Selection


def uniform(problem: Problem) -> Selection:
    """The same weight for each source: the balanced mixture of SMPLer-X (arXiv 2309.17448).

    Small sources repeat often; the reason of each member says how often.

    Raises:
        UsageError: the budget is not feasible under its repeat cap or the constraints, or the pool is empty.
    """
    counts = problem.counts.tolist()
    draws_each = problem.budget.draws_per_epoch / len(counts)
    reasons = [
        f"one of {len(counts)} equal parts: {draws_each / count:.3g} draws of each of its samples" for count in counts
    ]
    return problem.select([1.0] * len(counts), method="uniform", reasons=reasons, bends_to_repeat_cap=False)
