"""OCHuman with EFT SMPL fits, or its own points alone.

Citation: Zhang et al., Pose2Seg: Detection Free Human Instance Segmentation, CVPR 2019 (arXiv 1803.10683); fits: see
    `harmonize.readers.eft`.
Licence: pictures by form, research (unverified); EFT fits CC BY-NC 4.0.
Access: form of the repository liruilong940607/OCHumanApi; fits by facebookresearch/eft scripts/download_eft.sh.
Counts: 5 081 pictures, 13 360 people, 10 375 of them with points (OCHumanApi README); val 2 500 and test 2 231
    pictures; fits of 2 495 people (train) and 1 783 (test), filtered by hand (EFT README).
Frame: OpenCV camera, parameters are in it already. Weak perspective made a virtual pinhole, so depth is not metric.
Units: metres (not metric), radians, pixels of the whole picture.
Hands: none (SMPL).
Gender: neutral SMPL. Betas: 10.
Labels: eft; the forms coco and native have 2D points alone.
Forms: eft (train, test: a list of EFT's authors; how it relates to the official splits is unverified), coco (val,
    test), native (all: ochuman.json).
Known defects:
    - The authors mean the set for evaluation: training on it makes their benchmark invalid.
    - Boxes are corners in ochuman.json and x, y, w, h in the COCO-style files. EFT's preprocessing reads the corners as
      x, y, w, h (eft/db_processing/ochuman.py): its crops are no boxes of people, so the points make the box here.
    - Visibility is 0 missing, 1 visible, 2 self-occluded, 3 occluded by others in ochuman.json, and 0, 1, 2 as in COCO
      in the others. Every labelled point counts.
    - Many people have a box alone (keypoints null).
    - head is the top of the head, neck that of LSP: headtop and neck_extra.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, Reject
from harmonize.keypoints import convention
from harmonize.raw.jsons import iter_json_items
from harmonize.readers.base import Reader, Unit
from harmonize.readers.coco_people import (
    CocoFile,
    CocoPerson,
    Malformed,
    Picture,
    coco_annotation,
    coco_picture,
    existing,
    read_coco,
)
from harmonize.readers.eft import eft_annotation, eft_units, read_eft, rows_of
from harmonize.readers.fields import MalformedRecord, concerns_file, floats, listing
from harmonize.readers.kept import keep_last
from harmonize.record import Provenance

_FOLDERS = ("", "OCHuman/")
_NATIVE = "ochuman.json"
_COCO = "ochuman_coco_format_{split}_range_0.00_1.00.json"
_FITS = "OCHuman_{split}_ver10.json"


class Ochuman(Reader):
    """A unit is a run of rows of the fit file, or of pictures."""

    name = "ochuman"
    version = 1
    splits = ("train", "test")
    form_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"coco": ("val", "test"), "native": ("all",)}
    forms = ("eft", "coco", "native")
    body_kinds = ("smpl", "smplx")
    licence: ClassVar[str] = "research, form-based access (EFT fits CC BY-NC 4.0)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        file = self._file(split)
        if self.form == "eft":
            return eft_units(len(read_eft(self.root / file)), file)
        return self._people(file).units((file,))

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        file = unit.files[0]
        if self.form == "eft":
            for row, fit in rows_of(read_eft(self.root / file), unit):
                provenance = self._provenance(split, fit.image_name, str(row), file, f"data[{row}]")
                image = ImageSource(path=provenance.image_path, orientation=1)
                yield eft_annotation(fit, provenance, image, has_box=False)
            return
        people = self._people(file)
        names = convention("ochuman_19" if self.form == "native" else "coco_17").names
        for image_id, person in people.people_of(unit):
            picture = people.pictures.get(image_id)
            where = f"images[{image_id}].annotations[{person.id}]" if self.form == "native" else f"id={person.id}"
            name = "" if picture is None else picture.file_name
            yield coco_annotation(person, picture, self._provenance(split, name, str(person.id), file, where), names)

    def _file(self, split: str) -> str:
        template = {"eft": _FITS, "coco": _COCO, "native": _NATIVE}[self.form]
        name = template.format(split=split)
        inside = "eft_fit/" if self.form == "eft" else "annotations/"
        return existing(self, *(folder + sub + name for folder in _FOLDERS for sub in (inside, "")))

    def _people(self, file: str) -> CocoFile[Picture, CocoPerson]:
        return (_native if self.form == "native" else _coco)(self.root / file)

    def _provenance(self, split: str, file_name: str, person: str, source_file: str, source_row: str) -> Provenance:
        name = PurePosixPath(file_name).name
        folder = next((folder for folder in _FOLDERS if (self.root / folder / "images").is_dir()), "")
        return Provenance(
            dataset=self.name,
            split=split,
            frame=PurePosixPath(name).stem,
            person=person,
            source_file=source_file,
            source_row=source_row,
            image_path=f"{folder}images/{name}",
            reader=self.name,
            reader_version=str(self.version),
            label_origin="eft" if self.form == "eft" else "",
            licence=self.licence,
        )


@keep_last
def _coco(path: Path) -> CocoFile[Picture, CocoPerson]:
    return read_coco(path, num_points=17)


@keep_last
def _native(path: Path) -> CocoFile[Picture, CocoPerson]:
    """Pictures by their position in the file, people by theirs in the picture."""
    pictures: dict[int, Picture] = {}
    people: dict[int, list[CocoPerson | Malformed]] = {}
    with concerns_file(path):
        for at, image in enumerate(iter_json_items(path, "images.item")):
            pictures[at] = coco_picture(image)
            people[at] = [_native_person(entry, index) for index, entry in enumerate(listing(image, "annotations"))]
        if not any(people.values()):
            raise MalformedRecord("field 'images': expected people, found none")
    return CocoFile(pictures, people)


def _native_person(entry: Any, index: int) -> CocoPerson | Malformed:
    points = np.zeros((19, 3), np.float32)
    try:
        x1, y1, x2, y2 = floats(entry, "bbox", 4)
        if entry.get("keypoints") is not None:
            points = floats(entry, "keypoints", 19, 3).astype(np.float32)
            points[:, 2] = points[:, 2] > 0
        if not np.isfinite(points).all():
            raise MalformedRecord.of("keypoints", "finite numbers", entry["keypoints"])
    except MalformedRecord as error:
        return Malformed(str(index), str(error))
    box = np.array([x1, y1, x2 - x1, y2 - y1], np.float32)
    return CocoPerson(id=index, is_crowd=False, xywh_px=box, points=points)
