"""Orientation: from where the camera sees the body, and how the body leans in the picture.

`global_orient` maps body axes (x left, y up, z front) to camera axes (x right, y down, z forward); R is its matrix.
The viewing direction is that towards the camera along the OPTICAL AXIS, -z of the camera, in body axes: v = -(third
row of R). It is the optical axis that counts and not the ray through the person, so a body keeps its angles at the
border of a picture; `ray_azimuth_deg` and `ray_elevation_deg` are those of the person's own ray. Definitions are those
of the macros in catalogs/sql/rotations.sql.

    azimuth   atan2(v_x, v_z) in (-180, 180]: 0 the camera sees the front, 90 the left side, 180 the back, -90 the right
    elevation asin(v_y) in [-90, 90]: 90 the camera looks down on the head, 0 level, -90 up from the feet
    roll      atan2(u_x, -u_y) in (-180, 180] of the body's up axis u = second column of R: 0 upright in the picture,
              positive when the head tips clockwise as seen. Null where u lies within 5 degrees of the optical axis:
              seen from above or below the body has no upright, and the angle would be noise.
    cell      elevation bin * 24 + azimuth bin, cells of equal solid angle: 24 equal steps of azimuth, the front in the
              middle of one, by 9 equal steps of sin(elevation), the level view in the middle of one

Angles and cells are of the direction: axis-angle vectors jump where directions do not, so nothing is said of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from catalogs.attributes.family import Attribute, Columns, Family, Rows
from catalogs.attributes.rotations import components, matrices, quaternions

Floats = npt.NDArray[np.floating[Any]]

NUM_AZIMUTH, NUM_ELEVATION = 24, 9
NUM_CELLS = NUM_AZIMUTH * NUM_ELEVATION
MIN_ROLL_ANGLE_DEG = 5.0
"""Nearest that the up axis may come to the optical axis for the roll to mean anything."""


def compute(rows: Rows, context: None) -> Columns:
    """The orientations of a shard."""
    has_body = rows.array("body_has_body")
    turn = matrices(quaternions(components(rows.array("body_global_orient_aa").astype(np.float64))))
    azimuth, elevation = directions_deg(-turn[2])
    up_x, up_y = turn[0, 1], turn[1, 1]
    is_upright_defined = np.hypot(up_x, up_y) >= np.sin(np.radians(MIN_ROLL_ANGLE_DEG))
    has_ray, ray = _towards_camera(rows)
    ray_azimuth, ray_elevation = directions_deg(
        turn[0] * ray[0] + turn[1] * ray[1] + turn[2] * ray[2],
    )
    return {
        "azimuth_deg": np.where(has_body, azimuth, np.nan),
        "elevation_deg": np.where(has_body, elevation, np.nan),
        "roll_deg": np.where(has_body & is_upright_defined, _full_turn_deg(up_x, -up_y), np.nan),
        "cell": np.ma.masked_array(cells(azimuth, -turn[2, 1]), ~has_body),
        "ray_azimuth_deg": np.where(has_body & has_ray, ray_azimuth, np.nan),
        "ray_elevation_deg": np.where(has_body & has_ray, ray_elevation, np.nan),
    }


def directions_deg(direction: Floats) -> tuple[Floats, Floats]:
    """Azimuth in (-180, 180] and elevation in [-90, 90] of unit vectors (3, N) in body axes."""
    x, y, z = direction
    return _full_turn_deg(x, z), np.degrees(np.arctan2(y, np.hypot(x, z)))


def cells(azimuth_deg: Floats, elevation_sin: Floats) -> npt.NDArray[np.int32]:
    """The equal-area cell (N,) of each direction, 0..215."""
    azimuth_bin = np.floor((azimuth_deg + 180) / 360 * NUM_AZIMUTH + 0.5) % NUM_AZIMUTH
    elevation_bin = np.clip(np.floor((elevation_sin + 1) / 2 * NUM_ELEVATION), 0, NUM_ELEVATION - 1)
    return np.asarray(elevation_bin * NUM_AZIMUTH + azimuth_bin, np.int32)


def _full_turn_deg(sine: Floats, cosine: Floats) -> Floats:
    """atan2 in degrees in (-180, 180], also after rounding to float32."""
    angle = np.degrees(np.arctan2(sine, cosine)).astype(np.float32).astype(np.float64)
    return np.where(angle <= -180, 180, angle)


def _towards_camera(rows: Rows) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Whether the person's ray is known (N,), and the unit vector from the person to the camera in camera axes (3, N).

    The ray is that of the middle of the person's box, by the pinhole of the stored picture; the lens is left aside.
    """
    box = components(rows.array("boxes_person_xywh_px")).astype(np.float64)
    focal = components(rows.array("camera_focal_px")).astype(np.float64)
    centre = components(rows.array("camera_principal_point_px")).astype(np.float64)
    is_known = rows.array("camera_has_intrinsics") & (box[4] > 0) & (focal > 0).all(axis=0)
    ray = np.ones((3, len(rows)))
    ray[:2] = (box[:2] + box[2:4] / 2 - centre) / np.where(is_known, focal, 1)
    ray[:2] = np.where(is_known, ray[:2], 0)
    return is_known, -ray / np.sqrt((ray * ray).sum(axis=0))


def _degrees(name: str, doc: str) -> Attribute:
    return Attribute(name=name, unit="deg", doc=doc)


FAMILY = Family(
    name="orientation",
    doc="From where the camera sees the body, and how the body leans in the picture.",
    attributes=(
        _degrees(
            "azimuth_deg",
            "Viewing direction around the body's up axis, along the optical axis, in (-180, 180]: 0 the camera sees "
            "the front, 90 the left side, 180 the back.",
        ),
        _degrees(
            "elevation_deg",
            "Viewing direction against the body's horizontal plane, along the optical axis: 90 from above the head, 0 "
            "level, -90 from the feet.",
        ),
        _degrees(
            "roll_deg",
            "In-plane rotation of the body's up axis in the picture, in (-180, 180]: 0 upright, positive clockwise as "
            "seen. Null within 5 degrees of a view straight from above or below.",
        ),
        Attribute(
            name="cell",
            unit="",
            kind="count",
            doc="Equal-area cell of the viewing direction: elevation bin (9 steps of its sine) * 24 + azimuth bin.",
        ),
        _degrees(
            "ray_azimuth_deg",
            "As azimuth_deg, of the direction to the camera along the ray through the middle of the person's box; null "
            "without box or intrinsics.",
        ),
        _degrees("ray_elevation_deg", "As elevation_deg, along the ray through the middle of the person's box."),
    ),
    reads=(
        *("body_global_orient_aa", "body_has_body", "boxes_person_xywh_px"),
        *("camera_focal_px", "camera_principal_point_px", "camera_has_intrinsics"),
    ),
    compute=compute,
)
