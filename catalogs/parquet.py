"""SQL over the Parquet files of shards: the index, the rejects, and the tables of attribute families."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

from catalogs.columns import IDENTITY, RECORDS_ONLY, beside, listed, quoted
from catalogs.shard_facts import ShardFacts
from catalogs.stamps import ATTRIBUTES
from harmonize.errors import StoreError
from harmonize.shards.names import INDEX, MANIFEST, REJECTS

Shown = Mapping[str, frozenset[str]]
"""The families of each shard whose values can be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a family. beside: its name in `samples`; type: DuckDB's."""

    name: str
    beside: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyColumns:
    """The columns of a family but for `columns.IDENTITY`. is_wide: they are left in the family's own files."""

    columns: tuple[Column, ...]
    is_wide: bool


Columns = Mapping[str, FamilyColumns]
_NAMED = re.compile(r"""["'](/[^"']+\.parquet)["']""")


def read_columns(root: Path, shards: Iterable[ShardFacts], shown: Shown) -> dict[str, FamilyColumns]:
    """The columns of every family that some shard shows, sorted by family, each from one of its files.

    Raises:
        StoreError: that file is damaged.
    """
    examples: dict[str, ShardFacts] = {}
    for shard in shards:
        for family in shown[shard.shard]:
            examples.setdefault(family, shard)
    if not examples:
        return {}
    from catalogs.attributes import FAMILIES  # pyarrow, which a store without attributes does not need

    found = {}
    with duckdb.connect() as con:
        for family in sorted(examples):
            path = family_path(root, examples[family], family)
            with reading(partial(list, [path])):
                rows = con.execute(f"DESCRIBE SELECT * FROM {read([path])}").fetchall()
            columns = tuple(
                Column(name=row[0], beside=beside(family, row[0]), type=row[1])
                for row in rows
                if row[0] not in IDENTITY
            )
            known = FAMILIES.get(family)
            found[family] = FamilyColumns(columns=columns, is_wide=known is None or known.is_wide)
    return found


def instances(root: Path, shards: Sequence[ShardFacts], *, is_long: bool = False) -> str:
    """The rows of the index of these shards and the name of the shard; is_long: with every column."""
    left_out = listed(["filename", *(() if is_long else RECORDS_ONLY)])
    paths = [index_path(root, shard) for shard in shards]
    return f"SELECT * EXCLUDE ({left_out}), {_shard(INDEX)} FROM {read(paths, 'filename = true')}"


def rejects(root: Path, shards: Sequence[ShardFacts]) -> str:
    """The people of these shards that were refused."""
    paths = [rejects_path(root, shard) for shard in shards]
    return f"SELECT * EXCLUDE (filename), {_shard(REJECTS)} FROM {read(paths, 'filename = true')}"


def _family(root: Path, shards: Sequence[ShardFacts], name: str) -> str:
    return read([family_path(root, shard, name) for shard in shards], "filename = true")


def family(root: Path, shards: Sequence[ShardFacts], name: str) -> str:
    """The table of a family of these shards, all of which show it."""
    return f"SELECT * FROM {read([family_path(root, shard, name) for shard in shards])}"


def samples(root: Path, shards: Sequence[ShardFacts], shown: Shown, columns: Columns) -> str:
    """`instances`, and beside each row the values of every narrow family that its shard shows."""
    select, tables = ["i.*"], [f"({instances(root, shards)}) i"]
    for number, (name, found) in enumerate(columns.items()):
        having = [shard for shard in shards if name in shown[shard.shard]]
        if found.is_wide or not having:
            continue
        table = f"f{number}"
        select += [f"{table}.{quoted(column.name)} AS {quoted(column.beside)}" for column in found.columns]
        values = f"SELECT * EXCLUDE (filename), {_shard(INDEX)} FROM {_family(root, having, name)}"
        tables.append(f"LEFT JOIN ({values}) {table} ON i.shard = {table}.shard AND i.key = {table}.key")
    return f"SELECT {', '.join(select)} FROM {' '.join(tables)}"


def check_keys(
    con: duckdb.DuckDBPyConnection, root: Path, shards: Sequence[ShardFacts], shown: Shown, columns: Columns
) -> None:
    """Raises StoreError when a family has values of samples that are not in the shard, or two of one sample."""
    index = f"SELECT {_shard(INDEX)}, key FROM {read([index_path(root, shard) for shard in shards], 'filename = true')}"
    for name, found in columns.items():
        having = [shard for shard in shards if name in shown[shard.shard]]
        if found.is_wide or not having:
            continue
        alien = con.execute(
            f"SELECT filename, key FROM (SELECT filename, {_shard(INDEX)}, key FROM {_family(root, having, name)}) "
            f"WHERE (shard, key) NOT IN ({index}) LIMIT 1"
        ).fetchone()
        if alien is not None:
            raise _damaged(alien[0], f"its sample {alien[1]} is not in the index of the shard")


