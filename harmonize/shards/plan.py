"""What will be made of a split, and from what: tasks, shard numbers, and the digest that binds shards to their inputs.

Units are taken in hash order of their ids, so that neighbours in a dataset do not become neighbours in a shard, and
grouped into tasks. A task reads its units once and scatters their people over its own block of shard numbers by key
hash. Everything is decided here, before any work; runners and numbers of workers have no say.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from harmonize.bodies import BodyModels
from harmonize.errors import RawLayoutError, StoreError, UsageError
from harmonize.gate import Limits
from harmonize.layout import LAYOUT_HASH, LAYOUT_VERSION
from harmonize.raw.paths import safe_join
from harmonize.readers import open_reader
from harmonize.readers.base import Reader, Unit
from harmonize.shards import fingerprint
from harmonize.shards.hashes import HashCache
from harmonize.shards.manifest import digest
from harmonize.shards.names import scatter, shard_name, split_dir

MIN_SHARDS = 16
"""Shards of a split at the least, so that small datasets too can be read by several workers and be mixed."""

UNKNOWN_UNIT_PEOPLE = 1000
"""What a unit without a hint is taken to hold."""

ImageMode = Literal["crop", "full", "none"]
BodyMode = Literal["fit", "copy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """How people become samples.

    images: "crop" stores a window around the person with `context` times the side of its box, "full" the whole frame's
    bytes with each person, "none" annotations alone. every: keep every n-th picture of a unit. body_mode: "fit" fits
    foreign bodies to neutral SMPL-X, "copy" copies rotations (for comparability with SMPLer-X). shard_samples,
    task_samples: about how many people a shard and a task hold. limit: only about that many people of the split, for a
    trial; 0 for all. max_reject_share: share of people that gate, conversion or pictures may refuse. limits: what the
    gate holds against each person.

    Raises:
        UsageError: a value is out of range.
    """

    images: ImageMode = "crop"
    context: float = 1.5
    every: int = 1
    body_mode: BodyMode = "fit"
    shard_samples: int = 1000
    task_samples: int = 8000
    limit: int = 0
    max_reject_share: float = 0.05
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        _require(self.images in get_args(ImageMode), "images", "crop, full or none", self.images)
        _require(self.body_mode in get_args(BodyMode), "body_mode", "fit or copy", self.body_mode)
        _require(1.0 <= self.context <= 10.0, "context", "a factor from 1 to 10", self.context)
        _require(0.0 <= self.max_reject_share <= 1.0, "max_reject_share", "a share from 0 to 1", self.max_reject_share)
        for name in ("every", "shard_samples", "task_samples"):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        _require(self.limit >= 0, "limit", "0 or more", self.limit)


def _require(holds: bool, name: str, expected: str, found: object) -> None:
    if not holds:
        raise UsageError(f"ingest option {name}: expected {expected}, found {found!r}", fix="ehps ingest --help")


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestJob:
    """One split of one dataset to be ingested. Plain values only, so that any worker can rebuild reader and models."""

    reader: str
    root: Path
    split: str
    store: Path
    form: str | None = None
    body_models: str | None = None
    options: IngestOptions = field(default_factory=IngestOptions)

    @property
    def folder(self) -> Path:
        """Where the shards of the split lie."""
        return split_dir(self.store, self.reader, self.split)

    def make_reader(self) -> Reader:
        """The reader on its raw root.

        Raises:
            UnknownDatasetError, RawLayoutError, UsageError: see `Reader`.
        """
        return open_reader(self.reader, Path(self.root), self.form)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Units that are read together, and the block of shards over which their people are scattered."""

    index: int
    units: tuple[Unit, ...]
    first_shard: int
    num_shards: int

    def shard_of(self, key: str) -> int:
        """The number of the shard that a sample belongs in."""
        return self.first_shard + scatter(key, self.num_shards)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A split's tasks, and what they are made from. `digest` is the hash of `content`."""

    dataset: str
    split: str
    tasks: tuple[Task, ...]
    num_shards: int
    content: Mapping[str, Any]
    digest: str

    def shard_names(self, task: Task) -> tuple[str, ...]:
        """The names of a task's shards, in order."""
        numbers = range(task.first_shard, task.first_shard + task.num_shards)
        return tuple(shard_name(self.dataset, self.split, number) for number in numbers)


