"""Visibility: how much of a person the picture shows. The picture is the SOURCE picture, not the stored crop of it.

    truncation          share of the known of the 22 body joints (pelvis and those of body_pose) outside the picture or
                        behind the camera: the record's 3D joints through its camera and lens, else the source's
                        projected 2D joints. Null without either: annotators and detectors place no points outside
    occlusion           share of the source's points inside the picture that it marks as hidden, by whatever. Null where
                        the source does not tell: nearly everywhere, see `TELLS_HIDDEN`
    num_visible_{body,left_hand,right_hand,face}    the source's own 2D points of a part with a confidence above 0
                        inside the picture. Who placed them says `keypoints_joints2d_origin`; annotators may place
                        hidden points, projected ones are there whether hidden or not. 0: none of that part; null: no
                        2D points at all
    people_in_picture   people that the dataset has in the same picture of the split, with those that were refused and
                        this one; people left out by sub-sampling are not counted
    crowding_iou        largest intersection over union of the person's box with another person's box in the picture:
                        0 for who is alone, null without a box. Refused people have no box and cover nobody

Inside means 0 <= x <= width and 0 <= y <= height, as for the boxes that ingest makes. Everything but the last two is
null where the source picture's size is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from catalogs.attributes.crowding import crowding
from catalogs.attributes.family import Attribute, Columns, Family, Rows
from catalogs.attributes.lens import project_inside
from harmonize.evidence import part_of
from harmonize.keypoints import SMPLX_144

Floats = npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]

NUM_BODY_JOINTS = 22
PARTS = ("body", "left_hand", "right_hand", "face")

TELLS_HIDDEN = ("muco_3dhp",)
"""Readers whose 2D points of confidence 0 lie where the hidden joint is. Elsewhere 0 means that there is no point, and
hidden points that were labelled nevertheless count as labelled."""

_CAMERA = ("focal_px", "principal_point_px", "distortion")
_PART = np.array([PARTS.index(part_of(name)) for name in SMPLX_144])


def compute(rows: Rows, prepared: None) -> Columns:
    """Every row by itself, but for the people in the same picture."""
    size = np.stack([rows.array("image_source_width_px"), rows.array("image_source_height_px")], axis=1)
    crop = np.stack([rows.array("image_crop_x_px"), rows.array("image_crop_y_px")], axis=1)
    low, high = (-crop).astype(np.float32), (size - crop).astype(np.float32)
    has_size = (size > 0).all(axis=1)
    joints = rows.array("keypoints_joints2d_px")
    extra = _extra_points(rows)
    owners, parts, points = _labelled(joints, extra)
    is_inside = _between(points, low[owners], high[owners])
    num_inside = np.bincount(owners[is_inside] * len(PARTS) + parts[is_inside], minlength=len(rows) * len(PARTS))
    num_inside = num_inside.reshape(-1, len(PARTS))
    is_unknown = ~has_size | (np.bincount(owners, minlength=len(rows)) == 0)
    tells = has_size & np.asarray(pc.is_in(rows.table.column("reader"), value_set=pa.array(TELLS_HIDDEN)))
    num_hidden = _num_hidden(joints, extra, size.astype(np.float32), tells)
    num_people, iou = crowding(rows)
    return {
        "truncation": np.where(has_size, _truncation(rows, joints, low, high), np.nan),
        "occlusion": np.where(tells, _share(num_hidden, num_hidden + num_inside.sum(axis=1)), np.nan),
        **{
            f"num_visible_{part}": np.ma.masked_array(num_inside[:, code], mask=is_unknown)
            for code, part in enumerate(PARTS)
        },
        "people_in_picture": num_people,
        "crowding_iou": iou,
    }


@dataclass(frozen=True, slots=True)
class _Extra:
    """The source's points that are no SMPL-X joints, of all rows: owner and part (M,); x, y, confidence (M, 3)."""

    owners: Ints
    parts: Ints
    points: Floats


def _extra_points(rows: Rows) -> _Extra:
    names = rows.table.column("extra_names").combine_chunks()
    num_names = np.asarray(names.value_lengths())
    owners = np.repeat(np.arange(len(rows)), num_names)
    places = np.arange(len(owners)) - np.repeat(np.cumsum(num_names) - num_names, num_names)
    encoded = names.flatten().dictionary_encode()
    codes = np.array([PARTS.index(part_of(name)) for name in encoded.dictionary.to_pylist()], np.intp)
    return _Extra(owners, codes[encoded.indices.to_numpy()], rows.array("keypoints_extra2d_px")[owners, places])


