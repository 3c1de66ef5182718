"""Integers in given proportions that add up exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction


def apportion(shares: Sequence[float], total: int, room: Sequence[int] | None = None) -> tuple[int, ...]:
    """Integers that add up to `total` in proportion to `shares`, by largest remainder; ties go to the first.

    Quotas are exact fractions, so no rounding of floats can lose a draw. A share gets no more than its `room` as long
    as its quota fits into it.
    """
    exact = [Fraction(share) for share in shares]
    whole = sum(exact)
    quotas = [share * total / whole for share in exact]
    counts = [math.floor(quota) for quota in quotas]
    # A quota of room + 1e-17 is room: shares come from floats. Such a share has no claim on a further draw.
    is_full = [room is not None and counts[i] >= room[i] for i in range(len(counts))]
    claims = sorted(range(len(counts)), key=lambda i: (is_full[i], counts[i] - quotas[i]))
    for i in claims[: total - sum(counts)]:
        counts[i] += 1
    return tuple(counts)
