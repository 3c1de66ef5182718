"""What was meant by a name that a catalog does not have."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from pathlib import Path

import duckdb

from catalogs.columns import beside
from harmonize.errors import UsageError

_COLUMN = (
    r'Referenced column "([^"]+)" not found',
    r'does not have a column named "([^"]+)"',
    r'[Cc]olumn "([^"]+)" (?:does not exist|not found)',
)
_VIEW = (r'Table with name "?([^\s"]+)"? does not exist', r'Referenced table "([^"]+)" not found')
_FUNCTION = (r'Function with name "?([^\s"]+)"? does not exist',)
_STORE_TABLES = ("duplicates", "overlaps", "shared_pictures", "maps")


def explain(con: duckdb.DuckDBPyConnection, sql: str, error: duckdb.Error) -> UsageError:
    """The error for SQL that DuckDB could not bind: with the nearest name, where the column is, or how to make it."""
    text = str(error)
    if (name := _first(_VIEW, text)) is not None:
        return _no_view(con, name)
    if (name := _first(_COLUMN, text)) is not None:
        return _no_column(con, name, sql)
    if (name := _first(_FUNCTION, text)) is not None:
        rows = con.cursor().execute("SELECT DISTINCT function_name FROM duckdb_functions()").fetchall()
        return UsageError(f"query: there is no function {name}", fix=_nearest(name, [row[0] for row in rows]))
    return UsageError(f"query: {error}")


def keyword(error: duckdb.ParserException) -> UsageError:
    """The error for SQL that cannot be parsed: `overlaps` is a word of SQL."""
    fix = 'write "overlaps" in double quotes: it is also a word of SQL' if 'near "overlaps"' in str(error) else None
    return UsageError(f"query: {error}", fix=fix)


def describe_command(store: str, family: str) -> str:
    """The command that makes a family."""
    from catalogs.attributes.reading import describe_command as command

    return command(Path(store), family)


def _no_view(con: duckdb.DuckDBPyConnection, name: str) -> UsageError:
    known = _columns(con)
    if (family := _uncomputed(con, name)) == name:
        return _not_computed(con, family)
    if name in _STORE_TABLES:
        return UsageError(f"query: {name} of this store have not been made", fix=f"ehps describe {_store(con)}")
    listed = [view for view in known if not view.startswith("published_")]
    return UsageError(
        f"query: there is no view {name}; there are {', '.join(listed)} and published_...",
        fix=_nearest(name, list(known)),
    )


def _no_column(con: duckdb.DuckDBPyConnection, name: str, sql: str) -> UsageError:
    known = _columns(con)
    name = name.split(".")[-1]
    words = set(re.findall(r"\w+", sql.lower()))
    asked = [view for view in known if view in words]
    elsewhere = [view for view in known if name in known[view] and view not in asked]
    if elsewhere:
        besides = {beside(view, name) for view in elsewhere} & set(known["samples"])
        here = f"; in samples it is called {' or '.join(sorted(besides))}" if besides else ""
        return UsageError(
            f"query: {', '.join(asked) or 'the query'} has no column {name}",
            fix=f"{name} is in {', '.join(elsewhere)}{here}",
        )
    if (family := _uncomputed(con, name)) is not None:
        return _not_computed(con, family)
    columns = sorted({column for view in asked or known for column in known[view]})
    where = f" in {', '.join(asked)}" if asked else ""
    return UsageError(f"query: there is no column {name}{where}", fix=_nearest(name, columns))


def _not_computed(con: duckdb.DuckDBPyConnection, family: str) -> UsageError:
    rows = con.cursor().execute("SELECT count(*) FROM shard_attributes WHERE family = $1", [family]).fetchall()
    problem = (
        f"what {family} was computed from has changed in all shards: none of its values can be shown"
        if rows[0][0]
        else f"{family} has not been computed for this store"
    )
    return UsageError(f"query: {problem}", fix=describe_command(_store(con), family))


def _uncomputed(con: duckdb.DuckDBPyConnection, name: str) -> str | None:
    """The family that a view or column of this name would be of, when no shard has values of it."""
    from catalogs.attributes import FAMILIES
    from catalogs.attributes.reading import FEATURES

    stale = {row[0] for row in con.cursor().execute("SELECT DISTINCT family FROM shard_attributes").fetchall()}
    shown = set(_columns(con))
    for family in sorted((FAMILIES.keys() | stale) - shown, key=len, reverse=True):
        known = FAMILIES[family].attributes if family in FAMILIES else ()
        if name == family or name in {beside(family, one.name) for one in known}:
            return family
    return name if name.startswith(FEATURES) and name not in shown else None


def _columns(con: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """Columns by view, both by name."""
    found: dict[str, list[str]] = defaultdict(list)
    sql = (
        "SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'main' AND NOT internal "
        "AND database_name = current_database() ORDER BY table_name, column_index"
    )
    for view, column in con.cursor().execute(sql).fetchall():
        found[view].append(column)
    return dict(found)


def _store(con: duckdb.DuckDBPyConnection) -> str:
    (row,) = con.cursor().execute("SELECT min(store) FROM shards").fetchall()
    return str(row[0])


def _first(patterns: tuple[str, ...], text: str) -> str | None:
    found = (re.search(pattern, text) for pattern in patterns)
    return next((match[1] for match in found if match is not None), None)


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else '`ehps query STORE "DESCRIBE samples"` lists the columns'
