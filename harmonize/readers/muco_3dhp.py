"""MuCo-3DHP as composited and annotated by mks0601, with SMPL fits.

Citation: Mehta et al., Single-Shot Multi-Person 3D Pose Estimation From Monocular RGB, 3DV 2018 (arXiv 1712.03453).
Licence: the terms of MPI-INF-3DHP, research use (text unverified).
Access: links in the READMEs of mks0601/3DMPPE_POSENET_RELEASE (pictures, MuCo-3DHP.json) and mks0601/
    I2L-MeshNet_RELEASE (smpl_param.json). The official download is MATLAB scripts only; their products are not read.
Counts: 465 273 people (marker of SMPLer-X's assets/factor_data.pdf; that it is this dataset is unverified).
Frame: OpenCV camera, joints and parameters are in it already. R and T of the images belong to MPI-INF-3DHP's world;
    their direction is unverified, so no extrinsics are given.
Units: joints millimetres, `trans` metres, radians, pixels of the whole picture (1024 x 1024, half of MPI-INF-3DHP's).
Hands: none (SMPL).
Gender: neutral SMPL. Betas: 10.
Labels: joints are multi-view and marker-less; bodies are SMPLify-X fits to them (hongsukchoi/3DCrowdNet_RELEASE issue
    27). Position is metric.
Forms: smpl.
Known defects:
    - Many annotation ids have no SMPL entry, and some entries hold NaN (I2L-MeshNet data/MuCo/MuCo.py tests for both):
      such people keep their measured joints and have no body. NaN is written as Python does, which is no JSON.
    - Pasted people can be covered wholly. `keypoints_vis` is the confidence of 2D points; who shows no joint is a
      reject. mmhuman3d's converter also drops who hides the pelvis: here the confidence of pelvis_extra says so.
    - Other projects zero betas beyond 3 and drop fits that miss the joints by 25 mm; here the numbers stay, and the
      gate holds the body against the measured joints.
    - `f` and `c` must belong to the stored size: people whose joints do not project onto their own 2D points are
      rejects (reason `projection`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject
from harmonize.geometry.boxes import area, clip_to_image
from harmonize.geometry.cameras import project
from harmonize.keypoints import convention
from harmonize.raw.jsons import iter_json_entries
from harmonize.readers.base import Reader, Unit
from harmonize.readers.coco_people import CocoFile, Malformed, existing, read_grouped
from harmonize.readers.fields import MalformedRecord, box, floats, integer, pinhole, size_px, text, with_confidence
from harmonize.readers.kept import keep_last
from harmonize.record import Array, Boxes, Provenance

MAX_PROJECTION_PX = 5.0
"""Median distance of projected joints to the file's own 2D points; wrong sizes give hundreds."""

_FOLDERS = ("", "MuCo/data/", "data/", "MuCo/")
_NUM_JOINTS = 21


@dataclass(frozen=True, slots=True)
class _Picture:
    file_name: str
    size_px: tuple[int, int]
    focal_px: Array
    principal_point_px: Array


@dataclass(frozen=True, slots=True)
class _Person:
    """joints (21, 6): x, y px, visibility, X, Y, Z camera metres."""

    id: int
    xywh_px: Array
    joints: Array


@dataclass(frozen=True, slots=True)
class _Index:
    """A fit is (85,): pose 72, betas 10, translation 3. A str says why it could not be parsed; those with NaN are left
    out."""

    file: CocoFile[_Picture, _Person]
    fits: dict[str, Array | str]


class Muco3dhp(Reader):
    """A unit is a run of image ids. Both json files are streamed once a process and kept in compact form."""

    name = "muco_3dhp"
    version = 1
    splits = ("train",)
    forms = ("smpl",)
    body_kinds = ("smpl", "smplx")
    licence: ClassVar[str] = "research (terms of MPI-INF-3DHP)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        return self._index().file.units(self._files())

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        index, folder = self._index(), self._picture_folder()
        for image_id, person in index.file.people_of(unit):
            picture = index.file.pictures.get(image_id)
            path = PurePosixPath("" if picture is None else picture.file_name)
            person_id = str(person.id)
            fit = index.fits.get(person_id)
            provenance = Provenance(
                dataset=self.name,
                split=split,
                sequence="" if picture is None else str(path.parent),
                frame=path.stem,
                person=person_id,
                source_file=unit.files[0],
                source_row=f"id={person_id}",
                image_path=folder + str(path),
                reader=self.name,
                reader_version=str(self.version),
                label_origin="fit" if isinstance(fit, np.ndarray) else "multi-view",
                licence=self.licence,
            )
            if isinstance(person, Malformed):
                yield Reject(reason="malformed", provenance=provenance, detail=person.why)
            elif picture is None:
                detail = f"image_id {image_id} is not in `images`"
                yield Reject(reason="malformed", provenance=provenance, detail=detail)
            elif isinstance(fit, str):
                yield Reject(reason="malformed", provenance=provenance, detail=fit)
            else:
                yield _person(picture, person, fit, provenance)

    def _files(self) -> tuple[str, str]:
        joints = [f"{folder}{name}" for folder in _FOLDERS for name in ("MuCo-3DHP.json", "extras/MuCo-3DHP.json")]
        fits = [f"{folder}{name}" for folder in _FOLDERS for name in ("smpl_param.json", "SMPLX/smpl_param.json")]
        return existing(self, *joints), existing(self, *fits)

    def _index(self) -> _Index:
        return _build_index(*(self.root / name for name in self._files()))

    def _picture_folder(self) -> str:
        """What precedes `augmented_set/` and `unaugmented_set/`: the json's folder, or `images/` as SMPLer-X has it."""
        first = self._files()[0].rpartition("/")[0].removesuffix("extras")
        beside = f"{first}/" if first and not first.endswith("/") else first
        for folder in (beside, f"{beside}images/", "MuCo/images/"):
            if any((self.root / folder / name).is_dir() for name in ("augmented_set", "unaugmented_set")):
                return folder
        return beside


