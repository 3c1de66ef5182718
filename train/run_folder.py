"""The folder that a training run leaves behind.

config.json, selection.json   what was asked for, written first
losses.csv, losses.png        mean losses of each interval, learning rate, gradient norm, samples a second
mixture.jsonl                 what was drawn of each source, by interval
validation.jsonl              errors on the benchmarks, where there is validation
tensorboard/                  the same for TensorBoard
checkpoints/                  see `train.checkpoints`
run.json                      config, hashes of selection and shards, realised mixture; written last
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from catalogs.selection import Selection
from harmonize.errors import UsageError
from harmonize.whole import write_whole
from train.checkpoints import CHECKPOINTS, Checkpoint, find_checkpoint
from train.config import TrainConfig
from train.data.mixture import Realised
from train.data.schedule import State
from train.run_log import LOSSES, TENSORBOARD, VALIDATION, losses_by_name, read_losses
from train.settings import from_plain, to_plain

CONFIG, SELECTION, MIXTURE, PLOT, RUN = "config.json", "selection.json", "mixture.jsonl", "losses.png", "run.json"

MAY_CHANGE = frozenset(
    ["accumulate", "compile", "sharding", "threads", "log_every", "checkpoint_every", "keep_last"],
)
"""Settings that a resumed run may have other than it was started with: its numbers are the same within rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """Where a run stands: after `step` of `num_steps` updates, fewer where it was told to stop."""

    folder: Path
    step: int
    num_steps: int
    state: State
    mixture: tuple[Realised, ...]
    num_parameters: int

    @property
    def is_finished(self) -> bool:
        return self.step == self.num_steps

    def losses(self) -> dict[str, list[float]]:
        """Losses by name, "total" first, one value an interval."""
        return losses_by_name(read_losses(self.folder))


def start_run(out: Path, config: TrainConfig, selection: Selection) -> None:
    """Make the folder of a new run; what is left of one that never came to a checkpoint is removed.

    Raises:
        UsageError: it holds a run already.
    """
    if (out / RUN).exists():
        raise UsageError(f"{out}: holds a finished run already", fix="choose another folder")
    if any((out / CHECKPOINTS).glob("step-*")):
        raise UsageError(f"{out}: holds an unfinished run", fix="go on with --resume, or choose another folder")
    for name in (LOSSES, VALIDATION, MIXTURE):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / TENSORBOARD, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    selection.save(out / SELECTION)
    (out / CONFIG).write_text(json.dumps(to_plain(config), indent=1) + "\n", encoding="utf-8")


def checkpoint_to_resume(out: Path, config: TrainConfig, selection: Selection, *, is_standin: bool) -> Checkpoint:
    """The last checkpoint of an unfinished run, proved to be of this config, selection and kind of bodies.

    Raises:
        UsageError: there is none, the run is finished, or something else was trained. DataError: it is damaged.
    """
    if (out / RUN).exists():
        raise UsageError(f"{out}: holds a finished run already", fix="choose another folder")
    found = find_checkpoint(out, "last")
    manifest = found.manifest
    if manifest.selection != selection.content_hash:
        raise UsageError(
            f"{out}: was started with selection {manifest.selection[:12]}, found {selection.content_hash[:12]}",
            fix=f"resume with {out / SELECTION}",
        )
    if manifest.is_standin != is_standin:
        was, now = ("stand-in", "licensed") if manifest.is_standin else ("licensed", "stand-in")
        raise UsageError(
            f"{out}: was started with {was} bodies and must not go on with {now} ones",
            fix="choose another folder, or the store it was started with",
        )
    before = from_plain(TrainConfig, manifest.config)
    changed = [item.name for item in fields(config) if getattr(before, item.name) != getattr(config, item.name)]
    if wrong := sorted(set(changed) - MAY_CHANGE):
        name = wrong[0]
        raise UsageError(
            f"{out}: {', '.join(wrong)}: expected as the run was started, {name} = {getattr(before, name)}, "
            f"found {getattr(config, name)}",
            fix=f"resume with the settings in {out / CONFIG}; only {', '.join(sorted(MAY_CHANGE))} may change",
        )
    return found


def finish_run(result: RunResult, config: TrainConfig, selection: Selection, *, is_standin: bool) -> None:
    """Draw the losses and write run.json, which appears whole."""
    losses = result.losses()
    plot_losses(result.folder)
    run = {
        "recipe": to_plain(config),
        "selection": selection.content_hash,
        "shards": {ref.shard: ref.digest for ref in selection.shards},
        "is_standin": is_standin,
        "mixture": [asdict(one) for one in result.mixture],
        "step": result.step,
        "state": asdict(result.state),
        "num_parameters": result.num_parameters,
        "first_loss": losses["total"][0],
        "last_loss": losses["total"][-1],
    }
    write_whole(result.folder / RUN, (json.dumps(run, indent=1, sort_keys=True) + "\n").encode())


def is_finished(out: Path, config: TrainConfig, selection: Selection) -> bool:
    """Whether the folder holds a finished run of this config and selection."""
    if not (out / RUN).is_file():
        return False
    run = json.loads((out / RUN).read_text(encoding="utf-8"))
    return bool((run["recipe"], run["selection"]) == (to_plain(config), selection.content_hash))


def plot_losses(run: Path) -> None:
    """Losses by update on a logarithmic scale, as losses.png."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_losses(run)
    steps = [row["step"] for row in rows]
    figure = Figure(figsize=(7, 4), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for name, values in losses_by_name(rows).items():
        if any(value > 0 for value in values):
            axis.plot(steps, values, label=name, linewidth=2 if name == "total" else 1)
    axis.set_yscale("log")
    axis.set_xlabel("update")
    axis.set_ylabel("weighted loss")
    axis.grid(alpha=0.3)
    figure.legend(title="loss", loc="outside right upper")
    figure.savefig(run / PLOT, format="png")
