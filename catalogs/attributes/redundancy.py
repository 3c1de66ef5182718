"""Redundancy of a store: what its datasets repeat, inside themselves and of each other.

    overlaps(store)                 pictures and recordings that datasets or splits share
    shared_pictures(store)          the samples concerned
    duplicates(store, features)     near-duplicates by pose in time and by image features
    redundancy(store, table)        shares of each dataset that those make up

Tables over the whole store, kept in `STORE/attributes/` with what they were made from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from catalogs.attributes import engine
from catalogs.attributes.duplicates import DuplicateLimits, duplicates
from catalogs.attributes.near import NearLimits
from catalogs.attributes.overlaps import overlaps, shared_pictures
from catalogs.attributes.pose_runs import PoseLimits

__all__ = [
    "DuplicateLimits",
    "NearLimits",
    "PoseLimits",
    "duplicates",
    "overlaps",
    "redundancy",
    "shared_pictures",
]

_SUMMARY = """
WITH counts AS (SELECT dataset, sum(num) AS num FROM samples GROUP BY dataset),
found AS (
    SELECT dataset_a AS dataset,
           count(DISTINCT key_a) FILTER (kind = 'pose-in-time') AS num_pose,
           count(DISTINCT key_a) FILTER (kind = 'embedding' AND dataset_a = dataset_b) AS num_embedding,
           count(DISTINCT key_a) FILTER (dataset_a = dataset_b) AS num_redundant
    FROM pairs GROUP BY dataset_a
), sides AS (
    SELECT dataset_a AS dataset, key_a AS key FROM pairs WHERE dataset_a <> dataset_b
    UNION SELECT dataset_b, key_b FROM pairs WHERE dataset_a <> dataset_b
), across AS (SELECT dataset, count(*) AS num_across FROM sides GROUP BY dataset)
SELECT dataset, num::BIGINT AS num_samples, coalesce(num_pose, 0) AS num_pose_in_time,
       coalesce(num_embedding, 0) AS num_embedding, coalesce(num_redundant, 0) AS num_redundant,
       coalesce(num_redundant, 0) / nullif(num, 0) AS share_redundant,
       coalesce(num_across, 0) AS num_across, coalesce(num_across, 0) / nullif(num, 0) AS share_across
FROM counts LEFT JOIN found USING (dataset) LEFT JOIN across USING (dataset)
ORDER BY dataset
"""


def redundancy(store: Path, pairs: Any) -> Any:
    """How much of each dataset could be left out, from the table of `duplicates`.

    Columns: dataset, num_samples, num_pose_in_time, num_embedding (samples that repeat another of the dataset),
    num_redundant and share_redundant (either), num_across and share_across (samples with a near-duplicate in another
    dataset; partners beyond the cap are not counted).

    Raises:
        UsageError, StoreError: see `engine.shards_of`.
    """
    manifests = [manifest for _, manifest in engine.shards_of(store)]
    samples = pa.table(
        {"dataset": [one.dataset for one in manifests], "num": [one.num_samples for one in manifests]},
        schema=pa.schema([("dataset", pa.string()), ("num", pa.int64())]),
    )
    with duckdb.connect() as connection:
        connection.register("samples", samples)
        connection.register("pairs", pairs)
        return connection.sql(_SUMMARY).to_arrow_table()
