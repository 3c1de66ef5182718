"""Which file of a store is meant by an error that DuckDB raised while answering."""

from __future__ import annotations

from pathlib import Path

import duckdb

from catalogs import file, parquet
from harmonize.errors import StoreError
from harmonize.shards.names import INDEX

_WORDS = ("parquet", "snappy", "zstd", "tprotocol", "ttransport", "checksum", "corrupt", "magic bytes")


def is_about_a_file(error: duckdb.Error) -> bool:
    """Whether an error that could also be that of the SQL speaks of a damaged file."""
    return not isinstance(error, duckdb.ConversionException) and any(word in str(error).lower() for word in _WORDS)


def damage(con: duckdb.DuckDBPyConnection, error: duckdb.Error) -> StoreError:
    """The error to raise, naming the file; the catalog file is meant when none of the others is damaged."""
    found = parquet.damage(con.cursor(), error, _files(con))
    if found is not None:
        return found
    ((store,),) = con.cursor().execute("SELECT min(store) FROM shards").fetchall()
    return StoreError(
        f"{Path(store) / file.NAME}: cannot be read ({error})", fix=f"remove it and run `ehps catalog {store}`"
    )


def vanished(con: duckdb.DuckDBPyConnection) -> Path | None:
    """An index file that was there when the catalog was opened, and no longer is."""
    rows = con.cursor().execute("SELECT store, dataset, split, shard FROM shards").fetchall()
    paths = (Path(store) / dataset / split / f"{shard}{INDEX}" for store, dataset, split, shard in rows)
    return next((path for path in paths if not path.exists()), None)


def _files(con: duckdb.DuckDBPyConnection) -> list[str]:
    """What the locked connection may read; wide families by their folders."""
    settings = "SELECT unnest(current_setting('allowed_paths')), unnest(current_setting('allowed_directories'))"
    found = [Path(one) for row in con.cursor().execute(settings).fetchall() for one in row if one]
    return [str(path) for one in found for path in ([one] if one.is_file() else sorted(one.glob(f"*{INDEX}")))]
