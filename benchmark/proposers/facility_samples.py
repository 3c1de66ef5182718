"""Few samples that stand for the benchmarks' instances: greedy facility location over samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmark.lazy_greedy import lazy_greedy, squared_distances, width_of
from benchmark.limits import Floats
from benchmark.problem import Problem, Samples
from benchmark.quotas import allowed, joined, quotas
from benchmark.summary import Summary
from catalogs.selection import Selection
from harmonize.errors import UsageError

MAX_PAIRS = 50_000_000
"""Similarities that are held in memory: 200 MB."""


def facility_samples(
    problem: Problem,
    *,
    num: int,
    space: str | None = None,
    samples: Mapping[str, Samples] | None = None,
    targets: Mapping[str, Samples] | None = None,
) -> Selection:
    """Chooses `num` samples so that as many benchmark instances as possible have one near them.

    space: which summaries' samples are the candidates and instances (the first shared space by default); samples,
    targets: these instead, values (N, d). Once every instance has its nearest, further samples add nothing; the
    residuals say how much the last one added.

    Raises:
        UsageError: num out of range, too many pairs to compare, fewer than 2 instances, or no choice obeys the
            constraints.
    """
    if samples is None or targets is None:
        space = space or problem.spaces()[0]
        samples = samples or {name: _of(problem.sources[name][space]) for name in problem.names}
        targets = targets or {name: _of(problem.targets[name][space]) for name in problem.targets}
    rows = allowed(problem, samples, "facility_samples")
    keys, values, owner = joined(rows)
    aim = np.concatenate([np.asarray(targets[name].values, np.float64) for name in sorted(targets)])
    if len(aim) < 2:
        raise UsageError(f"facility_samples: expected at least 2 benchmark instances, found {len(aim)}")
    if len(keys) * len(aim) > MAX_PAIRS:
        raise UsageError(
            f"facility_samples: {len(keys)} samples and {len(aim)} instances are {len(keys) * len(aim):,} pairs, more "
            f"than {MAX_PAIRS:,}",
            fix="choose among the samples of summaries, or among fewer",
        )
    similarity = _similarity(np.asarray(values, np.float64), aim)
    available = [len(one.keys) for one in rows.values()]
    free = lazy_greedy(similarity, num, owner=owner, most=np.array(available))[0]
    wanted = np.bincount(owner[free], minlength=len(rows)).tolist() if num >= 1 else []
    most = quotas(problem, wanted or [1.0] * len(rows), num, available, "facility_samples")
    taken, gains = lazy_greedy(similarity, num, owner=owner, most=np.array(most))
    chosen = {name: [keys[i] for i in taken if owner[i] == place] for place, name in enumerate(rows)}
    added = np.array(gains)
    why = {
        name: f"{len(chosen[name])} samples, which add {added[owner[taken] == place].sum():.4f} to a coverage of "
        f"{added.sum():.4f}"
        for place, name in enumerate(rows)
    }
    return problem.select_samples(
        chosen,
        method="facility_samples",
        why=why,
        parameters={"num": num, "space": space},
        residuals={"coverage": float(added.sum()), "last-gain": float(added[-1])},
    )


def _similarity(values: Floats, aim: Floats) -> Floats:
    width = width_of(aim)
    blocks = [
        np.exp(-squared_distances(values[i : i + 4096], aim) / (2 * width**2)).astype(np.float32)
        for i in range(0, len(values), 4096)
    ]
    return np.concatenate(blocks)


def _of(summary: Summary) -> Samples:
    return Samples(keys=summary.sample_keys, values=summary.sample)
