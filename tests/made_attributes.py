"""Writes attribute tables beside shards through the project's own code, with made-up values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalogs.attributes import FAMILIES, files
from catalogs.attributes.family import IDENTITY, Attribute
from harmonize.shards.manifest import read_manifest
from harmonize.shards.names import INDEX, MANIFEST, TAR


def describe(
    store: Path,
    families: Sequence[str] = tuple(FAMILIES),
    *,
    shards: Sequence[str] | None = None,
    seed: int = 0,
    code: str = "code",
) -> None:
    """Values of these families for all shards of a store, or some; bound to the shards as they are now."""
    for path in sorted(store.glob(f"*/*/*{MANIFEST}")):
        shard = path.name.removesuffix(MANIFEST)
        if shards is None or shard in shards:
            for family in families:
                write_family(path.parent, shard, family, seed=seed, code=code)


def write_family(
    folder: Path,
    shard: str,
    family: str,
    *,
    columns: Mapping[str, Any] | None = None,
    seed: int = 0,
    code: str = "code",
) -> Path:
    """One family of one shard, made up or with these columns; the path of its table."""
    manifest = read_manifest(folder / f"{shard}{MANIFEST}")
    identity = pq.read_table(folder / f"{shard}{INDEX}", columns=list(IDENTITY))
    named = {name: identity.column(name) for name in IDENTITY}
    if columns is None:
        rng = np.random.default_rng([seed, *hashlib.sha256(f"{shard}{family}".encode()).digest()[:4]])
        columns = {one.name: _values(one, identity.num_rows, rng) for one in FAMILIES[family].attributes}
    place = files.folder_of(folder, family)
    inputs = {"index": manifest.files[INDEX].sha256, "tar": manifest.files[TAR].sha256}
    table = pa.table({**named, **columns})
    files.write(place, shard, table, family=family, inputs=inputs, code_sha256=code, facts={})
    return place / f"{shard}{files.TABLE}"


def write_store_table(store: Path, name: str, columns: Mapping[str, Any]) -> Path:
    """A table over the whole store."""
    folder = files.store_folder(store)
    files.write(folder, name, pa.table(dict(columns)), family=name, inputs={}, code_sha256="code", facts={})
    return folder / f"{name}{files.TABLE}"


def _values(attribute: Attribute, num: int, rng: np.random.Generator) -> Any:
    if attribute.kind in ("vector", "half"):
        item = np.float32 if attribute.kind == "vector" else np.float16
        flat = pa.array(rng.normal(size=num * attribute.size).astype(item))
        return pa.FixedSizeListArray.from_arrays(flat, type=attribute.arrow_type)
    if attribute.kind == "text":
        return pa.array(rng.choice(["real", "synthetic"], num).tolist())
    if attribute.kind == "flag":
        return pa.array(rng.random(num) < 0.5)
    numbers = rng.integers(0, 200, num) if attribute.kind == "count" else rng.uniform(0, 90, num)
    return pa.array(numbers, mask=rng.random(num) < 0.1).cast(attribute.arrow_type)
