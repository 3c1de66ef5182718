"""Which samples a person wants to look at: by a condition in SQL, by the largest or smallest values of a column, or by
a key that may be misspelt. All of it through the catalog's own read-only queries."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from catalogs import store as catalog
from harmonize.errors import UsageError

SHORT_NAMES = {
    "reprojection_error": "label_reprojection_px",
    "fit_error": "label_fit_error_mm",
}
"""What people call a column, and what `samples` calls it."""

LARGE_IS_GOOD = ("plausibility", "sharpness", "contrast", "jpeg_quality", "confidence", "iou")
"""Endings of columns whose worst values are the smallest; `num_visible_*` are among them too."""

_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "UINTEGER", "UBIGINT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """By which column of `samples` people are put in a row, and whether the largest values come first."""

    column: str
    is_largest_first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A sample, and its value in the column that it was chosen by (None: unknown there, or no column)."""

    key: str
    value: float | None


def columns_of(con: duckdb.DuckDBPyConnection, view: str = "samples") -> dict[str, str]:
    """Name and SQL type of each column of a view."""
    return {str(row[0]): str(row[1]) for row in catalog.query(con, f"DESCRIBE {view}").rows}


def numeric_columns(con: duckdb.DuckDBPyConnection) -> list[str]:
    """The columns of `samples` that hold one number each."""
    return [name for name, kind in columns_of(con).items() if kind.split("(")[0] in _NUMBERS]


def find_column(con: duckdb.DuckDBPyConnection, name: str) -> str:
    """The numeric column of `samples` that `name` means: its name, `family.column`, its name without the family's where
    no other ends so, or a short name.

    Raises:
        UsageError: there is none, several, or it holds no numbers; the message names the nearest ones.
    """
    known = numeric_columns(con)
    wanted = SHORT_NAMES.get(name, name.replace(".", "_"))
    if wanted in known:
        return wanted
    endings = [column for column in known if column.endswith(f"_{wanted}")]
    if len(endings) == 1:
        return endings[0]
    if endings:
        raise UsageError(f"{name}: expected one numeric column, found {', '.join(endings)}", fix="use the whole name")
    if (family := family_with(wanted)) is not None:
        raise UsageError(
            f"{name}: the attributes {family} have not been computed",
            fix=f"ehps describe STORE --attributes {family}",
        )
    raise UsageError(
        f"{name}: expected a numeric column of samples, found none of that name{nearest(wanted, known)}",
        fix='ehps query STORE "DESCRIBE samples" lists them',
    )


def family_with(column: str) -> str | None:
    """The attribute family that would give `samples` a column, known from the code and not from the store."""
    from catalogs.attributes import FAMILIES

    for family in FAMILIES.values():
        names = {f"{family.name}_{attribute.name}" for attribute in family.attributes}
        if column in names or column in {attribute.name for attribute in family.attributes}:
            return family.name
    return None


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of a message: `; did you mean ...?`, or nothing where nothing is near."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    near += [one for one in known if name in one and one not in near][: 3 - len(near)]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def worst(con: duckdb.DuckDBPyConnection, name: str) -> Order:
    """The order that begins with the worst values: the largest, unless the column measures something good."""
    column = find_column(con, name)
    return Order(column=column, is_largest_first=not (column.endswith(LARGE_IS_GOOD) or "num_visible" in column))


def best(con: duckdb.DuckDBPyConnection, name: str) -> Order:
    """The order that begins with the best values."""
    order = worst(con, name)
    return Order(column=order.column, is_largest_first=not order.is_largest_first)


def choose(con: duckdb.DuckDBPyConnection, where: str | None, order: Order | None, num: int) -> list[Chosen]:
    """At most `num` samples that fulfil a condition, in order; those without a value come last.

    Without an order they are a spread over all that fulfil it, always the same one.

    Raises:
        UsageError: the condition is not SQL or no sample fulfils it.
    """
    quoted = "NULL" if order is None else f'"{order.column}"'
    value = quoted if order is None else f"{quoted} {'DESC' if order.is_largest_first else 'ASC'} NULLS LAST"
    sql = (
        f"SELECT key, {quoted}::DOUBLE AS value FROM samples WHERE ({where or 'true'}\n) "
        f"ORDER BY {'md5(key)' if order is None else value}, key LIMIT {int(num)}"
    )
    rows = catalog.query(con, sql).rows
    if not rows:
        raise UsageError(f"no sample fulfils: {where or 'true'}", fix='ehps query STORE "FROM samples LIMIT 5"')
    return [Chosen(key=key, value=number) for key, number in rows]


def check_key(con: duckdb.DuckDBPyConnection, key: str) -> None:
    """Refuse a key that no sample has.

    Raises:
        UsageError: the message names the keys that are nearest to it.
    """
    if catalog.query(con, "SELECT 1 FROM instances WHERE key = $key LIMIT 1", {"key": key}).rows:
        return
    near = catalog.query(
        con, "SELECT key FROM instances ORDER BY jaro_winkler_similarity(key, $key) DESC, key LIMIT 3", {"key": key}
    ).rows
    raise UsageError(
        f"no sample is called {key!r}; the nearest are {', '.join(row[0] for row in near)}",
        fix='ehps query STORE "SELECT key FROM instances LIMIT 10"',
    )


def facts_of(con: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Everything that `samples` says of some keys: key -> column -> value."""
    table = catalog.query(con, "SELECT * FROM samples WHERE list_contains($keys, key)", {"keys": list(keys)})
    named = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    return {str(row["key"]): row for row in named}
