"""2-D maps of a store: a fixed number of samples of each dataset, laid out by UMAP or PCA.

    make_map(store, "skeleton", "skeleton")                 STORE/attributes/map_skeleton.parquet
    keep_map(store, "skeleton", "skeleton")                 the same, but an existing one takes new data as it is
    make_map(store, "quick", "orientation", method="pca")
    place_on_map(store, "skeleton", keys)                   more samples on the map that is there

Columns: key, dataset, split, x, y (no unit, no meaning but nearness), is_placed (not one of the samples that the map
was made of). The samples' vectors lie beside, in `vectors_of_map_NAME`, so that new data finds its place years later
without the fitted object. The map's facts say all that it depends on: source and what made it (backbone, weights,
preprocessing), method, parameters, seed, samples a dataset, version, and which datasets are on it or left out.

SMPLer-X (arXiv 2309.17448, Figure 2) shows such maps without their parameters; its own data suggest about 200 samples a
dataset, which is the default here.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from catalogs.attributes import files
from catalogs.attributes.code import code_sha256
from catalogs.attributes.map_files import (
    Points,
    full_name,
    made_by,
    map_facts,
    map_manifest,
    map_table,
    maps_in,
    read_map,
    samples_of,
    shown,
    vectors_name,
)
from catalogs.attributes.map_layout import METRICS, Method, UmapLimits, comparable, pca, project, umap_layout
from catalogs.attributes.map_placing import place_on_map, placed
from catalogs.attributes.map_sampling import MapSample, Source, choose, open_source
from catalogs.attributes.reading import FEATURES
from catalogs.attributes.tables import RESULT, StoreTable
from harmonize.errors import UsageError
from harmonize.shards.manifest import digest

__all__ = ["UmapLimits", "keep_map", "make_map", "map_facts", "maps_in", "place_on_map", "placed", "read_map"]

MIN_SAMPLES = 3
_NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


def make_map(
    store: Path,
    name: str,
    source: str,
    *,
    method: Method = "umap",
    per_dataset: int = 200,
    seed: int = 0,
    metric: str | None = None,
    umap: UmapLimits | None = None,
    replace: bool = False,
) -> Any:
    """The map of that name, made from `source` when missing or stale, else read; points placed on it are kept then.

    source: see `map_sampling`. metric: None takes cosine for image features, else Euclidean. replace: an existing map
    of other image features gives way.

    Raises:
        UsageError: the source is not there, or not for all shards; the name is taken by a map of other image features;
            fewer than 3 samples have a vector.
        StoreError: a file is damaged, or the store cannot be written to.
    """
    _check(name, method, metric)
    vectors_of = open_source(store, source)
    if not replace:
        _check_backbone(store, name, vectors_of)
    metric = metric or vectors_of.metric
    limits = umap or UmapLimits()
    spec = _spec(store, name, vectors_of, method, metric, per_dataset, seed, limits)

    def compute() -> tuple[Any, Mapping[str, Any]]:
        sample = choose(vectors_of, per_dataset, seed)
        if len(sample.vectors) < MIN_SAMPLES:
            raise UsageError(
                f"map {name}: expected at least {MIN_SAMPLES} samples with {source}, found {len(sample.vectors)}",
                fix="ingest pictures for image features, or body fits for skeletons and orientations",
            )
        points, result = _laid_out(sample, method, metric, limits, seed)
        kept = _keep_vectors(store, name, sample, spec)
        return map_table(sample.identity, points, is_placed=False), {**_datasets(sample), **result, **kept}

    return spec.get(compute)


def keep_map(store: Path, name: str, source: str, *, method: Method = "umap") -> Any:
    """The map of that name as it was laid out, with what came into the store since placed on it.

    Of each dataset the same number of samples is on the map as when it was made, chosen the same way. It is laid out
    when there is none, or when its vectors are made otherwise now; `make_map` lays it out anew.

    Raises:
        UsageError, StoreError: see `make_map`.
    """
    if name not in maps_in(store):
        return make_map(store, name, source, method=method)
    vectors_of = open_source(store, source)
    _check_backbone(store, name, vectors_of)
    found = map_manifest(store, name)
    if made_by(vectors_of.facts) != made_by(found.facts["source_facts"]):
        return make_map(store, name, source, method=method, replace=True)
    seen = (digest(dict(found.inputs)), found.facts[RESULT].get("placed", {}).get("inputs_sha256"))
    if digest(dict(vectors_of.inputs)) in seen:
        return read_map(store, name)
    today = choose(vectors_of, int(found.facts["per_dataset"]), int(found.facts["seed"]))
    on_map = set(samples_of(read_map(store, name)).column("key").to_pylist())
    return place_on_map(store, name, [key for key in today.identity.column("key").to_pylist() if key not in on_map])


def _spec(
    store: Path,
    name: str,
    source: Source,
    method: Method,
    metric: str,
    per_dataset: int,
    seed: int,
    limits: UmapLimits,
) -> StoreTable:
    facts: dict[str, Any] = {
        "source": source.name,
        "source_facts": dict(source.facts),
        "method": method,
        "per_dataset": per_dataset,
        "seed": seed,
        "metric": metric,
    }
    if method == "umap":
        facts |= {"umap": asdict(limits), "umap_version": _version("umap-learn")}
    return StoreTable(
        store=Path(store), name=full_name(name), inputs=source.inputs, code_sha256=code_sha256(make_map), facts=facts
    )


def _laid_out(
    sample: MapSample, method: Method, metric: str, limits: UmapLimits, seed: int
) -> tuple[Points, dict[str, Any]]:
    if method == "pca":
        vectors = comparable(sample.vectors, metric)
        mean, directions, shares = pca(vectors)
        return project(vectors, mean, directions), {"variance_shares": shares.round(6).tolist()}
    num_neighbors = min(limits.n_neighbors, len(sample.vectors) - 1)
    points = umap_layout(sample.vectors, metric, limits, num_neighbors, seed)
    return points, {"n_neighbors": num_neighbors}


def _keep_vectors(store: Path, name: str, sample: MapSample, spec: StoreTable) -> dict[str, str]:
    width = sample.vectors.shape[1]
    flat = pa.array(np.ascontiguousarray(sample.vectors).reshape(-1))
    table = sample.identity.append_column("vector", pa.FixedSizeListArray.from_arrays(flat, width))
    beside = StoreTable(
        store=Path(store),
        name=vectors_name(name),
        inputs=spec.inputs,
        code_sha256=spec.code_sha256,
        facts=spec.facts,
    )
    return {"vectors_sha256": beside.write(table, {}).sha256}


def _datasets(sample: MapSample) -> dict[str, Any]:
    on_map = Counter(sample.identity.column("dataset").to_pylist())
    left_out = sorted(set(sample.num_without_vector) - set(on_map))
    num_without = dict(sorted(sample.num_without_vector.items()))
    return {"num_samples": dict(sorted(on_map.items())), "num_without_vector": num_without, "left_out": left_out}


def _check_backbone(store: Path, name: str, source: Source) -> None:
    """A map of one backbone's features is never silently made again from another's: points of both would be mixed."""
    found = files.read_manifest(files.store_folder(store), full_name(name))
    if found is None or not found.facts["source"].startswith(FEATURES):
        return
    before, now = found.facts["source"], source.name
    if before != now or made_by(found.facts["source_facts"]) != made_by(source.facts):
        raise UsageError(
            f"map {name}: it is of {shown(before, found.facts['source_facts'])}, and was asked for of "
            f"{shown(now, source.facts)}",
            fix="choose another name for the new map, or replace the old one (replace=True)",
        )


def _check(name: str, method: str, metric: str | None) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a map", fix="use small letters and digits, with underscores between")
    if method not in ("umap", "pca"):
        raise UsageError(f"map {name}: no method {method!r}", fix="choose umap or pca")
    if metric is not None and metric not in METRICS:
        raise UsageError(f"map {name}: no metric {metric!r}", fix=f"choose among {', '.join(METRICS)}")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
