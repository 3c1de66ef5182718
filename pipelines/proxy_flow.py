"""The flow of proxy trainings: which runs when, and what Prefect is told. It contains no work."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harmonize.errors import EhpsError
from pipelines.flow_server import start_server
from pipelines.flows import quiet_prefect
from pipelines.progress import Meter
from pipelines.proxy_table import write_table
from pipelines.proxying import RECORD, ProxyJob, read_record, run_proxy
from pipelines.workers import InterruptedRunError, Workers

STOP_S = 120.0
"""A training that is told to stop finishes its update and writes a checkpoint."""


class ProxiesFailedError(EhpsError):
    """Some trainings failed; the others are complete, and the same command makes what is missing."""

    exit_code = 2


def run_proxies(jobs: Sequence[ProxyJob], out: Path, num_workers: int) -> list[dict[str, Any]]:
    """Make all trainings in `num_workers` processes, as one recorded Prefect run; the rows of the run table, which has
    all that the folder holds by now.

    Raises:
        ProxiesFailedError: some failed; the message names each with its error.
        InterruptedRunError: a worker died. KeyboardInterrupt: Ctrl-C or SIGTERM; trainings go on from checkpoints.
    """
    quiet_prefect()
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.exceptions import TerminationSignal
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.task_runners import ThreadPoolTaskRunner

    runner: Any = ThreadPoolTaskRunner(num_workers)
    writing = threading.Lock()

    @flow(name="proxy", flow_run_name=out.name, task_runner=runner)
    def proxy() -> list[tuple[str, BaseException]]:
        with (
            Workers(run_proxy, jobs, num_workers, stop_s=STOP_S) as workers,
            Meter("proxies", sum(job.num_steps for job in jobs), "updates") as meter,
            workers.watched(meter.reach),
        ):

            @task(name="training", task_run_name="{name}", cache_policy=NO_CACHE)
            def training(i: int, name: str) -> None:
                workers.run(i)
                with writing:
                    write_table(out, complete_rows(out))

            futures = training.map(range(len(jobs)), [job.proxy.name for job in jobs])
            outcomes: list[BaseException | None] = [future.result(raise_on_failure=False) for future in futures]
        return [
            (job.proxy.name, outcome)
            for job, outcome in zip(jobs, outcomes, strict=True)
            if isinstance(outcome, BaseException)
        ]

    own_api = {} if PREFECT_API_URL.value() else {PREFECT_API_URL: start_server()}
    try:
        with temporary_settings(own_api):
            failures = proxy()
    except TerminationSignal as signal:
        raise KeyboardInterrupt from signal
    if failures:
        raise _failed(failures, len(jobs))
    return complete_rows(out)


def complete_rows(out: Path) -> list[dict[str, Any]]:
    """Rows of the run table of all complete trainings in a folder."""
    records = [read_record(path.parent) for path in sorted(out.glob(f"*/{RECORD}"))]
    return [row for record in records if record is not None for row in record["rows"] or ()]


def _failed(failures: Sequence[tuple[str, BaseException]], num: int) -> EhpsError:
    for name, error in failures:
        if not isinstance(error, EhpsError | OSError):
            error.add_note(f"in {name}")
            raise error
    kind = InterruptedRunError if all(isinstance(one, InterruptedRunError) for _, one in failures) else None
    return (kind or ProxiesFailedError)(
        f"proxy: {len(failures)} of {num} trainings failed:\n  "
        + "\n  ".join(f"{name}: {error}" for name, error in failures),
        fix="run the same command again: what is complete stays",
    )
