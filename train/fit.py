"""One training run: from a store and a selection to a run folder (see `train.run_folder`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import torch

from catalogs.selection import Selection
from harmonize.errors import DataError, UsageError
from train.data.crops import CropSize
from train.data.loader import Batch, Loader
from train.data.mixture import MixtureCheck
from train.data.schedule import State
from train.losses import LossWeights, losses
from train.models.tiny_vit import TinyVit, TinyVitConfig
from train.run_folder import RunResult, write_run

LOSS_NAMES = ("total", "global_orient", "body_pose", "betas", "camera")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides a run besides store and selection. The initial weights come from the selection's seed.

    num_threads: threads that read and decode ahead; changes speed only.
    """

    steps: int = 60
    batch_size: int = 16
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    num_threads: int = 2
    device: str = "cpu"
    crop: CropSize = field(default_factory=CropSize)
    model: TinyVitConfig = field(default_factory=TinyVitConfig)
    loss: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "learning_rate", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise UsageError(f"recipe: {name}: expected more than 0, found {getattr(self, name)}", field=name)
        if (self.crop.height_px, self.crop.width_px) != (self.model.height_px, self.model.width_px):
            raise UsageError(
                f"recipe: crop: expected the model's {self.model.height_px} x {self.model.width_px} px, "
                f"found {self.crop.height_px} x {self.crop.width_px}",
                field="crop",
            )


def train(
    store: Path,
    selection: Selection,
    out: Path,
    recipe: Recipe | None = None,
    *,
    on_step: Callable[[int, float], None] | None = None,
) -> RunResult:
    """Train the tiny network and write the run folder.

    on_step(step, total loss) is called after each step, from 1.

    Raises:
        UsageError: the folder holds a run already, stand-in and licensed bodies would be mixed, or see `Loader`.
        StoreError: the selection does not belong to the store, or a sample was altered.
        DataError: the realised mixture drifts from the selection, or the loss is not finite.
    """
    recipe = recipe or Recipe()
    if (out / "run.json").exists():
        raise UsageError(f"{out}: holds a finished run already", fix="choose another folder")
    loader = Loader(store, selection, batch_size=recipe.batch_size, size=recipe.crop, num_threads=recipe.num_threads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(selection.seed)
        model = TinyVit(recipe.model).to(recipe.device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    check = MixtureCheck(selection)
    state, rows = State(), []
    with _one_torch_thread(), closing(loader.batches(state)) as batches:
        for step, (after, batch) in enumerate(islice(batches, recipe.steps), 1):
            check.add(batch.keys, batch.sources, ends_epoch=after.epoch > state.epoch)
            rows.append(_step(model, optimiser, batch, recipe))
            state = after
            if on_step is not None:
                on_step(step, rows[-1][0])
    result = RunResult(
        folder=out,
        losses={name: tuple(row[i] for row in rows) for i, name in enumerate(LOSS_NAMES)},
        mixture=check.realised(),
        state=state,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
    )
    write_run(result, model, asdict(recipe), selection, is_standin=loader.members.is_standin)
    return result


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Network arithmetic on one core, the others decode.

    The network is too small to share: where other work competes for the cores, two threads that wait for each other
    took 2.6 s a step, one thread 0.14 s. One thread also adds up in the same order everywhere.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _step(model: TinyVit, optimiser: torch.optim.Optimizer, batch: Batch, recipe: Recipe) -> list[float]:
    """One update; the losses before it, in the order of LOSS_NAMES."""
    batch = batch.to(recipe.device)
    found = losses(model(batch.crop.float() / 255), batch, recipe.loss)
    values = [float(getattr(found, name).detach()) for name in LOSS_NAMES]
    if not all(map(math.isfinite, values)):
        raise DataError(f"train: expected a finite loss, found {values} for the batch that starts with {batch.keys[0]}")
    optimiser.zero_grad()
    torch.autograd.backward(found.total)
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
    optimiser.step()
    return values
