"""As even as the repeat cap allows: small datasets are used up to the cap, the rest goes to the others."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from benchmark.proposers.temperature import temperature_weights
from catalogs.selection import Budget, Pool, Selection, select
from harmonize.errors import UsageError


def repeat_capped(pool: Pool, budget: Budget, *, tau: float | None = None) -> Selection:
    """Uniform weights (or temperature weights, when tau is given), limited by water-filling to `budget.repeat_cap`.

    Raises:
        UsageError: the budget has no repeat cap, or asks for more than cap x samples (the message names the largest
            feasible number of draws), tau is out of range, or the pool is empty.
    """
    cap = budget.repeat_cap
    if cap is None:
        raise UsageError("repeat_capped: repeat_cap: expected a number of repeats, found none", fix="give a repeat cap")
    counts = [source.num_available for source in pool.sources]
    if budget.draws_per_epoch > cap * sum(counts):
        raise UsageError(
            f"repeat_capped: {budget.draws_per_epoch} draws are not feasible: {sum(counts)} samples at most {cap} "
            f"times each are {cap * sum(counts)} draws",
            fix=f"ask for at most {cap * sum(counts)} draws, or raise the repeat cap",
            feasible=cap * sum(counts),
        )
    wanted = [1.0] * len(counts) if tau is None else temperature_weights(counts, tau)
    limits = [Fraction(cap * count, budget.draws_per_epoch) for count in counts]
    shares = fill(wanted, limits)
    reasons = [
        f"limited to {cap} draws of each of its {count} samples"
        if share == limit
        else f"{float(share):.2%} of the draws: below the cap, {float(share / limit):.1%} of what it allows"
        for share, limit, count in zip(shares, limits, counts, strict=True)
    ]
    weights = [float(share) for share in shares]
    parameters = {} if tau is None else {"tau": tau}
    return select(pool, weights, budget, method="repeat_capped", parameters=parameters, reasons=reasons)


def fill(wanted: Sequence[float], limits: Sequence[Fraction]) -> list[Fraction]:
    """Shares that add up to 1, in proportion to `wanted` except where a limit holds them down (water-filling).

    wanted: positive; limits: adding up to at least 1. Exact, so that a share at its limit equals its limit.
    """
    proportions = [Fraction(value) for value in wanted]
    shares = [Fraction(0)] * len(limits)
    is_open = set(range(len(limits)))
    while is_open:
        rest = 1 - sum((shares[i] for i in range(len(limits)) if i not in is_open), Fraction(0))
        level = rest / sum((proportions[i] for i in is_open), Fraction(0))
        full = {i for i in is_open if level * proportions[i] >= limits[i]}
        for i in full or is_open:
            shares[i] = limits[i] if full else level * proportions[i]
        is_open -= full or is_open
    return shares
