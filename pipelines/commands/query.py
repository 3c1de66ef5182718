"""`ehps query`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.tables import Json, show

if TYPE_CHECKING:
    import duckdb


def query(store: Path, sql: str | None = None, /, *, out: Path | None = None, as_json: Json = False) -> None:
    """Ask the catalog of a store: one SELECT over what its shards hold.

    Views with one row a person: samples (everything narrow, attributes as FAMILY_COLUMN), instances, records, and one
    for each family of attributes. Others: rejects, shards, datasets, attributes, duplicates, "overlaps", maps, runs,
    selections, published_*. `@NAME` runs a named query; without any query the named ones are listed.

    Parameters
    ----------
    store
        Folder of the store.
    sql
        A SELECT, or `@NAME`. Example: "SELECT dataset, count(*) FROM instances GROUP BY ALL".
    out
        Write the answer to this file instead of printing it: .parquet, .csv or .json.
    """
    from catalogs import store as catalog

    if sql is None:
        show(
            [{"query": f"@{name}", "answers": text} for name, text in catalog.named_queries().items()], as_json=as_json
        )
        return
    with catalog.open(store) as con:
        if out is not None:
            notes = _write(con, sql, out)
        else:
            table = catalog.query(con, sql)
            notes = table.notes
            show([dict(zip(table.columns, row, strict=True)) for row in table.rows], as_json=as_json)
    for note in notes:
        print(f"ehps: note: {note}", file=sys.stderr)


def _write(con: duckdb.DuckDBPyConnection, sql: str, out: Path) -> tuple[str, ...]:
    from catalogs import store as catalog
    from pipelines.answer_file import check_name, write

    check_name(out)
    answer, notes = catalog.stream(con, sql)
    num_rows = write(answer, out)
    print(f"{out}: {num_rows:,} rows", file=sys.stderr)
    return notes
