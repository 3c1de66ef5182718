"""Jensen-Shannon divergence over the cells of a space: how much two histograms differ, in bits."""

from __future__ import annotations

import numpy as np

from benchmark.summary import Floats, Summary, check_enough, check_same_space
from harmonize.errors import UsageError

LEAST = 5
PSEUDO_COUNT = 0.01


def jensen_shannon(source: Summary, target: Summary, *, pseudo_count: float = PSEUDO_COUNT) -> float:
    """In bits: 0 for the same distribution, at most 1 (Lin 1991, "Divergence Measures Based on the Shannon Entropy").

        JS(p, q) = sum over cells of p/2 log2(2p / (p + q)) + q/2 log2(2q / (p + q))

    pseudo_count: added to each cell of histograms that are scaled to one instance a cell, so that it does not depend on
    how many instances there are: what is doubled stays the same.

    Few instances look different by chance: n and m of one distribution over K cells are about
    (K - 1) (1/n + 1/m) / (8 ln 2) bits apart where every cell is met several times.

    Raises:
        UsageError: other spaces or versions, a space without cells, or fewer than 5 instances on a side.
    """
    check_same_space(source, target, "jensen_shannon")
    if not len(source.cells):
        raise UsageError(
            f"jensen_shannon: expected a space with cells, found {source.space}",
            fix="choose another metric, or one of the spaces distance, orientation, pose, shape and visibility",
        )
    for one in (source, target):
        check_enough(one, one.num, LEAST, "jensen_shannon")
    return divergence_bits(_shares(source, pseudo_count), _shares(target, pseudo_count))


def divergence_bits(first: Floats, second: Floats) -> float:
    """JS of two lists of shares (K,), each adding up to 1."""
    middle = first + second
    return float(max(0.0, sum((_term(one, middle) for one in (first, second)), 0.0)))


def _shares(summary: Summary, pseudo_count: float) -> Floats:
    shares = summary.cells / summary.cells.sum()
    return np.asarray((shares + pseudo_count / len(shares)) / (1 + pseudo_count))


def _term(share: Floats, middle: Floats) -> float:
    ratio = np.divide(2 * share, middle, out=np.ones_like(share), where=share > 0)
    return float((share / 2 * np.log2(ratio)).sum())
