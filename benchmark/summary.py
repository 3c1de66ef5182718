"""What is known of a source's or a benchmark's attributes without holding them: summaries that can be merged.

A space is a set of numbers of each sample with a metric (pose components, orientation cells, image features); a
summary holds all that distances and proposers need of the samples of one source in it. Summaries of parts of a source
merge into that of the whole, so one pass over the catalog is enough, whatever the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.errors import UsageError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Summary:
    """Of one source (or benchmark) in one space of d dimensions.

    space: name and version of the space; summaries of different spaces cannot be compared. num: samples with a value.
    mean (d,) and scatter (d, d): sum of outer products of deviations from the mean. embedding (D,): mean of random
    Fourier features of the space's kernel. cells (K,): counts over the space's cells; (0,) where it has none.
    sample (m, d) with sample_keys (m,): a uniform random sample without replacement, m at most the space's limit, in
    random order: its first rows are such a sample too. num_missing: samples without a value, which count in nothing.
    """

    space: str
    num: int
    mean: Floats
    scatter: Floats
    embedding: Floats
    cells: npt.NDArray[np.int64]
    sample: Floats
    sample_keys: tuple[str, ...]
    num_missing: int = 0

    @property
    def covariance(self) -> Floats:
        """(d, d), with divisor num."""
        covariance: Any = self.scatter / max(self.num, 1)
        return np.asarray(covariance)


def check_same_space(first: Summary, second: Summary, what: str) -> None:
    """Refuse what compares or merges summaries of different spaces, or of versions of one.

    Raises:
        UsageError: numbers of different spaces have nothing to do with one another.
    """
    if first.space != second.space:
        raise UsageError(
            f"{what}: expected summaries of one space, found {first.space} and {second.space}",
            fix="summarise both with the same fitted spaces: `ehps distance STORE --spaces-of SAVED.npz`",
        )


def check_enough(summary: Summary, num: int, least: int, what: str) -> None:
    """Refuse an estimate from too few instances; `num` of them are there.

    Raises:
        UsageError: fewer than `least`.
    """
    if num < least:
        raise UsageError(
            f"{what} in {summary.space}: expected at least {least} instances on each side, found {num}",
            fix="leave the source out, ingest more of it, or choose a metric that needs fewer",
            needed=least,
            found=num,
        )
