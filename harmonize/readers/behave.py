"""BEHAVE: Dataset and Method for Tracking Human Object Interactions.

Citation: Bhatnagar, Xie, Petrov, Sminchisescu, Theobalt, Pons-Moll, BEHAVE, CVPR 2022 (arXiv 2204.06950).
Licence: non-commercial research, education and art; faces must be blurred where pictures are shown.
Access: open download from the project page of the Virtual Humans group.
Counts: about 15 000 annotated frames at 1 fps with 4 pictures each, 8 subjects, 20 objects (paper abstract); 231 train
    and 90 test sequences (README). 44 400 train people (SMPLer-X table as recalled, unverified).
Frame: the colour camera of Kinect 1, OpenCV axes; moved by the inverse of each Kinect's config.json, which maps from
    the camera to that frame. It is the world of the camera's extrinsics.
Units: metres, radians, pixels of the pictures as they are: distorted.
Hands: absolute (the authors' layer takes the values as they are), fit quality limited.
Gender: female or male SMPL-H (MANO v1.2), from info.json. Betas: 10.
Labels: multi-view (fits to four Kinects' RGB-D). No face.
Forms: `frames` (default, person_fit.pkl at 1 fps), `30fps` (smpl_fit_all.npz of behave-30fps-params-v1).
Known defects:
    - config.json maps camera to world; inverting it twice is a common mistake.
    - Pictures and OpenPose points are distorted (8 coefficients); mmhuman3d stores such points beside undistorted
      pictures that it makes itself. Here pictures stay as they are and the camera has the lens.
    - Betas are SMPL-H's, not SMPL-X's: the body is fitted, betas are never copied. mmhuman3d's 3D joints come from
      SMPL with those betas and are not used.
    - `kinects` names the Kinects of a sequence (three where it is missing). The authors' code uses its length alone.
    - A frame may lack `person/fit02`: rejected. `fit01` is a step before and is never used.
    - In the 30 fps form a sequence may be cut in two (`<sequence>_part2`); that such a part belongs to the split of
      its sequence is an inference, unverified. Pictures are those that the authors' video2images.py extracts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject, RigidTransform
from harmonize.errors import RawFileError
from harmonize.keypoints import convention
from harmonize.raw.jsons import load_json
from harmonize.raw.npz import load_npz
from harmonize.raw.pickles import load_pickle
from harmonize.readers.base import Reader, Unit
from harmonize.readers.behave_cameras import View, load_view
from harmonize.readers.fields import (
    FIX,
    Floats,
    MalformedRecord,
    concerns_file,
    field,
    floats,
    listing,
    shaped,
)
from harmonize.readers.openpose import points_of
from harmonize.readers.pictures import names_in
from harmonize.readers.smplifyx import gender_of
from harmonize.record import BodyKind, Boxes, Gender, Provenance

FPS30_FOLDER = "behave-30fps-params-v1"
MAX_FIT_BYTES = 64 << 20  # person_fit.pkl may hold the mesh too
DETECTION_PARTS = {"body_joints": 25, "left_hand_joints": 21, "right_hand_joints": 21, "face_joints": 70}

_FRAME = re.compile(r"t\d{4}\.\d{3}")


@dataclass(frozen=True, slots=True)
class _Frame:
    """A moment of a sequence. file, row: where its fit is; fit: pose (156,), betas and trans as stored, None where
    there is none; names: what its folder holds; joints: (25, 4) triangulated OpenPose points in the world."""

    name: str
    file: str
    row: str
    fit: Mapping[str, Any] | None
    names: frozenset[str]
    joints: Floats | None


class Behave(Reader):
    """A unit is one sequence with all its Kinects."""

    name = "behave"
    version = 1
    splits = ("train", "test")
    body_kinds: ClassVar[tuple[BodyKind, ...]] = ("smplh", "smplx")
    forms = ("frames", "30fps")
    licence: ClassVar[str] = "non-commercial research, education and art"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        units = []
        for sequence in self._sequences(split):
            info = self._info_file(sequence)
            _, kinects = _info(self.root / info)
            files = ["split.json", info, *(f for k in kinects for f in self._calibration(sequence, k))]
            is_30fps = self.form == "30fps"
            fits = [self._fit30(sequence)] if is_30fps else self._fits(sequence)
            frames = _frame_times(self.root / fits[0]) if is_30fps else self._frame_folders(sequence)
            points = [file for frame in frames for file in self._point_files(sequence, frame, kinects)]
            units.append(Unit(id=sequence, files=(*files, *fits, *points), num_hint=len(frames) * len(kinects)))
        if not units:
            folder = FPS30_FOLDER if self.form == "30fps" else "sequences"
            self.require(f"{folder}/<sequence of split.json>")
        return units

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        sequence = unit.id
        gender, kinects = _info(self.root / self._info_file(sequence))
        views = [load_view(k, *(self.root / file for file in self._calibration(sequence, k))) for k in kinects]
        has_pictures = any((self.root / "sequences" / sequence).glob("t*/k*.color.jpg"))
        for frame in self._frames(sequence):
            for view in views:
                yield self._person(split, sequence, frame, gender, view, has_pictures)

    def _sequences(self, split: str) -> list[str]:
        """The sequences of a split that are at hand, sorted."""
        path = self.require("split.json")
        record = load_json(path)
        with concerns_file(path):
            names = listing(record, split)
            if not all(isinstance(name, str) and re.fullmatch(r"\w+", name) for name in names):
                raise MalformedRecord.of(split, "names of sequences", names)
        if self.form == "frames":
            return sorted(name for name in names if (self.root / "sequences" / name).is_dir())
        listed = frozenset(names)
        parts = sorted(path.parent.name for path in (self.root / FPS30_FOLDER).glob("*/smpl_fit_all.npz"))
        return [name for name in parts if re.sub(r"_part\d+$", "", name) in listed]

    def _info_file(self, sequence: str) -> str:
        folders = (FPS30_FOLDER, "sequences") if self.form == "30fps" else ("sequences",)
        return str(self.require(*(f"{folder}/{sequence}/info.json" for folder in folders)).relative_to(self.root))

    def _calibration(self, sequence: str, kinect: int) -> tuple[str, str]:
        """Intrinsics and pose of a Kinect; the sequence's date says which pose."""
        date = sequence.split("_")[0]
        files = (f"calibs/intrinsics/{kinect}/calibration.json", f"calibs/{date}/config/{kinect}/config.json")
        for file in files:
            self.require(file)
        return files

    def _frame_folders(self, sequence: str) -> list[str]:
        """Those of the 1 fps release, which end in .000; the others in a folder were extracted from the videos."""
        names = names_in(self.root / "sequences" / sequence) or frozenset()
        return sorted(name for name in names if _FRAME.fullmatch(name) and name.endswith(".000"))

    def _fits(self, sequence: str) -> list[str]:
        files = [_fit_file(sequence, frame) for frame in self._frame_folders(sequence)]
        return [file for file in files if (self.root / file).is_file()]

    def _fit30(self, sequence: str) -> str:
        return f"{FPS30_FOLDER}/{sequence}/smpl_fit_all.npz"

    def _point_files(self, sequence: str, frame: str, kinects: Sequence[int]) -> list[str]:
        folder = f"sequences/{sequence}/{frame}"
        files = [f"{folder}/k{kinect}.color.json" for kinect in kinects] + [f"{folder}/person/person_J3d.json"]
        return [file for file in files if (self.root / file).is_file()]

    def _frames(self, sequence: str) -> Iterator[_Frame]:
        if self.form == "frames":
            for name in self._frame_folders(sequence):
                file = _fit_file(sequence, name)
                is_there = (self.root / file).is_file()
                yield self._frame(sequence, name, file, "", _load_fit(self.root / file) if is_there else None)
            return
        file = self._fit30(sequence)
        names, poses, betas, trans = _load_fits(self.root / file)
        for row, name in enumerate(names):
            fit = {"pose": poses[row], "betas": betas[row], "trans": trans[row]}
            yield self._frame(sequence, name, file, str(row), fit)

    def _frame(self, sequence: str, name: str, file: str, row: str, fit: Mapping[str, Any] | None) -> _Frame:
        folder = self.root / "sequences" / sequence / name
        joints = None
        path = folder / "person/person_J3d.json"
        if path.is_file():
            record = load_json(path)
            with concerns_file(path):
                joints = floats(record, "body_joints3d", 25, 4)
        return _Frame(name, file, row, fit, names_in(folder) or frozenset(), joints)

    def _person(
        self, split: str, sequence: str, frame: _Frame, gender: Gender, view: View, has_pictures: bool
    ) -> Annotation | Reject:
        folder, picture = f"sequences/{sequence}/{frame.name}", f"k{view.number}.color.jpg"
        provenance = Provenance(
            dataset=self.name,
            split=split,
            sequence=f"{sequence}/k{view.number}",
            frame=frame.name,
            subject=sequence.split("_")[1] if "_" in sequence else "",
            person="0",
            source_file=frame.file,
            source_row=frame.row,
            image_path=f"{folder}/{picture}",
            reader=self.name,
            reader_version=str(self.version),
            label_origin="multi-view",
            licence=self.licence,
        )
        points = None
        if f"k{view.number}.color.json" in frame.names:
            path = self.root / folder / f"k{view.number}.color.json"
            record = load_json(path)
            with concerns_file(path):
                points = points_of(record, DETECTION_PARTS)
        if frame.fit is None:
            return Reject(reason="no-fit", provenance=provenance, detail=f"no {frame.file}")
        if has_pictures and picture not in frame.names:
            return Reject(reason="image-missing", provenance=provenance, detail=provenance.image_path)
        try:
            body = _body(frame.fit, gender, view.from_world)
        except MalformedRecord as error:
            return Reject(reason="malformed", provenance=provenance, detail=str(error))
        return Annotation(
            provenance=provenance,
            image=ImageSource(path=provenance.image_path),
            camera=view.camera,
            boxes=Boxes(),
            body=body,
            keypoints2d=() if points is None else (points,),
            keypoints3d=None if frame.joints is None else _in_camera(frame.joints, view.from_world),
            image_size_px=view.size_px,
        )


