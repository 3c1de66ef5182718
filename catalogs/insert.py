"""Rows of Python into a table, fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb


def insert(con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Sequence[Any]]) -> None:
    """Append rows to a table, by position: one statement with a list a column, not one statement a row."""
    if not rows:
        return
    kinds = [row[1] for row in con.execute(f"DESCRIBE {table}").fetchall()]
    select = ", ".join(f"unnest(${number}::{kind}[])" for number, kind in enumerate(kinds, 1))
    con.execute(f"INSERT INTO {table} SELECT {select}", [list(column) for column in zip(*rows, strict=True)])
