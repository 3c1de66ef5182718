"""One HumanData npz in memory: what it says about each row, whatever the age of the converter that wrote it."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, Reject
from harmonize.geometry.boxes import scaled
from harmonize.raw.npz import load_npz, npz_header
from harmonize.readers.fields import (
    NO_BOX,
    Floats,
    MalformedRecord,
    box,
    concerns_file,
    is_listing,
    number,
    numbers,
    pinhole,
    shaped,
    size_px,
)
from harmonize.readers.humandata_body import MODELS, Bodies, read_bodies
from harmonize.readers.humandata_points import KEYS_2D, KEYS_3D, MASKS, Points, read_points
from harmonize.record import Array, BodyKind, Boxes, Camera, Gender, Provenance

MAX_BOX_ASPECT = 8.0
"""A pre-release 3DPW record has a box of 312 x 28 px for a sitting person; no whole person is this thin or flat."""
MIN_POINTS_FOR_BOX = 4

_GENDERS: dict[str, Gender] = {
    "m": "male",
    "male": "male",
    "f": "female",
    "female": "female",
    "n": "neutral",
    "neutral": "neutral",
}
_FLAGS = (
    ("iscrowd", False, "crowd"),
    ("num_keypoints", True, "no-keypoints"),
    ("valid_label", True, "invalid-label"),
    ("annot_valid", True, "invalid-label"),
)
_BOXES = (
    ("bbox_xywh", ("bbox_body_scale", "bbox_scale")),
    ("lhand_bbox_xywh", ("bbox_hand_scale", "bbox_facehand_scale")),
    ("rhand_bbox_xywh", ("bbox_hand_scale", "bbox_facehand_scale")),
    ("face_bbox_xywh", ("bbox_face_scale", "bbox_facehand_scale")),
)


class HumanDataFile:
    """The rows of one file.

    Raises:
        RawFileError: a key of the format is missing or has another shape; the message names file and key.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        header = npz_header(self.path)
        points = (_first(KEYS_2D, header), _first(KEYS_3D, header))
        wanted = ("image_path", "meta", "misc", "config", *MODELS, *MASKS, *points, *(key for key, _ in _BOXES))
        self._data = load_npz(self.path, keys=[key for key in wanted if key in header])
        self._paths = [str(path).replace("\\", "/") for path in self._data["image_path"].ravel()]
        self._meta, self._misc = self._dictionary("meta"), self._dictionary("misc")
        config = str(self._data.get("config", ""))
        self._prefix = foreign_prefix(self._paths, root, config)
        self._names = {token for text in (self.path.stem, config) for token in text.lower().split("_")}
        with concerns_file(self.path):
            self._model = cast(BodyKind | None, _first(MODELS, self._data) or None)
            self._bodies = None if self._model is None else self._read_bodies(self._model)
            self._points2d = self._points(points[0], 3)
            self._points3d = None if _says(self._misc, "kps3d_root_aligned") else self._points(points[1], 4)
            self._boxes = [self._box_rows(key, scales) for key, scales in _BOXES]
            self._size = [self._meta_rows(key, 1) for key in ("width", "height")]
            self._focal = self._camera_rows("focal_length")
            self._principal = self._camera_rows("principal_point", "princpt")
            self._genders = self._gender_rows()
            self._flags = [(self._meta_rows(key, 1), at_zero, reason) for key, at_zero, reason in _FLAGS]
        self._data.clear()  # what is needed of the arrays was taken over, as float32 and without empty columns
        source = str(self._misc.get(f"{self._model}_source", self._misc.get("smplx_source", "")))
        # The documentation misspells its own literal as nerual_annot.
        known = {"neural_annot": "neuralannot", "nerual_annot": "neuralannot", "eft": "eft"}
        self.label_origin = "" if self._model is None else known.get(source, "fit")

    def image_path(self, row: int) -> str:
        """The picture of a row, relative to the root; `..` is left for the path check of whoever opens it."""
        return self._paths[row].removeprefix(self._prefix).lstrip("/")

    def person(self, row: int, provenance: Provenance) -> Annotation | Reject:
        """The person of a row."""
        reason = self._refusal(row)
        if reason is not None:
            return Reject(reason=reason, provenance=provenance, detail="the file's own meta says so")
        width, height = self._size
        size = None
        if width is not None and height is not None:
            try:
                size = size_px({"width": width[row, 0], "height": height[row, 0]})
            except MalformedRecord as error:
                return Reject(reason="malformed", provenance=provenance, detail=f"meta: {error}")
        points2d = None if self._points2d is None else self._points2d.row(row)
        points3d = None if self._points3d is None else self._points3d.row(row)
        person, left, right, face = (
            NO_BOX if boxes is None else box(boxes[row, :4], boxes[row, 4]) for boxes in self._boxes
        )
        body = None
        if self._bodies is not None:
            body = self._bodies.row(row, self._genders[row], is_transl_metric=self._is_metric())
        if not is_plausible(person, points2d, size):
            person = NO_BOX
        return Annotation(
            provenance=provenance,
            image=ImageSource(path=provenance.image_path, orientation=1),
            camera=self._camera(row),
            boxes=Boxes(
                person_xywh_px=person,
                left_hand_xywh_px=left,
                right_hand_xywh_px=right,
                face_xywh_px=face,
                person_origin="dataset" if person[4] > 0 else "none",
            ),
            body=body,
            keypoints2d=() if points2d is None else (points2d,),
            keypoints3d=points3d if points3d is not None and _is_in_front(points3d.values) else None,
            image_size_px=size,
        )

    def _dictionary(self, key: str) -> dict[str, Any]:
        """A 0-d object array with a dictionary inside; empty when the key is missing or holds something else."""
        value = self._data.get(key)
        inside = value.item() if value is not None and value.size == 1 else None
        return inside if isinstance(inside, dict) else {}

    def _meta_rows(self, key: str, width: int) -> Floats | None:
        """A meta entry as (N, width); None when it is missing or was declared and never filled (MSCOCO)."""
        value = self._meta.get(key)
        if not is_listing(value) or len(value) != len(self._paths):
            return None
        rows = shaped(value, f"meta.{key}", len(value), -1)
        if not rows.shape[1]:
            raise MalformedRecord.of(f"meta.{key}", "a number a row", value)
        return rows if rows.shape[1] == width else np.broadcast_to(rows[:, :1], (len(rows), width))

    def _camera_rows(self, *names: str) -> Floats | None:
        """(N, 2) per row from meta, else one constant from misc."""
        for name in names:
            rows = self._meta_rows(name, 2)
            if rows is not None:
                return rows
            if self._misc.get(name) is not None:
                constant = numbers(self._misc[name], f"misc.{name}").ravel()
                if len(constant) in (1, 2):
                    return np.broadcast_to(constant, (len(self._paths), 2))
        return None

    def _camera(self, row: int) -> Camera:
        if self._focal is None or self._principal is None:
            return Camera()
        return pinhole(self._focal[row], self._principal[row], is_calibrated=self._is_metric())

    def _is_metric(self) -> bool:
        guessed = str(self._misc.get("cam_param_type")) in ("predicted_camera", "eft_camera")
        return self.label_origin not in ("neuralannot", "eft") and not guessed

    def _box_rows(self, key: str, scales: tuple[str, ...]) -> Floats | None:
        """(N, 5) boxes without the padding that misc declares; files of four columns have no confidence."""
        if key not in self._data:
            return None
        rows = shaped(self._data[key], key, len(self._paths), -1)
        if rows.shape[1] not in (4, 5):
            raise MalformedRecord(f"field {key!r}: expected 4 or 5 columns, found {rows.shape[1]}")
        if rows.shape[1] == 4:
            rows = np.column_stack([rows, np.ones(len(rows))])
        padding = next((number(self._misc, scale) for scale in scales if scale in self._misc), 1.0)
        return scaled(rows, 1 / padding) if padding > 0 else rows

    def _read_bodies(self, model: BodyKind) -> Bodies:
        given = self._dictionary(model)
        flat = _says(self._misc, "flat_hand_mean")
        if flat is None:
            flat = _says(given, "flat_hand_mean")
        parts = {"left": "lefthand_valid", "right": "righthand_valid", "face": "face_valid"}
        return read_bodies(
            model,
            given,
            len(self._paths),
            {part: self._meta_rows(key, 1) for part, key in parts.items()},
            are_hands_flat="gta" in self._names if flat is None else flat,
        )

    def _gender_rows(self) -> list[Gender | None]:
        """The gender of each row, None where the file says none; a text alone counts for all rows."""
        count, given = len(self._paths), self._meta.get("gender")
        if given is None or "bedlam" in self._names:
            return [None] * count
        if isinstance(given, str):
            given = [given] * count
        if not is_listing(given):
            raise MalformedRecord.of("meta.gender", "text or a list", given)
        return [_GENDERS.get(str(value).lower()) for value in given] if len(given) == count else [None] * count

    def _points(self, key: str, columns: int) -> Points | None:
        """The points under a key; exact when they were made from the very body that is in the file."""
        if key not in self._data:
            return None
        is_made_from_body = self._model is not None and key.endswith(f"_{self._model}")
        is_refit = self._bodies is not None and "betas_neutral" in self._bodies.params
        has_foreign_shape = "agora" in self._names or (is_refit and "gender" not in self._meta)
        return read_points(
            self._data,
            key,
            columns,
            len(self._paths),
            origin="measured" if columns == 4 else "projected" if is_made_from_body else "annotated",
            is_exact=is_made_from_body and not has_foreign_shape,
        )

    def _refusal(self, row: int) -> str | None:
        """Why the file itself calls a row unusable: a flag of meta that must not be, or must be, zero."""
        for rows, refused_when_zero, reason in self._flags:
            if rows is not None and (rows[row, 0] == 0) == refused_when_zero:
                return reason
        return None


