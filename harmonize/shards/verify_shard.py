"""One shard read again: files against the manifest, members against the index, records against the gate.

A shard says everything twice: the tar holds vectors and strings, the index their columns. Where they differ, the
hashes say which file was altered, and the comparison says which sample and which field.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from harmonize.errors import EhpsError, StoreError
from harmonize.gate import Limits, check_stored
from harmonize.layout import LAYOUT, LAYOUT_VERSION, decode
from harmonize.record import Instance
from harmonize.shards.decode import decode_rgb, read_header
from harmonize.shards.index import (
    INDEX_SCHEMA,
    REJECTS_SCHEMA,
    damaged_columns,
    places_of,
    read_table,
    strings_of,
    vectors_of,
)
from harmonize.shards.manifest import Manifest
from harmonize.shards.names import INDEX, REJECTS, TAR
from harmonize.shards.spool import NPY_HEADER, from_npy
from harmonize.shards.summary import picture_methods, reject_counts, source_pictures, source_pictures_digest
from harmonize.shards.tars import END, Member, differences

_CHUNK = 1 << 20
_MAX_SAMPLE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it was written.

    path: the file, relative to the store. shard, sample, field: as far as they are known, else "". `field` is a field
    of the layout, a column, or a member of the sample. problem: what is wrong, with what was expected and found.
    """

    path: str
    shard: str = ""
    sample: str = ""
    field: str = ""
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A shard with a sound manifest. `path` is the folder and the name, without a suffix."""

    store: Path
    path: Path
    manifest: Manifest

    def file(self, suffix: str) -> Path:
        """One of its files."""
        return self.path.with_name(self.path.name + suffix)

    def finding(self, suffix: str, problem: str, *, sample: str = "", field: str = "") -> Finding:
        """A finding about one of its files."""
        path = self.file(suffix).relative_to(self.store).as_posix()
        return Finding(path=path, shard=self.path.name, sample=sample, field=field, problem=problem)


def check_shard_files(
    shard: Shard, *, decode_pictures: bool = False, on_progress: Callable[[int], None] | None = None
) -> Iterator[Finding]:
    """Everything that is wrong with the tar, the index and the rejects of a shard. Never raises on damaged content."""
    tell = on_progress or (lambda number: None)
    tables: dict[str, Any] = {}
    for suffix, schema in ((INDEX, INDEX_SCHEMA), (REJECTS, REJECTS_SCHEMA)):
        yield from _check_hash(shard, suffix, tell)
        try:
            tables[suffix] = read_table(shard.file(suffix), schema)
        except StoreError as error:
            yield shard.finding(suffix, _relative(error, shard))
            for column in damaged_columns(shard.file(suffix), schema):
                yield shard.finding(suffix, "the column cannot be read", field=column)
    if len(tables) == 2:
        yield from _check_counts(shard, tables[INDEX], tables[REJECTS])
    if INDEX in tables:
        yield from _check_tar(shard, tables[INDEX], decode_pictures, tell)
    else:
        yield from _check_hash(shard, TAR, tell)


def _relative(error: StoreError, shard: Shard) -> str:
    return str(error).replace(f"{shard.store}/", "")


def _check_hash(shard: Shard, suffix: str, tell: Callable[[int], None]) -> Iterator[Finding]:
    digest, size = hashlib.sha256(), 0
    try:
        with shard.file(suffix).open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                tell(len(chunk))
    except OSError as error:
        yield shard.finding(suffix, f"cannot be read ({error.strerror})")
        return
    yield from _compare(shard, suffix, size, digest.hexdigest())


def _compare(shard: Shard, suffix: str, size: int, sha256: str) -> Iterator[Finding]:
    entry = shard.manifest.files[suffix]
    if size != entry.size:
        yield shard.finding(suffix, f"expected {entry.size} bytes, found {size}")
    elif sha256 != entry.sha256:
        yield shard.finding(suffix, f"altered: expected sha256 {entry.sha256}, found {sha256}")


def _check_counts(shard: Shard, index: Any, rejects: Any) -> Iterator[Finding]:
    pictures = source_pictures(index, rejects)
    manifest = shard.manifest
    for name, stated, found in (
        ("num_samples", manifest.num_samples, index.num_rows),
        ("rejects", dict(manifest.rejects), reject_counts(rejects)),
        ("picture_methods", dict(manifest.picture_methods), picture_methods(index)),
        ("num_source_pictures", manifest.num_source_pictures, len(pictures)),
        ("source_pictures_sha256", manifest.source_pictures_sha256, source_pictures_digest(pictures)),
    ):
        if stated != found:
            yield shard.finding(INDEX, f"the manifest says {stated}, the tables say {found}", field=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Indexed:
    """What the index says of one sample."""

    key: str
    offset: int
    size: int
    members: Mapping[str, Member]
    vector: npt.NDArray[np.float32]
    strings: Mapping[str, Any]


def _check_tar(shard: Shard, index: Any, decode_pictures: bool, tell: Callable[[int], None]) -> Iterator[Finding]:
    """One pass over the tar, sample by sample, hashing the whole on the way."""
    try:
        vectors = vectors_of(index)
        limits = _limits(shard.manifest)
    except (ValueError, TypeError, AttributeError) as error:
        yield shard.finding(INDEX, f"does not describe records ({error})")
        yield from _check_hash(shard, TAR, tell)
        return
    digest, at, is_in_step = hashlib.sha256(), 0, True
    try:
        with shard.file(TAR).open("rb") as file:
            for (key, offset, size, members), vector, strings in zip(
                places_of(index), vectors, strings_of(index), strict=True
            ):
                row = _Indexed(key=key, offset=offset, size=size, members=members, vector=vector, strings=strings)
                if row.offset != at or not 0 < row.size <= _MAX_SAMPLE_BYTES:
                    yield shard.finding(INDEX, f"expected to begin at byte {at}, found {row.offset}", sample=row.key)
                    is_in_step = False
                    break
                span = file.read(row.size)
                digest.update(span)
                at += len(span)
                tell(len(span))
                yield from _check_sample(shard, row, span, limits, decode_pictures)
            rest, rest_digest = _read_rest(file, digest, tell)
    except OSError as error:
        yield shard.finding(TAR, f"cannot be read ({error.strerror})")
        return
    if is_in_step and (rest != len(END) or rest_digest != hashlib.sha256(END).hexdigest()):
        yield shard.finding(TAR, f"expected {len(END)} zero bytes behind the last sample, found {rest} bytes")
    yield from _compare(shard, TAR, at + rest, digest.hexdigest())


def _limits(manifest: Manifest) -> Limits:
    """What the shard was held against; limits that older code did not have, or ours no longer has, are left aside."""
    stated = manifest.plan.get("options", {}).get("limits", {})
    return Limits(**{item.name: stated[item.name] for item in fields(Limits) if item.name in stated})


def _read_rest(file: BinaryIO, digest: Any, tell: Callable[[int], None]) -> tuple[int, str]:
    size, own = 0, hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        own.update(chunk)
        size += len(chunk)
        tell(len(chunk))
    return size, own.hexdigest()


def _check_sample(shard: Shard, row: _Indexed, span: bytes, limits: Limits, decode_pictures: bool) -> Iterator[Finding]:
    damage = list(differences(row.key, span, row.offset, row.members))
    contents = {
        extension: span[member.offset - row.offset :][: member.size] for extension, member in row.members.items()
    }
    for extension, problem in damage:
        yield shard.finding(TAR, problem, sample=row.key, field=extension)
    if not {"npy", "json"} <= set(contents):
        yield shard.finding(INDEX, "expected the members npy and json", sample=row.key)
        return
    for field in _differing_fields(contents["npy"], row.vector):
        yield shard.finding(TAR, "vector and index differ", sample=row.key, field=field)
    try:
        strings = json.loads(contents["json"])
        expected = {**row.strings, "layout_version": LAYOUT_VERSION}
        for field in (field for field in sorted({*strings, *expected}) if strings.get(field) != expected.get(field)):
            yield shard.finding(TAR, "json and index differ", sample=row.key, field=field)
        if damage:
            return
        instance = decode(from_npy(contents["npy"]), strings)
        with np.errstate(all="ignore"):
            for violation in check_stored(instance, limits):
                problem = f"{violation.reason}: {violation.detail} {violation.numbers}"
                yield shard.finding(TAR, problem, sample=row.key)
        for problem in _picture_problems(instance, contents, decode_pictures):
            yield shard.finding(TAR, problem, sample=row.key, field="picture")
    except (EhpsError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        yield shard.finding(TAR, f"not a record ({error})", sample=row.key)


def _differing_fields(npy: bytes, expected: npt.NDArray[np.float32]) -> list[str]:
    """Fields of the layout whose bits differ; empty where the member is too short to tell."""
    if len(npy) != len(NPY_HEADER) + expected.nbytes:
        return []
    found = np.frombuffer(npy, "<u4", offset=len(NPY_HEADER))
    differs = found != expected.view(np.uint32)
    if not differs.any():
        return []
    return [column.name for column in LAYOUT if differs[column.start : column.stop].any()]


def _picture_problems(instance: Instance, contents: Mapping[str, bytes], decode_pictures: bool) -> Iterator[str]:
    pictures = {extension: data for extension, data in contents.items() if extension not in ("npy", "json")}
    if instance.image.has_pixels != bool(pictures):
        yield f"expected {'a' if instance.image.has_pixels else 'no'} picture, found {sorted(pictures) or 'none'}"
    for extension, data in pictures.items():
        header = read_header(data, f"{instance.key}.{extension}")
        expected, found = (instance.image.width_px, instance.image.height_px), (header.width_px, header.height_px)
        if expected != found:
            yield f"expected {expected} px, found {found} px"
        if decode_pictures:
            decode_rgb(data, header.format, f"{instance.key}.{extension}")
