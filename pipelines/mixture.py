"""What a mixture may be made from, and what is known of it without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from catalogs import store as catalog
from catalogs.cards import DATASETS, card
from catalogs.selection import Budget, Pool
from harmonize.errors import UsageError
from harmonize.shards.names import parse_shard_name

if TYPE_CHECKING:
    from benchmark.constraints import Constraints
    from benchmark.problem import Problem
    from benchmark.summary import Summary

TRAIN = "train"
NO_NEAR_DUPLICATES = (
    "leakage: no near-duplicate pictures are known, so only equal ones were looked for; `ehps describe` compares images"
)


def training_pool(store: Path) -> Pool:
    """The training splits of a store, by the datasets' cards: validation and test splits are not for training.

    A dataset with a split called train is taken with that one alone: its other training splits (trainval, all) hold the
    same people once more. Datasets without one are taken with all their training splits.

    Raises:
        UsageError: the store has no training split.
        StoreError: the store has no finished shard, or a damaged one.
    """
    with catalog.open(store) as con:
        names = [row[0] for row in catalog.query(con, "SELECT DISTINCT split FROM datasets ORDER BY 1").rows]
        pool = catalog.pool(con, splits=names)
    found = {(source.dataset, source.split) for source in pool.sources}
    training = {
        (dataset, split)
        for dataset, split in found
        if is_for_training(dataset, split) and (split == TRAIN or (dataset, TRAIN) not in found)
    }
    if not training:
        raise UsageError(f"{store}: holds no training split", fix="ehps ingest NAME --split train ...")
    return Pool(
        sources=tuple(source for source in pool.sources if (source.dataset, source.split) in training),
        shards=tuple(ref for ref in pool.shards if (parse_shard_name(ref.shard) or ())[:2] in training),
    )


def is_for_training(dataset: str, split: str) -> bool:
    """Whether the dataset's card says so; of a dataset without a card, the split called train."""
    if dataset not in DATASETS:
        return split == TRAIN
    return any(one.name == split and one.role == TRAIN for one in card(dataset).splits)


def allowed_samples(store: Path, pool: Pool, where: str) -> dict[str, tuple[str, ...]]:
    """The keys of the pool's samples that meet a condition in SQL over `samples`, by source, sorted.

    Raises:
        UsageError: not a condition; DuckDB's message says why.
    """
    names = {source.name for source in pool.sources}
    with catalog.open(store) as con:
        sql = f"SELECT dataset || '/' || split, key FROM samples WHERE ({where}\n) ORDER BY ALL"
        found: dict[str, list[str]] = {name: [] for name in sorted(names)}
        for name, key in catalog.query(con, sql).rows:
            if name in names:
                found[name].append(key)
    return {name: tuple(keys) for name, keys in found.items()}


def leak_free(
    store: Path, constraints: Constraints, benchmarks: Sequence[str], where: str | None, *, drops_leaks: bool
) -> tuple[str | None, tuple[str, ...]]:
    """The condition under which no sample that may be drawn leaks evaluation data, and what to say of leakage.

    benchmarks: none means those whose evaluation split the store holds. where: the condition so far, whose keys
    `constraints.samples` are. drops_leaks: whether samples that leak are left out, by their keys, or refused.

    Raises:
        UsageError: something leaks and is not to be left out; a benchmark is unknown, or its split not in the store.
    """
    from benchmark.constraints import candidates
    from benchmark.leakage import held_benchmarks, leaking_keys, leaks, refuse
    from benchmark.sharing import has_near_duplicates

    pool, _ = candidates(training_pool(store), constraints)
    with catalog.open(store) as con:
        judged = tuple(benchmarks) or held_benchmarks(con)
        found = leaks(con, pool, judged, samples=constraints.samples)
        is_compared = has_near_duplicates(con)
    if not judged:
        return where, ("leakage was not looked for: the store holds no evaluation split of a benchmark",)
    if not drops_leaks:
        refuse(found)
    notes = tuple(f"{'left out: ' if leak.is_refused else ''}{leak}" for leak in found)
    if not is_compared:
        notes += (NO_NEAR_DUPLICATES,)
    keys = leaking_keys(found)
    if not keys:
        return where, notes
    quoted = ", ".join("'" + key.replace("'", "''") + "'" for key in keys)
    without = f"key NOT IN ({quoted})"
    return (without if where is None else f"({where}\n) AND {without}"), notes