def make_plan(job: IngestJob) -> Plan:
    """The plan of a job. The same raw files, options, body models and code give the same plan; nothing is written.

    Raises:
        UsageError, RawLayoutError: the split does not exist, or a raw file or the body-model folder is missing.
        RawFileError: a raw file is damaged or lies outside the raw root.
        StoreError: two units share an id.
    """
    reader = job.make_reader()
    reader.check_split(job.split)
    tasks = make_tasks(reader.units(job.split), job.options)
    units = [unit for task in tasks for unit in task.units]
    models, cache = BodyModels.open(job.body_models), HashCache()
    content = {
        "reader": {
            "name": reader.name,
            "version": reader.version,
            "sha256": fingerprint.reader_sha256(type(reader)),
        },
        "form": reader.form,
        "split": job.split,
        "options": asdict(job.options),
        "inputs": _inputs(reader, units, cache),
        "body_models": {
            "is_standin": models.is_standin,
            "files": fingerprint.body_model_files(models, reader.body_kinds, cache),
        },
        "layout": {"version": LAYOUT_VERSION, "hash": LAYOUT_HASH},
        "code_sha256": fingerprint.code_sha256(),
        "libraries": fingerprint.libraries(),
        "tasks": [
            {
                "first_shard": task.first_shard,
                "num_shards": task.num_shards,
                "units_sha256": digest([unit.id for unit in task.units]),
            }
            for task in tasks
        ],
    }
    return Plan(
        dataset=reader.name,
        split=job.split,
        tasks=tasks,
        num_shards=sum(task.num_shards for task in tasks),
        content=content,
        digest=digest(content),
    )


def check_inputs(reader: Reader, plan: Plan, task: Task, models: BodyModels) -> None:
    """Raises StoreError when an annotation file of the task, or a body model, is not the one the plan was made with.

    Called after a task has read its files: what it read is then what the plan's digest says.
    """
    cache = HashCache()
    planned = {item["path"]: item["sha256"] for item in plan.content["inputs"]}
    for relative in sorted({file for unit in task.units for file in unit.files}):
        path = safe_join(reader.root, relative)
        if not path.is_file() or cache.sha256(path) != planned[relative]:
            raise _changed(relative)
    if fingerprint.body_model_files(models, reader.body_kinds, cache) != plan.content["body_models"]["files"]:
        raise _changed("a body-model file")


def _changed(what: str) -> StoreError:
    return StoreError(
        f"{what} has changed since this ingest was planned", fix="run the same command again: it plans anew", path=what
    )


def make_tasks(units: Sequence[Unit], options: IngestOptions) -> tuple[Task, ...]:
    """Group units into tasks of about `task_samples` people, and give each its block of shard numbers.

    Raises:
        StoreError: two units share an id.
    """
    ordered = sorted(units, key=lambda unit: hashlib.sha256(unit.id.encode()).digest())
    for one, other in itertools.pairwise(ordered):
        if one.id == other.id:
            raise StoreError(f"two work units are called {one.id!r}: expected ids that are unique in a split")
    groups: list[list[Unit]] = []
    people = 0
    if options.limit:
        ordered = _enough(ordered, options)
    for unit in ordered:
        if not groups or (people >= options.task_samples and not options.limit):
            groups.append([])
            people = 0
        groups[-1].append(unit)
        people += _people(unit, options)
    sizes = [max(1, -(-sum(_people(unit, options) for unit in group) // options.shard_samples)) for group in groups]
    factor = -(-MIN_SHARDS // sum(sizes)) if sizes else 1
    tasks, first = [], 0
    for index, (group, size) in enumerate(zip(groups, sizes, strict=True)):
        # Parts of one file are read one after the other: readers keep the file they read last.
        units_of_task = tuple(sorted(group, key=lambda unit: (unit.files, unit.id)))
        tasks.append(Task(index=index, units=units_of_task, first_shard=first, num_shards=size * factor))
        first += size * factor
    return tuple(tasks)


def _enough(units: Sequence[Unit], options: IngestOptions) -> list[Unit]:
    """The first units that hold the limit's people. One without a hint counts as one person: it may hold no more."""
    counts = itertools.accumulate(-(-max(unit.num_hint, 1) // options.every) for unit in units)
    needed = sum(count < options.limit for count in counts) + 1
    return list(units[:needed])


def _people(unit: Unit, options: IngestOptions) -> int:
    return -(-(unit.num_hint or UNKNOWN_UNIT_PEOPLE) // options.every)


def _inputs(reader: Reader, units: Iterable[Unit], cache: HashCache) -> list[dict[str, Any]]:
    """Path, size and content hash of every annotation file, sorted by path."""
    inputs = []
    for relative in sorted({file for unit in units for file in unit.files}):
        path = safe_join(reader.root, relative)
        if not path.is_file():
            raise RawLayoutError(
                f"{reader.name}: the annotation file {relative} is missing under {reader.root}",
                fix=f"ehps datasets {reader.name}",
                expected=relative,
            )
        inputs.append({"path": relative, "size": path.stat().st_size, "sha256": cache.sha256(path)})
    return inputs
