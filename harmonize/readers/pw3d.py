"""3DPW: 3D Poses in the Wild.

Citation: von Marcard et al., Recovering Accurate 3D Human Pose in The Wild Using IMUs and a Moving Camera, ECCV 2018.
Licence: site licence agreement, research use (text unverified).
Access: two open zips, imageFiles.zip and sequenceFiles.zip; the json files come from mks0601's I2L-MeshNet and
    NeuralAnnot_RELEASE.
Counts: 60 sequences (24 train, 12 validation, 24 test) and 51 000 pictures, both unverified; 22 735 train people in the
    json form (SMPLer-X assets/factor_data.pdf; that the marker is this dataset is unverified).
Frame: pickle: world, moved by the frame's `cam_poses` (world to OpenCV camera). json, neuralannot: OpenCV camera.
Units: metres, radians, pixels of the whole picture.
Hands: absent. SMPL has no fingers, and no face is labelled.
Gender: female or male SMPL, one a person; neuralannot: neutral SMPL-X. Betas: 10 (some people carry 300; the first 10
    count).
Labels: imu (body-worn IMUs with 2D detections from a moving phone camera); in the form neuralannot NeuralAnnot's.
Forms: `pickle` (official sequences, default), `json` (3DPW_<split>.json, what SMPLer-X trains on), `neuralannot`
    (3DPW_<split>_SMPLX_NeuralAnnot.json: fits to the people of the json form by annotation id; people without one keep
    their points. That wrists and ankles are unknown is inferred from the other NeuralAnnot releases).
Known defects:
    - `campose_valid` 0 marks frames whose camera is not aligned: rejected (mmhuman3d's converter keeps them).
    - `poses2d` are stored as rows x, y, confidence; an all-zero frame means fewer than six detected joints. The body
      label is still right there, so such people are kept without 2D points.
    - A person may be wholly outside the picture; that needs the body's projection and is left to the gate.
    - json: the generator (I2L-MeshNet tool/3DPW/3dpw2coco.py) moved `trans` with the pelvis of a NEUTRAL SMPL, so it
      is off by (R - I)(J0_neutral - J0_gender), up to centimetres. `joint_cam` is right: its pelvis replaces the
      translation. Its other joints may come from more than the ten betas stored, so they are measured, not exact.
    - Test is a shared benchmark: never train on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject, RigidTransform
from harmonize.errors import RawFileError
from harmonize.keypoints import convention
from harmonize.raw.pickles import load_pickle
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import (
    Floats,
    MalformedRecord,
    concerns_file,
    floats,
    label,
    listing,
    require_keys,
    shaped,
    text,
    with_confidence,
)
from harmonize.readers.pw3d_json import json_body, json_person, json_sequences
from harmonize.readers.pw3d_neuralannot import pw3d_body, pw3d_fits
from harmonize.readers.pw3d_parts import detected_points, smpl_gender
from harmonize.record import BodyKind, Boxes, Camera, Provenance

_KEYS = ("sequence", "genders", "poses", "betas", "trans", "jointPositions", "poses2d")
_CAMERA_KEYS = ("cam_intrinsics", "cam_poses", "campose_valid")


class Pw3d(Reader):
    """A unit is one sequence. In the forms of json files, those of a split are streamed once a process."""

    name = "pw3d"
    version = 1
    splits = ("train", "validation", "test")
    body_kinds: ClassVar[tuple[BodyKind, ...]] = ("smpl", "smplx")
    forms = ("pickle", "json", "neuralannot")
    licence: ClassVar[str] = "research (site licence)"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        if self.form != "pickle":
            files = self._json_files(split)
            sequences = json_sequences(self.root / files[0])
            return [Unit(id=name, files=files, num_hint=len(sequences[name])) for name in sorted(sequences)]
        # Some copies nest the folder once more.
        folder = self.require(f"sequenceFiles/{split}", f"sequenceFiles/sequenceFiles/{split}")
        pickles = sorted(folder.glob("*.pkl"))
        if not pickles:
            self.require(f"{folder.relative_to(self.root)}/<sequence>.pkl")
        return [
            Unit(id=file.stem, files=(str(file.relative_to(self.root)),), num_hint=self._num_frames(file.stem))
            for file in pickles
        ]

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        yield from self._sequence(split, unit) if self.form == "pickle" else self._json_people(split, unit)

    def _num_frames(self, sequence: str) -> int:
        """Pictures of the sequence: about the number of people, as one or two are tracked."""
        folder = self.root / "imageFiles" / sequence
        return sum(1 for _ in folder.glob("image_*.jpg")) if folder.is_dir() else 0

    def _provenance(self, split: str, unit: Unit, sequence: str, frame: int, person: str, row: str) -> Provenance:
        return Provenance(
            dataset=self.name,
            split=split,
            sequence=sequence,
            frame=f"{frame:05d}",
            person=person,
            source_file=unit.files[0],
            source_row=row,
            image_path=f"imageFiles/{sequence}/image_{frame:05d}.jpg",
            reader=self.name,
            reader_version=str(self.version),
            label_origin="neuralannot" if self.form == "neuralannot" else "imu",
            licence=self.licence,
        )

    def _sequence(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        path = self.root / unit.files[0]
        data = load_pickle(path)
        if not isinstance(data, Mapping):
            raise RawFileError(f"{path}: expected a dictionary, found {type(data).__name__}", file=str(path))
        require_keys(data, _KEYS + _CAMERA_KEYS, str(path))
        with concerns_file(path):
            tracks = _tracks(data)
            intrinsics = floats(data, "cam_intrinsics", 3, 3)
            sequence = text(data, "sequence")
        for frame in range(len(tracks[0]["cam"])):
            for person, track in enumerate(tracks):
                provenance = self._provenance(
                    split, unit, sequence, frame, str(person), f"person={person} frame={frame}"
                )
                if not track["valid"][frame]:
                    yield Reject(
                        reason="camera-misaligned", provenance=provenance, detail="the dataset says campose_valid 0"
                    )
                    continue
                yield _annotation(provenance, track, frame, intrinsics)

    def _json_files(self, split: str) -> tuple[str, ...]:
        """People, and in the form neuralannot their fits. The ids of the fits are those of the first edition; that the
        latest one has the same is not known, so there it will not do."""
        editions = ("",) if self.form == "neuralannot" else ("", "latest_")
        people = self._json_file(*(f"3DPW_{edition}{split}.json" for edition in editions))
        return (
            (people, self._json_file(f"3DPW_{split}_SMPLX_NeuralAnnot.json"))
            if self.form == "neuralannot"
            else (people,)
        )

    def _json_file(self, *names: str) -> str:
        found = self.require(*(f"{folder}{name}" for folder in ("", "data/") for name in names))
        return str(found.relative_to(self.root))

    def _json_people(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        fits = pw3d_fits(self.root / unit.files[1]) if self.form == "neuralannot" else None
        for image, annotation in json_sequences(self.root / unit.files[0])[unit.id]:
            name = label(annotation, "id")
            person = label(annotation, "person_id")
            provenance = self._provenance(split, unit, unit.id, image["frame"], person, f"id={name}")
            try:
                body = json_body(annotation) if fits is None else pw3d_body(fits.get(name))
                yield json_person(provenance, image, annotation, body)
            except MalformedRecord as error:
                yield Reject(reason="malformed", provenance=provenance, detail=str(error))


def _tracks(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One dictionary a person, every array checked against the number of frames of `cam_poses`."""
    cam = floats(data, "cam_poses", -1, 4, 4)
    num_frames = len(cam)
    tracks = []
    for person, gender in enumerate(listing(data, "genders")):
        row = {key: _track_of(data, key, person) for key in (*_KEYS[2:], "campose_valid")}
        tracks.append(
            {
                "gender": smpl_gender(gender),
                "cam": cam,
                "poses": shaped(row["poses"], "poses", num_frames, 24, 3),
                "betas": shaped(row["betas"], "betas", -1),
                "trans": shaped(row["trans"], "trans", num_frames, 3),
                "joints": shaped(row["jointPositions"], "jointPositions", num_frames, 24, 3),
                "poses2d": shaped(row["poses2d"], "poses2d", num_frames, 3, 18),
                "valid": shaped(row["campose_valid"], "campose_valid", num_frames),
            }
        )
    if not tracks:
        raise MalformedRecord("field 'genders': expected at least one person, found none")
    return tracks