def _fit_file(sequence: str, frame: str) -> str:
    return f"sequences/{sequence}/{frame}/person/fit02/person_fit.pkl"


def _load_fit(path: Path) -> Mapping[str, Any]:
    fit = load_pickle(path, max_bytes=MAX_FIT_BYTES)
    if not isinstance(fit, Mapping):
        raise RawFileError(f"{path}: expected a dictionary, found {type(fit).__name__}", fix=FIX, file=str(path))
    return fit


def _load_fits(path: Path) -> tuple[list[str], Floats, Floats, Floats]:
    """Names of frames, pose (F, 156), betas (F, n) and trans (F, 3) of the 30 fps form."""
    names, rows = _frame_times(path), load_npz(path, keys=("poses", "betas", "trans"))
    with concerns_file(path):
        poses, trans = (shaped(rows[key], key, len(names), size) for key, size in (("poses", 156), ("trans", 3)))
        return names, poses, shaped(rows["betas"], "betas", len(names), -1), trans


def _frame_times(path: Path) -> list[str]:
    times = load_npz(path, keys=("frame_times",))["frame_times"]
    with concerns_file(path):
        names: list[str] = (times.astype(str) if times.dtype.kind == "S" else times).tolist()
        if times.ndim != 1 or not all(isinstance(name, str) and _FRAME.fullmatch(name) for name in names):
            raise MalformedRecord.of("frame_times", "names of frames like t0003.000", names)
        if len(set(names)) != len(names):
            raise MalformedRecord.of("frame_times", "each frame once", f"{len(names) - len(set(names))} repeated")
        return names


