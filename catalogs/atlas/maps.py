"""The maps of a store: where its points lie in the plane, and where a query finds the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import duckdb
import numpy as np
import numpy.typing as npt

from catalogs.atlas.measures import PCA, POINTS, backbone_of

MapKind = Literal["features", "orientation", "skeleton", "other"]

_COMPONENTS = "(SELECT dataset, split, key, components[1] AS x, components[2] AS y FROM pose_space)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """A map of the store. xy: (N, 2) float32 in the order of the points, NaN for points that are not on it.

    relation and condition: where a query finds the columns x and y. axes: names of both, with units.
    """

    name: str
    kind: MapKind
    xy: npt.NDArray[np.float32]
    caption: str
    axes: tuple[str, str]
    relation: str
    condition: str

    @property
    def title(self) -> str:
        """Its name for people: the backbone of a map of features."""
        return backbone_of(self.name)[0] if self.kind == "features" else self.name.replace("_", " ")


def read_maps(
    con: duckdb.DuckDBPyConnection,
    num: int,
    found: dict[str, frozenset[str]],
    map_facts: Mapping[str, Mapping[str, Any]],
) -> tuple[Map, ...]:
    """Those by UMAP before those by PCA, by name; the poses' own components where no map of skeletons was made."""
    made = []
    if "maps" in found:
        names = [name for (name,) in con.execute("SELECT DISTINCT map FROM maps ORDER BY ALL").fetchall()]
        for name in sorted(names, key=lambda name: (name.endswith(PCA), name)):
            sql = f"SELECT i, x, y FROM maps JOIN {POINTS} USING (dataset, split, key) WHERE map = $name"
            method = "principal component" if name.endswith(PCA) else "UMAP dimension"
            made.append(
                Map(
                    name=name,
                    kind=map_kind(name),
                    xy=_placed(con, sql, {"name": name}, num),
                    caption=_caption(name, map_facts.get(name, {})),
                    axes=(f"{method} 1 (no unit)", f"{method} 2 (no unit)"),
                    relation="maps",
                    condition="map = '{}'".format(name.replace("'", "''")),
                )
            )
    if "components" in found.get("pose_space", ()) and all(one.kind != "skeleton" for one in made):
        sql = f"SELECT i, x, y FROM {_COMPONENTS} JOIN {POINTS} USING (dataset, split, key)"
        made.append(
            Map(
                name="pose_space",
                kind="skeleton",
                xy=_placed(con, sql, {}, num),
                caption="Principal components.",
                axes=("principal component 1 [m]", "principal component 2 [m]"),
                relation=_COMPONENTS,
                condition="x IS NOT NULL",
            )
        )
    return tuple(one for one in made if np.isfinite(one.xy).any())


def map_kind(name: str) -> MapKind:
    """What a map shows, by its name."""
    for kind, words in (("features", ("feature",)), ("orientation", ("orient",)), ("skeleton", ("skelet", "pose"))):
        if any(word in name for word in words):
            return kind  # type: ignore[return-value]
    return "other"


def _caption(name: str, facts: Mapping[str, Any]) -> str:
    settings = facts.get("umap", {})
    known = {
        "neighbours": settings.get("n_neighbors"),
        "least distance": settings.get("min_dist"),
        "seed": facts.get("seed"),
        "at most a dataset": facts.get("per_dataset"),
        "weights": backbone_of(name)[1] or None,
    }
    listed = ", ".join(f"{what} {value}" for what, value in known.items() if value is not None)
    method = "Principal components" if name.endswith(PCA) else "UMAP"
    return f"{method} ({listed})." if listed else f"{method}."


def _placed(con: duckdb.DuckDBPyConnection, sql: str, params: dict[str, Any], num: int) -> npt.NDArray[np.float32]:
    columns = con.execute(sql, params).fetchnumpy()
    xy = np.full((num, 2), np.nan, np.float32)
    rows = np.asarray(columns["i"])
    xy[rows, 0], xy[rows, 1] = (np.ma.filled(np.ma.asarray(columns[name], np.float32), np.nan) for name in ("x", "y"))
    return xy
