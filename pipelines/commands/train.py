"""`ehps train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pipelines.tables import Json


def train(
    store: Path,
    /,
    *,
    selection: Path,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    steps: int = 60,
    batch_size: int = 16,
    learning_rate: float = 5e-4,
    device: str = "cpu",
    threads: int = 2,
    as_json: Json = False,
) -> None:
    """Train a small network on the mixture of a selection, and check that the mixture was the one asked for.

    Parameters
    ----------
    store
        Folder of the store that the selection was made from.
    selection
        Selection file written by `ehps propose`.
    out
        Folder for losses, weights and the record of the run; must not hold a finished run.
    steps
        Number of updates.
    batch_size
        Samples an update.
    learning_rate
        Step size of AdamW.
    device
        Device of torch, `cpu` or `cuda`.
    threads
        Threads that read and decode ahead; changes speed only.
    """
    from catalogs.selection import Selection
    from pipelines.progress import Meter
    from pipelines.tables import show
    from train.fit import Recipe
    from train.fit import train as run

    recipe = Recipe(steps=steps, batch_size=batch_size, learning_rate=learning_rate, device=device, num_threads=threads)
    with Meter("train", steps, "steps") as meter:
        result = run(store, Selection.load(selection), out, recipe, on_step=lambda step, loss: meter.reach(step))
    show(
        [
            {"loss": name, "first": values[0], "last": values[-1], "steps": len(values)}
            for name, values in result.losses.items()
        ],
        as_json=as_json,
    )
