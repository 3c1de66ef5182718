"""What lies on disk of a store, by size and time of change alone: cheap enough to ask whenever a catalog is opened."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from harmonize.errors import UsageError
from harmonize.shards.names import MANIFEST, parse_shard_name

ATTRIBUTES = "attributes"
"""Folder of the attribute families in the folder of a split, and of tables over a whole store at its root."""

Stamp = tuple[int, int]
"""Size in bytes and time of change in nanoseconds of a manifest; the files it vouches for are written before it."""


SETTLED_NS = 2_000_000_000
"""A folder that changed less than this before it was listed may change again without its time showing it."""


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A finished shard. families: those that have a manifest for it."""

    dataset: str
    split: str
    manifest: Stamp
    families: Mapping[str, Stamp] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Where its files lie, relative to the store."""
        return f"{self.dataset}/{self.split}"


@dataclass(frozen=True)
class Seen:
    """The finished shards of a store by name, in order of dataset, split and number.

    folders: by split, when each of its folders of attributes last changed (its files only ever appear, vanish or are
    replaced as a whole, which changes the folder); 0 where that was too short ago to be told.
    """

    shards: Mapping[str, OnDisk]
    folders: Mapping[str, Mapping[str, int]]

    @cached_property
    def families(self) -> Mapping[str, Mapping[str, Mapping[str, Stamp]]]:
        """By split and shard: the families that have a manifest."""
        found: dict[str, dict[str, Mapping[str, Stamp]]] = {}
        for shard, on_disk in self.shards.items():
            found.setdefault(on_disk.folder, {})[shard] = on_disk.families
        return found


NOTHING = Seen({}, {})


def scan(store: Path, known: Seen = NOTHING) -> Seen:
    """What is on disk. Attributes of a split whose folders have not changed since `known` are not looked at one by one.

    Raises:
        UsageError: the path is no folder.
    """
    if not store.is_dir():
        raise UsageError(f"{store}: expected the folder of a store, found none", fix="check the path of the store")
    shards: dict[str, OnDisk] = {}
    folders: dict[str, Mapping[str, int]] = {}
    now_ns = time.time_ns()
    for dataset in _folders(store):
        for split in _folders(f"{store}/{dataset}"):
            found = _split(f"{store}/{dataset}/{split}", dataset, split)
            if not found:
                continue
            changed_ns = _changed_ns(f"{store}/{dataset}/{split}/{ATTRIBUTES}")
            families = _families(f"{store}/{dataset}/{split}/{ATTRIBUTES}", changed_ns, f"{dataset}/{split}", known)
            for shard, stamp in found:
                shards[shard] = OnDisk(dataset, split, stamp, families.get(shard, {}))
            folders[f"{dataset}/{split}"] = {
                family: at_ns if now_ns - at_ns > SETTLED_NS else 0 for family, at_ns in changed_ns.items()
            }
    return Seen(shards, folders)


def _split(folder: str, dataset: str, split: str) -> list[tuple[str, Stamp]]:
    found = []
    for shard, stamp in _manifests(folder):
        named = parse_shard_name(shard)
        if named is not None and named[:2] == (dataset, split):
            found.append((shard, stamp))
    return sorted(found)


def _families(folder: str, changed_ns: Mapping[str, int], split: str, known: Seen) -> Mapping[str, Mapping[str, Stamp]]:
    if changed_ns and changed_ns == known.folders.get(split):
        return known.families[split]
    found: dict[str, dict[str, Stamp]] = {}
    for family in changed_ns:
        for shard, stamp in _manifests(f"{folder}/{family}"):
            found.setdefault(shard, {})[family] = stamp
    return found


def _changed_ns(folder: str) -> dict[str, int]:
    """When each folder of attributes of a split last changed."""
    return {family: Path(f"{folder}/{family}").stat().st_mtime_ns for family in _folders(folder)}


def _manifests(folder: str) -> Iterator[tuple[str, Stamp]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(MANIFEST):
                try:
                    status = entry.stat()
                except FileNotFoundError:  # it was there a moment ago: somebody is writing
                    continue
                yield entry.name.removesuffix(MANIFEST), (status.st_size, status.st_mtime_ns)


def _folders(folder: str | Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
