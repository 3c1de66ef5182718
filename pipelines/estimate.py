"""What an ingest would do, before it does anything: units, people, bytes and time, from a trial of a few people."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from pathlib import Path

from harmonize.bodies import BodyModels
from harmonize.raw.paths import safe_join
from harmonize.shards.hashes import HashCache
from harmonize.shards.people import make_people, read_units
from harmonize.shards.pictures import Pictures
from harmonize.shards.plan import IngestJob, Task, make_tasks
from harmonize.shards.spool import Sample

TRIAL_PEOPLE = 32
MEMBER_OVERHEAD_BYTES = 2500
"""A sample's share of index row, json, and the tar's headers and padding; measured on stores of the miniatures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One split. num_people: the reader's own estimate, 0 when only reading would tell. store_bytes and seconds (of one
    worker) follow from the trial; None where there is nothing to estimate from."""

    dataset: str
    split: str
    num_units: int
    num_tasks: int
    num_shards: int
    num_people: int
    annotation_bytes: int
    store_bytes: int | None
    seconds: float | None


def estimate(job: IngestJob) -> Estimate:
    """Lists the units of a split and makes the first people of one in memory; nothing is written or hashed.

    Raises:
        EhpsError: the split, raw root or body models cannot work.
    """
    reader = job.make_reader()
    reader.check_split(job.split)
    tasks = make_tasks(reader.units(job.split), job.options)
    units = [unit for task in tasks for unit in task.units]
    files = sorted({file for unit in units for file in unit.files})
    people = sum(-(-unit.num_hint // job.options.every) for unit in units) if all(u.num_hint for u in units) else 0
    if job.options.limit:
        people = min(people, job.options.limit)
    trial = _trial(job, tasks[0]) if tasks else None
    is_known = trial is not None and people > 0
    return Estimate(
        dataset=job.reader,
        split=job.split,
        num_units=len(units),
        num_tasks=len(tasks),
        num_shards=sum(task.num_shards for task in tasks),
        num_people=people,
        annotation_bytes=sum(path.stat().st_size for path in _present(Path(job.root), files)),
        store_bytes=int(people * trial.bytes_per_person) if trial is not None and is_known else None,
        seconds=people * trial.seconds_per_person + len(files) * trial.seconds_to_open
        if trial is not None and is_known
        else None,
    )


@dataclass(frozen=True, slots=True)
class _Trial:
    seconds_to_open: float
    seconds_per_person: float
    bytes_per_person: float


def _trial(job: IngestJob, task: Task) -> _Trial | None:
    """How long the first unit takes to open, and its first people to make; None where it has none."""
    reader, models = job.make_reader(), BodyModels.open(job.body_models)
    pictures = Pictures(Path(job.root), HashCache())
    start = time.monotonic()
    items = read_units(reader, job.split, task.units[:1], 1)
    first = list(itertools.islice(items, 1))
    opened = time.monotonic()
    made = [
        person
        for portion in make_people([*first, *itertools.islice(items, TRIAL_PEOPLE - 1)], models, pictures, job.options)
        for person in portion
    ]
    done = time.monotonic()
    pictures.close()
    if not made:
        return None
    samples = [person for person in made if isinstance(person, Sample)]
    size = sum(len(sample.picture) + sample.vector.nbytes + MEMBER_OVERHEAD_BYTES for sample in samples)
    return _Trial(opened - start, (done - opened) / len(made), size / len(made))


def _present(root: Path, files: list[str]) -> list[Path]:
    return [path for path in (safe_join(root, file) for file in files) if path.is_file()]
