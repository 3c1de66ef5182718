"""The flow of proxy trainings: which runs when, and what Prefect is told. It contains no work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harmonize.errors import EhpsError
from pipelines.flow_server import start_server
from pipelines.flows import quiet_prefect
from pipelines.progress import Meter
from pipelines.proxying import ProxyJob, num_steps, run_proxy, write_table
from pipelines.workers import Workers


class ProxiesFailedError(EhpsError):
    """Some trainings failed; the others are complete, and the same command makes what is missing."""

    exit_code = 2


def run_proxies(jobs: Sequence[ProxyJob], out: Path, num_workers: int) -> list[dict[str, Any]]:
    """Make all trainings in `num_workers` processes, as one recorded Prefect run; the run table's rows.

    Raises:
        ProxiesFailedError: some failed; the message names each with its error.
        KeyboardInterrupt: Ctrl-C or SIGTERM; each training goes on from its checkpoint.
    """
    quiet_prefect()
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.exceptions import TerminationSignal
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.task_runners import ThreadPoolTaskRunner

    runner: Any = ThreadPoolTaskRunner(num_workers)
    rows: dict[int, list[dict[str, Any]]] = {}

    @flow(name="proxy", flow_run_name=out.name, task_runner=runner)
    def proxy() -> list[tuple[str, BaseException]]:
        with (
            Workers(run_proxy, jobs, num_workers) as workers,
            Meter("proxies", sum(map(num_steps, jobs)), "updates") as meter,
            workers.watched(meter.reach),
        ):

            @task(name="training", task_run_name="{name}", cache_policy=NO_CACHE)
            def training(i: int, name: str) -> None:
                rows[i] = workers.run(i)
                write_table(out, [row for some in dict(rows).values() for row in some])

            futures = training.map(range(len(jobs)), [job.proxy.name for job in jobs])
            outcomes = [future.result(raise_on_failure=False) for future in futures]
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
        raise ProxiesFailedError(
            f"proxy: {len(failures)} of {len(jobs)} trainings failed:\n  "
            + "\n  ".join(f"{name}: {error}" for name, error in failures),
            fix="run the same command again: what is complete stays",
        )
    return [row for i in sorted(rows) for row in rows[i]]
