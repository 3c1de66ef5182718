"""Published results, one table a file; `sources.csv` says where each is from and what of it was verified.

A column whose name starts with `unverified_` holds figures that no page that could be opened shows: they are recalled;
`derived_mean...` is computed from such. `published_NAME` leaves them out, `published_NAME_unverified` does not.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import duckdb

from catalogs.columns import listed, quoted
from catalogs.insert import insert

UNVERIFIED = ("unverified_", "derived_mean")
"""How the names of columns begin that were not found in their source, or are computed from such."""

_FOLDER = files("catalogs") / "published"


def names() -> list[str]:
    """The tables, sorted."""
    return sorted(entry.name.removesuffix(".csv") for entry in _FOLDER.iterdir() if entry.name.endswith(".csv"))


def create_views(con: duckdb.DuckDBPyConnection) -> None:
    """`published_NAME` for every table, and `published_NAME_unverified` for those that have unverified columns."""
    for name in names():
        header, *rows = csv.reader((_FOLDER / f"{name}.csv").read_text(encoding="utf-8").splitlines())
        columns = [_typed([row[i] for row in rows]) for i in range(len(header))]
        kinds = ", ".join(f"{quoted(one)} {kind}" for one, (kind, _) in zip(header, columns, strict=True))
        stored = f"internal.{quoted(name)}"
        con.execute(f"CREATE TABLE {stored} ({kinds})")
        insert(con, stored, list(zip(*(values for _, values in columns), strict=True)))
        verified = [one for one in header if not one.startswith(UNVERIFIED)]
        con.execute(f"CREATE VIEW {quoted(f'published_{name}')} AS SELECT {listed(verified)} FROM {stored}")
        if len(verified) < len(header):
            con.execute(f"CREATE VIEW {quoted(f'published_{name}_unverified')} AS FROM {stored}")


def _typed(texts: list[str]) -> tuple[str, list[Any]]:
    """DuckDB's type of a column and its values; empty is null."""
    for kind, convert in (("BIGINT", int), ("DOUBLE", float)):
        try:
            return kind, list(_converted(texts, convert))
        except ValueError:
            continue
    return "VARCHAR", list(_converted(texts, str))


def _converted(texts: list[str], convert: Any) -> Iterator[Any]:
    return (None if text == "" else convert(text) for text in texts)
