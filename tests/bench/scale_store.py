"""Fills a store with synthetic people of 32 datasets, up to millions of rows, for measuring what reads it.

    python tests/bench/scale_store.py DIR                  45,000 rows
    python tests/bench/scale_store.py DIR --full           4,500,000 rows

Index, rejects, manifests and attributes are files of the real layout, made by the project's own schemas and code; the
values of a family come from its own `compute`, through the engine, unless it reads pictures: those are drawn. Tars are
empty and there are no pictures, so `ehps verify` refuses such a store and `ehps view` shows nothing of it.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scale_people import Columns, draw
from scale_worlds import World, worlds

from harmonize.annotation import Reject
from harmonize.layout import LAYOUT_HASH, LAYOUT_VERSION
from harmonize.record import Provenance
from harmonize.shards.index import INDEX_SCHEMA, StagedReject, rejects_table, to_parquet
from harmonize.shards.manifest import FORMAT_VERSION, FileEntry, Manifest, digest
from harmonize.shards.names import INDEX, MANIFEST, REJECTS, TAR, shard_name, split_dir
from harmonize.shards.tars import END

REDUCED_ROWS, FULL_ROWS = 45_000, 4_500_000
SHARD_ROWS = 1000
MIN_PARALLEL = 100
"""Fewer shards than this are sooner written by one process than others have started."""

REJECT_SHARE = 0.01
NUM_INPUTS = 20
_REASONS = ("crowd", "no-fit", "reprojection", "image-missing")
_NPY_BYTES, _JSON_BYTES, _BLOCK = 7888, 560, 512
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job:
    """One shard to write: `num` rows of a dataset, `first` rows after its first."""

    store: Path
    world: World
    number: int
    num_shards: int
    first: int
    num: int


def jobs(store: Path, num_rows: int, seed: int) -> list[Job]:
    """The shards of a store."""
    found = []
    for world in worlds(num_rows, seed):
        starts = range(0, world.num_rows, SHARD_ROWS)
        for number, first in enumerate(starts):
            found.append(Job(store, world, number, len(starts), first, min(SHARD_ROWS, world.num_rows - first)))
    return found


def write_shard(job: Job) -> int:
    """Write the four files of a shard; the number of its rows."""
    world = job.world
    folder = split_dir(job.store, world.name, world.split)
    folder.mkdir(parents=True, exist_ok=True)
    name = shard_name(world.name, world.split, job.number)
    rejects = _rejects(job)
    contents = {
        TAR: END,
        INDEX: to_parquet(index(world, draw(world, job.number, job.first, job.num), job.num)),
        REJECTS: to_parquet(rejects_table(rejects)),
    }
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        layout_version=LAYOUT_VERSION,
        layout_hash=LAYOUT_HASH,
        dataset=world.name,
        split=world.split,
        shard=job.number,
        num_shards=job.num_shards,
        plan_digest=digest(_plan(world)),
        plan=_plan(world),
        units=(f"part-{job.number:06d}",),
        num_samples=job.num,
        num_skipped=0,
        rejects={f"gate/{reason}": sum(one.reject.reason == reason for one in rejects) for reason in _REASONS},
        picture_methods={"none": job.num},
        num_source_pictures=0,
        source_pictures_sha256="",
        files={
            suffix: FileEntry(size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for suffix, data in contents.items()
        },
    )
    for suffix, data in contents.items():
        (folder / f"{name}{suffix}").write_bytes(data)
    (folder / f"{name}{MANIFEST}").write_bytes(manifest.to_bytes())
    return job.num


def _plan(world: World) -> dict[str, Any]:
    inputs = [
        {"path": f"annotations/part-{i:03d}.npz", "sha256": f"{world.seed + i:064x}", "size": 1 << 20}
        for i in range(NUM_INPUTS)
    ]
    return {"body_models": {"is_standin": True}, "seed": world.seed, "dataset": world.name, "inputs": inputs}


def _rejects(job: Job) -> list[StagedReject]:
    rng = np.random.default_rng([job.world.seed, job.number, 1])
    world = job.world
    return [
        StagedReject(
            stage="gate",
            reject=Reject(
                reason=_REASONS[int(rng.integers(len(_REASONS)))],
                provenance=Provenance(
                    dataset=world.name, split=world.split, sequence="refused", frame=f"{job.first + i:08d}", person="0"
                ),
                numbers={"found": float(rng.random())},
            ),
        )
        for i in range(rng.binomial(job.num, REJECT_SHARE))
    ]


def index(world: World, drawn: Columns, num: int) -> Any:
    """The index table of drawn people; a field that was not drawn is zero, false or empty under its lowered flag."""
    drawn = drawn | _texts(world, drawn, num) | _places(drawn["content"], num)
    arrays = [_array(drawn.get(item.name), item, num) for item in INDEX_SCHEMA]
    return pa.Table.from_arrays(arrays, schema=INDEX_SCHEMA)


def _texts(world: World, drawn: Columns, num: int) -> Columns:
    picture, films = drawn["picture"], max(1, world.num_rows // 2000)
    is_video = world.card.contents.is_video
    sequence = _numbered("seq_", picture % films, 5) if is_video else _repeat("", num)
    frame = _numbered("", picture // films if is_video else picture, 8)
    person = _numbered("", drawn["person"], 1)
    parts = [_repeat(f"{world.name}-{world.split}", num), *([sequence] if is_video else []), frame, person]
    return {
        "key": pc.binary_join_element_wise(*parts, "-"),
        "sequence": sequence,
        "frame": frame,
        "person": person,
        "image_path": pc.binary_join_element_wise("images", *parts[1:-1], "/"),
        "image_sha256": _hashes(drawn["image_sha256"]).take(pa.array(picture - picture[0])),
        "split": _repeat(world.split, num),
        "dataset": _repeat(world.name, num),
        "reader": _repeat(world.name, num),
        "reader_version": _repeat("1", num),
        "licence": _repeat(world.card.licence.kind, num),
        "source_file": _repeat("annotations/part-000.npz", num),
        "source_row": _numbered("row=", np.arange(num), 1),
        "subject": _numbered("subject_", picture % 40, 2),
        "source_body_model": _repeat(world.card.body.model.replace("any", "smplx"), num),
        "source_body_gender": drawn["gender"],
        "source_body_hand_mean": _repeat("absent", num),
        "source_body_conversion": _repeat("fit" if drawn["source_body_is_present"][0] else "identity", num),
        "keypoints_joints2d_origin": _repeat("projected" if world.card.domain == "synthetic" else "annotated", num),
        "keypoints_joints3d_origin": _repeat("body", num),
        "boxes_person_origin": _repeat("keypoints", num),
        "picture_method": _repeat("none", num),
        "extra_names": pa.array([[]], INDEX_SCHEMA.field("extra_names").type).take(pa.array(np.zeros(num, np.int32))),
    }


def _places(content: bytes, num: int) -> Columns:
    size = _BLOCK * 20
    offset = np.arange(num, dtype=np.int64) * size
    return {
        "sample_offset": offset,
        "sample_size": np.full(num, size),
        "npy_offset": offset + _BLOCK,
        "npy_size": np.full(num, _NPY_BYTES),
        "npy_sha256": _hashes(content[: 32 * num]),
        "json_offset": offset + 18 * _BLOCK,
        "json_size": np.full(num, _JSON_BYTES),
        "json_sha256": _hashes(content[32 * num :]),
    }


def _array(values: Any, item: Any, num: int) -> Any:
    kind = item.type
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        return values
    if pa.types.is_fixed_size_list(kind):
        flat = np.zeros(num * kind.list_size, np.float32) if values is None else np.asarray(values, np.float32)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), type=kind)
    if pa.types.is_string(kind):
        return _repeat("", num) if values is None else pa.array(values, kind)
    if values is None:
        if item.nullable:
            return pa.nulls(num, kind)
        return pa.array(np.zeros(num, kind.to_pandas_dtype()), kind)
    plain = np.asarray(values, kind.to_pandas_dtype())
    return pa.array(plain, kind, mask=np.isnan(plain) if item.nullable else None)


def _repeat(text: str, num: int) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(num, np.int32)), pa.array([text])).cast(pa.string())


def _numbered(prefix: str, numbers: Any, width: int) -> Any:
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width, "0")
    return pc.binary_join_element_wise(prefix, digits, "")


def _hashes(content: bytes) -> Any:
    """Strings of 64 hexadecimal digits, one for each 32 bytes."""
    text = content.hex().encode()
    offsets = pa.py_buffer(np.arange(0, len(text) + 1, 64, dtype=np.int32))
    return pa.StringArray.from_buffers(len(content) // 32, offsets, pa.py_buffer(text))


def spread(
    work: Callable[[T], int], items: Sequence[T], num_workers: int, title: str, report: Callable[[str], None] = print
) -> float:
    """Run over all items in several processes, saying rows, rate and time left now and then; seconds it took."""
    start = said = time.monotonic()
    done = 0
    for number, rows in enumerate(_results(work, items, num_workers), 1):
        done += rows
        now = time.monotonic()
        if now - said > 10:
            said = now
            left = (now - start) / number * (len(items) - number)
            report(f"  {title}: {done:,} rows, {done / (now - start):,.0f} rows/s, {left:.0f} s left")
    return time.monotonic() - start


def _results(work: Callable[[T], int], items: Sequence[T], num_workers: int) -> Iterator[int]:
    if num_workers == 1 or len(items) < MIN_PARALLEL:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, items, chunksize=4)


def write_store(
    store: Path, num_rows: int, *, seed: int = 0, num_workers: int = 1, report: Callable[[str], None] = print
) -> float:
    """Write index, rejects and manifests of every shard, without attributes; seconds it took."""
    todo = jobs(store, num_rows, seed)
    return spread(write_shard, todo, num_workers, "index", report)


def main(arguments: Sequence[str]) -> None:
    from scale_attributes import computed, describe, drawn
    from scale_tables import write_tables

    parser = argparse.ArgumentParser(description="Fill a store with synthetic people of 32 datasets.")
    parser.add_argument("store", type=Path)
    parser.add_argument("--rows", type=int, default=REDUCED_ROWS, help=f"default: {REDUCED_ROWS:,}")
    parser.add_argument("--full", action="store_true", help=f"{FULL_ROWS:,} rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    if chosen.store.exists():
        parser.error(f"{chosen.store}: expected a new folder")
    num_rows = FULL_ROWS if chosen.full else chosen.rows
    seconds = write_store(chosen.store, num_rows, seed=chosen.seed, num_workers=chosen.workers)
    print(f"{'index':16} {seconds:8.1f} s {num_rows / seconds:12,.0f} rows/s")
    for name, seconds in describe(chosen.store, [*computed(), *drawn()], num_workers=chosen.workers).items():
        print(f"{name:16} {seconds:8.1f} s {num_rows / seconds:12,.0f} rows/s")
    write_tables(chosen.store, chosen.seed)


if __name__ == "__main__":
    main(sys.argv[1:])
