"""Every dataset counts the same, however many samples it has."""

from __future__ import annotations

from catalogs.selection import Budget, Pool, Selection, select


def uniform(pool: Pool, budget: Budget) -> Selection:
    """The same weight for each source: the balanced mixture of SMPLer-X (arXiv 2309.17448).

    Small sources repeat often; the reason of each member says how often.

    Raises:
        UsageError: the budget is not feasible under its repeat cap, or the pool is empty.
    """
    num_sources = len(pool.sources)
    draws_each = budget.draws_per_epoch / max(num_sources, 1)
    reasons = [
        f"one of {num_sources} equal parts; a sample is drawn {draws_each / source.num_available:.3g} times an epoch"
        for source in pool.sources
    ]
    return select(pool, [1.0] * num_sources, budget, method="uniform", reasons=reasons)
