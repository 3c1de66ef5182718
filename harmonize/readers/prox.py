"""PROX: Proximal Relationships with Object eXclusion.

Citation: Hassan, Choutas, Tzionas, Black, Resolving 3D Human Pose Ambiguities with 3D Scene Constraints, ICCV 2019.
Licence: non-commercial research.
Access: registration at prox.is.tue.mpg.de.
Counts: qualitative: about 100 000 frames of 60 recordings, 20 subjects, 12 scenes; quantitative: 180 frames of one
    subject (PROX README). 88 500 train people (SMPLer-X table as recalled, unverified).
Frame: qualitative: OpenCV colour camera, parameters are in it already. quantitative: Vicon, moved by vicon2scene.json
    and the inverse of cam2world/<scene>.json (camera to scene). The scene is the world of the camera's extrinsics.
Units: metres, radians, pixels of the picture as it is shown: mirrored.
Hands: relative, 12 components of the model's hand space (num_pca_comps=12, flat_hand_mean=False).
Gender: male SMPL-X but for the subjects 162, 3452, 159 and 3403, who are female (a list in the official code alone);
    quantitative: male. Betas: 10.
Labels: qualitative: fit (PROXD: SMPLify-X on one RGB-D picture with scene constraints; it jitters, hands and face are
    weak). quantitative: capture (MoSh++).
Known defects:
    - Pictures are stored mirrored (Kinect SDK) and every official program turns them: orientation 2. Parameters and
      OpenPose points refer to the turned picture.
    - Fits and projections use constant intrinsics without distortion, not those of calibration/Color.json.
    - The class splits are by way of labelling; the release has none for training and testing. One recording is one
      subject in one scene, so split by recording.
    - OpenPose finds other people too: the one around the fitted pelvis is taken, if within a metre.
    - Frame names have dots in them (`s001_frame_00001__00.00.00.029`), so they are compared whole.
    - Frames without a fit have nobody. A fit whose picture is missing in an existing folder is rejected.
    - Whether the MoSh bodies have measured hands and faces is unverified: parts that are exactly zero are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject, RigidTransform
from harmonize.raw.jsons import load_json
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import MalformedRecord, concerns_file, pinhole, shaped
from harmonize.readers.openpose import nearest, people_of
from harmonize.readers.pictures import names_in
from harmonize.readers.rigid import inverse, rigid, then
from harmonize.readers.smplifyx import about_pelvis_m, load_fit, smplx_body
from harmonize.record import Boxes, Camera, Gender, LabelOrigin, Provenance

SIZE_PX = (1920, 1080)
FOCAL_PX = (1060.53, 1060.38)
PRINCIPAL_POINT_PX = (951.30, 536.77)
MIRRORED = 2  # EXIF code
FEMALE_SUBJECTS = (159, 162, 3403, 3452)
REACH_M = 1.0
"""Body points of the fitted person lie, on average, less than this from the pelvis."""

_BASES = {"qualitative": "prox_qualitative_dataset/", "quantitative": "prox_quantitative_dataset/"}
_ORIGINS: dict[str, LabelOrigin] = {"qualitative": "fit", "quantitative": "capture"}
_MOSH = "fittings/mosh"


class Prox(Reader):
    """A unit is one recording."""

    name = "prox"
    version = 1
    splits = ("qualitative", "quantitative")
    forms = ("pkl",)
    licence: ClassVar[str] = "non-commercial research"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        base, folder = self._base(split), self._fits(split)
        units = []
        for recording in _recordings(self.root / folder):
            fits = sorted((self.root / folder / recording / "results").glob("*/000.pkl"))
            points = names_in(self.root / base / "keypoints" / recording) or frozenset()
            files = list(self._calibration(split, recording))
            for fit in fits:
                files.append(str(fit.relative_to(self.root)))
                if (name := _points_name(fit.parent.name)) in points:
                    files.append(f"{base}keypoints/{recording}/{name}")
            units.append(Unit(id=recording, files=tuple(files), num_hint=len(fits)))
        if not any(unit.num_hint for unit in units):
            self.require(f"{folder}/<recording>/results/<frame>/000.pkl")
        return units

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        base = self._base(split)
        to_cam, camera = None, pinhole(np.array(FOCAL_PX), np.array(PRINCIPAL_POINT_PX), is_calibrated=True)
        calibration = [self.root / file for file in self._calibration(split, unit.id)]
        if calibration:
            scene_to_cam = inverse(_matrix(calibration[0]))
            camera = replace(
                camera,
                world_to_cam_rotmat=scene_to_cam.rotmat.astype(np.float32),
                world_to_cam_transl_m=scene_to_cam.transl_m.astype(np.float32),
                has_extrinsics=True,
            )
            to_cam = then(_matrix(calibration[1]), scene_to_cam) if split == "quantitative" else None
        pictures = names_in(self.root / base / "recordings" / unit.id / "Color")
        listed = frozenset(unit.files)
        for file in (file for file in unit.files if file.endswith(".pkl")):
            frame = Path(file).parent.name
            points = f"{base}keypoints/{unit.id}/{_points_name(frame)}"
            yield self._person(split, unit.id, file, points if points in listed else None, pictures, to_cam, camera)

    def _base(self, split: str) -> str:
        """The dataset's folder, or nothing where the root is that folder itself."""
        return _BASES[split] if (self.root / _BASES[split]).is_dir() else ""

    def _fits(self, split: str) -> str:
        """The folder that has a folder for each recording."""
        base = self._base(split)
        if split == "quantitative":
            self.require(f"{base}{_MOSH}")
            return f"{base}{_MOSH}"
        methods = [path.name for path in sorted((self.root / base / "fittings").glob("*")) if path.name != "mosh"]
        # The fits of the download page, and as the README's tree has them.
        folders = ["PROXD", "fittings/PROXD", *(f"fittings/{method}" for method in methods), "fittings"]
        for folder in folders:
            if _recordings(self.root / base / folder):
                return f"{base}{folder}"
        expected = (f"{base}{folder}/<recording>/results" for folder in ("PROXD", "fittings/PROXD", "fittings"))
        return str(self.require(*expected).relative_to(self.root))

    def _calibration(self, split: str, recording: str) -> list[str]:
        """Camera to scene, which the pictures do not need and copies of the fits alone lack, and Vicon to scene."""
        base = self._base(split)
        to_scene = f"{base}cam2world/{recording.split('_')[0]}.json"
        if split == "qualitative":
            return [to_scene] if (self.root / to_scene).is_file() else []
        files = [to_scene, f"{base}vicon2scene.json"]
        for file in files:
            self.require(file)
        return files

    def _person(
        self,
        split: str,
        recording: str,
        file: str,
        points_file: str | None,
        pictures: frozenset[str] | None,
        to_cam: RigidTransform | None,
        camera: Camera,
    ) -> Annotation | Reject:
        frame = Path(file).parent.name
        provenance = Provenance(
            dataset=self.name,
            split=split,
            sequence=recording,
            frame=frame,
            subject=_subject(recording),
            person="0",
            source_file=file,
            image_path=f"{self._base(split)}recordings/{recording}/Color/{frame}.jpg",
            reader=self.name,
            reader_version=str(self.version),
            label_origin=_ORIGINS[split],
            licence=self.licence,
        )
        fit = load_fit(self.root / file)
        people = [] if points_file is None else people_of(self.root / points_file)
        if pictures is not None and f"{frame}.jpg" not in pictures:
            return Reject(reason="image-missing", provenance=provenance, detail=provenance.image_path)
        try:
            body = smplx_body(fit, _gender(split, recording), to_cam)
        except MalformedRecord as error:
            return Reject(reason="malformed", provenance=provenance, detail=str(error))
        return Annotation(
            provenance=provenance,
            image=ImageSource(path=provenance.image_path, orientation=MIRRORED),
            camera=camera,
            boxes=Boxes(),
            body=body,
            keypoints2d=_detected(people, body),
            image_size_px=SIZE_PX,
        )


