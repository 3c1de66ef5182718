"""As even as the repeat cap allows: small datasets are used up to the cap, the rest goes to the others."""

from __future__ import annotations

from benchmark.problem import Problem
from benchmark.proposers.temperature import temperature_weights
from catalogs.selection import Selection
from harmonize.errors import UsageError


def repeat_capped(problem: Problem, *, tau: float | None = None) -> Selection:
    """Uniform weights (or temperature weights, when tau is given), limited by water-filling to the repeat cap.

    Raises:
        UsageError: the budget has no repeat cap, or asks for more than cap x samples or than the constraints allow (the
            message names the largest feasible number of draws), tau is out of range, or the pool is empty.
    """
    cap, draws = problem.budget.repeat_cap, problem.budget.draws_per_epoch
    if cap is None:
        raise UsageError("repeat_capped: repeat_cap: expected a number of repeats, found none", fix="give a repeat cap")
    counts = problem.counts.tolist()
    wanted = [1.0] * len(counts) if tau is None else temperature_weights(counts, tau)
    shares = problem.feasible(wanted).tolist()
    reasons = [
        "" if room <= 1 + 1e-9 else f"{share:.2%} of the draws: below the cap, {1 / room:.1%} of what it allows"
        for share, room in zip(shares, _rooms(shares, counts, cap, draws), strict=True)
    ]
    parameters = {} if tau is None else {"tau": tau}
    return problem.select(wanted, method="repeat_capped", parameters=parameters, reasons=reasons)


def _rooms(shares: list[float], counts: list[int], cap: int, draws: int) -> list[float]:
    """How many times its share the cap would allow each source."""
    return [cap * count / draws / share if share else float("inf") for share, count in zip(shares, counts, strict=True)]
