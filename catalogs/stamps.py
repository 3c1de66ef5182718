"""What lies on disk of a store, by size and time of change alone: cheap enough to ask whenever a catalog is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harmonize.errors import UsageError
from harmonize.shards.names import MANIFEST, parse_shard_name

ATTRIBUTES = "attributes"
"""Folder of the attribute families in the folder of a split, and of tables over a whole store at its root."""

Stamp = tuple[int, int]
"""Size in bytes and time of change in nanoseconds of a manifest; the files it vouches for are written before it."""


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A finished shard. folder: of its split, relative to the store. families: those with a manifest for this shard."""

    dataset: str
    split: str
    manifest: Stamp
    families: Mapping[str, Stamp] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Where its files lie in the store."""
        return f"{self.dataset}/{self.split}"


def scan(store: Path) -> dict[str, OnDisk]:
    """The finished shards of a store by name, in order of dataset, split and number.

    Raises:
        UsageError: the path is no folder.
    """
    if not store.is_dir():
        raise UsageError(f"{store}: expected the folder of a store, found none", fix="check the path of the store")
    found: dict[str, OnDisk] = {}
    for dataset in _folders(store):
        for split in _folders(store / dataset):
            found |= _split(store / dataset / split, dataset, split)
    return found


def _split(folder: Path, dataset: str, split: str) -> dict[str, OnDisk]:
    manifests = {}
    for shard, stamp in _manifests(folder):
        named = parse_shard_name(shard)
        if named is not None and named[:2] == (dataset, split):
            manifests[shard] = stamp
    families: dict[str, dict[str, Stamp]] = {shard: {} for shard in sorted(manifests)}
    if manifests:
        for family in _folders(folder / ATTRIBUTES):
            for shard, stamp in _manifests(folder / ATTRIBUTES / family):
                if shard in families:
                    families[shard][family] = stamp
    return {shard: OnDisk(dataset, split, manifests[shard], found) for shard, found in families.items()}


def _manifests(folder: Path) -> Iterator[tuple[str, Stamp]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(MANIFEST):
                try:
                    status = entry.stat()
                except FileNotFoundError:  # it was there a moment ago: somebody is writing
                    continue
                yield entry.name.removesuffix(MANIFEST), (status.st_size, status.st_mtime_ns)


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
