"""The catalog: SQL over one or more stores, as they are on disk at this moment.

    with open("STORE") as con:
        query(con, "SELECT dataset, count(*) FROM instances WHERE body_has_left_hand GROUP BY ALL")
        query(con, "@orientation")

Views, one row a sample: `instances` (the index without long arrays: fields of the record as `part_field`, provenance
under its plain names, `evidence_*`), `records` (every column of the index), one view for each attribute family that was
computed, and `samples` (instances and all narrow families side by side, their columns with the family's name before).
Others: `rejects`, `shards`, `datasets`, `attributes` (how far each family goes), `shard_attributes`, tables over the
whole store (`duplicates`, `overlaps`, `maps`), `runs`, `run_errors`, `selections`, and `published_*`, what others
measured.

A shard exists when its manifest exists, so a half-finished ingest is invisible and any number of readers may query
while shards are written. The list of shards is taken once, when the catalog is opened. Attributes that were made from
something else than the shard is today are not shown. What `catalog.duckdb` (see `file`) still knows rightly is taken
from there, the rest from the shards themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from catalogs import published, runs
from catalogs.answers import Table, named_queries, named_query, query, stream
from catalogs.insert import insert
from catalogs.names import describe_command
from catalogs.parquet import no_shards, without_glob
from catalogs.parts import Part, open_part
from catalogs.selection import Pool, ShardRef, Source
from catalogs.views import create_views, readable_files
from harmonize.errors import UsageError

__all__ = ["Table", "named_queries", "named_query", "open", "pool", "query", "stream"]

# Set one by one after the views are made. Only the files of the store stay readable; nothing can be attached, installed
# or loaded, and no setting can be changed back (DuckDB manual, "Securing DuckDB").
_LOCKS = (
    "SET allow_community_extensions = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    # A name in a query means a view, never a variable of the Python program.
    "python_enable_replacements": False,
    # DuckDB's folder for spilling stays writable for COPY even under the locks: have none.
    "temp_directory": "",
}
_NOTES = "CREATE TABLE notes (words VARCHAR[], note VARCHAR)"


def open(
    path: str | Path | Sequence[str | Path],
    *,
    read_only: bool = True,
    run_folders: Sequence[str | Path] = (),
    selection_files: Sequence[str | Path] = (),
) -> duckdb.DuckDBPyConnection:
    """A connection with the views and macros of the catalog over one store or several.

    read_only: DuckDB's own locks confine the connection to reading the stores' tables. SQL from outside should come
    through `query`, which also refuses statements other than SELECT: a COPY could still overwrite an index file. False
    leaves the connection unlocked, for code that exports results. run_folders, selection_files: what `runs`,
    `run_errors` and `selections` hold beside those in the folders `runs` and `selections` of the stores.

    Raises:
        UsageError: a path is no folder, or two stores hold the same shard.
        StoreError: there is no finished shard, or a manifest or table is damaged or of another layout.
    """
    stores = [Path(one).absolute() for one in ([path] if isinstance(path, str | Path) else path)]
    con = duckdb.connect(config=_CONFIG)
    con.execute("SET parquet_metadata_cache = true")  # footers of thousands of files are read once a connection
    con.execute("SET enable_progress_bar = false")  # it would get into answers on stdout
    try:
        parts = [open_part(con, store, f"file{number}") for number, store in enumerate(stores)]
        parts = [part for part in parts if part.shown]
        if not parts:
            raise no_shards(stores)
        _check_unique(parts)
        create_views(con, parts)
        published.create_views(con)
        problems = runs.create_tables(con, stores, list(map(Path, run_folders)), list(map(Path, selection_files)))
        _write_notes(con, parts, problems)
        if read_only:
            _lock(con, parts)
    except BaseException:
        con.close()
        raise
    return con


def pool(con: duckdb.DuckDBPyConnection, *, splits: Sequence[str] = ("train",)) -> Pool:
    """What can be chosen from: the splits of these names that have samples, and their shards with plan digests.

    Only training splits unless asked otherwise: what is evaluated on must not get into a mixture by default.

    Raises:
        UsageError: no dataset of the store has samples in these splits; the message lists those there are.
    """
    in_splits = "list_contains($splits, split) AND num_samples > 0"
    wanted = {"splits": list(splits)}
    sources = query(
        con, f"SELECT dataset, split, num_samples FROM datasets WHERE {in_splits} ORDER BY ALL", wanted
    ).rows
    shards = query(con, f"SELECT shard, plan_digest FROM shards WHERE {in_splits} ORDER BY shard", wanted).rows
    if not sources:
        found = query(con, "SELECT dataset || '/' || split FROM datasets WHERE num_samples > 0 ORDER BY ALL").rows
        raise UsageError(
            f"pool: expected samples in the splits {', '.join(splits)}, found {', '.join(row[0] for row in found)}",
            fix="ingest a training split, or name other splits",
        )
    return Pool(
        sources=tuple(Source(dataset=dataset, split=split, num_available=int(num)) for dataset, split, num in sources),
        shards=tuple(ShardRef(shard=shard, digest=digest) for shard, digest in shards),
    )


def _check_unique(parts: Sequence[Part]) -> None:
    seen: dict[str, Path] = {}
    for part in parts:
        for shard in part.shown:
            if shard in seen:
                raise UsageError(
                    f"shard {shard} is in two stores: {seen[shard]} and {part.root}",
                    fix="open one of them at a time, or leave a shard in one store only",
                )
            seen[shard] = part.root


def _write_notes(con: duckdb.DuckDBPyConnection, parts: Sequence[Part], problems: Sequence[str]) -> None:
    """What answers should be read with; words: names in the SQL that make a note apply."""
    narrow = {name for part in parts for name, found in part.columns.items() if not found.is_wide}
    of_samples = sorted({"samples", "instances", "rejects", *narrow})
    rows: list[tuple[Any, ...]] = [(of_samples, part.slow_note) for part in parts if part.slow_note]
    rows += [(["runs", "run_errors", "selections"], problem) for problem in problems]
    for part in parts:
        for family, found in part.columns.items():
            num_all, num_shown = len(part.shown), len(part.showing(part.shards, family))
            if num_shown < num_all:
                words = [family, *(column.beside for column in found.columns)]
                rows.append((words, _coverage(part, family, num_all - num_shown, num_all)))
    con.execute(_NOTES)
    insert(con, "notes", rows)


def _coverage(part: Part, family: str, num_lacking: int, num_all: int) -> str:
    num_stale = sum(family in shard.families and family not in part.shown[shard.shard] for shard in part.shards)
    stale = f", {num_stale} of them because what they describe has changed" if num_stale else ""
    return (
        f"{family}: {num_lacking} of {num_all} shards of {part.root} have no current values{stale}; "
        f"fix: {describe_command(str(part.root), family)}"
    )


def _lock(con: duckdb.DuckDBPyConnection, parts: Sequence[Part]) -> None:
    paths, folders = readable_files(parts)
    # DuckDB checks the name as it stands in the view as well as that of the file found.
    con.execute("SET allowed_paths = $1", [sorted({*paths, *map(without_glob, paths)})])
    if folders:
        con.execute("SET allowed_directories = $1", [sorted({*folders, *map(without_glob, folders)})])
    for lock in _LOCKS:
        con.execute(lock)
