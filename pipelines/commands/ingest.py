"""`ehps ingest`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pipelines.tables import Json


def ingest(
    name: str,
    /,
    *,
    raw: Path,
    store: Path,
    split: str | None = None,
    runner: Literal["local", "inline"] = "local",
    workers: int | None = None,
    images: Literal["crop", "full", "none"] = "crop",
    context: float = 1.5,
    every: int = 1,
    body_models: str | None = None,
    form: str | None = None,
    body_mode: Literal["fit", "copy"] = "fit",
    max_rejects: float = 0.05,
    as_json: Json = False,
) -> None:
    """Turn the raw files of a dataset into verified shards.

    Safe to interrupt and to repeat: finished shards are kept, and a shard is made again only when its input, the
    parameters or the code have changed.

    Parameters
    ----------
    name
        Name of a dataset; `ehps datasets` lists them.
    raw
        Root folder of the dataset as downloaded; `ehps datasets NAME` says what it must contain.
    store
        Folder for the shards; made if missing.
    split
        One split only. Default: every split of the dataset.
    runner
        local: worker processes under a Prefect flow. inline: one task after the other in this process, for debugging.
    workers
        Number of worker processes of the local runner. Default: one per CPU core that this process may use.
    images
        crop: a window around each person, cut losslessly from a JPEG. full: the whole frame with each person.
        none: annotations only.
    context
        Side of the crop window over the longer side of the person's box, 1 to 10.
    every
        Keep every N-th picture of a sequence.
    body_models
        Folder of the SMPL-family files, or `standin` for the licence-free stand-in. Default: $EHPS_BODY_MODELS.
    form
        Which of the dataset's public annotation forms the raw root holds. Default: the first one listed by
        `ehps datasets NAME`.
    body_mode
        fit: fit SMPL and SMPL-H bodies to neutral SMPL-X, with the error in mm recorded. copy: copy their rotations, as
        SMPLer-X does.
    max_rejects
        Share of people that may be refused, 0 to 1; with more, the shards are not published.
    """
    from catalogs.cards import card
    from harmonize.errors import UsageError
    from harmonize.gate import Limits
    from harmonize.shards.plan import IngestJob, IngestOptions
    from pipelines.ingest import ingest as run
    from pipelines.tables import show
    from pipelines.workers import num_cores

    num_workers = num_cores() if workers is None else workers
    if num_workers < 1:
        raise UsageError(f"--workers: expected at least 1, found {workers}")
    about = card(name)
    options = IngestOptions(
        images=images,
        context=context,
        every=every,
        body_mode=body_mode,
        max_reject_share=max_rejects,
        limits=Limits(**about.gate),  # type: ignore[arg-type]  # one of its fields counts, and a float counts as well
    )
    jobs = [
        IngestJob(
            reader=name,
            root=raw.absolute(),
            split=chosen,
            store=store.absolute(),
            form=form,
            body_models=body_models,
            options=options,
        )
        for chosen in ([split] if split is not None else (one.name for one in about.splits))
    ]
    summaries = run(jobs, runner=runner, num_workers=num_workers)
    show(
        [
            {
                "dataset": summary.dataset,
                "split": summary.split,
                "shards": summary.num_shards,
                "shards made": summary.num_shards_made,
                "samples made": summary.num_samples_made,
                "rejects": summary.num_rejects_made,
            }
            for summary in summaries
        ],
        as_json=as_json,
    )
