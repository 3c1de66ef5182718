"""What `ehps proxy` does with one training after another: the same network trained on each dataset or mixture and
measured on all benchmarks.

    DIR/agora-0/               a run, as `ehps train` leaves it
    DIR/agora-0/evaluation/    <benchmark>.parquet with the errors of each instance, summary.json
    DIR/agora-0/proxy.json     what was asked for; its rows of the run table once it is complete
    DIR/runs.parquet, runs.csv the run table (`proxy_table`), after every training

A training that was interrupted goes on from its checkpoint; one that is complete is not made again. What one folder
holds was all made alike, so that its errors compare.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.proxies import Proxy
from harmonize.errors import UsageError
from harmonize.shards.read import open_store
from harmonize.whole import write_whole
from pipelines.proxy_table import rows_of

if TYPE_CHECKING:
    from train.config import TrainConfig

RECORD = "proxy.json"
EVALUATION = "evaluation"
OWN_SETTINGS = ("seed", "steps", "epochs")
"""Of the config; the seeds and draws asked for decide them."""

_OF_ONE = ("seed", "selection")
"""In which two trainings of one folder may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyJob:
    """One training and its evaluation, for a worker process.

    config: of the run, its seed and length set. architecture: its name in the run table. benchmarks: name -> digest of
    the shards it measures on. body_models: None for the stand-in where the store was made with it, else
    $EHPS_BODY_MODELS.
    """

    proxy: Proxy
    store: Path
    folder: Path
    recipe: str
    architecture: str
    config: TrainConfig
    benchmarks: Mapping[str, str]
    body_models: str | None
    device: str

    @property
    def num_steps(self) -> int:
        """Updates of the training."""
        return self.config.num_steps(self.proxy.selection.draws_per_epoch)

    def asked(self) -> dict[str, Any]:
        """What the results depend on."""
        selection = self.proxy.selection
        return {
            "recipe": self.recipe,
            "settings": _settings(self.config),
            "draws": selection.draws_per_epoch,
            "full draws": selection.parameters.get("full_draws") or selection.draws_per_epoch,
            "benchmarks": dict(self.benchmarks),
            "seed": self.proxy.seed,
            "selection": selection.content_hash,
        }


def make_jobs(
    store: Path,
    out: Path,
    trainings: Sequence[Proxy],
    recipe: str,
    config: TrainConfig,
    benchmarks: Sequence[str],
    *,
    body_models: str | None,
    device: str,
) -> list[ProxyJob]:
    """The trainings with all that they need. recipe, config: as `pipelines.training.config_of` makes one of the other.

    Raises:
        UsageError: a setting that decides nothing here, or `out` holds trainings that were made otherwise, or others.
    """
    if config.validate_every is not None:
        raise UsageError(
            "validate_every: expected none: a checkpoint chosen on a benchmark is no longer measured by it",
            fix="leave it out; each proxy is measured when it is complete",
        )
    digests = _digests(store, benchmarks)
    architecture = _architecture(recipe, config)
    jobs = [
        ProxyJob(
            proxy=proxy,
            store=store,
            folder=out / proxy.name,
            recipe=recipe,
            architecture=architecture,
            config=replace(config, seed=proxy.seed, epochs=1.0, steps=None),
            benchmarks=digests,
            body_models=body_models,
            device=device,
        )
        for proxy in trainings
    ]
    _check_alike(out, jobs)
    return jobs


def run_proxy(job: ProxyJob, on_step: Callable[[int], None]) -> None:
    """Train and measure, unless that was done. on_step: told the number of new updates.

    Raises:
        InterruptedRunError: it was told to stop. EhpsError: see `train.loop.train` and `evaluate_networks`.
    """
    record = read_record(job.folder)
    if record is not None and record["rows"] is not None:
        on_step(job.num_steps)
        return
    from pipelines.evaluate import write
    from pipelines.evaluate_checkpoint import evaluate_networks, identity
    from pipelines.training import train_run
    from train.building import load_networks
    from train.run_folder import RUN

    _write_record(job, {"asked": job.asked(), "rows": None})
    if (job.folder / RUN).is_file():
        on_step(job.num_steps)
    else:
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
    networks = load_networks(job.folder, "last")
    found = evaluate_networks(
        job.store, networks, tuple(job.benchmarks), device=job.device, body_models=job.body_models, is_shown=False
    )
    write(found, job.folder / EVALUATION, identity(networks))
    rows = rows_of(job.proxy, job.architecture, [one.summary for one in found.values()])
    _write_record(job, {"asked": job.asked(), "rows": rows, "is_standin": networks.is_standin})


def read_record(folder: Path) -> dict[str, Any] | None:
    """What is known of a training of this folder; `rows` is None while it is not complete."""
    path = folder / RECORD
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def _write_record(job: ProxyJob, content: Mapping[str, Any]) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    write_whole(job.folder / RECORD, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def _check_alike(out: Path, jobs: Sequence[ProxyJob]) -> None:
    """Refuse a folder whose trainings were made otherwise than these, or that holds other runs of their names."""
    of_name = {job.folder: job for job in jobs}
    for job in jobs:
        if job.folder.is_dir() and read_record(job.folder) is None and any(job.folder.iterdir()):
            raise UsageError(f"{job.folder}: holds something else than a proxy", fix="give another folder with -o")
    for path in sorted(out.glob(f"*/{RECORD}")):
        record = read_record(path.parent)
        assert record is not None
        job = of_name.get(path.parent, jobs[0])
        asked = json.loads(json.dumps(job.asked()))
        names = [name for name in asked if job.folder == path.parent or name not in _OF_ONE]
        if changed := [name for name in names if record["asked"].get(name) != asked[name]]:
            raise UsageError(
                f"{path.parent}: was made with other {', '.join(changed)}; errors compare only among trainings that "
                "are alike",
                fix="ask as before, or give another folder with -o",
            )


def _settings(config: TrainConfig) -> dict[str, Any]:
    """The part of a config that numbers depend on and that is the same for all trainings."""
    from train.run_folder import MAY_CHANGE
    from train.settings import to_plain

    plain = dict(to_plain(config))
    return {name: value for name, value in plain.items() if name not in MAY_CHANGE | set(OWN_SETTINGS)}


def _architecture(recipe: str, config: TrainConfig) -> str:
    """The recipe's name, with a mark of its own where settings were changed."""
    from pipelines.training import config_of
    from train.recipes import RECIPES

    settings = _settings(config)
    if not RECIPES[recipe].needs_init and settings == _settings(config_of(recipe, [])):
        return recipe
    return f"{recipe}-{_sha256(settings)[:8]}"


def _digests(store: Path, benchmarks: Sequence[str]) -> dict[str, str]:
    from benchmark.protocols import protocol

    manifests = open_store(store).manifests()
    found = {}
    for name in benchmarks:
        split = (protocol(name).dataset, protocol(name).split)
        shards = sorted((one.shard, one.plan_digest) for one in manifests if (one.dataset, one.split) == split)
        found[name] = _sha256(shards)
    return found


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