def problem_of(
    store: Path,
    budget: Budget,
    constraints: Constraints,
    *,
    benchmarks: Sequence[str] = (),
    spaces: Sequence[str] | None = None,
    with_summaries: bool = False,
    where: str | None = None,
    seed: int = 0,
) -> Problem:
    """The problem that a store poses: its training splits, and summaries of them and of the benchmarks.

    benchmarks: what is chosen for; none means those that the store holds. with_summaries: whether the method looks at
    attributes; without, nothing is summarised. where: a condition in SQL, whose keys `constraints.samples` are.

    Raises:
        UsageError: no training split, an unknown or missing benchmark, or no attributes to look at.
        StoreError: the store is damaged.
    """
    from benchmark.problem import Problem

    pool = training_pool(store)
    if not with_summaries:
        return Problem(pool=pool, budget=budget, constraints=constraints, seed=seed)
    targets = target_splits(store, benchmarks)
    found = _summaries(store, spaces, where, list(targets.values()))
    sources = {source.name: _of(found, source.name) for source in pool.sources}
    return Problem(
        pool=pool,
        budget=budget,
        constraints=constraints,
        sources=sources,
        targets={name: _of(found, split) for name, split in targets.items()},
        seed=seed,
    )


def target_splits(store: Path, benchmarks: Sequence[str]) -> dict[str, str]:
    """Benchmark -> its evaluation split (`dataset/split`), all of which the store holds.

    Raises:
        UsageError: no such benchmark, or the store lacks its split, or has none at all.
    """
    from benchmark.distances.table import benchmark_splits

    splits = benchmark_splits()
    with catalog.open(store) as con:
        rows = catalog.query(con, "SELECT dataset || '/' || split FROM datasets WHERE num_samples > 0").rows
    held = {row[0] for row in rows}
    for name in benchmarks:
        if name not in splits:
            raise UsageError(f"--for: no benchmark {name!r}", fix=f"choose among {', '.join(splits)}")
        if splits[name] not in held:
            dataset, split = splits[name].split("/")
            raise UsageError(
                f"--for {name}: the store has no samples of {splits[name]}",
                fix=f"ehps ingest {dataset} --split {split} ..., then ehps describe",
            )
    chosen = {name: split for name, split in splits.items() if split in held and (not benchmarks or name in benchmarks)}
    if not chosen:
        raise UsageError(
            f"{store}: holds no benchmark to choose for: none of {', '.join(splits.values())}",
            fix="ingest and describe one of them",
        )
    return chosen


def _summaries(
    store: Path, spaces: Sequence[str] | None, where: str | None, targets: Sequence[str]
) -> Mapping[str, Mapping[str, Summary]]:
    from benchmark.spaces import kinds_in
    from benchmark.summaries import num_rows, summarise_catalog
    from pipelines.progress import Meter

    condition = None
    if where is not None:
        quoted = ", ".join(f"'{name}'" for name in targets)  # names of splits have no quotes
        condition = f"({where}\n) OR dataset || '/' || split IN ({quoted})"
    with catalog.open(store) as con:
        kinds = kinds_in(con, spaces)
        with Meter("summaries", 2 * num_rows(con, kinds), "rows") as meter:
            names = [kind.name for kind in kinds]
            return summarise_catalog(con, names, where=condition, on_progress=meter.add).by_space


def _of(by_space: Mapping[str, Mapping[str, Summary]], source: str) -> dict[str, Summary]:
    """The summaries of one source by space; a space of which it has no value is left out."""
    found = {space: sources[source] for space, sources in by_space.items() if source in sources}
    return {space: summary for space, summary in found.items() if summary.num}
