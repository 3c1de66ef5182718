"""Ingest as plain functions: plan every split, make the shards that are missing, say what came out. No Prefect here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harmonize.bodies import BodyModels
from harmonize.errors import EhpsError
from harmonize.shards.plan import IngestJob, Plan, Task, make_plan
from harmonize.shards.write import TaskResult, finalise, pending, run_task
from pipelines.progress import Meter

Count = Callable[[int], None]
"""Called with the number of people just done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitWork:
    """One split of one dataset: all that it takes, and the tasks whose shards are missing or out of date."""

    job: IngestJob
    plan: Plan
    pending: tuple[Task, ...]

    @property
    def name(self) -> str:
        return f"{self.job.reader}/{self.job.split}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskWork:
    """One task of one split."""

    split: SplitWork
    task: Task

    @property
    def name(self) -> str:
        return f"{self.split.name} task {self.task.index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSummary:
    """What an ingest did to one split. Numbers of people count those of the shards made now, not of those kept."""

    dataset: str
    split: str
    num_shards: int
    num_shards_made: int
    num_samples_made: int
    num_rejects_made: int
    worker_seconds: float = field(compare=False)


Problem = EhpsError | OSError


class TasksFailedError(EhpsError):
    """Some work failed; the shards of the rest are complete. Its exit code is the highest of its causes.

    summaries: of the splits that are complete.
    """

    def __init__(self, failures: Sequence[tuple[str, Problem]], total: int, summaries: list[SplitSummary]) -> None:
        lines = [f"  {name}: {str(error).replace(chr(10), chr(10) + '  ')}" for name, error in failures]
        super().__init__(
            f"{len(failures)} of {total} tasks failed; the shards of the others are complete\n" + "\n".join(lines),
            fix="mend what the messages name and run the same command again: finished shards are kept",
        )
        self.exit_code = max(error.exit_code if isinstance(error, EhpsError) else 1 for _, error in failures)
        self.summaries = summaries


def check(job: IngestJob) -> None:
    """Refuse at once what cannot work, before anything is started for it.

    Raises:
        UsageError: unknown dataset, form or split; no raw root; no body models.
    """
    job.make_reader().check_split(job.split)
    BodyModels.open(job.body_models)


def plan_split(job: IngestJob) -> SplitWork:
    """The plan of one split and what of it has to be done."""
    plan = make_plan(job)
    return SplitWork(job=job, plan=plan, pending=tuple(pending(plan, job)))


def plan_splits(
    jobs: Sequence[IngestJob], plan: Callable[[IngestJob], SplitWork] = plan_split
) -> tuple[list[SplitWork], list[tuple[str, Problem]]]:
    """The plans of several splits, and what went wrong with those that have none.

    Large annotation files take their time, as all are hashed when first seen.
    """
    splits: list[SplitWork] = []
    failures: list[tuple[str, Problem]] = []
    with Meter("plan", len(jobs), "splits") as meter:
        for job in jobs:
            try:
                splits.append(plan(job))
            except (EhpsError, OSError) as error:
                failures.append((f"{job.reader}/{job.split}", error))
            meter.add(1)
    return splits, failures


def tasks_of(splits: Sequence[SplitWork]) -> list[TaskWork]:
    """The pending tasks of all splits, in order."""
    return [TaskWork(split=split, task=task) for split in splits for task in split.pending]


def meter_of(works: Sequence[TaskWork]) -> Meter:
    """A meter for the people of some tasks. Readers can only estimate their number, and some cannot even do that."""
    hints = [-(-unit.num_hint // work.split.job.options.every) for work in works for unit in work.task.units]
    total = sum(hints) if all(hints) else 0
    names = list(dict.fromkeys(work.split.name for work in works))
    return Meter(names[0] if len(names) == 1 else f"{len(names)} splits", total, "people")


def make_shards(work: TaskWork, count: Count) -> TaskResult:
    """Make the shards of one task."""
    return run_task(work.split.job, work.split.plan, work.task, count)


def run_inline(works: Sequence[TaskWork], count: Count) -> list[TaskResult | BaseException]:
    """What came of each task, made one after the other in this process; a failed task does not stop the others."""
    outcomes: list[TaskResult | BaseException] = []
    for work in works:
        try:
            outcomes.append(make_shards(work, count))
        except Exception as error:
            outcomes.append(error)
    return outcomes


def close(
    splits: Sequence[SplitWork],
    works: Sequence[TaskWork],
    outcomes: Sequence[TaskResult | BaseException],
    failures: Sequence[tuple[str, Problem]],
) -> list[SplitSummary]:
    """Close every split all of whose tasks are done, and sum up. `failures`: what went wrong before there were tasks.

    Raises:
        TasksFailedError: something failed for a reason that its message explains; what is complete was closed.
        BaseException: any other exception of a task, unchanged: it is a bug or an interruption.
    """
    failed = list(failures)
    results: dict[str, list[TaskResult]] = {split.name: [] for split in splits}
    for work, outcome in zip(works, outcomes, strict=True):
        if isinstance(outcome, EhpsError | OSError):
            failed.append((work.name, outcome))
            results.pop(work.split.name, None)
        elif isinstance(outcome, BaseException):
            outcome.add_note(f"in {work.name}")
            raise outcome
        elif work.split.name in results:
            results[work.split.name].append(outcome)
    summaries = []
    for split in splits:
        if split.name in results:
            try:
                summaries.append(finish(split, results[split.name]))
            except (EhpsError, OSError) as error:
                failed.append((split.name, error))
    if failed:
        raise TasksFailedError(failed, len(works) + len(failures), summaries)
    return summaries


def finish(split: SplitWork, made: Sequence[TaskResult]) -> SplitSummary:
    """Check a split as a whole, drop shards of older plans, and sum up what was made now.

    Raises:
        StoreError: see `finalise`.
    """
    finalise(split.plan, split.job)
    return SplitSummary(
        dataset=split.job.reader,
        split=split.job.split,
        num_shards=split.plan.num_shards,
        num_shards_made=sum(len(result.shards) for result in made),
        num_samples_made=sum(result.num_samples for result in made),
        num_rejects_made=sum(result.num_rejects for result in made),
        worker_seconds=sum(result.seconds for result in made),
    )
