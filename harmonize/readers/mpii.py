"""MPII Human Pose with NeuralAnnot fits, or its official points alone.

Citation: Andriluka et al., 2D Human Pose Estimation: New Benchmark and State of the Art Analysis, CVPR 2014; Moon et
    al., NeuralAnnot, CVPRW 2022 (arXiv 2011.11232).
Licence: research use, commercial use is not allowed (homepage); the annotation files name the Simplified BSD licence.
Access: open downloads (human-pose.mpi-inf.mpg.de); train.json and the fits by the links in the READMEs of
    IDEA-Research/OSX and mks0601/NeuralAnnot_RELEASE. No registration (unverified).
Counts: about 25 000 pictures and over 40 000 people (homepage); 28 900 train people (SMPLer-X as recalled, unverified).
Frame: OpenCV camera, parameters are in it already. Virtual camera per person, so depth is not metric.
Units: metres (not metric), radians, pixels of the whole picture.
Hands: none; the SMPL-X fits are of the body alone, without hands, jaw and expression.
Gender: neutral. Betas: 10.
Labels: neuralannot; people without a fit keep their 2D points and have no body.
Forms: neuralannot (SMPL-X), neuralannot_smpl (another optimisation: never mix the two), mat (the official file, 2D).
Known defects:
    - The mmhuman3d converter keeps only the last person of a picture and fails for who has no fit; here all are kept.
    - v is used as validity by others: where it is 2 (COCO style) it would count twice. It is cut to 1 here.
    - Rotations of wrists and ankles are unreliable in the fits (SMPLer-X data/MPII/MPII.py): unknown joints.
    - pelvis, thorax, neck and head top are surface points: `_extra` names and headtop.
    - Official file: points count from 1, as MATLAB does (mmpose subtracts 1; that all points do is unverified), so 1 is
      subtracted. A point that is listed is labelled, whether `is_visible` says hidden, visible, or is missing. Pictures
      with img_train 0 have no labels and belong to no split. `scale` and `objpos` are no box and are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

from harmonize.annotation import Annotation, Reject
from harmonize.keypoints import convention
from harmonize.readers.base import Reader, Unit
from harmonize.readers.coco_people import CocoFile, CocoPerson, Picture, coco_annotation, existing, read_coco
from harmonize.readers.kept import keep_last
from harmonize.readers.mpii_mat import read_release
from harmonize.readers.neuralannot import BodyFit, annotation_with_fit, body_fits
from harmonize.record import Provenance

_FOLDERS = ("", "MPII/data/", "data/", "MPII/")
_PEOPLE = "annotations/train.json"
_FITS = {
    "neuralannot": "annotations/MPII_train_SMPLX_NeuralAnnot.json",
    "neuralannot_smpl": "annotations/MPII_train_SMPL_NeuralAnnot.json",
}
_MAT = "mpii_human_pose_v1_u12_1.mat"
_MAT_FOLDERS = ("mpii_human_pose_v1_u12_2/", "annotations/", "")
_IMAGE_FOLDERS = ("images/", "mpii_human_pose_v1/images/")


@dataclass(frozen=True, slots=True)
class _Index:
    file: CocoFile[Picture, CocoPerson]
    fits: dict[str, BodyFit | str]


class Mpii(Reader):
    """A unit is a run of pictures."""

    name = "mpii"
    version = 1
    splits = ("train",)
    forms = ("neuralannot", "neuralannot_smpl", "mat")
    body_kinds = ("smpl", "smplx")
    licence: ClassVar[str] = "non-commercial research"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        return self._index().file.units(self._files())

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        index, folder = self._index(), self._picture_folder()
        names = convention("mpii_16").names
        for image_id, person in index.file.people_of(unit):
            picture = index.file.pictures.get(image_id)
            path = PurePosixPath("" if picture is None else picture.file_name)
            fit = index.fits.get(str(person.id))
            provenance = Provenance(
                dataset=self.name,
                split=split,
                frame=path.stem,
                person=str(person.id),
                source_file=unit.files[0],
                source_row=f"annolist({image_id + 1})" if self.form == "mat" else f"id={person.id}",
                image_path=folder + str(path).removeprefix("images/"),
                reader=self.name,
                reader_version=str(self.version),
                label_origin="neuralannot" if isinstance(fit, BodyFit) else "",
                licence=self.licence,
            )
            if self.form == "mat":
                yield coco_annotation(person, picture, provenance, names)
            else:
                yield annotation_with_fit(person, picture, fit, provenance, names)

    def _files(self) -> tuple[str, ...]:
        if self.form == "mat":
            return (existing(self, *(top + folder + _MAT for top in _FOLDERS for folder in _MAT_FOLDERS)),)
        return tuple(existing(self, *(folder + name for folder in _FOLDERS)) for name in (_PEOPLE, _FITS[self.form]))

    def _index(self) -> _Index:
        build = {"neuralannot": _with_smplx, "neuralannot_smpl": _with_smpl, "mat": _official}[self.form]
        return build(*(self.root / name for name in self._files()))

    def _picture_folder(self) -> str:
        folders = [top + folder for top in _FOLDERS for folder in _IMAGE_FOLDERS]
        return next((folder for folder in folders if (self.root / folder).is_dir()), folders[0])


@keep_last
def _with_smplx(people: Path, fits: Path) -> _Index:
    return _Index(read_coco(people, num_points=16), body_fits(fits, "smplx"))


@keep_last
def _with_smpl(people: Path, fits: Path) -> _Index:
    return _Index(read_coco(people, num_points=16), body_fits(fits, "smpl"))


@keep_last
def _official(release: Path) -> _Index:
    return _Index(read_release(release), {})
