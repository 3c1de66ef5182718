"""`ehps query`."""

from __future__ import annotations

from pathlib import Path

from pipelines.tables import Json, show


def query(store: Path, sql: str | None = None, /, *, as_json: Json = False) -> None:
    """Ask the catalog of a store: one SELECT over what its shards hold.

    Views: instances (one row a person), rejects, shards, datasets. `@NAME` runs a named query; without any query the
    named ones are listed.

    Parameters
    ----------
    store
        Folder of the store.
    sql
        A SELECT, or `@NAME`. Example: "SELECT dataset, count(*) FROM instances GROUP BY ALL".
    """
    from catalogs import store as catalog

    if sql is None:
        rows = [{"query": f"@{name}", "answers": text} for name, text in catalog.named_queries().items()]
    else:
        with catalog.open(store) as con:
            table = catalog.query(con, sql)
        rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    show(rows, as_json=as_json)
