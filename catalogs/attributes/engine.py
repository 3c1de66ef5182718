"""Which shards lack a family's attributes, and the work for one of them. Plain functions; who runs them where is not
decided here.

    families = in_order(chosen)
    for family in families:
        work = plan(store, family, body_models)
        for job in work.pending: run(job)
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalogs.attributes import files
from catalogs.attributes.code import code_sha256
from catalogs.attributes.family import IDENTITY, Family, Prepared, Rows, Scope, to_table
from catalogs.attributes.people import people_digest, split_people
from harmonize.errors import StoreError, UsageError
from harmonize.shards.index import INDEX_SCHEMA, read_table
from harmonize.shards.manifest import Manifest
from harmonize.shards.names import INDEX, TAR, split_dir
from harmonize.shards.read import open_store

_PICTURE = ["picture_extension", "picture_offset", "picture_size"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardJob:
    """One family of one shard that is missing or stale. inputs: what its manifest will say; people: see `Rows`."""

    folder: Path
    shard: str
    num_rows: int
    family: Family
    prepared: Prepared
    inputs: Mapping[str, str]
    code_sha256: str
    people: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyWork:
    """What one family takes: the shards to do, how many are as they should be, and the names of those that have to wait
    for a family that this one follows."""

    family: Family
    pending: tuple[ShardJob, ...]
    num_current: int
    blocked: tuple[str, ...] = ()


def in_order(families: Sequence[Family]) -> list[Family]:
    """The families so that each comes after those it follows.

    Raises:
        UsageError: a family follows one that is not among them.
    """
    known = {family.name: family for family in families}
    ordered: dict[str, Family] = {}

    def visit(family: Family) -> None:
        for name in family.follows:
            if name not in known:
                raise UsageError(
                    f"attributes {family.name}: expected {name} too, found {', '.join(known)}",
                    fix=f"ehps describe STORE --attributes {name} {family.name}",
                )
            visit(known[name])
        ordered.setdefault(family.name, family)

    for family in families:
        visit(family)
    return list(ordered.values())


def shards_of(store: Path) -> list[tuple[Path, Manifest]]:
    """The folder and manifest of every finished shard.

    Raises:
        UsageError: there is none, or some are made with the stand-in and some are not.
        StoreError: a manifest is damaged or of another layout.
    """
    manifests = open_store(store).manifests()
    if not manifests:
        raise UsageError(f"{store}: no finished shard", fix=f"ehps ingest NAME --raw DIR --store {store}")
    if len({manifest.is_standin for manifest in manifests}) > 1:
        raise UsageError(
            f"{store}: some shards are made with the stand-in body and some with real models",
            fix="keep them in two stores: their bodies cannot be compared",
        )
    return [(split_dir(store, manifest.dataset, manifest.split), manifest) for manifest in manifests]


def scope_of(store: Path, shards: Sequence[tuple[Path, Manifest]], body_models: str | None) -> Scope:
    """What `prepare` may look at. body_models: None takes the stand-in for a store that was made with it."""
    is_standin = shards[0][1].is_standin
    return Scope(
        store=Path(store),
        body_models="standin" if is_standin and body_models is None else body_models,
        shards={manifest.name: folder for folder, manifest in shards},
    )


def plan(
    store: Path,
    family: Family,
    body_models: str | None = None,
    shards: Sequence[tuple[Path, Manifest]] | None = None,
) -> FamilyWork:
    """The shards of a store whose values of a family are missing or stale.

    shards: what `shards_of` gave, where several families are planned; None reads the manifests.

    Raises:
        UsageError: see `shards_of`; a family that this one follows has not been computed for any shard.
        StoreError: an index or an attribute manifest is damaged.
    """
    shards = shards_of(store) if shards is None else shards
    scope = scope_of(store, shards, body_models)
    prepared = family.prepare(scope)
    code = code_sha256(family.compute, family.prepare)
    splits: dict[Path, list[Manifest]] = defaultdict(list)
    for folder, manifest in shards:
        splits[folder].append(manifest)
    jobs: list[ShardJob] = []
    blocked: list[str] = []
    num_current = 0
    for folder, manifests in splits.items():
        files.remove_leftovers(files.folder_of(folder, family.name))
        everyone = split_people(folder, [one.name for one in manifests]) if family.reads_people else None
        for manifest in manifests:
            shard = manifest.name
            people = None if everyone is None else everyone.beside(shard)
            inputs = _inputs(family, folder, manifest, people)
            if inputs is None:
                blocked.append(shard)
                continue
            if is_current(files.folder_of(folder, family.name), shard, inputs, code, prepared.facts):
                num_current += 1
                continue
            jobs.append(
                ShardJob(
                    folder=folder,
                    shard=shard,
                    num_rows=manifest.num_samples,
                    family=family,
                    prepared=prepared,
                    inputs=inputs,
                    code_sha256=code,
                    people=people,
                )
            )
    if len(blocked) == len(shards):
        raise UsageError(
            f"attributes {family.name}: expected {', '.join(family.follows)} of {blocked[0]}, found none",
            fix=f"ehps describe STORE --attributes {' '.join(family.follows)}",
        )
    return FamilyWork(family=family, pending=tuple(jobs), num_current=num_current, blocked=tuple(blocked))


def is_current(folder: Path, name: str, inputs: Mapping[str, str], code: str, facts: Mapping[str, Any]) -> bool:
    """Whether a table is there and made from exactly this. A damaged one is not: it is made again."""
    try:
        manifest = files.read_manifest(folder, name)
    except StoreError:
        return False
    path = folder / f"{name}{files.TABLE}"
    return (
        manifest is not None
        and manifest.is_made_from(inputs, code, facts)
        and path.is_file()
        and path.stat().st_size == manifest.size
    )


def read_index(jobs: Sequence[ShardJob]) -> Any:
    """The columns of a shard's index that some families of it read, together.

    Raises:
        StoreError: the index is damaged.
    """
    wanted = list(IDENTITY)
    for job in jobs:
        wanted += [*job.family.reads, *(_PICTURE if job.family.reads_pictures else ())]
    return read_table(jobs[0].folder / f"{jobs[0].shard}{INDEX}", INDEX_SCHEMA, list(dict.fromkeys(wanted)))


def run(
    job: ShardJob, count: Callable[[int], None] = lambda number: None, index: Any = None
) -> files.AttributeManifest:
    """Compute and write one family of one shard; `count` is told the number of samples done.

    index: what `read_index` gave for this and other families of the shard; None reads it.

    Raises:
        StoreError: the shard or what the family follows is damaged, or the disk is full.
    """
    family = job.family
    index = read_index([job]) if index is None else index
    followed = {name: files.read_attributes(files.folder_of(job.folder, name), job.shard) for name in family.follows}
    for name, table in followed.items():
        if not table.column("key").equals(index.column("key")):
            raise files.damaged(files.folder_of(job.folder, name) / job.shard, "its keys are not those of the index")
    rows = Rows(
        shard=job.shard,
        table=index,
        people=job.people,
        families=followed,
        open_pictures=lambda: _pictures(job.folder / f"{job.shard}{TAR}", index, count),
    )
    table = to_table(family, rows, family.compute(rows, job.prepared.value))
    if not family.reads_pictures:
        count(len(rows))
    return files.write(
        files.folder_of(job.folder, family.name),
        job.shard,
        table,
        family=family.name,
        inputs=job.inputs,
        code_sha256=job.code_sha256,
        facts=job.prepared.facts,
    )


def _pictures(tar: Path, index: Any, count: Callable[[int], None]) -> Iterator[tuple[int, bytes, str]]:
    extensions, offsets, sizes = (index.column(name).to_pylist() for name in _PICTURE)
    with tar.open("rb") as file:
        for row, (extension, offset, size) in enumerate(zip(extensions, offsets, sizes, strict=True)):
            if extension:
                yield row, os.pread(file.fileno(), size, offset), extension
            count(1)


def _inputs(family: Family, folder: Path, manifest: Manifest, people: Any) -> dict[str, str] | None:
    """What the values of a shard are made from; None when a family that this one follows has none for it."""
    inputs = {"index": manifest.files[INDEX].sha256}
    if family.reads_pictures:
        inputs["tar"] = manifest.files[TAR].sha256
    if people is not None:
        inputs["people"] = people_digest(people)
    for name in family.follows:
        followed = files.read_manifest(files.folder_of(folder, name), manifest.name)
        if followed is None:
            return None
        inputs[f"attributes/{name}"] = followed.sha256
    return inputs
