"""A training run: from a store and a selection to a run folder (`train.run_folder`), in one process or several.

    for batch of the loader:  passes -> guard -> update -> mean weights -> counts -> log, validation, checkpoint

What a run computes depends on its config, selection and store alone. Stopped between any two updates and resumed from
the checkpoint, by as many processes or others, it draws the same remaining samples; on the same machine and with the
same processes it makes the same numbers.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

from catalogs.selection import Selection
from harmonize.bodies.models import BodyModels
from harmonize.bodies.threads import one_thread
from harmonize.errors import DataError, EhpsError, UsageError
from train import checkpoints
from train.building import make_step, regressor_tensors, trained
from train.checkpoints import EMA, MODEL, OPTIMISER, Checkpoint, Manifest
from train.config import TrainConfig
from train.data.cache import Cache
from train.data.loader import Loader
from train.data.mixture import MixtureLog, Realised, Tally
from train.data.schedule import State
from train.distributed import Process, placed_like, repeated, whole, wrap
from train.guard import Guard, bad_batch
from train.optim import Ema, learning_rate, make_optimiser, optimiser_state, restore_optimiser
from train.run_folder import MIXTURE, RunResult, checkpoint_to_resume, finish_run, plot_losses, start_run
from train.run_log import Averages, Interval, RunLog
from train.settings import to_plain
from train.steps import Regressor
from train.update import TOTAL, Updater

TALLY = "mixture"

Validate = Callable[[Regressor, int], Mapping[str, float]]
"""Errors of a network by name after a number of updates; `train.checkpoints.SCORE` says which is best."""


def train(
    store: Path | str,
    selection: Selection,
    out: Path,
    config: TrainConfig,
    models: BodyModels | None = None,
    *,
    process: Process | None = None,
    is_resumed: bool = False,
    cache: Cache | None = None,
    on_interval: Callable[[Interval], None] = lambda interval: None,
    on_validate: Validate | None = None,
) -> RunResult:
    """Run, or go on with, a training. SIGTERM and Ctrl-C stop it after the update at hand, with a checkpoint.

    models: those that the store was made with; by default the stand-in for a store that was made with it, else those
    of $EHPS_BODY_MODELS. on_interval: called with each row of the log, on_validate every
    `config.validate_every` updates, both in the first process alone.

    Raises:
        UsageError: the folder holds another run, stand-in and licensed bodies would be mixed, or as `Loader`.
        StoreError: the selection does not belong to the store, or a shard is missing or altered.
        DataError: the realised mixture drifts from the selection, a loss is not finite or explodes (the message names
            samples), or a checkpoint is damaged.
    """
    process = process or Process()
    loader = Loader(
        store,
        selection,
        batch_size=config.batch_size,
        size=config.crop,
        augment=config.augment,
        detector=config.detector,
        num_threads=config.threads,
        subset=config.subset,
        cache=cache,
        is_streamed=config.streamed,
    )
    is_standin = loader.members.is_standin
    models = models or BodyModels.open_like(is_standin)
    if models.is_standin != is_standin:
        made, given = ("the stand-in", "licensed models") if is_standin else ("licensed models", "the stand-in")
        raise UsageError(
            f"{store}: was made with {made}, found {given}", fix="give the models it was made with, --body-models"
        )
    if (on_validate is None) != (config.validate_every is None):
        raise UsageError("validate_every: expected a way to validate with it, and none without", field="validate_every")
    found = checkpoint_to_resume(out, config, selection, is_standin=is_standin) if is_resumed else None
    process.wait()
    if found is None and process.is_first:
        start_run(out, config, selection)
    process.wait()
    with ExitStack() as stack:
        if process.device == "cpu":
            stack.enter_context(one_thread())
        run = _Run(loader, out, config, models, process, found)
        if process.is_first:
            run.log = stack.enter_context(RunLog(out, run.done, on_interval))
            run.mixture_log = MixtureLog(out / MIXTURE, run.state)
        result = run.go_on(stack.enter_context(_asked_to_stop()), on_validate)
    if process.is_first:
        if result.is_finished:
            finish_run(result, config, selection, is_standin=is_standin)
        else:
            plot_losses(out)
    process.wait()
    return result


class _Run:
    """Everything that changes from update to update."""

    def __init__(
        self,
        loader: Loader,
        out: Path,
        config: TrainConfig,
        models: BodyModels,
        process: Process,
        found: Checkpoint | None,
    ) -> None:
        self.loader, self.out, self.config, self.process = loader, out, config, process
        self.selection = loader.feed.selection
        self.total = config.num_steps(self.selection.draws_per_epoch)
        self.log: RunLog | None = None
        self.mixture_log: MixtureLog | None = None
        step: Any = make_step(config, models)
        if found is not None:
            step.load_state_dict(found.tensors(MODEL))
        self.step = step.to(process.device)
        self.num_parameters = sum(parameter.numel() for parameter in step.regressor.parameters())
        if config.compile:
            # Block by block: seconds instead of minutes, and it does not matter how a step calls its network.
            for block in repeated(step.regressor):
                block.compile()
        wrapped = wrap(step, config.sharding, process)
        self.optimiser = make_optimiser(step, config.optim)
        self.updater = Updater(wrapped, self.optimiser, config, process)
        self.ema = None if config.ema is None else Ema(step.regressor, config.ema)
        self.done, self.state, self.last = 0, State(), None if found is None else found.path
        counts = None
        losses: tuple[float, ...] = ()
        if found is not None:
            manifest = found.manifest
            self.done, self.state, losses = manifest.step, manifest.state, manifest.guard
            restore_optimiser(step, self.optimiser, found.tensors(OPTIMISER))
            if self.ema is not None:
                for name, value in found.tensors(EMA).items():
                    mean = self.ema.tensors[name]
                    mean.copy_(placed_like(value, mean))
            if manifest.scaler:
                self.updater.scaler.load_state_dict(dict(manifest.scaler))
            counts = {name: value.numpy() for name, value in found.tensors(TALLY).items()}
        self.guard = Guard(config.explode, losses)
        self.tally = Tally(loader.feed, counts, process.rank)
        self.realised: tuple[Realised, ...] = ()

    def go_on(self, is_asked_to_stop: threading.Event, on_validate: Validate | None) -> RunResult:
        """Updates until the end, or until some process is asked to stop."""
        config, process, averages = self.config, self.process, Averages()
        batches = self.loader.batches(self.state, process.rank, process.world_size)
        is_stopping = False
        with closing(batches):
            while self.done < self.total and not is_stopping:
                try:
                    after, batch = next(batches)
                except EhpsError:
                    # A lost shard or a broken picture: what was learned until here is kept.
                    if process.world_size == 1 and self.done:
                        self._save(None)
                    raise
                num_samples = self._num_samples(after)
                _seed_chance(config.seed, self.done, process)
                passed = self.updater.passes(batch, num_samples, is_stopping=is_asked_to_stop.is_set())
                norm = None if config.precision == "fp16" else passed.grad_norm
                if objection := self.guard.objection(passed.losses[TOTAL], norm):
                    blamed = passed.blamed(process)
                    raise bad_batch(self.out, objection, self.done, blamed, self.last)
                rate = learning_rate(config.optim, self.done, self.total)
                self.updater.apply(rate)
                self.done, self.state = self.done + 1, after
                self._follow()
                self.tally.add(batch.keys, batch.sources)
                averages.add(passed.losses, passed.grad_norm, num_samples)
                is_stopping, is_end = passed.is_stopping, self.done == self.total
                is_logged = is_end or self.done % config.log_every == 0
                if is_logged or after.step == 0:
                    self._count()
                if is_logged:
                    interval = averages.take(self.done, rate)
                    if self.log is not None:
                        self.log.add(interval)
                self._keep(on_validate, is_due=is_end or is_stopping)
        return RunResult(
            folder=self.out,
            step=self.done,
            num_steps=self.total,
            state=self.state,
            mixture=self.realised,
            num_parameters=self.num_parameters,
        )

    def _num_samples(self, after: State) -> int:
        """Samples of the batch that leads to `after`, over all processes; the last one of an epoch may be shorter."""
        size, draws = self.config.batch_size, self.selection.draws_per_epoch
        return size if after.step else draws - (self.loader.schedule.num_steps - 1) * size

    def _follow(self) -> None:
        """What follows the weights."""
        if self.ema is not None:
            self.ema.update(self.step.regressor, self.done)
        if after_update := getattr(self.step, "after_update", None):
            after_update()

    def _count(self) -> None:
        self.realised = self.tally.realised(self.state, self.process.add_up_counts)
        if self.mixture_log is not None:
            self.mixture_log.write(self.state, self.realised)

    def _keep(self, on_validate: Validate | None, *, is_due: bool) -> None:
        """Validate and write a checkpoint where it is time."""
        every, check_every = self.config.checkpoint_every, self.config.validate_every
        is_validated = check_every is not None and (self.done % check_every == 0 or self.done == self.total)
        if is_validated or is_due or (every is not None and self.done % every == 0):
            self._save(on_validate if is_validated else None)

    def _save(self, on_validate: Validate | None) -> None:
        """Gather the tensors of all processes; the first one validates with them and writes the checkpoint."""
        model = whole(self.step.state_dict())
        ema = {} if self.ema is None else whole(self.ema.tensors)
        optimiser = whole(optimiser_state(self.step, self.optimiser))
        counts = self.tally.arrays(self.process.add_up_counts)
        if self.process.is_first:
            validation = None
            if on_validate is not None:
                network = trained(self.config, ema or regressor_tensors(model)).to(self.process.device)
                validation = dict(on_validate(network, self.done))
                if checkpoints.SCORE not in validation:
                    raise DataError(f"validation: expected a number {checkpoints.SCORE}, found {sorted(validation)}")
                if self.log is not None:
                    self.log.add_validation(self.done, validation)
            scaler = self.updater.scaler
            manifest = Manifest(
                step=self.done,
                state=self.state,
                config=to_plain(self.config),
                selection=self.selection.content_hash,
                is_standin=self.loader.members.is_standin,
                guard=tuple(self.guard.losses),
                scaler=scaler.state_dict() if scaler.is_enabled() else None,
                validation=validation,
            )
            tally = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in counts.items()}
            tensors = {MODEL: model, EMA: ema, OPTIMISER: optimiser, TALLY: tally}
            self.last = checkpoints.save(self.out, manifest, tensors).path
            checkpoints.prune(self.out, self.config.keep_last)
        self.process.wait()


def _seed_chance(seed: int, done: int, process: Process) -> None:
    """torch's generators, for whatever draws from them: a function of the update, so that no state is to be kept."""
    words = np.random.SeedSequence([seed, done, process.rank]).generate_state(1, np.uint64)
    torch.manual_seed(int(words[0]) >> 1)


@contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """An event that SIGTERM and the first Ctrl-C set, where signals can be caught; the second Ctrl-C interrupts."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(signum: int, frame: FrameType | None) -> None:
        if asked.is_set() and signum == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
