"""Where the files of a store lie, and how they are called."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

TAR, INDEX, REJECTS, MANIFEST = ".tar", ".parquet", ".rejects.parquet", ".json"
SUFFIXES = (TAR, INDEX, REJECTS, MANIFEST)
"""The files of a shard; the manifest is published last."""

TEMPORARY = ".tmp-"
"""Prefix of the folders in which tasks work; readers ignore them, `verify` reports them, the next run removes them."""

FAILED = ".failed-"
"""Prefix of the reject tables that explain why a task was not published."""

REPORTS = "reports"
"""Folder at the root of a store for what people read."""

ASIDE = (REPORTS, "runs", "selections")
"""Folders at the root of a store that hold what was made with it; nothing in them is part of the data."""

_SHARD = re.compile(r"(?P<dataset>[A-Za-z0-9_]+)-(?P<split>[A-Za-z0-9_]+)-(?P<number>[0-9]{6})")


def split_dir(store: Path, dataset: str, split: str) -> Path:
    """The folder of a split."""
    return Path(store) / dataset / split


def shard_name(dataset: str, split: str, number: int) -> str:
    """`dataset-split-000042`: what the four files of a shard share."""
    return f"{dataset}-{split}-{number:06d}"


def parse_shard_name(name: str) -> tuple[str, str, int] | None:
    """Dataset, split and number of a shard name; None when it is not one."""
    match = _SHARD.fullmatch(name)
    return None if match is None else (match["dataset"], match["split"], int(match["number"]))


def split_file_name(name: str) -> tuple[str, str] | None:
    """Shard name and suffix of a file name; None when it cannot be a file of a shard."""
    stem, dot, suffix = name.partition(".")
    if dot + suffix not in SUFFIXES or parse_shard_name(stem) is None:
        return None
    return stem, dot + suffix


def scatter(key: str, num_shards: int) -> int:
    """Which of `num_shards` shards of its task a key falls into: the same anywhere, and near-uniform."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % num_shards