def foreign_prefix(paths: list[str], root: Path, config: str) -> str:
    """What must be cut from absolute image paths: the part that belongs to the machine that wrote them.

    The longest rest that exists under the root counts; without pictures, what follows the component that is the
    dataset's own name (`config`). Empty when no path is absolute.
    """
    first = next((path for path in paths if path.startswith("/") or path[1:2] == ":"), None)
    if first is None:
        return ""
    parts = PurePosixPath(first).parts
    for start in range(1, len(parts)):
        rest = "/".join(parts[start:])
        # os.path.isfile takes names that no file can have for missing; Path.is_file raises for some.
        if ".." not in parts and first.endswith(rest) and os.path.isfile(root / rest):  # noqa: PTH113
            return first.removesuffix(rest)
    if f"/{config}/" in first and config in parts[1:-1]:
        return first[: first.index(f"/{config}/") + len(config) + 2]
    return parts[0]


def is_plausible(person_box: Array, points: NamedPoints | None, size_px: tuple[int, int] | None) -> bool:
    """Whether a box can be the person's: not absurdly thin, in the picture, around at least half of the points."""
    x, y, width, height, confidence = map(float, person_box)
    if confidence <= 0 or max(width / height, height / width) > MAX_BOX_ASPECT or x + width <= 0 or y + height <= 0:
        return False
    if size_px is not None and (x >= size_px[0] or y >= size_px[1]):
        return False
    if points is None:
        return True
    known = points.values[points.values[:, 2] > 0, :2]
    if len(known) < MIN_POINTS_FOR_BOX:
        return True
    inside = ((known >= (x, y)) & (known <= (x + width, y + height))).all(axis=1)
    return bool(inside.mean() >= 0.5)


def _says(given: dict[str, Any], key: str) -> bool | None:
    """Whether a flag is set, for all rows or for one; None when it is missing or was declared and never filled."""
    value = given.get(key)
    return None if value is None else bool(np.any(numbers(value, key)))


def _first(keys: tuple[str, ...] | tuple[BodyKind, ...], found: Any) -> str:
    return next((key for key in keys if key in found), "")


def _is_in_front(values: Floats) -> bool:
    """Whether all known points lie before the camera; points around a pelvis at the origin do not."""
    depth = values[values[:, 3] > 0, 2]
    return len(depth) > 0 and bool((depth > 0).all())
