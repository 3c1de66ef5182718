"""Classes and flags by dataset as stacked bars, and the mean rotation of each body joint as a table of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from catalogs.atlas.answers import Source, attribute, label_of
from catalogs.atlas.style import Size, class_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_CLASSES = 9
HATCHES = ("", "////", "....", "xxxx", "----")
UNKNOWN = "unknown"
ROW_MM = 4.0


def shares_figure(source: Source, family: str, name: str, size: Size) -> Figure:
    """One bar a dataset: the share of each class (text) or of yes and no (flag); the rarest classes are put together.

    Raises:
        UsageError: no such attribute, or no values.
    """
    column = attribute(family, name)
    sql = (
        f'SELECT dataset, coalesce("{name}"::VARCHAR, \'{UNKNOWN}\'), count(*) FROM "{family}" '
        "WHERE list_contains($datasets, dataset) GROUP BY ALL ORDER BY ALL"
    )
    counts: dict[str, dict[str, int]] = {dataset: {} for dataset in source.datasets}
    totals: dict[str, int] = {}
    words = {"true": "yes", "false": "no"} if column.kind == "flag" else {}
    for dataset, value, num in source.rows(sql, family):
        value = words.get(value, value)
        counts[dataset][value] = counts[dataset].get(value, 0) + num
        totals[value] = totals.get(value, 0) + num
    classes = sorted((value for value in totals if value != UNKNOWN), key=lambda value: (-totals[value], value))
    kept, rest = classes[:MAX_CLASSES], classes[MAX_CLASSES:]
    datasets = [dataset for dataset in source.datasets if counts[dataset]]
    figure = new_figure(size, len(datasets) * ROW_MM + 20)
    axis = figure.subplots()
    left = np.zeros(len(datasets))
    places = np.arange(len(datasets))[::-1]
    bars = [(value, [value], *class_style(i), HATCHES[i // 7]) for i, value in enumerate(kept)]
    bars += [("others", rest, "#222222", "", "")] if rest else []
    bars += [(UNKNOWN, [UNKNOWN], "#DDDDDD", "", "")] if UNKNOWN in totals else []
    for label, values, colour, _, hatch in bars:
        sums = np.array([sum(counts[dataset].get(value, 0) for value in values) for dataset in datasets], float)
        shares = 100 * sums / np.array([sum(counts[dataset].values()) for dataset in datasets])
        axis.barh(places, shares, 0.78, left, color=colour, hatch=hatch, edgecolor="white", linewidth=0.3, label=label)
        left = left + shares
    axis.set_yticks(places, datasets)
    axis.tick_params(axis="y", length=0)
    axis.set_xlim(0, 100)
    axis.set_ylim(-0.6, len(datasets) - 0.4)
    axis.set_xlabel("share of samples [%]")
    figure.legend(loc="outside upper left", ncols=min(5, len(bars)), title=label_of(f"{family} {name}", column.unit))
    return figure


def joints_figure(source: Source, size: Size) -> Figure:
    """Mean rotation of each of the 21 body joints against the rest pose, one row a dataset.

    Raises:
        UsageError: the family `pose` has no values.
    """
    from catalogs.attributes import FAMILIES

    columns = [one.name for one in FAMILIES["pose"].attributes if one.name.removesuffix("_deg") in BODY_JOINTS]
    listed = ", ".join(f'avg("{name}")' for name in columns)
    sql = (
        f"SELECT dataset, {listed} FROM pose WHERE list_contains($datasets, dataset) GROUP BY dataset ORDER BY dataset"
    )
    found = {row[0]: row[1:] for row in source.rows(sql, "pose")}
    datasets = [dataset for dataset in source.datasets if dataset in found]
    means = np.array([found[dataset] for dataset in datasets], np.float64)
    figure = new_figure(size, len(datasets) * ROW_MM + 26)
    axis = figure.subplots()
    mesh = axis.pcolormesh(np.ma.masked_invalid(means), cmap="viridis_r", vmin=0, edgecolors="white", linewidth=0.3)
    axis.set_facecolor("#DDDDDD")
    axis.invert_yaxis()
    axis.set_yticks(np.arange(len(datasets)) + 0.5, datasets)
    names = [name.removesuffix("_deg").replace("_", " ") for name in columns]
    axis.set_xticks(np.arange(len(names)) + 0.5, names, rotation=55, ha="right", rotation_mode="anchor")
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(mesh, ax=axis, aspect=30, pad=0.01, fraction=0.03)
    bar.set_label("mean rotation against the rest pose [°]; grey: unknown", fontsize=6)
    bar.outline.set_linewidth(0.4)
    return figure


BODY_JOINTS = (
    *("left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle", "spine3"),
    *("left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist"),
)
"""The order of body_pose."""
