"""Reading a store without loading it: manifests, index files, and one sample by key in one `pread`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from harmonize.errors import StoreError, UsageError
from harmonize.layout import decode
from harmonize.record import Array, Instance
from harmonize.shards.index import INDEX_SCHEMA, PLACE_COLUMNS, places_of, read_table
from harmonize.shards.manifest import Manifest, check_layout, read_manifest
from harmonize.shards.names import INDEX, MANIFEST, TAR, scatter, split_dir, split_file_name
from harmonize.shards.spool import from_npy
from harmonize.shards.tars import Member, differences


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """A sample as stored. vector, strings: see `harmonize.layout.encode`. picture: the bytes of its file, None when
    only annotations were ingested."""

    vector: Array
    strings: Mapping[str, Any]
    picture: bytes | None
    extension: str

    @property
    def key(self) -> str:
        """Its name in the store."""
        return str(self.strings["key"])

    @cached_property
    def instance(self) -> Instance:
        """The record, made when it is first asked for: training reads numbers out of the vector instead.

        Raises:
            RecordError: see `harmonize.layout.decode`.
        """
        return decode(self.vector, self.strings)


@dataclass(frozen=True, slots=True)
class _Place:
    offset: int
    size: int
    members: dict[str, Member]


@dataclass(slots=True)
class Store:
    """A store as it was when opened. Index files are read when first needed, and only where samples lie."""

    path: Path
    _manifests: tuple[Manifest, ...]
    _places: dict[str, dict[str, _Place]] = field(default_factory=dict)

    def manifests(self) -> tuple[Manifest, ...]:
        """The manifests of all finished shards, by dataset, split and number."""
        return self._manifests

    def index_paths(self) -> tuple[Path, ...]:
        """The index files of all finished shards, in the order of `manifests`."""
        return tuple(self._file(manifest, INDEX) for manifest in self._manifests)

    def sample(self, key: str) -> Sample:
        """One sample by its key.

        Raises:
            UsageError: the store has no such sample.
            StoreError: the sample was altered.
        """
        for manifest in self._candidates(key):
            place = self._places_in(manifest).get(key)
            if place is not None:
                return self._read(key, place, self._file(manifest, TAR))
        raise UsageError(
            f"{self.path}: no sample is called {key!r}",
            fix=f'ehps query {self.path} "SELECT key FROM instances LIMIT 10"',
        )

    def _candidates(self, key: str) -> Iterator[Manifest]:
        """Shards that may hold a key: one of each task, those of the key's own dataset and split first."""
        others = []
        for manifest in self._manifests:
            if not _may_hold(manifest, key):
                continue
            if key.startswith(f"{manifest.dataset}-{manifest.split}-"):
                yield manifest
            else:
                others.append(manifest)
        yield from others

    def _places_in(self, manifest: Manifest) -> dict[str, _Place]:
        name = manifest.name
        if name not in self._places:
            table = read_table(self._file(manifest, INDEX), INDEX_SCHEMA, PLACE_COLUMNS)
            self._places[name] = {key: _Place(offset, size, members) for key, offset, size, members in places_of(table)}
        return self._places[name]

    def _file(self, manifest: Manifest, suffix: str) -> Path:
        name = manifest.name
        return split_dir(self.path, manifest.dataset, manifest.split) / f"{name}{suffix}"

    def _read(self, key: str, place: _Place, tar: Path) -> Sample:
        try:
            with tar.open("rb") as file:
                span = os.pread(file.fileno(), place.size, place.offset)
        except OSError as error:
            raise _altered(tar, key, f"cannot be read ({error.strerror})") from error
        return sample_in(span, key, place.offset, place.members, tar)


def sample_in(
    span: bytes,
    key: str,
    offset: int,
    members: Mapping[str, Member],
    tar: Path | str,
    *,
    is_proved: bool = False,
) -> Sample:
    """The sample in its bytes of a tar.

    span: what was read at byte `offset`. members: by extension, in the order of the tar. is_proved: the caller knows
    that the tar has not changed since these bytes had their hashes.

    Raises:
        StoreError: the bytes are not those that were written; `tar` and the key are named.
    """
    for extension, problem in () if is_proved else differences(key, span, offset, members):
        raise _altered(tar, key, f"{extension}: {problem}")
    contents = {
        extension: span[member.offset - offset : member.offset - offset + member.size]
        for extension, member in members.items()
    }
    return sample_of(contents)


def sample_of(contents: Mapping[str, bytes]) -> Sample:
    """The sample of its files, by extension."""
    extension = next((name for name in contents if name not in ("npy", "json")), "")
    return Sample(
        vector=from_npy(contents["npy"]),
        strings=json.loads(contents["json"]),
        picture=contents.get(extension),
        extension=extension,
    )


def _may_hold(manifest: Manifest, key: str) -> bool:
    for task in manifest.plan.get("tasks", ()):
        first, number = task["first_shard"], task["num_shards"]
        if first <= manifest.shard < first + number:
            return bool(manifest.shard == first + scatter(key, number))
    return True


def _altered(tar: Path | str, key: str, problem: str) -> StoreError:
    return StoreError(
        f"{tar}: sample {key}: {problem}",
        fix="run `ehps verify` on the store, then `ehps ingest` again for this split",
        path=str(tar),
        sample=key,
    )


def open_store(path: Path | str) -> Store:
    """A store for reading; shards without a manifest are not finished and not seen.

    Raises:
        UsageError: the path is not a folder.
        StoreError: a manifest is damaged or of another layout.
    """
    root = Path(path)
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder", fix="give the folder that `ehps ingest --store` wrote to")
    manifests = []
    for file in sorted(root.glob(f"*/*/*{MANIFEST}")):
        if split_file_name(file.name) is not None:
            manifest = read_manifest(file)
            check_layout(manifest, file)
            manifests.append(manifest)
    return Store(root, tuple(manifests))
