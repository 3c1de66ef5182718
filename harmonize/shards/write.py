"""Making shards: which tasks are due, one task from raw files to published shards, and the split as a whole.

A shard is left alone only if its manifest is sound, fits the plan, its files are there, and the pictures it was made
from are unchanged. Anything else makes its task due again; the same input gives the same bytes, so what a killed run
left makes no difference.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from harmonize.bodies import BodyModels
from harmonize.errors import EhpsError, StoreError
from harmonize.readers.base import Reader, make_key
from harmonize.shards.hashes import HashCache
from harmonize.shards.index import INDEX_SCHEMA, REJECTS_SCHEMA, StagedReject, read_table, rejects_table, to_parquet
from harmonize.shards.judge import judge
from harmonize.shards.manifest import digest, read_manifest
from harmonize.shards.names import FAILED, INDEX, MANIFEST, REJECTS, parse_shard_name, split_file_name
from harmonize.shards.people import Skipped, first_people, make_people, read_units
from harmonize.shards.pictures import Pictures
from harmonize.shards.plan import IngestJob, Plan, Task, check_inputs
from harmonize.shards.shard import ShardContent, write_shard
from harmonize.shards.spool import Sample, Spool
from harmonize.shards.staging import publish, remove_file, remove_leftovers, remove_shard, staging, write_file
from harmonize.shards.summary import duplicate_keys, source_pictures
from harmonize.shards.threads import pin_threads


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """What a task made, and how long it took. num_rejects counts all who were refused, on the dataset's word too."""

    num_samples: int
    num_rejects: int
    num_skipped: int
    shards: tuple[str, ...]
    seconds: float = field(compare=False)


@dataclass(slots=True)
class _Gathered:
    keys: list[str] = field(default_factory=list)
    rejects: list[StagedReject] = field(default_factory=list)
    num_skipped: int = 0


def run_task(job: IngestJob, plan: Plan, task: Task, on_progress: Callable[[int], None] | None = None) -> TaskResult:
    """Make and publish the shards of a task. `on_progress` is told how many more people have been dealt with.

    Raises:
        GateError: too many people were refused; nothing is published, and the refusals lie in a `.failed-` file.
        StoreError: the disk is full, two people share a key, or the inputs have changed since they were planned.
        UsageError, RawFileError: raw files or body models are missing or damaged.
    """
    start = time.monotonic()
    reader, models = job.make_reader(), _models(job.body_models, digest(plan.content["body_models"]))
    names = plan.shard_names(task)
    failed = job.folder / f"{FAILED}{names[0]}{REJECTS}"
    with staging(job.folder) as scratch, pin_threads(), Spool(scratch / "spool") as spool:
        gathered = _gather(job, task, reader, models, spool, on_progress)
        check_inputs(reader, plan, task, models)
        contents = [
            ShardContent(
                number=task.first_shard + i,
                keys=sorted(shard.keys),
                rejects=shard.rejects,
                num_skipped=shard.num_skipped,
            )
            for i, shard in enumerate(gathered)
        ]
        error = judge(dict(zip(names, contents, strict=True)), spool, job, failed)
        if error is not None:
            if "table" in error.fields:
                _publish_failed(scratch, failed, contents)
            raise error
        for name, content in zip(names, contents, strict=True):
            publish(write_shard(scratch, plan, task, content, spool), job.folder, name)
        remove_file(failed)
    return TaskResult(
        num_samples=sum(len(content.keys) for content in contents),
        num_rejects=sum(len(content.rejects) for content in contents),
        num_skipped=sum(content.num_skipped for content in contents),
        shards=names,
        seconds=time.monotonic() - start,
    )


@lru_cache(maxsize=1)
def _models(spec: str | None, _files: str) -> BodyModels:
    """The body models, loaded once for all tasks of a process; `_files` changes when they do."""
    return BodyModels.open(spec)


def _gather(
    job: IngestJob,
    task: Task,
    reader: Reader,
    models: BodyModels,
    spool: Spool,
    on_progress: Callable[[int], None] | None,
) -> list[_Gathered]:
    """Read the task's units, spool the samples, and sort everyone into shards."""
    shards = [_Gathered() for _ in range(task.num_shards)]
    pictures = Pictures(Path(job.root), HashCache())
    items = first_people(read_units(reader, job.split, task.units, job.options.every), job.options.limit)
    for portion in make_people(items, models, pictures, job.options):
        for person in portion:
            key = make_key(person.reject.provenance) if isinstance(person, StagedReject) else person.key
            shard = shards[task.shard_of(key) - task.first_shard]
            if isinstance(person, Sample):
                spool.add(person)
                shard.keys.append(key)
            elif isinstance(person, Skipped):
                shard.num_skipped += 1
            else:
                shard.rejects.append(person)
        if on_progress is not None:
            on_progress(len(portion))
    pictures.close()
    return shards


