"""Which trainings `ehps proxy` makes: one for each dataset or mixture, and seed, none of which has seen what it is
measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmark.proxies import Proxy, ProxyBudget, proxies
from catalogs import store as catalog
from catalogs.selection import Pool, Selection
from harmonize.errors import UsageError
from harmonize.shards.names import parse_shard_name


def held_protocols(store: Path) -> tuple[str, ...]:
    """The benchmarks whose split a store holds, one a split: the first of those that measure the same people.

    Raises:
        UsageError: it holds none.
    """
    from benchmark.protocols import PROTOCOLS

    with catalog.open(store) as con:
        rows = catalog.query(con, "SELECT dataset, split FROM datasets WHERE num_samples > 0").rows
    first: dict[tuple[str, str], str] = {}
    for one in PROTOCOLS.values():
        first.setdefault((one.dataset, one.split), one.name)
    found = tuple(name for split, name in first.items() if split in {(str(of), str(part)) for of, part in rows})
    if not found:
        raise UsageError(
            f"{store}: expected an evaluation split of a benchmark, found none",
            fix=f"ingest one of {', '.join('/'.join(split) for split in first)}",
        )
    return found


def single_datasets(
    store: Path, budget: ProxyBudget, benchmarks: Sequence[str], datasets: Sequence[str] | None
) -> tuple[tuple[Proxy, ...], tuple[str, ...]]:
    """A training of each dataset (None: all that the store can train on) and seed, and what to say of leakage: samples
    that a benchmark evaluates on are left out.

    Raises:
        UsageError: an unknown dataset, or one that has nothing left, or see `pipelines.mixture.leak_free`.
        StoreError: the store cannot be read.
    """
    from benchmark.constraints import Constraints
    from pipelines.mixture import allowed_samples, leak_free, training_pool

    where, notes = leak_free(store, Constraints(), _guarded(benchmarks), None, drops_leaks=True)
    pool = training_pool(store)
    return proxies(pool, allowed_samples(store, pool, where or "true"), budget, datasets=datasets), notes


def mixtures(
    store: Path, paths: Sequence[Path], seeds: Sequence[int], benchmarks: Sequence[str]
) -> tuple[tuple[Proxy, ...], tuple[str, ...]]:
    """A training of each `Selection` file and seed, one epoch each, named as the file, and what to say of leakage.

    Seed 0 trains the selection as it is; others move its seed by theirs, so that they draw anew.

    Raises:
        UsageError: files of one name, other numbers of draws than the first, a source that the store lacks, or samples
            that a benchmark evaluates on.
        DataError: a file is no selection, or was altered. StoreError: the store cannot be read.
    """
    from benchmark.leakage import leaks
    from pipelines.mixture import allowed_samples

    if not seeds or len(set(seeds)) != len(seeds):
        raise UsageError(f"proxy: seeds: expected one or more, each once, found {list(seeds)}")
    names = [path.stem for path in paths]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"--selections: expected files of different names, found several {', '.join(twice)}")
    found: list[Proxy] = []
    notes: list[str] = []
    for path in paths:
        selection = Selection.load(path)
        first = found[0].selection if found else selection
        if selection.draws_per_epoch != first.draws_per_epoch:
            raise UsageError(
                f"{path}: expected {first.draws_per_epoch} draws as in {paths[0]}, found {selection.draws_per_epoch}: "
                "their errors would not compare",
                fix="make them with one --budget",
            )
        pool = _pool_of(store, path, selection)
        samples = None
        if selection.sample_keys is not None:
            keys = frozenset(selection.sample_keys)
            held = allowed_samples(store, pool, "true")
            samples = {name: tuple(key for key in some if key in keys) for name, some in held.items()}
        with catalog.open(store) as con:
            leaking = leaks(con, pool, _guarded(benchmarks), samples=samples)
        if refused := [str(leak) for leak in leaking if leak.is_refused]:
            raise UsageError(
                f"{path}: holds samples that are not independent of the evaluation data:\n  " + "\n  ".join(refused),
                fix="make the mixture again with `ehps propose --drop-leaks`",
            )
        notes += [f"{path.stem}: {leak}" for leak in leaking]
        for seed in seeds:
            moved = replace(selection, seed=selection.seed + seed)
            found.append(Proxy(dataset=path.stem, seed=seed, selection=moved))
    return tuple(found), tuple(notes)


def _guarded(benchmarks: Sequence[str]) -> tuple[str, ...]:
    """The names under which the leakage guard knows the splits of these protocols."""
    from benchmark.distances.table import benchmark_splits
    from benchmark.protocols import protocol

    names = {split: name for name, split in benchmark_splits().items()}
    splits = [f"{protocol(name).dataset}/{protocol(name).split}" for name in benchmarks]
    return tuple(dict.fromkeys(names[split] for split in splits))


def _pool_of(store: Path, path: Path, selection: Selection) -> Pool:
    """The sources of a selection, as the store has them."""
    with catalog.open(store) as con:
        names = [row[0] for row in catalog.query(con, "SELECT DISTINCT split FROM datasets ORDER BY 1").rows]
        pool = catalog.pool(con, splits=names)
    wanted = {(member.dataset, member.split) for member in selection.members}
    sources = tuple(source for source in pool.sources if (source.dataset, source.split) in wanted)
    lacking = wanted - {(source.dataset, source.split) for source in sources}
    if lacking:
        raise UsageError(
            f"{path}: the store has no samples of {', '.join('/'.join(split) for split in sorted(lacking))}",
            fix="give the store that the selection was made from",
        )
    return Pool(
        sources=sources,
        shards=tuple(ref for ref in pool.shards if (parse_shard_name(ref.shard) or ())[:2] in wanted),
    )
