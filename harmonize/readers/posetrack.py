"""PoseTrack18 with EFT SMPL fits, or its official points alone.

Citation: Andriluka et al., PoseTrack, CVPR 2018 (arXiv 1710.10000); fits: see `harmonize.readers.eft`.
Licence: PoseTrack by registration, research use (wording unverified); EFT fits CC BY-NC 4.0.
Access: registration at posetrack.net; PoseTrack_ver01.json by facebookresearch/eft scripts/download_eft.sh.
Counts: 28 856 people with fits (EFT README; 12 limb points labelled, filtered automatically only); about 23 000
    labelled frames of 66 374 (PoseTrack paper, COCO-WholeBody's table); 28 500 people (SMPLer-X as recalled,
    unverified).
Frame: OpenCV camera, parameters are in it already. Weak perspective made a virtual pinhole, so depth is not metric.
Units: metres (not metric), radians, pixels of the whole picture.
Hands: none (SMPL).
Gender: neutral SMPL. Betas: 10.
Labels: eft; the form posetrack18 has 2D points alone.
Forms: eft (train), posetrack18 (train, val).
Known defects:
    - EFT says imageName is a base name, while its exporter of this set keeps `<sequence>/<frame>`; which of the two the
      release has is unverified, so both are read. Base names repeat in every sequence: they are resolved by the folder
      in subjectId (`<folder>-id###`, perhaps with images/train/ before it), and rejected where there is none.
    - EFT does not say which PoseTrack release it used; its loader reads fields of 2018 (EFT issue 27, unanswered).
    - Ears are placeholders (PoseTrack21 doc/dataset_structure.md), and EFT puts left and right in each other's slot:
      they are dropped in both forms.
    - Not every frame is labelled, some people have no points and some no box; frames have no width and height.
    - head_bottom is the neck of LSP in EFT's points; the form posetrack18 calls it head_bottom_pt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import ClassVar

from harmonize.annotation import Annotation, ImageSource, Reject
from harmonize.keypoints import convention
from harmonize.readers.base import Reader, Unit
from harmonize.readers.coco_people import CocoPerson, coco_annotation, existing, read_coco
from harmonize.readers.eft import EftRow, eft_annotation, eft_units, read_eft, rows_of
from harmonize.record import Provenance

_FOLDERS = ("", "PoseTrack/data/", "data/", "PoseTrack/")
_FITS = ("eft_fit/PoseTrack_ver01.json", "PoseTrack_ver01.json")
_POINTS = tuple(folder + name for folder in _FOLDERS for name in ("posetrack_data/annotations/", "annotations/"))
_SUBJECT = re.compile(r"(?P<folder>.+)-id\d+\Z")
_EARS = [i for i, name in enumerate(convention("posetrack_17").names) if name.endswith("_ear")]


class Posetrack(Reader):
    """A unit is a run of rows of the fit file, or the file of one sequence."""

    name = "posetrack"
    version = 1
    splits = ("train",)
    form_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"posetrack18": ("train", "val")}
    forms = ("eft", "posetrack18")
    body_kinds = ("smpl", "smplx")
    licence: ClassVar[str] = "non-commercial research (EFT fits CC BY-NC 4.0)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        if self.form == "eft":
            file = existing(self, *(folder + name for folder in _FOLDERS for name in _FITS))
            return eft_units(len(read_eft(self.root / file)), file)
        folder = existing(self, *(folder + split for folder in _POINTS))
        files = sorted(path.name for path in (self.root / folder).glob("*.json"))
        if not files:
            self.require(f"{folder}/<sequence>.json")
        return [Unit(id=PurePosixPath(name).stem, files=(f"{folder}/{name}",)) for name in files]

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        folder = next((folder for folder in _FOLDERS if (self.root / folder / "images").is_dir()), "")
        if self.form == "eft":
            for row, fit in rows_of(read_eft(self.root / unit.files[0]), unit):
                yield self._fitted(split, unit.files[0], folder, row, fit)
        else:
            yield from self._labelled(split, unit, folder)

    def _fitted(self, split: str, file: str, folder: str, row: int, fit: EftRow) -> Annotation | Reject:
        picture = PurePosixPath(fit.image_name)
        sequence = picture.parent.name or _folder_of(fit.subject)
        provenance = self._provenance(split, sequence, picture.name, str(row), file, f"data[{row}]", "eft", folder)
        if not sequence:
            detail = f"imageName {fit.image_name!r} is in every sequence, and subjectId {fit.subject!r} names none"
            return Reject(reason="ambiguous-picture", provenance=provenance, detail=detail)
        return eft_annotation(fit, provenance, ImageSource(path=provenance.image_path, orientation=1), has_ears=False)

    def _labelled(self, split: str, unit: Unit, folder: str) -> Iterator[Annotation | Reject]:
        names = convention("posetrack_17").names
        file = read_coco(self.root / unit.files[0], num_points=len(names), may_be_empty=True)
        for image_id, people in file.people.items():
            picture = file.pictures.get(image_id)
            path = PurePosixPath("" if picture is None else picture.file_name)
            for person in people:
                person_id = str(person.id)
                provenance = self._provenance(
                    split, path.parent.name, path.name, person_id, unit.files[0], f"id={person_id}", "", folder
                )
                if isinstance(person, CocoPerson):
                    person.points[_EARS] = 0.0
                yield coco_annotation(person, picture, provenance, names)

    def _provenance(
        self,
        split: str,
        sequence: str,
        file_name: str,
        person: str,
        source_file: str,
        source_row: str,
        origin: str,
        folder: str,
    ) -> Provenance:
        return Provenance(
            dataset=self.name,
            split=split,
            sequence=sequence,
            frame=PurePosixPath(file_name).stem,
            person=person,
            source_file=source_file,
            source_row=source_row,
            image_path=str(PurePosixPath(folder, "images", split, sequence, file_name)),
            reader=self.name,
            reader_version=str(self.version),
            label_origin=origin,
            licence=self.licence,
        )


def _folder_of(subject: str) -> str:
    found = _SUBJECT.match(subject)
    return PurePosixPath(found["folder"]).name if found else ""
