"""Tables: every source against every benchmark, or against every other source; and what no source has.

A benchmark is an evaluation split of a benchmark dataset. A source is in-domain for it when its card says that the
benchmark's pictures are of the same kind; such cells are marked, because they tell little of the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from benchmark.distances import METRICS
from benchmark.distances.bootstrap import interval
from benchmark.distances.coverage import NEIGHBOURS, cover
from benchmark.protocols import PROTOCOLS
from benchmark.summary_files import Summaries
from catalogs.cards import DATASETS, Card, card
from harmonize.errors import UsageError

BENCHMARKS = ("agora", "arctic", "dna_rendering_hires", "egobody", "ehf", "pw3d", "ubody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """value of a metric between a source and a target in a space, or the problem that there is none; low and high: its
    interval, where asked for and where there are enough sequences."""

    space: str
    metric: str
    source: str
    target: str
    value: float | None
    low: float | None
    high: float | None
    num_source: int
    num_target: int
    is_in_domain: bool
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncovered:
    """A benchmark instance that no source covers: distance to the nearest source instance, and the radius within which
    it would count, both in the unit of the space."""

    space: str
    benchmark: str
    key: str
    nearest_source: str
    distance: float
    radius: float


def benchmark_splits() -> dict[str, str]:
    """The evaluation split (`Source.name`) of each benchmark: the one that its protocol measures on."""
    return {name: f"{PROTOCOLS[name].dataset}/{PROTOCOLS[name].split}" for name in BENCHMARKS}


def is_training(source: str) -> bool:
    """Whether a source may be trained on, as its card says; a dataset without a card may."""
    dataset, split = source.split("/")
    return dataset not in DATASETS or any(one.name == split and one.role == "train" for one in _card(dataset).splits)


def is_in_domain(source: str, target: str) -> bool:
    """Whether the source's card says that the target's benchmark is in-domain for it."""
    dataset = source.split("/")[0]
    of_target = {name for name in BENCHMARKS if PROTOCOLS[name].dataset == target.split("/")[0]}
    return dataset in DATASETS and any(one.benchmark in of_target for one in _card(dataset).in_domain)


def table(
    summaries: Summaries,
    sources: Sequence[str],
    targets: Sequence[str],
    metrics: Sequence[str],
    *,
    spaces: Sequence[str] | None = None,
    num_draws: int = 0,
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda number: None,
) -> tuple[Cell, ...]:
    """One cell for each space, metric, source and target, in this order; both sides of a pair only once where the
    metric is symmetric and both are sources. A metric that needs cells is left out of spaces without.

    num_draws: of the bootstrap; 0: no intervals. groups: sequence of each key, for it. on_progress: is given 1 for each
    cell.

    Raises:
        UsageError: an unknown metric or space, or an unknown source or target.
    """
    for name in metrics:
        if name not in METRICS:
            raise UsageError(f"there is no metric {name!r}; there are {', '.join(METRICS)}", fix="choose one of them")
    for name in (*sources, *targets):
        if name not in summaries.sources:
            known = ", ".join(summaries.sources)
            raise UsageError(f"there is no source {name!r} among {known}", fix="ingest and describe it first")
    cells = []
    for space in summaries.by_space if spaces is None else spaces:
        found = summaries[space]
        for name in metrics:
            if METRICS[name].needs_cells and not summaries.spaces[space].num_cells:
                continue
            done: dict[tuple[str, str], Cell] = {}
            for source in sources:
                for target in targets:
                    other = done.get((target, source)) if METRICS[name].is_symmetric else None
                    if source not in found or target not in found:
                        cell = _cell(summaries, space, name, source, target, problem="not in this view")
                    elif other is not None:
                        cell = _cell(summaries, space, name, source, target, of=other)
                    else:
                        cell = _measured(summaries, space, name, source, target, num_draws, groups, seed)
                    done[source, target] = cell
                    on_progress(1)
            cells += list(done.values())
    return tuple(cells)


def uncovered(
    summaries: Summaries, space: str, sources: Sequence[str], benchmark: str, *, neighbours: int = NEIGHBOURS
) -> tuple[Uncovered, ...]:
    """The benchmark's instances that none of the sources covers, the farthest (in radii) first.

    Raises:
        UsageError: an unknown space; fewer benchmark instances than coverage needs, or no source with instances.
    """
    found = summaries[space]
    having = sorted(name for name in sources if name in found and len(found[name].sample))
    if benchmark not in found or not having:
        raise UsageError(
            f"coverage of {benchmark} in {space}: expected instances of it and of a source, found none of "
            f"{'a source' if benchmark in found else benchmark}",
            fix="ingest and describe both",
        )
    covers = [cover(found[name], found[benchmark], neighbours=neighbours) for name in having]
    distances = np.stack([one.distance for one in covers])
    is_covered = np.any([one.num_near > 0 for one in covers], axis=0)
    nearest = distances.argmin(axis=0)
    radius = covers[0].radius
    rows = [
        Uncovered(
            space=space,
            benchmark=benchmark,
            key=covers[0].keys[row],
            nearest_source=having[int(nearest[row])],
            distance=float(distances[nearest[row], row]),
            radius=float(radius[row]),
        )
        for row in np.flatnonzero(~is_covered).tolist()
    ]
    return tuple(sorted(rows, key=lambda one: (-one.distance / max(one.radius, 1e-300), one.key)))


_card: Callable[[str], Card] = functools.cache(card)
"""A card is asked for at every cell, and reading one takes milliseconds."""


def _measured(
    summaries: Summaries,
    space: str,
    name: str,
    source: str,
    target: str,
    num_draws: int,
    groups: Mapping[str, str] | None,
    seed: int,
) -> Cell:
    fitted, found = summaries.spaces[space], summaries[space]
    pair = found[source], found[target]
    try:
        value = METRICS[name].compute(*pair, fitted)
    except UsageError as error:
        return _cell(summaries, space, name, source, target, problem=str(error).splitlines()[0])
    low = high = None
    if num_draws:
        # A draw of a few short sequences can have fewer instances than the metric needs: then there is no interval.
        with suppress(UsageError):
            low, high = interval(METRICS[name], *pair, fitted, num_draws=num_draws, groups=groups, seed=seed)
    return _cell(summaries, space, name, source, target, value=value, low=low, high=high)


def _cell(
    summaries: Summaries,
    space: str,
    metric: str,
    source: str,
    target: str,
    *,
    value: float | None = None,
    low: float | None = None,
    high: float | None = None,
    problem: str = "",
    of: Cell | None = None,
) -> Cell:
    if of is not None:
        value, low, high, problem = of.value, of.low, of.high, of.problem
    found = summaries[space]
    return Cell(
        space=space,
        metric=metric,
        source=source,
        target=target,
        value=value,
        low=low,
        high=high,
        num_source=found[source].num if source in found else 0,
        num_target=found[target].num if target in found else 0,
        is_in_domain=is_in_domain(source, target),
        problem=problem,
    )
