"""AGORA: Avatars in Geography Optimized for Regression Analysis.

Citation: Patel et al., AGORA, CVPR 2021 (arXiv 2104.14643).
Licence: non-commercial research.
Access: registration at agora.is.tue.mpg.de.
Counts: about 14 000 train and 3 000 test pictures, 173 000 person crops, 4 240 scans of which 257 are of children
    (paper abstract); 106 700 train people (SMPLer-X table as recalled, unverified). Validation about 1 000 pictures
    (unverified).
Forms: `smplx` (gendered SMPL-X with 127 joints, default), `smpl` (SMPL/ and smpl_gt/: neutral SMPL with 45 joints, made
    from the SMPL-X fits by the model transfer tool, whose key names and torch tensors they have).
Frame: each scan's own; moved to the OpenCV camera by scan position and yaw (Unreal: centimetres, degrees) and the
    camera.
Units: fits in metres and radians; `gt_joints_2d` in pixels at 3840x2160, scaled here to the pictures that are there.
Hands: relative (offsets to the mean hand), full axis-angle; absent in the form smpl.
Gender: female, male or neutral SMPL-X a person; children use male (boys) or NEUTRAL (girls) with the kid template. The
    form smpl is neutral throughout.
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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject, RigidTransform
from harmonize.keypoints import convention
from harmonize.readers.agora_cameras import scan_to_cam, scene_camera
from harmonize.readers.agora_fits import NEUTRAL_FOLDER, SMPL_FOLDER, SMPLX_FOLDER, Fits, smpl_body, smplx_body
from harmonize.readers.agora_frames import CAMERA_COLUMNS, load_columns, people
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import MalformedRecord, flag, floats, label, number, pinhole, with_confidence
from harmonize.record import BodyKind, Boxes, Provenance

FULL_SIZE_PX = (3840, 2160)
SMALL_SIZE_PX = (1280, 720)
SMALL_SUFFIX = "_1280x720"
SENSOR_WIDTH_MM = 36.0


@dataclass(frozen=True, slots=True)
class _Form:
    """frames: folder of the frames with joints. folders: fits, the needed one first. convention: of the joints."""

    frames: str
    folders: tuple[str, ...]
    path_column: str
    convention: str
    body: Callable[[Mapping[str, Any], Fits, RigidTransform], RawBody]


_FORMS = {
    "smplx": _Form("SMPLX", (SMPLX_FOLDER, NEUTRAL_FOLDER), "gt_path_smplx", "agora_127", smplx_body),
    "smpl": _Form("SMPL", (SMPL_FOLDER,), "gt_path_smpl", "smpl_45", smpl_body),
}


class Agora(Reader):
    """A unit is one DataFrame; the fits it points to are small and shared by many pictures."""

    name = "agora"
    version = 1
    splits = ("train", "validation")
    forms = ("smplx", "smpl")
    body_kinds: ClassVar[tuple[BodyKind, ...]] = ("smplx", "smpl")
    licence: ClassVar[str] = "non-commercial research"

    def __init__(self, root: Path, *, form: str | None = None) -> None:
        super().__init__(root, form=form)
        self._form = _FORMS[self.form]
        self._fits = Fits(self.root)
        self._pictures: dict[str, dict[str, str]] = {}

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        self.require(self._form.folders[0])
        # Which fits a frame needs stands in gigabytes of frame; all fits together are a few thousand small files.
        fits = self._fits.files(*self._form.folders)
        folder = self._form.frames
        frames = self._frames(folder, split, "_withjv") or self._frames("Cam", split, "")
        if not frames:
            self.require(f"{folder}/{split}_0_withjv.pkl", f"Cam/{split}_0.pkl")
        return [Unit(id=Path(frame).stem, files=(frame, *fits)) for frame in frames]

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        columns = load_columns(self.root / unit.files[0], self._form.path_column)
        for row, image in enumerate(columns["imgPath"]):
            name = PurePosixPath(image).name.replace(f"{SMALL_SUFFIX}.png", ".png")
            path, size = self._picture(split, name)
            for person, record in enumerate(people(columns, row)):
                provenance = Provenance(
                    dataset=self.name,
                    split=split,
                    frame=PurePosixPath(name).stem,
                    subject=PurePosixPath(label(record, self._form.path_column)).stem,
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
        cam_x, cam_y, cam_z, cam_yaw = (number(record, key) for key in CAMERA_COLUMNS)
        camera = scene_camera(name, (cam_x, cam_y, cam_z), cam_yaw)
        x, y, z, yaw = (number(record, key) for key in ("X", "Y", "Z", "Yaw"))
        body = self._form.body(record, self._fits, scan_to_cam(camera, (x, y, z), yaw))
        width, height = size_px
        focal_px = camera.focal_mm / SENSOR_WIDTH_MM * width
        names = convention(self._form.convention).names
        points2d: tuple[NamedPoints, ...] = ()
        points3d = None
        if "gt_joints_2d" in record:
            joints_px = floats(record, "gt_joints_2d", len(names), 2) * (width / FULL_SIZE_PX[0])
            points2d = (NamedPoints(names=names, values=with_confidence(joints_px), origin="projected", is_exact=True),)
        if "gt_joints_3d" in record:
            joints_m = floats(record, "gt_joints_3d", len(names), 3)
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
