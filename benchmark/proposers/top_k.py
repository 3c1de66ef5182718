"""The same weight for each of the k best of a ranking: the scaling steps 5, 10, 20, 32 of SMPLer-X."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.problem import Problem
from benchmark.proposers.naming import of_source
from catalogs.selection import Selection
from harmonize.errors import UsageError


def top_k(problem: Problem, *, ranking: Sequence[str], k: int) -> Selection:
    """1 / k for each of the first k candidates of a ranking (datasets or sources, best first), 0 for the others.

    What constraints leave out is skipped, and the next in the ranking moves up.

    Raises:
        UsageError: k is not between 1 and the number of candidates ranked, a name comes twice or is not in the pool, or
            the budget is not feasible under its repeat cap or the constraints.
    """
    if len(set(ranking)) != len(ranking):
        raise UsageError("top_k: ranking: a name comes twice", field="ranking")
    found = of_source(problem, ranking, "top_k")
    if not 1 <= k <= len(found):
        raise UsageError(f"top_k: k: expected 1 to {len(found)} (the datasets ranked), found {k}", field="k")
    size = len(problem.names)
    weights, reasons = [0.0] * size, ["not in the ranking"] * size
    for rank, places in enumerate(found.values(), 1):
        for i in places:
            weights[i] = 1.0 / len(places) if rank <= k else 0.0
            reasons[i] = f"rank {rank} of {len(found)}: {'among' if rank <= k else 'not among'} the best {k}"
    return problem.select(weights, method="top_k", parameters={"k": k}, reasons=reasons, bends_to_repeat_cap=False)
