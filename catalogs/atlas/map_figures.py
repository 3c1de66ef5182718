"""Figures of maps: the six panels of SMPLer-X's figure 2 (arXiv 2309.17448), and each of them alone.

Panels are squares placed by the millimetre: maps have no axes that a layout engine would have to find room for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from catalogs.atlas.answers import MAPS_FIX, Source, map_names, map_points
from catalogs.atlas.panel_maps import CLASS_COLUMNS, draw_by_class, draw_by_dataset
from catalogs.atlas.panel_sphere import draw_sphere, label_bar, orientation_grids, sphere_norm
from catalogs.atlas.style import MM_PER_INCH, Size, bare_figure, dataset_style, handles
from harmonize.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[[Source, Size], "Figure"]

GAP_MM, TITLE_MM, ROW_MM = 2.5, 5.0, 3.05
"""Between panels; above each; a row of a legend."""

NAME_MM = 25.0
"""A column of the legend of datasets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """A square of a figure. num_rows: of the legend under it."""

    title: str
    draw: Callable[[Any], None]
    num_rows: int = 0
    projection: str | None = None


def six_panels(source: Source, size: Size) -> Figure:
    """Image features by one or two backbones, orientations, skeletons, then the features again by scene and by real or
    synthetic. With one backbone the last panel is the sphere of viewing directions.

    Raises:
        UsageError: a map is missing.
    """
    features = _feature_maps(source)[:2]
    panels = [
        *(_by_dataset(source, name, _feature_title(name)) for name in features),
        _by_dataset(source, _only(source, "orientation"), "global orientation"),
        _by_dataset(source, _only(source, "skeleton"), "3D skeletons"),
        _by_class(source, features[-1], "scene"),
        _by_class(source, features[-1], "domain"),
    ]
    return _figure(source, size, panels if len(panels) == 6 else [*panels, _sphere(source)], 3)


def dataset_maps(kind: str) -> Draw:
    """The figure of all maps of image features ("features"), or of the one map of another kind, by dataset."""

    def draw(source: Source, size: Size) -> Figure:
        names = _feature_maps(source) if kind == "features" else [_only(source, kind)]
        panels = [_by_dataset(source, name, _feature_title(name) if kind == "features" else "") for name in names]
        return _figure(source, size, panels, min(2, len(panels)))

    return draw


def class_map(kind: str) -> Draw:
    """The figure of a map of image features by `scene` or `domain`."""

    def draw(source: Source, size: Size) -> Figure:
        return _figure(source, size, [_by_class(source, _feature_maps(source)[-1], kind)], 1, has_datasets=False)

    return draw


def _figure(source: Source, size: Size, panels: list[_Panel], columns: int, *, has_datasets: bool = True) -> Figure:
    side_mm = (size.width_mm - GAP_MM * (columns + 1)) / columns
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    feet_mm = [ROW_MM * max(panel.num_rows for panel in row) for row in rows]
    legend_columns = max(1, int(size.width_mm // NAME_MM))
    legend_mm = ROW_MM * -(-len(source.datasets) // legend_columns) + GAP_MM if has_datasets else 1.0
    height_mm = sum(TITLE_MM + side_mm + foot_mm + GAP_MM for foot_mm in feet_mm) + legend_mm
    figure = bare_figure(size, height_mm)
    top_mm = height_mm
    for number, (row, foot_mm) in enumerate(zip(rows, feet_mm, strict=True)):
        top_mm -= TITLE_MM + side_mm
        for column, panel in enumerate(row):
            left_mm = GAP_MM + column * (side_mm + GAP_MM)
            place = (left_mm / size.width_mm, top_mm / height_mm, side_mm / size.width_mm, side_mm / height_mm)
            axis = figure.add_axes(place, projection=panel.projection)
            panel.draw(axis)
            letter = "abcdefghijkl"[number * columns + column] + "  " if len(panels) > 1 else ""
            figure.text(
                place[0],
                place[1] + place[3] + 1.2 / height_mm,
                letter + panel.title,
                fontsize=7.5,
                fontweight="bold",
                va="bottom",
            )
        top_mm -= foot_mm + GAP_MM
    if has_datasets:
        figure.legend(
            handles=handles(source.datasets, [dataset_style(name) for name in source.datasets]),
            loc="lower left",
            bbox_to_anchor=(GAP_MM / size.width_mm, 1 / height_mm),
            ncols=legend_columns,
            columnspacing=0.8,
            handletextpad=0.1,
            labelspacing=(ROW_MM / MM_PER_INCH * 72 - 6) / 6 - 0.17,
            borderaxespad=0,
            borderpad=0.2,
        )
    return figure


def _by_dataset(source: Source, name: str, title: str) -> _Panel:
    return _Panel(title=title, draw=lambda axis: draw_by_dataset(axis, map_points(source, name), source.datasets))


def _by_class(source: Source, name: str, kind: str) -> _Panel:
    """kind: `scene`, what the card of the dataset says, or `domain`."""
    classes, title = (
        (("scene", "domain"), "real or synthetic") if kind == "domain" else (("scene", "card_scene"), "scene")
    )
    if not source.has(classes[0]):
        raise UsageError(f"plot: no {classes[0]} is known", fix="ehps describe STORE --attributes scene")
    points = map_points(source, name, classes)
    num_rows = -(-len(np.unique(points.classes)) // CLASS_COLUMNS)
    return _Panel(title=title, draw=lambda axis: draw_by_class(axis, points), num_rows=num_rows)


def _sphere(source: Source) -> _Panel:
    grid = np.sum(list(orientation_grids(source).values()), axis=0)
    norm = sphere_norm({"all": grid})

    def draw(axis: Any) -> None:
        mesh = draw_sphere(axis, grid, norm)
        bar = axis.figure.colorbar(mesh, cax=axis.inset_axes((0.05, -0.22, 0.9, 0.05)), orientation="horizontal")
        label_bar(bar, norm)

    return _Panel(title="viewing direction", draw=draw, projection="mollweide")


def _feature_maps(source: Source) -> list[str]:
    names = [name for name in map_names(source, "features_") if not name.endswith("_pca")]
    if not names:
        raise UsageError("plot: the store has no map of image features", fix="ehps describe STORE --backbone NAME")
    return names


def _only(source: Source, kind: str) -> str:
    names = map_names(source, kind)
    if not names:
        raise UsageError(f"plot: the store has no map of {kind}", fix=MAPS_FIX)
    return kind if kind in names else names[0]


def _feature_title(name: str) -> str:
    """The name of a map without the hash of the weights."""
    words = re.sub(r"_[0-9a-f]{8}$", "", name.removeprefix("features_")).removeprefix("tf_")
    return f"{words.replace('_', ' ')} features"
