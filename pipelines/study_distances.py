"""Distances, the second part of the report on choosing: how near the sources of a store are to its benchmarks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmark.distances import METRICS
from benchmark.distances.table import Cell, Uncovered, uncovered
from benchmark.summaries import Summaries
from harmonize.errors import UsageError
from pipelines import distance as work
from pipelines.atlas import draw
from pipelines.commands.distance import DEFAULT_METRICS
from pipelines.study_page import (
    HeatMap,
    Html,
    Section,
    details,
    gallery,
    heading,
    heat_maps,
    interval_text,
    missing,
    notes,
    paragraph,
    short,
    table,
)

ANCHOR, TITLE = "distances", "2. Distances"
MAX_PICTURES = 24
NEAREST_BY = "sliced_wasserstein"
"""The metric that says which source is nearest: it is there for every space, and needs few instances."""


def distances(store: Path, body_models: str | None, num_workers: int) -> Section:
    """Of a described store; of one that is not, or that holds no benchmark, the section says what to do.

    Raises:
        StoreError, DataError, MissingBodyModelError: see `pipelines.distance` and `pipelines.atlas.draw`.
    """
    try:
        summaries = work.summaries_of(store, None, None)
        sources, targets = work.sides(summaries, None)
    except UsageError as error:
        return missing(ANCHOR, TITLE, f"No distances: {error}", [f"ehps describe {store}"])
    cells = work.measure(store, summaries, sources, targets, DEFAULT_METRICS, None, num_draws=0, seed=0)
    lacking, problems = uncovered_instances(summaries, sources, targets)
    num_instances = len({one.key for one in lacking})
    return Section(
        anchor=ANCHOR,
        title=TITLE,
        headline=f"{len(sources)} sources against {len(targets)} benchmarks in {len(summaries.by_space)} spaces; "
        f"{num_instances} benchmark instances have a space in which no source covers them",
        blocks=tuple(_blocks(store, summaries, cells, lacking, problems, body_models, num_workers)),
    )


def uncovered_instances(
    summaries: Summaries, sources: Sequence[str], targets: Sequence[str]
) -> tuple[list[Uncovered], list[str]]:
    """The targets' instances that no other source covers, in each space; and why a space and target has no answer."""
    found: list[Uncovered] = []
    problems: Counter[str] = Counter()
    for space in summaries.by_space:
        for target in targets:
            try:
                found += uncovered(summaries, space, [name for name in sources if name != target], target)
            except UsageError as error:
                problems[f"{target}: {str(error).splitlines()[0].split(': ', 1)[-1]}"] += 1
    return found, [f"coverage of {text} ({num} spaces)" for text, num in sorted(problems.items())]


def _blocks(
    store: Path,
    summaries: Summaries,
    cells: Sequence[Cell],
    lacking: Sequence[Uncovered],
    problems: Sequence[str],
    body_models: str | None,
    num_workers: int,
) -> Iterator[Html]:
    yield paragraph(
        "How far the training splits of the store are from its benchmarks, without training: in each space of "
        "attributes that the store has. * marks sources of the benchmark's own kind, as their cards say."
    )
    yield table(nearest_rows(cells, lacking), "The nearest sources of each benchmark in each space")
    for number, metric in enumerate(dict.fromkeys(cell.metric for cell in cells)):
        mine = [cell for cell in cells if cell.metric == metric]
        if all(cell.value is None for cell in mine):
            yield paragraph(f"{METRICS[metric].name}: too few instances anywhere.", is_quiet=True)
            continue
        doc = METRICS[metric].doc
        caption = paragraph(
            f"{doc[:1].upper()}{doc[1:]}. Dark is near, within each space; a dash: too few instances.", is_quiet=True
        )
        spaces = dict.fromkeys(cell.space for cell in mine if cell.value is not None)
        blocks = [caption, heat_maps([heat_map(mine, space) for space in spaces])]
        title = f"{metric.replace('_', ' ').capitalize()} of sources (rows) and benchmarks (columns), by space"
        yield from (heading(title, 4), *blocks) if number == 0 else (details(title, blocks),)
    if remarks := [*work.notes(store, summaries, cells, 0), *problems]:
        yield details("What could not be told, and why", [notes(remarks)])
    yield heading("Benchmark instances that no source covers")
    if lacking:
        yield from _gallery(store, lacking, body_models, num_workers)
    else:
        yield paragraph("None: each has a source with something like it, wherever there are enough instances to tell.")


