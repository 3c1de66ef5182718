"""Summaries of all sources of a catalog in all spaces: streamed in Arrow batches, saved and loaded without a store.

    with catalogs.store.open("STORE") as con:
        summaries = summarise_catalog(con)
    summaries["pose"]["pw3d/test"].num
    save(summaries, Path("summaries.npz"))

Spaces are fitted first (`fit_spaces`: one pass, for a pooled sample of each source's smallest key hashes); with fitted
spaces given, summarising is one pass over each view. The same rows give the same bytes in whatever order the catalog
returns them. Memory: a batch of BATCH_ROWS rows, and for each source and space a summary, which is at most
SAMPLE_LIMIT points, d x d and 2F numbers: 1.2 MB in 64 dimensions. It does not grow with the number of rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmark.fitted import Space, fit
from benchmark.gathering import Gathering, Hashes, key_hashes, merge, smallest, summarise
from benchmark.spaces import KINDS, Kind, feature_kind, kinds_in
from benchmark.summary_files import Summaries, load, save
from catalogs import store as catalog
from catalogs.attributes import files
from catalogs.attributes.family import to_numpy
from catalogs.columns import quoted
from catalogs.parquet import unreadable
from harmonize.errors import StoreError, UsageError

__all__ = ["Summaries", "fit_spaces", "load", "merge", "save", "summarise", "summarise_catalog"]

BATCH_ROWS = 8192
FIT_ROWS_PER_SOURCE = 200
"""Of each source, so that scales and components are those of a world in which all sources weigh the same."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows of one source: values by column, keys, and hashes (N,) of these."""

    source: str
    values: dict[str, npt.NDArray[Any]]
    keys: list[str]
    hashes: Hashes


def summarise_catalog(
    con: duckdb.DuckDBPyConnection,
    spaces: Sequence[str | Space] | None = None,
    *,
    where: str | None = None,
    on_progress: Callable[[int], None] = lambda num_rows: None,
) -> Summaries:
    """The summary of every dataset and split (`Source.name`) in every space.

    spaces: names of spaces to fit to this catalog, or fitted ones (of saved summaries), so that the result can be
    compared with theirs; None: all that the catalog has attributes of. where: a condition in SQL over `samples`; the
    spaces are fitted to all samples nevertheless. on_progress: is given numbers of rows read, of `num_rows`.

    Raises:
        UsageError: unknown or uncomputed spaces; a fitted space was made from other attributes than the catalog has; a
            condition that is not SQL; no sample has a value in any space.
        StoreError: a file of the store is damaged.
    """
    names = [one for one in spaces or () if isinstance(one, str)]
    fitted = {one.name: one for one in spaces or () if isinstance(one, Space)}
    kinds = [] if spaces is not None and not names else kinds_in(con, names or None)
    for space in fitted.values():
        _check_facts(con, space)
    fitted |= {space.name: space for space in fit_spaces(con, kinds, on_progress=on_progress)}
    found: dict[str, dict[str, Gathering]] = {name: {} for name in fitted}
    for kinds_of_view in _by_view([_kind(name) for name in fitted]):
        for batch in _batches(con, kinds_of_view, where, on_progress):
            for kind in kinds_of_view:
                space = fitted[kind.name]
                if batch.source not in found[kind.name]:
                    found[kind.name][batch.source] = Gathering(space)
                raw = kind.vectors(batch.values)
                if not raw.shape[1]:  # a batch of nulls does not say how long a vector is
                    raw = np.full((len(batch.keys), len(space.centre)), np.nan)
                cells = None if kind.cells is None else kind.cells(batch.values)
                found[kind.name][batch.source].add(raw, cells, batch.keys, batch.hashes)
    if not any(found.values()):
        raise UsageError(f"summaries: no sample fulfils: {where or 'true'}", fix="ask for others")
    return Summaries(
        spaces={name: fitted[name] for name in sorted(fitted)},
        by_space={
            name: {source: found[name][source].summary() for source in sorted(found[name])} for name in sorted(fitted)
        },
    )


def fit_spaces(
    con: duckdb.DuckDBPyConnection,
    kinds: Sequence[Kind],
    *,
    on_progress: Callable[[int], None] = lambda num_rows: None,
) -> list[Space]:
    """Fit spaces to a catalog: to FIT_ROWS_PER_SOURCE rows of each source, those of the smallest key hashes.

    Spaces of which fewer than two samples have a value are left out.

    Raises:
        StoreError: a file of the store is damaged.
    """
    best: dict[str, dict[str, tuple[npt.NDArray[Any], list[str], Hashes]]] = defaultdict(dict)
    for kinds_of_view in _by_view(kinds):
        for batch in _batches(con, kinds_of_view, None, on_progress):
            for kind in kinds_of_view:
                raw, keys, hashes = _smallest_known(kind, batch)
                if not len(keys):
                    continue
                if batch.source in best[kind.name]:
                    kept = best[kind.name][batch.source]
                    raw, keys = np.concatenate([kept[0], raw]), [*kept[1], *keys]
                    hashes = np.concatenate([kept[2], hashes])
                    chosen = smallest(hashes, keys, FIT_ROWS_PER_SOURCE)
                    raw, keys, hashes = raw[chosen], [keys[row] for row in chosen.tolist()], hashes[chosen]
                best[kind.name][batch.source] = raw, keys, hashes
    spaces = []
    for kind in kinds:
        pooled = [raw for _, (raw, _, _) in sorted(best[kind.name].items())]
        if sum(map(len, pooled)) >= 2:
            spaces.append(fit(kind, np.concatenate(pooled), facts_of(con, kind)))
    return spaces


