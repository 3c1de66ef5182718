"""CrowdPose with NeuralAnnot SMPL fits.

Citation: Li et al., CrowdPose, CVPR 2019 (arXiv 1812.00324); Moon et al., NeuralAnnot, CVPRW 2022 (arXiv 2011.11232).
Licence: not stated by the authors (unverified); pictures are from COCO, MPII and AI Challenger, each under its own.
Access: open download (Jeff-sjtu/CrowdPose); fits by the link in mks0601/NeuralAnnot_RELEASE.
Counts: 20 000 pictures, 80 000 people (COCO-WholeBody's table); val 2 000 pictures and 8 527 people (file inspected),
    train 10 000 and test 8 000 pictures (unverified); 28 500 train people with fits (SMPLer-X as recalled, unverified).
Frame: OpenCV camera, parameters are in it already. Virtual camera per person, so depth is not metric.
Units: metres (not metric), radians, pixels of the whole picture.
Hands: none (SMPL).
Gender: neutral SMPL. Betas: 10.
Labels: neuralannot, of train people only (also where trainval lists them again); all others have 2D points alone.
Forms: neuralannot.
Known defects:
    - Width and height are swapped in the first release of train, trainval and test; both circulate (Jeff-sjtu/CrowdPose
      issue 12). Where labelled points decide it, the sizes are turned or kept for the whole file; where a file is too
      small to decide it, they are not used and the picture is asked.
    - `head` is the top of the head and `neck` the base of the neck: surface points, not the SMPL joints of that name.
    - `num_keypoints` leaves out head and neck (in 3 641 of 4 097 people of val): the points themselves are counted.
    - `fit_err` is not used: 3DCrowdNet drops fits below 5.0, which are rather the good ones.
    - Rotations of wrists and ankles do not follow from the points: unknown joints (as SMPLer-X treats MPII's fits).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from harmonize.annotation import Annotation, Reject
from harmonize.keypoints import convention
from harmonize.readers.base import Reader, Unit
from harmonize.readers.coco_people import CocoFile, CocoPerson, Picture, existing, read_coco
from harmonize.readers.kept import keep_last
from harmonize.readers.neuralannot import BodyFit, annotation_with_fit, body_fits
from harmonize.record import Provenance

MIN_WITNESSES = 10
"""People who must contradict one reading of the sizes, ten times as many as contradict the other, to decide a file."""

_FOLDERS = ("", "annotations/", "json/", "CrowdPose/", "CrowdPose/annotations/")
_FITS = "CrowdPose_train_SMPL_NeuralAnnot.json"
_SPLITS_WITH_FITS = ("train", "trainval")


@dataclass(frozen=True, slots=True)
class _Index:
    file: CocoFile[Picture, CocoPerson]
    fits: dict[str, BodyFit | str]


class Crowdpose(Reader):
    """A unit is a run of image ids."""

    name = "crowdpose"
    version = 1
    splits = ("train", "val", "trainval", "test")
    forms = ("neuralannot",)
    body_kinds = ("smpl", "smplx")
    licence: ClassVar[str] = "research (not stated, unverified)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        return self._index(split).file.units(self._files(split))

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        index = self._index(split)
        folder = next((name for name in ("images/", "CrowdPose/images/") if (self.root / name).is_dir()), "images/")
        for image_id, person in index.file.people_of(unit):
            picture = index.file.pictures.get(image_id)
            fit = index.fits.get(str(person.id))
            file_name = f"{image_id}.jpg" if picture is None else picture.file_name
            provenance = Provenance(
                dataset=self.name,
                split=split,
                frame=Path(file_name).stem,
                person=str(person.id),
                source_file=unit.files[0],
                source_row=f"id={person.id}",
                image_path=folder + file_name.removeprefix("images/"),
                reader=self.name,
                reader_version=str(self.version),
                label_origin="neuralannot" if isinstance(fit, BodyFit) else "",
                licence=self.licence,
            )
            yield annotation_with_fit(person, picture, fit, provenance, convention("crowdpose_14").names)

    def _files(self, split: str) -> tuple[str, ...]:
        names = (f"crowdpose_{split}.json", f"mmpose_crowdpose_{split}.json")
        people = existing(self, *(folder + name for folder in _FOLDERS for name in names))
        if split not in _SPLITS_WITH_FITS:
            return (people,)
        return people, existing(self, *(folder + _FITS for folder in _FOLDERS))

    def _index(self, split: str) -> _Index:
        return _build_index(*(self.root / name for name in self._files(split)))


@keep_last
def _build_index(people: Path, fits: Path | None = None) -> _Index:
    file = read_coco(people, num_points=14)
    pictures = _with_true_sizes(file)
    return _Index(CocoFile(pictures, file.people), {} if fits is None else body_fits(fits, "smpl"))


def _with_true_sizes(file: CocoFile[Picture, CocoPerson]) -> dict[int, Picture]:
    """The pictures with their sizes as stated, turned, or left out, as the labelled points of the whole file say."""
    num_against_stated = num_against_turned = 0
    for image_id, people in file.people.items():
        picture = file.pictures.get(image_id)
        if picture is None or picture.size_px is None:
            continue
        width, height = picture.size_px
        for person in people:
            if isinstance(person, CocoPerson) and person.has_points:
                x, y = person.points[person.points[:, 2] > 0, :2].max(axis=0)
                num_against_stated += bool(x > width or y > height)
                num_against_turned += bool(x > height or y > width)
    if num_against_turned >= max(MIN_WITNESSES, 10 * num_against_stated):
        return file.pictures
    is_turned = num_against_stated >= max(MIN_WITNESSES, 10 * num_against_turned)
    return {
        image_id: replace(picture, size_px=picture.size_px[::-1] if is_turned and picture.size_px else None)
        for image_id, picture in file.pictures.items()
    }
