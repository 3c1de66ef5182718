"""What the atlas says of every sample: values of the points it draws, and histograms over all rows of the store.

A measure is an attribute of a family with one value a sample. Histograms are counted in SQL over all samples, never
over the points alone, so that a share is a share of the dataset. Dimension letters: N points, D datasets, B bins.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from catalogs.attributes.family import Attribute, Family, Kind

POINTS = "atlas_points"
"""Temporary table (i, dataset, split, key) of the points of the atlas, on the cursor that reads them."""

NUM_BINS = 36
PCA = "_pca"
"""How names of maps by principal components end; the others are by UMAP."""
TAIL = 0.005
"""Share of samples beyond either end of a histogram's axis; the outermost bins hold them."""
MAX_CATEGORIES = 24
OTHER = "other"
SCENE_BY_PICTURES = "scene_"
"""How families begin that tell the scene from features of one backbone; the card's is `scene`."""
LOG_RATIO = 20.0
"""A positive attribute of which the largest is so many times the smallest, tails apart, is shown on a log axis."""
UNSHOWN = ("cell",)
"""Attributes whose numbers are names: a histogram of them would mean nothing."""
UNKNOWN_CODE = 255

_ORIENTATION = """(
    SELECT dataset, split, key, azimuth_deg, elevation_deg,
           least(floor((sin(radians(elevation_deg)) + 1) / 2 * 9), 8)::INTEGER * 24
           + floor((azimuth_deg + 180) / 360 * 24 + 0.5)::INTEGER % 24 AS cell
    FROM (SELECT dataset, split, key, view_azimuth_deg(body_global_orient_aa) AS azimuth_deg,
                 view_elevation_deg(body_global_orient_aa) AS elevation_deg
          FROM instances WHERE body_has_body)
)"""
"""The view `orientation` as the catalog's macros compute it, for a store without attributes."""