def num_rows(con: duckdb.DuckDBPyConnection, kinds: Sequence[Kind]) -> int:
    """How many rows one pass over the views of these kinds reads."""
    (row,) = catalog.query(con, "SELECT coalesce(sum(num_samples), 0) FROM datasets").rows
    return int(row[0]) * len({kind.view for kind in kinds})


def facts_of(con: duckdb.DuckDBPyConnection, kind: Kind) -> dict[str, Any]:
    """What made a kind's attributes in this catalog, by family: facts (body model, basis, weights), hash of the code.

    A catalog shows the values of one maker only, so any shard tells.

    Raises:
        UsageError: the attributes are not there.
        StoreError: a manifest is damaged.
    """
    facts = {}
    for family in kind.families:
        sql = (
            "SELECT store, dataset, split, shard FROM shard_attributes JOIN shards USING (shard) "
            "WHERE family = $1 AND state = 'current' ORDER BY shard LIMIT 1"
        )
        rows = catalog.query(con, sql, [family]).rows
        if not rows:
            raise UsageError(f"space {kind.name}: {family} has not been computed", fix="ehps describe STORE")
        store, dataset, split, shard = rows[0]
        manifest = files.read_manifest(files.folder_of(Path(store) / dataset / split, family), shard)
        if manifest is None:
            raise StoreError(f"{shard}: attributes {family} are gone", fix=f"ehps describe {store}")
        facts[family] = {"facts": dict(manifest.facts), "code_sha256": manifest.code_sha256}
    return facts


def _check_facts(con: duckdb.DuckDBPyConnection, space: Space) -> None:
    found = facts_of(con, _kind(space.name))
    if found != dict(space.facts):
        changed = [family for family in found if found[family] != space.facts.get(family)]
        raise UsageError(
            f"{space.version} was fitted to other attributes than the catalog has: {', '.join(changed)} come from "
            "other code, another body model, basis or network",
            fix="describe both stores with one version of the code, or fit the spaces anew",
        )


def _kind(name: str) -> Kind:
    return KINDS[name] if name in KINDS else feature_kind(name)


def _by_view(kinds: Sequence[Kind]) -> list[list[Kind]]:
    views: dict[str, list[Kind]] = defaultdict(list)
    for kind in kinds:
        views[kind.view].append(kind)
    return [views[view] for view in sorted(views)]


def _batches(
    con: duckdb.DuckDBPyConnection, kinds: Sequence[Kind], where: str | None, on_progress: Callable[[int], None]
) -> Iterator[_Batch]:
    """The rows of a view, by source."""
    columns = sorted({column for kind in kinds for column in kind.columns})
    view = kinds[0].view
    sql = f"SELECT dataset, split, key, {', '.join(map(quoted, columns))} FROM {quoted(view)}"
    if where is not None:
        condition = f"SELECT key FROM samples WHERE ({where}\n)"
        catalog.query(con, f"{condition} LIMIT 0")  # refuses what is not a condition
        sql += f" WHERE ({where}\n)" if view == "samples" else f" WHERE key IN ({condition})"
    try:
        # Batch by batch: `catalog.stream` leaves the size of batches to DuckDB, whose million rows of image features
        # are gigabytes.
        for batch in con.cursor().sql(sql).to_arrow_reader(BATCH_ROWS):
            yield from _split(batch, columns)
            on_progress(batch.num_rows)
    except (duckdb.Error, pa.ArrowException) as error:
        raise unreadable(str(error)) from error


def _split(batch: Any, columns: Sequence[str]) -> Iterator[_Batch]:
    values = {name: _numbers(batch.column(name)) for name in columns}
    keys = batch.column("key").to_pylist()
    hashes = key_hashes(keys)
    dataset, split = (batch.column(name).dictionary_encode() for name in ("dataset", "split"))
    codes = dataset.indices.to_numpy() * len(split.dictionary) + split.indices.to_numpy()
    for code in np.unique(codes).tolist():
        at = np.flatnonzero(codes == code)
        source = f"{dataset.dictionary[code // len(split.dictionary)]}/{split.dictionary[code % len(split.dictionary)]}"
        of_source = {name: column[at] for name, column in values.items()}
        yield _Batch(source, of_source, [keys[row] for row in at.tolist()], hashes[at])


def _numbers(column: Any) -> npt.NDArray[Any]:
    """(N,) or (N, size) of a column; NaN where null. DuckDB gives vectors as lists, whose sizes are one by contract."""
    if not pa.types.is_list(column.type):
        return to_numpy(column, None)
    flat = column.flatten().to_numpy(zero_copy_only=False)
    known = np.flatnonzero(np.asarray(column.is_valid()))
    out = np.full((len(column), len(flat) // len(known) if len(known) else 0), np.nan)
    out[known] = flat.reshape(len(known), out.shape[1])
    return out


def _smallest_known(kind: Kind, batch: _Batch) -> tuple[npt.NDArray[Any], list[str], Hashes]:
    raw = kind.vectors(batch.values)
    known = np.flatnonzero(np.isfinite(raw).all(axis=1) & bool(raw.shape[1]))
    keys, hashes = [batch.keys[row] for row in known.tolist()], batch.hashes[known]
    chosen = smallest(hashes, keys, FIT_ROWS_PER_SOURCE)
    return raw[known[chosen]], [keys[row] for row in chosen.tolist()], hashes[chosen]
