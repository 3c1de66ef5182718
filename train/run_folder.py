"""The folder that a training run leaves behind.

losses.csv, losses.png   loss by step
weights.safetensors      the network
selection.json           a copy of the selection
run.json                 recipe, hashes of selection and shards, realised mixture; written last
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from catalogs.selection import Selection
from train.data.mixture import Realised
from train.data.schedule import State


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A finished run. losses: by name ("total" and its parts), one value a step. state: where the schedule stands."""

    folder: Path
    losses: Mapping[str, tuple[float, ...]]
    mixture: tuple[Realised, ...]
    state: State
    num_parameters: int


def write_run(
    result: RunResult, model: nn.Module, recipe: Mapping[str, Any], selection: Selection, *, is_standin: bool
) -> None:
    """Write all files of `result.folder`; run.json comes last and appears whole."""
    out = result.folder
    out.mkdir(parents=True, exist_ok=True)
    with (out / "losses.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["step", *result.losses])
        writer.writerows([step, *row] for step, row in enumerate(zip(*result.losses.values(), strict=True), 1))
    plot_losses(result.losses, out / "losses.png")
    save_file({name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}, out / "weights.safetensors")
    selection.save(out / "selection.json")
    run = {
        "recipe": recipe,
        "selection": selection.content_hash,
        "shards": {ref.shard: ref.digest for ref in selection.shards},
        "is_standin": is_standin,
        "mixture": [asdict(one) for one in result.mixture],
        "state": asdict(result.state),
        "num_parameters": result.num_parameters,
        "first_loss": result.losses["total"][0],
        "last_loss": result.losses["total"][-1],
    }
    partial = out / "run.json.tmp"
    partial.write_text(json.dumps(run, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(out / "run.json")


def plot_losses(losses: Mapping[str, tuple[float, ...]], path: Path) -> None:
    """Losses by step on a logarithmic scale, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for name, values in losses.items():
        axis.plot(range(1, len(values) + 1), values, label=name, linewidth=2 if name == "total" else 1)
    axis.set_yscale("log")
    axis.set_xlabel("step")
    axis.set_ylabel("mean squared difference")
    axis.grid(alpha=0.3)
    figure.legend(title="loss", loc="outside right upper")
    figure.savefig(path, format="png")
