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
from catalogs.recorded import FORMAT_VERSION, TABLES, family_rows, read_file, shard_row
from catalogs.shard_facts import ShardFacts, current_families, facts_of, makers
from catalogs.stamps import NOTHING, scan
from harmonize.errors import StoreError, UsageError
from harmonize.layout import LAYOUT_HASH
from harmonize.shards.names import TEMPORARY

NAME = "catalog.duckdb"
_LOCK = f"{NAME}.lock"
_BATCH_ROWS = 200_000
_MEMORY_LIMIT = "3GB"
_REBUILD_SHARE = 0.5
"""When more shards than this changed, the file is made anew: rows of one dataset lie together again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshResult:
    """What a refresh did, in shards, and how many samples the file holds now."""

    num_shards_added: int
    num_shards_changed: int
    num_shards_removed: int
    num_shards: int
    num_samples: int
    is_rebuilt: bool


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


def _refresh(root: Path, scratch: Path, on_progress: Callable[[int], None]) -> RefreshResult:
    recorded = read_file(root / NAME)
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
            con.execute("SET enable_progress_bar = false")  # it would get into a command's output
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
    con.execute(TABLES)
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
