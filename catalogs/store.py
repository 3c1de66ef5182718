"""The catalog: SQL over the index files of one or more stores, as they are on disk at this moment.

    with open("STORE") as con:
        query(con, "SELECT dataset, count(*) FROM instances WHERE body_has_left_hand GROUP BY ALL")
        query(con, "@orientation")

Views: `instances` (one row a sample: every field of the record as `part_field`, provenance under its plain names,
where its bytes lie, `evidence_*`), `rejects`, `shards`, `datasets`. A shard exists when its manifest exists, so a
half-finished ingest is invisible and any number of readers may query while shards are written. The list of shards is
taken once, when the catalog is opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb

from catalogs.selection import Pool, ShardRef, Source
from harmonize.errors import StoreError, UsageError
from harmonize.shards.manifest import Manifest, check_layout, read_manifest
from harmonize.shards.names import INDEX, MANIFEST, REJECTS, parse_shard_name, shard_name

_SQL = files("catalogs") / "sql"
_QUERIES = _SQL / "queries"

# Set one by one after the views are made. Only the index files of the store stay readable; nothing can be attached,
# installed or loaded, and no setting can be changed back (DuckDB manual, "Securing DuckDB").
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


@dataclass(frozen=True, slots=True)
class Table:
    """The answer to a query: names of the columns and rows in their order."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class _Shard:
    store: Path
    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return shard_name(self.manifest.dataset, self.manifest.split, self.manifest.shard)


