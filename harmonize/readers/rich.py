"""RICH: Real scenes, Interaction, Contact and Humans.

Citation: Huang et al., Capturing and Inferring Dense Full-Body Human-Scene Contact, CVPR 2022.
Licence: non-commercial research (Max Planck Society; the text was not read again).
Access: registration at rich.is.tue.mpg.de; gender.json comes from the repository paulchhuang/rich_toolkit.
Counts: 62 train, 28 validation and 52 test sequences, of which three have two people; 22 subjects (rich_toolkit
    resource/, counted). 243 400 train people over all views (SMPLer-X table as recalled, unverified).
Frame: the calibrated cameras' common frame, that of the first camera; moved by each camera's [R|t] (world to OpenCV
    camera). It is stored as the world of the camera's extrinsics; its ground is not level.
Units: metres, radians, pixels of the original pictures.
Hands: relative, 12 components of the model's hand space (num_pca_comps=12, flat_hand_mean=False).
Gender: female or male SMPL-X by subject, from gender.json. Betas: 10.
Labels: multi-view (markerless fits to all calibrated cameras), hands and face included.
Known defects:
    - File names say `002`, gender.json says `2`.
    - Two-person sequences have two subjects in their name (`ParkingLot1_004_005_...`): only its first part, the scene,
      is used here. "Pavallion" is the spelling everywhere.
    - The moving camera (cam_10 in some sequences) is not calibrated (rich_toolkit issue 7), so it has no people here.
      mmhuman3d removes such cameras from the list it walks through, and so skips the next one too.
    - The toolkit projects without the distortion that its calibration files hold, posepile with it. Pictures are
      taken as distorted here; that is unverified, and a matter of a few pixels.
    - Pictures of some frames and, in test, of most cameras are not released: a camera without a folder has no people,
      a frame missing in a folder is rejected.
    - Contact files are on SMPL vertices and are missing for some frames; mmhuman3d drops those frames. Not used here.
    - Sizes differ between cameras (portrait and landscape), so they are asked of each picture; that pictures of the
      JPEG release have the original size, which the calibration is for, is unverified.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from xml.etree.ElementTree import Element

import numpy as np

from harmonize.annotation import Annotation, ImageSource, Reject, RigidTransform
from harmonize.geometry.cameras import opencv_distortion
from harmonize.raw.jsons import load_json
from harmonize.raw.xmls import load_xml
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import Floats, MalformedRecord, concerns_file
from harmonize.readers.pictures import names_in
from harmonize.readers.smplifyx import gender_of, load_fit, smplx_body
from harmonize.record import Boxes, Camera, Gender, Provenance

MAX_CALIBRATION_BYTES = 1 << 20

_EXTENSIONS = ("bmp", "png", "jpeg", "jpg")
_PNG_SCENES = ("Pavallion", "LectureHall")
"""The others' original pictures are BMP files (rich_toolkit resource/imgext.json)."""


@dataclass(frozen=True, slots=True)
class _View:
    """A calibrated camera of a sequence. folder: its pictures; pictures: their names, None where none are at hand."""

    number: int
    folder: str
    pictures: frozenset[str] | None
    camera: Camera


