"""Proposers: pure functions from what is available and what may be spent to a `Selection` with reasons.

A proposer reads no pictures and trains nothing. Every proposer is called as `PROPOSERS[name](problem, **parameters)`;
same arguments, same selection, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmark.proposers.explicit_lengths import explicit_lengths
from benchmark.proposers.mean_matching import mean_matching
from benchmark.proposers.natural import natural
from benchmark.proposers.repeat_capped import repeat_capped
from benchmark.proposers.temperature import temperature
from benchmark.proposers.top_k import top_k
from benchmark.proposers.uniform import uniform
from catalogs.selection import Selection

PROPOSERS: dict[str, Callable[..., Selection]] = {
    "explicit_lengths": explicit_lengths,
    "mean_matching": mean_matching,
    "natural": natural,
    "repeat_capped": repeat_capped,
    "temperature": temperature,
    "top_k": top_k,
    "uniform": uniform,
}