def _publish_failed(scratch: Path, failed: Path, contents: list[ShardContent]) -> None:
    staged = scratch / "failed"
    write_file(staged, to_parquet(rejects_table([reject for content in contents for reject in content.rejects])))
    staged.rename(failed)


def pending(plan: Plan, job: IngestJob) -> list[Task]:
    """The tasks with a shard that is missing, damaged, or made from other inputs. Clears away what killed runs left.

    Contents of shards are not hashed here (`verify` does that); source pictures are, when their `stat` has changed.
    """
    if job.folder.is_dir():
        remove_leftovers(job.folder)
    pictures, seen = Pictures(Path(job.root), HashCache()), dict[str, str]()

    def is_due(task: Task) -> bool:
        return not all(
            _is_current(plan, job, number, name, pictures, seen)
            for number, name in enumerate(plan.shard_names(task), task.first_shard)
        )

    due = [task for task in plan.tasks if is_due(task)]
    pictures.close()
    return due


def _is_current(plan: Plan, job: IngestJob, number: int, name: str, pictures: Pictures, seen: dict[str, str]) -> bool:
    """`seen` keeps the hashes of pictures looked at, for pictures with people in several shards."""
    try:
        manifest = read_manifest(job.folder / f"{name}{MANIFEST}")
        if (manifest.plan_digest, manifest.shard) != (plan.digest, number):
            return False
        for suffix, entry in manifest.files.items():
            if (job.folder / f"{name}{suffix}").stat().st_size != entry.size:
                return False
        columns = ["image_path", "image_sha256"]
        index = read_table(job.folder / f"{name}{INDEX}", INDEX_SCHEMA, columns)
        rejects = read_table(job.folder / f"{name}{REJECTS}", REJECTS_SCHEMA, [*columns, "reason"])
    except (EhpsError, OSError):
        return False
    for path, sha256 in source_pictures(index, rejects).items():
        if path not in seen:
            seen[path] = _current_sha256(pictures, path)
        if seen[path] != sha256:
            return False
    return True


def _current_sha256(pictures: Pictures, name: str) -> str:
    """The hash of a picture as it is now; "" when it is not there."""
    try:
        return pictures.current_sha256(name)
    except (EhpsError, OSError):
        return ""


def finalise(plan: Plan, job: IngestJob) -> tuple[str, ...]:
    """Close a split whose tasks are all done: check keys across its shards, remove shards that only older plans had.

    Returns the names of the shards that were removed.

    Raises:
        StoreError: a shard is still missing, or two people of different tasks share a key.
    """
    due = pending(plan, job)
    if due:
        missing = ", ".join(plan.shard_names(due[0])[:3])
        raise StoreError(
            f"{job.folder}: {len(due)} of {len(plan.tasks)} tasks are not done (shards {missing}, ...)",
            fix="run the same `ehps ingest` command again: it goes on from here",
        )
    names = [name for task in plan.tasks for name in plan.shard_names(task)]
    keys = {name: read_table(job.folder / f"{name}{INDEX}", INDEX_SCHEMA, ["key"]).column("key") for name in names}
    for key, shards in duplicate_keys(keys):
        raise StoreError(
            f"two people share the key {key}, in the shards {' and '.join(shards)}",
            fix="the reader must give each person of a picture its own `person`; please report this",
            sample=key,
        )
    if not job.folder.is_dir():
        return ()  # a split without a single unit
    found = {split_file_name(path.name) for path in job.folder.iterdir()} - {None}
    stale = sorted({item[0] for item in found if item is not None} - set(names))
    removed = [name for name in stale if _is_of(name, plan)]
    for name in removed:
        remove_shard(job.folder, name)
    for path in job.folder.glob(f"{FAILED}*"):
        remove_file(path)
    return tuple(removed)


def _is_of(name: str, plan: Plan) -> bool:
    parsed = parse_shard_name(name)
    return parsed is not None and parsed[:2] == (plan.dataset, plan.split)
