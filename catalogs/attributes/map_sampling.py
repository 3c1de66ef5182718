"""What a map is drawn from: the vectors of a source, and the samples that stand for each dataset.

Sources: a family of image features (`features_...`), `skeleton` (22 joints in metres), and `orientation`: the nine
numbers of the rotation matrix of `global_orient`, as SMPLer-X's Figure 2c has it; distances between axis-angle vectors
mean nothing (a turn by 179 degrees and one by 181 are far apart).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalogs.attributes import engine
from catalogs.attributes.family import IDENTITY, to_numpy
from catalogs.attributes.reading import FEATURES, coverage, index_inputs, parts
from harmonize.errors import UsageError
from harmonize.geometry.rotations import aa_to_rotmat
from harmonize.shards.index import INDEX_SCHEMA, read_table
from harmonize.shards.names import INDEX

Vectors = npt.NDArray[Any]
ORIENTATION, SKELETON = "orientation", "skeleton"
_VECTOR = {SKELETON: "joints_m"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where vectors come from. facts: what made them; parts: identity (key, dataset, split) and (N, D) of each shard,
    a row of NaN where a sample has none.
    """

    name: str
    inputs: Mapping[str, str]
    facts: Mapping[str, Any]
    parts: Callable[[], Iterator[tuple[Any, Vectors]]]

    @property
    def metric(self) -> str:
        """How vectors are compared unless said otherwise: image features by their direction."""
        return "cosine" if self.name.startswith(FEATURES) else "euclidean"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSample:
    """identity: key, dataset, split; vectors: (N, D), none of NaN; num_without_vector: by dataset."""

    identity: Any
    vectors: Vectors
    num_without_vector: Mapping[str, int]


def open_source(store: Path, name: str) -> Source:
    """A source of vectors in a store.

    Raises:
        UsageError: there is no such source, or its family is missing or stale: the message has the command.
    """
    if name == ORIENTATION:
        return Source(name=name, inputs=index_inputs(store), facts={}, parts=lambda: _orientations(store))
    if name != SKELETON and not name.startswith(FEATURES):
        raise UsageError(
            f"no map of {name!r}: expected {ORIENTATION}, {SKELETON} or a family of image features ({FEATURES}...)",
            fix=f"ehps describe {store} --backbone NAME makes image features",
        )
    covered = coverage(store, name).check()
    column = _VECTOR.get(name, "vector")

    def values() -> Iterator[tuple[Any, Vectors]]:
        for part in parts(covered, [column]):
            yield part.select(list(IDENTITY)), to_numpy(part.column(column), None)

    return Source(name=name, inputs=covered.inputs, facts=covered.facts, parts=values)


def choose(source: Source, per_dataset: int, seed: int) -> MapSample:
    """The samples with a vector whose keys come first by hash: as many of each dataset, in order of dataset and key.

    Which those are depends on seed and key alone, so all maps of a store show the same samples where these have all
    vectors. Memory is that of the chosen ones and one shard.
    """
    best: dict[str, list[tuple[bytes, str, str, Vectors]]] = defaultdict(list)
    num_without: dict[str, int] = defaultdict(int)
    for identity, vectors in source.parts():
        is_known: Any = np.isfinite(vectors).all(axis=1)
        keys, datasets, splits = (identity.column(name).to_pylist() for name in IDENTITY)
        rows = zip(keys, datasets, splits, is_known, vectors, strict=True)
        changed = set()
        for key, dataset, split, known, vector in rows:
            if known:
                best[dataset].append((hashlib.sha256(f"{seed}/{key}".encode()).digest(), key, split, vector))
                changed.add(dataset)
            else:
                num_without[dataset] += 1
        for dataset in changed:
            kept = sorted(best[dataset], key=lambda row: row[:3])[:per_dataset]
            best[dataset] = [(order, key, split, vector.copy()) for order, key, split, vector in kept]
    chosen = [
        (key, dataset, split, vector)
        for dataset in sorted(best)
        for _, key, split, vector in sorted(best[dataset], key=lambda row: row[1])
    ]
    columns = {name: pa.array([row[i] for row in chosen], pa.string()) for i, name in enumerate(IDENTITY)}
    vectors = np.stack([row[3] for row in chosen]) if chosen else np.zeros((0, 0), np.float32)
    return MapSample(identity=pa.table(columns), vectors=vectors, num_without_vector=dict(num_without))


def _orientations(store: Path) -> Iterator[tuple[Any, Vectors]]:
    columns = [*IDENTITY, "body_global_orient_aa", "body_has_body"]
    for folder, manifest in engine.shards_of(store):
        shard = manifest.name
        table = read_table(folder / f"{shard}{INDEX}", INDEX_SCHEMA, columns)
        rotmats = aa_to_rotmat(to_numpy(table.column("body_global_orient_aa"), None)).reshape(-1, 9)
        has_body = np.asarray(table.column("body_has_body"))
        yield table.select(list(IDENTITY)), np.where(has_body[:, None], rotmats, np.nan).astype(np.float32)
