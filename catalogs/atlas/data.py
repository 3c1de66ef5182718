"""What goes into an atlas, read from a catalog: datasets, points, maps, attributes.

The points are the samples on the store's maps; datasets that are on none give a sample of their rows, so that every
dataset can be seen. Whatever has not been computed is left out, and `Atlas` tells by what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import duckdb
import numpy as np
import numpy.typing as npt

from catalogs.atlas.measures import (
    PCA,
    POINTS,
    Measure,
    Source,
    backbone_of,
    measures,
    orientation_cells,
    sources,
    views,
)
from catalogs.attributes import FAMILIES
from catalogs.attributes.family import Family
from catalogs.cards import card
from harmonize.errors import StoreError, UnknownDatasetError

MapKind = Literal["features", "orientation", "skeleton", "other"]

_COMPONENTS = "(SELECT dataset, split, key, components[1] AS x, components[2] AS y FROM pose_space)"

UNMAPPED_POINTS = 200
"""Points of a dataset that is on no map: the order of magnitude of SMPLer-X's figure."""

PARTS = {
    "body": "body_has_body",
    "betas": "body_has_betas",
    "left hand": "body_has_left_hand",
    "right hand": "body_has_right_hand",
    "jaw": "body_has_jaw",
    "expression": "body_has_expression",
    "place": "body_has_transl",
    "metric place": "body_is_transl_metric",
    "calibrated camera": "camera_is_calibrated",
}
"""Parts whose coverage the overview shows, and the flags of the record that tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What a dataset's card says; empty texts where there is no card."""

    name: str
    title: str = ""
    year: int | None = None
    licence: str = ""
    licence_terms: str = ""
    domain: str = "unknown"
    scene: str = "unknown"
    environments: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    labels: str = ""
    references: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Numbers of one split. covered: samples that have each of `PARTS`, in its order."""

    dataset: str
    split: str
    num_samples: int
    num_rejects: int
    covered: tuple[int, ...]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Atlas:
    """Everything the page shows but the pictures. Points are sorted by dataset, split and key.

    view_deg: (N, 2) azimuth and elevation of the view of each point, NaN where there is no body. cells: (D, 216)
    samples in each cell of viewing directions. orientation: relation in which a query finds azimuth_deg and
    elevation_deg. missing: families that no shard of the store has.
    """

    is_standin: bool
    datasets: tuple[Dataset, ...]
    splits: tuple[Split, ...]
    keys: tuple[tuple[str, str, str], ...]
    maps: tuple[Map, ...]
    view_deg: npt.NDArray[np.float32]
    cells: npt.NDArray[np.uint32]
    orientation: str
    measures: tuple[Measure, ...]
    missing: tuple[str, ...]


def gather(
    con: duckdb.DuckDBPyConnection,
    *,
    num_points: int,
    families: Sequence[Family] | None = None,
    map_facts: Mapping[str, Mapping[str, Any]] | None = None,
) -> Atlas:
    """The atlas of a catalog. num_points: at most so many points a dataset. families: default all there are.

    map_facts: what each map was made with, by name, as the manifests of their tables say it.

    Raises:
        StoreError: a file of the store is damaged, or was replaced since the catalog was opened.
    """
    families = list(FAMILIES.values()) if families is None else families
    cursor = con.cursor()
    try:
        return _gather(cursor, num_points, families, map_facts or {})
    except (duckdb.IOException, duckdb.InternalException) as error:
        raise StoreError(
            f"a file of the store cannot be read: {error}", fix="run `ehps verify` on the store"
        ) from error
    finally:
        cursor.close()


def _gather(
    cursor: duckdb.DuckDBPyConnection,
    num_points: int,
    families: Sequence[Family],
    map_facts: Mapping[str, Mapping[str, Any]],
) -> Atlas:
    splits = _splits(cursor)
    names = sorted({split.dataset for split in splits})
    found = views(cursor)
    keys = _make_points(cursor, num_points, has_maps="maps" in found)
    read = sources(cursor, families)
    orientation = next(source for source in read if source.family == "orientation")
    standin = cursor.execute("SELECT bool_or(is_standin) FROM datasets").fetchall()[0][0]
    return Atlas(
        is_standin=bool(standin),
        datasets=tuple(describe(name) for name in names),
        splits=splits,
        keys=keys,
        maps=_maps(cursor, len(keys), found, map_facts),
        view_deg=_views_of_points(cursor, orientation),
        cells=orientation_cells(cursor, orientation, names),
        orientation=" ".join(orientation.relation.split()),
        measures=tuple(measure for source in read for measure in measures(cursor, source, names)),
        missing=tuple(sorted(one.name for one in families if not found.get(one.name))),
    )


def describe(name: str) -> Dataset:
    """What the dataset's card says."""
    try:
        about = card(name)
    except UnknownDatasetError:
        return Dataset(name=name)
    return Dataset(
        name=name,
        title=about.title,
        year=about.year,
        licence=about.licence.kind,
        licence_terms=about.licence.terms,
        domain=about.domain,
        scene=about.scene,
        environments=tuple(about.environments),
        origins=tuple(about.labels.origins),
        labels=about.labels.detail,
        references=tuple(about.references),
        defects=tuple(defect.what for defect in about.defects),
    )


