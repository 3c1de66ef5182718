"""Every sample counts the same: a dataset's weight is its share of all samples."""

from __future__ import annotations

from benchmark.problem import Problem
from catalogs.selection import Selection


def natural(problem: Problem) -> Selection:
    """Weights in proportion to the number of samples: what concatenating the datasets gives.

    Raises:
        UsageError: the budget is not feasible under its repeat cap or the constraints, or the pool is empty.
    """
    counts = problem.counts.tolist()
    total = sum(counts)
    reasons = [f"{count} of {total} samples: {count / total:.2%} of the draws" for count in counts]
    return problem.select(counts, method="natural", reasons=reasons, bends_to_repeat_cap=False)