def _track_of(data: Mapping[str, Any], key: str, person: int) -> Any:
    tracks = listing(data, key)
    if person >= len(tracks):
        raise MalformedRecord(f"field {key!r} of person {person}: expected, found none")
    return tracks[person]


def _annotation(provenance: Provenance, track: Mapping[str, Any], frame: int, intrinsics: Floats) -> Annotation:
    rotmat, transl = track["cam"][frame, :3, :3], track["cam"][frame, :3, 3]
    joints_cam = track["joints"][frame] @ rotmat.T + transl
    camera = Camera(
        focal_px=np.array([intrinsics[0, 0], intrinsics[1, 1]], np.float32),
        principal_point_px=intrinsics[:2, 2].astype(np.float32),
        world_to_cam_rotmat=rotmat.astype(np.float32),
        world_to_cam_transl_m=transl.astype(np.float32),
        has_intrinsics=True,
        is_calibrated=True,
        has_extrinsics=True,
    )
    return Annotation(
        provenance=provenance,
        image=ImageSource(path=provenance.image_path),
        camera=camera,
        boxes=Boxes(),
        body=RawBody(
            model="smpl",
            gender=track["gender"],
            pose_aa=track["poses"][frame],
            betas=track["betas"][:10],
            transl_m=track["trans"][frame],
            hands="absent",
            to_cam=RigidTransform(rotmat=rotmat, transl_m=transl),
        ),
        keypoints2d=detected_points(track["poses2d"][frame].T),
        keypoints3d=NamedPoints(
            names=convention("smpl_24").names,
            values=with_confidence(joints_cam),
            origin="measured",
            # The joints follow from all betas: of 300, ten do not give the same joints.
            is_exact=not np.any(track["betas"][10:]),
        ),
    )
