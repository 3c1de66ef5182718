"""What `ehps proxy` does: trains one small network for each dataset and seed, measures it on all benchmarks, and keeps
the run table that ranks the datasets.

    DIR/agora-0/               a run, as `ehps train` leaves it
    DIR/agora-0/evaluation/    <benchmark>.parquet with the errors of each instance, summary.json
    DIR/agora-0/proxy.json     what was asked for, and its rows of the run table; written last
    DIR/runs.parquet, runs.csv the run table (`benchmark.rankings.runs`), after every training

A training that was interrupted goes on from its checkpoint; one that is complete is not made again.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmark.proxies import Proxy, ProxyBudget, proxies
from benchmark.rankings.runs import COLUMNS
from catalogs import store as catalog
from harmonize.errors import UsageError
from train.config import TrainConfig

RECORD = "proxy.json"
EVALUATION = "evaluation"
TABLE = "runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyJob:
    """One training and its evaluation, for a worker process. config: of the run, its seed and length set.

    body_models: None for the stand-in where the store was made with it, else $EHPS_BODY_MODELS.
    """

    proxy: Proxy
    store: Path
    folder: Path
    recipe: str
    config: TrainConfig
    benchmarks: tuple[str, ...]
    body_models: str | None
    device: str

    def asked(self) -> dict[str, Any]:
        """What the run's results depend on."""
        from train.settings import to_plain

        config = {name: value for name, value in to_plain(self.config).items() if name != "threads"}
        return {
            "recipe": self.recipe,
            "config": json.loads(json.dumps(config)),
            "selection": self.proxy.selection.content_hash,
            "benchmarks": list(self.benchmarks),
        }


def plan(
    store: Path,
    out: Path,
    recipe: str,
    config: TrainConfig,
    budget: ProxyBudget,
    *,
    datasets: Sequence[str] | None,
    benchmarks: Sequence[str],
    body_models: str | None,
    device: str,
) -> tuple[list[ProxyJob], tuple[str, ...]]:
    """The trainings, and what to say of samples that were left out because a benchmark evaluates on them.

    benchmarks: none means those whose evaluation split the store holds.

    Raises:
        UsageError: an unknown dataset or benchmark, nothing to train on, or a run in `out` that was made otherwise.
        StoreError: the store cannot be read.
    """
    from benchmark.constraints import Constraints
    from pipelines.mixture import allowed_samples, leak_free, training_pool

    judged = tuple(benchmarks) or held_protocols(store)
    where, notes = leak_free(store, Constraints(), _guarded(judged), None, drops_leaks=True)
    pool = training_pool(store)
    keys = allowed_samples(store, pool, where or "true")
    jobs = [
        ProxyJob(
            proxy=proxy,
            store=store,
            folder=out / proxy.name,
            recipe=recipe,
            config=replace(config, seed=proxy.seed, epochs=1.0, steps=None),
            benchmarks=judged,
            body_models=body_models,
            device=device,
        )
        for proxy in proxies(pool, keys, budget, datasets=datasets)
    ]
    for job in jobs:
        _check_same(job)
    return jobs, notes


def held_protocols(store: Path) -> tuple[str, ...]:
    """The benchmarks whose split a store holds, one a split: the first of those that measure the same people.

    Raises:
        UsageError: it holds none.
    """
    from benchmark.protocols import PROTOCOLS

    with catalog.open(store) as con:
        rows = catalog.query(con, "SELECT dataset, split FROM datasets WHERE num_samples > 0").rows
    held = {(str(dataset), str(split)) for dataset, split in rows}
    first = {(one.dataset, one.split): one.name for one in reversed(list(PROTOCOLS.values()))}
    found = tuple(name for name in PROTOCOLS if name in {first[split] for split in held & first.keys()})
    if not found:
        raise UsageError(f"{store}: holds no benchmark's evaluation split", fix="ingest one: ehps rank --help")
    return found


