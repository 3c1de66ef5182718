"""EgoBody MVSet: two interacting people in pictures of 3 or 5 Azure Kinects.

Citation: Zhang et al., EgoBody: Human Body Shape and Motion of Interacting People from Head-Mounted Devices, ECCV 2022
    (arXiv 2112.07642).
Licence: dataset licence to sign, non-commercial (text unverified).
Access: registration at egobody.inf.ethz.ch.
Counts: 125 recordings, 36 subjects, 15 scenes; frames train 116 630, val 29 140, test 73 961, each with 3 (2021) or 5
    (2022) pictures and 2 people (EgoBody README). 845 900 train people, every tenth frame (SMPLer-X table as recalled,
    unverified).
Frame: the master Kinect's colour camera, whatever the view; moved by the inverse of kinect_1Nto12_color.json (sub
    camera to master). The scene mesh is the world of the camera's extrinsics.
Units: metres, radians, pixels of the pictures as they are: distorted.
Hands: smplx: relative, 12 components of the model's hand space (flat_hand_mean=False). smpl: absent.
Gender: female or male, from data_info_release.csv. Betas: 10.
Labels: multi-view (fits to all Kinects' RGB-D).
Forms: `smplx` (default), `smpl` (fits of their own).
Known defects:
    - Pictures are distorted: the official viewer undistorts them with `camera_mtx` and `k`. Here they stay as they are
      and the camera has the lens. mmhuman3d projects without it onto the distorted pictures.
    - Some pictures of several 2022 recordings are missing (EgoBody issue 10): rejected by name.
    - Frames outside [start_frame, end_frame] are not part of the set. A frame for which one of the two people has no
      fit is not used by the official code either: the other is rejected, unless the release at hand has nobody of that
      role (test camera wearers came later).
    - The README's tree lacks the level `cal_trans`. sub_3 and sub_4 exist since 2022 alone.
    - The camera wearer's face is behind the HoloLens: jaw, eyes and expression are not known.
    - `pose_embedding`, `camera_rotation` and `camera_translation` are left over from the optimisation.
    - No test of visibility: people may be hidden or out of a view; the gate decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, Reject, RigidTransform
from harmonize.geometry.cameras import opencv_distortion
from harmonize.raw.jsons import load_json
from harmonize.readers.base import Reader, Unit
from harmonize.readers.egobody import (
    INFO_FILE,
    SIZE_PX,
    SPLITS_FILE,
    Recording,
    Role,
    body_of,
    calibration_file,
    fits_of,
    load_transform,
    recordings_of,
    scene_file,
    scene_to_master,
)
from harmonize.readers.fields import MalformedRecord, concerns_file, floats
from harmonize.readers.pictures import names_in
from harmonize.readers.rigid import inverse, then
from harmonize.readers.smplifyx import load_fit
from harmonize.record import BodyKind, Boxes, Camera, Provenance

ROLES: tuple[Role, ...] = ("interactee", "camera_wearer")
_KINECTS = {"master": None, "sub_1": "11", "sub_2": "13", "sub_3": "14", "sub_4": "15"}
_IDENTITY = RigidTransform(rotmat=np.eye(3), transl_m=np.zeros(3))


@dataclass(frozen=True, slots=True)
class _View:
    """A Kinect of a recording. pictures: the names of its pictures, None where none are at hand."""

    name: str
    folder: str
    pictures: frozenset[str] | None
    camera: Camera
    from_master: RigidTransform


class EgobodyMvset(Reader):
    """A unit is one recording with all its views and both people; each fit is read once for all views."""

    name = "egobody_mvset"
    version = 1
    splits = ("train", "val", "test")
    body_kinds: ClassVar[tuple[BodyKind, ...]] = ("smplx", "smpl")
    forms = ("smplx", "smpl")
    licence: ClassVar[str] = "non-commercial research (dataset licence to sign)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        units = []
        for recording in recordings_of(self, split):
            fits = self._fits(split, recording)
            if not fits:
                continue
            views = self._view_files(recording)
            scene = scene_file(self, recording)
            files = [INFO_FILE, SPLITS_FILE, *dict.fromkeys(f for files in views.values() for f in files)]
            files += [scene] if scene else []
            for of_role in fits.values():
                files += of_role.values()
            num_fits = sum(map(len, fits.values()))
            units.append(Unit(id=recording.name, files=tuple(files), num_hint=num_fits * len(views)))
        if not units:
            self.require(f"{self.form}_interactee_{split}/<recording>/body_idx_<k>/results/<frame>/000.pkl")
        return units

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        recording = next(one for one in recordings_of(self, split) if one.name == unit.id)
        views, fits = self._views(recording), self._fits(split, recording)
        for number in sorted(set().union(*fits.values())):
            for role, files in fits.items():
                if number in files:
                    is_alone = any(number not in others for others in fits.values())
                    yield from self._person(split, recording, role, number, files[number], views, is_alone)

    def _fits(self, split: str, recording: Recording) -> dict[Role, dict[int, str]]:
        found = {role: fits_of(self.root, self.form, role, split, recording) for role in ROLES}
        return {role: files for role, files in found.items() if files is not None}

    def _folder(self, recording: Recording, view: str) -> str:
        return f"kinect_color/{recording.name}/{view}"

    def _view_files(self, recording: Recording) -> dict[str, tuple[str, ...]]:
        """View -> intrinsics and, but for the master, the map to the master; of the views whose pictures are at hand,
        or of all calibrated ones where none are."""
        folder = self.root / f"kinect_color/{recording.name}"
        found = {}
        for view, label in _KINECTS.items():
            if folder.is_dir() and not (folder / view).is_dir():
                continue
            name = f"kinect_{label}to12_color.json"
            parents = [self.root / "calibrations" / recording.name / level for level in ("cal_trans", "")]
            if label is None or any((parent / name).is_file() for parent in parents):
                color = str(self.require(f"kinect_cam_params/kinect_{view}/Color.json").relative_to(self.root))
                found[view] = (color, *([] if label is None else [calibration_file(self, recording.name, name)]))
        if not found:
            self.require(f"kinect_color/{recording.name}/master")
        return found

    def _views(self, recording: Recording) -> list[_View]:
        scene = scene_file(self, recording)
        world_to_master = scene_to_master(None if scene is None else self.root / scene)
        views = []
        for name, (color, *to_master) in self._view_files(recording).items():
            from_master = inverse(load_transform(self.root / to_master[0])) if to_master else _IDENTITY
            camera = _camera(self.root / color)
            if world_to_master is not None:
                world_to_cam = then(world_to_master, from_master)
                camera = replace(
                    camera,
                    world_to_cam_rotmat=world_to_cam.rotmat.astype(np.float32),
                    world_to_cam_transl_m=world_to_cam.transl_m.astype(np.float32),
                    has_extrinsics=True,
                )
            folder = self._folder(recording, name)
            views.append(_View(name, folder, names_in(self.root / folder), camera, from_master))
        return views

    def _person(
        self,
        split: str,
        recording: Recording,
        role: Role,
        number: int,
        file: str,
        views: list[_View],
        is_alone: bool,
    ) -> Iterator[Annotation | Reject]:
        fit = load_fit(self.root / file)
        frame = Path(file).parent.name
        for view in views:
            provenance = Provenance(
                dataset=self.name,
                split=split,
                sequence=f"{recording.name}/{view.name}",
                frame=frame,
                subject=recording.subject(role),
                person=role,
                source_file=file,
                image_path=f"{view.folder}/{frame}.jpg",
                reader=self.name,
                reader_version=str(self.version),
                label_origin="multi-view",
                licence=self.licence,
            )
            if is_alone:
                yield Reject(reason="partner-missing", provenance=provenance, detail=f"frame {number}: one fit of two")
                continue
            if view.pictures is not None and f"{frame}.jpg" not in view.pictures:
                yield Reject(reason="image-missing", provenance=provenance, detail=provenance.image_path)
                continue
            try:
                body = body_of(fit, self.form, recording.gender(role), view.from_master)
            except MalformedRecord as error:
                yield Reject(reason="malformed", provenance=provenance, detail=str(error))
                continue
            if role == "camera_wearer":
                body = replace(body, has_jaw=False, has_eyes=False, has_expression=False)
            yield Annotation(
                provenance=provenance,
                image=ImageSource(path=provenance.image_path),
                camera=view.camera,
                boxes=Boxes(),
                body=body,
                image_size_px=SIZE_PX,
            )


def _camera(path: Path) -> Camera:
    record = load_json(path)
    with concerns_file(path):
        matrix = floats(record, "camera_mtx", 3, 3)
        coefficients = floats(record, "k", -1)
        try:
            distortion = opencv_distortion(coefficients)
        except ValueError as error:
            raise MalformedRecord(str(error)) from error
    return Camera(
        focal_px=matrix[[0, 1], [0, 1]].astype(np.float32),
        principal_point_px=matrix[:2, 2].astype(np.float32),
        distortion=distortion.astype(np.float32),
        has_intrinsics=True,
        is_calibrated=True,
    )
