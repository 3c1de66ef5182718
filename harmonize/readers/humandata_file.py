"""One HumanData npz: what it says about each row, whatever the age of the converter that wrote it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.raw.npz import load_npz, npz_blocks, npz_header
from harmonize.readers.fields import Floats, MalformedRecord, concerns_file, is_listing, numbers
from harmonize.readers.humandata_body import MODELS, Bodies, body_columns, float32, read_bodies
from harmonize.readers.humandata_camera import Cameras, read_cameras
from harmonize.readers.humandata_columns import Block, Source, columns_of
from harmonize.readers.humandata_points import KEYS_2D, KEYS_3D, MASKS, PointList, point_list
from harmonize.readers.humandata_sets import SETS, HumanDataSet
from harmonize.readers.neuralannot import UNKNOWN_JOINTS
from harmonize.record import Array, BodyKind, Gender, LabelOrigin

BOXES = ("bbox_xywh", "lhand_bbox_xywh", "rhand_bbox_xywh", "face_bbox_xywh")
CROP_BOX = "bbox_xywh_vis"

_META = (
    *("height", "width", "focal_length", "principal_point", "princpt", "pred_cam"),
    *("iscrowd", "num_keypoints", "valid_label", "annot_valid", "lefthand_valid", "righthand_valid", "face_valid"),
)
_GENDERS: dict[str, Gender] = {
    "m": "male",
    "male": "male",
    "f": "female",
    "female": "female",
    "n": "neutral",
    "neutral": "neutral",
}
# The documentation misspells its own literal as nerual_annot.
_ORIGINS: dict[str, LabelOrigin] = {"neural_annot": "neuralannot", "nerual_annot": "neuralannot", "eft": "eft"}
_TOKENS: dict[str, LabelOrigin] = {"neural": "neuralannot", "eft": "eft"}


class HumanDataFile:
    """The columns of a file, and what holds for all of its rows.

    paths: of the pictures, as stored. size_px: (N, 2) width and height; None: the file does not say. flags: meta
    entries (N, 1) by name. boxes: (N, 4 | 5) as stored. paddings: of the boxes, by key. origin: "" without bodies.

    Raises:
        RawFileError: a key of the format is missing or has another shape; the message names file and key.
    """

    def __init__(self, path: Path, dataset: str) -> None:
        self.path, self.facts = path, SETS[dataset]
        header = npz_header(path)
        self.num_rows = num_people(header, self.facts, path)
        small = load_npz(path, [key for key in ("misc", "config", *MASKS) if key in header])
        self.misc = _dictionary(small.get("misc"))
        model = next((model for model in MODELS if model in header), None)
        with concerns_file(path):
            if any(fnmatch(path.name, pattern) for pattern in self.facts.unplaced):
                model = None
            lists = (point_list(header, small, keys, self.num_rows, self.facts, model) for keys in (KEYS_2D, KEYS_3D))
            self.points2d, self.points3d = lists
            if self._says("kps3d_root_aligned", self.misc):
                self.points3d = None
            columns = self._columns(header, model)
            self.paths = columns["image_path"]
            self.meta = {key: columns[f"meta.{key}"] for key in _META if f"meta.{key}" in columns}
            self.origin = self._origin(model)
            is_other_build = self.origin in ("neuralannot", "eft") and self.origin != self.facts.origin
            is_guessed = str(self.misc.get("cam_param_type")) in ("predicted_camera", "eft_camera") or is_other_build
            self.boxes = {key: columns[key] for key in BOXES if key in columns}
            self.cameras: Cameras = read_cameras(
                self.meta,
                self.misc,
                columns.get("cam_param"),
                columns.get(CROP_BOX),
                self.facts,
                self.num_rows,
                is_guessed=is_guessed,
            )
            self.genders = columns.get("meta.gender")
            self.bodies = None if model is None else self._bodies(model, columns, is_metric=not is_guessed)
            if self.bodies is not None and "betas_neutral" in self.bodies.columns and self.genders is None:
                # The neutral refit is read, the points are those of the gendered body.
                self.points2d, self.points3d = (
                    points and replace(points, is_exact=False) for points in (self.points2d, self.points3d)
                )
            self.points = [columns.get(points.key) if points else None for points in (self.points2d, self.points3d)]
            self.size_px = self._sizes()

    def _columns(self, header: Any, model: BodyKind | None) -> dict[str, Block]:
        """Every array that is needed, by name: meta entries and body parameters among them."""
        arrays: dict[str, Source] = {"image_path": (self.num_rows, partial(self._blocks, "image_path", _texts))}
        for key in (*BOXES, CROP_BOX):
            if key in header:
                arrays[key] = (self.num_rows, partial(self._blocks, key, partial(_box_rows, key)))
        for points in (self.points2d, self.points3d):
            if points is not None:
                arrays[points.key] = (self.num_rows, partial(self._blocks, points.key, points.packed))
        groups: list[Callable[[], dict[str, Block]]] = []
        if model is not None:
            groups.append(partial(self._model, model))
        if "meta" in header:
            groups.append(self._meta)
        if "cam_param" in header:
            groups.append(self._cam_param)
        num_bytes = sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in header.values())
        plan = repr((self.num_rows, model, [(one.key, one.columns.tolist()) for one in self._lists()]))
        return columns_of(self.path, plan, arrays, groups, max(num_bytes, self.path.stat().st_size))

    def _lists(self) -> list[PointList]:
        return [points for points in (self.points2d, self.points3d) if points is not None]

    def _blocks(self, key: str, change: Callable[[Block], Block]) -> Iterator[Block]:
        """The rows of a member, changed; surplus rows are left away."""
        left = self.num_rows
        with concerns_file(self.path):
            for block in npz_blocks(self.path, key):
                if not block.ndim:
                    raise MalformedRecord.of(key, "an entry a row", block.item())
                if len(block) and left:
                    yield change(block[:left])
                left -= len(block[:left])
            if left > 0:
                raise MalformedRecord(f"field {key!r}: expected {self.num_rows} rows, found {self.num_rows - left}")

    def _dictionary(self, key: str) -> dict[str, Any]:
        return _dictionary(load_npz(self.path, [key])[key])

    def _model(self, model: BodyKind) -> dict[str, Block]:
        with concerns_file(self.path):
            given = self._dictionary(model)
            flat = (
                {} if given.get("flat_hand_mean") is None else {"flat": np.array(self._says("flat_hand_mean", given))}
            )
            columns = body_columns(model, given, self.num_rows, may_be_longer=self.facts.may_end_early)
        return {f"body.{key}": values for key, values in columns.items()} | flat

    def _meta(self) -> dict[str, Block]:
        """The entries of meta that have a row a person; some were declared and never filled (MSCOCO)."""
        found: dict[str, Block] = {}
        given = self._dictionary("meta")
        with concerns_file(self.path):
            for key in _META:
                value = self._rows_of(given.get(key))
                if value is None:
                    continue
                rows = float32(value, f"meta.{key}")
                if not rows.size:
                    raise MalformedRecord.of(f"meta.{key}", "a number a row", value)
                found[f"meta.{key}"] = rows.reshape(len(rows), -1)
            gender = given.get("gender")
            if isinstance(gender, str):
                gender = [gender] * self.num_rows
            if gender is not None and not is_listing(gender):
                raise MalformedRecord.of("meta.gender", "text or a list", gender)
            if (texts := self._rows_of(gender)) is not None:
                found["meta.gender"] = _texts(np.asarray(texts, object))
        return found

    def _rows_of(self, value: Any) -> Any:
        """A list with one entry a row; None where it is something else."""
        if not is_listing(value):
            return None
        if self.facts.may_end_early and len(value) > self.num_rows:
            return value[: self.num_rows]
        return value if len(value) == self.num_rows else None

    def _cam_param(self) -> dict[str, Block]:
        """fx, fy, cx, cy of a camera a row (MuCo's converter), where that is what the file has."""
        given = load_npz(self.path, ["cam_param"])["cam_param"]
        cameras = given.tolist() if given.ndim == 1 else None
        if cameras is None or len(cameras) != self.num_rows or not all(isinstance(one, dict) for one in cameras):
            return {}
        with concerns_file(self.path):
            intrinsics = float32([one.get("K") for one in cameras], "cam_param.K")
            if intrinsics.shape[1:] not in ((3, 3), (4, 4)):
                raise MalformedRecord(f"field 'cam_param.K': expected 3 x 3, found {intrinsics.shape[1:]}")
        return {"cam_param": intrinsics[:, [0, 1, 0, 1], [0, 1, 2, 2]]}

    def _origin(self, model: BodyKind | None) -> LabelOrigin | str:
        if model is None:
            return ""
        source = str(self.misc.get(f"{model}_source", self.misc.get("smplx_source", "")))
        tokens = self.path.stem.lower().split("_")
        named = next((_TOKENS[token] for token in tokens if token in _TOKENS), self.facts.origin)
        return _ORIGINS.get(source, named)

    def _bodies(self, model: BodyKind, columns: dict[str, Block], *, is_metric: bool) -> Bodies:
        given = {key.removeprefix("body."): values for key, values in columns.items() if key.startswith("body.")}
        flat = self._says("flat_hand_mean", self.misc)
        if flat is None:
            flat = bool(columns["flat"]) if "flat" in columns else self.facts.are_hands_flat
        is_body_alone = not np.isin(given["parts"], ("left_hand_pose", "right_hand_pose")).any()
        unknown = UNKNOWN_JOINTS if self.origin == "neuralannot" and is_body_alone else ()
        if self.cameras.transl_m is not None and "transl" not in given:
            given["transl"] = self.cameras.transl_m
        return read_bodies(
            model,
            given,
            {
                "left": self.meta.get("lefthand_valid"),
                "right": self.meta.get("righthand_valid"),
                "face": self.meta.get("face_valid"),
            },
            are_hands_flat=flat,
            is_transl_metric=is_metric and self.facts.is_metric,
            unknown_joints=(*self.facts.unknown_joints, *unknown),
        )

    def _sizes(self) -> Array | None:
        if "width" in self.meta and "height" in self.meta:
            return np.concatenate([self.meta["width"][:, :1], self.meta["height"][:, :1]], axis=1)
        size: Any = self.facts.size_px
        if size is None and self.facts.is_size_in_misc and self.misc.get("image_size") is not None:
            size = numbers(self.misc["image_size"], "misc.image_size").ravel()
            if len(size) != 2:
                raise MalformedRecord.of("misc.image_size", "width and height", self.misc["image_size"])
        return None if size is None else np.broadcast_to(np.asarray(size, np.float32), (self.num_rows, 2))

    def padding(self, key: str) -> float:
        """By how much the boxes under a key are larger than what they are around, as misc declares."""
        scales = ("bbox_body_scale", "bbox_scale")
        if key != BOXES[0]:
            scales = ("bbox_face_scale" if key == BOXES[3] else "bbox_hand_scale", "bbox_facehand_scale")
        with concerns_file(self.path):
            given = next((numbers(self.misc[scale], f"misc.{scale}") for scale in scales if scale in self.misc), None)
            if given is None:
                return self.facts.box_padding if key == BOXES[0] else 1.0
            if given.size != 1 or not np.isfinite(given).all():
                raise MalformedRecord.of("misc", "a box scale", given)
        return float(given.ravel()[0])

    def gender(self, row: int) -> Gender | None:
        """The gender of a row's body model; None where the file says none, or another one."""
        if self.genders is None or not self.facts.is_gender_of_model:
            return None
        return _GENDERS.get(str(self.genders[row]).lower())

    @staticmethod
    def _says(key: str, given: dict[str, Any]) -> bool | None:
        """Whether a flag is set, for all rows or for one; None when it is missing or was declared and never filled."""
        value = given.get(key)
        return None if value is None else bool(np.any(numbers(value, key)))


def num_people(header: Any, facts: HumanDataSet, path: Path) -> int:
    """Rows of a file: its picture names, but for those behind the last box where a file may have more of them.

    Raises:
        RawFileError: the file has no picture names, or not one a row.
    """
    with concerns_file(path):
        if "image_path" not in header:
            raise MalformedRecord(f"field 'image_path': expected, found {', '.join(sorted(header)[:20])}")
        shape = header["image_path"][0]
        num_rows = shape[0] if len(shape) == 1 or shape[1:] == (1,) else 0
        if not num_rows:
            raise MalformedRecord(f"field 'image_path': expected one path a row, found shape {shape}")
    boxes = header[BOXES[0]][0] if BOXES[0] in header else ()
    return min(num_rows, boxes[0]) if facts.may_end_early and boxes else num_rows


def _dictionary(value: Any) -> dict[str, Any]:
    """What a 0-d object array holds; empty when it is missing or no dictionary."""
    inside = value.item() if value is not None and value.size == 1 else None
    return inside if isinstance(inside, dict) else {}


def _texts(block: Block) -> Block:
    """(n,) texts with forward slashes; "" for None. Blocks of one array of texts have one width."""
    if block.dtype.kind in "US":
        width = block.dtype.itemsize // (4 if block.dtype.kind == "U" else 1)
        return np.char.replace(block.ravel().astype(f"U{width}"), "\\", "/").astype(f"U{width}")
    texts = ["" if one is None else str(one).replace("\\", "/") for one in block.ravel()]
    return np.array(texts, np.str_)


def _box_rows(key: str, block: Block) -> Floats:
    rows = float32(block, key)
    rows = rows.reshape(len(rows), -1)
    if rows.shape[1] not in (4, 5):
        raise MalformedRecord(f"field {key!r}: expected 4 or 5 columns, found {rows.shape[1]}")
    return rows if rows.shape[1] == 5 else np.column_stack([rows, np.ones(len(rows), np.float32)])
