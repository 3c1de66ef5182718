"""Instances a second and core of each attribute family that reads no pictures, over made-up people.

    python tests/bench/bench_attributes.py [SHARDS] [FAMILY ...]

compute: the pure function alone, on shards of 1000 people that are in memory, the best of several rounds. end to end:
read the index, compute, write table and manifest, with files in the system's cache. The sum of compute is what an
instance costs in arithmetic; "together" is what `ehps describe` does, all families with one reading of the index. Times
are those of the processor, all threads together, so a busy machine matters little.
"""

from __future__ import annotations

import os

# Before numpy: its linear algebra reads this once.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from catalogs.attributes import FAMILIES, engine, files
from catalogs.attributes.family import IDENTITY, Family, Rows
from harmonize.record import Instance
from harmonize.shards.index import INDEX_SCHEMA, read_table
from harmonize.shards.names import INDEX
from pipelines.describe_work import run_batch, together

sys.path.append(str(Path(__file__).resolve().parents[1]))

from small_store import person, write_shard

SHARD_SAMPLES, NUM_SHARDS, ROUNDS = 1000, 3, 7
LIMIT_PER_S = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Microseconds that an instance takes."""

    family: str
    compute_us: float
    end_to_end_us: float


def families(names: Sequence[str] = ()) -> list[Family]:
    """The families that need no picture, not even through one that they follow; all of them unless some are named."""
    needs = {name for name, family in FAMILIES.items() if family.reads_pictures}
    while more := {name for name, family in FAMILIES.items() if needs & set(family.follows)} - needs:
        needs |= more
    free = [family for name, family in FAMILIES.items() if name not in needs]
    wanted = set(names) | {followed for name in names for followed in FAMILIES[name].follows}
    return [family for family in engine.in_order(free) if not names or family.name in wanted]


def made_up(number: int) -> Instance:
    """A person of whom everything is known; three to a picture; no picture is stored."""
    rng = np.random.default_rng(number)
    plain = person("pw3d", "train", number)
    body = replace(
        plain.body,
        global_orient_aa=rng.normal(0, 1.5, 3).astype(np.float32),
        left_hand_pose_aa=rng.normal(0, 0.4, (15, 3)).astype(np.float32),
        right_hand_pose_aa=rng.normal(0, 0.4, (15, 3)).astype(np.float32),
        jaw_pose_aa=rng.normal(0, 0.2, 3).astype(np.float32),
        expression=rng.normal(0, 1, 10).astype(np.float32),
        has_betas=True,
        has_left_hand=True,
        has_right_hand=True,
        has_jaw=True,
        has_expression=True,
    )
    provenance = replace(plain.provenance, image_path=f"images/{number // 3}.jpg")
    return replace(plain, body=body, provenance=provenance, image=replace(plain.image, has_pixels=False))


def bench(store: Path, num_shards: int, names: Sequence[str] = ()) -> tuple[list[Cost], float]:
    """What each family costs on a store of `num_shards` shards that is written to `store`, and all together (us)."""
    for shard in range(num_shards):
        first = shard * SHARD_SAMPLES
        write_shard(store, [made_up(first + i) for i in range(SHARD_SAMPLES)], number=shard)
    scale = 1e6 / (num_shards * SHARD_SAMPLES)
    costs, works = [], []
    for family in families(names):
        work = engine.plan(store, family)
        rows = [_rows(job) for job in work.pending]
        compute_s = min(_seconds(work.pending, rows) for _ in range(ROUNDS))
        end_to_end_s = min(_seconds_whole(work.pending) for _ in range(ROUNDS))
        costs.append(Cost(family=family.name, compute_us=compute_s * scale, end_to_end_us=end_to_end_s * scale))
        works.append(work)
    jobs = together(works)
    return costs, min(_seconds_together(jobs) for _ in range(ROUNDS)) * scale


def _rows(job: engine.ShardJob) -> Rows:
    table = read_table(job.folder / f"{job.shard}{INDEX}", INDEX_SCHEMA, [*IDENTITY, *job.family.reads])
    followed = {
        name: files.read_attributes(files.folder_of(job.folder, name), job.shard) for name in job.family.follows
    }
    return Rows(shard=job.shard, table=table, people=job.people, families=followed)


def _seconds(jobs: Sequence[engine.ShardJob], rows: Sequence[Rows]) -> float:
    start = time.process_time()
    for job, some in zip(jobs, rows, strict=True):
        job.family.compute(some, job.prepared.value)
    return time.process_time() - start


def _seconds_whole(jobs: Sequence[engine.ShardJob]) -> float:
    start = time.process_time()
    for job in jobs:
        engine.run(job)
    return time.process_time() - start


def _seconds_together(jobs: Sequence[engine.ShardJob]) -> float:
    start = time.process_time()
    outcomes = run_batch(jobs, lambda number: None)
    if any(error for error, _ in outcomes):
        raise RuntimeError(f"a family failed: {outcomes}")
    return time.process_time() - start


def main(arguments: Sequence[str]) -> None:
    num_shards = int(arguments[0]) if arguments else NUM_SHARDS
    with tempfile.TemporaryDirectory() as folder:
        costs, together_us = bench(Path(folder), num_shards, arguments[1:])
    print(f"attributes of {num_shards} shards of {SHARD_SAMPLES} people, seconds of one core, without pictures")
    print(f"{'family':14}{'compute us':>12}{'instances/s':>13}{'end to end us':>15}{'instances/s':>13}")
    total = Cost(
        family="together",
        compute_us=sum(cost.compute_us for cost in costs),
        end_to_end_us=together_us,
    )
    for cost in (*costs, total):
        print(
            f"{cost.family:14}{cost.compute_us:12.2f}{1e6 / cost.compute_us:13,.0f}"
            f"{cost.end_to_end_us:15.2f}{1e6 / cost.end_to_end_us:13,.0f}"
        )
    print(f"{'limit':14}{1e6 / LIMIT_PER_S:12.2f}{LIMIT_PER_S:13,.0f}")


if __name__ == "__main__":
    main(sys.argv[1:])
