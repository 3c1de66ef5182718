"""Problems whose answer is known, with summaries made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmark.constraints import Constraints
from benchmark.problem import Problem
from benchmark.summary import Floats, Summary
from catalogs.selection import Budget, Pool, Selection, Source

SPACE = "test:1"
_FREQUENCIES = np.random.default_rng(99).normal(0, 0.7, (256, 2))


def summary_of(points: Floats, name: str = "x", space: str = SPACE) -> Summary:
    """Of points (N, 2); all of them are its sample."""
    phase = points @ _FREQUENCIES.T
    embedded = np.concatenate([np.cos(phase), np.sin(phase)], axis=1) / np.sqrt(len(_FREQUENCIES))
    apart = points - points.mean(axis=0)
    return Summary(
        space=space,
        num=len(points),
        mean=points.mean(axis=0),
        scatter=apart.T @ apart,
        embedding=embedded.mean(axis=0),
        cells=np.zeros(0, np.int64),
        sample=points,
        sample_keys=tuple(f"{name}-{i:05d}" for i in range(len(points))),
    )


def problem_of(
    clouds: Mapping[str, Floats],
    targets: Mapping[str, Floats] | None = None,
    *,
    draws: int = 1000,
    cap: int | None = None,
    constraints: Constraints | None = None,
    counts: Mapping[str, int] | None = None,
    order: Sequence[str] | None = None,
    seed: int = 0,
) -> Problem:
    """A source a cloud of points (N, 2), with as many samples unless `counts` says otherwise."""
    sizes = {name: len(points) for name, points in clouds.items()} | dict(counts or {})
    sources = [Source(dataset=name, split="train", num_available=sizes[name]) for name in order or clouds]
    return Problem(
        pool=Pool(sources=tuple(sources), shards=()),
        budget=Budget(draws_per_epoch=draws, repeat_cap=cap),
        constraints=constraints or Constraints(),
        sources={f"{name}/train": {SPACE: summary_of(points, name)} for name, points in clouds.items()},
        targets={name: {SPACE: summary_of(points, name)} for name, points in (targets or {}).items()},
        seed=seed,
    )


def weights_of(selection: Selection) -> dict[str, float]:
    return {member.dataset: member.weight for member in selection.members}


def clouds(num: int, size: int = 300, *, seed: int = 0, spread: float = 3.0) -> dict[str, Floats]:
    """Clouds around places of their own."""
    rng = np.random.default_rng(seed)
    return {f"set{i:02d}": rng.normal(rng.normal(0, spread, 2), 0.6, (size, 2)) for i in range(num)}


def mixed(parts: Mapping[str, Floats], shares: Mapping[str, float], size: int, seed: int = 5) -> Floats:
    """A cloud of which a known share comes from each part."""
    rng: Any = np.random.default_rng(seed)
    return np.concatenate(
        [parts[name][rng.integers(len(parts[name]), size=round(s * size))] for name, s in shares.items()]
    )