def _info(path: Path) -> tuple[Gender, list[int]]:
    """Gender of the subject, and the Kinects of a sequence."""
    record = load_json(path)
    with concerns_file(path):
        gender = gender_of(field(record, "gender"))
        kinects = listing(record, "kinects") if "kinects" in record else (0, 1, 2)
        if not kinects or not all(type(kinect) is int and 0 <= kinect <= 9 for kinect in kinects):
            raise MalformedRecord.of("kinects", "numbers of Kinects", kinects)
    return gender, sorted(set(kinects))


def _body(fit: Mapping[str, Any], gender: Gender, to_cam: RigidTransform) -> RawBody:
    pose = floats(fit, "pose", 52, 3)
    return RawBody(
        model="smplh",
        gender=gender,
        pose_aa=pose,
        betas=floats(fit, "betas", -1)[:10],
        transl_m=floats(fit, "trans", 3),
        hands="absolute",
        to_cam=to_cam,
        has_left_hand=bool(pose[22:37].any()),
        has_right_hand=bool(pose[37:].any()),
    )


def _in_camera(joints: Floats, from_world: RigidTransform) -> NamedPoints:
    points = joints[:, :3] @ from_world.rotmat.T + from_world.transl_m
    confidence = np.clip(joints[:, 3:], 0.0, 1.0)
    return NamedPoints(
        names=convention("openpose_25").names,
        values=np.concatenate([np.where(confidence > 0, points, 0.0), confidence], axis=1),
        origin="measured",
    )
