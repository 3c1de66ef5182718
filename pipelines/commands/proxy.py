"""`ehps proxy`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from harmonize.errors import UsageError
from pipelines.tables import Json

Names = Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")]


def proxy(
    store: Path,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    recipe: str = "toy",
    draws: int | None = None,
    full_draws: int | None = None,
    seeds: Annotated[list[int] | None, Parameter(consume_multiple=True, negative="")] = None,
    datasets: Names = None,
    selections: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")] = None,
    benchmark: Names = None,
    settings: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    workers: int | None = None,
    device: str = "cpu",
    body_models: str | None = None,
    as_json: Json = False,
) -> None:
    """Train the same network on each dataset alone, or on each of some mixtures, and measure it on all benchmarks.

    All trainings have the same recipe, number of draws and schedule. Samples that a benchmark evaluates on are left out
    of datasets, with a note; a mixture that has any is refused. The folder gets every run with its errors, and
    runs.parquet and runs.csv for `ehps rank` and `ehps propose` (docs/runs.md); `ehps query` finds both in STORE/runs.
    Stopped by Ctrl-C or SIGTERM the command exits with code 3, and goes on when it is given again.

        ehps proxy STORE -o STORE/runs/single --draws 20000 --seeds 0 1 2
        ehps proxy STORE -o single --recipe tokens_s --draws 200000 --full-draws 4500000 --device cuda
        ehps proxy STORE -o mixed --selections a.json b.json c.json --benchmark ehf pw3d
        ehps rank --runs single
        ehps propose STORE --method regmix --runs mixed --budget 100000 -o learned.json

    Parameters
    ----------
    store
        Folder of the store with the training and the evaluation splits.
    out
        Folder for the runs. More datasets, mixtures and seeds can be added to it, of the same recipe and draws.
    recipe
        Name of the recipe: `ehps train --list`.
    draws
        Samples drawn in each training on a dataset.
    full_draws
        Samples drawn in the training that these stand for. Each dataset is then thinned by draws / full_draws, so that
        its samples are repeated as often as they will be; otherwise small datasets look better than they are.
    seeds
        One training for each. Default: 0.
    datasets
        Datasets to train on. Default: all with a training split in the store.
    selections
        Selection files of `ehps propose` to train on instead, one epoch each; all of one budget.
    benchmark
        What is measured: see `ehps evaluate`. Default: every benchmark whose evaluation split the store holds.
    settings
        Change a setting of the recipe, NAME=VALUE, as in `ehps train`.
    workers
        Trainings at a time, a process each. Default: the cores of this machine on cpu, else 1.
    device
        cpu, cuda, cuda:1. For several GPUs run the command once for each, with other --datasets and the same --out.
    body_models
        Folder of the SMPL-family files, or `standin`. Default: the stand-in for a store that was made with it, else
        $EHPS_BODY_MODELS.
    as_json
        Print JSON instead of a table.
    """
    from benchmark.evaluation import STANDIN_NOTE
    from benchmark.protocols import protocol
    from benchmark.proxies import ProxyBudget
    from pipelines import proxy_trainings
    from pipelines.proxy_flow import run_proxies
    from pipelines.proxy_table import shown_rows
    from pipelines.proxying import OWN_SETTINGS, make_jobs, read_record
    from pipelines.tables import show
    from pipelines.training import config_of
    from pipelines.workers import num_cores

    for setting in settings or ():
        if setting.partition("=")[0].strip() in OWN_SETTINGS:
            raise UsageError(f"--set {setting}: is decided by --draws and --seeds", fix="leave it out")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers: expected 1 or more, found {workers}")
    config = config_of(recipe, settings or [])
    benchmarks = tuple(protocol(name).name for name in benchmark or ()) or proxy_trainings.held_protocols(store)
    if selections is not None:
        given = {"--draws": draws, "--full-draws": full_draws, "--datasets": datasets}
        if wrong := [name for name, value in given.items() if value is not None]:
            raise UsageError(f"{', '.join(wrong)}: is not for --selections, which say it", fix="leave it out")
        trainings, notes = proxy_trainings.mixtures(store, selections, seeds or [0], benchmarks)
    else:
        if draws is None:
            raise UsageError("--draws: expected a number with trainings on datasets, found none", fix="--draws 20000")
        budget = ProxyBudget(draws=draws, full_draws=full_draws, seeds=tuple(seeds or [0]))
        trainings, notes = proxy_trainings.single_datasets(store, budget, benchmarks, datasets)
    jobs = make_jobs(store, out, trainings, recipe, config, benchmarks, body_models=body_models, device=device)
    for note in notes:
        print(f"ehps: note: {note}", file=sys.stderr)
    num_workers = workers or (num_cores() if device == "cpu" else 1)
    rows = run_proxies(jobs, out, min(num_workers, len(jobs)))
    show(shown_rows(trainings, rows), as_json=as_json)
    if any((read_record(job.folder) or {}).get("is_standin") for job in jobs):
        print(f"ehps: note: {STANDIN_NOTE}", file=sys.stderr)
