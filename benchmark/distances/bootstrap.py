"""How sure a distance is: intervals by resampling what the summaries hold.

The samples' sequences (or subjects) are drawn with replacement, all instances of a drawn one together, because frames
of one clip are near copies; without sequences, instances are drawn. The interval is the value with the spread of the
resampled values around their mean: how the estimate would vary with other sequences. It does not undo the bias of few
instances, which makes distances too large. Its spread is that of estimates from `sample_limit` instances, so it errs on
the wide side for metrics that count every instance.

Metrics that are means over the target's instances (coverage) are resampled as such means: with instances drawn twice,
neighbours would be nearer than they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from benchmark.distances import Metric
from benchmark.fitted import Space
from benchmark.summary import Summary
from harmonize.errors import UsageError

LEVEL = 0.95
LEAST_GROUPS = 5
"""Of fewer sequences, draws are so alike that an interval would promise too much."""


def interval(
    metric: Metric,
    source: Summary,
    target: Summary,
    space: Space,
    *,
    num_draws: int,
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Lower and upper bound of the metric's value for these two.

    groups: sequence of each key of the samples; None: every instance by itself.

    Raises:
        UsageError: fewer than 5 sequences on a side that is drawn from; what the metric raises.
    """
    rng = np.random.default_rng(seed)
    value = metric.compute(source, target, space)
    if metric.of_instances is not None:
        rows = _rows_of(target, groups)
        values = metric.of_instances(source, target)
        draws = [float(values[_drawn(rows, rng)].mean()) for _ in range(num_draws)]
    else:
        parts = [_Resampled(one, space, groups) for one in (source, target)]
        draws = [metric.compute(parts[0].draw(rng), parts[1].draw(rng), space) for _ in range(num_draws)]
    low, high = np.quantile(np.array(draws) - np.mean(draws), [(1 - level) / 2, (1 + level) / 2])
    return float(value + low), float(value + high)


class _Resampled:
    """Summaries of draws from a summary's sample. Cells have no rows: instances are drawn from their counts."""

    def __init__(self, summary: Summary, space: Space, groups: Mapping[str, str] | None) -> None:
        self._summary = summary
        self._embedded = space.embedded(summary.sample).astype(np.float64)
        self._rows = _rows_of(summary, groups)

    def draw(self, rng: np.random.Generator) -> Summary:
        """Of a draw of as many sequences as there are."""
        rows = _drawn(self._rows, rng)
        cells = self._summary.cells
        if len(cells):
            # As many as there are sequences for each instance, since instances of one are no news.
            num = max(1, round(cells.sum() * len(self._rows) / len(self._summary.sample)))
            cells = rng.multinomial(num, cells / cells.sum()).astype(np.int64)
        return self._of(rng.permutation(rows), cells)

    def _of(self, rows: npt.NDArray[np.intp], cells: npt.NDArray[np.int64]) -> Summary:
        sample = self._summary.sample[rows]
        mean = sample.mean(axis=0)
        apart = sample - mean
        return Summary(
            space=self._summary.space,
            num=len(rows),
            mean=mean,
            scatter=apart.T @ apart,
            embedding=self._embedded[rows].mean(axis=0),
            cells=cells,
            sample=sample,
            sample_keys=tuple(self._summary.sample_keys[row] for row in rows.tolist()),
        )


def _drawn(rows: Sequence[npt.NDArray[np.intp]], rng: np.random.Generator) -> npt.NDArray[np.intp]:
    chosen = rng.integers(len(rows), size=len(rows))
    return np.concatenate([rows[group] for group in chosen.tolist()])


def _rows_of(summary: Summary, groups: Mapping[str, str] | None) -> list[npt.NDArray[np.intp]]:
    """The rows of the sample of each sequence, by name."""
    names = summary.sample_keys if groups is None else [groups[key] for key in summary.sample_keys]
    _, codes = np.unique(np.array(names, dtype=np.str_), return_inverse=True)
    num = int(codes.max(initial=-1)) + 1
    if num < LEAST_GROUPS:
        raise UsageError(
            f"interval in {summary.space}: expected at least {LEAST_GROUPS} sequences on each side, found {num}",
            fix="ask for no interval",
        )
    return np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
