"""ARCTIC: A Dataset for Dexterous Bimanual Hand-Object Manipulation.

Citation: Fan et al., ARCTIC, CVPR 2023 (arXiv 2204.13662).
Licence: non-commercial research.
Access: registration at arctic.is.tue.mpg.de (and at the SMPL-X and MANO sites, whose models it needs).
Counts: 2.1 million pictures of 10 subjects, 339 sequences (ARCTIC README; picture archives, counted). 1 539 100 train
    people, every tenth frame (SMPLer-X table as recalled, unverified).
Frame: Vicon, z up; moved by world2cam of each static view (world to OpenCV camera), and by the head-mounted camera's
    pose of each frame. It is the world of the camera's extrinsics.
Units: metres, radians, pixels of the full pictures (object translations are in millimetres; they are not read).
Hands: absolute, full axis-angle (flat_hand_mean=True).
Gender: female or male SMPL-X by subject. Betas: none; each subject has a rest mesh of its own in SMPL-X topology.
Labels: capture (MoSh++ from 54 Vicon cameras). Jaw and eyes are there, an expression is not.
Splits: p1_* are the eight static views, p2_* the head-mounted one, with the same sequences; test has no public labels.
Known defects:
    - A picture's number is not the row of its annotation: row = number - ioi_offset of the subject (misc.json).
      posepile takes one for all subjects.
    - The first and last ten pictures can be black: as in the official splits, pictures 10 to F - 11 are used.
    - The head-mounted camera has a strong lens (8 coefficients), the static ones have none. Most of the wearer's joints
      lie behind the head-mounted camera.
    - View folder 0 is the head-mounted camera; the matrices of misc.json begin with view 1.
    - Boxes of the official splits are around the object and are not used.
    - Betas cannot express the subjects' meshes in all detail (issue 37): the fit's error is recorded.
    - s01/laptop_use_04/7/00737.jpg and s08/mixer_use_02/3/00295.jpg break other decoders (hearsay, unverified).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, RawBody, Reject, RigidTransform
from harmonize.geometry.cameras import opencv_distortion
from harmonize.raw.jsons import load_json
from harmonize.raw.meshes import load_obj_vertices
from harmonize.raw.npz import load_npy
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import (
    MAX_SIDE_PX,
    Floats,
    MalformedRecord,
    concerns_file,
    entries,
    field,
    floats,
    integer,
    listing,
)
from harmonize.readers.pictures import names_in
from harmonize.readers.rigid import rigid
from harmonize.readers.smplifyx import gender_of
from harmonize.record import Boxes, Camera, Gender, Provenance

EDGE = 10  # pictures at either end of a recording that may be black
EGO, STATIC = (0,), tuple(range(1, 9))
BYTES_A_FRAME = 168 * 4

_POSE = (
    *(("global_orient", 1), ("body_pose", 21), ("jaw_pose", 1), ("leye_pose", 1), ("reye_pose", 1)),
    *(("left_hand_pose", 15), ("right_hand_pose", 15)),
)


@dataclass(frozen=True, slots=True)
class _Subject:
    """What misc.json says. world2cam (8, 4, 4), intrinsics (8, 3, 3), sizes_px: of the nine views."""

    gender: Gender
    offset: int
    world2cam: Floats
    intrinsics: Floats
    sizes_px: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _View:
    """A camera of a sequence. rotmat (F, 3, 3), transl_m (F, 3): world to camera; pictures: names in its folder, None
    where there is no such folder."""

    number: int
    intrinsics: Floats
    distortion: Floats
    rotmat: Floats
    transl_m: Floats
    size_px: tuple[int, int]
    pictures: frozenset[str] | None

    def camera(self, row: int) -> Camera:
        return Camera(
            focal_px=self.intrinsics[[0, 1], [0, 1]].astype(np.float32),
            principal_point_px=self.intrinsics[:2, 2].astype(np.float32),
            distortion=self.distortion.astype(np.float32),
            world_to_cam_rotmat=self.rotmat[row].astype(np.float32),
            world_to_cam_transl_m=self.transl_m[row].astype(np.float32),
            has_intrinsics=True,
            is_calibrated=True,
            has_extrinsics=True,
        )


class Arctic(Reader):
    """A unit is one sequence with the views of its protocol."""

    name = "arctic"
    version = 1
    splits = ("p1_train", "p1_val", "p2_train", "p2_val")
    forms = ("raw",)
    licence: ClassVar[str] = "non-commercial research"

    def __init__(self, root: Path, *, form: str | None = None) -> None:
        super().__init__(root, form=form)
        self._meshes: dict[str, Floats] = {}

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        base = self._base()
        views = _views(split)
        units = []
        for sequence in self._sequences(split):
            subject = sequence.split("/")[0]
            files = [
                *(self._protocol(split), f"{base}meta/misc.json", f"{base}meta/subject_vtemplates/{subject}.obj"),
                f"{base}raw_seqs/{sequence}.smplx.npy",
                *([f"{base}raw_seqs/{sequence}.egocam.dist.npy"] if views == EGO else []),
            ]
            for file in files:
                self.require(file)
            num_frames = (self.root / base / f"raw_seqs/{sequence}.smplx.npy").stat().st_size // BYTES_A_FRAME
            units.append(Unit(id=sequence, files=tuple(files), num_hint=num_frames * len(views)))
        return units

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        base, name = self._base(), unit.id.split("/")[0]
        subject = _subject(self.root / base / "meta/misc.json", name)
        mesh = self._rest_mesh(name)
        file = f"{base}raw_seqs/{unit.id}.smplx.npy"
        poses, transl = _parameters(self.root / file)
        if _views(split) == EGO:
            views = [self._ego_view(unit.id, subject, len(poses))]
        else:
            views = [self._static_view(unit.id, subject, view, len(poses)) for view in STATIC]
        for picture in range(EDGE, len(poses) - EDGE):
            row = picture - subject.offset
            if not 0 <= row < len(poses):
                continue
            for view in views:
                body = RawBody(
                    model="smplx",
                    gender=subject.gender,
                    pose_aa=poses[row],
                    betas=np.zeros(10),
                    transl_m=transl[row],
                    hands="absolute",
                    to_cam=RigidTransform(rotmat=view.rotmat[row], transl_m=view.transl_m[row]),
                    rest_mesh_m=mesh,
                    has_left_hand=True,
                    has_right_hand=True,
                    has_jaw=True,
                    has_eyes=True,
                )
                yield self._person(split, unit.id, file, picture, row, view, body)

    def _base(self) -> str:
        """The folder of the data, as the download scripts make it or right under the root."""
        for base in ("", "data/", "arctic_data/data/"):
            if (self.root / base / "raw_seqs").is_dir():
                return base
        self.require("raw_seqs", "data/raw_seqs", "arctic_data/data/raw_seqs")
        return ""

    def _protocol(self, split: str) -> str:
        return f"{self._base()}splits_json/protocol_{split.split('_')[0]}.json"

    def _sequences(self, split: str) -> list[str]:
        path = self.require(self._protocol(split))
        record = load_json(path)
        with concerns_file(path):
            names = listing(record, split.split("_")[1])
            if not names or not all(isinstance(name, str) and re.fullmatch(r"s\d{2}/\w+", name) for name in names):
                raise MalformedRecord.of(split.split("_")[1], "sequences like s01/box_grab_01", names)
        return sorted(names)

    def _rest_mesh(self, subject: str) -> Floats:
        """One array a subject, by which the bodies of all frames are known to share a shape."""
        if subject not in self._meshes:
            path = self.root / self._base() / f"meta/subject_vtemplates/{subject}.obj"
            vertices = load_obj_vertices(path)
            with concerns_file(path):
                if len(vertices) != 10475:
                    raise MalformedRecord.of("vertices", "10475 of SMPL-X", len(vertices))
            self._meshes[subject] = vertices
        return self._meshes[subject]

    def _picture_folder(self, sequence: str, view: int) -> str:
        return f"{self._base()}images/{sequence}/{view}"

    def _static_view(self, sequence: str, subject: _Subject, view: int, num_frames: int) -> _View:
        matrix = subject.world2cam[view - 1]
        return _View(
            number=view,
            intrinsics=subject.intrinsics[view - 1],
            distortion=np.zeros(12),
            rotmat=np.broadcast_to(matrix[:3, :3], (num_frames, 3, 3)),
            transl_m=np.broadcast_to(matrix[:3, 3], (num_frames, 3)),
            size_px=subject.sizes_px[view],
            pictures=names_in(self.root / self._picture_folder(sequence, view)),
        )

    def _ego_view(self, sequence: str, subject: _Subject, num_frames: int) -> _View:
        path = self.root / self._base() / f"raw_seqs/{sequence}.egocam.dist.npy"
        record = _dictionary(path)
        with concerns_file(path):
            return _View(
                number=0,
                intrinsics=floats(record, "intrinsics", 3, 3),
                distortion=opencv_distortion(floats(record, "dist8", 8)),
                rotmat=floats(record, "R_k_cam_np", num_frames, 3, 3),
                transl_m=floats(record, "T_k_cam_np", num_frames, 3),
                size_px=subject.sizes_px[0],
                pictures=names_in(self.root / self._picture_folder(sequence, 0)),
            )

    def _person(
        self, split: str, sequence: str, file: str, picture: int, row: int, view: _View, body: RawBody
    ) -> Annotation | Reject:
        name = f"{picture:05d}.jpg"
        image = self.image(
            ImageSource(path=f"{self._picture_folder(sequence, view.number)}/{name}"),
            ImageSource(path=f"{self._base()}images_zips/{sequence}.zip", member=f"{view.number}/{name}"),
        )
        provenance = Provenance(
            dataset=self.name,
            split=split,
            sequence=f"{sequence}/{view.number}",
            frame=f"{picture:05d}",
            subject=sequence.split("/")[0],
            person="0",
            source_file=file,
            source_row=str(row),
            image_path=image.name,
            reader=self.name,
            reader_version=str(self.version),
            label_origin="capture",
            licence=self.licence,
        )
        if not image.member and view.pictures is not None and name not in view.pictures:
            return Reject(reason="image-missing", provenance=provenance, detail=image.name)
        return Annotation(
            provenance=provenance,
            image=image,
            camera=view.camera(row),
            boxes=Boxes(),
            body=body,
            image_size_px=view.size_px,
        )


def _views(split: str) -> tuple[int, ...]:
    return EGO if split.startswith("p2") else STATIC


def _subject(path: Path, name: str) -> _Subject:
    misc = load_json(path)
    with concerns_file(path):
        record = entries(misc, name)
        world2cam = floats(record, "world2cam", 8, 4, 4)
        for matrix in world2cam:
            rigid(matrix, "world2cam")
        sizes = floats(record, "image_size", 9, 2)
        if not ((sizes > 0) & (sizes <= MAX_SIDE_PX) & (sizes % 1 == 0)).all():
            raise MalformedRecord.of("image_size", "nine sizes of pictures", sizes.tolist())
        return _Subject(
            gender=gender_of(field(record, "gender")),
            offset=integer(record, "ioi_offset"),
            world2cam=world2cam,
            intrinsics=floats(record, "intris_mat", 8, 3, 3),
            sizes_px=tuple((int(width), int(height)) for width, height in sizes),
        )


def _dictionary(path: Path) -> Mapping[str, Any]:
    """The dictionary that an npy file holds as its only entry."""
    array = load_npy(path)
    with concerns_file(path):
        record = array.item() if array.shape == () else None
        if not isinstance(record, Mapping):
            raise MalformedRecord.of("npy", "a dictionary", array)
        return record


def _parameters(path: Path) -> tuple[Floats, Floats]:
    """Poses (F, 55, 3) and translations (F, 3)."""
    record = _dictionary(path)
    with concerns_file(path):
        transl = floats(record, "transl", -1, 3)
        return np.concatenate([floats(record, key, len(transl), n, 3) for key, n in _POSE], axis=1), transl
