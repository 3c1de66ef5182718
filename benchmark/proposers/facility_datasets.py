"""Which dataset to add next: greedy facility location over datasets, with its curve of diminishing returns.

A benchmark instance is covered by a source as far as the source has something near it. The first dataset is the one
that covers most, each next one that which adds most; a near copy of one that is in adds nothing, however good it is.
"""

from __future__ import annotations

import numpy as np

from benchmark.lazy_greedy import lazy_greedy, squared_distances, width_of
from benchmark.limits import Floats
from benchmark.problem import Problem
from catalogs.selection import Scalar, Selection
from harmonize.errors import UsageError

MIN_GAIN = 0.01
"""Datasets are added until the next one raises the coverage by less than this share of it."""


def facility_datasets(problem: Problem, *, k: int | None = None) -> Selection:
    """The same weight for each of the first k datasets in greedy order; k None: until the gain is below `MIN_GAIN`.

    The residuals hold the curve: coverage (0 to 1) after each dataset, in order.

    Raises:
        UsageError: see `Problem.spaces`; k is out of range, or no sample of a summary is left.
    """
    names = problem.names
    if k is not None and not 1 <= k <= len(names):
        raise UsageError(f"facility_datasets: k: expected 1 to {len(names)}, found {k}", field="k")
    similarity = coverage(problem)
    size = len(names)
    order, gains = lazy_greedy(similarity, size, owner=np.arange(size), most=np.ones(size, np.int64))
    reached = np.cumsum(gains)
    num = k if k is not None else next((i for i in range(1, size) if gains[i] < MIN_GAIN * reached[i]), size)
    weights, reasons = np.zeros(size), [""] * size
    residuals: dict[str, Scalar] = {}
    for rank, i in enumerate(order):
        weights[i] = 1.0 if rank < num else 0.0
        before = float(reached[rank - 1]) if rank else 0.0
        reasons[i] = (
            f"{'added' if rank < num else 'not added'}, number {rank + 1}: coverage {before:.4f} -> {reached[rank]:.4f}"
            f" ({float(similarity[i].mean()):.4f} alone)"
        )
        residuals[f"coverage/{rank + 1:02d} {names[i]}"] = float(reached[rank])
    return problem.select(
        weights, method="facility_datasets", parameters={"k": num}, reasons=reasons, residuals=residuals
    )


def coverage(problem: Problem) -> Floats:
    """(n, V) how well each candidate covers each benchmark instance, every benchmark and space with equal weight.

    exp(-d^2 / 2h^2) for the nearest instance of the source's sample at distance d; h is how far a benchmark's instances
    are from their fifth neighbour.
    """
    columns = []
    for space in problem.spaces():
        for benchmark in sorted(problem.targets):
            points = problem.targets[benchmark][space].sample
            if len(points) < 2:
                raise UsageError(
                    f"facility_datasets: {benchmark}: {space}: expected at least 2 instances in its sample"
                )
            width = width_of(points)
            rows = []
            for name in problem.names:
                sample = problem.sources[name][space].sample
                near = squared_distances(points, sample).min(axis=1) if len(sample) else np.full(len(points), np.inf)
                rows.append(np.exp(-near / (2 * width**2)))
            # Equal weight whatever the number of instances: `lazy_greedy` takes the mean over columns.
            columns.append(np.stack(rows) / len(points))
    joined = np.concatenate(columns, axis=1)
    return np.asarray(joined * joined.shape[1] / len(columns))
