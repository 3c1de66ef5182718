"""GTA-Human II: people of a game, with SMPL-X fitted to its skeletons.

Citation: Cai et al., Playing for 3D Human Recovery, TPAMI 2024 (arXiv 2110.07588).
Licence: S-Lab licence, non-commercial (tag of the Hugging Face repository; the LICENSE file there was empty).
Access: caizhongang/GTA-Human on Hugging Face or OpenXLab, folder gta-human_v2_release; no registration.
Counts: 10 224 sequences, 35 352 people with SMPL-X and 13 168 without (README of caizhongang/gta-human_toolbox);
    1 802 200 train people (SMPLer-X table as recalled, unverified). No official split.
Frame: OpenCV camera, parameters are in it already. One pinhole camera for all: f 1158.0337, c (960, 540), 1920x1080.
Units: metres, radians, pixels.
Hands: absolute, as 24 coefficients of the model's hand components (the authors' visualiser: use_pca, flat_hand_mean
    True). No face, eyes or expression.
Gender: neutral SMPL-X; `is_male` is the pedestrian's. Betas: 10, one row a frame.
Labels: synthetic (fits to the game's own skeleton).
Forms: `release` (public layout, default), `internal` (older layout, `images_<mode>` and `annotations_<mode>_smplx`).
Known defects:
    - `body_pose` is documented with 69 numbers, but only 63 fit SMPL-X; of 69 the first 63 count.
    - `is_valid_smplx` False: no parameters; such people are kept with box and points alone.
    - The frame of `keypoints_3d` is not documented. They are taken as camera metres where projecting them gives
      `keypoints_2d`, and left out otherwise.
    - Joints are NaN in some frames: mmhuman3d's converter drops such people whole, here those points are unlabelled.
    - mmhuman3d's converter lowers box confidences at image borders by a rule with 1280 in it, which is not followed.
    - GTA-Human (1) has similar keys in `annotations/seq_*.pkl`, for SMPL: refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject
from harmonize.errors import RawLayoutError
from harmonize.geometry.boxes import clip_to_image
from harmonize.geometry.cameras import project
from harmonize.keypoints import convention
from harmonize.raw.npz import load_npz, npz_header
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import (
    NO_BOX,
    Floats,
    MalformedRecord,
    box,
    concerns_file,
    flag,
    numbers,
    pinhole,
    require_keys,
)
from harmonize.record import Boxes, Camera, Provenance

SIZE_PX = (1920, 1080)
FOCAL_PX = 1158.0337
NUM_HAND_COMPONENTS = 24
MAX_3D_MISS_PX = 2.0
"""Median distance of projected `keypoints_3d` to `keypoints_2d` up to which the former are in the camera frame."""

_CAMERA: Camera = pinhole(np.full(2, FOCAL_PX), np.array(SIZE_PX) / 2, is_calibrated=True)
_POINTS = {"bbox_xywh": (4,), "keypoints_2d": (100, 3), "keypoints_3d": (100, 4)}
_BODY = {
    "betas": (10,),
    "global_orient": (3,),
    "transl": (3,),
    "left_hand_pose": (NUM_HAND_COMPONENTS,),
    "right_hand_pose": (NUM_HAND_COMPONENTS,),
}


class GtaHuman2(Reader):
    """A unit is one sequence with all its people, frame by frame."""

    name = "gta_human2"
    version = 1
    splits = ("train",)
    forms = ("release", "internal")
    licence: ClassVar[str] = "S-Lab licence, non-commercial"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        people: dict[str, list[str]] = {}
        for path in self._internal_files() if self.form == "internal" else self._release_files():
            match = re.fullmatch(r"(seq_\d+)_(\d+)", path.stem)
            sequence = match[1] if match else path.parent.name
            people.setdefault(sequence, []).append(str(path.relative_to(self.root)))
        return [Unit(id=sequence, files=tuple(people[sequence])) for sequence in sorted(people)]

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        people = [(file, _load(self.root / file)) for file in unit.files]
        for frame in range(max(len(person["bbox_xywh"]) for _, person in people)):
            for file, person in people:
                if frame < len(person["bbox_xywh"]):
                    yield self._person(split, unit, file, person, frame)

    def _release_files(self) -> list[Path]:
        folder = self.require("annotations", "gta-human_v2_release/annotations")
        files = sorted(folder.glob("seq_*/*.npz"))
        if not files and next(folder.glob("seq_*.pkl"), None) is not None:
            raise RawLayoutError(
                f"gta_human2: expected annotations/<sequence>/<person>.npz under {self.root}, found the SMPL "
                "pickles of GTA-Human (1), which is another dataset",
                fix="ehps datasets gta_human2",
            )
        if not files:
            self.require(f"{folder.relative_to(self.root)}/<sequence>/<person>.npz")
        return files

    def _internal_files(self) -> list[Path]:
        files = sorted(self.root.glob("annotations_*/seq_*_*.npz"))
        if not files:
            self.require("annotations_multiple_smplx/<sequence>_<person>.npz")
        return files

    def _person(self, split: str, unit: Unit, file: str, person: Mapping[str, Any], frame: int) -> Annotation | Reject:
        path = Path(file)
        image = ImageSource(path=f"{_picture_folder(path)}/{unit.id}/{frame:08d}.jpeg", orientation=1)
        provenance = Provenance(
            dataset=self.name,
            split=split,
            sequence=unit.id,
            frame=f"{frame:08d}",
            subject=path.stem.rpartition("_")[2],
            person=path.stem.rpartition("_")[2],
            source_file=file,
            source_row=str(frame),
            image_path=image.name,
            reader=self.name,
            reader_version=str(self.version),
            label_origin="synthetic",
            licence=self.licence,
        )
        person_box = box(person["bbox_xywh"][frame])
        person_box = clip_to_image(person_box, SIZE_PX) if person_box[4] else NO_BOX
        names = convention("gta_100").names
        points3d = person["points3d"]
        return Annotation(
            provenance=provenance,
            image=image,
            camera=_CAMERA,
            boxes=Boxes(person_xywh_px=person_box, person_origin="dataset" if person_box[4] else "none"),
            body=_body(person, frame) if person["is_valid_smplx"] else None,
            keypoints2d=(NamedPoints(names=names, values=person["points2d"][frame], origin="projected"),),
            keypoints3d=(
                None if points3d is None else NamedPoints(names=names, values=points3d[frame], origin="measured")
            ),
            image_size_px=SIZE_PX,
        )


def _picture_folder(file: Path) -> str:
    """Beside the folder of annotations: images, or images_<mode> in the internal layout."""
    if (folder := file.parent).name.startswith("seq_"):
        return str(folder.parent.parent / "images")
    return str(folder.parent / f"images_{folder.name.split('_')[1]}")


def _load(path: Path) -> dict[str, Any]:
    """The arrays of a person, each with one row a frame."""
    header = npz_header(path)
    require_keys(header, ("is_valid_smplx", *_POINTS), str(path))
    with concerns_file(path):
        [value] = load_npz(path, ["is_valid_smplx"]).values()
        is_valid = flag({"is_valid_smplx": value.item() if value.ndim == 0 else value}, "is_valid_smplx")
        shapes = {**_POINTS, **(_BODY if is_valid else {})}
        if is_valid:
            require_keys(header, (*_BODY, "body_pose"), str(path))
        arrays: dict[str, Any] = load_npz(path, [*shapes, *(["body_pose"] if is_valid else [])])
        num_frames = len(arrays["bbox_xywh"]) if arrays["bbox_xywh"].ndim else 0
        person: dict[str, Any] = {key: _rows(arrays[key], key, num_frames, *shape) for key, shape in shapes.items()}
        if is_valid:
            pose = arrays["body_pose"]
            pose = pose[:, :63] if pose.shape[1:] == (69,) else pose
            person["body_pose"] = _rows(pose, "body_pose", num_frames, 63).reshape(-1, 21, 3)
    person["is_valid_smplx"] = is_valid
    person["points2d"] = _with_confidence(person["keypoints_2d"][..., :2])
    person["points3d"] = _points_cam(person["keypoints_3d"][..., :3], person["points2d"])
    return person


def _rows(value: Any, key: str, num_frames: int, *shape: int) -> Floats:
    values = numbers(value, key)
    if values.shape != (num_frames, *shape):
        raise MalformedRecord(f"field {key!r}: expected shape {(num_frames, *shape)}, found {values.shape}")
    return values


def _with_confidence(points: Floats) -> Floats:
    """(..., K, 2 | 3) points and their confidence: 0 where a number is not finite."""
    known = np.isfinite(points).all(axis=-1, keepdims=True)
    return np.concatenate([np.where(known, points, 0.0), known], axis=-1)


def _points_cam(points_m: Floats, points_px: Floats) -> Floats | None:
    """(frames, 100, 4) camera metres and confidence, if the 3D points of a person project to the 2D ones."""
    with np.errstate(over="ignore", invalid="ignore"):
        projected = project(points_m, _CAMERA.focal_px, _CAMERA.principal_point_px)
        distance = np.linalg.norm(projected - points_px[..., :2], axis=-1)
    known = np.isfinite(points_m).all(axis=-1) & (points_px[..., 2] > 0)
    # Behind the camera there is no projection, and what the game stores for it is unknown.
    seen = known & np.isfinite(distance)
    if seen.sum() < max(1, known.sum() / 2) or np.median(distance[seen]) > MAX_3D_MISS_PX:
        return None
    return _with_confidence(points_m)


def _body(person: Mapping[str, Any], frame: int) -> RawBody:
    pose = np.zeros((55, 3))
    pose[0], pose[1:22] = person["global_orient"][frame], person["body_pose"][frame]
    return RawBody(
        model="smplx",
        gender="neutral",
        pose_aa=pose,
        betas=person["betas"][frame],
        transl_m=person["transl"][frame],
        hands="absolute",
        left_hand_pca=person["left_hand_pose"][frame],
        right_hand_pca=person["right_hand_pose"][frame],
        has_left_hand=True,
        has_right_hand=True,
    )
