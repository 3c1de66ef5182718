"""What `ehps distance` does: summaries of a store, tables between its sources and benchmarks, and pictures of both."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmark.distances import METRICS
from benchmark.distances.bootstrap import LEAST_GROUPS
from benchmark.distances.table import Cell, Uncovered, benchmark_splits, is_training, table, uncovered
from benchmark.spaces import kinds_in
from benchmark.summaries import Summaries, load, num_rows, save, summarise_catalog
from catalogs import store as catalog
from harmonize.errors import StoreError, UsageError
from pipelines.distance_figure import heat_maps
from pipelines.progress import Meter

MAX_TILES = 60
ALL_SOURCES = "source"


def check(
    store: Path, metrics: Sequence[str], *, bootstrap: int, uncovered: Path | None, spaces_of: Path | None
) -> None:
    """Refuse what cannot be done before anything is read.

    Raises:
        UsageError: an unknown metric, a negative number of draws, or what needs a store where a file is given.
    """
    for name in metrics:
        if name not in METRICS:
            raise UsageError(f"there is no metric {name!r}; there are {', '.join(METRICS)}", fix="choose one of them")
    if bootstrap < 0:
        raise UsageError(f"--bootstrap: expected 0 or more draws, found {bootstrap}")
    if store.is_file() and (uncovered is not None or spaces_of is not None):
        name = "--uncovered" if uncovered is not None else "--spaces-of"
        raise UsageError(
            f"{name}: expected a store, found the file of summaries {store}", fix="give the store's folder"
        )


def summaries_of(store: Path, spaces: Sequence[str] | None, spaces_of: Path | None) -> Summaries:
    """The summaries in a file, or of a store in spaces fitted to it or taken from a file.

    Raises:
        UsageError: unknown spaces, missing attributes, or no such file.
        DataError: the file or the store is damaged.
    """
    if store.is_file():
        return load(store)
    with catalog.open(store) as con:
        if spaces_of is not None:
            known = load(spaces_of).spaces
            absent = sorted(set(spaces or ()) - set(known))
            if absent:
                raise UsageError(f"{spaces_of}: has no space {', '.join(absent)}; it has {', '.join(known)}")
            wanted = [known[name] for name in (spaces or known)]
            total, kinds = 1, kinds_in(con, [one.name for one in wanted])
        else:
            wanted, total, kinds = None, 2, kinds_in(con, spaces)
        with Meter("summaries", total * num_rows(con, kinds), "rows") as meter:
            return summarise_catalog(con, wanted or [kind.name for kind in kinds], on_progress=meter.add)


def save_summaries(summaries: Summaries, path: Path) -> None:
    """Write summaries; the name must say what it is.

    Raises:
        UsageError: the name does not end with .npz.
        StoreError: the file cannot be written.
    """
    if path.suffix != ".npz":
        raise UsageError(f"--save: expected a name that ends with .npz, found {path}", fix=f"--save {path}.npz")
    save(summaries, path)


def sides(summaries: Summaries, to: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """What is compared: training splits, and targets.

    Raises:
        UsageError: there is no training split, no benchmark, or no such target.
    """
    sources = [name for name in summaries.sources if is_training(name)]
    if not sources:
        found = ", ".join(summaries.sources)
        raise UsageError(
            f"distance: expected a training split, found {found}", fix="ehps ingest NAME --split train ..."
        )
    splits = benchmark_splits()
    if to is None:
        targets = [split for split in splits.values() if split in summaries.sources]
        if not targets:
            raise UsageError(
                f"distance: expected one of the benchmarks {', '.join(splits.values())}, found none",
                fix="ingest one of them and describe the store, or compare the sources: --to source",
            )
        return sources, targets
    targets = []
    for name in to:
        chosen = sources if name == ALL_SOURCES else [splits.get(name, name)]
        absent = [one for one in chosen if one not in summaries.sources]
        if absent:
            known = ", ".join([*splits, ALL_SOURCES, *summaries.sources])
            raise UsageError(
                f"--to: expected one of {known}; found {name!r}"
                + (f", whose split {absent[0]} has no samples here" if name in splits else ""),
                fix="ingest the split and describe the store" if name in splits else "choose one of them",
            )
        targets += chosen
    return sources, list(dict.fromkeys(targets))


def measure(
    store: Path,
    summaries: Summaries,
    sources: Sequence[str],
    targets: Sequence[str],
    metrics: Sequence[str],
    spaces: Sequence[str] | None,
    *,
    num_draws: int,
    seed: int,
) -> tuple[Cell, ...]:
    """The cells of the table, intervals over sequences where a store says which these are.

    Raises:
        UsageError: an unknown space.
    """
    chosen = list(dict.fromkeys(spaces)) if spaces else list(summaries.by_space)
    groups = _sequences(store, summaries) if num_draws and store.is_dir() else None
    total = len(chosen) * len(metrics) * len(sources) * len(targets)
    with Meter("distances", total, "cells") as meter:
        return table(
            summaries,
            sources,
            targets,
            list(dict.fromkeys(metrics)),
            spaces=chosen,
            num_draws=num_draws,
            groups=groups,
            seed=seed,
            on_progress=meter.add,
        )


def missing(
    summaries: Summaries, sources: Sequence[str], targets: Sequence[str], spaces: Sequence[str] | None
) -> tuple[Uncovered, ...]:
    """The targets' instances that no other source covers, in each space that has enough of them."""
    found: list[Uncovered] = []
    for space in dict.fromkeys(spaces) if spaces else summaries.by_space:
        for target in targets:
            others = [name for name in sources if name != target]
            try:
                found += uncovered(summaries, space, others, target)
            except UsageError as error:
                say(str(error).splitlines()[0])
    return tuple(found)


