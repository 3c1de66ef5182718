"""What goes into an atlas, read from a catalog: datasets, points, maps, attributes.

The points are the samples on the store's maps; datasets that are on none give a sample of their rows, so that every
dataset can be seen. Whatever has not been computed is left out, and `Atlas` tells by what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from catalogs.atlas.maps import Map, read_maps
from catalogs.atlas.measures import (
    POINTS,
    Measure,
    Source,
    measures,
    orientation_cells,
    sources,
    views,
)
from catalogs.attributes import FAMILIES
from catalogs.attributes.family import Family
from catalogs.cards import card
from harmonize.errors import StoreError, UnknownDatasetError

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
        maps=read_maps(cursor, len(keys), found, map_facts),
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


def _views_of_points(con: duckdb.DuckDBPyConnection, source: Source) -> npt.NDArray[np.float32]:
    sql = (
        f"SELECT azimuth_deg, elevation_deg FROM {POINTS} p "
        f"LEFT JOIN {source.relation} USING (dataset, split, key) ORDER BY p.i"
    )
    columns = con.execute(sql).fetchnumpy()
    return np.stack(
        [np.ma.filled(np.ma.asarray(columns[name], np.float32), np.nan) for name in ("azimuth_deg", "elevation_deg")], 1
    )