class Rich(Reader):
    """A unit is one sequence with all its calibrated cameras; each fit is read once for all of them."""

    name = "rich"
    version = 1
    splits = ("train", "val", "test")
    forms = ("pkl",)
    licence: ClassVar[str] = "non-commercial research"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        # As unpacked from the site's archives, and as the toolkit arranges it.
        bodies = self.require(f"bodies/{split}", f"{split}_body")
        genders = str(self._gender_file().relative_to(self.root))
        units = []
        for folder in sorted(path for path in bodies.iterdir() if path.is_dir()):
            fits = sorted(str(path.relative_to(self.root)) for path in folder.glob("*/*.pkl"))
            calibrations = self._calibrations(split, folder.name)
            files = (genders, *calibrations.values(), *fits)
            units.append(Unit(id=folder.name, files=files, num_hint=len(fits) * len(calibrations)))
        if not any(unit.num_hint for unit in units):
            self.require(f"bodies/{split}/<sequence>/<frame>/<subject>.pkl")
        return units

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        genders = _genders(self._gender_file())
        views = [
            _View(number, folder, names_in(self.root / folder), _camera(self.root / file))
            for number, file in self._calibrations(split, unit.id).items()
            for folder in (self._picture_folder(split, unit.id, number),)
        ]
        for file in unit.files:
            if file.endswith(".pkl"):
                fit = load_fit(self.root / file)
                for view in views:
                    yield self._person(split, unit.id, Path(file), fit, genders, view)

    def _gender_file(self) -> Path:
        return self.require("resource/gender.json", "gender.json")

    def _calibrations(self, split: str, sequence: str) -> dict[int, str]:
        """Camera number -> calibration file, of the cameras whose pictures are there; of all where none are at hand."""
        folder = self.require(f"scan_calibration/{sequence.split('_')[0]}/calibration")
        files = {
            int(path.stem): str(path.relative_to(self.root))
            for path in sorted(folder.glob("*.xml"))
            if re.fullmatch(r"\d+", path.stem)
        }
        if not files:
            self.require(f"{folder.relative_to(self.root)}/000.xml")
        pictured = {n: f for n, f in files.items() if (self.root / self._picture_folder(split, sequence, n)).is_dir()}
        return pictured or files

    def _picture_folder(self, split: str, sequence: str, number: int) -> str:
        nested, flat = (f"{parent}{split}/{sequence}/cam_{number:02d}" for parent in ("images/", ""))
        return flat if (self.root / flat).is_dir() else nested

    def _person(
        self, split: str, sequence: str, file: Path, fit: Mapping[str, Any], genders: Mapping[str, Gender], view: _View
    ) -> Annotation | Reject:
        frame, subject = file.parent.name, file.stem
        stem = f"{frame}_{view.number:02d}"
        names = [f"{stem}.{extension}" for extension in _EXTENSIONS]
        usual = f"{stem}.{'png' if sequence.startswith(_PNG_SCENES) else 'bmp'}"
        there = next((name for name in names if name in (view.pictures or ())), usual)
        provenance = Provenance(
            dataset=self.name,
            split=split,
            sequence=f"{sequence}/cam_{view.number:02d}",
            frame=frame,
            subject=subject,
            person=subject,
            source_file=str(file),
            image_path=f"{view.folder}/{there}",
            reader=self.name,
            reader_version=str(self.version),
            label_origin="multi-view",
            licence=self.licence,
        )
        if view.pictures is not None and there not in view.pictures:
            return Reject(reason="image-missing", provenance=provenance, detail=f"no {stem}.* in {view.folder}")
        camera = view.camera
        to_cam = RigidTransform(rotmat=camera.world_to_cam_rotmat, transl_m=camera.world_to_cam_transl_m)
        try:
            gender = genders.get(subject.lstrip("0") or "0")
            if gender is None:
                raise MalformedRecord.of("subject", f"one of {', '.join(genders)}", subject)
            body = smplx_body(fit, gender, to_cam)
        except MalformedRecord as error:
            return Reject(reason="malformed", provenance=provenance, detail=str(error))
        return Annotation(
            provenance=provenance,
            image=ImageSource(path=provenance.image_path),
            camera=camera,
            boxes=Boxes(),
            body=body,
        )


def _genders(path: Path) -> dict[str, Gender]:
    record = load_json(path)
    with concerns_file(path):
        if not isinstance(record, Mapping):
            raise MalformedRecord.of("gender.json", "subject: gender", record)
        return {subject: gender_of(gender) for subject, gender in record.items()}


def _camera(path: Path) -> Camera:
    """A calibration in OpenCV's XML storage."""
    root = load_xml(path, max_bytes=MAX_CALIBRATION_BYTES)
    with concerns_file(path):
        rotmat, transl = np.split(_matrix(root, "CameraMatrix", 3, 4), [3], axis=1)
        intrinsics = _matrix(root, "Intrinsics", 3, 3)
        coefficients = _matrix(root, "Distortion", -1)
        # The toolkit reads k1 and k2 alone; a file that has no more than these is filled up.
        coefficients = np.pad(coefficients, (0, max(0, 4 - len(coefficients))))
        try:
            distortion = opencv_distortion(coefficients)
        except ValueError as error:
            raise MalformedRecord(str(error)) from error
    return Camera(
        focal_px=intrinsics[[0, 1], [0, 1]].astype(np.float32),
        principal_point_px=intrinsics[:2, 2].astype(np.float32),
        distortion=distortion.astype(np.float32),
        world_to_cam_rotmat=rotmat.astype(np.float32),
        world_to_cam_transl_m=transl[:, 0].astype(np.float32),
        has_intrinsics=True,
        is_calibrated=True,
        has_extrinsics=True,
    )


def _matrix(root: Element, name: str, *shape: int) -> Floats:
    words = root.findtext(f"./{name}/data", "").split()
    try:
        return np.array([float(word) for word in words]).reshape(shape)
    except ValueError:
        raise MalformedRecord.of(name, f"numbers of shape {shape}", " ".join(words)) from None
