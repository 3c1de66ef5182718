"""From a table of errors (datasets by benchmarks) to orders of datasets.

A cell is in-domain when the dataset is, or shares recordings with, the training split of the benchmark; such a dataset
wins the benchmark for trivial reasons, so every score can be had with these cells in and out. A missing cell is never
made up: a dataset that lacks one that its score needs is not ranked by it, and it is said which cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from harmonize.errors import DataError, UsageError

Floats = npt.NDArray[np.float64]
Score = Literal["mean", "normalised", "mean_rank"]
SCORES: tuple[Score, ...] = ("mean", "normalised", "mean_rank")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorTable:
    """error_mm (N, B): primary error of each dataset on each benchmark, NaN where there is none; is_in_domain (N, B).

    Raises:
        DataError: shapes do not fit, a name comes twice, or an error is not positive.
    """

    datasets: tuple[str, ...]
    benchmarks: tuple[str, ...]
    error_mm: Floats
    is_in_domain: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = (len(self.datasets), len(self.benchmarks))
        for name, array in (("error_mm", self.error_mm), ("is_in_domain", self.is_in_domain)):
            if array.shape != shape:
                raise DataError(f"error table: {name}: expected the shape {shape}, found {array.shape}")
        for what, names in (("datasets", self.datasets), ("benchmarks", self.benchmarks)):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise DataError(f"error table: {what}: expected each name once, found twice: {', '.join(twice)}")
        known = self.error_mm[~np.isnan(self.error_mm)]
        if not (np.isfinite(known) & (known > 0)).all():
            raise DataError(f"error table: expected errors above 0 mm, found {float(known.min())}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """An order of datasets: `datasets` best first, `scores` beside them (lower is better; ties by name).

    unranked: dataset -> why it has no place.
    """

    name: str
    datasets: tuple[str, ...]
    scores: tuple[float, ...]
    unranked: Mapping[str, str]

    @classmethod
    def of(cls, name: str, scores: Mapping[str, float], unranked: Mapping[str, str] | None = None) -> Ranking:
        """From the score of each dataset."""
        if wrong := sorted(dataset for dataset, score in scores.items() if not np.isfinite(score)):
            raise DataError(f"{name}: expected finite scores, found none for {', '.join(wrong)}")
        order = sorted(scores, key=lambda dataset: (scores[dataset], dataset))
        return cls(
            name=name,
            datasets=tuple(order),
            scores=tuple(float(scores[dataset]) for dataset in order),
            unranked=dict(unranked or {}),
        )

    @property
    def ranks(self) -> dict[str, float]:
        """Dataset -> its place from 1; equal scores share the mean of their places."""
        return dict(zip(self.datasets, average_ranks(np.array(self.scores)).tolist(), strict=True))


def average_ranks(values: Floats) -> Floats:
    """(N,) -> (N,): places from 1 in ascending order; equal values share the mean of their places; NaN stays NaN."""
    ranks = np.full(values.shape, np.nan)
    is_known = ~np.isnan(values)
    _, inverse, counts = np.unique(values[is_known], return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks[is_known] = (last - (counts - 1) / 2)[inverse]
    return ranks


def in_domain_mask(datasets: Sequence[str], benchmarks: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(N, B): True where the dataset's card names the benchmark as in-domain; a name without a card is in no domain."""
    from catalogs.cards import cards

    found = {card.name: {entry.benchmark for entry in card.in_domain} for card in cards()}
    return np.array([[b in found.get(name, ()) for b in benchmarks] for name in datasets], dtype=bool).reshape(
        len(datasets), len(benchmarks)
    )


def rank_by(
    table: ErrorTable,
    score: Score,
    *,
    with_in_domain: bool,
    reference_mm: Mapping[str, float] | None = None,
) -> Ranking:
    """The ranking by one score over all benchmarks.

    mean: plain mean of the errors, SMPLer-X's mean primary error. normalised: mean of errors divided by `reference_mm`
    of the benchmark; where none is given, by the median over the datasets whose cells count. mean_rank: mean of the
    places on each benchmark. Without in-domain cells a dataset's mean is over the other benchmarks: it is then compared
    with datasets whose mean has all benchmarks, as in SMPLer-X.

    Raises:
        UsageError: `reference_mm` lacks a benchmark.
    """
    counts = ~table.is_in_domain | with_in_domain
    cells = np.where(counts, table.error_mm, np.nan)
    if score == "normalised":
        cells = cells / _references(table, cells, reference_mm)
    elif score == "mean_rank":
        cells = np.stack([average_ranks(column) for column in cells.T], axis=1)
    scores, unranked = {}, {}
    for dataset, row, known, counting in zip(table.datasets, cells, ~np.isnan(table.error_mm), counts, strict=True):
        missing = [name for name, is_missing in zip(table.benchmarks, counting & ~known, strict=True) if is_missing]
        if missing:
            unranked[dataset] = f"no result on {', '.join(missing)}"
        elif not counting.any():
            unranked[dataset] = "in-domain on every benchmark"
        else:
            scores[dataset] = float(row[counting].mean())
    return Ranking.of(f"{score}_{'in' if with_in_domain else 'out'}", scores, unranked)


def rank_on(table: ErrorTable, benchmark: str, *, with_in_domain: bool) -> Ranking:
    """The ranking by the error on one benchmark."""
    column = table.benchmarks.index(benchmark)
    scores, unranked = {}, {}
    for i, dataset in enumerate(table.datasets):
        if np.isnan(table.error_mm[i, column]):
            unranked[dataset] = f"no result on {benchmark}"
        elif table.is_in_domain[i, column] and not with_in_domain:
            unranked[dataset] = f"in-domain on {benchmark}"
        else:
            scores[dataset] = float(table.error_mm[i, column])
    return Ranking.of(f"{benchmark}_{'in' if with_in_domain else 'out'}", scores, unranked)


def _references(table: ErrorTable, cells: Floats, reference_mm: Mapping[str, float] | None) -> Floats:
    if reference_mm is None:
        # A benchmark without any cell ranks nobody; its median would only warn.
        return np.array([np.median(known) if (known := c[~np.isnan(c)]).size else np.nan for c in cells.T])
    if missing := [name for name in table.benchmarks if not reference_mm.get(name, 0) > 0]:
        raise UsageError(f"normalised: expected a reference error above 0 mm for {', '.join(missing)}, found none")
    return np.array([reference_mm[name] for name in table.benchmarks])
