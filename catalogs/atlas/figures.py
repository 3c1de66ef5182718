"""Figures of what is in a store, at the size and quality of a paper: the six panels of SMPLer-X's figure 2, from where
bodies are seen, how they are posed, and any attribute by dataset.

    figure_of("orientation", Source.of(con), Size(width_mm=178))      a matplotlib figure
    save(figure, Path("orientation.svg"))                             the same bytes every time
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from catalogs.atlas.answers import Source, attribute, histogram
from catalogs.atlas.map_figures import class_map, dataset_maps, six_panels
from catalogs.atlas.panel_ridges import multiples_figure, ridge_figure
from catalogs.atlas.panel_shares import BODY_JOINTS, joints_figure, shares_figure
from catalogs.atlas.panel_sphere import sphere_figure
from catalogs.atlas.style import PAGE_MM, Size
from catalogs.attributes import FAMILIES
from harmonize.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[[Source, Size], "Figure"]


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


PANELS: dict[str, tuple[str, Draw]] = {
    "overview": ("the six panels of SMPLer-X's figure 2", six_panels),
    "feature_map": ("map of image features, one panel a backbone", dataset_maps("features")),
    "orientation_map": ("map of global orientations", dataset_maps("orientation")),
    "skeleton_map": ("map of 3D skeletons, root-relative, without orientation", dataset_maps("skeleton")),
    "scene_map": ("map of image features, coloured by scene", class_map("scene")),
    "domain_map": ("map of image features, real or synthetic", class_map("domain")),
    "sphere": ("viewing directions on the sphere, equal areas, a panel a dataset", sphere_figure),
    "flexion": ("how far knees and elbows are bent", _flexion_figure),
    "joints": ("mean rotation of each body joint", joints_figure),
}
"""Name -> what it shows, and the function that draws it."""

WIDTH_MM = dict.fromkeys(("feature_map", "orientation_map", "skeleton_map", "scene_map", "domain_map"), 120.0)
"""Widths of panels that do not need the page."""


def default_width_mm(name: str) -> float:
    """The width of a figure where none is asked for."""
    return WIDTH_MM.get(name, PAGE_MM)


def every_figure() -> list[str]:
    """The names of all panels, and of the families that have numbers."""
    numeric = [name for name, family in FAMILIES.items() if any(one.kind == "number" for one in family.attributes)]
    return [*PANELS, *(name for name in numeric if not FAMILIES[name].is_wide)]
