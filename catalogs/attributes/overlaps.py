"""Source pictures and recordings that datasets, or splits of one dataset, have in common.

kind
    picture        the same file, byte by byte, or the same frame of the same video file (`image_sha256`)
    picture-id     the same picture by the dataset's own name for it (see `source_ids`)
    recording      the same session, whatever the camera: same people, clothes, place and motion

Names are compared between the splits of a dataset, and between datasets whose cards say that they overlap. People whose
source picture was never opened have no hash and take no part in `picture`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from catalogs.attributes import source_ids
from catalogs.attributes.code import code_sha256
from catalogs.attributes.reading import index_inputs, read_index
from catalogs.attributes.tables import StoreTable
from catalogs.cards import cards

OVERLAPS, SHARED = "overlaps", "shared_pictures"

_PAIRS = """
CREATE TABLE sizes AS SELECT dataset, split, count(*) AS num FROM samples GROUP BY ALL;
CREATE TABLE things AS
    SELECT kind, id, dataset, split, min(key) AS key, count(*) AS num FROM named GROUP BY ALL;
CREATE TABLE pairs AS
    SELECT a.kind, a.id, a.dataset AS dataset_a, a.split AS split_a, a.num AS num_a,
           b.key AS key_b, b.dataset AS dataset_b, b.split AS split_b, b.num AS num_b
    FROM things a JOIN things b USING (kind, id)
    WHERE (a.dataset, a.split) <> (b.dataset, b.split)
      AND (a.kind = 'picture' OR a.dataset = b.dataset OR (a.dataset, b.dataset) IN (FROM declared));
"""

_OVERLAPS = """
WITH whole AS (
    SELECT kind, id, dataset_a, dataset_b,
           (SELECT sum(num) FROM things t WHERE (t.kind, t.id, t.dataset) = (p.kind, p.id, p.dataset_a)) AS num_a,
           (SELECT sum(num) FROM things t WHERE (t.kind, t.id, t.dataset) = (p.kind, p.id, p.dataset_b)) AS num_b
    FROM (SELECT DISTINCT kind, id, dataset_a, dataset_b FROM pairs WHERE dataset_a < dataset_b) p
), datasets AS (SELECT dataset, sum(num) AS num FROM sizes GROUP BY dataset)
SELECT kind, dataset_a, NULL::VARCHAR AS split_a, dataset_b, NULL::VARCHAR AS split_b, count(*)::BIGINT AS num,
       sum(num_a)::BIGINT AS num_people_a, sum(num_b)::BIGINT AS num_people_b,
       sum(num_a)::DOUBLE / any_value(a.num) AS share_a, sum(num_b)::DOUBLE / any_value(b.num) AS share_b
FROM whole JOIN datasets a ON a.dataset = dataset_a JOIN datasets b ON b.dataset = dataset_b
GROUP BY kind, dataset_a, dataset_b
UNION ALL
SELECT kind, dataset_a, split_a, dataset_b, split_b, count(*)::BIGINT,
       sum(num_a)::BIGINT, sum(num_b)::BIGINT,
       sum(num_a)::DOUBLE / any_value(a.num), sum(num_b)::DOUBLE / any_value(b.num)
FROM pairs
JOIN sizes a ON (a.dataset, a.split) = (dataset_a, split_a) JOIN sizes b ON (b.dataset, b.split) = (dataset_b, split_b)
WHERE dataset_a = dataset_b AND split_a < split_b
GROUP BY kind, dataset_a, split_a, dataset_b, split_b
ORDER BY kind, dataset_a, split_a, dataset_b, split_b
"""

_SHARED = """
SELECT kind, id, n.key AS key_a, dataset_a, split_a, key_b, dataset_b, split_b
FROM pairs JOIN named n USING (kind, id)
WHERE (n.dataset, n.split) = (dataset_a, split_a)
ORDER BY kind, id, dataset_a, split_a, dataset_b, split_b, key_a
"""


def overlaps(store: Path) -> Any:
    """What datasets, or splits of one, share; made when missing or stale, else read.

    Columns: kind, dataset_a, split_a, dataset_b, split_b, num (pictures, or recordings), num_people_a, num_people_b
    (samples in them), share_a, share_b (of the samples of that side). Two datasets are compared as a whole (splits are
    null), two splits where both are of one dataset; each pair once.

    Raises:
        UsageError, StoreError: see `engine.shards_of`; an index is damaged, or the store cannot be written to.
    """
    spec = _spec(store, OVERLAPS)
    return spec.get(lambda: (_query(store, _OVERLAPS), {}))


def shared_pictures(store: Path) -> Any:
    """The samples whose picture (or recording) another dataset or split has too; made when missing or stale.

    Columns: kind, id, key_a, dataset_a, split_a, key_b, dataset_b, split_b: one row a sample a and other side b, of
    which key_b is the first sample there. Both directions are listed, so that one condition on side a finds everything.

    Raises:
        UsageError, StoreError: see `overlaps`.
    """
    spec = _spec(store, SHARED)
    return spec.get(lambda: (_query(store, _SHARED), {}))


def is_current(store: Path) -> bool:
    """Whether both tables are stored and of this store as it is."""
    return _spec(store, OVERLAPS).is_current() and _spec(store, SHARED).is_current()


def declared(datasets: Iterable[str] | None = None) -> list[tuple[str, str]]:
    """Pairs of datasets of which a card says that they overlap, in both directions."""
    pairs = {(card.name, overlap.dataset) for card in cards() for overlap in card.overlaps}
    chosen = None if datasets is None else set(datasets)
    return sorted(pair for a, b in pairs for pair in ((a, b), (b, a)) if chosen is None or chosen.issuperset(pair))


def _spec(store: Path, name: str) -> StoreTable:
    inputs = index_inputs(store)
    datasets = {shard.removeprefix("index/").split("-")[0] for shard in inputs}
    facts = {"declared": [list(pair) for pair in sorted(set(declared(datasets)))]}
    return StoreTable(store=Path(store), name=name, inputs=inputs, code_sha256=code_sha256(overlaps), facts=facts)


def _query(store: Path, sql: str) -> Any:
    samples = read_index(store, source_ids.COLUMNS)
    pairs = declared()
    with duckdb.connect() as connection:
        connection.register("samples", samples.select(["dataset", "split"]))
        connection.register("named", _named(samples))
        connection.register("declared", pa.table({"a": [a for a, _ in pairs], "b": [b for _, b in pairs]}))
        connection.execute(_PAIRS)
        return connection.sql(sql).to_arrow_table()


def _named(samples: Any) -> Any:
    """Every name of the pictures and recordings of all samples: kind, id, key, dataset, split."""
    datasets = samples.column("dataset").combine_chunks()
    parts = []
    for dataset in datasets.unique().to_pylist():
        rows = samples.filter(pa.compute.equal(datasets, dataset)).combine_chunks()
        sequences, frames, paths, hashes = (rows.column(name).combine_chunks() for name in source_ids.COLUMNS)
        names = {
            "picture": source_ids.picture_hashes(paths, hashes),
            "picture-id": source_ids.picture_numbers(dataset, frames, paths, hashes),
            "recording": source_ids.recordings(dataset, sequences),
        }
        for kind, ids in names.items():
            part = rows.select(["key", "dataset", "split"])
            part = part.add_column(0, "id", ids).add_column(0, "kind", pa.array([kind] * len(ids), pa.string()))
            parts.append(part.filter(pa.compute.is_valid(part.column("id"))))
    return pa.concat_tables(parts)
