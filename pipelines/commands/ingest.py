"""`ehps ingest`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.tables import Json

if TYPE_CHECKING:
    from harmonize.shards.plan import IngestJob
    from pipelines.config import DatasetEntry
    from pipelines.work import SplitSummary


def ingest(
    name: str,
    /,
    *,
    raw: Path | None = None,
    store: Path | None = None,
    split: str | None = None,
    form: str | None = None,
    config: Path | None = None,
    plan: bool = False,
    limit: int = 0,
    annotations_only: bool = False,
    runner: Literal["local", "inline"] = "local",
    workers: int | None = None,
    images: Literal["crop", "full", "none"] = "crop",
    context: float = 1.5,
    every: int = 1,
    body_models: str | None = None,
    body_mode: Literal["fit", "copy"] = "fit",
    max_rejects: float = 0.05,
    as_json: Json = False,
) -> None:
    """Turn the raw files of a dataset, or of many, into verified shards.

    Safe to interrupt and to repeat: finished shards are kept, and a shard is made again only when its input, the
    parameters or the code have changed. Of several datasets, one that fails does not stop the others.

    Parameters
    ----------
    name
        Name of a dataset; `ehps datasets` lists them. `all`: every dataset of the file that --config names.
    raw
        Root folder of the dataset as downloaded; `ehps datasets NAME` says what it must contain.
    store
        Folder for the shards; made if missing.
    split
        One split only. Default: every split of the form.
    form
        Which of the dataset's public annotation forms the raw root holds. Default: the first one listed by
        `ehps datasets NAME`.
    config
        YAML file for `all`: store, and a raw root and options for each dataset; see docs/ingest-all.md.
    plan
        Only say what would be done: units, people, bytes and time, estimated from a trial of a few people.
    limit
        About that many people of each split, for a trial. 0: all.
    annotations_only
        Without pictures; the same as --images none.
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
        Keep every N-th picture of a sequence; `ehps datasets NAME` says what others take.
    body_models
        Folder of the SMPL-family files, or `standin` for the licence-free stand-in. Default: $EHPS_BODY_MODELS.
    body_mode
        fit: fit SMPL and SMPL-H bodies to neutral SMPL-X, with the error in mm recorded. copy: copy their rotations, as
        SMPLer-X does.
    max_rejects
        Share of people that may be refused, 0 to 1; with more, the shards are not published.
    """
    from harmonize.errors import UsageError
    from pipelines.config import DatasetEntry, load_config
    from pipelines.workers import num_cores

    num_workers = num_cores() if workers is None else workers
    if num_workers < 1:
        raise UsageError(f"--workers: expected at least 1, found {workers}")
    if (name == "all") != (config is not None):
        raise UsageError("`ehps ingest all` and --config belong together", fix="ehps ingest all --config FILE")
    if config is not None:
        given, entries = load_config(config)
        store, body_models = store or given.store, body_models or given.body_models
    elif raw is None:
        raise UsageError("--raw is missing: where does the dataset lie?", fix=f"ehps datasets {name}")
    else:
        entries = {
            name: DatasetEntry(
                raw=raw,
                form=form,
                split=split,
                images="none" if annotations_only else images,
                context=context,
                every=every,
                body_mode=body_mode,
                max_rejects=max_rejects,
                limit=limit,
            )
        }
    if store is None:
        raise UsageError("--store is missing: where do the shards go?", fix="ehps ingest --help")
    jobs = [job for one, entry in entries.items() for job in _jobs(one, entry, store.absolute(), body_models)]
    if plan:
        _show_plan(jobs, num_workers, as_json=as_json)
    else:
        _run(jobs, store, runner, num_workers, as_json=as_json)


def _jobs(name: str, entry: DatasetEntry, store: Path, body_models: str | None) -> Iterator[IngestJob]:
    from catalogs.cards import card
    from harmonize.gate import Limits
    from harmonize.readers import splits_of
    from harmonize.shards.plan import IngestJob, IngestOptions

    options = IngestOptions(
        images=entry.images,
        context=entry.context,
        every=entry.every,
        body_mode=entry.body_mode,
        limit=entry.limit,
        max_reject_share=entry.max_rejects,
        limits=Limits(**card(name).gate),  # type: ignore[arg-type]  # one of its fields counts, which a float can
    )
    for split in [entry.split] if entry.split is not None else splits_of(name, entry.form):
        yield IngestJob(
            reader=name,
            root=entry.raw.absolute(),
            split=split,
            store=store,
            form=entry.form,
            body_models=body_models,
            options=options,
        )


def _show_plan(jobs: list[IngestJob], num_workers: int, *, as_json: bool) -> None:
    from pipelines.estimate import estimate
    from pipelines.tables import duration_text, show, size_text

    rows: list[dict[str, Any]] = []
    for job in jobs:
        one = estimate(job)
        seconds = None if one.seconds is None else one.seconds / min(num_workers, max(1, one.num_tasks))
        rows.append(
            {
                "dataset": one.dataset,
                "split": one.split,
                "units": one.num_units,
                "tasks": one.num_tasks,
                "shards": one.num_shards,
                "people": one.num_people or None,
                "annotations": one.annotation_bytes if as_json else size_text(one.annotation_bytes),
                "store": one.store_bytes if as_json else size_text(one.store_bytes),
                "time": seconds if as_json else duration_text(seconds),
            }
        )
    show(rows, as_json=as_json)


def _run(
    jobs: list[IngestJob], store: Path, runner: Literal["local", "inline"], num_workers: int, *, as_json: bool
) -> None:
    from pipelines.ingest import ingest as run
    from pipelines.tables import show
    from pipelines.work import TasksFailedError

    failed: TasksFailedError | None = None
    try:
        summaries = run(jobs, runner=runner, num_workers=num_workers)
    except TasksFailedError as error:
        failed, summaries = error, error.summaries
    if summaries:
        show(_summary_rows(summaries, store), as_json=as_json)
    if failed is not None:
        raise failed


def _summary_rows(summaries: list[SplitSummary], store: Path) -> list[dict[str, Any]]:
    """What each split holds now, with what was made of it in this run and how fast."""
    from catalogs import store as catalog

    with catalog.open(store) as con:
        table = catalog.query(con, "@summary")
    held = {row[:2]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    rows = []
    for one in summaries:
        made = one.num_samples_made + one.num_rejects_made
        now = held.get((one.dataset, one.split), {})
        rows.append(
            {
                "dataset": one.dataset,
                "split": one.split,
                "samples": now.get("num_samples", 0),
                "rejects": now.get("rejects_by_reason", ""),
                "reprojection px": now.get("mean_reprojection_px"),
                "fit mm": now.get("mean_fit_error_mm"),
                "shards": one.num_shards,
                "shards made": one.num_shards_made,
                "people/s a worker": made / one.worker_seconds if made else None,
            }
        )
    return rows
