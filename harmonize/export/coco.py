"""A COCO-WholeBody-style json with NeuralAnnot's parameter dictionaries (jin-s13/COCO-WholeBody data_format.md;
mks0601/NeuralAnnot_RELEASE), so that both kinds of readers find what they look for in one file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.bodies import BodyModels
from harmonize.keypoints import SMPLX_144, convention
from harmonize.record import Instance
from harmonize.whole import write_whole

Floats = npt.NDArray[np.floating[Any]]

_NAMES = convention("coco_wholebody_133").names
_PARTS = (
    ("keypoints", slice(0, 17)),
    ("foot_kpts", slice(17, 23)),
    ("face_kpts", slice(23, 91)),
    ("lefthand_kpts", slice(91, 112)),
    ("righthand_kpts", slice(112, 133)),
)
_BOXES = (
    ("face", "face_xywh_px"),
    ("lefthand", "left_hand_xywh_px"),
    ("righthand", "right_hand_xywh_px"),
)
_BODY_NAMES = convention("coco_17").names


@dataclass(slots=True)
class CocoWriter:
    """Collects people; `close` writes the json at `path`. People of one picture share an entry in `images`."""

    path: Path
    models: BodyModels
    files: list[tuple[Path, int]] = field(default_factory=list)
    _images: dict[str, dict[str, Any]] = field(default_factory=dict)
    _annotations: list[dict[str, Any]] = field(default_factory=list)

    def add(self, image_path: str, instance: Instance) -> None:
        """Take one person, whose picture other programs find at `image_path`."""
        size = {"width": instance.image.width_px, "height": instance.image.height_px}
        image = self._images.setdefault(
            image_path, {"id": len(self._images) + 1, "file_name": image_path, **size, "license": 0}
        )
        number = len(self._annotations) + 1
        self._annotations.append(_annotation(instance, self.models, {"id": number, "image_id": image["id"]}))

    def close(self) -> None:
        """Write the file."""
        document = {
            "info": {"description": "exported by ehps"},
            "licenses": [],
            "images": list(self._images.values()),
            "annotations": self._annotations,
            "categories": [
                {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(_BODY_NAMES), "skeleton": []}
            ],
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, json.dumps(document, allow_nan=False).encode())
        self.files.append((self.path, len(self._annotations)))


def _annotation(instance: Instance, models: BodyModels, ids: dict[str, int]) -> dict[str, Any]:
    points = _points(instance)
    box = instance.boxes.person_xywh_px
    annotation: dict[str, Any] = {
        **ids,
        "ehps_key": instance.key,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": box[:4].tolist(),
        "area": float(box[2] * box[3]),
        "num_keypoints": int((points[:17, 2] > 0).sum()),
    }
    for name, rows in _PARTS:
        annotation[name] = points[rows].ravel().tolist()
    for name, part in _BOXES:
        part_box = getattr(instance.boxes, part)
        annotation[f"{name}_box"] = part_box[:4].tolist()
        annotation[f"{name}_valid"] = bool(part_box[4] > 0)
    if instance.body.has_body:
        annotation["smplx_param"] = _smplx_param(instance, models)
    if instance.camera.has_intrinsics:
        camera = instance.camera
        annotation["cam_param"] = {"focal": camera.focal_px.tolist(), "princpt": camera.principal_point_px.tolist()}
        if camera.distortion.any():
            annotation["cam_param"]["distortion"] = camera.distortion.tolist()
    return annotation


def _points(instance: Instance) -> Floats:
    """(133, 3) x, y and COCO's visibility: 2 labelled, 0 not."""
    keypoints = instance.keypoints
    found = dict(zip(SMPLX_144, keypoints.joints2d_px, strict=True))
    found |= dict(zip(keypoints.extra_names, keypoints.extra2d_px, strict=False))
    points = np.zeros((len(_NAMES), 3))
    for row, name in enumerate(_NAMES):
        if name in found and found[name][2] > 0:
            points[row] = (*found[name][:2], 2)
    return points


def _smplx_param(instance: Instance, models: BodyModels) -> dict[str, Any]:
    """NeuralAnnot's dictionary; hands relative to the mean hand. Parts that are not known are left out."""
    body, mean = instance.body, models.get("smplx", "neutral").hand_mean_aa
    assert mean is not None
    values: dict[str, tuple[bool, Floats]] = {
        "root_pose": (True, body.global_orient_aa),
        "body_pose": (True, body.body_pose_aa),
        "shape": (body.has_betas, body.betas),
        "trans": (body.has_transl, body.transl_m),
        "lhand_pose": (body.has_left_hand, body.left_hand_pose_aa - mean[0]),
        "rhand_pose": (body.has_right_hand, body.right_hand_pose_aa - mean[1]),
        "jaw_pose": (body.has_jaw, body.jaw_pose_aa),
        "expr": (body.has_expression, body.expression),
        "leye_pose": (body.has_eyes, body.leye_pose_aa),
        "reye_pose": (body.has_eyes, body.reye_pose_aa),
    }
    return {name: np.float32(value).ravel().tolist() for name, (is_known, value) in values.items() if is_known}
