"""Where a model fails: its errors on a benchmark by the attributes of the instances, and the worst instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from benchmark.bootstrap import Interval, mean_interval
from catalogs import store as catalog
from catalogs.columns import quoted
from pipelines.choosing import columns_of

INSTANCES_A_BIN = 8
"""Numbers are cut at their quantiles into 2 to 4 bins, of about as many instances at least."""

MAX_BINS, MAX_VALUES = 4, 8
"""Most bins of numbers; most values of a text, the commonest ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """What instances are told apart by. sql: over `samples`, of `column` alone, a DOUBLE, or a VARCHAR if is_text."""

    title: str
    column: str
    sql: str
    unit: str = ""
    is_text: bool = False


def _number(title: str, column: str, unit: str = "", scale: float = 1) -> Attribute:
    return Attribute(title=title, column=column, sql=f"{scale} * {quoted(column)}::DOUBLE", unit=unit)


def _text(title: str, column: str) -> Attribute:
    return Attribute(title=title, column=column, sql=f"{quoted(column)}::VARCHAR", is_text=True)


_SEEN_FROM = (
    "CASE WHEN abs(orientation_azimuth_deg) <= 45 THEN 'front' WHEN abs(orientation_azimuth_deg) >= 135 THEN 'back' "
    "WHEN orientation_azimuth_deg > 0 THEN 'left side' WHEN orientation_azimuth_deg < 0 THEN 'right side' END"
)
ATTRIBUTES = (
    Attribute(title="seen from", column="orientation_azimuth_deg", sql=_SEEN_FROM, is_text=True),
    _number("seen from above", "orientation_elevation_deg", "°"),
    _number("roll", "orientation_roll_deg", "°"),
    _number("truncation", "visibility_truncation", "%", 100),
    _number("occlusion", "visibility_occlusion", "%", 100),
    _number("visible body points", "visibility_num_visible_body"),
    _number("overlap with others", "visibility_crowding_iou", "% IoU", 100),
    _number("people in the picture", "visibility_people_in_picture"),
    _number("size of the person", "camera_person_size_px", "px"),
    _number("distance", "camera_distance_m", "m"),
    _number("vertical field of view", "camera_vertical_fov_deg", "°"),
    _number("distance from the rest pose", "pose_rest_distance_deg", "°"),
    _number("rarity of the pose", "pose_space_mahalanobis"),
    _number("left hand's articulation", "pose_left_hand_articulation_deg", "°"),
    _number("right hand's articulation", "pose_right_hand_articulation_deg", "°"),
    _number("stature", "shape_stature_m", "m"),
    _number("norm of the shape", "shape_betas_norm"),
    _number("brightness", "image_statistics_brightness"),
    _number("sharpness", "image_statistics_sharpness"),
    _text("environment", "scene_environment"),
    _text("sequence", "sequence"),
    _text("subject", "subject"),
    _number("fit error of the label", "label_fit_error_mm", "mm"),
    _number("reprojection error of the label", "label_reprojection_share", "% of the box", 100),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Instances alike in an attribute, and their mean error in mm."""

    label: str
    error: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Errors by an attribute. explained: share of the variance of the errors that lies between the bins, less what as
    many bins of chance would have (epsilon squared, Kelley 1935); 0 to 1."""

    title: str
    unit: str
    bins: tuple[Bin, ...]
    explained: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One measured instance."""

    key: str
    group: str
    error_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Of one benchmark: attributes, those that explain most first; worst instances first; lost: instances with an
    error that the store does not hold; absent: attributes that the store does not have."""

    attributes: tuple[Failure, ...]
    worst: tuple[Instance, ...]
    lost: int
    absent: tuple[str, ...]


def failures(store: Path, errors: Any, metric: str, num_worst: int) -> Failures:
    """errors: the Arrow table of `benchmark.evaluation`; metric: the column, without its unit, that is looked at."""
    with catalog.open(store, read_only=False) as con:
        con.register("errors", errors)
        known = set(columns_of(con))
        usable = [one for one in ATTRIBUTES if one.column in known]
        listed = ", ".join(f"({one.sql}) AS value_{number}" for number, one in enumerate(usable))
        error = quoted(f"{metric}_mm")
        con.execute(
            f'CREATE TEMP TABLE measured AS SELECT key, "group" AS place, {error} AS error_mm FROM errors '
            f"WHERE {error} IS NOT NULL"
        )
        con.execute(
            f"CREATE TEMP TABLE joined AS SELECT key, place, error_mm, {listed} FROM measured JOIN samples USING (key)"
        )
        num_measured = _one(con, "SELECT count(*) FROM measured")
        found = [_by(con, one, number) for number, one in enumerate(usable)]
        rows = con.execute(
            "SELECT key, place, error_mm FROM joined ORDER BY error_mm DESC, key LIMIT $1", [num_worst]
        ).fetchall()
        lost = num_measured - _one(con, "SELECT count(*) FROM joined")
    told = sorted((one for one in found if one is not None), key=lambda one: (-one.explained, one.title))
    return Failures(
        attributes=tuple(told),
        worst=tuple(Instance(key=key, group=group, error_mm=float(value)) for key, group, value in rows),
        lost=lost,
        absent=tuple(one.title for one in ATTRIBUTES if one.column not in known),
    )


def _by(con: duckdb.DuckDBPyConnection, attribute: Attribute, number: int) -> Failure | None:
    """None where all instances are alike, or none has a value."""
    column = f"value_{number}"
    if attribute.is_text:
        known, place, label = _commonest(column), column, f"any_value({column})"
    else:
        known = f"isfinite({column})"
        place, label = _bins(con, column, known)
    rows = con.execute(
        f"SELECT {label}, list(error_mm ORDER BY key), list(place ORDER BY key) FROM joined "
        f"WHERE {known} GROUP BY {place} ORDER BY {place}"
    ).fetchall()
    if len(rows) < 2:
        return None
    groups = [np.array(errors, np.float64) for _, errors, _ in rows]
    return Failure(
        title=attribute.title,
        unit=attribute.unit,
        bins=tuple(
            Bin(label=str(text), error=mean_interval(values, places))
            for (text, _, places), values in zip(rows, groups, strict=True)
        ),
        explained=explained(groups),
    )


def _bins(con: duckdb.DuckDBPyConnection, column: str, known: str) -> tuple[str, str]:
    """SQL of the bin of a value, and of a bin's label; values that are often the same make fewer bins."""
    num = _one(con, f"SELECT count(*) FROM joined WHERE {known}")
    num_bins = max(2, min(MAX_BINS, num // INSTANCES_A_BIN))
    shares = [i / num_bins for i in range(1, num_bins)]
    ((edges,),) = con.execute(f"SELECT quantile_cont({column}, {shares}) FROM joined WHERE {known}").fetchall()
    place = f"len(list_filter({sorted(set(edges or ()))}::DOUBLE[], lambda edge: {column} > edge))"
    low, high = f"min({column})", f"max({column})"
    return place, f"if({low} = {high}, format('{{:.3g}}', {low}), format('{{:.3g}} – {{:.3g}}', {low}, {high}))"


def _commonest(column: str) -> str:
    """SQL of whether a text is among the commonest; the others are left out."""
    return (
        f"{column} IN (SELECT {column} FROM joined WHERE {column} <> '' GROUP BY {column} "
        f"ORDER BY count(*) DESC, {column} LIMIT {MAX_VALUES})"
    )


def explained(groups: Sequence[npt.NDArray[np.float64]]) -> float:
    """Epsilon squared of a one-way layout, at least 0; 0 with as many bins as instances."""
    every = np.concatenate(groups)
    total = float(((every - every.mean()) ** 2).sum())
    freedom = len(every) - len(groups)
    if total == 0 or freedom <= 0:
        return 0.0
    within = float(sum(((one - one.mean()) ** 2).sum() for one in groups))
    return max(0.0, 1 - (within / freedom) / (total / (len(every) - 1)))


def _one(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    ((value,),) = con.execute(sql).fetchall()
    return int(value)
