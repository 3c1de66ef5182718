"""Attribute files and what binds them: to the shard they describe, to the code, and to everything else they depend on.

    <store>/<dataset>/<split>/attributes/<family>/<shard>.parquet   the values
                                                  <shard>.json      their manifest, written last
    <store>/attributes/<name>.parquet, <name>.json                  tables over the whole store (maps, duplicates)

A table without a manifest does not exist. One whose manifest names other inputs than those of today is stale: it is not
read, and `ehps describe` makes it again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harmonize.errors import StoreError
from harmonize.shards.manifest import canonical, digest
from harmonize.shards.names import TEMPORARY
from harmonize.whole import write_whole

FOLDER = "attributes"
TABLE, MANIFEST = ".parquet", ".json"
FORMAT_VERSION = 1
LEFTOVER_S = 3600.0
_ROW_GROUP = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeManifest:
    """What a table of attributes was made from, and what its file holds.

    inputs: name -> hash of each input (index and tar of the shard, tables of other families, people in the same
    pictures). code_sha256: the modules that computed it. facts: what all shards share (see `family.Prepared`).
    """

    family: str
    name: str
    inputs: Mapping[str, str]
    code_sha256: str
    facts: Mapping[str, Any]
    num_rows: int
    size: int
    sha256: str

    def to_bytes(self) -> bytes:
        """The manifest as its file holds it."""
        content = {"format_version": FORMAT_VERSION, **asdict(self)}
        return canonical({**content, "manifest_sha256": digest(content)})

    def is_made_from(self, inputs: Mapping[str, str], code_sha256: str, facts: Mapping[str, Any]) -> bool:
        """Whether exactly these inputs would give this table again."""
        return (dict(self.inputs), self.code_sha256, canonical(self.facts)) == (
            dict(inputs),
            code_sha256,
            canonical(facts),
        )


def folder_of(split_dir: Path, family: str) -> Path:
    """Where a family's files of a split lie."""
    return split_dir / FOLDER / family


def store_folder(store: Path) -> Path:
    """Where the tables over a whole store lie."""
    return Path(store) / FOLDER


def write(
    folder: Path,
    name: str,
    table: Any,
    *,
    family: str,
    inputs: Mapping[str, str],
    code_sha256: str,
    facts: Mapping[str, Any],
) -> AttributeManifest:
    """Write a table and then its manifest; each appears whole or not at all, and an old pair is gone before.

    Raises:
        StoreError: the disk is full or cannot be written to.
    """
    content = to_parquet(table)
    manifest = AttributeManifest(
        family=family,
        name=name,
        inputs=dict(inputs),
        code_sha256=code_sha256,
        facts=dict(facts),
        num_rows=table.num_rows,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}{MANIFEST}").unlink(missing_ok=True)
        write_whole(folder / f"{name}{TABLE}", content)
        write_whole(folder / f"{name}{MANIFEST}", manifest.to_bytes())
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot write ({error.strerror})",
            fix="free space or mend the permissions, then run the same command again: it goes on from here",
            path=str(folder),
        ) from error
    return manifest


def remove_leftovers(folder: Path) -> None:
    """Remove what killed runs left in a folder: temporary files that nobody has touched for LEFTOVER_S seconds."""
    for path in folder.glob(f"{TEMPORARY}*"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > LEFTOVER_S:
                path.unlink()


def to_parquet(table: Any) -> bytes:
    """The bytes of a table's file: same rows, same bytes; pages carry checksums."""
    sink = pa.BufferOutputStream()
    texts = [item.name for item in table.schema if item.type == pa.string()]
    pq.write_table(
        table,
        sink,
        row_group_size=_ROW_GROUP,
        use_dictionary=texts,
        write_page_checksum=True,
        compression="zstd",
        compression_level=3,
    )
    return bytes(sink.getvalue())


def read_manifest(folder: Path, name: str) -> AttributeManifest | None:
    """The manifest of a table; None when there is none.

    Raises:
        StoreError: it is damaged or of another version.
    """
    path = folder / f"{name}{MANIFEST}"
    try:
        content = json.loads(path.read_bytes())
        own_hash, version = content.pop("manifest_sha256"), content.get("format_version")
        if own_hash != digest(content) or version != FORMAT_VERSION:
            raise ValueError(f"its own hash does not hold, or its version is not {FORMAT_VERSION}")
        del content["format_version"]
        return AttributeManifest(**content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(path, str(error)) from error


def read_attributes(folder: Path, name: str, columns: Sequence[str] | None = None) -> Any:
    """The table of a shard (or store), or some of its columns. Its hash is `verify`'s business; pages are checked.

    Raises:
        StoreError: it is missing or damaged.
    """
    path = folder / f"{name}{TABLE}"
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read(columns=None if columns is None else list(columns))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, problem: str) -> StoreError:
    """The error for an attribute file that cannot be read."""
    return StoreError(
        f"{path}: not readable ({problem})",
        fix="remove it and run `ehps describe` on the store: it makes what is missing",
        path=str(path),
    )
