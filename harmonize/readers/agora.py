"""AGORA: Avatars in Geography Optimized for Regression Analysis.

Citation: Patel et al., AGORA, CVPR 2021 (arXiv 2104.14643).
Licence: non-commercial research.
Access: registration at agora.is.tue.mpg.de.
Counts: about 14 000 train and 3 000 test pictures, 173 000 person crops, 4 240 scans of which 257 are of children
    (paper abstract); 106 700 train people (SMPLer-X table as recalled, unverified). Validation about 1 000 pictures
    (unverified).
Frame: each scan's own; moved to the OpenCV camera by scan position and yaw (Unreal: centimetres, degrees) and the
    camera.
Units: fits in metres and radians; `gt_joints_2d` in pixels at 3840x2160, scaled here to the pictures that are there.
Hands: relative (offsets to the mean hand), full axis-angle.
Gender: female, male or neutral SMPL-X a person; children use male (boys) or NEUTRAL (girls) with the kid template.
Betas: 10; children have an 11th, the weight of the kid template.
Labels: synthetic (renders of scans; the bodies were fitted to the scans). `*_body` scan sets have no fitted hands or
    face.
Known defects:
    - The official projection code tests its camera rules on the joined path, so a folder called `hdri...` selects a
      camera: here the file name alone is tested, first match wins.
    - The official script for the neutral refits knows no `ag2` rule; the projection code
      (agora_evaluation/projection.py) is followed.
    - Some adult scans hold 11 betas (agora_evaluation issue 9). The official code cuts adults to 10 before the model is
      called, so the 11th is ignored for adults, and is a kid weight for children alone.
    - `isValid` False means more than 90 % occluded: rejected with the occlusion.
    - `gender` of `Cam` frames is reported to disagree with the fits of some people (issue 19), so frames with joints
      are preferred: a wrong gender then shows in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject, RigidTransform
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.keypoints import convention
from harmonize.raw.paths import safe_join
from harmonize.raw.pickles import load_pickle
from harmonize.readers.agora_cameras import scan_to_cam, scene_camera
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import (
    MalformedRecord,
    concerns_file,
    flag,
    floats,
    is_listing,
    label,
    number,
    pinhole,
    require_keys,
    text,
    with_confidence,
)
from harmonize.record import Boxes, Gender, Provenance

FULL_SIZE_PX = (3840, 2160)
SMALL_SIZE_PX = (1280, 720)
SMALL_SUFFIX = "_1280x720"
SENSOR_WIDTH_MM = 36.0

_CAMERA_COLUMNS = ("camX", "camY", "camZ", "camYaw")
_PERSON_COLUMNS = ("X", "Y", "Z", "Yaw", "gender", "kid", "occlusion", "isValid", "gt_path_smplx")
_JOINT_COLUMNS = ("gt_joints_2d", "gt_joints_3d")
_POSE = (
    ("global_orient", 1),
    ("body_pose", 21),
    ("jaw_pose", 1),
    ("leye_pose", 1),
    ("reye_pose", 1),
    ("left_hand_pose", 15),
    ("right_hand_pose", 15),
)
_GENDERS: dict[str, Gender] = {"male": "male", "female": "female", "neutral": "neutral"}


class Agora(Reader):
    """A unit is one DataFrame; the fits it points to are small and shared by many pictures."""

    name = "agora"
    version = 1
    splits = ("train", "validation")
    forms = ("smplx",)
    licence: ClassVar[str] = "non-commercial research"

    def __init__(self, root: Path, *, form: str | None = None) -> None:
        super().__init__(root, form=form)
        self._fits: dict[str, Mapping[str, Any]] = {}
        self._pictures: dict[str, dict[str, str]] = {}

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        self.require("smplx_gt")
        # Which fits a frame needs stands in gigabytes of frame; all fits together are a few thousand small files.
        fits = tuple(
            str(path.relative_to(self.root))
            for folder in ("smplx_gt", "smplx_gt_neutral_gender")
            for path in sorted((self.root / folder).rglob("*.pkl"))
        )
        frames = self._frames("SMPLX", split, "_withjv") or self._frames("Cam", split, "")
        if not frames:
            self.require(f"SMPLX/{split}_0_withjv.pkl", f"Cam/{split}_0.pkl")
        return [Unit(id=Path(frame).stem, files=(frame, *fits)) for frame in frames]

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        columns = self._columns(unit.files[0])
        for row, image in enumerate(columns["imgPath"]):
            name = PurePosixPath(image).name.replace(f"{SMALL_SUFFIX}.png", ".png")
            path, size = self._picture(split, name)
            for person in range(_num_people(columns, row)):
                record = _record(columns, row, person)
                provenance = Provenance(
                    dataset=self.name,
                    split=split,
                    frame=PurePosixPath(name).stem,
                    subject=PurePosixPath(label(record, "gt_path_smplx")).stem,
                    person=str(person),
                    source_file=unit.files[0],
                    source_row=f"row={row} person={person}",
                    image_path=path,
                    reader=self.name,
                    reader_version=str(self.version),
                    label_origin="synthetic",
                    licence=self.licence,
                )
                try:
                    yield self._person(provenance, name, size, record)
                except MalformedRecord as error:
                    yield Reject(reason="malformed", provenance=provenance, detail=str(error))

    def _frames(self, folder: str, split: str, suffix: str) -> list[str]:
        pattern = re.compile(rf"{split}_(\d+){suffix}\.pkl")
        found = [
            (int(match[1]), path)
            for path in (self.root / folder).glob("*.pkl")
            if (match := pattern.fullmatch(path.name))
        ]
        return [str(path.relative_to(self.root)) for _, path in sorted(found)]

    def _columns(self, file: str) -> dict[str, list[Any]]:
        path = self.root / file
        frame = load_pickle(path)
        names = [name for name in getattr(frame, "columns", ()) if isinstance(name, str)]
        require_keys(dict.fromkeys(names), ("imgPath", *_CAMERA_COLUMNS, *_PERSON_COLUMNS), str(path))
        wanted = ("imgPath", *_CAMERA_COLUMNS, *_PERSON_COLUMNS, *_JOINT_COLUMNS)
        with concerns_file(path):
            if len(set(names)) != len(names):
                raise MalformedRecord.of("columns", "each name once", names)
            columns = {name: frame[name].tolist() for name in wanted if name in names}
            for row, (image, flags) in enumerate(zip(columns["imgPath"], columns["isValid"], strict=True)):
                if not isinstance(image, str):
                    raise MalformedRecord.of(f"imgPath, row {row}", "text", image)
                if not is_listing(flags):
                    raise MalformedRecord.of(f"isValid, row {row}", "one entry a person", flags)
        return columns

    def _picture(self, split: str, name: str) -> tuple[str, tuple[int, int]]:
        """Path and size of the picture that is there: full size before 1280x720.

        Downloads extract to `<split>_0` ... or `<split>`; some tools move everything to `images/<split>`.
        """
        if split not in self._pictures:
            folder_name = re.compile(rf"{split}(_\d+|_images.*)?")
            folders = [
                folder
                for parent in (self.root, self.root / "images")
                if parent.is_dir()
                for folder in sorted(parent.iterdir())
                if folder.is_dir() and folder_name.fullmatch(folder.name)
            ]
            self._pictures[split] = {
                path.name: str(path.relative_to(self.root))
                for folder in reversed(folders)
                for path in folder.glob("*.png")
            }
        there = self._pictures[split]
        small = f"{PurePosixPath(name).stem}{SMALL_SUFFIX}.png"
        if name not in there and small in there:
            return there[small], SMALL_SIZE_PX
        return there.get(name, f"{split}/{name}"), FULL_SIZE_PX

    def _person(
        self, provenance: Provenance, name: str, size_px: tuple[int, int], record: Mapping[str, Any]
    ) -> Annotation | Reject:
        if not flag(record, "isValid"):
            return Reject(
                reason="occluded",
                provenance=provenance,
                detail="the dataset says isValid False",
                numbers={"occlusion_percent": number(record, "occlusion")},
            )
        cam_x, cam_y, cam_z, cam_yaw = (number(record, key) for key in _CAMERA_COLUMNS)
        camera = scene_camera(name, (cam_x, cam_y, cam_z), cam_yaw)
        x, y, z, yaw = (number(record, key) for key in ("X", "Y", "Z", "Yaw"))
        body = self._body(record, scan_to_cam(camera, (x, y, z), yaw))
        width, height = size_px
        focal_px = camera.focal_mm / SENSOR_WIDTH_MM * width
        names = convention("agora_127").names
        points2d: tuple[NamedPoints, ...] = ()
        points3d = None
        if "gt_joints_2d" in record:
            joints_px = floats(record, "gt_joints_2d", 127, 2) * (width / FULL_SIZE_PX[0])
            points2d = (NamedPoints(names=names, values=with_confidence(joints_px), origin="projected", is_exact=True),)
        if "gt_joints_3d" in record:
            joints_m = floats(record, "gt_joints_3d", 127, 3)
            points3d = NamedPoints(names=names, values=with_confidence(joints_m), origin="measured", is_exact=True)
        return Annotation(
            provenance=provenance,
            image=ImageSource(path=provenance.image_path, orientation=1),
            camera=pinhole(np.full(2, focal_px), np.array([width / 2, height / 2]), is_calibrated=True),
            boxes=Boxes(),
            body=body,
            keypoints2d=points2d,
            keypoints3d=points3d,
            image_size_px=size_px,
        )

    def _body(self, record: Mapping[str, Any], to_cam: RigidTransform) -> RawBody:
        inside = _fit_path(record)
        fit = self._fit(f"smplx_gt/{inside}")
        gender = _GENDERS.get(text(record, "gender"))
        if gender is None:
            raise MalformedRecord.of("gender", "male, female or neutral", record["gender"])
        betas, kid_weight = floats(fit, "betas", -1), 0.0
        if is_kid := flag(record, "kid"):
            if len(betas) != 11:
                raise MalformedRecord(f"field 'betas' of a child: expected 11 with the kid weight, found {len(betas)}")
            kid_weight = float(betas[10])
        neutral_betas = None
        # Children's shape needs the kid template, which ten neutral betas cannot express.
        if not is_kid and (self.root / "smplx_gt_neutral_gender").is_dir():
            neutral_betas = floats(self._fit(f"smplx_gt_neutral_gender/{inside}"), "betas", -1)[:10]
            if len(neutral_betas) != 10:
                raise MalformedRecord(f"field 'betas' of the neutral fit: expected 10, found {len(neutral_betas)}")
        has_parts = not inside.parent.name.endswith("_body")
        return RawBody(
            model="smplx",
            gender="neutral" if is_kid and gender == "female" else gender,
            pose_aa=np.concatenate([floats(fit, key, count, 3) for key, count in _POSE]),
            betas=betas[:10],
            transl_m=floats(fit, "transl", 3),
            hands="relative",
            expression=floats(fit, "expression", 10),
            kid_weight=kid_weight,
            to_cam=to_cam,
            neutral_betas=neutral_betas,
            has_left_hand=has_parts,
            has_right_hand=has_parts,
            has_jaw=has_parts,
            has_eyes=has_parts,
            has_expression=has_parts,
        )

    def _fit(self, relative: str) -> Mapping[str, Any]:
        """A fit pickle, kept: a scan appears in many pictures."""
        if relative not in self._fits:
            path = safe_join(self.root, relative)
            if not path.is_file():
                raise RawLayoutError(
                    f"agora: expected the fit {relative} under {self.root}, found none",
                    fix="extract smplx_gt.zip (and smplx_gt_neutral_gender.zip, if its folder is there) completely",
                )
            fit = load_pickle(path)
            if not isinstance(fit, Mapping):
                raise RawFileError(f"{path}: expected a dictionary, found {type(fit).__name__}", file=str(path))
            self._fits[relative] = fit
        return self._fits[relative]


def _num_people(columns: Mapping[str, list[Any]], row: int) -> int:
    """The longest list counts, so that nobody is lost: whom another list lacks is rejected."""
    return max(len(columns[name][row]) for name in _PERSON_COLUMNS if is_listing(columns[name][row]))


def _record(columns: Mapping[str, list[Any]], row: int, person: int) -> dict[str, Any]:
    """What a row says about a person. Columns whose list is too short for the person, or no list, are left out."""
    record = {name: columns[name][row] for name in _CAMERA_COLUMNS}
    for name in (*_PERSON_COLUMNS, *_JOINT_COLUMNS):
        people = columns[name][row] if name in columns else ()
        if is_listing(people) and person < len(people):
            record[name] = people[person]
    return record


def _fit_path(record: Mapping[str, Any]) -> PurePosixPath:
    """Where a fit lies under a folder of fits; the frames say `.obj` or `.pkl`."""
    path = PurePosixPath(text(record, "gt_path_smplx").removeprefix("smplx_gt/"))
    if not path.name:
        raise MalformedRecord.of("gt_path_smplx", "the path of a file", record["gt_path_smplx"])
    return path.with_suffix(".pkl")
