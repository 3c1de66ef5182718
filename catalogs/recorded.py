"""What a catalog file remembers of the shards in it: enough to know later which of its rows still hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from catalogs import parquet
from catalogs.shard_facts import FamilyFacts, ShardFacts
from catalogs.stamps import OnDisk, Seen
from harmonize.layout import LAYOUT_HASH

FORMAT_VERSION = 1
TABLES = """
CREATE TABLE about (format_version INTEGER, layout_hash VARCHAR);
CREATE TABLE shards (
    shard VARCHAR, dataset VARCHAR, split VARCHAR, manifest_size BIGINT, manifest_mtime_ns BIGINT, num_samples BIGINT,
    num_rejects BIGINT, num_skipped BIGINT, num_bytes BIGINT, is_standin BOOLEAN, plan_digest VARCHAR
);
CREATE TABLE families (
    shard VARCHAR, family VARCHAR, size BIGINT, mtime_ns BIGINT, is_bound BOOLEAN, made_by VARCHAR, is_shown BOOLEAN
);
CREATE TABLE folders (split VARCHAR, family VARCHAR, mtime_ns BIGINT);
CREATE TABLE columns (family VARCHAR, name VARCHAR, beside VARCHAR, type VARCHAR, is_wide BOOLEAN);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a catalog file knows. shown: the families of each shard whose values are in `samples`; seen: see `scan`."""

    seen: Seen
    shards: Mapping[str, ShardFacts]
    shown: Mapping[str, frozenset[str]]
    columns: Mapping[str, parquet.FamilyColumns]


def load(con: duckdb.DuckDBPyConnection, alias: str) -> Recorded | None:
    """What the attached catalog file knows; None when it is of another version.

    Raises:
        duckdb.Error: it is damaged or not a catalog.
    """
    about = con.execute(f"SELECT format_version, layout_hash FROM {alias}.about").fetchall()
    if about != [(FORMAT_VERSION, LAYOUT_HASH)]:
        return None
    families: dict[str, dict[str, FamilyFacts]] = {}
    shown: dict[str, set[str]] = {}
    for shard, family, size, mtime_ns, is_bound, made_by, is_shown in con.execute(
        f"FROM {alias}.families ORDER BY shard, family"
    ).fetchall():
        families.setdefault(shard, {})[family] = FamilyFacts((size, mtime_ns), is_bound, made_by)
        if is_shown:
            shown.setdefault(shard, set()).add(family)
    shards = {}
    for shard, dataset, split, size, mtime_ns, *numbers in con.execute(f"FROM {alias}.shards").fetchall():
        found = families.get(shard, {})
        on_disk = OnDisk(dataset, split, (size, mtime_ns), {name: facts.stamp for name, facts in found.items()})
        shards[shard] = _facts(shard, on_disk, found, *numbers)
    columns = parquet.group_columns(con.execute(f"FROM {alias}.columns").fetchall())
    folders: dict[str, dict[str, int]] = {}
    for split, family, mtime_ns in con.execute(f"FROM {alias}.folders").fetchall():
        folders.setdefault(split, {})[family] = mtime_ns
    return Recorded(
        seen=Seen({shard: one.on_disk for shard, one in shards.items()}, folders),
        shards=shards,
        shown={shard: frozenset(shown.get(shard, ())) for shard in shards},
        columns=columns,
    )


def _facts(
    shard: str,
    on_disk: OnDisk,
    families: Mapping[str, FamilyFacts],
    num_samples: int,
    num_rejects: int,
    num_skipped: int,
    num_bytes: int,
    is_standin: bool,
    plan_digest: str,
) -> ShardFacts:
    return ShardFacts(
        shard=shard,
        on_disk=on_disk,
        num_samples=num_samples,
        num_rejects=num_rejects,
        num_skipped=num_skipped,
        num_bytes=num_bytes,
        is_standin=is_standin,
        plan_digest=plan_digest,
        families=families,
    )


def read_file(path: Path) -> Recorded | None:
    """What an existing file knows; None when there is none, or none that this code can use."""
    if not path.is_file():
        return None
    try:
        with duckdb.connect() as con:
            con.execute(f"ATTACH {parquet.literal(str(path))} AS file (READ_ONLY)")
            return load(con, "file")
    except duckdb.Error:
        return None


def shard_row(shard: ShardFacts) -> tuple[object, ...]:
    """A row of the table `shards`."""
    on_disk = shard.on_disk
    return (
        *(shard.shard, on_disk.dataset, on_disk.split, *on_disk.manifest),
        *(shard.num_samples, shard.num_rejects, shard.num_skipped, shard.num_bytes),
        *(shard.is_standin, shard.plan_digest),
    )


def family_rows(shard: ShardFacts, shown: frozenset[str]) -> list[tuple[object, ...]]:
    """The rows of the table `families`."""
    return [
        (shard.shard, family, *facts.stamp, facts.is_bound, facts.made_by, family in shown)
        for family, facts in shard.families.items()
    ]