def open(path: str | Path | Sequence[str | Path], *, read_only: bool = True) -> duckdb.DuckDBPyConnection:
    """A connection with the views and macros of the catalog over one store or several.

    read_only: DuckDB's own locks confine the connection to reading the stores' index files. SQL from outside should
    come through `query`, which also refuses statements other than SELECT: a COPY could still overwrite an index file.
    False leaves the connection unlocked, for code that exports results.

    Raises:
        UsageError: a path is no folder, or two stores hold the same shard.
        StoreError: there is no finished shard, or a manifest is damaged or of another layout.
    """
    stores = [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
    shards = [shard for store in stores for shard in _finished_shards(store.absolute())]
    if not shards:
        raise StoreError(
            f"no finished shard under {', '.join(map(str, stores))}: expected DATASET/SPLIT/*{MANIFEST}, found none",
            fix=f"ehps ingest NAME --raw DIR --store {stores[0] if stores else 'DIR'}",
        )
    _check_unique(shards)
    con = duckdb.connect(config=_CONFIG)
    _create_shards(con, shards)
    paths = {suffix: [str(shard.folder / f"{shard.name}{suffix}") for shard in shards] for suffix in (INDEX, REJECTS)}
    try:
        for view, suffix in (("instances", INDEX), ("rejects", REJECTS)):
            listed = ", ".join(_literal(_without_glob(path)) for path in paths[suffix])
            con.execute(
                f"CREATE VIEW {view} AS SELECT * EXCLUDE (filename), "
                f"parse_filename(filename)[: {-len(suffix) - 1}] AS shard "
                f"FROM read_parquet([{listed}], filename = true)"
            )
    except duckdb.Error as error:
        con.close()
        raise _unreadable(error) from error
    for script in ("rotations.sql", "histograms.sql"):
        con.execute((_SQL / script).read_text(encoding="utf-8"))
    if read_only:
        # DuckDB checks the name as it stands in the view as well as that of the file found.
        allowed = {name for suffix in paths for path in paths[suffix] for name in (path, _without_glob(path))}
        con.execute(f"SET allowed_paths = [{', '.join(map(_literal, sorted(allowed)))}]")
        for lock in _LOCKS:
            con.execute(lock)
    return con


def query(con: duckdb.DuckDBPyConnection, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> Table:
    """The answer to one SELECT (or FROM, WITH, DESCRIBE, SUMMARIZE ...), or to the named query `@name`.

    Raises:
        UsageError: not one SELECT, no such named query, or refused by DuckDB (syntax, names, files outside the store).
        StoreError: an index file was replaced, removed or damaged since the catalog was opened.
    """
    if sql.startswith("@"):
        sql = named_query(sql[1:])
    try:
        kinds = [statement.type for statement in con.extract_statements(sql)]
        if kinds != [duckdb.StatementType.SELECT]:
            found = ", ".join(kind.name for kind in kinds) or "none"
            raise UsageError(f"query: expected one SELECT statement, found {found}", fix="see `ehps query --help`")
        cursor = con.cursor().execute(sql, params)
        columns = tuple(column[0] for column in cursor.description or ())
        return Table(columns, tuple(cursor.fetchall()))
    except duckdb.PermissionException as error:
        # DuckDB looks for a folder in the place of a file that is gone, which the locks forbid.
        if gone := _vanished(con):
            raise _unreadable(f"{gone} is gone") from error
        raise UsageError(f"query: only the views of the catalog can be read: {error}") from error
    except (duckdb.IOException, duckdb.InternalException) as error:
        raise _unreadable(error) from error
    except duckdb.Error as error:
        raise UsageError(f"query: {error}") from error


def named_queries() -> dict[str, str]:
    """Name and one-line description of each named query, sorted by name."""
    texts = {entry.name.removesuffix(".sql"): entry.read_text(encoding="utf-8") for entry in _QUERIES.iterdir()}
    return {name: texts[name].splitlines()[0].removeprefix("-- ") for name in sorted(texts)}


def named_query(name: str) -> str:
    """The SQL of a named query.

    Raises:
        UsageError: there is none of that name; the message lists them.
    """
    known = named_queries()
    if name not in known:
        raise UsageError(f"query: no named query {name!r}; expected one of {', '.join('@' + one for one in known)}")
    return (_QUERIES / f"{name}.sql").read_text(encoding="utf-8")


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


def _finished_shards(store: Path) -> list[_Shard]:
    if not store.is_dir():
        raise UsageError(f"{store}: expected the folder of a store, found none", fix="check the path of the store")
    shards = []
    for path in sorted(store.glob(f"*/*/*{MANIFEST}")):
        named = parse_shard_name(path.name.removesuffix(MANIFEST))
        if named is None or named[:2] != (path.parent.parent.name, path.parent.name):
            continue
        manifest = read_manifest(path)
        check_layout(manifest, path)
        if named != (manifest.dataset, manifest.split, manifest.shard):
            raise StoreError(
                f"{path}: expected the manifest of this shard, found that of "
                f"{shard_name(manifest.dataset, manifest.split, manifest.shard)}",
                fix="run `ehps ingest` again for this split",
            )
        shards.append(_Shard(store, path.parent, manifest))
    return shards


def _check_unique(shards: Sequence[_Shard]) -> None:
    seen: dict[str, _Shard] = {}
    for shard in shards:
        other = seen.setdefault(shard.name, shard)
        if other is not shard:
            raise UsageError(
                f"shard {shard.name} is in two stores: {other.store} and {shard.store}",
                fix="open one of them at a time, or leave a shard in one store only",
            )


def _create_shards(con: duckdb.DuckDBPyConnection, shards: Sequence[_Shard]) -> None:
    columns: dict[str, tuple[str, list[Any]]] = {
        "store": ("VARCHAR", [str(shard.store) for shard in shards]),
        "shard": ("VARCHAR", [shard.name for shard in shards]),
        "dataset": ("VARCHAR", [shard.manifest.dataset for shard in shards]),
        "split": ("VARCHAR", [shard.manifest.split for shard in shards]),
        "num_samples": ("BIGINT", [shard.manifest.num_samples for shard in shards]),
        "num_rejects": ("BIGINT", [shard.manifest.num_rejects for shard in shards]),
        "num_skipped": ("BIGINT", [shard.manifest.num_skipped for shard in shards]),
        "num_bytes": ("BIGINT", [sum(file.size for file in s.manifest.files.values()) for s in shards]),
        "is_standin": ("BOOLEAN", [shard.manifest.is_standin for shard in shards]),
        "plan_digest": ("VARCHAR", [shard.manifest.plan_digest for shard in shards]),
    }
    listed = ", ".join(f"unnest(${name}::{kind}[]) AS {name}" for name, (kind, _) in columns.items())
    con.execute(f"CREATE TABLE shards AS SELECT {listed}", {name: values for name, (_, values) in columns.items()})
    con.execute((_SQL / "datasets.sql").read_text(encoding="utf-8"))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _without_glob(path: str) -> str:
    """The path with each character that DuckDB would expand put into a class of its own."""
    return re.sub(r"[*?\[]", r"[\g<0>]", path)


def _vanished(con: duckdb.DuckDBPyConnection) -> Path | None:
    rows = con.cursor().execute("SELECT store, dataset, split, shard FROM shards").fetchall()
    paths = (Path(store) / dataset / split / f"{shard}{INDEX}" for store, dataset, split, shard in rows)
    return next((path for path in paths if not path.exists()), None)


def _unreadable(error: duckdb.Error | str) -> StoreError:
    return StoreError(
        f"an index file cannot be read: {error}",
        fix="if shards are being written, open the catalog again; otherwise run `ehps verify`",
    )
