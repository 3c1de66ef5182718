"""`ehps train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from harmonize.errors import UsageError
from pipelines.tables import Json


def train(
    recipe: str | None = None,
    /,
    *,
    store: str | None = None,
    selection: Path | None = None,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    settings: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    device: str = "cpu",
    validate_on: Path | None = None,
    body_models: str | None = None,
    cache: Path | None = None,
    is_list: Annotated[bool, Parameter(name="--list", negative="")] = False,
    as_json: Json = False,
) -> None:
    """Train a network on the mixture of a selection, and prove that the mixture was the one asked for.

    A recipe is a named set of all settings; --list shows them, --set changes one. Stopped by Ctrl-C or SIGTERM, a run
    finishes its update, writes a checkpoint and exits with code 3; the same command with --resume goes on exactly.

        ehps train --list
        ehps train toy --store STORE --selection mixture.json -o run
        ehps train tokens_b --store STORE --selection mixture.json -o run --device cuda --set optim.lr=5e-5
        ehps train smpler_x_b32 --store STORE --selection mixture.json -o run --set init=vitpose_base.pth
        torchrun --nproc-per-node 8 -m pipelines train dual_meta_b --store STORE --selection m.json -o run --device cuda

    Parameters
    ----------
    recipe
        Name of the recipe.
    store
        Folder of the store that the selection was made from, or a URL (s3://bucket/store) with --cache.
    selection
        Selection file written by `ehps propose`.
    out
        Folder for losses (CSV, PNG, TensorBoard), the realised mixture, checkpoints, and the record of the run.
    settings
        Change a setting, NAME=VALUE, as often as needed: optim.lr=1e-4, batch_size=64 (samples an update, of all
        processes together), epochs=none with steps=1000, precision=bf16, ema=0.999, dual.order=first. The names are
        those of config.json in the run's folder; an unknown one is answered with those alike.
    resume
        Go on with the run in --out from its last checkpoint.
    device
        cpu, cuda, cuda:1. Under torchrun each process takes its own GPU.
    validate_on
        Store with the benchmarks' splits, where it is not the one that is trained on; measured every validate_every
        updates on `benchmarks` (both are settings).
    body_models
        Folder of the SMPL-family files, or `standin`. Default: the stand-in for a store that was made with it, else
        $EHPS_BODY_MODELS.
    cache
        Folder for pieces of a remote store, up to 64 GiB.
    is_list
        Show the recipes, with the command that makes the mixture of each.
    as_json
        Print JSON instead of tables.
    """
    from pipelines.tables import show
    from pipelines.training import config_of, own_command, recipe_rows, run_training

    if is_list:
        show(recipe_rows(), as_json=as_json)
        return
    if recipe is None or store is None or selection is None or out is None:
        given = {"RECIPE": recipe, "--store": store, "--selection": selection, "--out": out}
        missing = ", ".join(name for name, value in given.items() if value is None)
        raise UsageError(f"train: {missing}: expected a value, found none", fix="ehps train --help, ehps train --list")
    from catalogs.selection import Selection

    config = config_of(recipe, settings or [])
    result = run_training(
        store,
        Selection.load(selection),
        out,
        config,
        is_resumed=resume,
        device=device,
        body_models=body_models,
        cache=cache,
        validation_store=validate_on,
        command=own_command(),
    )
    rows = [{"loss": name, "first": values[0], "last": values[-1]} for name, values in result.losses().items()]
    show(rows, as_json=as_json)
