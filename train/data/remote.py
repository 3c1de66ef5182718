"""The files of a store behind a URL: s3://, gs://, http(s)://, file://, memory:// or whatever else fsspec knows.

Nothing is listed: a selection names its shards, so a plain web server is enough, as long as it answers byte ranges.
Manifests and, of each index, the columns that say where samples lie are fetched once and kept for good (some hundred
bytes a sample). Samples are fetched by one range request each and kept in the bounded `Cache`.

Nothing that comes back is trusted: a manifest holds its own hash and must be of the plan that the selection names, an
index must be the one the manifest vouches for, and a sample must have the hashes that the index says.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import fsspec
import pyarrow as pa

from catalogs.selection import ShardRef
from harmonize.errors import EhpsError, StoreError, UsageError
from harmonize.shards.index import INDEX_SCHEMA, PLACE_COLUMNS, read_table, to_parquet
from harmonize.shards.manifest import MAX_MANIFEST_BYTES, Manifest, check_layout, parse_manifest
from harmonize.shards.names import INDEX, MANIFEST
from train.data.cache import Cache
from train.data.files import Shard, file_path, missing

NUM_ATTEMPTS = 4
FIRST_PAUSE_S = 0.2
STREAM_BLOCK_BYTES = 8 << 20
_PLACES = pa.schema([INDEX_SCHEMA.field(name) for name in PLACE_COLUMNS])
_EXTRAS = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "http": "'fsspec[http]'",
    "https": "'fsspec[http]'",
}
T = TypeVar("T")


def is_url(store: Path | str) -> bool:
    """Whether a store is named by a URL rather than by a path."""
    return isinstance(store, str) and "://" in store


class Remote:
    """A store behind a URL; see `train.data.files.Files` for its methods.

    Raises:
        UsageError: no such kind of URL, or the package that speaks its protocol is not installed.
    """

    num_readers = 16  # waiting for answers, not working

    def __init__(self, url: str, cache: Cache) -> None:
        protocol = url.split("://", 1)[0]
        try:
            self._system, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            package = _EXTRAS.get(protocol, f"what fsspec needs for {protocol}")
            raise UsageError(f"{url}: {error}", fix=f"pip install {package}") from error
        except ValueError as error:
            raise UsageError(f"{url}: {error}", fix="give a folder, or a URL such as s3://bucket/store") from error
        self.root = url.rstrip("/")
        self._base = root.rstrip("/")
        self._cache = cache
        self._kept = cache.folder / "stores" / hashlib.sha256(self.root.encode()).hexdigest()[:16]
        self._kept.mkdir(parents=True, exist_ok=True)

    def manifest(self, ref: ShardRef) -> Manifest | None:
        path = file_path(ref.shard, MANIFEST)
        kept = self._kept / f"{ref.shard}{MANIFEST}"
        if kept.exists():
            try:
                manifest = parse_manifest(kept.read_bytes(), kept)
            except StoreError:
                kept.unlink(missing_ok=True)
            else:
                if manifest.plan_digest == ref.digest:
                    check_layout(manifest, Path(path))
                    return manifest
        try:
            data = self._get(path, 0, MAX_MANIFEST_BYTES)
        except FileNotFoundError:
            return None
        manifest = parse_manifest(data, Path(path))
        check_layout(manifest, Path(path))
        if manifest.plan_digest == ref.digest:
            self._cache.write_aside(data).replace(kept)
        return manifest

    def places(self, shard: Shard) -> Any:
        kept = self._kept / f"{shard.index_sha256}.parquet"
        if (table := _kept_places(kept)) is not None:
            return table
        with _locked(self._kept / f"{shard.index_sha256[:2]}.lock"):
            if (table := _kept_places(kept)) is not None:  # another process has fetched it meanwhile
                return table
            table = self._fetch_places(shard)
            self._cache.write_aside(to_parquet(table)).replace(kept)
        return table

    def span(self, shard: Shard, offset: int, size: int, parse: Callable[[bytes, int], T]) -> T:
        name = hashlib.sha256(f"{shard.tar_sha256} {offset} {size}".encode()).hexdigest()
        kept = self._cache.get(name)
        if kept is not None:
            try:
                return parse(kept, 0)
            except StoreError:
                self._cache.drop(name)  # a damaged copy says nothing about the shard: fetch it again
        try:
            data = self._get(shard.tar, offset, offset + size)
        except FileNotFoundError as error:
            raise missing(self.root, shard.tar, "no such file") from error
        except UsageError:
            self._check_size(shard)
            raise
        if len(data) != size:
            self._check_size(shard)
            raise UsageError(
                f"{self.root}: asked for {size} bytes of {shard.tar}, got {len(data)}: byte ranges are not served",
                fix="use a server that answers range requests, or stream the shards",
            )
        parsed = parse(data, 0)
        self._cache.put(name, data)
        return parsed

    def stream(self, shard: Shard) -> BinaryIO:
        try:
            return cast(
                BinaryIO,
                self._try(
                    shard.tar,
                    lambda path: self._system.open(path, "rb", block_size=STREAM_BLOCK_BYTES, cache_type="readahead"),
                ),
            )
        except FileNotFoundError as error:
            raise missing(self.root, shard.tar, "no such file") from error

    def _fetch_places(self, shard: Shard) -> Any:
        path = file_path(shard.name, INDEX)
        try:
            data = self._get(path)
        except FileNotFoundError as error:
            raise missing(self.root, path, "no such file") from error
        if hashlib.sha256(data).hexdigest() != shard.index_sha256:
            raise StoreError(
                f"{self.root}: {path}: its {len(data)} bytes are not those its manifest vouches for (sha256)",
                fix="copy the shard to the remote store again",
                path=path,
            )
        whole = self._cache.write_aside(data)
        try:
            return read_table(whole, INDEX_SCHEMA, PLACE_COLUMNS).replace_schema_metadata(None)
        finally:
            whole.unlink(missing_ok=True)

    def _get(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Bytes of a file; fewer than asked for where the file ends before.

        Raises:
            FileNotFoundError: there is none. UsageError: it cannot be reached.
        """
        data: bytes = self._try(path, lambda full: self._system.cat_file(full, start=start, end=end))
        return data

    def _try(self, path: str, work: Callable[[str], T]) -> T:
        for attempt in range(NUM_ATTEMPTS):
            try:
                return work(f"{self._base}/{path}")
            except (FileNotFoundError, EhpsError):
                raise
            except Exception as error:  # each of the backends has error classes of its own
                last = error
                if isinstance(error, PermissionError):
                    break
                if attempt + 1 < NUM_ATTEMPTS:
                    time.sleep(FIRST_PAUSE_S * 4**attempt)
        raise UsageError(
            f"{self.root}: {path}: cannot be reached: {type(last).__name__}: {last}",
            fix="check the address, the network, and that you may read there",
        ) from last

    def _check_size(self, shard: Shard) -> None:
        """Raises StoreError when the tar is not as long as its manifest says; does nothing where that is unknown."""
        try:
            found = self._system.size(f"{self._base}/{shard.tar}")
        except Exception:  # the error that led here says more
            return
        if found is not None and found != shard.tar_bytes:
            raise StoreError(
                f"{self.root}: {shard.tar}: expected {shard.tar_bytes} bytes as in its manifest, found {found}",
                fix="copy the shard to the remote store again",
                path=shard.tar,
            )


def _kept_places(path: Path) -> Any:
    """The table in a kept file; None when there is none or it was damaged."""
    if not path.exists():
        return None
    try:
        return read_table(path, _PLACES)
    except StoreError:
        path.unlink(missing_ok=True)
        return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Work that the processes of a machine would otherwise all do."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
