"""Fills a synthetic store's attributes: computed by their families through the engine, drawn where pictures are needed.

Drawn values have the family's types and one mixture a dataset; their manifests name the inputs and the code as any
other's do, so that the catalog takes them for current.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scale_store import spread

from catalogs.attributes import FAMILIES, engine, files
from catalogs.attributes.family import IDENTITY, Attribute, Family, Rows, to_table
from harmonize.shards.index import INDEX_SCHEMA, read_table
from harmonize.shards.names import INDEX

_WORDS = ("indoor", "outdoor", "stage", "street")


def describe(
    store: Path, families: Sequence[Family], *, num_workers: int = 1, report: Callable[[str], None] = print
) -> dict[str, float]:
    """Make the attributes of every shard that lacks them; seconds each family took, its plan included."""
    seconds = {}
    for family in engine.in_order(families):
        start = time.monotonic()
        work = engine.plan(store, family)
        spread(_draw if family.reads_pictures else _run, work.pending, num_workers, family.name, report)
        seconds[family.name] = time.monotonic() - start
    return seconds


def computed() -> list[Family]:
    """The registered families that need no pictures."""
    return [family for family in FAMILIES.values() if not family.reads_pictures]


def drawn() -> list[Family]:
    """The registered families whose values are drawn, because a synthetic store has no pictures."""
    return [family for family in FAMILIES.values() if family.reads_pictures]


def _run(job: engine.ShardJob) -> int:
    return engine.run(job).num_rows


def _draw(job: engine.ShardJob) -> int:
    table = read_table(job.folder / f"{job.shard}{INDEX}", INDEX_SCHEMA, list(IDENTITY))
    rng = np.random.default_rng(zlib.crc32(f"{job.family.name} {job.shard}".encode()))
    look = np.random.default_rng(zlib.crc32(job.shard.rsplit("-", 1)[0].encode()))
    columns = {one.name: _values(one, rng, look, job.num_rows) for one in job.family.attributes}
    files.write(
        files.folder_of(job.folder, job.family.name),
        job.shard,
        to_table(job.family, Rows(shard=job.shard, table=table), columns),
        family=job.family.name,
        inputs=job.inputs,
        code_sha256=job.code_sha256,
        facts=job.prepared.facts,
    )
    return job.num_rows


def _values(attribute: Attribute, rng: Any, look: Any, num: int) -> Any:
    centre, spread_ = look.normal(), look.uniform(0.2, 1)
    if attribute.kind in ("vector", "half"):
        return (look.normal(size=attribute.size) + rng.normal(size=(num, attribute.size))).astype(np.float32)
    if attribute.kind == "text":
        return pa.array(np.array(_WORDS)[rng.integers(len(_WORDS), size=num)])
    if attribute.kind == "flag":
        return rng.random(num) < look.random()
    if attribute.kind == "count":
        return rng.poisson(1 + look.gamma(2), num)
    return centre + spread_ * rng.normal(size=num)
