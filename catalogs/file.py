"""The catalog file: `<store>/catalog.duckdb`, all that is narrow of a store in one table, so that questions are fast.

It is a cache. Each shard in it is known by size and time of its manifests, so a catalog that is opened later takes from
it what is still so and the rest from the shards themselves: the answers are the same without the file, only slower.

    about       version of this format, hash of the record's layout
    shards      what manifests say, and their stamps
    families    one row a shard and family: stamp, whether it is bound to the shard, who made it, whether it is shown
    folders     when each folder of attributes of a split last changed
    columns     the columns of each family, their names in `samples`, whether the family is wide (left in its own files)
    samples     one row a sample: the index but for `columns.RECORDS_ONLY`, and every narrow family beside it
    rejects     one row a person that was refused
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

from catalogs import parquet
from catalogs.columns import quoted
from catalogs.insert import insert
from catalogs.shard_facts import FamilyFacts, ShardFacts, current_families, facts_of, makers
from catalogs.stamps import NOTHING, OnDisk, Seen, scan
from harmonize.errors import StoreError, UsageError
from harmonize.layout import LAYOUT_HASH
from harmonize.shards.names import TEMPORARY

NAME = "catalog.duckdb"
FORMAT_VERSION = 1
_LOCK = f"{NAME}.lock"
_BATCH_ROWS = 200_000
_MEMORY_LIMIT = "3GB"
_REBUILD_SHARE = 0.5
"""When more shards than this changed, the file is made anew: rows of one dataset lie together again."""

_TABLES = """
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
class RefreshResult:
    """What a refresh did, in shards, and how many samples the file holds now."""

    num_shards_added: int
    num_shards_changed: int
    num_shards_removed: int
    num_shards: int
    num_samples: int
    is_rebuilt: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a catalog file knows. shown: the families of each shard whose values are in `samples`; seen: see `scan`."""

    seen: Seen
    shards: Mapping[str, ShardFacts]
    shown: Mapping[str, frozenset[str]]
    columns: Mapping[str, parquet.FamilyColumns]


def refresh(store: str | Path, on_progress: Callable[[int], None] | None = None) -> RefreshResult:
    """Bring the catalog file of a store up to date; make it when there is none. Readers keep the file they opened.

    on_progress is told how many more samples were taken over.

    Raises:
        UsageError: the path is no store, or another process is refreshing its catalog.
        StoreError: no finished shard, a file of the store is damaged, or the store cannot be written to.
    """
    root = Path(store).absolute()
    if not scan(root).shards:
        raise parquet.no_shards([root])
    scratch = root / f"{TEMPORARY}{NAME}"
    try:
        with _alone(root):
            try:
                return _refresh(root, scratch, on_progress or (lambda number: None))
            finally:
                _clean(scratch)
    except OSError as error:
        raise StoreError(
            f"{root / NAME}: cannot write ({error.strerror})",
            fix="free space or mend the permissions; the store can be queried without this file, only slower",
        ) from error


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


def _refresh(root: Path, scratch: Path, on_progress: Callable[[int], None]) -> RefreshResult:
    recorded = _recorded(root / NAME)
    seen = scan(root, NOTHING if recorded is None else recorded.seen)
    old = {} if recorded is None else recorded.shards
    facts = facts_of(root, seen.shards, old)
    made_by = makers(facts.values())
    shown = {shard: current_families(one, made_by) for shard, one in facts.items()}
    changed = [
        shard
        for shard in facts
        if shard in old
        and (facts[shard] is not old[shard] or recorded is None or recorded.shown[shard] != shown[shard])
    ]
    added = [shard for shard in facts if shard not in old]
    removed = [shard for shard in old if shard not in facts]
    columns = parquet.read_columns(root, facts.values(), shown)
    is_rebuilt = (
        recorded is None or columns != recorded.columns or len(changed) + len(removed) > _REBUILD_SHARE * len(old)
    )
    if is_rebuilt or added or changed or removed:
        _clean(scratch)
        if not is_rebuilt:
            shutil.copyfile(root / NAME, scratch)
        todo = list(facts) if is_rebuilt else sorted([*added, *changed])
        with duckdb.connect(scratch, config={"memory_limit": _MEMORY_LIMIT}) as con:
            if is_rebuilt:
                _create(con, columns, root, facts)
            else:
                _delete(con, [*changed, *removed])
            _fill(con, root, [facts[shard] for shard in todo], shown, columns, on_progress)
            con.execute("DELETE FROM folders")
            folders = [(split, *one) for split, found in seen.folders.items() for one in found.items()]
            insert(con, "folders", folders)
            con.execute("CHECKPOINT")
        scratch.replace(root / NAME)
    return RefreshResult(
        num_shards_added=len(added),
        num_shards_changed=len(changed),
        num_shards_removed=len(removed),
        num_shards=len(facts),
        num_samples=sum(one.num_samples for one in facts.values()),
        is_rebuilt=is_rebuilt,
    )


def _clean(scratch: Path) -> None:
    """Remove what a killed refresh left: its log would be replayed into the next file of that name."""
    for left in (scratch, scratch.with_name(f"{scratch.name}.wal")):
        left.unlink(missing_ok=True)


def _recorded(path: Path) -> Recorded | None:
    """What an existing file knows; None when there is none, or none that this code can use."""
    if not path.is_file():
        return None
    try:
        with duckdb.connect() as con:
            con.execute(f"ATTACH {parquet.literal(str(path))} AS file (READ_ONLY)")
            return load(con, "file")
    except duckdb.Error:
        return None


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    with (root / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"{root / NAME}: another process is refreshing it",
                fix="wait until it is done; the store can be queried in the meantime",
            ) from error
        yield


def _create(
    con: duckdb.DuckDBPyConnection,
    columns: Mapping[str, parquet.FamilyColumns],
    root: Path,
    facts: Mapping[str, ShardFacts],
) -> None:
    con.execute(_TABLES)
    con.execute("INSERT INTO about VALUES ($1, $2)", [FORMAT_VERSION, LAYOUT_HASH])
    insert(con, "columns", parquet.column_rows(columns))
    one = [next(iter(facts.values()))]
    with parquet.reading(partial(parquet.files_of, root, one, {one[0].shard: frozenset()}, {})):
        con.execute(f"CREATE TABLE samples AS {parquet.samples(root, one, {}, {})} LIMIT 0")
        con.execute(f"CREATE TABLE rejects AS {parquet.rejects(root, one)} LIMIT 0")
    for family in columns.values():
        for column in () if family.is_wide else family.columns:
            con.execute(f"ALTER TABLE samples ADD COLUMN {quoted(column.beside)} {column.type}")


def _delete(con: duckdb.DuckDBPyConnection, shards: Sequence[str]) -> None:
    for table in ("shards", "families", "samples", "rejects"):
        con.execute(f"DELETE FROM {table} WHERE shard IN (SELECT unnest($1::VARCHAR[]))", [list(shards)])


def _fill(
    con: duckdb.DuckDBPyConnection,
    root: Path,
    shards: Sequence[ShardFacts],
    shown: Mapping[str, frozenset[str]],
    columns: Mapping[str, parquet.FamilyColumns],
    on_progress: Callable[[int], None],
) -> None:
    for batch in _batches(shards):
        with parquet.reading(partial(parquet.files_of, root, batch, shown, columns)):
            parquet.check_keys(con, root, batch, shown, columns)
            sql = parquet.samples(root, batch, shown, columns)
            (num_rows,) = con.execute(f"INSERT INTO samples BY NAME {sql}").fetchone() or (0,)
            con.execute(f"INSERT INTO rejects BY NAME {parquet.rejects(root, batch)}")
        expected = sum(shard.num_samples for shard in batch)
        if num_rows != expected:
            raise StoreError(
                f"{root}: expected {expected} samples as in the manifests of {batch[0].shard} to {batch[-1].shard}, "
                f"found {num_rows}",
                fix="run `ehps verify` on the store",
            )
        insert(con, "shards", [shard_row(shard) for shard in batch])
        insert(con, "families", [row for shard in batch for row in family_rows(shard, shown[shard.shard])])
        on_progress(expected)


def _batches(shards: Sequence[ShardFacts]) -> Iterator[list[ShardFacts]]:
    """Shards in their order, as many at a time as can be held in memory."""
    batch: list[ShardFacts] = []
    num_rows = 0
    for shard in shards:
        if batch and num_rows + shard.num_samples > _BATCH_ROWS:
            yield batch
            batch, num_rows = [], 0
        batch.append(shard)
        num_rows += shard.num_samples
    if batch:
        yield batch


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
