"""One HumanData npz in memory: what it says about each row, whatever the age of the converter that wrote it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject
from harmonize.errors import RawFileError
from harmonize.geometry.boxes import scaled
from harmonize.keypoints import SMPLX_144, convention
from harmonize.raw.npz import load_npz, npz_header
from harmonize.readers.fields import NO_BOX, Floats, MalformedRecord, box, pinhole, shaped
from harmonize.record import Array, BodyKind, Boxes, Camera, Gender, PointOrigin, Provenance

KEYS_2D = ("keypoints2d", "keypoints2d_smplx", "keypoints2d_smpl", "keypoints2d_original")
KEYS_3D = ("keypoints3d_cam", "keypoints3d", "keypoints3d_smplx", "keypoints3d_smpl", "keypoints3d_original")
MODELS: tuple[BodyKind, ...] = ("smplx", "smpl", "smplh")
"""First present wins, in the order of SMPLer-X's loader."""

MAX_BOX_ASPECT = 8.0
"""A pre-release 3DPW record has a box of 312 x 28 px for a sitting person; no whole person is this thin or flat."""
MIN_POINTS_FOR_BOX = 4

_POSES: dict[str, tuple[tuple[str, int], ...]] = {
    "smplx": (
        ("global_orient", 1),
        ("body_pose", 21),
        ("jaw_pose", 1),
        ("leye_pose", 1),
        ("reye_pose", 1),
        ("left_hand_pose", 15),
        ("right_hand_pose", 15),
    ),
    "smplh": (("global_orient", 1), ("body_pose", 21), ("left_hand_pose", 15), ("right_hand_pose", 15)),
    "smpl": (("global_orient", 1), ("body_pose", 23)),
}
_GENDERS: dict[str, Gender] = {"m": "male", "male": "male", "f": "female", "female": "female"}
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
        masks = ("mask", *(f"{key}_mask" for key in (*KEYS_2D, *KEYS_3D)))
        points = (_first(KEYS_2D, header), _first(KEYS_3D, header))
        wanted = ("image_path", "meta", "misc", "config", *MODELS, *masks, *points, *(key for key, _ in _BOXES))
        self._data = load_npz(self.path, keys=[key for key in wanted if key in header])
        self._paths = [str(path).replace("\\", "/") for path in self._data["image_path"].ravel()]
        self._meta, self._misc = self._dictionary("meta"), self._dictionary("misc")
        config = str(self._data.get("config", ""))
        self._prefix = foreign_prefix(self._paths, root, config)
        self._names = {token for text in (self.path.stem, config) for token in text.lower().split("_")}
        try:
            self._model = cast(BodyKind | None, _first(MODELS, self._data) or None)
            self._params = {} if self._model is None else self._parameters(self._model)
            self._points2d = self._points(points[0], 3)
            self._points3d = None if self._misc.get("kps3d_root_aligned") else self._points(points[1], 4)
            self._boxes = [self._box_rows(key, scales) for key, scales in _BOXES]
            self._size = [self._meta_rows(key, 1) for key in ("width", "height")]
            self._focal = self._camera_rows("focal_length")
            self._principal = self._camera_rows("principal_point", "princpt")
        except MalformedRecord as error:
            raise RawFileError(f"{self.path}: {error}", file=str(self.path)) from error
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
        size = None if width is None or height is None else (int(width[row, 0]), int(height[row, 0]))
        points2d = self._row_points(self._points2d, row)
        points3d = self._row_points(self._points3d, row)
        person, left, right, face = (
            NO_BOX if boxes is None else box(boxes[row, :4], boxes[row, 4]) for boxes in self._boxes
        )
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
            body=None if self._model is None else self._body(self._model, row),
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
        if value is None or np.ndim(value) == 0 or len(value) != len(self._paths):
            return None
        rows = shaped(value, f"meta.{key}", len(value), -1)
        return rows if rows.shape[1] == width else np.broadcast_to(rows[:, :1], (len(rows), width))

    def _camera_rows(self, *names: str) -> Floats | None:
        """(N, 2) per row from meta, else one constant from misc."""
        for name in names:
            rows = self._meta_rows(name, 2)
            if rows is not None:
                return rows
            constant = self._misc.get(name)
            if constant is not None and np.size(constant) in (1, 2):
                pair = np.broadcast_to(shaped(constant, f"misc.{name}", -1), (2,))
                return np.broadcast_to(pair, (len(self._paths), 2))
        return None

    def _camera(self, row: int) -> Camera:
        if self._focal is None or self._principal is None:
            return Camera()
        return pinhole(self._focal[row], self._principal[row], is_calibrated=self._is_metric())

    def _is_metric(self) -> bool:
        guessed = self._misc.get("cam_param_type") in ("predicted_camera", "eft_camera")
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
        padding = next((float(self._misc[scale]) for scale in scales if scale in self._misc), 1.0)
        return scaled(rows, 1 / padding) if padding > 0 else rows

    def _parameters(self, model: BodyKind) -> dict[str, Floats]:
        given, count = self._dictionary(model), len(self._paths)
        params: dict[str, Floats] = {}
        for key, num_joints in _POSES[model]:
            # UBody's converter writes empty eye poses.
            if key in given and np.size(given[key]):
                params[key] = shaped(given[key], f"{model}.{key}", count, num_joints, 3)
            elif key in ("global_orient", "body_pose"):
                raise MalformedRecord(f"field '{model}.{key}': expected, found none")
        for key in ("betas", "transl", "expression", "betas_neutral", "betas_extra"):
            if key in given and np.size(given[key]):
                params[key] = shaped(given[key], f"{model}.{key}", count, -1)
        if "betas" not in params:
            raise MalformedRecord(f"field '{model}.betas': expected, found none")
        for key, name in (("left_hand_valid", "left"), ("right_hand_valid", "right"), ("face_valid", "face")):
            if np.size(given.get(key, ())) == count:
                params[f"{name}_valid"] = shaped(given[key], f"{model}.{key}", count)
            elif (rows := self._meta_rows(key.replace("_hand", "hand"), 1)) is not None:
                params[f"{name}_valid"] = rows[:, 0]
        flat = self._misc.get("flat_hand_mean", np.any(given["flat_hand_mean"]) if "flat_hand_mean" in given else None)
        params["is_flat"] = np.array(bool(flat) if flat is not None else "gta" in self._names, np.float64)
        return params

    def _knows(self, key: str, row: int, valid: str | None = None) -> bool:
        """Whether a parameter is modelled in this file at all, and valid in this row."""
        if key not in self._params or not np.any(self._params[key]):
            return False
        return valid not in self._params or bool(self._params[valid][row])

    def _body(self, model: BodyKind, row: int) -> RawBody:
        p = self._params
        pose = [p[key][row] if key in p else np.zeros((count, 3)) for key, count in _POSES[model]]
        kid_weight = float(p["betas_extra"][row, 0]) if "betas_extra" in p else 0.0
        gender = self._gender(row)
        betas = p["betas"][row]
        neutral = p["betas_neutral"][row, :10] if "betas_neutral" in p else None
        if neutral is not None and gender is None:
            # Gendered betas of an unknown gender say nothing; their neutral refit does.
            betas, neutral = neutral, None
        if gender == "female" and kid_weight:
            gender = "neutral"  # AGORA's girls are fitted with the neutral kid model
        left, right = (self._knows(f"{side}_hand_pose", row, f"{side}_valid") for side in ("left", "right"))
        has_hands = "left_hand_pose" in p or "right_hand_pose" in p
        return RawBody(
            model=model,
            gender=gender or "neutral",
            pose_aa=np.concatenate(pose),
            betas=betas if len(betas) <= 16 else betas[:10],
            transl_m=p["transl"][row] if "transl" in p else None,
            hands=("absolute" if p["is_flat"] else "relative") if has_hands else "absent",
            expression=p["expression"][row, :10] if "expression" in p else None,
            kid_weight=kid_weight,
            neutral_betas=None if gender in (None, "neutral") or kid_weight else neutral,
            has_left_hand=left,
            has_right_hand=right,
            has_jaw=self._knows("jaw_pose", row, "face_valid"),
            has_eyes=self._knows("leye_pose", row) and self._knows("reye_pose", row),
            has_expression=self._knows("expression", row, "face_valid"),
            is_transl_metric=self._is_metric(),
        )

    def _gender(self, row: int) -> Gender | None:
        genders = self._meta.get("gender")
        if genders is None or "bedlam" in self._names:
            return None
        value = genders if isinstance(genders, str) else genders[row] if len(genders) == len(self._paths) else ""
        return _GENDERS.get(str(value).lower(), "neutral" if str(value).lower() in ("n", "neutral") else None)

    def _points(self, key: str, columns: int) -> tuple[tuple[str, ...], Array, PointOrigin, bool] | None:
        """Names, values (N, K, columns), origin and exactness of the points that the file's mask provides."""
        if key not in self._data:
            return None
        values = np.asarray(self._data[key])
        mask = np.ravel(self._mask(key, values.shape[1] if values.ndim == 3 else 0)) == 1
        names = np.array(convention("human_data_190").names if len(mask) == 190 else SMPLX_144)
        if values.ndim != 3 or len(values) != len(self._paths) or values.shape[1] not in (len(mask), mask.sum()):
            expected = f"({len(self._paths)}, {len(mask)} or {mask.sum()}, {columns})"
            raise MalformedRecord(f"field {key!r}: expected shape {expected}, found {values.shape}")
        if values.shape[1] == len(mask):
            values = values[:, mask]
        values = np.asarray(values, np.float32)
        if values.shape[2] == columns - 1:
            values = np.concatenate([values, np.ones_like(values[..., :1])], axis=2)
        values = np.concatenate([values[..., : columns - 1], np.clip(values[..., -1:], 0.0, 1.0)], axis=2)
        made_from_body = self._model is not None and key.endswith(f"_{self._model}")
        has_foreign_shape = "agora" in self._names or ("betas_neutral" in self._params and "gender" not in self._meta)
        origin: PointOrigin = "annotated" if columns == 3 else "measured"
        if made_from_body and columns == 3:
            origin = "projected"
        return tuple(names[mask]), values, origin, made_from_body and not has_foreign_shape

    def _mask(self, key: str, num_columns: int) -> Any:
        generic = f"{key.split('_')[0]}_mask"
        for name in (f"{key}_mask", generic, "mask"):
            if name in self._data and np.size(self._data[name]) in (144, 190):
                return self._data[name]
        if num_columns not in (144, 190):
            raise MalformedRecord(f"field '{key}_mask': expected 190 entries, found none")
        return np.ones(num_columns)

    def _row_points(
        self, points: tuple[tuple[str, ...], Array, PointOrigin, bool] | None, row: int
    ) -> NamedPoints | None:
        if points is None:
            return None
        names, values, origin, is_exact = points
        return NamedPoints(names=names, values=values[row], origin=origin, is_exact=is_exact)

    def _refusal(self, row: int) -> str | None:
        """Why the file itself calls a row unusable: a flag of meta that must not be, or must be, zero."""
        for key, refused_when_zero, reason in _FLAGS:
            rows = self._meta_rows(key, 1)
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
        if ".." not in parts and root.joinpath(*parts[start:]).is_file():
            return first[: first.rindex("/".join(parts[start:]))]
    if config in parts[:-1]:
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


def _first(keys: tuple[str, ...] | tuple[BodyKind, ...], found: Any) -> str:
    return next((key for key in keys if key in found), "")


def _is_in_front(values: Floats) -> bool:
    """Whether all known points lie before the camera; points around a pelvis at the origin do not."""
    depth = values[values[:, 3] > 0, 2]
    return len(depth) > 0 and bool((depth > 0).all())
