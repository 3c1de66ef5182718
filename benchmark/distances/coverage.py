"""Coverage and density: which instances of a benchmark a source has something like. Neither is symmetric.

(Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models".) A benchmark instance is covered
when the nearest source instance is not farther than the instance's own k-th neighbour in the benchmark. Samples stand
for both sides: at most `Space.sample_limit` instances of each, so a source that has one rare instance among millions
may be said to lack it.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from benchmark.fitted import squared_distances
from benchmark.summary import Floats, Summary, check_enough, check_same_space

NEIGHBOURS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """keys of the benchmark's sample (n,); radius (n,): distance to the k-th neighbour in the benchmark; distance (n,):
    to the nearest source instance; num_near (n,): source instances within the radius; num_source of them all."""

    keys: tuple[str, ...]
    radius: Floats
    distance: Floats
    num_near: npt.NDArray[np.int64]
    num_source: int
    neighbours: int

    @property
    def is_covered(self) -> Floats:
        """(n,) 1 where a source instance lies within the radius, else 0."""
        return (self.num_near > 0).astype(np.float64)

    @property
    def crowding(self) -> Floats:
        """(n,) source instances within the radius, over how many there would be of the same distribution."""
        return np.asarray(self.num_near * (len(self.keys) / (self.neighbours * self.num_source)))

    @property
    def coverage(self) -> float:
        """Mean of `is_covered`; an independent source of the same distribution and number has about 1 - 2^-k."""
        return float(self.is_covered.mean())

    @property
    def density(self) -> float:
        """Mean of `crowding`: sum num_near / (k num_source). 1 on average for the same distribution; above 1 where the
        source keeps to the benchmark's densest parts."""
        return float(self.crowding.mean())

    @property
    def uncovered(self) -> tuple[str, ...]:
        """Keys of the benchmark instances that the source does not cover, the farthest (in radii) first."""
        at = np.flatnonzero(self.num_near == 0).tolist()
        radii = (self.distance / np.maximum(self.radius, 1e-300)).tolist()
        return tuple(self.keys[row] for row in sorted(at, key=lambda row: (-radii[row], self.keys[row])))


def cover(source: Summary, target: Summary, *, neighbours: int = NEIGHBOURS) -> Cover:
    """What the source has of the target, a benchmark.

    Raises:
        UsageError: other spaces or versions; fewer than k + 1 instances in the benchmark, or none in the source.
    """
    check_same_space(source, target, "coverage")
    check_enough(target, len(target.sample), neighbours + 1, "coverage")
    check_enough(source, len(source.sample), 1, "coverage")
    centred = target.sample - target.sample.mean(axis=0)
    rounding = 1e-13 * float(np.einsum("nd,nd->n", centred, centred).max())
    radius = _squared_radii(target, neighbours)
    apart = squared_distances(target.sample, source.sample)
    return Cover(
        keys=target.sample_keys,
        radius=np.sqrt(radius),
        distance=np.sqrt(apart.min(axis=1)),
        num_near=(apart <= radius[:, None] + rounding).sum(axis=1),
        num_source=len(source.sample),
        neighbours=neighbours,
    )


_RADII: WeakKeyDictionary[Summary, dict[int, Floats]] = WeakKeyDictionary()
"""A benchmark is compared with every source, and finding its neighbours takes as long as finding the source's."""


def _squared_radii(target: Summary, neighbours: int) -> Floats:
    known = _RADII.setdefault(target, {})
    if neighbours not in known:
        own = squared_distances(target.sample, target.sample)
        np.fill_diagonal(own, np.inf)
        known[neighbours] = np.partition(own, neighbours - 1, axis=1)[:, neighbours - 1].copy()
    return known[neighbours]
