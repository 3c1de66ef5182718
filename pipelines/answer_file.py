"""The answer to a query as a file: Parquet, CSV or JSON, by its name; any size, a batch of rows at a time."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harmonize.errors import StoreError, UsageError


def check_name(out: Path) -> None:
    """Raises UsageError when the name of a file does not say what to write."""
    if out.suffix not in _WRITERS:
        raise UsageError(f"{out}: expected a name ending in {', '.join(_WRITERS)}", fix=f"--out {out.stem}.parquet")


def write(batches: Any, out: Path) -> int:
    """Write an Arrow record batch reader to a file that appears whole or not at all; returns the number of rows.

    Raises:
        UsageError: see `check_name`.
        StoreError: a file of the store turned out to be damaged half-way.
        OSError: the folder cannot be written to.
    """
    import pyarrow as pa

    check_name(out)
    num_rows = 0
    try:
        with _whole(out) as scratch, _WRITERS[out.suffix](scratch, batches.schema) as add:
            for batch in batches:
                add(batch)
                num_rows += batch.num_rows
    except pa.ArrowException as error:
        raise StoreError(f"{out}: not written: {error}", fix="run `ehps verify` on the store") from error
    return num_rows


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=out.absolute().parent) as folder:
        yield Path(folder) / out.name
        (Path(folder) / out.name).replace(out)


@contextmanager
def _parquet(path: Path, schema: Any) -> Iterator[Callable[[Any], None]]:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        yield writer.write_batch


@contextmanager
def _csv(path: Path, schema: Any) -> Iterator[Callable[[Any], None]]:
    import csv

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(schema.names)
        yield lambda batch: writer.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))


@contextmanager
def _json(path: Path, schema: Any) -> Iterator[Callable[[Any], None]]:
    with path.open("w", encoding="utf-8") as file:
        separator = "[\n"

        def add(batch: Any) -> None:
            nonlocal separator
            for row in batch.to_pylist():
                file.write(separator + json.dumps(row, ensure_ascii=False, default=str))
                separator = ",\n"

        yield add
        file.write("\n]\n" if separator != "[\n" else "[]\n")


_WRITERS = {".parquet": _parquet, ".csv": _csv, ".json": _json}
