"""One shard: from spooled samples and rejects to its four files, flushed to disk in the task's working folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harmonize.layout import LAYOUT_HASH, LAYOUT_VERSION, VECTOR_SIZE
from harmonize.shards.index import Row, StagedReject, index_table, rejects_table, to_parquet
from harmonize.shards.manifest import FORMAT_VERSION, FileEntry, Manifest
from harmonize.shards.names import INDEX, MANIFEST, REJECTS, SUFFIXES, TAR
from harmonize.shards.plan import Plan, Task
from harmonize.shards.spool import Sample, Spool, to_json, to_npy
from harmonize.shards.staging import flush, write_file
from harmonize.shards.summary import picture_methods, reject_counts, source_pictures, source_pictures_digest
from harmonize.shards.tars import END, sample_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardContent:
    """Who belongs in a shard: keys of samples (sorted), rejects, and how many were skipped."""

    number: int
    keys: Sequence[str]
    rejects: Sequence[StagedReject]
    num_skipped: int


def write_shard(scratch: Path, plan: Plan, task: Task, content: ShardContent, spool: Spool) -> dict[str, Path]:
    """Write the files of a shard into `scratch`; returns them by suffix.

    Raises:
        OSError: the disk is full or fails.
    """
    files = {suffix: scratch / f"{content.number:06d}{suffix}" for suffix in SUFFIXES}
    rows, vectors, tar_entry = _write_tar(files[TAR], content.keys, spool)
    index, rejects = index_table(rows, vectors), rejects_table(content.rejects)
    pictures = source_pictures(index, rejects)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        layout_version=LAYOUT_VERSION,
        layout_hash=LAYOUT_HASH,
        dataset=plan.dataset,
        split=plan.split,
        shard=content.number,
        num_shards=plan.num_shards,
        plan_digest=plan.digest,
        plan=plan.content,
        units=tuple(unit.id for unit in task.units),
        num_samples=len(rows),
        num_skipped=content.num_skipped,
        rejects=reject_counts(rejects),
        picture_methods=picture_methods(index),
        num_source_pictures=len(pictures),
        source_pictures_sha256=source_pictures_digest(pictures),
        files={
            TAR: tar_entry,
            INDEX: _write(files[INDEX], to_parquet(index)),
            REJECTS: _write(files[REJECTS], to_parquet(rejects)),
        },
    )
    write_file(files[MANIFEST], manifest.to_bytes())
    return files


def _write_tar(path: Path, keys: Sequence[str], spool: Spool) -> tuple[list[Row], np.ndarray, FileEntry]:
    rows, vectors, at = [], np.zeros((len(keys), VECTOR_SIZE), np.float32), 0
    whole = hashlib.sha256()
    with path.open("xb") as file:
        for i, key in enumerate(keys):
            sample = spool.get(key)
            vectors[i] = sample.vector
            data, members = sample_bytes(key, _contents(sample), at)
            whole.update(data)
            file.write(data)
            if sample.picture_extension:
                members["picture"] = members.pop(sample.picture_extension)
            rows.append(
                Row(
                    strings=sample.strings,
                    evidence=sample.evidence,
                    picture_extension=sample.picture_extension,
                    picture_method=sample.picture_method,
                    picture_detail=sample.picture_detail,
                    offset=at,
                    size=len(data),
                    members=members,
                )
            )
            at += len(data)
        whole.update(END)
        file.write(END)
        file.flush()
        flush(file.fileno())
    return rows, vectors, FileEntry(size=at + len(END), sha256=whole.hexdigest())


def _contents(sample: Sample) -> dict[str, bytes]:
    contents = {"npy": to_npy(sample.vector), "json": to_json(sample.strings)}
    if sample.picture_extension:
        contents[sample.picture_extension] = sample.picture
    return contents


def _write(path: Path, data: bytes) -> FileEntry:
    write_file(path, data)
    return FileEntry(size=len(data), sha256=hashlib.sha256(data).hexdigest())