def pivots(cells: Sequence[Cell]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A title and rows, a source each with a column for each target, for each space and metric."""
    for space, metric in dict.fromkeys((cell.space, cell.metric) for cell in cells):
        mine = [cell for cell in cells if (cell.space, cell.metric) == (space, metric)]
        rows: dict[str, dict[str, Any]] = {}
        for cell in mine:
            rows.setdefault(cell.source, {"source": cell.source, "instances": cell.num_source})[cell.target] = _text(
                cell
            )
        yield f"{space}: {metric} ({METRICS[metric].doc})", list(rows.values())


def missing_rows(found: Sequence[Uncovered]) -> list[dict[str, Any]]:
    """Rows of the table of uncovered instances."""
    return [asdict(one) for one in found]


def document(summaries: Summaries, cells: Sequence[Cell], found: Sequence[Uncovered]) -> dict[str, Any]:
    """All of it for programs."""
    return {
        "spaces": {name: space.version for name, space in summaries.spaces.items()},
        "distances": [asdict(cell) for cell in cells],
        "uncovered": missing_rows(found),
    }


def notes(store: Path, summaries: Summaries, cells: Sequence[Cell], num_draws: int) -> list[str]:
    """Why cells are empty or have no interval, and what the summaries leave out."""
    problems = Counter(cell.problem.rsplit(", found", 1)[0] for cell in cells if cell.problem)
    found = [f"{problem}: fewer are there for {num} empty cells" for problem, num in sorted(problems.items())]
    if num_draws and (num := sum(cell.value is not None and cell.low is None for cell in cells)):
        found.append(f"{num} cells have no interval: fewer than {LEAST_GROUPS} sequences, or too short ones")
    if num_draws and store.is_file():
        found.append("intervals are over instances, as the file does not name sequences: too narrow for video")
    for space in dict.fromkeys(cell.space for cell in cells):
        total = sum(one.num_missing for one in summaries[space].values())
        if total:
            found.append(f"{space}: {total:,} samples have no value and are left out")
    return found


def write_csv(cells: Sequence[Cell], path: Path) -> None:
    """One line a cell.

    Raises:
        StoreError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(Cell.__dataclass_fields__), lineterminator="\n")
            writer.writeheader()
            writer.writerows(asdict(cell) for cell in cells)
    except OSError as error:
        raise StoreError(f"{path}: cannot write ({error.strerror or error})", fix="choose another --csv") from error


def draw(cells: Sequence[Cell], path: Path) -> None:
    """Write the heat maps of all spaces and metrics.

    Raises:
        UsageError: the name is not that of a picture.
        StoreError: the file cannot be written.
    """
    from catalogs.atlas.style import save as save_figure
    from catalogs.atlas.style import styled

    with styled():
        save_figure(heat_maps(cells), path)


def draw_missing(store: Path, found: Sequence[Uncovered], path: Path, body_models: str | None) -> None:
    """Write a contact sheet of the uncovered instances, the farthest of each space and benchmark first.

    Raises:
        UsageError, StoreError: see `pipelines.sheets`.
    """
    from harmonize.shards.read import open_store
    from pipelines.choosing import Chosen
    from pipelines.sheets import Tile, contact_sheet, sample_tiles, save_png

    shown = _shown(found)
    chosen = [Chosen(key=one.key, value=None) for one in shown]
    with Meter("uncovered", len(shown), "pictures") as meter:
        pictures = sample_tiles(open_store(store), chosen, None, body_models, meter)
        tiles = [
            Tile(
                picture=tile.picture,
                lines=(*tile.lines, f"{one.space}: {_radii(one)}", f"nearest {one.nearest_source}"),
            )
            for tile, one in zip(pictures, shown, strict=True)
        ]
    title = f"{len(shown)} of {len(found)} benchmark instances that no source covers"
    save_png(contact_sheet(tiles, min(8, max(1, round((1.5 * len(tiles)) ** 0.5))), title=title), path)


def say(note: str) -> None:
    """A note on stderr."""
    print(f"ehps: note: {note}", file=sys.stderr)


def _shown(found: Sequence[Uncovered]) -> list[Uncovered]:
    """At most MAX_TILES, taken in turn from each space and benchmark, then in the order of these."""
    places: Counter[tuple[str, str]] = Counter()
    ranked = []
    for number, one in enumerate(found):
        ranked.append((places[one.space, one.benchmark], number))
        places[one.space, one.benchmark] += 1
    return [found[number] for number in sorted(number for _, number in sorted(ranked)[:MAX_TILES])]


def _radii(one: Uncovered) -> str:
    return f"{one.distance / one.radius:.3g} radii away" if one.radius > 0 else f"{one.distance:.3g} away"


def _text(cell: Cell) -> str:
    if cell.value is None:
        return ""
    mark = "*" if cell.is_in_domain else ""
    text = f"{cell.value:.3g}"
    if cell.low is not None and cell.high is not None:
        text += f" [{cell.low:.3g}, {cell.high:.3g}]"
    return text + mark


def _sequences(store: Path, summaries: Summaries) -> dict[str, str]:
    """Dataset, split and sequence of each key of the samples; a sample without a sequence is one by itself."""
    keys = sorted({key for found in summaries.by_space.values() for one in found.values() for key in one.sample_keys})
    sql = (
        "SELECT key, if(sequence = '', key, dataset || '/' || split || '/' || sequence) FROM instances "
        "WHERE key IN (SELECT unnest($1::VARCHAR[]))"
    )
    with catalog.open(store) as con:
        return dict(catalog.query(con, sql, [keys]).rows)
