"""The second half of the demo: datasets ranked, a mixture, dual networks trained on it, measured, and adapted."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

from benchmark.constraints import Constraints
from benchmark.proposers import PROPOSERS
from benchmark.proxies import ProxyBudget
from catalogs.selection import Budget, Selection
from harmonize.errors import DataError
from pipelines.adapting import SUMMARY, Adaptation, adapt_store, benchmark_keys, models_for
from pipelines.evaluate import write
from pipelines.evaluate_checkpoint import evaluate_networks, identity
from pipelines.mixture import allowed_samples, leak_free, problem_of, training_pool
from pipelines.proxy_flow import run_proxies
from pipelines.proxy_trainings import held_protocols, single_datasets
from pipelines.proxying import EVALUATION, make_jobs
from pipelines.study import Given, write_study
from pipelines.training import config_of, run_training
from train.building import load_networks

DRAWS_PER_EPOCH = 96
TAU = 2.0
STEPS = 60
PROXY_DRAWS = 128
RECIPE = "toy_dual"
ADAPTED = "pw3d"
"""The benchmark whose people are adapted: the only one here with 2D points of a detector."""

NUM_OVERLAYS = 6


def rank(store: Path, out: Path, num_workers: int) -> list[dict[str, Any]]:
    """Train a small network on each dataset alone; the run table. Complete trainings are kept."""
    benchmarks = held_protocols(store)
    trainings, _ = single_datasets(store, ProxyBudget(draws=PROXY_DRAWS), benchmarks, None)
    config = config_of("toy", ["threads=1"])
    jobs = make_jobs(store, out, trainings, "toy", config, benchmarks, body_models=None, device="cpu")
    return run_proxies(jobs, out, min(num_workers, len(jobs)))


def propose(store: Path, path: Path) -> Selection:
    """Write the temperature mixture of the store's training splits, without what its benchmarks evaluate on."""
    where, _ = leak_free(store, Constraints(), (), None, drops_leaks=True)
    allowed = None if where is None else allowed_samples(store, training_pool(store), where)
    problem = problem_of(store, Budget(draws_per_epoch=DRAWS_PER_EPOCH), Constraints(samples=allowed))
    selection = PROPOSERS["temperature"](problem, tau=TAU)
    selection.save(path)
    return selection


def train(store: Path, selection: Selection, run: Path, num_threads: int) -> tuple[float, float]:
    """Train dual networks for a few steps, unless they were on this selection; the mean loss of the first and of the
    last five updates.

    Raises:
        DataError: the loss did not fall.
    """
    record = run / "run.json"
    if not record.is_file() or json.loads(record.read_text())["selection"] != selection.content_hash:
        shutil.rmtree(run, ignore_errors=True)
        run_training(str(store), selection, run, config_of(RECIPE, [f"steps={STEPS}", f"threads={num_threads}"]))
    with (run / "losses.csv").open(newline="") as file:
        losses = [float(row["total"]) for row in csv.DictReader(file)]
    first, last = sum(losses[:5]) / 5, sum(losses[-5:]) / 5
    if last >= first:
        raise DataError(f"demo: expected a loss that falls, found {first:.4f} at first and {last:.4f} at last")
    return first, last


def evaluate(store: Path, run: Path) -> None:
    """Measure a run on the benchmarks that the store holds, into its folder, unless that was done."""
    networks = load_networks(run)
    model = identity(networks)
    summary = run / EVALUATION / "summary.json"
    if summary.is_file() and json.loads(summary.read_text()).get("model") == model:
        return
    found = evaluate_networks(store, networks, held_protocols(store), is_shown=False)
    write(found, run / EVALUATION, model)


def adapt(store: Path, run: Path, out: Path, pictures: Path) -> Adaptation | None:
    """Adapt a run to a benchmark's people, with pictures before and after; None where that was done."""
    networks = load_networks(run)
    model = identity(networks)
    mark = out / "model.json"
    if (out / SUMMARY).is_file() and mark.is_file() and json.loads(mark.read_text()) == model:
        return None
    found = adapt_store(
        networks,
        store,
        benchmark_keys(store, ADAPTED),
        out,
        models=models_for(networks, None),
        boxes="stored",  # everybody of the benchmark, those without points unchanged
        benchmark=ADAPTED,
        overlays=pictures,
        num_overlays=NUM_OVERLAYS,
    )
    mark.write_text(json.dumps(model) + "\n", encoding="utf-8")
    return found


def report(store: Path, out: Path, *, proxies: Path, mixture: Path, run: Path, num_workers: int) -> None:
    """Write the report on choosing."""
    given = Given(proxies=proxies, selections=(mixture,), runs=(run,))
    write_study(store, out, given, body_models=None, num_workers=num_workers)
