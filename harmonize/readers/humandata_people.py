"""The people of a range of rows of a HumanData file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from harmonize.annotation import Annotation, ImageSource, NamedPoints, Reject
from harmonize.geometry.boxes import scaled
from harmonize.readers.fields import NO_BOX, MalformedRecord, size_px
from harmonize.readers.humandata_file import BOXES, HumanDataFile
from harmonize.record import Array, Boxes, Provenance

MAX_BOX_ASPECT = 8.0
"""A pre-release 3DPW record has a box of 312 x 28 px for a sitting person; no whole person is this thin or flat."""
MIN_POINTS_FOR_BOX = 4

_FLAGS = (
    ("iscrowd", False, "crowd"),
    ("num_keypoints", True, "no-keypoints"),
    ("valid_label", True, "invalid-label"),
    ("annot_valid", True, "invalid-label"),
)
"""Entry of meta, whether it refuses a row where it is zero (else where it is not), and the reason."""


def people(
    file: HumanDataFile, first: int, last: int, source: Callable[[int], tuple[Provenance, ImageSource]]
) -> Iterator[Annotation | Reject]:
    """Everyone in the rows from `first` to before `last`, in order. `source` says where a row comes from."""
    rows = slice(first, last)
    sizes = None if file.size_px is None else file.size_px[rows]
    points2d, points3d = (None if values is None else np.asarray(values[rows]) for values in file.points)
    boxes = [_boxes(file, key, rows) for key in BOXES]
    boxes[0][~_plausible(boxes[0], points2d, sizes)] = 0
    bodies = None if file.bodies is None else file.bodies.rows(first, last)
    in_front = None if points3d is None else _in_front(points3d)
    refusals = _refusals(file, rows)
    for row in range(last - first):
        provenance, image = source(first + row)
        if row in refusals:
            yield Reject(reason=refusals[row], provenance=provenance, detail="the file's own meta says so")
            continue
        size = None
        if sizes is not None:
            try:
                size = size_px({"width": sizes[row, 0], "height": sizes[row, 1]})
            except MalformedRecord as error:
                yield Reject(reason="malformed", provenance=provenance, detail=f"meta: {error}")
                continue
        person, left, right, face = (one[row] if one[row, 4] > 0 else NO_BOX for one in boxes)
        body = None if bodies is None else bodies.row(row, file.gender(first + row))
        has_points = body is None or not body.kid_weight or file.facts.has_points_of_kids
        keypoints2d: tuple[NamedPoints, ...] = ()
        keypoints3d: NamedPoints | None = None
        if has_points and file.points2d is not None and points2d is not None:
            keypoints2d = (file.points2d.of(points2d[row]),)
        if has_points and file.points3d is not None and points3d is not None and in_front is not None and in_front[row]:
            keypoints3d = file.points3d.of(points3d[row])
        yield Annotation(
            provenance=provenance,
            image=image,
            camera=file.cameras.of(first + row),
            boxes=Boxes(
                person_xywh_px=person,
                left_hand_xywh_px=left,
                right_hand_xywh_px=right,
                face_xywh_px=face,
                person_origin="dataset" if person[4] > 0 else "none",
            ),
            body=body,
            keypoints2d=keypoints2d,
            keypoints3d=keypoints3d,
            image_size_px=size,
        )


def _refusals(file: HumanDataFile, rows: slice) -> dict[int, str]:
    """Why the file itself calls rows unusable, by row; the first reason counts."""
    found: dict[int, str] = {}
    for key, is_refused_at_zero, reason in reversed(_FLAGS):
        if key in file.meta:
            is_zero = file.meta[key][rows, 0] == 0
            found |= dict.fromkeys(map(int, np.flatnonzero(is_zero == is_refused_at_zero)), reason)
    return found


def _boxes(file: HumanDataFile, key: str, rows: slice) -> Array:
    """(n, 5) boxes without the padding that misc declares; zeros where there is none."""
    if key not in file.boxes:
        return np.zeros((rows.stop - rows.start, 5), np.float32)
    stored = np.asarray(file.boxes[key][rows])
    padding = file.padding(key)
    with np.errstate(over="ignore", invalid="ignore"):
        boxes = np.array(scaled(stored, 1 / padding) if padding > 0 else stored)
        is_box = np.isfinite(boxes[:, :4]).all(axis=1) & (boxes[:, 2:4] > 0).all(axis=1) & (boxes[:, 4] > 0)
    boxes[~is_box] = 0
    return boxes


def _plausible(boxes: Array, points: Array | None, sizes: Array | None) -> npt.NDArray[np.bool_]:
    """Which boxes can be the person's: not absurdly thin, in the picture, around at least half of the points."""
    x, y, width, height, confidence = boxes.T.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        is_whole = np.maximum(width / height, height / width) <= MAX_BOX_ASPECT
        found = (confidence > 0) & is_whole & (x + width > 0) & (y + height > 0)
        if sizes is not None:
            found &= (x < sizes[:, 0]) & (y < sizes[:, 1])
        if points is not None:
            low, high = boxes[:, None, :2], boxes[:, None, :2] + boxes[:, None, 2:4]
            known = points[..., 2] > 0
            inside = known & ((points[..., :2] >= low) & (points[..., :2] <= high)).all(axis=2)
            num_known = known.sum(axis=1)
            found &= (num_known < MIN_POINTS_FOR_BOX) | (inside.sum(axis=1) >= 0.5 * num_known)
    return np.asarray(found)


def _in_front(points: Array) -> npt.NDArray[np.bool_]:
    """Where all known points lie before the camera; points around a pelvis at the origin do not."""
    known = points[..., 3] > 0
    with np.errstate(invalid="ignore"):
        return np.asarray(known.any(axis=1) & ((points[..., 2] > 0) | ~known).all(axis=1))