def _labelled(joints: Floats, extra: _Extra) -> tuple[Ints, Ints, Floats]:
    """Owner (M,), part (M,) and x, y (M, 2) of every point with a confidence, in pixels of the stored pictures."""
    owners, at = np.nonzero(joints[:, :, 2] > 0)
    is_extra = extra.points[:, 2] > 0
    return (
        np.concatenate([owners, extra.owners[is_extra]]),
        np.concatenate([_PART[at], extra.parts[is_extra]]),
        np.concatenate([joints[owners, at, :2], extra.points[is_extra, :2]]),
    )


def _num_hidden(joints: Floats, extra: _Extra, size: Floats, tells: Flags) -> Ints:
    """(N,) points of confidence 0 that have a place in the picture; cropping leaves those in pixels of the source."""
    of_row = np.flatnonzero(tells)
    of_extra = np.flatnonzero(tells[extra.owners])
    owners = np.concatenate([np.repeat(of_row, joints.shape[1]), extra.owners[of_extra]])
    points = np.concatenate([joints[of_row].reshape(-1, 3), extra.points[of_extra]])
    has_place = (points[:, 2] == 0) & points[:, :2].any(axis=1)
    is_hidden = has_place & _between(points, np.zeros_like(size[owners]), size[owners])
    return np.bincount(owners[is_hidden], minlength=len(tells))


def _between(points: Floats, low: Floats, high: Floats) -> Flags:
    """(M,) whether points (M, 2..) lie between corners (M, 2)."""
    x, y = points[:, 0], points[:, 1]
    return np.asarray((x >= low[:, 0]) & (x <= high[:, 0]) & (y >= low[:, 1]) & (y <= high[:, 1]))


def _truncation(rows: Rows, joints2d: Floats, low: Floats, high: Floats) -> Float64:
    joints = rows.array("keypoints_joints3d_cam_m")[:, :NUM_BODY_JOINTS]
    is_known = (joints[:, :, 3] > 0) & rows.array("camera_has_intrinsics")[:, None]
    by_body = np.flatnonzero(is_known.any(axis=1))
    is_inside = np.zeros(is_known.shape, bool)
    focal, centre, lens = (rows.array(f"camera_{name}")[by_body] for name in _CAMERA)
    is_inside[by_body] = project_inside(joints[by_body, :, :3], focal, centre, lens, low[by_body], high[by_body])
    is_projected = np.asarray(pc.equal(rows.table.column("keypoints_joints2d_origin"), "projected"))
    by_points = np.flatnonzero(is_projected & ~is_known.any(axis=1))
    points = joints2d[by_points, :NUM_BODY_JOINTS]
    is_known[by_points] = points[:, :, 2] > 0
    corners = (np.repeat(corner[by_points], NUM_BODY_JOINTS, axis=0) for corner in (low, high))
    is_inside[by_points] = _between(points.reshape(-1, 3), *corners).reshape(-1, NUM_BODY_JOINTS)
    return _share((is_known & ~is_inside).sum(axis=1), is_known.sum(axis=1))


def _share(part: Ints, whole: Ints) -> Float64:
    return np.asarray(np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0))


def _count(name: str, doc: str) -> Attribute:
    return Attribute(name=name, unit="", kind="count", doc=doc)


FAMILY = Family(
    name="visibility",
    doc="How much of a person the source picture shows, and who else is in it.",
    attributes=(
        Attribute(
            name="truncation",
            unit="1",
            doc="Share of the known of the 22 body joints outside the source picture or behind the camera. Null "
            "without 3D joints and camera or projected 2D joints.",
        ),
        Attribute(
            name="occlusion",
            unit="1",
            doc="Share of the source's points inside the picture that it marks as hidden. Null where it does not tell: "
            "everywhere but in MuCo-3DHP.",
        ),
        *(
            _count(
                f"num_visible_{part}",
                f"The source's own 2D points of the {part.replace('_', ' ')} with a confidence above 0 inside the "
                "source picture. Null without any 2D points.",
            )
            for part in PARTS
        ),
        _count("people_in_picture", "People of the split in the same picture, refused ones and this one included."),
        Attribute(
            name="crowding_iou",
            unit="1",
            doc="Largest intersection over union of the person's box with another's in the picture; 0 for who is "
            "alone. Null without a box.",
        ),
    ),
    reads=(
        *("reader", "extra_names"),
        *("image_source_width_px", "image_source_height_px", "image_crop_x_px", "image_crop_y_px"),
        *("camera_focal_px", "camera_principal_point_px", "camera_distortion", "camera_has_intrinsics"),
        *("keypoints_joints3d_cam_m", "keypoints_joints2d_px", "keypoints_joints2d_origin", "keypoints_extra2d_px"),
    ),
    compute=compute,
    reads_people=True,
)
