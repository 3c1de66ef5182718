"""Proposers: pure functions from what is available and what may be spent to a `Selection` with reasons.

A proposer reads no pictures and trains nothing. Every proposer is called as
`PROPOSERS[name](pool, budget, **parameters)`; same arguments, same selection, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmark.proposers.natural import natural
from benchmark.proposers.repeat_capped import repeat_capped
from benchmark.proposers.temperature import temperature
from benchmark.proposers.uniform import uniform
from catalogs.selection import Selection

PROPOSERS: dict[str, Callable[..., Selection]] = {
    "natural": natural,
    "repeat_capped": repeat_capped,
    "temperature": temperature,
    "uniform": uniform,
}
