"""Figures of what is in a store, at the size and quality of a paper: the six panels of SMPLer-X's figure 2, from where
bodies are seen, how they are posed, and any attribute by dataset.

    figure_of("orientation", Source.of(con), Size(width_mm=178))      a matplotlib figure
    save(figure, Path("orientation.svg"))                             the same bytes every time
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from catalogs.atlas.answers import Class, Source, attribute, histogram, map_names, map_points
from catalogs.atlas.panel_maps import draw_by_class, draw_by_dataset
from catalogs.atlas.panel_ridges import multiples_figure, ridge_figure
from catalogs.atlas.panel_shares import BODY_JOINTS, joints_figure, shares_figure
from catalogs.atlas.panel_sphere import draw_sphere, label_bar, orientation_grids, sphere_figure, sphere_norm
from catalogs.atlas.style import PAGE_MM, Size, dataset_style, handles, new_figure
from catalogs.attributes import FAMILIES
from harmonize.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[[Source, Size], "Figure"]
Panel = Callable[[Any], None]

LEGEND_ROW_MM, LEGEND_HEAD_MM = 3.1, 4.0
LEGEND_NAME_MM = 25.0


def figure_of(name: str, source: Source, size: Size) -> Figure:
    """The figure of a panel (see `PANELS`), of a family (`camera`) or of one attribute (`camera.vertical_fov_deg`).

    Raises:
        UsageError: no such figure, or the store lacks what it shows; the message has the command that makes it.
    """
    if name in PANELS:
        return PANELS[name][1](source, size)
    family, _, column = name.partition(".")
    if family not in FAMILIES:
        known = [*PANELS, *FAMILIES]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UsageError(
            f"plot: no panel or attribute family {name!r}{hint}",
            fix=f"choose among {', '.join(known)}, or FAMILY.COLUMN",
        )
    if not column:
        return _family_figure(source, size, family)
    one = attribute(family, column)
    if one.kind in ("text", "flag"):
        return shares_figure(source, family, column, size)
    return multiples_figure(histogram(source, family, column), size, name)


def _family_figure(source: Source, size: Size, family: str) -> Figure:
    numbers = [one.name for one in FAMILIES[family].attributes if one.kind in ("number", "double", "count")]
    names = [name for name in numbers if name.removesuffix("_deg") not in BODY_JOINTS]  # the panel `joints` has them
    if not names:
        raise UsageError(
            f"plot: {family} has no numbers to draw",
            fix=f"choose among {', '.join(f'{family}.{one.name}' for one in FAMILIES[family].attributes)}",
        )
    found, empty = [], []
    for name in names:
        try:
            found.append(histogram(source, family, name))
        except UsageError as error:
            empty.append(error)
    if not found:
        raise empty[0]
    return ridge_figure(found, _with_values(source, found), size, family.replace("_", " "))


def _flexion_figure(source: Source, size: Size) -> Figure:
    names = [f"{side}_{joint}_flexion_deg" for joint in ("knee", "elbow") for side in ("left", "right")]
    found = [histogram(source, "pose", name) for name in names]
    return ridge_figure(found, _with_values(source, found), size, "knees and elbows")


def _with_values(source: Source, found: Any) -> list[str]:
    return [name for name in source.datasets if any(name in one.counts for one in found)]


def six_panels(source: Source, size: Size) -> Figure:
    """Image features by one or two backbones, orientation, skeletons, then the features again by scene and by real or
    synthetic. With one backbone the last panel is the sphere of viewing directions.

    Raises:
        UsageError: a map is missing.
    """
    features = _feature_maps(source)
    panels: list[tuple[str, Panel]] = [
        *((_feature_title(name), _by_dataset(source, name)) for name in features[:2]),
        ("global orientation", _by_dataset(source, _only(source, "orientation"))),
        ("3D skeletons", _by_dataset(source, _only(source, "skeleton"))),
        ("scene", _by_class(source, features[-1 if len(features) < 2 else 1], _scene_kind(source))),
        ("real or synthetic", _by_class(source, features[-1 if len(features) < 2 else 1], "domain")),
    ]
    columns = 3
    legend_columns, legend_mm = _legend_size(source, size)
    side_mm = size.width_mm / columns
    figure = new_figure(size, 2 * (side_mm + 8) + 9 + legend_mm)
    grids = orientation_grids(source) if len(panels) < 6 else None
    axes = [figure.add_subplot(2, columns, i + 1) for i in range(len(panels))]
    for letter, axis, (title, draw) in zip("abcdef", axes, panels, strict=False):
        draw(axis)
        axis.set_title(f"{letter}  {title}")
    if grids is not None:
        axis = figure.add_subplot(2, columns, 6, projection="mollweide")
        together = {"all": np.sum(list(grids.values()), axis=0)}
        norm = sphere_norm(together)
        mesh = draw_sphere(axis, together["all"], norm)
        axis.set_title("f  viewing direction", loc="left")
        label_bar(figure.colorbar(mesh, ax=axis, orientation="horizontal", fraction=0.06, pad=0.04, aspect=30), norm)
    _dataset_legend(figure, source, legend_columns)
    return figure


def _one_map(prefix: str) -> Draw:
    def draw(source: Source, size: Size) -> Figure:
        names = _feature_maps(source)[:2] if prefix == "features" else [_only(source, prefix)]
        titles = [_feature_title(name) if prefix == "features" else "" for name in names]
        return _maps_figure(
            source, size, [(_by_dataset(source, name), title) for name, title in zip(names, titles, strict=True)]
        )

    return draw


def _class_map(kind: Class | None) -> Draw:
    def draw(source: Source, size: Size) -> Figure:
        name = _feature_maps(source)[-1]
        return _maps_figure(
            source, size, [(_by_class(source, name, kind or _scene_kind(source)), "")], has_legend=False
        )

    return draw


def _maps_figure(source: Source, size: Size, panels: list[tuple[Panel, str]], *, has_legend: bool = True) -> Figure:
    legend_columns, legend_mm = _legend_size(source, size) if has_legend else (1, 8.0)
    figure = new_figure(size, size.width_mm / len(panels) + legend_mm + 4)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (draw, title) in zip(axes, panels, strict=True):
        draw(axis)
        axis.set_title(title)
    if has_legend:
        _dataset_legend(figure, source, legend_columns)
    return figure


def _by_dataset(source: Source, name: str) -> Panel:
    return lambda axis: draw_by_dataset(axis, map_points(source, name), source.datasets)


def _by_class(source: Source, name: str, kind: Class) -> Panel:
    return lambda axis: draw_by_class(axis, map_points(source, name, kind))


def _dataset_legend(figure: Figure, source: Source, columns: int) -> None:
    styles = [dataset_style(name) for name in source.datasets]
    figure.legend(
        handles=handles(source.datasets, styles),
        loc="outside lower left",
        ncols=columns,
        columnspacing=0.8,
        handletextpad=0.1,
        labelspacing=0.35,
    )


def _legend_size(source: Source, size: Size) -> tuple[int, float]:
    columns = max(1, int(size.width_mm // LEGEND_NAME_MM))
    return columns, -(-len(source.datasets) // columns) * LEGEND_ROW_MM + LEGEND_HEAD_MM


def _feature_maps(source: Source) -> list[str]:
    names = [name for name in map_names(source, "features") if not name.endswith("_pca")]
    if not names:
        raise UsageError(
            "plot: the store has no map of image features", fix="ehps describe STORE --backbone NAME --maps"
        )
    return names


def _only(source: Source, prefix: str) -> str:
    names = [name for name in map_names(source, prefix) if not name.endswith("_pca")]
    if not names:
        raise UsageError(f"plot: the store has no map of {prefix}", fix="ehps describe STORE --maps")
    return names[0]


def _feature_title(name: str) -> str:
    """The name of a map without the hash of the weights."""
    return re.sub(r"_[0-9a-f]{8}\b", "", name.removeprefix("features_")).replace("_", " ") + " features"


def _scene_kind(source: Source) -> Class:
    from catalogs.store import query

    known = query(source.con, "SELECT 1 FROM scene WHERE environment IS NOT NULL LIMIT 1").rows
    return "environment" if known else "card_scene"


PANELS: dict[str, tuple[str, Draw]] = {
    "overview": ("the six panels of SMPLer-X's figure 2", six_panels),
    "features": ("map of image features, one panel a backbone", _one_map("features")),
    "orientation": ("map of global orientations", _one_map("orientation")),
    "skeletons": ("map of 3D skeletons, root-relative, without orientation", _one_map("skeleton")),
    "scenes": ("map of image features, coloured by scene", _class_map(None)),
    "domain": ("map of image features, real or synthetic", _class_map("domain")),
    "sphere": ("viewing directions on the sphere, equal areas, a panel a dataset", sphere_figure),
    "flexion": ("how far knees and elbows are bent", _flexion_figure),
    "joints": ("mean rotation of each body joint", joints_figure),
}
"""Name -> what it shows, and the function that draws it."""

WIDTH_MM = {"scenes": 120.0, "domain": 120.0, "orientation": 120.0, "skeletons": 120.0}
"""Widths of panels that do not need the page."""


def default_width_mm(name: str) -> float:
    """The width of a figure where none is asked for."""
    return WIDTH_MM.get(name, PAGE_MM)


def every_figure() -> list[str]:
    """The names of all panels, and of the families that have numbers."""
    numeric = [name for name, family in FAMILIES.items() if any(one.kind == "number" for one in family.attributes)]
    return [*PANELS, *(name for name in numeric if not FAMILIES[name].is_wide)]
