"""Near-duplicates: samples that add little to others, by pose in time and by image features.

kind
    pose-in-time   b is an earlier frame of the same person with the same pose (see `pose_runs`)
    embedding      the image features of a and b point the same way (see `near`), in one dataset or in two

Side a is the one to leave out: the later frame, or the later sample in the order of the store. What similarity makes a
duplicate depends on the backbone; look at pairs near the limit before trusting it.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalogs.attributes import files
from catalogs.attributes.code import code_sha256
from catalogs.attributes.family import to_numpy
from catalogs.attributes.near import NearLimits, near_pairs
from catalogs.attributes.pose_runs import PoseLimits, repeats
from catalogs.attributes.reading import FEATURES, Coverage, coverage, index_inputs, parts
from catalogs.attributes.source_ids import time_order
from catalogs.attributes.tables import StoreTable
from harmonize.errors import StoreError, UsageError
from harmonize.shards.index import INDEX_SCHEMA, read_table
from harmonize.shards.names import INDEX

NAME = "duplicates"
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("kind", "key_a", "dataset_a", "split_a", "key_b", "dataset_b", "split_b")),
        *((name, pa.float32()) for name in ("similarity", "distance_mm", "turn_deg")),
        ("is_capped", pa.bool_()),
    ]
)
_SIDES = ("key", "dataset", "split")
_TIME = ["sequence", "subject", "person", "frame", "body_global_orient_aa"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateLimits:
    """When two samples count as one."""

    pose: PoseLimits = field(default_factory=PoseLimits)
    near: NearLimits = field(default_factory=NearLimits)


def duplicates(store: Path, features: str | None = None, limits: DuplicateLimits | None = None) -> Any:
    """The near-duplicates of a store; made when missing or stale, else read.

    features: the family of image features to compare (`features_...`); None leaves embeddings out. Columns: kind,
    key_a, dataset_a, split_a, key_b, dataset_b, split_b, similarity, distance_mm and turn_deg (poses alone), is_capped
    (sample a has more such partners than are listed). similarity: the cosine; for poses 1 minus the larger of distance
    and turn, each in shares of its limit.

    Raises:
        UsageError: skeletons or features are missing or stale; the message has the command that makes them.
        StoreError: a file is damaged, or there is no room for a copy of the vectors.
    """
    limits = limits or DuplicateLimits()
    skeletons = coverage(store, "skeleton").check()
    vectors = None if features is None else coverage(store, _checked(features)).check()
    facts: dict[str, Any] = {"pose": asdict(limits.pose), "features": features}
    if vectors is not None:
        facts |= {"near": asdict(limits.near), "features_facts": vectors.facts}
    spec = StoreTable(
        store=Path(store),
        name=NAME,
        inputs={**index_inputs(store), **skeletons.inputs, **({} if vectors is None else vectors.inputs)},
        code_sha256=code_sha256(duplicates),
        facts=facts,
    )

    def compute() -> tuple[Any, Mapping[str, Any]]:
        tables = list(_pose_in_time(skeletons, limits.pose))
        result: dict[str, Any] = {}
        if vectors is not None:
            table, result = _embedding(vectors, limits.near)
            tables.append(table)
        found = pa.concat_tables([SCHEMA.empty_table(), *tables])
        return found.sort_by([(name, "ascending") for name in ("kind", "key_a", "key_b")]), result

    return spec.get(compute)


def _checked(features: str) -> str:
    if not features.startswith(FEATURES):
        raise UsageError(
            f"near-duplicates by features: expected a family {FEATURES}..., found {features}",
            fix="ehps describe STORE --backbone NAME, then give the family that it names",
        )
    return features


def _pose_in_time(skeletons: Coverage, limits: PoseLimits) -> Iterator[Any]:
    """The repeated poses of each split."""
    splits = defaultdict(list)
    for one in skeletons.shards:
        splits[one.folder].append(one)
    for folder, shards in splits.items():
        values = pa.concat_tables(parts(replace(skeletons, shards=tuple(shards)), ["joints_m"]))
        index = pa.concat_tables(
            read_table(folder / f"{one.shard}{INDEX}", INDEX_SCHEMA, ["key", *_TIME]) for one in shards
        ).combine_chunks()
        if not index.column("key").equals(values.column("key")):
            raise files.damaged(folder, "the keys of skeletons are not those of the index")
        names = [index.column(name).combine_chunks() for name in ("sequence", "subject", "person")]
        track = pa.compute.binary_join_element_wise(*names, "\n").dictionary_encode().indices.to_numpy()
        found = repeats(
            to_numpy(values.column("joints_m"), None),
            to_numpy(index.column("body_global_orient_aa"), None),
            track.astype(np.intp),
            time_order(index.column("frame").combine_chunks()),
            limits,
        )
        distance, turn = found.distance_mm, found.turn_deg
        numbers = {
            "similarity": 1 - np.maximum(distance / limits.max_joint_mm, turn / limits.max_turn_deg),
            "distance_mm": distance,
            "turn_deg": turn,
        }
        is_capped = np.zeros(len(found.rows), bool)
        yield _pairs("pose-in-time", values, found.rows, found.representatives, numbers, is_capped)


def _embedding(covered: Coverage, limits: NearLimits) -> tuple[Any, dict[str, Any]]:
    """Pairs of like features, and what came out."""
    with _gathered(covered) as (identity, vectors):
        groups = identity.column("dataset").combine_chunks().dictionary_encode().indices.to_numpy().astype(np.intp)
        found = near_pairs(vectors, groups, limits)
        is_known = np.asarray(vectors.any(axis=1))
    numbers = {"similarity": np.round(found.similarity, 4)}
    table = _pairs("embedding", identity, found.later, found.earlier, numbers, found.is_capped[found.later])
    result = {
        "num_vectors": int(is_known.sum()),
        "num_without_vector": int((~is_known).sum()),
        "num_capped": int(found.is_capped.sum()),
        "is_exact": len(vectors) <= limits.exact_limit,
    }
    return table, result


@contextmanager
def _gathered(covered: Coverage) -> Iterator[tuple[Any, npt.NDArray[Any]]]:
    """Identity and vectors of a family, these in a scratch file: they need not fit in memory. Null is zeros."""
    num = sum(one.num_rows for one in covered.shards)
    folder = files.store_folder(covered.store)
    identities, scratch, at = [], None, 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(prefix=".tmp-", dir=folder) as file:
            for part in parts(covered, ["vector"]):
                block = np.nan_to_num(to_numpy(part.column("vector"), None))
                if scratch is None:
                    scratch = np.memmap(file, block.dtype, "w+", shape=(max(num, 1), block.shape[1]))
                scratch[at : at + len(block)] = block
                at += len(block)
                identities.append(part.select(list(_SIDES)))
            yield pa.concat_tables(identities), np.zeros((0, 1)) if scratch is None else scratch[:num]
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot hold a copy of {num} vectors ({error.strerror})",
            fix="free space there, then run the same command again",
            path=str(folder),
        ) from error


def _pairs(
    kind: str,
    identity: Any,
    side_a: npt.NDArray[np.intp],
    side_b: npt.NDArray[np.intp],
    numbers: Mapping[str, npt.NDArray[Any]],
    is_capped: npt.NDArray[np.bool_],
) -> Any:
    columns: dict[str, Any] = {"kind": pa.array([kind] * len(side_a), pa.string()), "is_capped": pa.array(is_capped)}
    for suffix, rows in (("a", side_a), ("b", side_b)):
        taken = identity.select(list(_SIDES)).take(pa.array(rows))
        columns |= {f"{name}_{suffix}": taken.column(name) for name in _SIDES}
    columns |= {name: pa.array(values.astype(np.float32)) for name, values in numbers.items()}
    empty = pa.nulls(len(side_a), pa.float32())
    return pa.table([columns.get(name, empty) for name in SCHEMA.names], schema=SCHEMA)
