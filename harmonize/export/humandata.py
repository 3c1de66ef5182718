"""HumanData: the npz that mmhuman3d's tools and SMPLer-X's loader read (mmhuman3d docs/human_data.md, branch
convertors; SMPLer-X data/humandata.py).

That loader knows only per file, not per person, which parts and joints are valid: a key that is there counts for every
row. So people are sorted into one file for each combination of what is known of them. Hands are written relative to the
model's mean hand and body boxes padded by 1.2, as it expects; betas that are not known are zeros, which switch its
shape loss off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.bodies import BodyModels
from harmonize.geometry.boxes import scaled
from harmonize.geometry.cameras import project_with
from harmonize.keypoints import convention
from harmonize.record import NUM_JOINTS, Instance
from harmonize.whole import whole_file

Floats = npt.NDArray[np.floating[Any]]

BODY_BOX_PADDING = 1.2
ROWS_PER_FILE = 200_000
"""Some 2 GB of arrays; SMPLer-X's own files are cut into slices of 400,000 rows."""

_NAMES = convention("human_data_190").names
_SOURCES = {"neuralannot": "neural_annot", "eft": "eft"}
_PARTS = {"hands": ("has_left_hand", "has_right_hand"), "face": ("has_jaw", "has_expression"), "eyes": ("has_eyes",)}


@dataclass(slots=True)
class HumanDataWriter:
    """Collects people and writes `<stem>[-parts]_<slice>.npz` files under `folder`; `close` writes what is left.

    Raises ValueError for a person without a body: HumanData has no row for one.
    """

    folder: Path
    stem: str
    models: BodyModels
    files: list[tuple[Path, int]] = field(default_factory=list)
    _groups: dict[tuple[str, ...], list[tuple[str, Instance]]] = field(default_factory=dict)
    _slices: dict[tuple[str, ...], int] = field(default_factory=dict)

    def add(self, image_path: str, instance: Instance) -> None:
        """Take one person, whose picture other programs find at `image_path`."""
        if not instance.body.has_body:
            raise ValueError(f"{instance.key} has no body")
        group = known_parts(instance)
        rows = self._groups.setdefault(group, [])
        rows.append((image_path, instance))
        if len(rows) == ROWS_PER_FILE:
            self._write(group)

    def close(self) -> None:
        """Write the rest."""
        for group in list(self._groups):
            self._write(group)

    def _write(self, group: tuple[str, ...]) -> None:
        rows = self._groups.pop(group)
        number = self._slices.get(group, 0)
        self._slices[group] = number + 1
        path = self.folder / f"{'-'.join((self.stem, *group))}_{number}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            np.savez_compressed(partial, **human_data(rows, self.models))
        self.files.append((path, len(rows)))


def known_parts(instance: Instance) -> tuple[str, ...]:
    """What is known of a person beyond the body pose, as words of a file's name."""
    body = instance.body
    parts = [part for part, flags in _PARTS.items() if all(getattr(body, flag) for flag in flags)]
    if body.has_transl:
        parts.append("transl")
    if (body.known_body_joints == 0).any():
        parts.append(f"without{int((body.known_body_joints == 0).sum())}joints")
    return tuple(parts)


def human_data(rows: Sequence[tuple[str, Instance]], models: BodyModels) -> dict[str, Any]:
    """The entries of one file; all rows have the same `known_parts`."""
    first = rows[0][1]
    parts, people = known_parts(first), [instance for _, instance in rows]
    return {
        "__key_strict__": np.array(False),
        "__data_len__": np.array(len(people)),
        "__keypoints_compressed__": np.array(True),
        "image_path": np.array([path for path, _ in rows]),
        "config": np.array(first.provenance.dataset),
        **_boxes(people),
        **_compressed(dict(_points(people))),
        "smplx": _boxed(_smplx(people, parts, models)),
        "meta": _boxed(_meta(people)),
        "misc": _boxed(
            {
                "kps3d_root_aligned": False,
                "flat_hand_mean": False,
                "bbox_source": "provide_by_dataset",
                "bbox_body_scale": BODY_BOX_PADDING,
                "bbox_facehand_scale": 1.0,
                "smplx_source": _SOURCES.get(first.provenance.label_origin, "original"),
                "cam_param_type": "prespective" if first.camera.is_calibrated else "predicted_camera",
            }
        ),
    }


