"""The files of InstaVariety: the joblib table with its fits, tubes in TFRecords, VIBE's HDF5, and per-frame tracks.

All four hold 25 OpenPose points in the order of the HMMR authors, which puts heels into the ankle slots of LSP
(instavariety_25).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.annotation import NamedPoints
from harmonize.keypoints import convention
from harmonize.raw.joblibs import load_joblib
from harmonize.raw.jsons import iter_json_entries
from harmonize.raw.tfrecords import Example
from harmonize.readers.fields import (
    Floats,
    MalformedRecord,
    concerns_file,
    entries,
    field,
    is_listing,
    number,
    numbers,
    require_keys,
    shaped,
)
from harmonize.readers.kept import keep_last
from harmonize.readers.neuralannot import BodyFit, body_fit
from harmonize.record import Array

CROP_PX = 224
TRACK_NAMES = (
    *("R Heel", "R Knee", "R Hip", "L Hip", "L Knee", "L Heel", "R Wrist", "R Elbow", "R Shoulder", "L Shoulder"),
    *("L Elbow", "L Wrist", "Neck", "Head", "Nose", "L Eye", "R Eye", "L Ear", "R Ear", "L Big Toe", "R Big Toe"),
    *("L Small Toe", "R Small Toe", "L Ankle", "R Ankle"),
)
"""Names of instavariety_25 in the per-frame files, which have no Head."""
_NAMES = convention("instavariety_25").names
_NUM_FIT = 89


@dataclass(frozen=True, slots=True)
class Table:
    """The joblib table, one row a person, and the fits of its ids. sizes_px (N, 2) are width, height.

    fits (N, 89): numbers of a BodyFit, where has_fit (N,); problems: why the fit of a row could not be parsed.
    """

    ids: list[str]
    names: list[str] | npt.NDArray[np.str_]
    sizes_px: Floats
    boxes: Floats
    points: Floats | None
    fits: Array
    has_fit: npt.NDArray[np.bool_]
    problems: dict[int, str]

    def fit(self, row: int) -> BodyFit | None:
        """The fit of a row."""
        return BodyFit(model="smpl", values=self.fits[row]) if self.has_fit[row] else None


@keep_last
def table(people: Path, fits: Path) -> Table:
    """The table and its fits.

    Raises:
        RawFileError: a file is damaged, or the table's columns are missing or of unequal length.
    """
    data = load_joblib(people)
    with concerns_file(people):
        if not isinstance(data, Mapping):
            raise MalformedRecord.of("db", "a dictionary of columns", data)
        require_keys(data, ("ann_id", "file_name", "img_shape", "bbox"), str(people))
        ids = shaped(_stacked(data["ann_id"], "ann_id"), "ann_id", -1)
        count = len(ids)
        if not count or (ids % 1).any() or len(np.unique(ids)) < count:
            raise MalformedRecord.of("ann_id", "a whole number for each person, each once", data["ann_id"])
        keys = [str(int(number_of_id)) for number_of_id in ids]
        heights_widths = shaped(_stacked(data["img_shape"], "img_shape"), "img_shape", count, -1)[:, :2]
        if heights_widths.shape[1] != 2:
            raise MalformedRecord.of("img_shape", "height and width", data["img_shape"])
        boxes = shaped(_stacked(data["bbox"], "bbox"), "bbox", count, 4)
        names = _names(data["file_name"], count)
        points = _points_column(data, count)
    row_of = {key: row for row, key in enumerate(keys)}
    values, has_fit = np.zeros((count, _NUM_FIT), np.float32), np.zeros(count, bool)
    problems: dict[int, str] = {}
    for key, entry in iter_json_entries(fits, "", has_nan=True):
        row = row_of.get(key)
        if row is None:
            continue
        try:
            values[row], has_fit[row] = body_fit(entry, "smpl").values, True
        except MalformedRecord as error:
            problems[row] = f"{fits.name}: {error}"
    return Table(keys, names, heights_widths[:, ::-1], boxes, points, values, has_fit, problems)


def _stacked(column: Any, name: str) -> Any:
    """A column, whose rows may be arrays of their own."""
    if not is_listing(column):
        raise MalformedRecord.of(name, "a column", column)
    if isinstance(column, np.ndarray) and column.dtype == object:
        column = list(column)
    return numbers(column, name)


def _names(column: Any, count: int) -> list[str] | npt.NDArray[np.str_]:
    if isinstance(column, np.ndarray) and column.dtype.kind == "U" and column.shape == (count,):
        return column
    if not is_listing(column) or len(column) != count or not all(isinstance(name, str) for name in column):
        raise MalformedRecord.of("file_name", f"{count} names", column)
    return [str(name) for name in column]


def _points_column(data: Mapping[str, Any], count: int) -> Floats | None:
    """The 2D points, by their shape, as no two descriptions agree on their key."""
    for column in data.values():
        shape = np.shape(column) if isinstance(column, np.ndarray) else ()
        if len(shape) == 3 and shape[0] == count and shape[1] == 25 and shape[2] in (2, 3) and column.dtype.kind == "f":
            return np.asarray(column)
    return None


def named_points(points: Floats) -> NamedPoints:
    """25 points (25, 2 | 3) under their canonical names; without a third column, those that are not 0, 0 count."""
    known = np.clip(points[:, 2], 0.0, 1.0) if points.shape[1] == 3 else (points != 0).any(axis=1)
    return NamedPoints(names=_NAMES, values=np.column_stack([points[:, :2], known]), origin="detected")


@dataclass(frozen=True, slots=True)
class Tube:
    """One tube: points (N, 25, 3) in pixels of its pictures, and their sizes (N, 2) as width, height."""

    points: Floats
    sizes_px: Floats


def tube(record: Example) -> Tube:
    """The points of a tube. Where it holds features of pictures, coordinates are -1 to 1 of a crop of 224 px.

    Documentation and reader code disagree on two names: image/toes_pts or toe_pts, image/phi or phis.

    Raises:
        MalformedRecord: a list is missing, or has another length than meta/N says.
    """
    (count,) = shaped(_numeric(record, "meta/N"), "meta/N", 1).astype(int)
    if not 0 < count <= 1 << 20:
        raise MalformedRecord.of("meta/N", "a number of frames", count)
    # Rows of x, of y, and of visibility, not points one after the other.
    body = np.concatenate(
        [
            shaped(_numeric(record, "image/xys"), "image/xys", count, 2, 14),
            shaped(_numeric(record, "image/visibilities"), "image/visibilities", count, 1, 14),
        ],
        axis=1,
    )
    face = shaped(_numeric(record, "image/face_pts"), "image/face_pts", count, 3, 5)
    toe_key = next((key for key in ("image/toe_pts", "image/toes_pts") if np.size(record.get(key, ()))), "")
    toes = shaped(_numeric(record, toe_key), toe_key, count, 3, 6) if toe_key else np.zeros((count, 3, 6))
    points = np.concatenate([body, face, toes], axis=2).transpose(0, 2, 1)
    sizes = np.full((count, 2), float(CROP_PX))
    if any(np.size(record.get(key, ())) for key in ("image/phi", "image/phis")):
        points = np.concatenate([(points[..., :2] + 1) / 2 * CROP_PX, points[..., 2:]], axis=-1)
    elif np.size(record.get("image/heightwidths", ())):
        sizes = shaped(_numeric(record, "image/heightwidths"), "image/heightwidths", count, 2)[:, ::-1]
    return Tube(points, sizes)


def _numeric(record: Example, key: str) -> Any:
    return numbers(field(record, key), key)


def tfrecord_member(video: str) -> tuple[str, int] | None:
    """Name of the TFRecord and number of the tube that VIBE's `vid_name` stands for, whatever folder it names."""
    found = re.fullmatch(r"(?:.*/)?([^/]+\.tfrecord)-(\d{1,9})", video)
    return (found[1], int(found[2])) if found else None


def track_points(record: Any) -> tuple[NamedPoints, Floats]:
    """Points and box (x, y, w, h) of a per-frame file; `logits` is OpenPose's score, `probability` is empty.

    Raises:
        MalformedRecord: a point or the box is not numbers, or no point has one of the names.
    """
    box = entries(record, "bbox")
    x0, y0, x1, y1 = (number(box, key) for key in ("xmin", "ymin", "xmax", "ymax"))
    values = np.zeros((25, 3))
    found = [(row, name) for row, name in enumerate(TRACK_NAMES) if name in record]
    if not found:
        raise MalformedRecord.of("points", f"names such as {TRACK_NAMES[0]!r}", ", ".join(map(str, record)))
    for row, name in found:
        values[row] = [number(entries(record, name), key) for key in ("x", "y", "logits")]
    return named_points(values), np.array([x0, y0, x1 - x0, y1 - y0])