def _detected(people: list[NamedPoints], body: RawBody) -> tuple[NamedPoints, ...]:
    """The detection of the fitted person, if there is one."""
    x, y, depth = about_pelvis_m(body)
    if not depth > 0:
        return ()
    focal, centre = np.array(FOCAL_PX), np.array(PRINCIPAL_POINT_PX)
    chosen = nearest(people, focal * [x / depth, y / depth] + centre, within_px=focal[0] * REACH_M / depth)
    return () if chosen is None else (chosen,)


def _recordings(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob("*/results") if path.is_dir())


def _points_name(frame: str) -> str:
    return f"{frame}_keypoints.json"


def _subject(recording: str) -> str:
    """The number in <scene>_<subject>_<sequence>, as written; empty for other names."""
    match = re.fullmatch(r".+_(\d+)_\d+", recording)
    return match[1] if match else ""


def _gender(split: str, recording: str) -> Gender:
    subject = _subject(recording)
    if split == "qualitative" and not subject:
        raise MalformedRecord.of("recording", "<scene>_<subject>_<sequence>", recording)
    return "female" if split == "qualitative" and int(subject) in FEMALE_SUBJECTS else "male"


def _matrix(path: Path) -> RigidTransform:
    matrix: Any = load_json(path)
    with concerns_file(path):
        if isinstance(matrix, Mapping):
            raise MalformedRecord.of("matrix", "4x4 numbers", matrix)
        return rigid(shaped(matrix, "matrix", 4, 4), "matrix")
