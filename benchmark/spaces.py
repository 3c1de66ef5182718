"""Which spaces there are, and how a row of the catalog becomes a point of one.

A kind of space says which columns it reads and what it makes of them, before anything is known of the data; what is
fitted to the data (scales, components, the kernel's width) is `benchmark.fitted.Space`.

    pose          16 principal components of the skeleton, in metres; cells: pose clusters
    orientation   viewing direction and roll as points of a sphere and a disc; cells: equal-area cells of the direction
    camera        field of view, distance, elevation, size of the person; standardised
    framing       the same without the distance, which labels of virtual cameras do not have
    hands         articulation of both hands
    shape         stature and distance from the mean shape; cells: bands of stature
    visibility    truncation, crowding and people in the picture; cells: bands of truncation
    distance      camera to pelvis; cells: half octaves
    features_...  image features of one backbone and its weights: at most 64 principal components of unit vectors

Counts of visible keypoints are left out of visibility: they say which points a source annotates, and two conventions
would be a distance between pictures that are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import duckdb
import numpy as np
import numpy.typing as npt

from benchmark.summary import Floats
from catalogs import store as catalog
from catalogs.attributes.orientation import NUM_CELLS
from catalogs.attributes.pose_basis import MAX_CLUSTERS
from catalogs.names import describe_command
from harmonize.errors import UsageError

FEATURES = "features_"
MAX_COMPONENTS = 64
"""Dimensions of image features: the Fréchet distance needs many more instances than dimensions."""

DISTANCE_EDGES_M = np.array([2 ** (step / 2) for step in range(11)])
"""Borders of the bands of distance: 1 to 32 m in half octaves, and beyond either end."""

TRUNCATION_EDGES = np.array([0.0, 0.25, 0.5])
"""Upper borders, included, of the bands of truncation: none, a quarter, a half, and more."""

STATURE_EDGES_M = np.round(np.arange(1.0, 2.15, 0.1), 1)
"""Borders of the bands of stature, of 10 cm; the outermost bands are open."""

Values = Mapping[str, npt.NDArray[Any]]
"""The columns of some rows by name: (N,) or (N, size); NaN where null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A space before anything is fitted.

    view, columns: where its numbers are. families: which attributes these are of. vectors: columns to points (N, r), a
    row with NaN where unknown. cells: columns to cells (N,), NaN where unknown, each below num_cells; none where a
    space has no cells. scaling: as_is (the numbers have one unit), standard (each is divided by its spread), or
    components (principal ones).
    """

    name: str
    families: tuple[str, ...]
    columns: tuple[str, ...]
    vectors: Callable[[Values], npt.NDArray[Any]]
    scaling: Literal["as_is", "standard", "components"]
    cells: Callable[[Values], npt.NDArray[Any]] | None = None
    num_cells: int = 0
    view: str = "samples"


def orientation_vectors(azimuth_deg: Any, elevation_deg: Any, roll_deg: Any) -> Floats:
    """(N, 5): viewing direction in body axes (a unit vector), and the body's up axis as the picture shows it.

    The latter is cos(elevation) * (sin(roll), cos(roll)): its length is that of the projected up axis, so it shrinks to
    0 where roll means nothing (seen from above or below) instead of jumping. `roll_deg` is null within 5 degrees of
    there, where it is taken as 0: a step of at most sin(5 degrees) = 0.09 on numbers in [-1, 1].
    """
    azimuth, elevation, roll = (
        np.radians(np.asarray(angle, np.float64)) for angle in (azimuth_deg, elevation_deg, roll_deg)
    )
    level = np.cos(elevation)
    in_picture = np.where(np.isnan(roll), 0, level)
    turn = np.nan_to_num(roll)
    columns = (level * np.sin(azimuth), np.sin(elevation), level * np.cos(azimuth))
    return np.stack([*columns, in_picture * np.sin(turn), in_picture * np.cos(turn)], axis=1)


def bands(values: Any, edges: Floats, *, is_upper_included: bool = False) -> Floats:
    """The band (N,) of each value, NaN for NaN: below the first of K edges, between two, or beyond the last: 0 to K."""
    values = np.asarray(values, np.float64)
    side: Literal["left", "right"] = "left" if is_upper_included else "right"
    return np.asarray(np.where(np.isnan(values), np.nan, np.searchsorted(edges, values, side=side)))


def unit_vectors(vectors: Any) -> Floats:
    """Rows (N, r) of length 1; a row of zeros has no direction and is unknown (NaN)."""
    vectors = np.asarray(vectors, np.float64)
    length = np.sqrt(np.einsum("nr,nr->n", vectors, vectors))[:, None]
    return np.asarray(np.divide(vectors, length, out=np.full_like(vectors, np.nan), where=length > 0))


def _stack(*columns: Any) -> Floats:
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)


def _log(values: Any) -> Floats:
    values = np.asarray(values, np.float64)
    return np.asarray(np.log(values, out=np.full(values.shape, np.nan), where=values > 0))


def _framing(values: Values) -> Floats:
    names = ("camera_vertical_fov_deg", "camera_elevation_deg")
    return _stack(*(values[name] for name in names), _log(values["camera_person_size_px"]))


_KINDS = (
    Kind(
        name="camera",
        families=("camera",),
        columns=("camera_vertical_fov_deg", "camera_elevation_deg", "camera_person_size_px", "camera_distance_m"),
        vectors=lambda values: np.column_stack([_framing(values), _log(values["camera_distance_m"])]),
        scaling="standard",
    ),
    Kind(
        name="distance",
        families=("camera",),
        columns=("camera_distance_m",),
        vectors=lambda values: _stack(_log(values["camera_distance_m"])),
        scaling="as_is",
        cells=lambda values: bands(values["camera_distance_m"], DISTANCE_EDGES_M),
        num_cells=len(DISTANCE_EDGES_M) + 1,
    ),
    Kind(
        name="framing",
        families=("camera",),
        columns=("camera_vertical_fov_deg", "camera_elevation_deg", "camera_person_size_px"),
        vectors=_framing,
        scaling="standard",
    ),
    Kind(
        name="hands",
        families=("pose",),
        columns=("pose_left_hand_articulation_deg", "pose_right_hand_articulation_deg"),
        vectors=lambda values: _stack(
            values["pose_left_hand_articulation_deg"], values["pose_right_hand_articulation_deg"]
        ),
        scaling="as_is",
    ),
    Kind(
        name="orientation",
        families=("orientation",),
        columns=("orientation_azimuth_deg", "orientation_elevation_deg", "orientation_roll_deg", "orientation_cell"),
        vectors=lambda values: orientation_vectors(
            values["orientation_azimuth_deg"], values["orientation_elevation_deg"], values["orientation_roll_deg"]
        ),
        scaling="as_is",
        cells=lambda values: values["orientation_cell"],
        num_cells=NUM_CELLS,
    ),
    Kind(
        name="pose",
        families=("pose_space",),
        columns=("pose_space_components", "pose_space_cluster"),
        vectors=lambda values: values["pose_space_components"],
        scaling="as_is",
        cells=lambda values: values["pose_space_cluster"],
        num_cells=MAX_CLUSTERS,
    ),
    Kind(
        name="shape",
        families=("shape",),
        columns=("shape_stature_m", "shape_betas_norm"),
        vectors=lambda values: _stack(values["shape_stature_m"], values["shape_betas_norm"]),
        scaling="standard",
        cells=lambda values: bands(values["shape_stature_m"], STATURE_EDGES_M),
        num_cells=len(STATURE_EDGES_M) + 1,
    ),
    Kind(
        name="visibility",
        families=("visibility",),
        columns=("visibility_truncation", "visibility_crowding_iou", "visibility_people_in_picture"),
        vectors=lambda values: _stack(
            values["visibility_truncation"],
            values["visibility_crowding_iou"],
            _log(values["visibility_people_in_picture"]),
        ),
        scaling="standard",
        cells=lambda values: bands(values["visibility_truncation"], TRUNCATION_EDGES, is_upper_included=True),
        num_cells=len(TRUNCATION_EDGES) + 1,
    ),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _KINDS}
"""The spaces that every store can have, by name. Those of image features are made by `feature_kind`."""


def feature_kind(family: str) -> Kind:
    """The space of one family of image features, whose name says backbone and weights."""
    return Kind(
        name=family,
        families=(family,),
        columns=("vector",),
        vectors=lambda values: unit_vectors(values["vector"]),
        scaling="components",
        view=family,
    )


def kinds_in(con: duckdb.DuckDBPyConnection, names: Sequence[str] | None = None) -> list[Kind]:
    """The spaces that a catalog has the columns of, sorted by name; or those asked for, all of which must be there.

    Raises:
        UsageError: there is no such space, its attributes have not been computed, or no space is there at all; the
            message has the command.
    """
    present = {
        row[0] for row in catalog.query(con, "SELECT DISTINCT family FROM attributes WHERE num_current > 0").rows
    }
    known = KINDS | {family: feature_kind(family) for family in sorted(present) if family.startswith(FEATURES)}
    there = {name: kind for name, kind in known.items() if present.issuperset(kind.families)}
    store = str(catalog.query(con, "SELECT min(store) FROM shards").rows[0][0])
    if not there:
        raise UsageError(f"{store}: expected attributes to compare, found none", fix=f"ehps describe {store}")
    for name in names or ():
        if name in known and name not in there:
            family = next(one for one in known[name].families if one not in present)
            raise UsageError(f"space {name}: {family} has not been computed", fix=describe_command(store, family))
        if name not in there:
            raise UsageError(
                f"there is no space {name!r}; there are {', '.join(sorted(known))}",
                fix=describe_command(store, name) if name.startswith(FEATURES) else "choose one of them",
            )
    return [there[name] for name in sorted(set(names) if names else there)]
