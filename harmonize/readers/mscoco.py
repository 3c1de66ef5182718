"""MS COCO 2017 with COCO-WholeBody keypoints and NeuralAnnot SMPL-X fits.

Citation: Lin et al., Microsoft COCO, ECCV 2014 (arXiv 1405.0312); Jin et al., Whole-Body Human Pose Estimation in the
    Wild, ECCV 2020 (arXiv 2007.11858); Moon et al., NeuralAnnot, CVPRW 2022 (arXiv 2011.11232).
Licence: pictures under their own Flickr terms; COCO-WholeBody CC BY-NC 4.0, research only; NeuralAnnot states none.
Access: open downloads (cocodataset.org, jin-s13/COCO-WholeBody, mks0601/NeuralAnnot_RELEASE); no registration.
Counts: train2017 118 287 pictures, val2017 5 000 (well known, unverified); about 250 000 people with 133 points over
    both (COCO-WholeBody README); 149 800 train people with keypoints (SMPLer-X table as recalled, unverified).
Frame: OpenCV camera, parameters are in it already. Virtual camera per person, so depth is not metric.
Units: metres (not metric), radians, pixels of the whole picture with EXIF orientation ignored.
Hands: relative (offsets to the mean hand), full axis-angle.
Gender: neutral SMPL-X. Betas: 10.
Labels: neuralannot; people without a fit keep their 2D points and have no body.
Known defects:
    - Only train has fits; ids without a fit exist there too (OSX and SMPLer-X skip the body loss for them).
    - Two fit files circulate, MSCOCO_train_SMPLX_all_NeuralAnnot.json (Hand4Whole, SMPLer-X) and
      MSCOCO_train_SMPLX.json (OSX). Whether their numbers agree is unverified; the first is preferred, the one used
      is among the unit's files.
    - `*_valid` may be absent from a fit; the annotation's own flags then count (SMPLer-X data/MSCOCO/MSCOCO.py).
    - Part labels carry float v: see `harmonize.readers.wholebody`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from harmonize.annotation import Annotation, ImageSource, Reject
from harmonize.geometry.boxes import area, clip_to_image
from harmonize.raw.jsons import iter_json_entries, iter_json_items
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import (
    NO_BOX,
    MalformedRecord,
    box,
    concerns_file,
    integer,
    label,
    size_px,
    text,
)
from harmonize.readers.kept import keep_last
from harmonize.readers.wholebody import NeuralFit, Person, fit_body, fit_camera, named_points, neural_fit, person
from harmonize.record import Boxes, Camera, Provenance

IMAGES_PER_UNIT = 2048

_FITS = (
    "annotations/MSCOCO_{split}_SMPLX_all_NeuralAnnot.json",
    "annotations/MSCOCO_{split}_SMPLX.json",
)


@dataclass(frozen=True, slots=True)
class _Picture:
    file_name: str
    size_px: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Malformed:
    id: str
    why: str


@dataclass(frozen=True, slots=True)
class _Index:
    """One split in compact form. Where a fit could not be parsed, a str says why."""

    pictures: dict[int, _Picture]
    people: dict[int, list[Person | _Malformed]]
    fits: dict[str, NeuralFit | str]


class Mscoco(Reader):
    """A unit is a run of image ids. The json files (gigabytes) are streamed once a process and kept in compact form."""

    name = "mscoco"
    version = 1
    splits = ("train", "val")
    forms = ("neuralannot",)
    licence: ClassVar[str] = "research (COCO-WholeBody CC BY-NC 4.0)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        index = self._index(split)
        ids = sorted(index.people)
        units = []
        for part, first in enumerate(range(0, len(ids), IMAGES_PER_UNIT)):
            chosen = ids[first : first + IMAGES_PER_UNIT]
            num_people = sum(len(index.people[image_id]) for image_id in chosen)
            units.append(Unit(id=f"images-{part:04d}", files=self._files(split), num_hint=num_people))
        return units

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        index = self._index(split)
        first = int(unit.id.removeprefix("images-")) * IMAGES_PER_UNIT
        for image_id in sorted(index.people)[first : first + IMAGES_PER_UNIT]:
            for one in index.people[image_id]:
                yield self._person(split, index, image_id, one)

    def _files(self, split: str) -> tuple[str, ...]:
        keypoints = f"annotations/coco_wholebody_{split}_v1.0.json"
        self.require(keypoints)
        fits = [name.format(split=split) for name in _FITS]
        return (keypoints, *[name for name in fits if (self.root / name).is_file()][:1])

    def _index(self, split: str) -> _Index:
        return _build_index(*(self.root / name for name in self._files(split)))

    def _picture_folder(self, split: str) -> str:
        """`images/train2017` of the official layout, or `train2017` right under the root as in plain COCO folders."""
        plain = f"{split}2017"
        return plain if (self.root / plain).is_dir() else f"images/{plain}"

    def _person(self, split: str, index: _Index, image_id: int, one: Person | _Malformed) -> Annotation | Reject:
        picture = index.pictures.get(image_id)
        file_name = f"{image_id:012d}.jpg" if picture is None else picture.file_name
        person_id = str(one.id)
        fit = index.fits.get(person_id)
        provenance = Provenance(
            dataset=self.name,
            split=split,
            frame=Path(file_name).stem,
            person=person_id,
            source_file=f"annotations/coco_wholebody_{split}_v1.0.json",
            source_row=f"id={person_id}",
            image_path=f"{self._picture_folder(split)}/{file_name}",
            reader=self.name,
            reader_version=str(self.version),
            label_origin="neuralannot" if isinstance(fit, NeuralFit) else "",
            licence=self.licence,
        )
        if isinstance(one, _Malformed):
            return Reject(reason="malformed", provenance=provenance, detail=one.why)
        if picture is None:
            return Reject(reason="malformed", provenance=provenance, detail=f"image_id {image_id} is not in `images`")
        if one.is_crowd:
            return Reject(reason="crowd", provenance=provenance)
        if one.num_keypoints == 0:
            return Reject(reason="no-keypoints", provenance=provenance)
        if area(clip_to_image(one.boxes[0], picture.size_px)) <= 0:
            numbers = dict(zip("xywh", map(float, one.boxes[0]), strict=True))
            return Reject(reason="empty-box", provenance=provenance, numbers=numbers)
        if isinstance(fit, str):
            return Reject(reason="malformed", provenance=provenance, detail=fit)
        face, left, right = (
            box(xywh) if is_valid else NO_BOX for xywh, is_valid in zip(one.boxes[1:], one.valid, strict=True)
        )
        return Annotation(
            provenance=provenance,
            image=ImageSource(path=provenance.image_path, orientation=1),
            camera=Camera() if fit is None else fit_camera(fit),
            boxes=Boxes(
                person_xywh_px=box(one.boxes[0]),
                left_hand_xywh_px=left,
                right_hand_xywh_px=right,
                face_xywh_px=face,
                person_origin="dataset",
            ),
            body=None if fit is None else fit_body(fit, one.valid),
            keypoints2d=(named_points(one.points, "annotated"),),
            image_size_px=picture.size_px,
        )


@keep_last
def _build_index(keypoints: Path, fits: Path | None = None) -> _Index:
    pictures: dict[int, _Picture] = {}
    people: dict[int, list[Person | _Malformed]] = {}
    with concerns_file(keypoints):
        for image in iter_json_items(keypoints, "images.item"):
            pictures[integer(image, "id")] = _Picture(text(image, "file_name"), size_px(image))
        for annotation in iter_json_items(keypoints, "annotations.item"):
            people.setdefault(integer(annotation, "image_id"), []).append(_parse(annotation))
        if not people:
            raise MalformedRecord("field 'annotations': expected people, found none")
    parsed: dict[str, NeuralFit | str] = {}
    if fits is not None:
        for person_id, entry in iter_json_entries(fits, ""):
            try:
                parsed[person_id] = neural_fit(entry)
            except MalformedRecord as error:
                parsed[person_id] = f"{fits.name}: {error}"
    return _Index(pictures, people, parsed)


def _parse(annotation: Mapping[str, Any]) -> Person | _Malformed:
    try:
        return person(annotation)
    except MalformedRecord as error:
        return _Malformed(label(annotation, "id"), str(error))
