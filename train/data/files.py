"""The files of a store as training needs them, from a folder; `train.data.remote` has the same from a URL."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

from catalogs.selection import ShardRef
from harmonize.errors import StoreError, UsageError
from harmonize.shards.index import INDEX_SCHEMA, PLACE_COLUMNS, read_table
from harmonize.shards.manifest import Manifest, check_layout, read_manifest
from harmonize.shards.names import INDEX, MANIFEST, TAR, parse_shard_name

NUM_OPEN_TARS = 256
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """What training keeps of a manifest, whose lists of inputs can be large. Hashes and sizes are of its files."""

    name: str
    dataset: str
    split: str
    is_standin: bool
    num_samples: int
    tar_bytes: int
    tar_sha256: str
    index_sha256: str

    @property
    def tar(self) -> str:
        """Path of the tar below the store's root."""
        return file_path(self.name, TAR)


class Files(Protocol):
    """root: the store's folder or URL, for messages. num_readers: threads worth having wait for it at once."""

    root: str
    num_readers: int

    def manifest(self, ref: ShardRef) -> Manifest | None:
        """The shard's manifest as it is now; None when there is no such shard.

        Raises:
            StoreError: it is damaged or of another layout. UsageError: it cannot be reached.
        """
        ...

    def places(self, shard: Shard) -> Any:
        """The table of PLACE_COLUMNS of the shard's index.

        Raises:
            StoreError: the index is missing or damaged. UsageError: it cannot be reached.
        """
        ...

    def span(self, shard: Shard, offset: int, size: int, parse: Callable[[bytes, int], T]) -> T:
        """What `parse` makes of `size` bytes at byte `offset` of the tar, and of the tar's stamp: a number that is
        another once the tar was written to, 0 where that cannot be told. It raises StoreError for altered bytes.

        Raises:
            StoreError: the tar is missing, or its bytes are not those written. UsageError: it cannot be reached.
        """
        ...

    def stream(self, shard: Shard) -> BinaryIO:
        """The tar, to be read from its beginning.

        Raises:
            StoreError: it is missing. UsageError: it cannot be reached.
        """
        ...


def file_path(shard: str, suffix: str) -> str:
    """Path of a shard's file below the store's root.

    Raises:
        StoreError: not the name of a shard.
    """
    parts = parse_shard_name(shard)
    if parts is None:
        raise StoreError(
            f"selection: shards: {shard!r} is not the name of a shard", fix="make the selection again", shard=shard
        )
    return f"{parts[0]}/{parts[1]}/{shard}{suffix}"


def missing(root: str, path: str, reason: str) -> StoreError:
    """A file that must be there is not."""
    return StoreError(
        f"{root}: {path}: cannot be read ({reason})",
        fix="restore the file, or run `ehps ingest` again for this split; `ehps verify` lists what else is missing",
        path=path,
    )


class Folder:
    """A store in a folder. Tars stay open: on network file systems opening costs as much as reading a sample.

    Raises:
        UsageError: the path is not a folder.
    """

    num_readers = min(8, os.cpu_count() or 1)

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise UsageError(f"{root} is not a folder", fix="give the folder that `ehps ingest --store` wrote to")
        self.root = str(root)
        self._tar = lru_cache(NUM_OPEN_TARS)(_Handle)

    def manifest(self, ref: ShardRef) -> Manifest | None:
        path = self._path(file_path(ref.shard, MANIFEST))
        if not path.exists():
            return None
        manifest = read_manifest(path)
        check_layout(manifest, path)
        return manifest

    def places(self, shard: Shard) -> Any:
        return read_table(self._path(file_path(shard.name, INDEX)), INDEX_SCHEMA, PLACE_COLUMNS)

    def span(self, shard: Shard, offset: int, size: int, parse: Callable[[bytes, int], T]) -> T:
        try:
            handle = self._tar(f"{self.root}/{shard.tar}")
            state = os.fstat(handle.number)
            data = os.pread(handle.number, size, offset)
        except OSError as error:
            raise missing(self.root, shard.tar, str(error.strerror)) from error
        return parse(data, hash((state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)))

    def stream(self, shard: Shard) -> BinaryIO:
        try:
            return self._path(shard.tar).open("rb")
        except OSError as error:
            raise missing(self.root, shard.tar, str(error.strerror)) from error

    def _path(self, path: str) -> Path:
        return Path(self.root) / path


class _Handle:
    """An open file that closes once nobody reads from it any more, also when others took its place in the cache."""

    def __init__(self, path: str) -> None:
        self.number = -1
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)