def heat_map(cells: Sequence[Cell], space: str) -> HeatMap:
    """Sources by targets in a space: the nearest source, by its mean over the targets, first; those without any value
    are left out, and so are targets."""
    here = {(cell.source, cell.target): cell for cell in cells if cell.space == space}
    targets = list(dict.fromkeys(target for (_, target), cell in here.items() if cell.value is not None))
    sign = -1 if here and METRICS[cells[0].metric].is_good_when_large else 1
    means: dict[str, float] = {}
    for source in dict.fromkeys(source for source, _ in here):
        known = [value for target in targets if (value := here[source, target].value) is not None]
        if known:
            means[source] = sign * sum(known) / len(known)
    values = [cell.value for cell in here.values() if cell.value is not None]
    low, span = min(values, default=0.0), max(values, default=0.0) - min(values, default=0.0)

    def shown(cell: Cell) -> tuple[str, float | None]:
        if cell.value is None:
            return "–", None
        share = (cell.value - low) / span if span else 0.5
        return f"{cell.value:.2g}{'*' if cell.is_in_domain else ''}", share if sign < 0 else 1 - share

    order = sorted(means, key=lambda source: (means[source], source))
    rows = [(source, [shown(here[source, target]) for target in targets]) for source in order]
    return HeatMap(title=short(space), columns=targets, rows=rows)


def nearest_rows(cells: Sequence[Cell], lacking: Sequence[Uncovered]) -> list[dict[str, Any]]:
    """A row a benchmark and space: the three nearest sources, that which covers most, and what none covers."""
    rows = []
    num_lacking = Counter((one.benchmark, one.space) for one in lacking)
    for target, space in sorted({(cell.target, cell.space) for cell in cells}):
        here = [
            cell for cell in cells if (cell.target, cell.space) == (target, space) and cell.source != cell.target
        ]  # a split that is both is not near to itself
        near = sorted(_known(here, NEAREST_BY), key=lambda cell: (cell.value, cell.source))
        most = sorted(_known(here, "coverage"), key=lambda cell: (-(cell.value or 0), cell.source))
        if not near and not most:
            continue
        rows.append(
            {
                "benchmark": target,
                "space": short(space),
                "instances": max(cell.num_target for cell in here),
                f"nearest by {NEAREST_BY}": ", ".join(_named(cell) for cell in near[:3]),
                "covers most": f"{most[0].source}: {most[0].value:.0%}" if most and most[0].value else "",
                "covered by none": num_lacking[target, space] if most else None,
            }
        )
    return rows


def _known(cells: Sequence[Cell], metric: str) -> list[Cell]:
    return [cell for cell in cells if cell.metric == metric and cell.value is not None]


def _named(cell: Cell) -> str:
    value = interval_text(cell.value or 0.0, cell.low, cell.high)
    return f"{cell.source}{'*' if cell.is_in_domain else ''} {value}"


def _gallery(store: Path, lacking: Sequence[Uncovered], body_models: str | None, num_workers: int) -> Iterator[Html]:
    shown = in_turn(lacking, MAX_PICTURES)
    pictures = draw(store, sorted({one.key for one in shown}), body_models, num_workers)
    of = f"{len(shown)} of {len(lacking)}" if len(shown) < len(lacking) else f"All {len(shown)}"
    yield paragraph(
        f"{of}, the farthest of each space and benchmark first; the mesh is the stored body.", is_quiet=True
    )
    yield gallery(
        [
            (pictures.get(one.key), (one.key, f"{short(one.space)}: {_radii(one)}", f"nearest: {one.nearest_source}"))
            for one in shown
        ]
    )


def in_turn(found: Sequence[Uncovered], most: int) -> list[Uncovered]:
    """At most so many: the first of each space and benchmark, then the second of each, in the order of these."""
    places: Counter[tuple[str, str]] = Counter()
    ranked = []
    for number, one in enumerate(found):
        ranked.append((places[one.space, one.benchmark], number))
        places[one.space, one.benchmark] += 1
    return [found[number] for number in sorted(number for _, number in sorted(ranked)[:most])]


def _radii(one: Uncovered) -> str:
    return f"{one.distance / one.radius:.3g} radii away" if one.radius > 0 else f"{one.distance:.3g} away"
