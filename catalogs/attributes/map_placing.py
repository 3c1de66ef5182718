"""New data on a map that is there: places by the vectors of the samples that the map was made of."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalogs.attributes import files
from catalogs.attributes.family import IDENTITY, to_numpy
from catalogs.attributes.map_files import (
    full_name,
    made_by,
    map_manifest,
    map_table,
    points_of,
    read_map,
    samples_of,
    shown,
    vectors_name,
)
from catalogs.attributes.map_layout import comparable, pca, place, project
from catalogs.attributes.map_sampling import open_source
from catalogs.attributes.tables import RESULT, StoreTable
from harmonize.errors import UsageError
from harmonize.shards.manifest import digest


def place_on_map(store: Path, name: str, keys: Collection[str] | None = None) -> Any:
    """Put samples of the store onto its map, beside those that it was made of; returns and stores the whole map.

    keys: None takes all samples with a vector. The map stays as it is, also when the store has grown since; places of
    an earlier call are replaced.

    Raises:
        UsageError: see `placed`.
        StoreError: a file is damaged, or the store cannot be written to.
    """
    points = placed(store, name, store, keys)
    found = map_manifest(store, name)
    samples = samples_of(read_map(store, name))
    taken = set(samples.column("key").to_pylist())
    new = points.filter(pa.array([key not in taken for key in points.column("key").to_pylist()], pa.bool_()))
    table = pa.concat_tables([samples, new])
    inputs = open_source(store, found.facts["source"]).inputs
    result = {**found.facts[RESULT], "placed": {"num": new.num_rows, "inputs_sha256": digest(dict(inputs))}}
    facts = {key: value for key, value in found.facts.items() if key != RESULT}
    spec = StoreTable(
        store=Path(store), name=full_name(name), inputs=found.inputs, code_sha256=found.code_sha256, facts=facts
    )
    spec.write(table, result)
    return table


def placed(store: Path, name: str, data: Path, keys: Collection[str] | None = None) -> Any:
    """Where samples of a store `data` (the map's own, or another) lie on a map: its columns; nothing is written.

    Raises:
        UsageError: there is no such map; a key is not in `data`, or has no vector; the vectors of `data` come from
            other weights than those of the map.
        StoreError: a file is damaged.
    """
    found = map_manifest(store, name)
    source = open_source(data, found.facts["source"])
    if made_by(source.facts) != made_by(found.facts["source_facts"]):
        raise UsageError(
            f"map {name}: expected vectors made by {shown(source.name, found.facts['source_facts'])}, found "
            f"{shown(source.name, source.facts)}",
            fix=f"ehps describe {data} with what the map was made with, or make a map of another name",
        )
    samples = samples_of(read_map(store, name))
    folder = files.store_folder(store)
    beside = files.read_manifest(folder, vectors_name(name))
    if beside is None or beside.sha256 != found.facts[RESULT]["vectors_sha256"]:
        raise files.damaged(folder / full_name(name), "the vectors beside it are not those it was made of")
    table = files.read_attributes(folder, vectors_name(name))
    vectors, places = to_numpy(table.column("vector"), None), points_of(samples)
    result, metric = found.facts[RESULT], found.facts["metric"]
    basis = pca(comparable(vectors, metric))[:2] if found.facts["method"] == "pca" else None
    wanted = None if keys is None else set(keys)
    parts = [map_table(samples.select(list(IDENTITY)).slice(0, 0), np.zeros((0, 2)), is_placed=True)]
    for identity, block in source.parts():
        chosen = np.isfinite(block).all(axis=1)
        if wanted is not None:
            chosen &= np.array([key in wanted for key in identity.column("key").to_pylist()], bool)
        block = block[chosen]
        if not len(block):
            continue
        _check_width(name, vectors, block)
        if basis is None:
            points = place(block, vectors, places, metric, result["n_neighbors"])
        else:
            points = project(comparable(block, metric), *basis)
        parts.append(map_table(identity.filter(pa.array(chosen)), points, is_placed=True))
    out = pa.concat_tables(parts)
    missing = sorted((wanted or set()).difference(out.column("key").to_pylist()))
    if missing:
        raise UsageError(
            f"{data}: {len(missing)} of {len(wanted or ())} samples are not there, or have no {source.name} (first: "
            f"{missing[0]})",
            fix=f'ehps query {data} "SELECT key FROM instances LIMIT 10"',
        )
    return out


def _check_width(name: str, samples: npt.NDArray[Any], block: npt.NDArray[Any]) -> None:
    if block.shape[1] != samples.shape[1]:
        raise UsageError(
            f"map {name}: expected vectors of {samples.shape[1]} numbers, found {block.shape[1]}",
            fix="make a map of another name from these vectors",
        )
