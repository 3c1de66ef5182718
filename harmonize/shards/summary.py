"""What the tables of shards add up to: counts for the manifest, pictures used, keys used twice."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MISSING = "image-missing"
"""Reason of a reject whose picture did not exist: such a shard is stale once the picture does."""


def reject_counts(rejects: Any) -> dict[str, int]:
    """How many people were refused, by `stage/reason`."""
    pairs = zip(rejects.column("stage").to_pylist(), rejects.column("reason").to_pylist(), strict=True)
    return dict(Counter(f"{stage}/{reason}" for stage, reason in pairs))


def picture_methods(index: Any) -> dict[str, int]:
    """How many pictures were stored in which way, by `method` or `method: detail`."""
    rows = index.select([f"picture_{name}" for name in ("extension", "method", "detail")]).to_pylist()
    return dict(
        Counter(
            ": ".join(filter(None, (row["picture_method"], row["picture_detail"])))
            for row in rows
            if row["picture_extension"]
        )
    )


def source_pictures(index: Any, rejects: Any) -> dict[str, str]:
    """The pictures of the raw root that a shard depends on: path -> sha256, "" for one that was not there."""
    used = {
        path: sha256
        for table in (index, rejects)
        for path, sha256 in zip(
            table.column("image_path").to_pylist(), table.column("image_sha256").to_pylist(), strict=True
        )
        if sha256
    }
    for path, reason in zip(
        rejects.column("image_path").to_pylist(), rejects.column("reason").to_pylist(), strict=True
    ):
        if reason == MISSING:
            used[path] = ""
    return used


def source_pictures_digest(pictures: Mapping[str, str]) -> str:
    """One hash over the pictures of `source_pictures`."""
    lines = sorted(f"{sha256} {path}\n" for path, sha256 in pictures.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def duplicate_keys(columns: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Keys that occur more than once in the key columns of several index files: key and where it occurs, sorted."""
    keys = pa.chunked_array([chunk for column in columns.values() for chunk in column.chunks], pa.string())
    counts = pc.value_counts(keys)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    owners: dict[str, list[str]] = {key: [] for key in sorted(repeated.to_pylist())}
    if owners:
        for name, column in columns.items():
            for key in column.filter(pc.is_in(column, value_set=repeated)).to_pylist():
                owners[key].append(name)
    return list(owners.items())
