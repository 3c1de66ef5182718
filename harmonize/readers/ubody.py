"""UBody: upper-body videos with SMPL-X fits, released with OSX.

Citation: Lin et al., One-Stage 3D Whole-Body Mesh Recovery with Component Aware Transformer, CVPR 2023 (arXiv
    2303.16160).
Licence: research use expected; text unverified.
Access: form of the OSX repository (IDEA-Research/OSX); pictures are extracted from the videos by the user.
Counts: 1 051 000 pictures (paper figure quoted in OSX issue 125); 683 300 intra-scene train people (SMPLer-X table as
    recalled, unverified). 15 scenes.
Frame: OpenCV camera, parameters are in it already. Virtual camera per person, so depth is not metric.
Units: metres (not metric), radians, pixels of the whole picture.
Hands: relative (offsets to the mean hand), full axis-angle.
Gender: neutral SMPL-X. Betas: 10.
Labels: neuralannot-like fits to detected 2D points (ViTPose and a hand model).
Split: `splits/intra_scene_test_list.npy`, the list of OSX and SMPLer-X; train is every video that is not in it.
Known defects:
    - `file_name` sometimes starts with a slash, and sometimes repeats the scene (mmpose's sample).
    - Folder names of the scene Movie were wrong in the first release (fixed May 2023, OSX issue 32).
    - Pictures are frames at a forced 30 fps, counted from 1: another extraction gives other pictures or none.
    - Stored hand boxes have no common definition: SMPLer-X shrinks them by 0.65 for an assumed padding of 1.5, but in
      the published sample (mmpose tests/data/ubody3d) they have the size of the points without padding. Hand and face
      boxes are therefore those of the labelled points.
    - Points of body parts beyond the picture are extrapolated (y = 3123 in a picture 720 high in that sample): they
      are not labels and get confidence 0.
    - Labels come from networks: scores on the test split measure agreement with the OSX fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, Reject
from harmonize.geometry.boxes import area, clip_to_image, from_points
from harmonize.raw.jsons import iter_json_entries, iter_json_items
from harmonize.raw.npz import load_npy
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import MalformedRecord, box, concerns_file, integer, label, size_px, text
from harmonize.readers.wholebody import (
    FACE_ROWS,
    LEFT_HAND_ROWS,
    RIGHT_HAND_ROWS,
    NeuralFit,
    fit_body,
    fit_camera,
    named_points,
    neural_fit,
    person,
)
from harmonize.record import Array, Boxes, Provenance

_TEST_LIST = "splits/intra_scene_test_list.npy"


class Ubody(Reader):
    """A unit is one scene: its keypoint file is streamed, its fits are held in compact form."""

    name = "ubody"
    version = 1
    splits = ("train", "test")
    forms = ("json",)
    licence: ClassVar[str] = "research, form-based access (text unverified)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        self.require(_TEST_LIST)
        # Only folders are scenes: a stray file beside them breaks OSX's own loop.
        scenes = sorted(path.name for path in self.require("annotations").iterdir() if path.is_dir())
        if not scenes:
            self.require("annotations/<Scene>/keypoint_annotation.json")
        units = []
        for scene in scenes:
            files = tuple(f"annotations/{scene}/{kind}_annotation.json" for kind in ("keypoint", "smplx"))
            for file in files:
                self.require(file)
            units.append(Unit(id=scene, files=(*files, _TEST_LIST)))
        return units

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        keypoint_file, fit_file, _ = (self.require(file) for file in unit.files)
        test_videos = {str(name) for name in np.ravel(load_npy(self.root / _TEST_LIST))}
        with concerns_file(keypoint_file):
            images = {integer(image, "id"): image for image in iter_json_items(keypoint_file, "images.item")}
            if not images:
                raise MalformedRecord("field 'images': expected pictures, found none")
        fits = {person_id: _fit(entry) for person_id, entry in iter_json_entries(fit_file, "")}
        num_people = 0
        for annotation in iter_json_items(keypoint_file, "annotations.item"):
            num_people += 1
            image = _image_of(annotation, images)
            path = _path_in_scene(image, unit.id)
            if (video_name(path) in test_videos) != (split == "test"):
                continue
            yield self._person(split, unit, path, image, annotation, fits)
        with concerns_file(keypoint_file):
            if not num_people:
                raise MalformedRecord("field 'annotations': expected people, found none")

    def _person(
        self,
        split: str,
        unit: Unit,
        path: str,
        image: Mapping[str, Any] | None,
        annotation: Any,
        fits: Mapping[str, NeuralFit | str],
    ) -> Annotation | Reject:
        person_id = label(annotation, "id")
        inside = PurePosixPath(unit.id, path)
        provenance = Provenance(
            dataset=self.name,
            split=split,
            sequence=str(inside.parent),
            frame=inside.stem,
            person=person_id,
            source_file=unit.files[0],
            source_row=f"id={person_id}",
            image_path=str("images" / inside),
            reader=self.name,
            reader_version=str(self.version),
            label_origin="neuralannot",
            licence=self.licence,
        )
        try:
            image_id = integer(annotation, "image_id")
            if image is None:
                raise MalformedRecord(f"image_id {image_id} is not in `images`")
            text(image, "file_name")
            size = size_px(image)
            one = person(annotation)
            valid_label = integer(annotation, "valid_label")
            fit = fits.get(person_id)
            if isinstance(fit, str):
                raise MalformedRecord(fit)
        except MalformedRecord as error:
            return Reject(reason="malformed", provenance=provenance, detail=str(error))
        if one.is_crowd:
            return Reject(reason="crowd", provenance=provenance)
        if one.num_keypoints == 0:
            return Reject(reason="no-keypoints", provenance=provenance)
        if area(clip_to_image(one.boxes[0], size)) <= 0:
            numbers = dict(zip("xywh", map(float, one.boxes[0]), strict=True))
            return Reject(reason="empty-box", provenance=provenance, numbers=numbers)
        if valid_label == 0:
            return Reject(reason="invalid-label", provenance=provenance, detail="the dataset says valid_label 0")
        if fit is None:
            return Reject(reason="no-fit", provenance=provenance)
        points = one.points.copy()
        outside = ~((points[:, :2] >= 0) & (points[:, :2] < np.array(size))).all(axis=1)
        points[outside, 2] = 0.0
        return Annotation(
            provenance=provenance,
            image=ImageSource(path=provenance.image_path, orientation=1),
            camera=fit_camera(fit),
            boxes=Boxes(
                person_xywh_px=box(one.boxes[0]),
                left_hand_xywh_px=_box_of(points[LEFT_HAND_ROWS]),
                right_hand_xywh_px=_box_of(points[RIGHT_HAND_ROWS]),
                face_xywh_px=_box_of(points[FACE_ROWS]),
                person_origin="dataset",
            ),
            body=fit_body(fit, one.valid),
            keypoints2d=(named_points(points, "detected"),),
            image_size_px=size,
        )


def video_name(path: str) -> str:
    """The name that split lists hold: the frame's parent folder, cut at `_Trim` (OSX data/UBody/UBody.py)."""
    return PurePosixPath(path).parent.name.split("_Trim")[0]


def _image_of(annotation: Any, images: Mapping[int, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    try:
        return images.get(integer(annotation, "image_id"))
    except MalformedRecord:
        return None


def _path_in_scene(image: Mapping[str, Any] | None, scene: str) -> str:
    """Empty where there is none: such a person is rejected, with the train split."""
    return label(image, "file_name").lstrip("/").removeprefix(f"{scene}/")


def _fit(entry: Mapping[str, Any]) -> NeuralFit | str:
    try:
        return neural_fit(entry)
    except MalformedRecord as error:
        return f"smplx_annotation.json: {error}"


def _box_of(points: Array) -> Array:
    return from_points(points[:, :2], points[:, 2])
