"""Made-up worlds in which the errors that a mixture leads to are known: what proposers are judged in.

Sources and benchmarks are clouds of points around common topics. A proposer sees what it would see of real data:
summaries, binned attributes, a limited number of noisy runs. Only the judge knows the response.

    make("saturating", seed=3).errors(weights)
"""

from __future__ import annotations

from collections.abc import Callable

from benchmark.worlds import learner, responses
from benchmark.worlds.world import World

KINDS: dict[str, Callable[[int], World]] = {
    "additive": responses.additive,
    "saturating": responses.saturating,
    "redundant": responses.redundant,
    "mislabelled": responses.mislabelled,
    "matching": responses.matching,
    "learner": learner.learner,
}
"""additive: each draw has a fixed effect. saturating: useful draws count by a power law, repeated ones less and less.
redundant: the same by topic, and some sources hold near copies of others. mislabelled: and sources with fitting poses
have wrong labels. matching: the error grows with the distance of the mixture's distribution from the benchmarks'.
learner: a ridge regression is really fitted to the drawn points and tested on the benchmarks."""


def make(kind: str, seed: int) -> World:
    """A world of one kind; every seed is another one."""
    return KINDS[kind](seed)