def run_proxy(job: ProxyJob, on_step: Callable[[int], None]) -> list[dict[str, Any]]:
    """Train and measure, unless that was done; the rows of the run table. on_step: told the number of new updates.

    Raises:
        EhpsError: see `train.loop.train` and `benchmark.evaluation.evaluate`.
    """
    if (done := _record(job)) is not None:
        on_step(num_steps(job))
        return list(done["rows"])
    from pipelines.evaluate import write
    from pipelines.evaluate_checkpoint import evaluate_networks
    from pipelines.training import train_run
    from train.building import load_networks

    train_run(
        job.store,
        job.proxy.selection,
        job.folder,
        job.config,
        body_models=job.body_models,
        device=job.device,
        resume=True,
        on_step=on_step,
    )
    networks = load_networks(job.folder)
    found = evaluate_networks(
        job.store, networks, job.benchmarks, body_models=job.body_models, device=job.device, num_draws=0
    )
    write(found, job.folder / EVALUATION)
    rows = [row for one in found.values() for row in _rows(job, one.summary)]
    partial = job.folder / f".{RECORD}.tmp"
    document = {"asked": job.asked(), "rows": rows, "is_standin": networks.is_standin}
    partial.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(job.folder / RECORD)
    return rows


def num_steps(job: ProxyJob) -> int:
    """Updates of a training."""
    return job.config.num_steps(job.proxy.selection.draws_per_epoch)


def write_table(out: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """The run table of all trainings so far, as runs.csv and runs.parquet; returns the latter."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ordered = sorted(rows, key=lambda row: (row["dataset"], row["seed"], row["benchmark"], row["metric"]))
    out.mkdir(parents=True, exist_ok=True)
    with (out / f".{TABLE}.csv.tmp").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(ordered)
    kinds = {"error_mm": pa.float64(), "low_mm": pa.float64(), "high_mm": pa.float64()}
    kinds |= {"seed": pa.int64(), "draws": pa.int64()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
    pq.write_table(pa.Table.from_pylist([dict(row) for row in ordered], schema=schema), out / f".{TABLE}.parquet.tmp")
    for ending in ("csv", "parquet"):
        (out / f".{TABLE}.{ending}.tmp").replace(out / f"{TABLE}.{ending}")
    return out / f"{TABLE}.parquet"


def _rows(job: ProxyJob, summary: Any) -> list[dict[str, Any]]:
    """One row a metric that was measured; the primary one under its family's name, as `rank` looks for it."""
    rows = []
    for figure in summary.figures:
        if figure.mean_mm is None:
            continue
        name = figure.metric.rpartition("_")[0] if figure.metric == summary.primary else figure.metric
        values = (
            *(job.proxy.name, job.proxy.dataset, summary.benchmark, name),
            *(figure.mean_mm, figure.low_mm, figure.high_mm),
            *(job.proxy.seed, job.recipe, job.proxy.selection.draws_per_epoch),
        )
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def _record(job: ProxyJob) -> dict[str, Any] | None:
    path = job.folder / RECORD
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def _check_same(job: ProxyJob) -> None:
    if (done := _record(job)) is None:
        return
    asked = job.asked()
    changed = sorted(name for name in asked if done["asked"].get(name) != asked[name])
    if changed:
        raise UsageError(
            f"{job.folder}: holds a proxy that was made with another {', '.join(changed)}",
            fix="give another folder with -o, or remove this one",
        )


def _guarded(benchmarks: Sequence[str]) -> tuple[str, ...]:
    """The names under which the leakage guard knows the splits of these protocols."""
    from benchmark.distances.table import benchmark_splits
    from benchmark.protocols import protocol

    names = {split: name for name, split in benchmark_splits().items()}
    splits = [f"{protocol(name).dataset}/{protocol(name).split}" for name in benchmarks]
    return tuple(dict.fromkeys(names[split] for split in splits))


def summary_rows(jobs: Sequence[ProxyJob], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One line a training: its primary errors by benchmark, and how often it drew its samples."""
    from benchmark.protocols import PROTOCOLS

    table = []
    for job in jobs:
        line: dict[str, Any] = {"dataset": job.proxy.dataset, "seed": job.proxy.seed}
        line["samples"] = sum(member.num_available for member in job.proxy.selection.members)
        line["repeats"] = job.proxy.selection.residuals["repeats"]
        for name in job.benchmarks:
            metric = PROTOCOLS[name].primary.rpartition("_")[0]
            found = [
                row["error_mm"]
                for row in rows
                if (row["run_id"], row["benchmark"], row["metric"]) == (job.proxy.name, name, metric)
            ]
            line[f"{name}_mm"] = found[0] if found else None
        table.append(line)
    return table
