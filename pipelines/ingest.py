"""Ingest by a runner: "local" is a recorded Prefect flow over worker processes, "inline" the same calls one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from harmonize.shards.plan import IngestJob
from pipelines.work import SplitSummary, check, close, meter_of, plan_splits, run_inline, tasks_of

Runner = Literal["local", "inline"]


def ingest(jobs: Sequence[IngestJob], *, runner: Runner, num_workers: int) -> list[SplitSummary]:
    """Make the shards of the jobs that are missing or out of date; one summary a job.

    inline: in this process, one task after the other, for debugging and for tests. A dataset that fails does not stop
    the others.

    Raises:
        EhpsError: the only dataset asked for cannot work (see `check`); nothing was started.
        TasksFailedError: see `close`. Finished shards are kept and not made again.
        KeyboardInterrupt: Ctrl-C or SIGTERM; nothing half-written is left.
    """
    if len({job.reader for job in jobs}) == 1:
        for job in jobs:
            check(job)
    if runner == "local":
        from pipelines.flows import run_flow

        return run_flow(jobs, num_workers)
    splits, failures = plan_splits(jobs)
    works = tasks_of(splits)
    with meter_of(works) as meter:
        outcomes = run_inline(works, meter.add)
    return close(splits, works, outcomes, failures)
