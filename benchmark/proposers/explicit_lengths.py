"""A given number of draws for each dataset: the `weighted` strategy of SMPLest-X (arXiv 2501.09782)."""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.problem import Problem
from benchmark.proposers.naming import of_source
from catalogs.selection import Selection
from harmonize.errors import UsageError


def explicit_lengths(problem: Problem, *, lengths: Mapping[str, float]) -> Selection:
    """Weights in proportion to lengths, by dataset or `dataset/split`; who is not named is not drawn.

    A length of a dataset with several splits is divided by their numbers of samples.

    Raises:
        UsageError: a length is no finite number of 0 or more, all are 0, a name is not in the pool, or the budget is
            not feasible under its repeat cap or the constraints.
    """
    counts = problem.counts.tolist()
    found = of_source(problem, lengths, "explicit_lengths")
    weights = [0.0] * len(counts)
    for name, places in found.items():
        if not 0 <= lengths[name] < float("inf"):
            raise UsageError(f"explicit_lengths: {name}: expected a length of 0 or more, found {lengths[name]}")
        total = sum(counts[i] for i in places)
        for i in places:
            weights[i] += lengths[name] * counts[i] / total
    whole = sum(weights)
    reasons = [f"length {weight:g} of {whole:g} asked for" if weight else "no length given" for weight in weights]
    return problem.select(weights, method="explicit_lengths", reasons=reasons, bends_to_repeat_cap=False)
