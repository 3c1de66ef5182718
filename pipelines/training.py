"""What `ehps train` does: a recipe and its settings, validation, progress, and what to run after an interruption."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from catalogs.selection import Selection
from harmonize.bodies.models import BodyModels
from harmonize.errors import UsageError
from pipelines.progress import Meter
from pipelines.validation import validator
from pipelines.workers import InterruptedRunError
from train.checkpoints import checkpoints_of
from train.config import TrainConfig
from train.data.cache import Cache
from train.distributed import joined
from train.loop import train
from train.recipes import RECIPES, recipe
from train.run_folder import RunResult, is_finished
from train.run_log import Interval, read_losses
from train.settings import with_settings


def recipe_rows() -> list[dict[str, Any]]:
    """Every recipe with its network, length, and the command that makes its mixture."""
    rows = []
    for name, one in RECIPES.items():
        config = one.make()
        length = f"{config.steps} updates" if config.steps is not None else f"{config.epochs:g} epochs"
        rows.append({"recipe": name, "what": one.what, "length": length, "mixture": one.selection})
    return rows


def config_of(name: str, settings: Sequence[str]) -> TrainConfig:
    """A recipe's config with settings changed.

    Raises:
        UsageError: no such recipe or field, a value out of range, or the recipe needs weights to start from.
    """
    chosen = recipe(name)
    config = with_settings(chosen.make(), settings)
    if chosen.needs_init and config.init is None:
        raise UsageError(f"{name}: expected trained weights to start from", fix="--set init=RUN (a run or checkpoint)")
    return config


def run_training(
    store: str,
    selection: Selection,
    out: Path,
    config: TrainConfig,
    *,
    is_resumed: bool = False,
    device: str = "cpu",
    body_models: str | None = None,
    cache: Path | None = None,
    validation_store: Path | None = None,
    command: Sequence[str] = (),
) -> RunResult:
    """Train with progress on stderr. store: a folder, or a URL with a `cache` folder. command: how to run it again.

    Raises:
        InterruptedRunError: it was told to stop; a checkpoint is written.
        UsageError, DataError, StoreError: see `train.loop.train`.
    """
    is_remote = "://" in store
    if is_remote != (cache is not None):
        raise UsageError("cache: expected a folder with a store at a URL, and none without", fix="--cache DIR")
    models = None if body_models is None else BodyModels.open(body_models)
    total = config.num_steps(selection.draws_per_epoch)
    with joined(device) as process, ExitStack() as stack:
        validate = None
        if config.validate_every is not None:
            if validation_store is None and is_remote:
                raise UsageError("validation: expected a local store", fix="--validate-on DIR")
            validate = validator(validation_store or Path(store), config, models, process.device)
        meter: Meter | None = None
        if process.is_first:
            rows = read_losses(out) if is_resumed else []
            meter = stack.enter_context(Meter("train", total, "updates", done=int(rows[-1]["step"]) if rows else 0))

        def on_interval(interval: Interval) -> None:
            assert meter is not None
            meter.say(interval_text(interval))
            meter.reach(interval.step)

        result = train(
            store if is_remote else Path(store),
            selection,
            out,
            config,
            models,
            process=process,
            is_resumed=is_resumed,
            cache=None if cache is None else Cache(cache),
            on_interval=on_interval,
            on_validate=validate,
        )
    if not result.is_finished:
        raise InterruptedRunError(
            f"{out}: stopped after update {result.step} of {result.num_steps}, with a checkpoint",
            fix=" ".join([*command, *(["--resume"] if "--resume" not in command else [])]),
        )
    return result


def train_run(
    store: Path,
    selection: Selection,
    out: Path,
    config: TrainConfig,
    *,
    body_models: str | None = None,
    device: str = "cpu",
    resume: bool = False,
    on_step: Callable[[int], None] = lambda num: None,
) -> None:
    """Train as a part of other work, in this process alone and without a word.

    resume: go on where the folder's run stands, whether it was never begun, stopped, or is finished already. on_step:
    told the number of updates done since it was last called; those before a resume count too.

    Raises:
        InterruptedRunError: it was told to stop; a checkpoint is written.
        UsageError, DataError, StoreError: see `train.loop.train`.
    """
    total, told = config.num_steps(selection.draws_per_epoch), 0

    def tell(step: int) -> None:
        nonlocal told
        on_step(step - told)
        told = step

    if resume and is_finished(out, config, selection):
        tell(total)
        return
    done = [one.manifest.step for one in checkpoints_of(out)] if resume else []
    tell(max(done, default=0))
    models = None if body_models is None else BodyModels.open(body_models)
    validate = None if config.validate_every is None else validator(store, config, models, device)
    with joined(device) as process:
        result = train(
            store,
            selection,
            out,
            config,
            models,
            process=process,
            is_resumed=bool(done),
            on_interval=lambda interval: tell(interval.step),
            on_validate=validate,
        )
    if not result.is_finished:
        raise InterruptedRunError(
            f"{out}: stopped after update {result.step} of {result.num_steps}, with a checkpoint",
            fix="run the same command again",
        )


def interval_text(interval: Interval) -> str:
    """Losses and rates in a line."""
    parts = [f"{name} {value:.4g}" for name, value in interval.losses.items() if value]
    rates = [f"lr {interval.learning_rate:.2g}", f"{interval.samples_per_s:,.0f} samples/s"]
    return ", ".join([*(["loss " + parts[0].removeprefix("total ")] if parts else []), *parts[1:4], *rates])


def own_command() -> list[str]:
    """The command line of this process, as somebody would type it again."""
    start = ["ehps"]
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        start = ["torchrun", f"--nproc-per-node={os.environ.get('LOCAL_WORLD_SIZE', 1)}", "-m", "pipelines"]
    return [*start, *sys.argv[1:]]
