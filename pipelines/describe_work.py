"""Attribute families over a whole store as plain functions: plan each, compute it in several processes, sum up."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from catalogs.attributes import engine, pose_basis, pose_space, scene_prototypes
from catalogs.attributes.engine import FamilyWork, ShardJob
from catalogs.attributes.family import Family, Scope
from harmonize.errors import EhpsError, UsageError
from pipelines.progress import Meter
from pipelines.workers import Workers

Count = Callable[[int], None]
Problem = EhpsError | OSError
Failure = tuple[str, Problem]
"""What failed, and why."""

SCENES = "scene_"
"""How families begin that label scenes by image features."""

POLL_S = 0.5
INLINE_ROWS = 100_000
"""Rows of a family without pictures that one process does sooner than others have started (three seconds)."""

BATCHES_A_WORKER = 16
MIN_BATCH_ROWS = 64
"""A batch is what a worker is given at once: many small shards, or one large one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of one job. problem: None where nothing went wrong."""

    job: ShardJob
    problem: Problem | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilySummary:
    """What was done for one family, or one table over the store.

    num_rows: samples of the shards made now; seconds: of all workers, together.
    """

    name: str
    num_made: int
    num_current: int
    num_failed: int
    num_rows: int
    seconds: float


class DescribeFailedError(EhpsError):
    """Some attributes could not be computed; all others are complete. Its exit code is the highest of its causes."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        lines = [f"  {name}: {str(error).replace(chr(10), chr(10) + '  ')}" for name, error in failures]
        super().__init__(
            f"{len(failures)} parts of the attributes failed; the others are complete\n" + "\n".join(lines),
            fix="mend what the messages name and run the same command again: what is complete is kept",
        )
        self.exit_code = max(error.exit_code if isinstance(error, EhpsError) else 1 for _, error in failures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was done, what failed, and why something was left out."""

    summaries: tuple[FamilySummary, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]


def describe_families(
    store: Path,
    families: Sequence[Family],
    body_models: str | None,
    num_workers: int,
    *,
    is_refit: bool = False,
    prototypes: Path | None = None,
    optional: Collection[str] = (),
) -> Outcome:
    """Compute what is missing or stale of each family, those that others follow first.

    A shard or a family that fails does not stop the others. is_refit: fit anew what is fitted to a store.
    prototypes: folder of pictures, `CLASS/*`, whose features scenes are labelled by from now on. optional:
    families that some stores cannot have, which is then no failure.

    Raises:
        UsageError: a family follows one that is not among them; no finished shard.
        InterruptedRunError: a worker was killed. Finished shards are kept.
        BaseException: a bug of a family, once all its other shards are done.
    """
    shards = engine.shards_of(store)
    scope = engine.scope_of(store, shards, body_models)
    summaries: list[FamilySummary] = []
    failures: list[Failure] = []
    notes: list[str] = []
    ordered = {family.name: family for family in engine.in_order(families)}
    for wave in waves(list(ordered.values())):
        works: list[FamilyWork] = []
        for family in wave:
            try:
                if is_refit or prototypes is not None:
                    _fit_anew(family, ordered, scope, is_refit=is_refit, prototypes=prototypes)
                works.append(engine.plan(store, family, body_models, shards))
            except (EhpsError, OSError) as error:
                if family.name in optional and isinstance(error, UsageError):
                    notes.append(f"{family.name} left out: {error}")
                else:
                    failures.append((family.name, error))
        done = run_jobs(together(works), num_workers)
        failures += [failure for work in works for failure in _blocked(work)]
        failures += [(_name(one.job), one.problem) for one in done if one.problem is not None]
        summaries += [_summary(work, done) for work in works]
    return Outcome(summaries=tuple(summaries), failures=tuple(failures), notes=tuple(notes))


def waves(families: Sequence[Family]) -> list[list[Family]]:
    """Families in an order that suits what they follow, those together that can read each shard's index once.

    Families that read pictures go alone: their time is that of decoding.
    """
    done: set[str] = set()
    left = list(families)
    found: list[list[Family]] = []
    while left:
        ready = [family for family in left if done.issuperset(family.follows)]
        plain = [family for family in ready if not family.reads_pictures]
        found.append(plain or ready[:1])
        done |= {family.name for family in found[-1]}
        left = [family for family in left if family.name not in done]
    return found


def together(works: Sequence[FamilyWork]) -> list[ShardJob]:
    """The jobs of several families, those of one shard after each other."""
    jobs = [job for work in works for job in work.pending]
    return sorted(jobs, key=lambda job: job.shard)


def _blocked(work: FamilyWork) -> list[Failure]:
    if not work.blocked:
        return []
    followed = ", ".join(work.family.follows)
    return [
        (
            work.family.name,
            UsageError(
                f"{len(work.blocked)} shards have no {followed}, such as {work.blocked[0]}",
                fix="mend what kept these from being made, then run the same command again",
            ),
        )
    ]


def _summary(work: FamilyWork, done: Sequence[Done]) -> FamilySummary:
    ours = [one for one in done if one.job.family.name == work.family.name]
    made = [one for one in ours if one.problem is None]
    return FamilySummary(
        name=work.family.name,
        num_made=len(made),
        num_current=work.num_current,
        num_failed=len(ours) - len(made) + len(work.blocked),
        num_rows=sum(one.job.num_rows for one in made),
        seconds=sum(one.seconds for one in ours),
    )


def _fit_anew(
    family: Family, known: Mapping[str, Family], scope: Scope, *, is_refit: bool, prototypes: Path | None
) -> None:
    """Fit anew what the shards of a family share, where that is fitted to the store or to a folder of pictures."""
    if is_refit and family.name == pose_space.FAMILY.name:
        pose_basis.refit(scope.store)
    elif family.name.startswith(SCENES):
        (features,) = (known[name] for name in family.follows)
        if prototypes is not None:
            found = scene_prototypes.from_folder(prototypes, scope, features)
        else:
            found = scene_prototypes.from_cards(scope, features)
        scene_prototypes.put_into_use(scope, found, features)


def run_jobs(jobs: Sequence[ShardJob], num_workers: int) -> list[Done]:
    """Compute jobs, in this process or in several, and say what became of each.

    Raises:
        InterruptedRunError: a worker was killed.
        BaseException: any exception of a shard that is no clear message, once the other shards are done.
    """
    total = sum(job.num_rows for job in jobs)
    if not jobs:
        return []
    names = list(dict.fromkeys(job.family.name for job in jobs))
    with Meter(names[0] if len(names) == 1 else f"{len(names)} families", total, "samples") as meter:
        if num_workers == 1 or (not jobs[0].family.reads_pictures and total < INLINE_ROWS):
            outcomes = run_batch(jobs, meter.add)
        else:
            outcomes = _run_workers(batches_of(jobs, num_workers), num_workers, meter)
    done = []
    for job, (error, seconds) in zip(jobs, outcomes, strict=True):
        if error is not None and not isinstance(error, EhpsError | OSError):
            error.add_note(f"in {_name(job)}")
            raise error
        done.append(Done(job=job, problem=error, seconds=seconds))
    return done


def run_batch(jobs: Sequence[ShardJob], count: Count) -> list[tuple[Exception | None, float]]:
    """Compute some jobs one after the other; for each what went wrong, None where nothing did, and the seconds it took.

    Jobs of one shard share one reading of its index, whose time is the first one's.
    """
    outcomes: list[tuple[Exception | None, float]] = []
    for _, group in groupby(jobs, key=lambda job: (job.folder, job.shard)):
        some = list(group)
        index: Any = None
        for job in some:
            start = time.perf_counter()
            error: Exception | None = None
            try:
                index = engine.read_index(some) if index is None else index
                engine.run(job, count, index)
            except Exception as found:
                error = found
            outcomes.append((error, time.perf_counter() - start))
    return outcomes


def batches_of(jobs: Sequence[ShardJob], num_workers: int) -> list[tuple[ShardJob, ...]]:
    """Jobs in order, put together so that each worker gets several batches of about as many rows each."""
    total = sum(job.num_rows for job in jobs)
    target = max(MIN_BATCH_ROWS, -(-total // (num_workers * BATCHES_A_WORKER)))
    batches: list[tuple[ShardJob, ...]] = []
    batch: list[ShardJob] = []
    num_rows = 0
    for job in jobs:
        batch.append(job)
        num_rows += job.num_rows
        if num_rows >= target:
            batches.append(tuple(batch))
            batch, num_rows = [], 0
    return [*batches, tuple(batch)] if batch else batches


def _run_workers(
    batches: Sequence[tuple[ShardJob, ...]], num_workers: int, meter: Meter
) -> list[tuple[Exception | None, float]]:
    num = min(num_workers, len(batches))
    # The workers are the inner context: on Ctrl-C they end first, and then the threads that wait for them.
    with ThreadPoolExecutor(num) as threads, Workers(run_batch, batches, num) as workers:
        futures = [threads.submit(workers.run, i) for i in range(len(batches))]
        waiting = set(futures)
        while waiting:
            _, waiting = wait(waiting, timeout=POLL_S)
            meter.reach(workers.num_done)
        return [outcome for future in futures for outcome in future.result()]


def _name(job: ShardJob) -> str:
    return f"{job.family.name} of {job.shard}"
