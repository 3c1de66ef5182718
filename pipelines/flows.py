"""The ingest flow: which plain function runs when, and what Prefect is told. It contains no work.

Prefect reads its settings when it is imported, so only functions here import it, after `quiet_prefect`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

from harmonize.cache import cache_dir
from harmonize.shards.plan import IngestJob
from harmonize.shards.write import TaskResult
from pipelines.flow_server import start_server
from pipelines.work import (
    SplitSummary,
    close,
    make_shards,
    meter_of,
    plan_split,
    plan_splits,
    tasks_of,
)
from pipelines.workers import Workers

MAX_NAMED = 4


def quiet_prefect() -> None:
    """Settings of a Prefect that keeps to itself: own folder, no usage reports, warnings only. The user's own win."""
    home = cache_dir() / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    settings = {
        "PREFECT_HOME": str(home),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # A failed run is told once, by the message that the command ends with, not also as Prefect's tracebacks of it.
        "PREFECT_LOGGING_LOGGERS_PREFECT_FLOW_RUNS_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_LOGGERS_PREFECT_TASK_RUNS_LEVEL": "CRITICAL",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    # It warns at exit while it delivers its last events, and then delivers them.
    logging.getLogger("EventsWorker").setLevel(logging.ERROR)


def run_flow(jobs: Sequence[IngestJob], num_workers: int) -> list[SplitSummary]:
    """Plan the splits, make their missing shards in `num_workers` processes and sum up, as one recorded Prefect run.

    Raises:
        TasksFailedError: something failed; see `close`.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the workers have ended and left no half-written file.
    """
    quiet_prefect()
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.exceptions import TerminationSignal
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.task_runners import ThreadPoolTaskRunner

    names = [f"{job.reader} {job.split}" for job in jobs]
    run_name = ", ".join(names) if len(names) <= MAX_NAMED else f"{names[0]} and {len(names) - 1} more splits"

    plan = task(name="plan", cache_policy=NO_CACHE)(plan_split)
    runner: Any = ThreadPoolTaskRunner(num_workers)

    @flow(name="ingest", flow_run_name=run_name, task_runner=runner)
    def ingest() -> list[SplitSummary]:
        splits, failures = plan_splits(jobs, plan)
        works = tasks_of(splits)
        with (
            Workers(make_shards, works, num_workers) as workers,
            meter_of(works) as meter,
            workers.watched(meter.reach),
        ):

            @task(name="shards", cache_policy=NO_CACHE)
            def shards(i: int) -> TaskResult:
                return workers.run(i)

            futures = shards.map(range(len(works)))
            outcomes = [future.result(raise_on_failure=False) for future in futures]
        return close(splits, works, outcomes, failures)

    own_api = {} if PREFECT_API_URL.value() else {PREFECT_API_URL: start_server()}
    try:
        with temporary_settings(own_api):
            return ingest()
    except TerminationSignal as signal:
        raise KeyboardInterrupt from signal