def _smplx(people: list[Instance], parts: tuple[str, ...], models: BodyModels) -> dict[str, Floats]:
    mean = models.get("smplx", "neutral").hand_mean_aa
    assert mean is not None

    def stack(name: str) -> Floats:
        return np.stack([getattr(instance.body, name) for instance in people])

    values = {"global_orient": stack("global_orient_aa"), "body_pose": stack("body_pose_aa")}
    has_betas = np.array([instance.body.has_betas for instance in people])
    values["betas"] = np.where(has_betas[:, None], stack("betas"), np.float32(0))
    if "transl" in parts:
        values["transl"] = stack("transl_m")
    if "hands" in parts:
        values["left_hand_pose"] = stack("left_hand_pose_aa") - mean[0]
        values["right_hand_pose"] = stack("right_hand_pose_aa") - mean[1]
    if "face" in parts:
        values |= {"jaw_pose": stack("jaw_pose_aa"), "expression": stack("expression")}
    if "eyes" in parts:
        values |= {"leye_pose": stack("leye_pose_aa"), "reye_pose": stack("reye_pose_aa")}
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def _boxes(people: list[Instance]) -> dict[str, Floats]:
    def stack(name: str) -> Floats:
        return np.stack([getattr(instance.boxes, name) for instance in people])

    return {
        "bbox_xywh": scaled(stack("person_xywh_px"), BODY_BOX_PADDING).astype(np.float32),
        "face_bbox_xywh": stack("face_xywh_px"),
        "lhand_bbox_xywh": stack("left_hand_xywh_px"),
        "rhand_bbox_xywh": stack("right_hand_xywh_px"),
    }


def _points(people: list[Instance]) -> Iterator[tuple[str, Floats]]:
    """The body's joints under `_smplx`, the dataset's own points under `_original`; each (N, 190, 3 | 4)."""
    own = np.zeros((len(people), len(_NAMES), 3), np.float32)
    row_of = {name: i for i, name in enumerate(_NAMES)}
    for row, instance in enumerate(people):
        own[row, :NUM_JOINTS] = instance.keypoints.joints2d_px
        for name, point in zip(instance.keypoints.extra_names, instance.keypoints.extra2d_px, strict=False):
            if name in row_of:
                own[row, row_of[name]] = point
    yield "keypoints2d_original", own
    if all(instance.keypoints.joints3d_origin == "body" for instance in people):
        joints = np.zeros((len(people), len(_NAMES), 4), np.float32)
        joints[:, :NUM_JOINTS] = np.stack([instance.keypoints.joints3d_cam_m for instance in people])
        yield "keypoints3d_smplx", joints
        if all(instance.camera.has_intrinsics for instance in people):
            yield "keypoints2d_smplx", np.stack([_projected(instance) for instance in people])


def _projected(instance: Instance) -> Floats:
    points = np.zeros((len(_NAMES), 3), np.float32)
    joints = instance.keypoints.joints3d_cam_m
    pixels = project_with(instance.camera, joints[:, :3])
    is_seen = np.isfinite(pixels).all(axis=1) & (joints[:, 3] > 0)
    points[:NUM_JOINTS][is_seen] = np.column_stack([pixels[is_seen], joints[is_seen, 3]])
    return points


def _compressed(points: dict[str, Floats]) -> dict[str, Any]:
    """Arrays without the columns that no row has, each with the mask (190,) that says which are left."""
    masks = {key: (values[..., -1] > 0).any(axis=0) for key, values in points.items()}
    kept = {key: values[:, masks[key]] for key, values in points.items()}
    return {**kept, **{f"{key}_mask": mask.astype(np.uint8) for key, mask in masks.items()}}


def _meta(people: list[Instance]) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "height": [instance.image.height_px for instance in people],
        "width": [instance.image.width_px for instance in people],
        "gender": ["neutral"] * len(people),
        "ehps_key": [instance.key for instance in people],
        "sequence_name": [instance.provenance.sequence for instance in people],
    }
    if all(instance.camera.has_intrinsics for instance in people):
        meta["focal_length"] = np.stack([instance.camera.focal_px for instance in people])
        meta["principal_point"] = np.stack([instance.camera.principal_point_px for instance in people])
        meta["distortion"] = np.stack([instance.camera.distortion for instance in people])
    return meta


def _boxed(value: dict[str, Any]) -> npt.NDArray[np.object_]:
    """A dictionary as the 0-d object array that the format keeps it in."""
    box = np.empty((), object)
    box[()] = value
    return box
