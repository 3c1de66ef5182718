"""Human3.6M.

Citation: Ionescu, Papava, Olaru, Sminchisescu, Human3.6M, TPAMI 2014; Moon et al., NeuralAnnot, CVPRW 2022 (arXiv
    2011.11232).
Licence: own end-user licence, research and non-commercial; no redistribution, also not of fits.
Access: account with manual approval at vision.imar.ro/human3.6m; the parsed release through mks0601's repositories.
Counts: 3.6 million poses; 7 subjects with public labels (5 train, 2 test), 15 actions, 2 sub-actions, 4 cameras;
    312 188 train people after every fifth frame (SMPLer-X assets/factor_data.pdf; that the marker is this dataset is
    unverified).
Frame: fits and json joints: world, moved by each camera (R X + t). cdf: camera.
Units: json and cdf joints and `t` in millimetres, fits in metres; pixels of the whole picture.
Hands: absent. No hand or face was labelled; the mesh that the fits were made with shows the mean hand.
Gender: neutral SMPL-X (or SMPL in its form). Betas: 10. Rotations of wrists and ankles are marked as unknown.
Labels: neuralannot; capture (markers) where there are joints alone.
Forms: `neuralannot` (SMPL-X fits, default), `neuralannot_smpl`, `cdf` (official archives: joints and videos, no body).
Known defects:
    - The generator of the json (3DMPPE_POSENET_RELEASE tool/Human36M/h36m2coco.py) writes the camera's centre as `t`,
      every reader uses R X + t (I2L-MeshNet issue 130). Which one a file means is decided by where the joints fall.
    - `frame_idx` counts from 0, file names from 1.
    - The right leg comes first (h36m_mmpose_17); mmhuman3d's H36mNeuralConverter takes it for the left one.
    - S11 Directions 2 (as the json counts; the file is Directions.54138969) has a corrupt video: rejected.
    - S9 SittingDown 1, Waiting 1 and Greeting are shifted: corrected by -200 mm on the world's x (isarandi/posepile
      src/posepile/ds/h36m/main.py), the fits with them, as they follow the joints; their boxes are not used.
    - The pictures are raw frames, and the parsed release has no lens coefficients: without metadata.xml in the root its
      camera is a pinhole, off by up to 3 px (5 px at the border); with it, the lens is used in every form, and puts
      joints within 0.0001 px of the labels of open-mmlab/mmpose's test data.
    - Sizes differ by camera AND subject (1000 x 1000 or 1000 x 1002): they are those of the json, or of the video.
    - Not every frame has a fit (I2L-MeshNet issue 34): such people keep their joints and have no body.
    - The masks of MySegmentsMat are not read: boxes follow from the joints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, Reject, VideoFrame
from harmonize.errors import RawLayoutError
from harmonize.geometry.boxes import scaled
from harmonize.keypoints import convention
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import Floats, MalformedRecord, box, concerns_file
from harmonize.readers.h36m_official import CAMERAS, metadata, positions
from harmonize.readers.world_fits import WorldCamera, measured_points, projected_points, world_body
from harmonize.readers.world_release import Layout, Release, Row, release_reader
from harmonize.record import Array, BodyKind, Boxes, Provenance

SUBJECTS = {"train": (1, 5, 6, 7, 8), "test": (9, 11)}
CORRUPT = (11, "54138969", ("Directions", "Directions 2"), (2, 2))
SHIFTED = {"SittingDown 1": (10, 2), "Waiting 1": (13, 1), "Greeting": (5, 2)}
"""Of S9: names in the official archives, and (action, sub-action) in the parsed release."""
SHIFT_M = np.array([-0.2, 0.0, 0.0])
JSON_BOX_PADDING = 1.2
MAX_LENS_DIFFERENCE_PX = 0.1
_NAMES = convention("h36m_mmpose_17").names
_SEQUENCE = re.compile(r"s_(\d\d)_act_(\d\d)_subact_(\d\d)_ca_(\d\d)")
_METADATA = "metadata.xml"
_LAYOUT = Layout(("action_idx", "subaction_idx", "cam_idx"), 1, "f", "c")
_MODELS: dict[str, BodyKind] = {"neuralannot": "smplx", "neuralannot_smpl": "smpl"}
_RELEASES = {form: release_reader(_LAYOUT, model) for form, model in _MODELS.items()}


class H36m(Reader):
    """A unit is one action seen by one camera. The json files of a subject are streamed once a process."""

    name = "h36m"
    version = 1
    splits = ("train", "test")
    forms = ("neuralannot", "neuralannot_smpl", "cdf")
    body_kinds: ClassVar[tuple[BodyKind, ...]] = ("smplx", "smpl")
    licence: ClassVar[str] = "non-commercial research (Human3.6M end-user licence)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        return self._official_units(split) if self.form == "cdf" else self._release_units(split)

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        yield from self._official(split, unit) if self.form == "cdf" else self._release(split, unit)

    def _provenance(
        self, split: str, unit: Unit, sequence: str, frame: int, row: str, image: str, origin: str
    ) -> Provenance:
        found = re.match(r"s_0*(\d+)|S(\d+)", sequence)
        return Provenance(
            dataset=self.name,
            split=split,
            sequence=sequence,
            frame=f"{frame:06d}",
            subject=f"S{found[1] or found[2]}" if found else "",
            person="0",
            source_file=unit.files[0],
            source_row=row,
            image_path=image,
            reader=self.name,
            reader_version=str(self.version),
            label_origin=origin,
            licence=self.licence,
        )

    # The parsed release.

    def _release_files(self, subject: int) -> tuple[str, ...]:
        kinds = ("data", "camera", "joint_3d", f"{_MODELS[self.form].upper()}_NeuralAnnot")
        files = tuple(f"annotations/Human36M_subject{subject}_{kind}.json" for kind in kinds)
        for file in files:
            self.require(file)
        return files

    def _subject(self, files: tuple[str, ...]) -> Release:
        return _RELEASES[self.form](*(self.root / file for file in files))

    def _release_units(self, split: str) -> list[Unit]:
        there = [n for n in SUBJECTS[split] if (self.root / f"annotations/Human36M_subject{n}_data.json").is_file()]
        if not there:
            self.require(*(f"annotations/Human36M_subject{n}_data.json" for n in SUBJECTS[split]))
        lens = (_METADATA,) if (self.root / _METADATA).is_file() else ()
        units = []
        for number in there:
            files = self._release_files(number)
            for sequence, rows in sorted(self._subject(files).rows.items()):
                action, subaction, camera = sequence
                name = f"s_{number:02d}_act_{action:02d}_subact_{subaction:02d}_ca_{camera:02d}"
                units.append(Unit(id=name, files=(*files, *lens), num_hint=len(rows)))
        return units

    def _release(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        found = _SEQUENCE.fullmatch(unit.id)
        assert found is not None, unit.id
        number, action, subaction, camera = map(int, found.groups())
        subject = self._subject(unit.files[:4])
        shift = SHIFT_M if number == 9 and (action, subaction) in SHIFTED.values() else np.zeros(3)
        is_corrupt = (number, (action, subaction)) == (CORRUPT[0], CORRUPT[3]) and camera == 1
        rows = subject.rows[action, subaction, camera]
        lens = subject.camera((action, subaction, camera))
        distortion = None
        if isinstance(lens, WorldCamera):
            seen = [points for points, _ in map(subject.of_frame, rows) if isinstance(points, np.ndarray)]
            lens = with_meant_translation(lens, np.array(seen).reshape(-1, 3), rows[0].picture.size_px)
            distortion = self._lens(lens, camera)
        for row in rows:
            frame = row.picture.frame
            points, fit = subject.of_frame(row)
            file = row.picture.file_name
            path = f"images/{file}" if "/" in file else f"images/{unit.id}/{file}"
            origin = "capture" if fit is None or isinstance(fit, str) else "neuralannot"
            provenance = self._provenance(split, unit, unit.id, frame + 1, f"id={row.id}", path, origin)
            problem = next((item for item in (row.why, lens, points, fit) if isinstance(item, str) and item), None)
            counted = re.search(r"(\d{1,9})\D*$", PurePosixPath(file).name)
            if problem is None and (counted is None or int(counted[1]) != frame + 1):
                problem = f"file_name {file!r}: expected the number {frame + 1}, as frame_idx is {frame}"
            if is_corrupt:
                yield Reject(reason="corrupt-video", provenance=provenance, detail="the release's video is damaged")
            elif problem is not None or not isinstance(lens, WorldCamera):
                yield Reject(reason="malformed", provenance=provenance, detail=problem or "")
            else:
                assert not isinstance(points, str)
                assert not isinstance(fit, str)
                yield self._person(provenance, row, points, fit, lens, shift, distortion)

    def _lens(self, camera: WorldCamera, index: int) -> Floats | None:
        """The lens of metadata.xml, where that is at hand and means the same camera."""
        if not (self.root / _METADATA).is_file() or not 1 <= index <= len(CAMERAS):
            return None
        official = metadata(self.root / _METADATA)
        name = CAMERAS[index - 1]
        known = official.cameras.get((1, name))
        given = np.concatenate([camera.focal_px, camera.principal_point_px])
        if known is None or np.abs(np.concatenate([known.focal_px, known.principal_point_px]) - given).max() > (
            MAX_LENS_DIFFERENCE_PX
        ):
            return None
        return official.lenses[name]

    def _person(
        self,
        provenance: Provenance,
        row: Row,
        points: Array | None,
        fit: Array | None,
        camera: WorldCamera,
        shift: Floats,
        distortion: Floats | None,
    ) -> Annotation:
        given = None if points is None else camera.to_cam(points + shift)
        is_shifted, visible = bool(shift.any()), 1.0 if row.visible is None else row.visible
        person_box = np.zeros(5, np.float32)
        if row.box_xywh is not None and not is_shifted:
            person_box = scaled(box(row.box_xywh), 1 / JSON_BOX_PADDING)
        return Annotation(
            provenance=provenance,
            image=ImageSource(path=provenance.image_path, orientation=1),
            camera=camera.record(distortion),
            boxes=Boxes(person_xywh_px=person_box, person_origin="dataset" if person_box[4] else "none"),
            body=None if fit is None else world_body(fit, _MODELS[self.form], camera, shift),
            keypoints2d=()
            if given is None
            else (projected_points(_NAMES, camera.project(given, distortion), visible),),
            keypoints3d=None if given is None else measured_points(_NAMES, given),
            image_size_px=row.picture.size_px,
        )

    # The official archives.

    def _official_units(self, split: str) -> list[Unit]:
        self.require(_METADATA)
        folders = [f"S{number}/MyPoseFeatures" for number in SUBJECTS[split]]
        there = [folder for folder in folders if (self.root / folder).is_dir()]
        if not there:
            self.require(*folders)
        units = []
        for folder in there:
            subject = folder.split("/")[0]
            mono = sorted((self.root / folder / "D3_Positions_mono").glob("*.cdf"))
            world = sorted((self.root / folder / "D3_Positions").glob("*.cdf"))
            if not mono and not world:
                self.require(f"{folder}/D3_Positions_mono/<Action>.<camera>.cdf")
            of_cameras = [(path.stem, path) for path in mono] or [
                (f"{path.stem}.{camera}", path) for path in world for camera in CAMERAS
            ]
            for name, path in of_cameras:
                if name.startswith("_ALL"):
                    continue
                flat = f"{folder}/D2_Positions/{name}.cdf"
                is_flat_right = not _is_shifted(subject, name.rpartition(".")[0]) and (self.root / flat).is_file()
                files = [str(path.relative_to(self.root)), *([flat] if is_flat_right else []), _METADATA]
                units.append(Unit(id=f"{subject}/{name}", files=tuple(files)))
        return units

    def _official(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        subject, _, name = unit.id.partition("/")
        action, _, camera_name = name.rpartition(".")
        number = int(subject[1:])
        official = metadata(self.root / _METADATA)
        camera = official.cameras.get((number, camera_name))
        points = positions(self.root / unit.files[0], 3)
        if camera is None:
            raise RawLayoutError(
                f"h36m: {unit.files[0]}: expected a name that ends in a camera of {_METADATA}, found {camera_name!r}",
                fix="remove the file, it is none of the dataset",
            )
        if "/D3_Positions/" in unit.files[0]:
            points = camera.to_cam(points)
        distortion = official.lenses[camera_name]
        if _is_shifted(subject, action):
            points = points + camera.rotmat @ SHIFT_M
        pixels = camera.project(points, distortion)
        if len(unit.files) == 3:
            pixels = positions(self.root / unit.files[1], 2)
            with concerns_file(self.root / unit.files[1]):
                if len(pixels) != len(points):
                    raise MalformedRecord(f"field 'Pose': expected {len(points)} frames, found {len(pixels)}")
        record = camera.record(distortion)
        frames = self.root / f"{subject}/Images/{name}"
        video = f"{subject}/Videos/{name}.mp4"
        is_corrupt = number == CORRUPT[0] and camera_name == CORRUPT[1] and action in CORRUPT[2]
        for frame in range(len(points)):
            image = ImageSource(path=video, video=VideoFrame(index=frame, num_frames=len(points)))
            if frames.is_dir():  # as isarandi/posepile extracts them, counted from 0
                image = ImageSource(path=f"{subject}/Images/{name}/frame_{frame:06d}.jpg", orientation=1)
            provenance = self._provenance(split, unit, unit.id, frame, f"row={frame}", image.name, "capture")
            if is_corrupt:
                yield Reject(reason="corrupt-video", provenance=provenance, detail="the release's video is damaged")
                continue
            yield Annotation(
                provenance=provenance,
                image=image,
                camera=record,
                boxes=Boxes(),
                body=None,
                keypoints2d=(projected_points(_NAMES, pixels[frame]),),
                keypoints3d=measured_points(_NAMES, points[frame]),
            )


def _is_shifted(subject: str, action: str) -> bool:
    return subject == "S9" and action in SHIFTED


def with_meant_translation(camera: WorldCamera, joints_m: Floats, size_px: tuple[int, int]) -> WorldCamera:
    """The camera with `t` read as R X + t, unless more of the joints (N, 3) fall into the picture as R (X - t)."""
    centred = WorldCamera(camera.rotmat, -camera.rotmat @ camera.transl_m, camera.focal_px, camera.principal_point_px)
    shares = []
    for one in (camera, centred):
        with np.errstate(invalid="ignore"):
            pixels = one.project(one.to_cam(joints_m))
            shares.append(((pixels >= 0) & (pixels < np.array(size_px))).all(axis=-1).sum())
    return centred if shares[1] > shares[0] else camera
