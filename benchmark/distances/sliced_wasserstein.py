"""Sliced Wasserstein-1 distance: how far, on average over directions, the one has to be moved to become the other."""

from __future__ import annotations

import numpy as np

from benchmark.fitted import Space
from benchmark.summary import Summary, check_enough, check_same_space

LEAST = 5


def sliced_wasserstein(source: Summary, target: Summary, space: Space) -> float:
    """In the unit of the space, on the first m rows of both samples, m that of the smaller.

        mean over unit directions t of  1/m sum_i |(t . x)_(i) - (t . y)_(i)|       sorted projections

    (Bonneel et al. 2015; on a line W1 is the mean difference of sorted values.) The directions are the space's own. A
    shift by s costs mean |t . s|, about |s| sqrt(2 / (pi d)) in d dimensions and |s| on a line.

    Raises:
        UsageError: other spaces or versions, or fewer than 5 instances on a side.
    """
    check_same_space(source, target, "sliced_wasserstein")
    for one in (source, target):
        check_enough(one, len(one.sample), LEAST, "sliced_wasserstein")
    num = min(len(source.sample), len(target.sample))
    first, second = (np.sort(space.directions @ one.sample[:num].T, axis=1) for one in (source, target))
    return float(np.abs(first - second).mean())
