"""The files of maps: names, facts, and the shape of their tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalogs.attributes import files
from catalogs.attributes.family import IDENTITY, to_numpy
from harmonize.errors import UsageError
from harmonize.shards.manifest import digest

PREFIX, VECTORS = "map_", "vectors_of_map_"
"""How the names of maps begin, and those of the vectors that they were made of: only maps have x and y."""
_VERSIONS = "versions"
"""The fact of image features that may differ on one map: which packages computed them, not with which weights."""

Points = npt.NDArray[np.float64]


def read_map(store: Path, name: str) -> Any:
    """The stored map, whether or not the store has changed since.

    Raises:
        UsageError: there is no map of that name; the message lists those that are there.
        StoreError: it is damaged.
    """
    map_manifest(store, name)
    return files.read_attributes(files.store_folder(store), full_name(name))


def maps_in(store: Path) -> list[str]:
    """The names of the maps of a store."""
    paths = files.store_folder(store).glob(f"{PREFIX}*{files.MANIFEST}")
    return sorted(path.name.removesuffix(files.MANIFEST).removeprefix(PREFIX) for path in paths)


def map_facts(store: Path, name: str) -> dict[str, Any]:
    """What a map was made from and with.

    Raises:
        UsageError, StoreError: see `read_map`.
    """
    return dict(map_manifest(store, name).facts)


def map_manifest(store: Path, name: str) -> files.AttributeManifest:
    """The manifest of a map.

    Raises:
        UsageError, StoreError: see `read_map`.
    """
    found = files.read_manifest(files.store_folder(store), full_name(name))
    if found is None:
        raise UsageError(
            f"{store}: no map {name!r}, there are: {', '.join(maps_in(store)) or 'none'}",
            fix="make it first: catalogs.attributes.maps.make_map(store, name, source)",
        )
    return found


def map_table(identity: Any, points: Points, *, is_placed: bool) -> Any:
    """The columns of a map. points: (N, 2)."""
    xy = points.astype(np.float32)
    columns = {name: identity.column(name) for name in IDENTITY}
    columns |= {"x": pa.array(xy[:, 0]), "y": pa.array(xy[:, 1])}
    return pa.table({**columns, "is_placed": pa.array(np.full(len(xy), is_placed))})


def samples_of(table: Any) -> Any:
    """The rows of a map that it was made of."""
    return table.filter(pa.compute.invert(table.column("is_placed")))


def points_of(table: Any) -> Points:
    """(N, 2) coordinates of the rows of a map."""
    return np.column_stack([to_numpy(table.column(name), None) for name in ("x", "y")]).astype(np.float64)


def made_by(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a source that must agree on one map."""
    return {key: value for key, value in facts.items() if key != _VERSIONS}


def shown(source: str, facts: Mapping[str, Any]) -> str:
    """A source in a message: its name, backbone and weights."""
    told = [f"{key} {str(facts[key])[:16]}" for key in ("backbone", "weights_sha256") if key in facts]
    return f"{source} ({', '.join(told) or digest(dict(facts))[:12]})"


def full_name(name: str) -> str:
    """The name of the table of a map."""
    return f"{PREFIX}{name}"


def vectors_name(name: str) -> str:
    """The name of the table of the vectors that a map was made of."""
    return f"{VECTORS}{name}"
