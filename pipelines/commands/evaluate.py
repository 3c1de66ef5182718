"""`ehps evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from harmonize.errors import UsageError
from pipelines.tables import Json

Names = Annotated[list[str], Parameter(consume_multiple=True, negative="")]


def evaluate(
    store: Path,
    model: Path,
    /,
    *,
    benchmark: Names,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    csv: Path | None = None,
    detections: Path | None = None,
    save_predictions: Path | None = None,
    every: int | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    device: str = "cpu",
    body_models: str | None = None,
    as_json: Json = False,
) -> None:
    """Measure a model's predictions on the benchmarks that a store holds.

    The model is a file of its predictions, SMPL-X parameters or vertices by sample key (docs/predictions.md says how
    they must lie in it), or a network of `ehps train`: the folder of its run, or of one checkpoint. Every instance gets
    PVE, PA-PVE, MPJPE and PA-MPJPE of all, body, hands and face where it is labelled; the table shows means with 95 %
    intervals over sequences, subjects or pictures, and `*` the metric that is compared.

        ehps evaluate STORE predictions.parquet --benchmark egobody ehf -o results
        ehps evaluate STORE predictions.npz --benchmark pw3d pw3d_smplx --csv table.csv
        ehps evaluate STORE run --benchmark ehf agora -o results --device cuda --save-predictions predictions.parquet
        ehps evaluate STORE people.parquet --benchmark agora --detections found.parquet

    Parameters
    ----------
    store
        Folder of the store with the evaluation splits.
    model
        File of predictions, .parquet or .npz, for all samples of the benchmarks and no others; or the folder of a run
        or checkpoint. Of a run it is the checkpoint with the best validation, without validation the last one; the
        running mean of the weights where there is one; without test-time optimisation.
    benchmark
        agora, ubody, egobody, pw3d (14 joints, SMPLer-X), pw3d_smplx, ehf, arctic, dna_rendering_hires.
    out
        Folder to write to: BENCHMARK.parquet with the errors of each instance, and summary.json.
    csv
        File to write: one line a benchmark and metric.
    detections
        For agora: predictions are of people that a model found in whole pictures, and this Parquet file says where
        (docs/predictions.md). Shows F1, MVE, MPJPE, NMVE and NMJE by AGORA's matching; --out takes agora_people.json.
    save_predictions
        For a run or checkpoint: Parquet file to write what it predicted to.
    every
        Take every n-th sample of the split instead of what the protocol says. A note says so.
    bootstrap
        Number of draws for the intervals; 0: none. Fewer than 5 sequences (subjects, pictures) have none.
    seed
        Seed of these draws.
    device
        Where networks run and errors are computed: cpu, cuda, cuda:1.
    body_models
        Folder of the SMPL-family files, or `standin`. Default: the stand-in for a store that was made with it, else
        $EHPS_BODY_MODELS.
    as_json
        Print the summaries instead of a table.
    """
    from pipelines import evaluate as work
    from pipelines.tables import show, show_json

    if detections is not None:
        given: dict[str, Any] = {"--csv": csv, "--every": every, "--save-predictions": save_predictions}
        given["--device"] = None if device == "cpu" else device
        given[f"the run {model}"] = model if model.is_dir() else None
        _refuse_beside_detections(benchmark, given)
        people = work.evaluate_people_file(
            store, model, detections, num_draws=bootstrap, seed=seed, body_models=body_models
        )
        if out is not None:
            work.write_people(people, out)
        if as_json:
            show_json(people.document())
        else:
            show(work.people_rows(people), as_json=False)
            print(work.people_line(people))
        for note in people.notes:
            print(f"ehps: note: {note}", file=sys.stderr)
        return
    options: Any = {"every": every, "num_draws": bootstrap, "seed": seed, "device": device, "body_models": body_models}
    who = None
    if model.is_dir():
        from pipelines.evaluate_checkpoint import evaluate_networks, identity
        from train.building import load_networks

        networks = load_networks(model)
        found = evaluate_networks(store, networks, benchmark, save_predictions=save_predictions, **options)
        who = identity(networks)
    elif save_predictions is not None:
        raise UsageError(f"--save-predictions: {model} holds predictions already", fix="leave it out")
    else:
        found = work.evaluate_file(store, model, benchmark, **options)
    if out is not None:
        work.write(found, out, who)
    if csv is not None:
        work.write_csv(found, csv)
    if as_json:
        show_json(work.document(found, who))
    else:
        show(work.rows(found), as_json=False)
        if line := work.mpe_line(found):
            print(line)
    for note in work.notes(found):
        print(f"ehps: note: {note}", file=sys.stderr)


def _refuse_beside_detections(benchmark: list[str], given: dict[str, Any]) -> None:
    if benchmark != ["agora"]:
        raise UsageError("--detections: whole pictures are AGORA's", fix="--benchmark agora")
    if wrong := [name for name, value in given.items() if value is not None]:
        raise UsageError(f"--detections: {', '.join(wrong)} is not for whole pictures", fix="leave it out")