def map_kind(name: str) -> MapKind:
    """What a map shows, by its name."""
    for kind, words in (("features", ("feature",)), ("orientation", ("orient",)), ("skeleton", ("skelet", "pose"))):
        if any(word in name for word in words):
            return kind  # type: ignore[return-value]
    return "other"


def _splits(con: duckdb.DuckDBPyConnection) -> tuple[Split, ...]:
    counted = ", ".join(f"count(*) FILTER ({flag})" for flag in PARTS.values())
    sql = (
        "SELECT d.dataset, d.split, sum(d.num_samples)::BIGINT, sum(d.num_rejects)::BIGINT, any_value(c.covered) "
        f"FROM datasets d LEFT JOIN (SELECT dataset, split, [{counted}] AS covered FROM instances GROUP BY ALL) c "
        "USING (dataset, split) GROUP BY ALL ORDER BY ALL"
    )
    return tuple(
        Split(
            dataset=dataset,
            split=split,
            num_samples=samples,
            num_rejects=rejects,
            covered=tuple(covered or [0] * len(PARTS)),
        )
        for dataset, split, samples, rejects, covered in con.execute(sql).fetchall()
    )


def _make_points(
    con: duckdb.DuckDBPyConnection, num_points: int, *, has_maps: bool
) -> tuple[tuple[str, str, str], ...]:
    """Chosen by a hash of their keys: more points keep those that fewer points had."""
    mapped = (
        "SELECT dataset, split, key FROM maps GROUP BY ALL"
        if has_maps
        else "SELECT dataset, split, key FROM instances WHERE false"
    )
    few = min(num_points, UNMAPPED_POINTS)
    rank = "row_number() OVER (PARTITION BY dataset ORDER BY md5(key), key)"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {POINTS} AS "
        f"WITH mapped AS ({mapped}), "
        "unmapped AS (SELECT dataset, split, key FROM instances WHERE dataset NOT IN (SELECT dataset FROM mapped)), "
        f"chosen AS (SELECT * FROM mapped QUALIFY {rank} <= {num_points} "
        f"UNION ALL SELECT * FROM unmapped QUALIFY {rank} <= {few}) "
        "SELECT (row_number() OVER (ORDER BY dataset, split, key) - 1)::INTEGER AS i, dataset, split, key FROM chosen"
    )
    return tuple(con.execute(f"SELECT dataset, split, key FROM {POINTS} ORDER BY i").fetchall())


def _maps(
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


def _views_of_points(con: duckdb.DuckDBPyConnection, source: Source) -> npt.NDArray[np.float32]:
    sql = (
        f"SELECT azimuth_deg, elevation_deg FROM {POINTS} p "
        f"LEFT JOIN {source.relation} USING (dataset, split, key) ORDER BY p.i"
    )
    columns = con.execute(sql).fetchnumpy()
    return np.stack(
        [np.ma.filled(np.ma.asarray(columns[name], np.float32), np.nan) for name in ("azimuth_deg", "elevation_deg")], 1
    )
