"""Which samples of a pool would leak a benchmark's evaluation data into training, and a guard that refuses them.

    leaks(con, pool, ("egobody", "ehf"))        every finding, with its samples
    guard(con, pool, ("egobody", "ehf"))        refuses those that leak; returns the rest, which only needs saying

What is compared is read from the index of the shards that the catalog shows, so nothing has to be computed before and
nothing can be stale; near-duplicates alone are those that `ehps describe` found last. Names of recordings and subjects
mean the same only within one recording campaign: the datasets whose cards call themselves in-domain for the benchmark.
Pictures are compared by hash with every source.

kind
    evaluation-split   a split of the benchmark's dataset that its card holds out
    recording          the same session, whatever the camera (`catalogs.attributes.source_ids`)
    subject            the same person
    picture            the same file, or frame of a video; without a hash, the same path in the same dataset
    near-duplicate     a picture of another campaign with like image features: scaled, cropped or encoded anew
    alike              the same within the benchmark's own campaign, where one room makes pictures alike: said, allowed
    in-domain          training data of the benchmark's own campaign: allowed, but said
    card               a card says that the datasets overlap, and no picture shows how: look yourself
    unchecked          samples whose pictures were not opened, or whose recordings are named in an unknown way
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import duckdb

from benchmark import sharing
from benchmark.distances.table import benchmark_splits
from catalogs import store as catalog
from catalogs.cards import Card, cards
from catalogs.selection import Pool, Source
from harmonize.errors import UsageError

Kind = Literal[
    "evaluation-split", "recording", "subject", "picture", "near-duplicate", "alike", "in-domain", "card", "unchecked"
]
REFUSED: tuple[Kind, ...] = ("evaluation-split", "recording", "subject", "picture", "near-duplicate")
NUM_EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """One finding: `dataset`/`split` of the pool against `evaluation`, the split that `benchmark` is measured on.

    what: names of what is shared, or why it matters. keys: the samples that leak, sorted; none where nothing has to go.
    num_samples: how many samples the finding is about.
    """

    kind: Kind
    benchmark: str
    evaluation: str
    dataset: str
    split: str
    what: str
    num_samples: int
    keys: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        return f"{self.dataset}/{self.split}"

    @property
    def is_refused(self) -> bool:
        return self.kind in REFUSED

    @property
    def examples(self) -> tuple[str, ...]:
        return self.keys[:NUM_EXAMPLES]

    def __str__(self) -> str:
        shown = f", such as {', '.join(self.examples)}" if self.examples else ""
        where = f"{self.source} for {self.benchmark} ({self.evaluation})"
        return f"{where}: {self.kind}: {self.what}; {self.num_samples} samples{shown}"


def leaks(
    con: duckdb.DuckDBPyConnection,
    pool: Pool,
    benchmarks: Sequence[str],
    *,
    samples: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[Leak, ...]:
    """All findings, those that are refused first, then by benchmark, source and kind.

    samples: by source name, the only keys of the pool that may be drawn; others cannot leak.

    Raises:
        UsageError: no such benchmark, or the catalog has no samples of its evaluation split: then nobody knows what of
            the pool is in it.
    """
    splits = benchmark_splits()
    for benchmark in benchmarks:
        if benchmark not in splits:
            raise UsageError(f"leakage: no benchmark {benchmark!r}", fix=f"choose among {', '.join(splits)}")
    held = _held(con)
    if lacking := [splits[benchmark] for benchmark in benchmarks if splits[benchmark] not in held]:
        dataset, split = lacking[0].split("/")
        raise UsageError(
            f"leakage: the store has no samples of {', '.join(lacking)}, so what a mixture shares with it is unknown",
            fix=f"ehps ingest {dataset} --split {split} ..., or choose for other benchmarks: --for",
        )
    found = [
        leak
        for benchmark in sorted(set(benchmarks))
        for leak in _of_benchmark(con, pool, benchmark, splits[benchmark], samples)
    ]
    return tuple(sorted(found, key=lambda leak: (not leak.is_refused, leak.benchmark, leak.source, leak.kind)))


def guard(
    con: duckdb.DuckDBPyConnection,
    pool: Pool,
    benchmarks: Sequence[str],
    *,
    samples: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[Leak, ...]:
    """What should be said of a pool that does not leak.

    Raises:
        UsageError: the pool leaks; see `refuse` and `leaks`.
    """
    found = leaks(con, pool, benchmarks, samples=samples)
    refuse(found)
    return found


def refuse(found: Sequence[Leak]) -> None:
    """Refuse what leaks, if anything does.

    Raises:
        UsageError: the message lists every leak, and how to leave it out.
    """
    refused = [leak for leak in found if leak.is_refused]
    if not refused:
        return
    num, names = len(leaking_keys(refused)), sorted({leak.dataset for leak in refused})
    raise UsageError(
        f"leakage: {num} samples to choose from are not independent of the evaluation data:\n  "
        + "\n  ".join(map(str, refused)),
        fix=f"--exclude {' '.join(names)}, or --drop-leaks to leave out these samples alone",
        leaks=refused,
    )


def held_benchmarks(con: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """The benchmarks whose evaluation split the catalog has samples of."""
    held = _held(con)
    return tuple(benchmark for benchmark, split in benchmark_splits().items() if split in held)


def _held(con: duckdb.DuckDBPyConnection) -> frozenset[str]:
    rows = catalog.query(con, "SELECT dataset || '/' || split FROM datasets WHERE num_samples > 0").rows
    return frozenset(row[0] for row in rows)


def leaking_keys(found: Iterable[Leak]) -> tuple[str, ...]:
    """The keys of all samples that have to go, sorted, each once."""
    return tuple(sorted({key for leak in found if leak.is_refused for key in leak.keys}))


@functools.cache
def _cards() -> Mapping[str, Card]:
    return {one.name: one for one in cards()}


def _in_domain(dataset: str, benchmark: str) -> str | None:
    """Why a dataset is in-domain for a benchmark, by its card; None where it is not."""
    of_dataset = _cards()[dataset].in_domain if dataset in _cards() else ()
    return next((one.reason for one in of_dataset if one.benchmark == benchmark), None)


def _of_benchmark(
    con: duckdb.DuckDBPyConnection,
    pool: Pool,
    benchmark: str,
    evaluation: str,
    samples: Mapping[str, tuple[str, ...]] | None,
) -> Iterator[Leak]:
    own = _cards()[evaluation.split("/")[0]]
    held_out = {f"{own.name}/{split.name}" for split in own.splits if split.role != "train"} | {evaluation}
    by_name = {source.name: source for source in pool.sources}
    allowed = None if samples is None else {name: frozenset(keys) for name, keys in samples.items()}
    findings: dict[tuple[Kind, str], dict[str, str]] = {}
    others = [name for name in sorted(by_name) if name not in held_out]
    for name in sorted(held_out & set(by_name)):
        findings["evaluation-split", name] = dict.fromkeys(sharing.keys_of(con, name), "held out by its card")
    family = [name for name in others if name.split("/")[0] == own.name or _in_domain(name.split("/")[0], benchmark)]
    recordings, unnamed = sharing.recordings(con, family, evaluation)
    compared: dict[Kind, sharing.Shared] = {
        "recording": recordings,
        "subject": sharing.subjects(con, family, evaluation),
        "picture": [*sharing.pictures(con, others, evaluation), *sharing.paths(con, others, evaluation)],
    }
    for name, key, what in sharing.near_duplicates(con, others, evaluation):
        compared.setdefault("alike" if name in family else "near-duplicate", []).append((name, key, what))
    for kind, shared in compared.items():
        for name, key, what in shared:
            findings.setdefault((kind, name), {}).setdefault(key, what)
    for (kind, name), of_key in findings.items():
        keys = sorted(key for key in of_key if allowed is None or key in allowed.get(name, ()))
        if keys:
            what = _listed({of_key[key] for key in keys})
            yield _leak(kind, benchmark, evaluation, by_name[name], what, len(keys), tuple(keys))
    unopened = sharing.unopened(con, others)
    for name in others:
        source = by_name[name]
        if reason := _in_domain(source.dataset, benchmark):
            yield _leak("in-domain", benchmark, evaluation, source, reason, source.num_available)
        elif how := [one.how for one in own.overlaps if one.dataset == source.dataset]:
            yield _leak("card", benchmark, evaluation, source, how[0], source.num_available)
        if num := unopened.get(name, 0):
            yield _leak("unchecked", benchmark, evaluation, source, "their pictures were not opened", num)
        if num := unnamed.get(name, 0):
            yield _leak("unchecked", benchmark, evaluation, source, "their recordings have names of another form", num)


def _leak(
    kind: Kind, benchmark: str, evaluation: str, source: Source, what: str, num: int, keys: tuple[str, ...] = ()
) -> Leak:
    return Leak(
        kind=kind,
        benchmark=benchmark,
        evaluation=evaluation,
        dataset=source.dataset,
        split=source.split,
        what=what,
        num_samples=num,
        keys=keys,
    )


def _listed(names: set[str]) -> str:
    shown = sorted(names)[:NUM_EXAMPLES]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
