"""What figures ask the catalog: rows of chosen datasets, bins of an attribute counted by the database, coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from catalogs.attributes import FAMILIES
from catalogs.attributes.family import Attribute
from catalogs.store import query
from harmonize.errors import UsageError

Floats = npt.NDArray[np.float64]

MIN_BINS, MAX_BINS = 12, 40
MAX_INTEGER_BINS = 60
LOG_RATIO = 20.0
"""A positive attribute whose 99.5th percentile is more than this many times its 0.5th is shown on a log axis."""

SYMBOLS = {"deg": "°"}
MAPS_FIX = "ehps describe STORE --attributes maps"


@dataclass(frozen=True, slots=True)
class Source:
    """A catalog connection and the datasets that a figure is about, in their order on it."""

    con: duckdb.DuckDBPyConnection
    datasets: tuple[str, ...]

    @classmethod
    def of(cls, con: duckdb.DuckDBPyConnection, chosen: Sequence[str] | None = None) -> Source:
        """The source for some datasets; None: all that have samples, by name.

        Raises:
            UsageError: a dataset is not in the store.
        """
        held = [str(row[0]) for row in query(con, "SELECT DISTINCT dataset FROM datasets ORDER BY dataset").rows]
        for name in chosen or ():
            if name not in held:
                raise UsageError(f"{name}: expected one of {', '.join(held)}", fix="change --datasets")
        return cls(con, tuple(held if chosen is None else dict.fromkeys(chosen)))

    def has(self, view: str) -> bool:
        """Whether the catalog has a view of this name: a family or table of which the store has values."""
        sql = "SELECT 1 FROM information_schema.tables WHERE table_name = $view LIMIT 1"
        return bool(query(self.con, sql, {"view": view}).rows)

    def rows(self, sql: str, family: str) -> list[tuple[Any, ...]]:
        """The rows of a SELECT that names its datasets as $datasets.

        Raises:
            UsageError: there are none: the family has no values for these datasets.
        """
        rows = query(self.con, sql, {"datasets": list(self.datasets)}).rows if self.has(family) else ()
        if not rows:
            raise UsageError(
                f"nothing to draw: no {family} of {', '.join(self.datasets)} is known",
                fix=f"ehps describe STORE --attributes {family}",
            )
        return list(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Counts of one attribute: counts[dataset] (B,) in bins between edges (B + 1,), which are even on a log axis when
    `is_log`. Values beyond the first and last edge are in the first and last bin."""

    name: str
    label: str
    edges: Floats
    counts: dict[str, Floats]
    medians: dict[str, float]
    is_log: bool
    is_count: bool

    def shares(self, dataset: str) -> Floats:
        """(B,) of one dataset, which add up to 1."""
        return np.asarray(self.counts[dataset] / self.counts[dataset].sum())

    def shares_of_others(self, dataset: str) -> Floats:
        """(B,) of all other datasets together, each sample counted once; zeros when there are none."""
        others = sum((counts for name, counts in self.counts.items() if name != dataset), np.zeros(len(self.edges) - 1))
        return np.asarray(others / max(1.0, others.sum()))


def attribute(family: str, name: str) -> Attribute:
    """A column of a family.

    Raises:
        UsageError: unknown; the message lists the columns there are.
    """
    if family not in FAMILIES:
        raise UsageError(f"{family}: expected an attribute family, one of {', '.join(FAMILIES)}")
    known = {one.name: one for one in FAMILIES[family].attributes}
    if name not in known:
        raise UsageError(f"{family}.{name}: expected a column, one of {', '.join(known)}")
    return known[name]


def label_of(name: str, unit: str) -> str:
    """The text of an axis: `vertical_fov_deg` in deg is "vertical fov [°]"."""
    words = name.removesuffix(f"_{unit}").replace("_", " ")
    return words if unit in ("", "1") else f"{words} [{SYMBOLS.get(unit, unit)}]"


