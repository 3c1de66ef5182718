"""Every sample counts the same: a dataset's weight is its share of all samples."""

from __future__ import annotations

from catalogs.selection import Budget, Pool, Selection, select


def natural(pool: Pool, budget: Budget) -> Selection:
    """Weights in proportion to the number of samples: what concatenating the datasets gives.

    Raises:
        UsageError: the budget is not feasible under its repeat cap, or the pool is empty.
    """
    counts = [source.num_available for source in pool.sources]
    total = sum(counts)
    reasons = [f"{count} of {total} samples: {count / total:.2%} of the draws" for count in counts]
    return select(pool, counts, budget, method="natural", reasons=reasons)
