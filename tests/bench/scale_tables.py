"""Fills the tables over a synthetic store that need pictures, or hours at full size: duplicates, overlaps and maps."""

from __future__ import annotations

import itertools
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from catalogs.attributes import duplicates, engine, files, map_files, overlaps
from catalogs.attributes.family import IDENTITY
from catalogs.cards import DATASETS
from harmonize.shards.index import INDEX_SCHEMA, read_table
from harmonize.shards.names import INDEX, shard_name

SAMPLES_A_SHARD = 24
MAPS = ("features", "orientation", "skeleton")
_OVERLAPS = pa.schema(
    [
        *((name, pa.string()) for name in ("kind", "dataset_a", "split_a", "dataset_b", "split_b")),
        *((name, pa.int64()) for name in ("num", "num_people_a", "num_people_b")),
        *((name, pa.float64()) for name in ("share_a", "share_b")),
    ]
)


def write_tables(store: Path, seed: int = 0) -> None:
    """Draw the tables: near-duplicates in every shard, overlaps of neighbours in the alphabet, maps in groups."""
    rng = np.random.default_rng(seed)
    parts = []
    for folder, manifest in engine.shards_of(store):
        name = shard_name(manifest.dataset, manifest.split, manifest.shard)
        parts.append(read_table(folder / f"{name}{INDEX}", INDEX_SCHEMA, list(IDENTITY)).slice(0, SAMPLES_A_SHARD))
    samples = pa.concat_tables(parts).combine_chunks()
    _write(store, duplicates.NAME, _duplicates(samples, rng))
    _write(store, overlaps.OVERLAPS, _overlaps())
    for number, name in enumerate(MAPS):
        dataset = np.array([zlib.crc32(text.encode()) for text in samples.column("dataset").to_pylist()])
        centre = np.stack([np.sin(dataset + number), np.cos(dataset * 3 + number)], axis=1) * 8
        points = centre + rng.normal(size=(samples.num_rows, 2))
        _write(store, map_files.full_name(name), map_files.map_table(samples, points, is_placed=False))


def _duplicates(samples: Any, rng: Any) -> Any:
    near = np.flatnonzero(rng.random(samples.num_rows - 1) < 0.3)
    later, earlier = samples.take(pa.array(near + 1)), samples.take(pa.array(near))
    columns = {f"{name}_a": later.column(name) for name in IDENTITY}
    columns |= {f"{name}_b": earlier.column(name) for name in IDENTITY}
    columns["kind"] = pa.array(np.full(len(near), "embedding"))
    columns["similarity"] = pa.array(0.95 + 0.05 * rng.random(len(near)))
    arrays = [
        columns[item.name].cast(item.type) if item.name in columns else pa.nulls(len(near), item.type)
        for item in duplicates.SCHEMA
    ]
    return pa.Table.from_arrays([_whole(array) for array in arrays], schema=duplicates.SCHEMA)


def _whole(array: Any) -> Any:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _overlaps() -> Any:
    rows = [
        {"kind": "picture", "dataset_a": a, "dataset_b": b, "num": 10 + i, "num_people_a": 20, "num_people_b": 30}
        for i, (a, b) in enumerate(itertools.pairwise(DATASETS))
    ]
    return pa.Table.from_pylist(rows, schema=_OVERLAPS)


def _write(store: Path, name: str, table: Any) -> None:
    files.write(
        files.store_folder(store), name, table, family=name, inputs={}, code_sha256="", facts={"source": "drawn"}
    )
