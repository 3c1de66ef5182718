"""EgoBody EgoSet: the partner of an interaction, seen from a HoloLens.

Citation: Zhang et al., EgoBody: Human Body Shape and Motion of Interacting People from Head-Mounted Devices, ECCV 2022
    (arXiv 2112.07642).
Licence: dataset licence to sign, non-commercial (text unverified).
Access: registration at egobody.inf.ethz.ch.
Counts: frames train 105 388, val 25 416, test 68 307; with the interactee visible 90 124, 23 332 and 62 155 (EgoBody
    README). 65, 17 and 43 recordings.
Frame: the master Kinect's colour camera; moved by diag(1, -1, -1) . inv(pv2world of the frame) . inv(holo_to_kinect12),
    as the HoloLens camera has y up and looks along -z. The scene mesh is the world of the camera's extrinsics.
Units: metres, radians, pixels.
Hands: smplx: relative, 12 components of the model's hand space (flat_hand_mean=False). smpl: absent.
Gender: female or male, from data_info_release.csv. Betas: 10.
Labels: multi-view (fits to all Kinects' RGB-D). One person a picture: the interactee.
Forms: `smplx` (default), `smpl` (fits of their own).
Known defects:
    - The focal length changes from frame to frame (auto-focus) and is taken from the frame's line of `*_pv.txt`;
      mmhuman3d takes that of the first frame for a whole recording.
    - Some `pv2world` are singular, and some pictures have no line: rejected. The official viewer stops there.
    - `valid_frame.npz` lists all pictures, `keypoints.npz` those with at least 6 detected joints: others are rejected.
      Both, and `*_pv.txt`, hold frames outside [start_frame, end_frame], which are not part of the set.
    - The HoloLens drops frames: fits without a picture are normal and have nobody here.
    - Timestamps have 18 digits and are kept as text: float64 would merge neighbours.
    - Pictures are not mirrored; the official gaze drawing flips x for its own renderer.
    - `center` and `scale` of keypoints.npz are not used: which padding they have is unverified.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, Reject, RigidTransform
from harmonize.raw.npz import load_npz
from harmonize.raw.tables import load_lines
from harmonize.readers.base import Reader, Unit
from harmonize.readers.egobody import (
    INFO_FILE,
    SPLITS_FILE,
    Recording,
    body_of,
    calibration_file,
    fits_of,
    load_transform,
    recordings_of,
    scene_file,
    scene_to_master,
)
from harmonize.readers.fields import MAX_SIDE_PX, Floats, MalformedRecord, concerns_file, shaped
from harmonize.readers.openpose import body_points
from harmonize.readers.pictures import names_in
from harmonize.readers.rigid import inverse, rigid, then
from harmonize.readers.smplifyx import load_fit
from harmonize.record import BodyKind, Boxes, Camera, Provenance

NUM_VALUES = 19  # timestamp, fx, fy, 4x4
OPENGL_TO_OPENCV = RigidTransform(rotmat=np.diag([1.0, -1.0, -1.0]), transl_m=np.zeros(3))

_PICTURE = re.compile(r"(\d+)_frame_(\d{1,9})\.jpg")


@dataclass(frozen=True, slots=True)
class _Film:
    """One HoloLens recording. principal_point_px (2,); frames: timestamp -> fx, fy and pv2world (18,); detections:
    picture -> (25, 3); valid: picture -> whether the interactee was detected, in the file's order; pictures: names of
    those at hand, None where none are."""

    folder: str
    principal_point_px: Floats
    size_px: tuple[int, int]
    frames: dict[str, Floats]
    detections: dict[str, Floats]
    valid: dict[str, bool]
    pictures: frozenset[str] | None


class EgobodyEgoset(Reader):
    """A unit is one recording."""

    name = "egobody_egoset"
    version = 1
    splits = ("train", "val", "test")
    body_kinds: ClassVar[tuple[BodyKind, ...]] = ("smplx", "smpl")
    forms = ("smplx", "smpl")
    licence: ClassVar[str] = "non-commercial research (dataset licence to sign)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        units = []
        for recording in recordings_of(self, split):
            fits = fits_of(self.root, self.form, "interactee", split, recording)
            if fits is None:
                continue
            scene = scene_file(self, recording)
            files = [INFO_FILE, SPLITS_FILE, calibration_file(self, recording.name, "holo_to_kinect12.json")]
            files += [scene] if scene else []
            shown: set[int] = set()
            for folder in self._folders(recording):
                files += self._film_files(folder)
                shown |= {number for _, _, number in _covered(self._valid(folder), recording)}
            used = [file for number, file in fits.items() if number in shown]
            units.append(Unit(id=recording.name, files=(*files, *used), num_hint=len(shown)))
        if not units:
            self.require(f"{self.form}_interactee_{split}/<recording>/body_idx_<k>/results/<frame>/000.pkl")
        return units

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        recording = next(one for one in recordings_of(self, split) if one.name == unit.id)
        fits = fits_of(self.root, self.form, "interactee", split, recording) or {}
        to_holo = inverse(load_transform(self.root / calibration_file(self, recording.name, "holo_to_kinect12.json")))
        scene = scene_file(self, recording)
        world_to_master = scene_to_master(None if scene is None else self.root / scene)
        for folder in self._folders(recording):
            film = self._film(folder)
            for picture, timestamp, number in _covered(film.valid, recording):
                provenance = self._provenance(split, recording, film, picture, fits.get(number, ""))
                try:
                    yield self._person(provenance, recording, film, picture, timestamp, to_holo, world_to_master)
                except MalformedRecord as error:
                    yield Reject(reason="malformed", provenance=provenance, detail=str(error))

    def _folders(self, recording: Recording) -> list[str]:
        """The folders of a recording's HoloLens films, named after their start; usually one."""
        parent = self.require(f"egocentric_color/{recording.name}")
        films = sorted(str(path.relative_to(self.root)) for path in parent.iterdir() if path.is_dir())
        if not films:
            self.require(f"egocentric_color/{recording.name}/<date and time>")
        return films

    def _film_files(self, folder: str) -> tuple[str, str, str]:
        files = (
            f"{folder}/{PurePosixPath(folder).name}_pv.txt",
            f"{folder}/keypoints.npz",
            f"{folder}/valid_frame.npz",
        )
        for file in files:
            self.require(file)
        return files

    def _film(self, folder: str) -> _Film:
        pv, keypoints, _ = (self.root / file for file in self._film_files(folder))
        centre, size, frames = _pv(pv)
        rows = load_npz(keypoints, keys=("imgname", "keypoints"))
        with concerns_file(keypoints):
            names = _names(rows["imgname"])
            points = shaped(rows["keypoints"], "keypoints", len(names), 25, 3)
        return _Film(
            folder=folder,
            principal_point_px=centre,
            size_px=size,
            frames=frames,
            detections=dict(zip(names, points, strict=True)),
            valid=self._valid(folder),
            pictures=names_in(self.root / folder / "PV"),
        )

    def _valid(self, folder: str) -> dict[str, bool]:
        """Every picture of a film, and whether the interactee was detected in it."""
        path = self.root / folder / "valid_frame.npz"
        rows = load_npz(path, keys=("imgname", "valid"))
        with concerns_file(path):
            names = _names(rows["imgname"])
            return dict(zip(names, map(bool, shaped(rows["valid"], "valid", len(names))), strict=True))

    def _provenance(self, split: str, recording: Recording, film: _Film, picture: str, fit: str) -> Provenance:
        return Provenance(
            dataset=self.name,
            split=split,
            sequence=recording.name,
            frame=PurePosixPath(picture).stem,
            subject=recording.subject("interactee"),
            person="0",
            source_file=fit,
            image_path=f"{film.folder}/PV/{picture}",
            reader=self.name,
            reader_version=str(self.version),
            label_origin="multi-view",
            licence=self.licence,
        )

    def _person(
        self,
        provenance: Provenance,
        recording: Recording,
        film: _Film,
        picture: str,
        timestamp: str,
        to_holo: RigidTransform,
        world_to_master: RigidTransform | None,
    ) -> Annotation | Reject:
        fit = load_fit(self.root / provenance.source_file) if provenance.source_file else None
        if not film.valid[picture] or picture not in film.detections:
            return Reject(reason="not-visible", provenance=provenance, detail="fewer than 6 joints were detected")
        if fit is None:
            return Reject(reason="no-fit", provenance=provenance)
        if film.pictures is not None and picture not in film.pictures:
            return Reject(reason="image-missing", provenance=provenance, detail=provenance.image_path)
        if timestamp not in film.frames:
            return Reject(reason="no-camera", provenance=provenance, detail=f"no line {timestamp} in *_pv.txt")
        values = film.frames[timestamp]
        try:
            world_to_pv = inverse(rigid(values[2:].reshape(4, 4), "pv2world"))
        except MalformedRecord as error:
            return Reject(reason="no-camera", provenance=provenance, detail=str(error))
        to_cam = then(then(to_holo, world_to_pv), OPENGL_TO_OPENCV)
        body = body_of(fit, self.form, recording.gender("interactee"), to_cam)
        points = body_points(film.detections[picture])
        return Annotation(
            provenance=provenance,
            image=ImageSource(path=provenance.image_path),
            camera=_camera(values[:2], film.principal_point_px, world_to_master, to_cam),
            boxes=Boxes(),
            body=body,
            keypoints2d=() if points is None else (points,),
            image_size_px=film.size_px,
        )


