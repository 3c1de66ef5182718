"""The basis of a store's poses: principal components of its skeletons and the centres of their clusters.

Fitted once on a sample that is balanced over datasets (at most SAMPLES_PER_DATASET rows of each, from at most
SHARDS_PER_DATASET of its shards, drawn with SEED), and kept: what is computed with it stays comparable while shards
come and change. It is fitted again only on request (`refit`), or when the skeletons are of another body model. With
fewer samples than components the missing components are zero, with variance 0.

    <store>/attributes/pose_basis/<hash12>.npz    the numbers, plain arrays; the hash is that of this file
                                  current.json    which one is in use, and of which body model
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import defaultdict
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from catalogs.attributes import files
from catalogs.attributes.engine import scope_of, shards_of
from catalogs.attributes.family import Scope, to_numpy
from catalogs.attributes.pose_clusters import k_means
from harmonize.errors import StoreError, UsageError
from harmonize.shards.manifest import canonical
from harmonize.shards.names import parse_shard_name
from harmonize.whole import write_whole

Floats = npt.NDArray[np.floating[Any]]

NUM_COMPONENTS, MAX_CLUSTERS = 16, 64
SAMPLES_PER_DATASET, SHARDS_PER_DATASET, SEED = 2000, 32, 20240117
MIN_SAMPLES_PER_CLUSTER = 4
SKELETON, VALUES = "skeleton", "joints_m"

_FOLDER, _CURRENT = "pose_basis", "current.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseBasis:
    """Metres. mean (66,), components (16, 66) orthonormal rows or zero, variance_m2 (16,) along them in descending
    order, residual_m2: mean variance of the directions left out; centres (K, 16) of the clusters in the space of the
    components, the largest cluster first; num_samples it was fitted on."""

    mean: Floats
    components: Floats
    variance_m2: Floats
    residual_m2: Floats
    centres: Floats
    num_samples: npt.NDArray[np.int64]


def current_or_fit(scope: Scope) -> tuple[PoseBasis, str] | None:
    """The store's basis and its hash (64 hex digits); fitted and kept when there is none for these skeletons.

    None where no sample has a skeleton: a store of 2D points only, or of bodies whose legs nobody knows.

    Raises:
        UsageError: skeletons have not been computed.
        StoreError: the basis or a skeleton file is damaged, or the disk is full.
    """
    body_model = _body_model(scope)
    folder = files.store_folder(scope.store) / _FOLDER
    try:
        pointer = json.loads((folder / _CURRENT).read_bytes())
        is_ours, digest = pointer["body_model"] == body_model, str(pointer["basis"])
    except FileNotFoundError:
        return fit(scope)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise files.damaged(folder / _CURRENT, str(error)) from error
    return (_load(folder, digest), digest) if is_ours else fit(scope)


def fit(scope: Scope) -> tuple[PoseBasis, str] | None:
    """Fit the basis to the store's skeletons as they are now, and put it into use; None where there are none."""
    body_model = _body_model(scope)
    skeletons = sample(scope)
    if not len(skeletons):
        return None
    basis = fitted(skeletons)
    sink = io.BytesIO()
    np.savez(sink, allow_pickle=False, **{item.name: getattr(basis, item.name) for item in fields(PoseBasis)})
    digest = hashlib.sha256(sink.getvalue()).hexdigest()
    folder = files.store_folder(scope.store) / _FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / f"{digest[:12]}.npz", sink.getvalue())
        write_whole(folder / _CURRENT, canonical({"basis": digest, "body_model": body_model}))
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot write ({error.strerror})",
            fix="free space or mend the permissions, then run the same command again: it goes on from here",
            path=str(folder),
        ) from error
    return basis, digest


def sample(scope: Scope) -> Floats:
    """Skeletons (S, 66) in metres of a balanced sample of the store, datasets in order of their names.

    Raises:
        UsageError: a shard that is needed has no table of skeletons.
    """
    shards: dict[str, list[str]] = defaultdict(list)
    for shard in sorted(scope.shards):
        parsed = parse_shard_name(shard)
        shards["" if parsed is None else parsed[0]].append(shard)
    rng = np.random.default_rng(SEED)
    parts = []
    for dataset in sorted(shards):
        chosen = rng.permutation(shards[dataset])[:SHARDS_PER_DATASET]
        rows = np.concatenate([_skeletons(scope, str(shard)) for shard in sorted(chosen)])
        parts.append(rows[np.sort(rng.permutation(len(rows))[:SAMPLES_PER_DATASET])])
    return np.asarray(np.concatenate(parts), np.float64)


def fitted(skeletons: Floats) -> PoseBasis:
    """The basis of skeletons (S, 66), float64. Each component's largest loading is positive."""
    mean = skeletons.mean(axis=0)
    centred = skeletons - mean
    variance, directions = np.linalg.eigh(centred.T @ centred / len(skeletons))
    variance, directions = np.maximum(variance[::-1], 0), directions[:, ::-1].T
    num = min(NUM_COMPONENTS, len(skeletons) - 1)
    kept = directions[:num]
    kept = kept * np.sign(np.take_along_axis(kept, np.abs(kept).argmax(axis=1)[:, None], axis=1))
    components = np.zeros((NUM_COMPONENTS, skeletons.shape[1]))
    components[:num] = kept
    spread = np.zeros(NUM_COMPONENTS)
    spread[:num] = variance[:num]
    num_clusters = max(1, min(MAX_CLUSTERS, len(skeletons) // MIN_SAMPLES_PER_CLUSTER))
    return PoseBasis(
        mean=mean,
        components=components,
        variance_m2=spread,
        residual_m2=variance[NUM_COMPONENTS:].mean(),
        centres=k_means(centred @ components.T, num_clusters, SEED),
        num_samples=np.array(len(skeletons)),
    )


def refit(store: Path) -> str | None:
    """Fit a store's basis anew and put it into use: all values of pose_space are stale then. Returns its hash.

    None where no sample has a skeleton.

    Raises:
        UsageError: there is no finished shard, or skeletons are missing.
    """
    scope = scope_of(store, shards_of(store), None)
    found = fit(scope)
    return None if found is None else found[1]


def _skeletons(scope: Scope, shard: str) -> Floats:
    """The skeletons (S, 66) of a shard's samples that have one."""
    folder = files.folder_of(scope.shards[shard], SKELETON)
    if files.read_manifest(folder, shard) is None:
        raise _missing(shard)
    column = files.read_attributes(folder, shard, [VALUES]).column(VALUES)
    return to_numpy(column.drop_null(), None)


def _body_model(scope: Scope) -> str:
    """The hash of the body model that the skeletons are of, as the first shard says."""
    shard = min(scope.shards)
    manifest = files.read_manifest(files.folder_of(scope.shards[shard], SKELETON), shard)
    if manifest is None:
        raise _missing(shard)
    return str(manifest.facts["body_model"])


def _missing(shard: str) -> UsageError:
    return UsageError(
        f"attributes pose_space: expected {SKELETON} of {shard}, found none",
        fix=f"ehps describe STORE --attributes {SKELETON}",
    )


def _load(folder: Path, digest: str) -> PoseBasis:
    path = folder / f"{digest[:12]}.npz"
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise ValueError("its hash is not the one it is kept under")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return PoseBasis(**{item.name: stored[item.name] for item in fields(PoseBasis)})
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise files.damaged(path, str(error)) from error
