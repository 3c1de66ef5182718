"""Tables over a whole store, made after its families: near-duplicates, overlaps and maps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from catalogs.attributes import overlaps
from harmonize.errors import EhpsError
from pipelines.describe_work import Failure, FamilySummary

Make = Callable[[Path, bool], tuple[int, int, int]]
"""make(store, is_refit) -> tables made, tables that were current, rows made."""


def _overlaps(store: Path, is_refit: bool) -> tuple[int, int, int]:
    if overlaps.is_current(store):
        return 0, 1, 0
    return 1, 0, int(overlaps.overlaps(store).num_rows)


TABLES: dict[str, Make] = {"overlaps": _overlaps}
"""By the name that --attributes takes, in the order they are made."""


def make_tables(store: Path, names: Sequence[str], *, is_refit: bool) -> tuple[list[FamilySummary], list[Failure]]:
    """Make what is missing or stale of some tables; one that fails does not stop the others."""
    summaries: list[FamilySummary] = []
    failures: list[Failure] = []
    for name in names:
        start = time.monotonic()
        try:
            num_made, num_current, num_rows = TABLES[name](store, is_refit)
        except (EhpsError, OSError) as error:
            failures.append((name, error))
            continue
        summaries.append(
            FamilySummary(
                name=name,
                num_made=num_made,
                num_current=num_current,
                num_failed=0,
                num_rows=num_rows,
                seconds=time.monotonic() - start,
            )
        )
    return summaries, failures