def read(paths: Sequence[str], options: str = "") -> str:
    """The table function over these files, given by absolute paths."""
    # One literal is parsed ten times faster than a list of thousands; no absolute path holds two slashes in a row.
    joined = without_glob("//".join(paths))
    return f"read_parquet(string_split({literal(joined)}, '//'){', ' if options else ''}{options})"


def files_of(root: Path, shards: Iterable[ShardFacts], shown: Shown, columns: Columns) -> Iterator[str]:
    """The files of some shards that narrow tables are made from."""
    for shard in shards:
        yield index_path(root, shard)
        yield rejects_path(root, shard)
        yield from (family_path(root, shard, name) for name in shown[shard.shard] if not columns[name].is_wide)


def index_path(root: Path, shard: ShardFacts) -> str:
    """The index file of a shard."""
    return f"{root}/{shard.on_disk.folder}/{shard.shard}{INDEX}"


def rejects_path(root: Path, shard: ShardFacts) -> str:
    """The reject file of a shard."""
    return f"{root}/{shard.on_disk.folder}/{shard.shard}{REJECTS}"


def family_folder(root: Path, folder: str, name: str) -> str:
    """Where the files of a family of a split lie."""
    return f"{root}/{folder}/{ATTRIBUTES}/{name}"


def family_path(root: Path, shard: ShardFacts, name: str) -> str:
    """The file of a family of a shard."""
    return f"{family_folder(root, shard.on_disk.folder, name)}/{shard.shard}{INDEX}"


@contextmanager
def reading(paths: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Turns DuckDB's errors while these files are read into StoreError naming the file."""
    try:
        yield
    except duckdb.Error as error:
        with duckdb.connect() as con:
            raise damage(con, error, paths()) or unreadable(error) from error


def damage(con: duckdb.DuckDBPyConnection, error: duckdb.Error, paths: Iterable[str]) -> StoreError | None:
    """The error for a damaged file. DuckDB names one that it cannot open; else these are tried; None: all are sound."""
    if _NAMED.search(str(error)):
        return unreadable(error)
    for path in paths:
        try:
            con.execute(f"SELECT count(COLUMNS(*)) FROM {read([path])}").fetchall()
        except duckdb.Error as found:
            return unreadable(f'"{path}": {str(found).splitlines()[0]}')
    return None


def unreadable(error: duckdb.Error | str) -> StoreError:
    """The error for a file of a store that cannot be read."""
    found = _NAMED.search(str(error))
    if found is not None and f"/{ATTRIBUTES}/" in found[1]:
        return _damaged(found[1], str(error))
    return StoreError(
        f"an index file cannot be read: {error}",
        fix="if shards are being written, open the catalog again; otherwise run `ehps verify`",
    )


def no_shards(stores: Sequence[Path]) -> StoreError:
    """The error for stores without a finished shard."""
    return StoreError(
        f"no finished shard under {', '.join(map(str, stores))}: expected DATASET/SPLIT/*{MANIFEST}, found none",
        fix=f"ehps ingest NAME --raw DIR --store {stores[0] if stores else 'DIR'}",
    )


def group_columns(rows: Iterable[tuple[str, str, str, str, bool]]) -> dict[str, FamilyColumns]:
    """From rows of (family, name, beside, type, is_wide); see `column_rows`."""
    found: dict[str, list[Column]] = {}
    wide: dict[str, bool] = {}
    for name, column, besides, kind, is_wide in rows:
        found.setdefault(name, []).append(Column(name=column, beside=besides, type=kind))
        wide[name] = is_wide
    return {name: FamilyColumns(columns=tuple(found[name]), is_wide=wide[name]) for name in found}


def column_rows(columns: Columns) -> list[tuple[str, str, str, str, bool]]:
    """One row a column: family, name, beside, type, is_wide."""
    return [
        (name, column.name, column.beside, column.type, found.is_wide)
        for name, found in columns.items()
        for column in found.columns
    ]


def literal(text: str) -> str:
    """A string as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def without_glob(path: str) -> str:
    """The path with each character that DuckDB would expand put into a class of its own."""
    return re.sub(r"[*?\[]", r"[\g<0>]", path)


def _shard(suffix: str) -> str:
    return f"parse_filename(filename)[: {-len(suffix) - 1}] AS shard"


def _damaged(path: str, problem: str) -> StoreError:
    return StoreError(
        f"{path}: not readable ({problem})",
        fix="remove it and run `ehps describe` on the store: it makes what is missing",
        path=path,
    )
