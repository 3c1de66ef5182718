"""Camera: what it sees, how far away it stands, from which height it looks, and how big the person is.

    vertical_fov_deg,     angle between the rays through the upper and lower (left and right) border of the SOURCE
    horizontal_fov_deg    picture, through the principal point and without the lens: atan(c / f) + atan((size - c) / f)
    distance_m, depth_m   camera to pelvis: the straight line, and along the optical axis; null unless depth is metric
    elevation_deg         height of the camera as the person sees it: angle between the ray from the pelvis to the
                          camera and the plane square to the body's own up axis; 90 straight above the head, 0 level,
                          -90 below the feet. The record does not say where gravity points (the worlds of extrinsics
                          have their own axes), so this is the camera's elevation for who stands upright, and not for
                          who lies. `orientation` has the angle of the optical axis too
    roll_deg              how the picture shows the body's up axis at the pelvis: 0 towards the upper border, 90 towards
                          the right one, in (-180, 180]; null where the camera looks along that axis. For who stands
                          upright, a camera turned anticlockwise about its axis has a positive roll
    person_height_px      height of the person box, and
    person_size_px        square root of its area, in pixels of the source (those of the stored picture are the same)
    perspective_strength  depth of the farthest body joint over that of the nearest, less 1: by how much near parts
                          look larger than far ones. Weak perspective assumes 0; what that costs is shown by Kissos et
                          al., Beyond Weak Perspective (arXiv 2009.06549) and Wang et al., Zolly (arXiv 2303.13796).
                          Over the known of the 22 body joints; null unless depth is metric, and where a joint is behind
                          the camera

Depth is metric where the body's translation is, and where the joints were measured. Angles are those of the camera that
the label was made with: `label.camera` says whether that one is virtual.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from catalogs.attributes.family import Attribute, Columns, Family, Rows
from catalogs.attributes.rotations import components, matrices, quaternions

Float64 = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

NUM_BODY_JOINTS = 22
"""Pelvis and the 21 joints of body_pose: the first of the 144."""

_LOOKS_ALONG = 1e-3
"""Shorter than this (of 1) in the picture, an axis has no direction there."""


def compute(rows: Rows, prepared: None) -> Columns:
    """Every row by itself."""
    joints = rows.array("keypoints_joints3d_cam_m")
    has_intrinsics = rows.array("camera_has_intrinsics")
    has_pelvis = joints[:, 0, 3] > 0
    is_measured = np.asarray(pc.equal(rows.table.column("keypoints_joints3d_origin"), "measured"))
    is_metric = is_measured | rows.array("body_is_transl_metric")
    pelvis = joints[:, 0, :3].astype(np.float64)
    x, y, z = pelvis.T
    distance = np.sqrt(x * x + y * y + z * z)
    elevation, roll = _from_the_body(rows, (x, y, z), distance)
    has_view = has_pelvis & rows.array("body_has_body") & (distance > 0)
    return {
        **_fields_of_view(rows, has_intrinsics),
        "distance_m": np.where(has_pelvis & is_metric, distance, np.nan),
        "depth_m": np.where(has_pelvis & is_metric, z, np.nan),
        "elevation_deg": np.where(has_view, elevation, np.nan),
        "roll_deg": np.where(has_view & has_intrinsics & (z > 0), roll, np.nan),
        **_sizes(rows),
        "perspective_strength": np.where(is_metric, _perspective(joints), np.nan),
    }


def _fields_of_view(rows: Rows, has_intrinsics: Flags) -> dict[str, Float64]:
    focal = rows.array("camera_focal_px").astype(np.float64)
    principal_point = rows.array("camera_principal_point_px").astype(np.float64)
    out = {}
    for axis, name, size, crop in ((1, "vertical", "height", "y"), (0, "horizontal", "width", "x")):
        size_px = rows.array(f"image_source_{size}_px")
        is_known = has_intrinsics & (size_px > 0) & (focal[:, axis] > 0)
        centre = principal_point[:, axis] + rows.array(f"image_crop_{crop}_px")
        focal_px = np.where(is_known, focal[:, axis], 1)
        angle = np.arctan(centre / focal_px) + np.arctan((size_px - centre) / focal_px)
        out[f"{name}_fov_deg"] = np.where(is_known, np.degrees(angle), np.nan)
    return out


def _from_the_body(rows: Rows, pelvis: tuple[Float64, Float64, Float64], distance: Float64) -> tuple[Float64, Float64]:
    """Elevation and roll in degrees; numbers mean nothing where body, pelvis or (for roll) camera are not known."""
    x, y, z = pelvis
    up_x, up_y, up_z = matrices(quaternions(components(rows.array("body_global_orient_aa").astype(np.float64))))[:, 1]
    away = -(up_x * x + up_y * y + up_z * z) / np.where(distance > 0, distance, 1)
    # Where the pelvis goes in the picture as it moves along the up axis: z times the derivative of (x / z, y / z).
    slope_x, slope_y = (np.divide(one, z, out=np.zeros_like(z), where=z > 0) for one in (x, y))
    moved_x, moved_y = up_x - slope_x * up_z, up_y - slope_y * up_z
    focal = rows.array("camera_focal_px")
    roll = np.degrees(np.arctan2(moved_x * focal[:, 0], -moved_y * focal[:, 1]))
    is_along = moved_x * moved_x + moved_y * moved_y < _LOOKS_ALONG**2
    return np.degrees(np.arcsin(np.clip(away, -1, 1))), np.where(is_along, np.nan, roll)


def _sizes(rows: Rows) -> dict[str, Float64]:
    box = rows.array("boxes_person_xywh_px").astype(np.float64)
    is_known = box[:, 4] > 0
    area = np.where(is_known, box[:, 2] * box[:, 3], 0)
    return {
        "person_height_px": np.where(is_known, box[:, 3], np.nan),
        "person_size_px": np.where(is_known, np.sqrt(area), np.nan),
    }


def _perspective(joints: npt.NDArray[np.float32]) -> Float64:
    """(N,) from joints (N, 144, 4); NaN where fewer than two joints are known or one is behind the camera."""
    depth = np.ascontiguousarray(joints[:, :NUM_BODY_JOINTS, 2].T)
    is_known = np.ascontiguousarray(joints[:, :NUM_BODY_JOINTS, 3].T) > 0
    nearest = np.where(is_known, depth, np.inf).min(axis=0).astype(np.float64)
    farthest = np.where(is_known, depth, -np.inf).max(axis=0).astype(np.float64)
    is_seen = (is_known.sum(axis=0) >= 2) & (nearest > 0)
    return np.asarray(np.divide(farthest, nearest, out=np.full(len(joints), np.nan), where=is_seen) - 1)


_DEGREES = {
    "vertical_fov_deg": "Angle between the rays through the upper and lower border of the source picture, through the "
    "principal point, without the lens. Null without intrinsics.",
    "horizontal_fov_deg": "The same between the left and right border.",
    "elevation_deg": "Height of the camera as the person sees it: angle between the ray from the pelvis to the camera "
    "and the plane square to the body's up axis; 90 above the head, -90 below the feet. Gravity is not known.",
    "roll_deg": "How the picture shows the body's up axis at the pelvis: 0 towards the upper border, 90 towards the "
    "right one. Null where the camera looks along that axis.",
}


def _degrees(name: str) -> Attribute:
    return Attribute(name=name, unit="deg", doc=_DEGREES[name])


FAMILY = Family(
    name="camera",
    doc="What the camera sees, how far away it stands, from which height it looks, and how big the person is.",
    attributes=(
        _degrees("vertical_fov_deg"),
        _degrees("horizontal_fov_deg"),
        Attribute(name="distance_m", unit="m", doc="Camera to pelvis. Null unless depth is metric."),
        Attribute(
            name="depth_m", unit="m", doc="Camera to pelvis along the optical axis. Null unless depth is metric."
        ),
        _degrees("elevation_deg"),
        _degrees("roll_deg"),
        Attribute(name="person_height_px", unit="px", doc="Height of the person box. Null without a box."),
        Attribute(name="person_size_px", unit="px", doc="Square root of the person box's area. Null without a box."),
        Attribute(
            name="perspective_strength",
            unit="1",
            doc="Depth of the farthest known body joint over that of the nearest, less 1; 0 is weak perspective. Null "
            "unless depth is metric.",
        ),
    ),
    reads=(
        *("camera_focal_px", "camera_principal_point_px", "camera_has_intrinsics"),
        *("image_source_width_px", "image_source_height_px", "image_crop_x_px", "image_crop_y_px"),
        *("body_global_orient_aa", "body_has_body", "body_is_transl_metric"),
        *("keypoints_joints3d_cam_m", "keypoints_joints3d_origin", "boxes_person_xywh_px"),
    ),
    compute=compute,
)