def _person(picture: _Picture, person: _Person, fit: Array | None, provenance: Provenance) -> Annotation | Reject:
    visible, joints_cam_m = person.joints[:, 2], person.joints[:, 3:]
    if not (visible > 0).any():
        return Reject(reason="not-visible", provenance=provenance, detail="keypoints_vis is false for every joint")
    if area(clip_to_image(person.xywh_px, picture.size_px)) <= 0:
        numbers = dict(zip("xywh", map(float, person.xywh_px), strict=True))
        return Reject(reason="empty-box", provenance=provenance, numbers=numbers)
    pixels = project(joints_cam_m, picture.focal_px, picture.principal_point_px)
    error_px = float(np.median(np.nan_to_num(np.linalg.norm(pixels - person.joints[:, :2], axis=1), nan=np.inf)))
    if error_px > MAX_PROJECTION_PX:
        return Reject(
            reason="projection",
            provenance=provenance,
            detail="keypoints_cam does not project onto keypoints_img: f and c are of another picture size",
            numbers={"error_px": error_px, "limit_px": MAX_PROJECTION_PX},
        )
    names = convention("muco_21").names
    return Annotation(
        provenance=provenance,
        image=ImageSource(path=provenance.image_path, orientation=1),
        camera=pinhole(picture.focal_px, picture.principal_point_px, is_calibrated=True),
        boxes=Boxes(person_xywh_px=box(person.xywh_px), person_origin="dataset"),
        body=None if fit is None else _body(fit),
        keypoints2d=(NamedPoints(names=names, values=person.joints[:, :3], origin="projected"),),
        keypoints3d=NamedPoints(names=names, values=with_confidence(joints_cam_m), origin="measured"),
        image_size_px=picture.size_px,
    )


def _body(fit: Array) -> RawBody:
    return RawBody(
        model="smpl",
        gender="neutral",
        pose_aa=fit[:72].reshape(24, 3),
        betas=fit[72:82],
        transl_m=fit[82:],
        hands="absent",
    )


@keep_last
def _build_index(joints: Path, fits: Path) -> _Index:
    parsed: dict[str, Array | str] = {}
    for person_id, entry in iter_json_entries(fits, "", has_nan=True):
        try:
            sizes = (("pose", 72), ("shape", 10), ("trans", 3))
            values = np.concatenate([floats(entry, key, size) for key, size in sizes]).astype(np.float32)
        except MalformedRecord as error:
            parsed[person_id] = f"{fits.name}: {error}"
        else:
            if np.isfinite(values).all():
                parsed[person_id] = values
    return _Index(read_grouped(joints, _parse_picture, _parse_person), parsed)


def _parse_picture(image: Any) -> _Picture:
    return _Picture(
        file_name=text(image, "file_name"),
        size_px=size_px(image),
        focal_px=floats(image, "f", 2).astype(np.float32),
        principal_point_px=floats(image, "c", 2).astype(np.float32),
    )


def _parse_person(annotation: Any) -> _Person:
    visible = floats(annotation, "keypoints_vis", _NUM_JOINTS, 1)
    columns = (
        floats(annotation, "keypoints_img", _NUM_JOINTS, 2),
        np.clip(visible, 0.0, 1.0),
        floats(annotation, "keypoints_cam", _NUM_JOINTS, 3) / 1000,
    )
    joints = np.concatenate(columns, axis=1).astype(np.float32)
    if not np.isfinite(joints).all():
        raise MalformedRecord.of("keypoints_img, keypoints_cam", "finite numbers", joints[~np.isfinite(joints)])
    return _Person(
        id=integer(annotation, "id"), xywh_px=floats(annotation, "bbox", 4).astype(np.float32), joints=joints
    )
