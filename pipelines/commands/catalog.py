"""`ehps catalog`."""

from __future__ import annotations

from pathlib import Path

from pipelines.tables import Json


def catalog(store: Path, /, *, as_json: Json = False) -> None:
    """Make the catalog file of a store, or bring it up to date, so that queries over millions of people are fast.

    `catalog.duckdb` is a cache: queries give the same answers without it. Only shards that are new, or whose
    attributes are, are read. Queries that run meanwhile keep the file they opened.

    Parameters
    ----------
    store
        Folder of the store.
    """
    from dataclasses import asdict

    from catalogs import file
    from pipelines.progress import Meter
    from pipelines.tables import show_json

    with Meter("catalog", 0, "samples") as meter:
        result = file.refresh(store, meter.add)
    if as_json:
        show_json(asdict(result))
    else:
        print(
            f"{store / file.NAME}: {result.num_samples:,} samples of {result.num_shards:,} shards; "
            f"{result.num_shards_added:,} added, {result.num_shards_changed:,} changed, "
            f"{result.num_shards_removed:,} removed"
        )