def histogram(source: Source, family: str, name: str) -> Histogram:
    """How the values of a numeric attribute are spread in each dataset, counted by the database.

    Raises:
        UsageError: no such attribute, no numbers, or no values.
    """
    column = attribute(family, name)
    if column.kind not in ("number", "double", "count"):
        raise UsageError(f"{family}.{name}: expected a number, found {column.kind}", fix=f"ehps plot STORE {family}")
    value = f'"{name}"::DOUBLE'
    known = f'FROM "{family}" WHERE list_contains($datasets, dataset) AND isfinite({value})'
    edges, is_log = _edges(source, family, known, value, is_count=column.kind == "count")
    low, high, num = float(edges[0]), float(edges[-1]), len(edges) - 1
    scaled, positive = value, ""
    if is_log:
        low, high, scaled, positive = math.log10(low), math.log10(high), f"log10({value})", f"AND {value} > 0"
    place = f"floor(({scaled} - {low!r}) / {high - low!r} * {num})"
    sql = (
        f"SELECT dataset, greatest(0, least({num - 1}, {place}))::INTEGER AS bin, count(*) {known} {positive} "
        "GROUP BY ALL"
    )
    counts = {dataset: np.zeros(num) for dataset in source.datasets}
    for dataset, place, number in source.rows(sql, family):
        counts[dataset][place] = number
    medians = source.rows(f"SELECT dataset, median({value}) {known} GROUP BY dataset", family)
    return Histogram(
        name=name,
        label=label_of(name, column.unit),
        edges=edges,
        counts={dataset: found for dataset, found in counts.items() if found.any()},
        medians={dataset: float(middle) for dataset, middle in medians},
        is_log=is_log,
        is_count=column.kind == "count",
    )


def _edges(source: Source, family: str, known: str, value: str, *, is_count: bool) -> tuple[Floats, bool]:
    bounds = f"[min({value}), quantile_cont({value}, 0.005), quantile_cont({value}, 0.995), max({value})]"
    ((found, num),) = source.rows(f"SELECT {bounds}, count(*) {known} HAVING count(*) > 0", family)
    smallest, low, high, largest = (float(value) for value in found)
    if is_count and largest - smallest <= MAX_INTEGER_BINS:
        return np.arange(smallest - 0.5, largest + 1), False
    # The cube root of the number of samples, as in the rule of Freedman and Diaconis.
    num_bins = int(np.clip(round(3 * (num / len(source.datasets)) ** (1 / 3)), MIN_BINS, MAX_BINS))
    if smallest > 0 and high / low > LOG_RATIO:
        return np.geomspace(low, high, num_bins + 1), True
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, num_bins + 1), False


@dataclass(frozen=True, slots=True)
class Points:
    """A map: datasets (N,), coordinates (N, 2), and the class of each point in `classes` (N,) where asked for."""

    datasets: npt.NDArray[np.str_]
    xy: Floats
    classes: npt.NDArray[np.str_]


def map_names(source: Source, prefix: str) -> list[str]:
    """The maps of a store whose names begin so, by name."""
    if not source.has("maps"):
        return []
    rows = query(source.con, "SELECT DISTINCT map FROM maps ORDER BY map").rows
    return [str(name) for (name,) in rows if str(name).startswith(prefix)]


def map_points(source: Source, name: str, classes: tuple[str, str] | None = None) -> Points:
    """The points of a map. classes: a family and its text column, of which each point gets its value or "unknown".

    Raises:
        UsageError: the map has no point of these datasets.
    """
    value, join = "''", ""
    if classes is not None:
        family, column = classes
        value, join = f"coalesce(classes.\"{column}\", 'unknown')", f'LEFT JOIN "{family}" AS classes USING (key)'
    sql = (
        f"SELECT maps.dataset, x, y, {value} FROM maps {join} "
        "WHERE map = $map AND list_contains($datasets, maps.dataset) ORDER BY maps.key"
    )
    rows = query(source.con, sql, {"datasets": list(source.datasets), "map": name}).rows
    if not rows:
        raise UsageError(f"map {name}: no point of {', '.join(source.datasets)}", fix=MAPS_FIX)
    datasets, x, y, found = zip(*rows, strict=True)
    return Points(np.array(datasets, np.str_), np.column_stack([x, y]).astype(np.float64), np.array(found, np.str_))