_ORIENTATION_ATTRIBUTES = (
    Attribute(name="azimuth_deg", unit="deg", doc="Side of the body that the camera sees: 0 front, 90 left, 180 back."),
    Attribute(name="elevation_deg", unit="deg", doc="Height from which the camera sees the body: 90 from above."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One attribute. values: (N,) float64, NaN where unknown; for categories (N,) uint8, UNKNOWN_CODE where unknown.

    edges: (B + 1,) of a number's bins, even on a log axis if `is_log`; empty for categories. counts: (D, B) samples a
    bin, or a category. quantiles: (D, 3) 5, 50 and 95 % of a number; NaN where a dataset has none.
    """

    family: str
    name: str
    unit: str
    doc: str
    categories: tuple[str, ...]
    values: npt.NDArray[Any]
    edges: npt.NDArray[np.float64]
    counts: npt.NDArray[np.uint32]
    quantiles: npt.NDArray[np.float64]
    is_log: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Where values of a family are read: a relation with dataset, split and key, and the attributes it holds."""

    family: str
    relation: str
    attributes: tuple[Attribute, ...]


def views(con: duckdb.DuckDBPyConnection) -> dict[str, frozenset[str]]:
    """The views and tables there are, each with its columns."""
    sql = "SELECT table_name, list(column_name) FROM duckdb_columns() WHERE NOT internal GROUP BY ALL"
    return {name: frozenset(columns) for name, columns in con.execute(sql).fetchall()}


def sources(con: duckdb.DuckDBPyConnection, families: Sequence[Family]) -> list[Source]:
    """What can be read of the families: attributes with one value a sample, where the catalog has them."""
    found = views(con)
    made = []
    for family in families:
        held = tuple(one for one in family.attributes if one.size == 0 and one.name in found.get(family.name, ()))
        if held and not family.is_wide:
            made.append(Source(family.name, f'"{family.name}"', held))
    made += [_scene_by_pictures(con, name) for name in found if name.startswith(SCENE_BY_PICTURES)]
    if all(source.family != "orientation" for source in made):
        made.append(Source("orientation", _ORIENTATION, _ORIENTATION_ATTRIBUTES))
    return sorted(made, key=lambda source: source.family)


def _scene_by_pictures(con: duckdb.DuckDBPyConnection, name: str) -> Source:
    """A family that depends on a backbone, hence is in no list: what the catalog has of it."""
    kinds: dict[str, Kind] = {"VARCHAR": "text", "FLOAT": "number", "DOUBLE": "number"}
    backbone = backbone_of(name)[0]
    rows = con.execute(f'DESCRIBE SELECT * EXCLUDE (dataset, split, key) FROM "{name}"').fetchall()
    doc = f"From the picture, by features of {backbone}."
    held = [Attribute(name=row[0], unit="", doc=doc, kind=kinds[row[1]]) for row in rows if row[1] in kinds]
    return Source(name, f'"{name}"', tuple(held))


def backbone_of(family: str) -> tuple[str, str]:
    """Backbone and begin of the hash of its weights, as in the name of a family: `features_vit_base_0123abcd`."""
    name = family.removeprefix("features_").removeprefix(SCENE_BY_PICTURES).removesuffix(PCA)
    found = re.fullmatch(r"(.+)_([0-9a-f]{8})", name)
    return (found[1], found[2]) if found else (name, "")


def orientation_cells(
    con: duckdb.DuckDBPyConnection, source: Source, datasets: Sequence[str]
) -> npt.NDArray[np.uint32]:
    """(D, 216) samples in each cell of equal solid angle; see `catalogs/sql/histograms.sql`."""
    sql = f"SELECT dataset, cell, count(*) FROM {source.relation} WHERE cell IS NOT NULL GROUP BY ALL"
    return _matrix(con, sql, datasets, 216)


def measures(con: duckdb.DuckDBPyConnection, source: Source, datasets: Sequence[str]) -> Iterator[Measure]:
    """Every measure of a source, in the order of its family; those that no sample has are left out."""
    names = [one.name for one in source.attributes]
    listed = ", ".join(f'f."{name}"' for name in names)
    sql = f"SELECT {listed} FROM {POINTS} p LEFT JOIN {source.relation} f USING (dataset, split, key) ORDER BY p.i"
    columns = con.execute(sql).fetchnumpy()
    for attribute in source.attributes:
        if attribute.name in UNSHOWN:
            continue
        make = _categories if attribute.kind in ("text", "flag") else _numbers
        measure = make(con, source, attribute, columns[attribute.name], datasets)
        if measure.counts.any():
            yield measure


def _numbers(
    con: duckdb.DuckDBPyConnection, source: Source, attribute: Attribute, values: Any, datasets: Sequence[str]
) -> Measure:
    name = f'"{attribute.name}"'
    finite = f"FROM {source.relation} WHERE isfinite({name}::DOUBLE)"
    low, high = con.execute(
        f"SELECT quantile_disc({name}::DOUBLE, {TAIL}), quantile_disc({name}::DOUBLE, {1 - TAIL}) {finite}"
    ).fetchall()[0]
    low, high = low or 0.0, high or 0.0
    is_log = attribute.kind != "count" and low > 0 and high / low > LOG_RATIO
    edges = log_edges(low, high) if is_log else bin_edges(low, high, is_whole=attribute.kind == "count")
    num_bins, first, last = len(edges) - 1, float(edges[0]), float(edges[-1])
    value = f"{name}::DOUBLE"
    if is_log:
        value, first, last = f"ln(greatest({value}, {first!r}::DOUBLE))", math.log(first), math.log(last)
    place = f"floor(({value} - {first!r}::DOUBLE) * {num_bins} / {last - first!r}::DOUBLE)"
    counted = f"SELECT dataset, least(greatest({place}, 0), {num_bins - 1})::INTEGER, count(*) {finite} GROUP BY ALL"
    quantiles = np.full((len(datasets), 3), np.nan)
    rows = con.execute(f"SELECT dataset, quantile_cont({name}::DOUBLE, [0.05, 0.5, 0.95]) {finite} GROUP BY ALL")
    for dataset, found in rows.fetchall():
        quantiles[datasets.index(dataset)] = found
    return Measure(
        family=source.family,
        name=attribute.name,
        unit=attribute.unit,
        doc=attribute.doc,
        categories=(),
        values=np.ma.filled(np.ma.asarray(values, np.float64), np.nan),
        edges=edges,
        counts=_matrix(con, counted, datasets, num_bins),
        quantiles=quantiles,
        is_log=is_log,
    )


def _categories(
    con: duckdb.DuckDBPyConnection, source: Source, attribute: Attribute, values: Any, datasets: Sequence[str]
) -> Measure:
    is_flag = attribute.kind == "flag"
    word = f"CASE WHEN \"{attribute.name}\" THEN 'yes' ELSE 'no' END" if is_flag else f'"{attribute.name}"'
    known = f'FROM {source.relation} WHERE "{attribute.name}" IS NOT NULL'
    found = con.execute(
        f"SELECT {word} AS word, count(*) AS num {known} GROUP BY ALL ORDER BY num DESC, word"
    ).fetchall()
    words = ("no", "yes") if is_flag else tuple(category for category, _ in found)
    if len(words) > MAX_CATEGORIES:
        words = (*words[: MAX_CATEGORIES - 1], OTHER)
    code = {word: number for number, word in enumerate(words)}
    counts = np.zeros((len(datasets), len(words)), np.uint32)
    for dataset, category, num in con.execute(f"SELECT dataset, {word}, count(*) {known} GROUP BY ALL").fetchall():
        counts[datasets.index(dataset), code.get(category, len(words) - 1)] += num
    mask = np.ma.getmaskarray(values)
    texts = [("yes" if value else "no") if is_flag else value for value in np.ma.getdata(values).tolist()]
    codes = [
        UNKNOWN_CODE if hidden or text is None else code.get(text, len(words) - 1)
        for text, hidden in zip(texts, mask, strict=True)
    ]
    return Measure(
        family=source.family,
        name=attribute.name,
        unit=attribute.unit,
        doc=attribute.doc,
        categories=words,
        values=np.array(codes, np.uint8),
        edges=np.zeros(0),
        counts=counts,
        quantiles=np.zeros((0, 3)),
    )


def bin_edges(low: float, high: float, *, is_whole: bool) -> npt.NDArray[np.float64]:
    """Edges of about NUM_BINS bins, of a round width, that cover low to high; whole numbers lie in the bins' middle."""
    step = max((high - low) / NUM_BINS, 1.0 if is_whole else 1e-9)
    power = 10.0 ** math.floor(math.log10(step))
    rounds = (1, 2, 5, 10) if is_whole else (1, 2, 2.5, 5, 10)
    width = next(power * factor for factor in rounds if power * factor >= step * (1 - 1e-9))
    first = math.floor(low / width + 1e-9)
    number = max(1, math.ceil(high / width - 1e-9) - first + (1 if is_whole else 0))
    offset = 0.5 if is_whole else 0.0
    return np.round((first + np.arange(number + 1)) * width - offset, 12)


def log_edges(low: float, high: float) -> npt.NDArray[np.float64]:
    """Edges of NUM_BINS bins, even on a log axis, from low to high or a little beyond."""
    edges = np.geomspace(low, high, NUM_BINS + 1)
    return np.array([float(f"{edge:.6g}") for edge in edges])


def _matrix(con: duckdb.DuckDBPyConnection, sql: str, datasets: Sequence[str], width: int) -> npt.NDArray[np.uint32]:
    """(D, width) from rows of dataset, column, number."""
    matrix = np.zeros((len(datasets), width), np.uint32)
    for dataset, column, number in con.execute(sql).fetchall():
        matrix[datasets.index(dataset), column] = number
    return matrix
