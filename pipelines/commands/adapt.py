"""`ehps adapt`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from harmonize.errors import UsageError
from pipelines.tables import Json


def adapt(
    checkpoint: Path,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    store: Path | None = None,
    split: str | None = None,
    keys: Path | None = None,
    where: str | None = None,
    benchmark: str | None = None,
    boxes: Literal["keypoints", "stored"] | None = None,
    coco: Path | None = None,
    openpose: Path | None = None,
    pictures: Path | None = None,
    focal_px: float | None = None,
    steps: int = 14,
    optimiser: Literal["sgd", "adam"] = "sgd",
    rate: float | None = None,
    subset: Literal["head", "head+lora", "head+norm", "all"] | None = None,
    tolerance: float = 1e-3,
    pseudo_steps: int | None = None,
    batch_size: int = 32,
    device: str = "cpu",
    overlays: Path | None = None,
    num_overlays: int = 12,
    body_models: str | None = None,
    as_json: Json = False,
) -> None:
    """Adapt a trained network to each person by 2D points alone, at test time.

    Every person gets weights of his own for a few gradient steps on the loss that dual networks are trained with: the
    distance to his 2D points, and at first to the body that the auxiliary network sees in the picture. No label is
    read. Writes before.parquet and after.parquet (predictions that `ehps evaluate` takes), people.parquet (a row for
    everybody, with losses, steps, 2D errors and movement, or why he was left out) and summary.json.

        ehps adapt RUN --store STORE --benchmark ehf -o adapted
        ehps adapt RUN --store STORE --where "dataset = 'mscoco'" -o adapted --overlays pictures
        ehps adapt RUN --coco coco_wholebody_val_v1.0.json --pictures val2017 -o adapted
        ehps adapt RUN --openpose keypoints --pictures frames --focal-px 1450 -o adapted

    Parameters
    ----------
    checkpoint
        Folder of a run of `ehps train` (its best checkpoint, else the last), or of one checkpoint.
    out
        Folder to write to.
    store
        Store whose samples are adapted to, by their annotated or detected 2D points; those that were projected from
        labels are not used.
    split
        DATASET/SPLIT of the store. Default: all samples.
    keys
        Text file with a key of the store a line.
    where
        Condition in SQL over the columns of `samples`; `ehps query STORE "DESCRIBE samples"` lists them.
    benchmark
        Adapt to the samples of this benchmark, and measure before and after by its protocol.
    boxes
        keypoints: people of a store are cut out by the box around their points (default). stored: by the record's box,
        which may come from labels; then people without points keep the network's own answer.
    coco
        COCO-WholeBody json: annotations with `images`, or a list of results.
    openpose
        Folder of OpenPose's json files, NAME_keypoints.json for the picture NAME.
    pictures
        Folder of the pictures of --coco or --openpose.
    focal_px
        Focal length of these pictures' camera, in pixels. Default: a guess, the picture's diagonal.
    steps
        Gradient steps at most.
    optimiser
        sgd: plain steps with the learned rates, as in training. adam: with one rate.
    rate
        One learning rate for all that adapts. Default: the learned rates for sgd (1e-4 in the head and 1e-3 elsewhere
        where none were learned), 1e-4 for adam.
    subset
        What adapts: head, head+lora, head+norm, all. Default: as in training, or head for a plainly trained network.
    tolerance
        A person is done once a step changed his loss by less than this share of it; 0: never before the last step.
    pseudo_steps
        The first steps, which heed the auxiliary network's body; later ones go by 2D points alone, since its errors
        hold them back. 0: 2D points alone. Default: as many as training had inner steps.
    batch_size
        People adapted at one time. Changes speed and memory only.
    device
        cpu, cuda, cuda:1.
    overlays
        Folder for pictures of the first people: points, mesh before, mesh after.
    num_overlays
        How many.
    body_models
        Folder of the SMPL-family files, or `standin`. Default: the stand-in for a network that was trained with it,
        else $EHPS_BODY_MODELS.
    as_json
        Print summary.json instead of a table.
    """
    _check_inputs(
        {"--store": store, "--coco": coco, "--openpose": openpose},
        for_store={"--split": split, "--keys": keys, "--where": where, "--benchmark": benchmark, "--boxes": boxes},
        for_pictures={"--pictures": pictures, "--focal-px": focal_px},
    )
    if num_overlays < 1 or batch_size < 1:
        raise UsageError(
            f"adapt: expected --num-overlays and --batch-size of at least 1, found {num_overlays} and {batch_size}"
        )
    from dataclasses import asdict, replace

    from pipelines import adapting
    from pipelines.tables import show, show_json
    from train.adapting import AdaptSettings
    from train.building import load_networks
    from train.data.detections import coco_people, openpose_people
    from train.meta.config import AdaptConfig

    config = AdaptConfig(steps=steps, optimiser=optimiser, tolerance=tolerance)
    settings = AdaptSettings(
        config=config if rate is None else replace(config, adam_rate=rate),
        subset=subset,
        rate=rate,
        pseudo_steps=pseudo_steps,
    )
    networks = load_networks(checkpoint)
    models = adapting.models_for(networks, body_models)
    if store is not None:
        if benchmark is not None:
            if any(one is not None for one in (split, keys, where)):
                raise UsageError("adapt: --benchmark has its own samples", fix="leave out --split, --keys and --where")
            chosen = adapting.benchmark_keys(store, benchmark)
        else:
            chosen = adapting.chosen_keys(store, split=split, keys=keys, where=where)
        found = adapting.adapt_store(
            networks,
            store,
            chosen,
            out,
            models=models,
            settings=settings,
            boxes=boxes or "keypoints",
            benchmark=benchmark,
            batch_size=batch_size,
            device=device,
            overlays=overlays,
            num_overlays=num_overlays,
        )
    else:
        assert pictures is not None
        if coco is not None:
            detected = coco_people(coco)
        else:
            assert openpose is not None
            detected = openpose_people(openpose)
        found = adapting.adapt_pictures(
            networks,
            detected,
            pictures,
            out,
            models=models,
            settings=settings,
            focal_px=focal_px,
            batch_size=batch_size,
            device=device,
            overlays=overlays,
            num_overlays=num_overlays,
        )
    if as_json:
        show_json(asdict(found))
    else:
        show(found.rows(), as_json=False)
        print(found.line())
    if found.is_standin:
        print("ehps: note: bodies are the licence-free stand-in: no number here is a result", file=sys.stderr)


def _check_inputs(
    sources: dict[str, Path | None], *, for_store: dict[str, object], for_pictures: dict[str, object]
) -> None:
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        raise UsageError(
            f"adapt: expected one of {', '.join(sources)}, found {', '.join(given) or 'none'}",
            fix="ehps adapt RUN --store STORE -o DIR, or ehps adapt RUN --coco FILE --pictures DIR -o DIR",
        )
    others = for_pictures if given == ["--store"] else for_store
    if wrong := [name for name, value in others.items() if value is not None]:
        raise UsageError(f"adapt: {', '.join(wrong)} is not for {given[0]}", fix="leave it out")
    if given != ["--store"] and for_pictures["--pictures"] is None:
        raise UsageError(f"adapt: {given[0]} needs the pictures", fix="--pictures DIR")
