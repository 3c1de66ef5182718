"""Questions to an open catalog: one SELECT or a named query, its answer, and what it should be read with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import duckdb

from catalogs.damage import damage, is_about_a_file, vanished
from catalogs.names import explain, keyword
from catalogs.parquet import unreadable
from harmonize.errors import UsageError

_QUERIES = files("catalogs") / "sql" / "queries"

Parameters = Sequence[Any] | Mapping[str, Any] | None
"""Values for `$1` or `$name` in the SQL."""


@dataclass(frozen=True, slots=True)
class Table:
    """The answer to a query: names of the columns and rows in their order. notes: what the answer leaves out or why it
    was slow, with the command that changes it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    notes: tuple[str, ...] = ()


def query(con: duckdb.DuckDBPyConnection, sql: str, params: Parameters = None) -> Table:
    """The answer to one SELECT (or FROM, WITH, DESCRIBE, SUMMARIZE ...), or to the named query `@name`.

    Raises:
        UsageError: not one SELECT, no such named query, or refused by DuckDB (syntax, files outside the store); for an
            unknown column or view it names the nearest, for attributes that were not computed the command.
        StoreError: a file of the store was replaced, removed or damaged since the catalog was opened.
    """
    sql = _one_select(con, sql)
    with _explained(con, sql):
        cursor = con.cursor().execute(sql, params)
        columns = tuple(column[0] for column in cursor.description or ())
        return Table(columns, tuple(cursor.fetchall()), notes(con, sql))


def stream(con: duckdb.DuckDBPyConnection, sql: str, params: Parameters = None) -> tuple[Any, tuple[str, ...]]:
    """The answer as an Arrow record batch reader, for answers larger than memory, and its notes; see `query`."""
    sql = _one_select(con, sql)
    with _explained(con, sql):
        return con.cursor().sql(sql, params=params).to_arrow_reader(), notes(con, sql)


def _one_select(con: duckdb.DuckDBPyConnection, sql: str) -> str:
    if sql.startswith("@"):
        sql = named_query(sql[1:])
    with _explained(con, sql):
        kinds = [statement.type for statement in con.extract_statements(sql)]
    if kinds != [duckdb.StatementType.SELECT]:
        found = ", ".join(kind.name for kind in kinds) or "none"
        raise UsageError(f"query: expected one SELECT statement, found {found}", fix="see `ehps query --help`")
    return sql


@contextmanager
def _explained(con: duckdb.DuckDBPyConnection, sql: str) -> Iterator[None]:
    """Turns DuckDB's errors into those of `query`."""
    try:
        yield
    except duckdb.ParserException as error:
        raise keyword(error) from error
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise explain(con, sql, error) from error
    except duckdb.PermissionException as error:
        # DuckDB looks for a folder in the place of a file that is gone, which the locks forbid.
        if gone := vanished(con):
            raise unreadable(f"{gone} is gone") from error
        raise UsageError(f"query: only the views of the catalog can be read: {error}") from error
    except (duckdb.IOException, duckdb.InternalException) as error:
        raise damage(con, error) from error
    except duckdb.Error as error:
        if is_about_a_file(error):
            raise damage(con, error) from error
        raise UsageError(f"query: {error}") from error


def notes(con: duckdb.DuckDBPyConnection, sql: str) -> tuple[str, ...]:
    """What an answer to this SQL should be read with: attributes that are partly there, a store without its file."""
    words = re.findall(r"\w+", sql.lower())
    found = con.cursor().execute("SELECT note FROM notes WHERE list_has_any(words, $1::VARCHAR[])", [words])
    return tuple(row[0] for row in found.fetchall())


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
