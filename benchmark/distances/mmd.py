"""Maximum mean discrepancy (Gretton et al. 2012, "A Kernel Two-Sample Test"): how far apart two mean embeddings are.

The kernel is the mean of three Gaussian ones (`benchmark.fitted`), so both squares lie between 0 (up to noise) and 2.
"""

from __future__ import annotations

import numpy as np

from benchmark.fitted import WIDTHS, Space, squared_distances
from benchmark.summary import Floats, Summary, check_enough, check_same_space

LEAST = 2


def mmd2(source: Summary, target: Summary) -> float:
    """MMD^2 by random Fourier features, of all instances: |mean z(x) - mean z(y)|^2.

    It counts pairs of an instance with itself, which adds about (1 - E k) (1/n + 1/m), and the features approximate the
    kernel to about 1 / sqrt(frequencies) of the discrepancy; `mmd2_unbiased` has neither, on samples.

    Raises:
        UsageError: other spaces or versions, or fewer than 2 instances on a side.
    """
    check_same_space(source, target, "mmd2")
    for one in (source, target):
        check_enough(one, one.num, LEAST, "mmd2")
    apart = source.embedding - target.embedding
    return float(apart @ apart)


def mmd2_unbiased(source: Summary, target: Summary, space: Space) -> float:
    """The unbiased estimate of MMD^2 with the exact kernel, on the first m rows of both samples, m that of the smaller.

        1/(m(m-1)) sum_{a != b} k(x_a, x_b) + 1/(m(m-1)) sum_{a != b} k(y_a, y_b) - 2/m^2 sum k(x_a, y_b)

    It can be slightly negative where the distributions are alike; that is right, and must not be clipped before means
    are taken.

    Raises:
        UsageError: other spaces or versions, or fewer than 2 instances on a side.
    """
    check_same_space(source, target, "mmd2_unbiased")
    for one in (source, target):
        check_enough(one, len(one.sample), LEAST, "mmd2_unbiased")
    num = min(len(source.sample), len(target.sample))
    first, second = source.sample[:num], target.sample[:num]
    within = sum((kernel(one, one, space.median).sum() - num) / (num * (num - 1)) for one in (first, second))
    return float(within - 2 * kernel(first, second, space.median).mean())


def kernel(first: Floats, second: Floats, median: float) -> Floats:
    """k (N, M) of points (N, d) and (M, d)."""
    squared = squared_distances(first, second)
    one = np.exp(squared / (-2 * (max(WIDTHS) * median) ** 2))
    total = one.copy()
    for _ in WIDTHS[1:]:  # each width is half of another, so that its kernel is the fourth power of that one's
        one *= one
        one *= one
        total += one
    return np.asarray(total) / len(WIDTHS)
