"""What is in the data: dataset cards, the catalog of a store in SQL, and selections.

import catalogs
with catalogs.open("STORE") as con:
    con.sql("SELECT dataset, count(*) FROM instances GROUP BY ALL")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def open(path: str | Path | Sequence[str | Path], *, read_only: bool = True) -> duckdb.DuckDBPyConnection:
    """A connection to the catalog of one store or several; see `catalogs.store.open`.

    Its relations go straight on: `con.sql(...).pl()`, `.df()`, `.to_arrow_table()`.
    """
    from catalogs import store  # cards and selections do not need a database

    return store.open(path, read_only=read_only)