def _covered(pictures: Iterable[str], recording: Recording) -> list[tuple[str, str, int]]:
    """Name, timestamp and frame number of the pictures in the recording's interval, sorted by name."""
    matches = [match for picture in sorted(pictures) if (match := _PICTURE.fullmatch(picture))]
    return [(match[0], match[1], int(match[2])) for match in matches if recording.covers(int(match[2]))]


def _names(values: np.ndarray) -> list[str]:
    """File names of pictures, without their folders."""
    names = values.astype(str) if values.dtype.kind == "S" else values
    if names.ndim != 1 or not all(isinstance(name, str) for name in names.tolist()):
        raise MalformedRecord.of("imgname", "one name a picture", values)
    found = [PurePosixPath(name).name for name in names.tolist()]
    if len(set(found)) != len(found):
        raise MalformedRecord.of("imgname", "each picture once", f"{len(found) - len(set(found))} repeated")
    return found


def _pv(path: Path) -> tuple[Floats, tuple[int, int], dict[str, Floats]]:
    """Principal point, picture size, and a row of numbers for each timestamp."""
    first, *lines = load_lines(path)
    with concerns_file(path):
        cx, cy, width, height = _floats(first.split(","), 4)
        frames = {}
        for line in lines:
            timestamp, *values = line.split(",")
            frames[timestamp.strip()] = _floats(values, NUM_VALUES - 1)
        if not all(0 < side <= MAX_SIDE_PX and side % 1 == 0 for side in (width, height)):
            raise MalformedRecord.of("w, h", "the size of a picture", (width, height))
    return np.array([cx, cy]), (int(width), int(height)), frames


def _floats(words: list[str], count: int) -> Floats:
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        raise MalformedRecord.of("line", f"{count} numbers", ",".join(words)) from None
    if len(values) != count:
        raise MalformedRecord.of("line", f"{count} numbers", ",".join(words))
    return values


def _camera(
    focal_px: Floats, principal_point_px: Floats, world_to_master: RigidTransform | None, to_cam: RigidTransform
) -> Camera:
    world_to_cam = None if world_to_master is None else then(world_to_master, to_cam)
    return Camera(
        focal_px=focal_px.astype(np.float32),
        principal_point_px=principal_point_px.astype(np.float32),
        world_to_cam_rotmat=(np.zeros((3, 3)) if world_to_cam is None else world_to_cam.rotmat).astype(np.float32),
        world_to_cam_transl_m=(np.zeros(3) if world_to_cam is None else world_to_cam.transl_m).astype(np.float32),
        has_intrinsics=True,
        is_calibrated=True,
        has_extrinsics=world_to_cam is not None,
    )
