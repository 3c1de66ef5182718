"""MS COCO with COCO-WholeBody keypoints and NeuralAnnot fits (2017), or EFT fits (2014).

Citation: Lin et al., Microsoft COCO, ECCV 2014 (arXiv 1405.0312); Jin et al., Whole-Body Human Pose Estimation in the
    Wild, ECCV 2020 (arXiv 2007.11858); Moon et al., NeuralAnnot, CVPRW 2022 (arXiv 2011.11232); EFT: see
    `harmonize.readers.eft`.
Licence: pictures under their own Flickr terms; COCO-WholeBody CC BY-NC 4.0, research only; NeuralAnnot states none; EFT
    fits CC BY-NC 4.0.
Access: open downloads (cocodataset.org, jin-s13/COCO-WholeBody, mks0601/NeuralAnnot_RELEASE, facebookresearch/eft); no
    registration.
Counts: train2017 118 287 pictures, val2017 5 000 (well known, unverified); about 250 000 people with 133 points over
    both (COCO-WholeBody README); 149 800 train people with keypoints (SMPLer-X table as recalled, unverified). EFT:
    79 051 (All, 6 limb points or more), 28 344 (Part, 12) and 10 510 (Val).
Frame: OpenCV camera, parameters are in it already. Virtual camera per person, so depth is not metric.
Units: metres (not metric), radians, pixels of the whole picture with EXIF orientation ignored.
Hands: relative (offsets to the mean hand), full axis-angle; none in the SMPL forms.
Gender: neutral. Betas: 10.
Labels: neuralannot, eft; people without a NeuralAnnot fit keep their 2D points and have no body.
Forms: neuralannot (SMPL-X), neuralannot_smpl and eft (SMPL): separate optimisations of the same people, never mix them.
Known defects:
    - Only train has fits; ids without a fit exist there too (OSX and SMPLer-X skip the body loss for them).
    - Two SMPL-X fit files circulate, MSCOCO_train_SMPLX_all_NeuralAnnot.json (Hand4Whole, SMPLer-X) and
      MSCOCO_train_SMPLX.json (OSX). Whether their numbers agree is unverified; the first is preferred, the one used
      is among the unit's files.
    - `*_valid` may be absent from a fit; the annotation's own flags then count (SMPLer-X data/MSCOCO/MSCOCO.py).
    - Part labels carry float v: see `harmonize.readers.wholebody`.
    - EFT names pictures of COCO 2014 (COCO_train2014_<id>.jpg). Those of 2017 are the same pictures, split otherwise,
      and serve where 2014's are not at hand. `annotId` is the annotation's id, not the picture's (EFT issue 3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from harmonize.annotation import Annotation, ImageSource, RawBody, Reject
from harmonize.geometry.boxes import area, clip_to_image
from harmonize.raw.jsons import iter_json_entries
from harmonize.readers import neuralannot, wholebody
from harmonize.readers.base import Reader, Unit
from harmonize.readers.coco_people import CocoFile, Malformed, read_grouped
from harmonize.readers.eft import eft_annotation, eft_units, read_eft, rows_of
from harmonize.readers.fields import NO_BOX, MalformedRecord, box, size_px, text
from harmonize.readers.kept import keep_last
from harmonize.record import Boxes, Camera, Provenance

_PEOPLE = "annotations/coco_wholebody_{split}_v1.0.json"
_FITS = (
    "annotations/MSCOCO_{split}_SMPLX_all_NeuralAnnot.json",
    "annotations/MSCOCO_{split}_SMPLX.json",
)
_SMPL_FITS = "annotations/MSCOCO_{split}_SMPL_NeuralAnnot.json"
_EFT = {
    "train": ("COCO2014-All-ver01.json", "COCO2014-Part-ver01.json"),
    "val": ("COCO2014-Val-ver10.json",),
}
_EFT_FOLDERS = ("eft_fit/", "annotations/", "")
_NAME_2014 = re.compile(r"COCO_(?P<folder>(?:train|val)2014)_(?P<id>\d{12})\.jpg")


@dataclass(frozen=True, slots=True)
class _Picture:
    file_name: str
    size_px: tuple[int, int]


_Fit = wholebody.NeuralFit | neuralannot.BodyFit


@dataclass(frozen=True, slots=True)
class _Index:
    """One split in compact form. Where a fit could not be parsed, a str says why."""

    file: CocoFile[_Picture, wholebody.Person]
    fits: dict[str, _Fit | str]


class Mscoco(Reader):
    """A unit is a run of image ids, or of rows of an EFT file. The json files (gigabytes) are streamed once a process
    and kept in compact form."""

    name = "mscoco"
    version = 1
    splits = ("train", "val")
    forms = ("neuralannot", "neuralannot_smpl", "eft")
    body_kinds = ("smpl", "smplx")
    licence: ClassVar[str] = "research (COCO-WholeBody CC BY-NC 4.0)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        files = self._files(split)
        if self.form == "eft":
            return eft_units(len(read_eft(self.root / files[0])), files[0])
        return self._index(split).file.units(files)

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        if self.form == "eft":
            yield from self._read_eft(split, unit)
            return
        index = self._index(split)
        for image_id, one in index.file.people_of(unit):
            yield self._person(split, index, image_id, one)

    def _files(self, split: str) -> tuple[str, ...]:
        if self.form == "eft":
            names = [folder + name for name in _EFT[split] for folder in _EFT_FOLDERS]
            return (str(self.require(*names).relative_to(self.root)),)
        people = _PEOPLE.format(split=split)
        self.require(people)
        if self.form == "neuralannot_smpl":
            fits = _SMPL_FITS.format(split=split)
            if split == "train":
                self.require(fits)
            return (people, fits) if (self.root / fits).is_file() else (people,)
        names = [name.format(split=split) for name in _FITS]
        return (people, *[name for name in names if (self.root / name).is_file()][:1])

    def _index(self, split: str) -> _Index:
        build = _with_smpl if self.form == "neuralannot_smpl" else _with_smplx
        return build(*(self.root / name for name in self._files(split)))

    def _picture_folder(self, split: str) -> str:
        """`images/train2017` of the official layout, or `train2017` right under the root as in plain COCO folders."""
        plain = f"{split}2017"
        return plain if (self.root / plain).is_dir() else f"images/{plain}"

    def _read_eft(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        for row, fit in rows_of(read_eft(self.root / unit.files[0]), unit):
            name = PurePosixPath(fit.image_name).name
            image = self.image(*_pictures_2014(name, split))
            has_id = fit.annotation_id not in ("", "0")
            provenance = Provenance(
                dataset=self.name,
                split=split,
                frame=PurePosixPath(name).stem,
                person=fit.annotation_id if has_id else f"row-{row}",
                source_file=unit.files[0],
                source_row=f"data[{row}]",
                image_path=image.name,
                reader=self.name,
                reader_version=str(self.version),
                label_origin="eft",
                licence=self.licence,
            )
            yield eft_annotation(fit, provenance, image)

    def _person(
        self, split: str, index: _Index, image_id: int, one: wholebody.Person | Malformed
    ) -> Annotation | Reject:
        picture = index.file.pictures.get(image_id)
        file_name = f"{image_id:012d}.jpg" if picture is None else picture.file_name
        person_id = str(one.id)
        fit = index.fits.get(person_id)
        provenance = Provenance(
            dataset=self.name,
            split=split,
            frame=Path(file_name).stem,
            person=person_id,
            source_file=_PEOPLE.format(split=split),
            source_row=f"id={person_id}",
            image_path=f"{self._picture_folder(split)}/{file_name}",
            reader=self.name,
            reader_version=str(self.version),
            label_origin="neuralannot" if isinstance(fit, _Fit) else "",
            licence=self.licence,
        )
        if isinstance(one, Malformed):
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
            camera=_camera(fit),
            boxes=Boxes(
                person_xywh_px=box(one.boxes[0]),
                left_hand_xywh_px=left,
                right_hand_xywh_px=right,
                face_xywh_px=face,
                person_origin="dataset",
            ),
            body=_body(fit, one.valid),
            keypoints2d=(wholebody.named_points(one.points, "annotated"),),
            image_size_px=picture.size_px,
        )


def _camera(fit: _Fit | None) -> Camera:
    if fit is None:
        return Camera()
    return neuralannot.fit_camera(fit) if isinstance(fit, neuralannot.BodyFit) else wholebody.fit_camera(fit)


def _body(fit: _Fit | None, labelled: tuple[bool, bool, bool]) -> RawBody | None:
    if fit is None:
        return None
    return neuralannot.fit_body(fit) if isinstance(fit, neuralannot.BodyFit) else wholebody.fit_body(fit, labelled)


def _pictures_2014(name: str, split: str) -> list[ImageSource]:
    """Where a picture of COCO 2014 may lie: under its own name, or under that of 2017, which was split otherwise."""
    found = _NAME_2014.fullmatch(name)
    paths = [f"{found['folder'] if found else f'{split}2014'}/{name}"]
    if found:
        paths += [f"{folder}/{found['id']}.jpg" for folder in ("train2017", "val2017")]
    return [ImageSource(path=top + path, orientation=1) for path in paths for top in ("images/", "")]


@keep_last
def _with_smplx(people: Path, fits: Path | None = None) -> _Index:
    parsed: dict[str, _Fit | str] = {}
    if fits is not None:
        for person_id, entry in iter_json_entries(fits, ""):
            try:
                parsed[person_id] = wholebody.neural_fit(entry)
            except MalformedRecord as error:
                parsed[person_id] = f"{fits.name}: {error}"
    return _Index(read_grouped(people, _parse_picture, wholebody.person), parsed)


@keep_last
def _with_smpl(people: Path, fits: Path | None = None) -> _Index:
    parsed: dict[str, _Fit | str] = {} if fits is None else {**neuralannot.body_fits(fits, "smpl")}
    return _Index(read_grouped(people, _parse_picture, wholebody.person), parsed)


def _parse_picture(image: Any) -> _Picture:
    return _Picture(text(image, "file_name"), size_px(image))
