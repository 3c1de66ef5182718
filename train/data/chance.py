"""Randomness that belongs to a draw and not to a worker: a hash of (seed, epoch, position of the draw in its epoch).

What is drawn does not depend on the number of threads or processes, nor on what was drawn before, so a resumed run
draws the same. The hash is splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Chance:
    """The numbers of N draws. Each call names its own stream, so that a new kind of number changes no other."""

    state: Words

    def __getitem__(self, at: slice) -> Chance:
        """Those of some of the draws."""
        return Chance(self.state[at])

    def uniform(self, stream: str, *shape: int) -> Floats:
        """Numbers (N, *shape), each in [0, 1)."""
        word = np.uint64(int.from_bytes(blake2b(stream.encode(), digest_size=8).digest(), "little"))
        count = int(np.prod(shape, dtype=int))
        steps = np.arange(count, dtype=np.uint64) * _STEP
        hashed = mix(mix(self.state ^ word)[:, None] + steps)
        return (hashed >> np.uint64(11)).astype(np.float64).reshape(-1, *shape) * 2.0**-53

    def normal(self, stream: str, *shape: int) -> Floats:
        """Standard normal numbers (N, *shape), by Box and Muller (1958)."""
        pair = self.uniform(stream, *shape, 2)
        return np.asarray(np.sqrt(-2 * np.log1p(-pair[..., 0])) * np.cos(2 * np.pi * pair[..., 1]), np.float64)


def chance_of(seed: int, epoch: int, positions: npt.NDArray[np.int64]) -> Chance:
    """The numbers of the draws at `positions` (N,) of an epoch."""
    start = mix(mix(np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64)) ^ np.uint64(epoch))
    return Chance(mix(start + positions.astype(np.uint64) * _STEP))


def mix(x: Words) -> Words:
    """The output function of splitmix64."""
    x = x + _STEP
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
