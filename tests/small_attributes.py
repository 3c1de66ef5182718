"""Writes made-up values of a family beside the shards of a small store, through the project's own attribute files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from catalogs.attributes import engine, files
from harmonize.shards.index import INDEX_SCHEMA, read_table
from harmonize.shards.names import INDEX, shard_name


def vectors(values: Any) -> pa.Array:
    """(N, D) numbers as fixed-size lists of their own type; a row with NaN is null."""
    values = np.asarray(values)
    unknown = np.isnan(values).any(axis=1)
    flat = pa.array(np.where(unknown[:, None], 0, values).astype(values.dtype).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=pa.array(unknown))


def write_family(
    store: Path,
    family: str,
    values: Callable[[pa.Table], Mapping[str, Any]],
    *,
    facts: Mapping[str, Any] | None = None,
    shards: Callable[[str], bool] = lambda shard: True,
) -> None:
    """Write a family for the chosen shards. values: from the identity columns (key, dataset, split) to its columns."""
    for folder, manifest in engine.shards_of(store):
        shard = shard_name(manifest.dataset, manifest.split, manifest.shard)
        if not shards(shard):
            continue
        identity = read_table(folder / f"{shard}{INDEX}", INDEX_SCHEMA, ["key", "dataset", "split"])
        table = pa.table({**{name: identity.column(name) for name in identity.column_names}, **values(identity)})
        files.write(
            files.folder_of(folder, family),
            shard,
            table,
            family=family,
            inputs={"index": manifest.files[INDEX].sha256},
            code_sha256="made up",
            facts=facts or {},
        )
