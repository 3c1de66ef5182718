"""The views of a catalog: names for what its parts hold, wherever the rows come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files

import duckdb

from catalogs import parquet
from catalogs.columns import IDENTITY, listed, quoted
from catalogs.insert import insert
from catalogs.parts import Part
from catalogs.shard_facts import ShardFacts
from catalogs.stamps import ATTRIBUTES
from harmonize.shards.names import INDEX, MANIFEST

SQL = files("catalogs") / "sql"
MACROS = ("rotations.sql", "cells.sql", "distances.sql", "histograms.sql")
MAP = "map_"
"""How the names of tables of 2-D maps begin."""

_TABLES = """
CREATE TABLE shards (
    store VARCHAR, shard VARCHAR, dataset VARCHAR, split VARCHAR, num_samples BIGINT, num_rejects BIGINT,
    num_skipped BIGINT, num_bytes BIGINT, is_standin BOOLEAN, plan_digest VARCHAR
);
CREATE TABLE shard_attributes (shard VARCHAR, family VARCHAR, state VARCHAR);
CREATE SCHEMA internal;
CREATE TABLE internal.replaced (file VARCHAR, shard VARCHAR);
"""


def create_views(con: duckdb.DuckDBPyConnection, parts: Sequence[Part]) -> None:
    """Tables `shards` and `shard_attributes`, and the views of everything that lies in the stores.

    Raises:
        StoreError: a Parquet file that has to be looked at is damaged.
    """
    con.execute(_TABLES)
    for part in parts:
        _fill(con, part)
    with parquet.reading(lambda: readable_files(parts)[0]):
        _view(con, "instances", [sql for part in parts for sql in _instances(part)])
        _view(con, "samples", [sql for part in parts for sql in _samples(part)])
        _view(con, "rejects", [sql for part in parts for sql in _rejects(part)])
        _view(con, "records", [parquet.instances(part.root, part.shards, is_long=True) for part in parts])
        for family in sorted({family for part in parts for family in part.columns}):
            _view(con, family, [sql for part in parts for sql in _family(part, family)])
        for name, paths in store_tables(parts).items():
            _view(con, name, [f"SELECT * FROM {parquet.read([path])}" for path in paths])
        maps = {name: paths for name, paths in store_tables(parts).items() if name.startswith(MAP)}
        if maps:
            _view(con, "maps", [_map(name, path) for name, paths in maps.items() for path in paths])
    for script in ("datasets.sql", "attributes.sql", *MACROS):
        con.execute((SQL / script).read_text(encoding="utf-8"))


def store_tables(parts: Iterable[Part]) -> dict[str, list[str]]:
    """The tables over whole stores (maps, duplicates, overlaps) by name: those with a manifest."""
    found: dict[str, list[str]] = {}
    for part in parts:
        for path in sorted((part.root / ATTRIBUTES).glob(f"*{INDEX}")):
            if path.with_suffix(MANIFEST).is_file():
                found.setdefault(path.stem, []).append(str(path))
    return found


def readable_files(parts: Iterable[Part]) -> tuple[list[str], list[str]]:
    """The files, and the folders of files, that the views read."""
    paths = [path for found in store_tables(parts).values() for path in found]
    folders = []
    for part in parts:
        paths += [parquet.index_path(part.root, shard) for shard in part.shards]
        paths += [parquet.rejects_path(part.root, shard) for shard in part.loose]
        splits = {shard.on_disk.folder for shard in part.shards}
        for family, found in part.columns.items():
            if found.is_wide:  # thousands of paths take DuckDB half a second; these folders hold nothing else
                folders += [parquet.family_folder(part.root, split, family) for split in splits]
            else:
                showing = part.showing(part.loose, family)
                paths += [parquet.family_path(part.root, shard, family) for shard in showing]
    return paths, folders


def _fill(con: duckdb.DuckDBPyConnection, part: Part) -> None:
    insert(con, "shards", [(str(part.root), *_shard_row(shard)) for shard in part.shards])
    insert(con, "internal.replaced", [(part.alias, shard) for shard in part.replaced])
    states = [
        (shard.shard, family, "current" if family in part.shown[shard.shard] else "stale")
        for shard in part.loose
        for family in shard.families
    ]
    insert(con, "shard_attributes", states)
    if part.kept:
        con.execute(
            "INSERT INTO shard_attributes SELECT shard, family, if(is_shown, 'current', 'stale') "
            f"FROM {part.alias}.families{_still(part)}"
        )


def _shard_row(shard: ShardFacts) -> tuple[object, ...]:
    return (
        *(shard.shard, shard.on_disk.dataset, shard.on_disk.split, shard.num_samples, shard.num_rejects),
        *(shard.num_skipped, shard.num_bytes, shard.is_standin, shard.plan_digest),
    )


def _instances(part: Part) -> list[str]:
    found = []
    if part.kept:
        found.append(_of_file(part, "samples", part.attributes_in_file))
    if part.loose:
        found.append(parquet.instances(part.root, part.loose))
    return found


def _samples(part: Part) -> list[str]:
    found = []
    if part.kept:
        found.append(_of_file(part, "samples", part.dropped))
    if part.loose:
        found.append(parquet.samples(part.root, part.loose, part.shown, part.columns))
    return found


def _rejects(part: Part) -> list[str]:
    found = []
    if part.kept:
        found.append(_of_file(part, "rejects", ()))
    if part.loose:
        found.append(parquet.rejects(part.root, part.loose))
    return found


def _family(part: Part, family: str) -> list[str]:
    if family not in part.columns:
        return []
    columns = part.columns[family]
    if columns.is_wide:
        return [parquet.family(part.root, part.showing(part.shards, family), family)]
    found = []
    kept, loose = part.showing(part.kept, family), part.showing(part.loose, family)
    if kept:
        named = ", ".join(f"{quoted(column.beside)} AS {quoted(column.name)}" for column in columns.columns)
        sql = f"SELECT {listed(IDENTITY)}, {named} FROM {part.alias}.samples{_still(part)}"
        if len(kept) < len(part.kept):
            shown = f"SELECT shard FROM shard_attributes WHERE family = {parquet.literal(family)} AND state = 'current'"
            sql += f"{' AND' if part.replaced else ' WHERE'} shard IN ({shown})"
        found.append(sql)
    if loose:
        found.append(parquet.family(part.root, loose, family))
    return found


def _map(name: str, path: str) -> str:
    map_name = parquet.literal(name.removeprefix(MAP))
    return f"SELECT {map_name} AS map, key, dataset, split, x, y FROM {parquet.read([path])}"


def _of_file(part: Part, table: str, left_out: Sequence[str]) -> str:
    exclude = f" EXCLUDE ({listed(left_out)})" if left_out else ""
    return f"SELECT *{exclude} FROM {part.alias}.{table}{_still(part)}"


def _still(part: Part) -> str:
    """The condition that leaves out rows of the file that no longer hold."""
    if not part.replaced:
        return ""
    return f" WHERE shard NOT IN (SELECT shard FROM internal.replaced WHERE file = {parquet.literal(part.alias)})"


def _view(con: duckdb.DuckDBPyConnection, name: str, selects: Sequence[str]) -> None:
    con.execute(f"CREATE VIEW {quoted(name)} AS {' UNION ALL BY NAME '.join(selects)}")
