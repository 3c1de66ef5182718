"""Tables over a whole store, made after its families: near-duplicates, overlaps and maps."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from catalogs.attributes import files
from catalogs.attributes.features import DEFAULT, PREFIX
from catalogs.attributes.reading import coverage, families_in
from harmonize.errors import EhpsError, UsageError
from pipelines.describe_work import Failure, FamilySummary, Outcome
from pipelines.progress import Meter

TABLES = ("overlaps", "duplicates", "maps")
"""What --attributes takes, in the order they are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """One table: its name in the store, and what makes it unless it is current and returns it."""

    name: str
    make: Callable[[], Sequence[object]]


def make_tables(store: Path, names: Sequence[str], *, is_asked_for: bool, is_refit: bool) -> Outcome:
    """Make what is missing or stale of some tables; one that fails does not stop the others.

    is_asked_for: by name; otherwise a table that this store cannot have (no pictures, too few samples) is no failure.
    is_refit: lay maps out anew instead of placing new samples on those that are there.
    """
    summaries: list[FamilySummary] = []
    failures: list[Failure] = []
    notes: list[str] = []
    tables = [table for name in names for table in _tables(store, name, is_refit=is_refit)]
    with Meter("tables", len(tables), "tables") as meter:
        for table in tables:
            start, before = time.monotonic(), _stamp(store, table.name)
            try:
                num_rows = len(table.make())
            except UsageError as error:
                if is_asked_for:
                    failures.append((table.name, error))
                else:
                    notes.append(f"{table.name} left out: {error}")
                continue
            except (EhpsError, OSError) as error:
                failures.append((table.name, error))
                continue
            finally:
                meter.add(1)
            is_made = _stamp(store, table.name) != before
            summaries.append(
                FamilySummary(
                    name=table.name,
                    num_made=int(is_made),
                    num_current=int(not is_made),
                    num_failed=0,
                    num_rows=num_rows if is_made else 0,
                    seconds=time.monotonic() - start,
                )
            )
    return Outcome(summaries=tuple(summaries), failures=tuple(failures), notes=tuple(notes))


def _tables(store: Path, name: str, *, is_refit: bool) -> Iterator[_Table]:
    from catalogs.attributes import maps, redundancy

    features = described_features(store)
    if name == "overlaps":
        yield _Table(name=name, make=lambda: redundancy.overlaps(store))
    elif name == "duplicates":
        yield _Table(name=name, make=lambda: redundancy.duplicates(store, features[0] if features else None))
    else:
        method: Literal["umap", "pca"] = "umap" if importlib.util.find_spec("umap") else "pca"
        for source in ("orientation", "skeleton", *features):
            make = partial(maps.make_map, replace=True) if is_refit else maps.keep_map
            yield _Table(name=f"map_{source}", make=partial(make, store, source, source, method=method))


def described_features(store: Path) -> list[str]:
    """The families of image features that all shards of a store have, those of the default network first."""
    names = [name for name in families_in(store) if name.startswith(PREFIX)]
    whole = [name for name in names if (covered := coverage(store, name)).num_current == len(covered.shards)]
    return sorted(whole, key=lambda name: (not name.startswith(f"{PREFIX}{DEFAULT}_"), name))


def _stamp(store: Path, name: str) -> tuple[int, int] | None:
    """What tells that a table was written anew; None when there is none."""
    try:
        status = (files.store_folder(store) / f"{name}{files.MANIFEST}").stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino
