"""What is known of a source's or a benchmark's attributes without holding them: summaries that can be merged.

A space is a set of numbers of each sample with a metric (pose components, orientation cells, image features); a summary
holds all that distances and proposers need of the samples of one source in it. Summaries of parts of a source merge into
that of the whole, so one pass over the catalog is enough, whatever the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Of one source (or benchmark) in one space of d dimensions.

    space: name and version of the space; summaries of different spaces cannot be compared. num: samples with a value.
    mean (d,) and scatter (d, d): sum of outer products of deviations from the mean. embedding (D,): mean of random
    Fourier features of the space's kernel. cells (K,): counts over the space's cells; (0,) where it has none.
    sample (m, d) with sample_keys (m,): a uniform random sample without replacement, m at most the space's limit.
    """

    space: str
    num: int
    mean: Floats
    scatter: Floats
    embedding: Floats
    cells: npt.NDArray[np.int64]
    sample: Floats
    sample_keys: tuple[str, ...]

    @property
    def covariance(self) -> Floats:
        """(d, d), with divisor num."""
        covariance: Any = self.scatter / max(self.num, 1)
        return np.asarray(covariance)
