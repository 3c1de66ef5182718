"""The format that Fit3D, CHI3D and HumanSC3D share: one lab, four cameras, a video and a json of each kind an action.

    train/<subject>/smplx/<action>.json                    rotation matrices, world frame
    train/<subject>/joints3d_25/<action>.json              measured joints, metres, world frame
    train/<subject>/camera_parameters/<camera>/<action>.json
    train/<subject>/videos/<camera>/<action>.mp4

The joints say how many frames count: videos may be longer. Arrays have a leading axis of people where there are two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject, RigidTransform, VideoFrame
from harmonize.errors import RawFileError
from harmonize.geometry.cameras import imar_distortion
from harmonize.geometry.rotations import MAX_ORTHOGONALITY_ERROR, rotmat_to_aa
from harmonize.keypoints import convention
from harmonize.raw.jsons import load_json
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import Floats, MalformedRecord, concerns_file, entries, field, floats, numbers
from harmonize.record import Boxes, Camera, LabelOrigin, Provenance

SIZE_PX = (900, 900)

_LIMB_ENDS = ("foot", "toe"), ("thumb", "fingers")
JOINTS_25: tuple[str, ...] = (
    *convention("h36m_17").names,
    *(f"{side}_{end}_imar" for ends in _LIMB_ENDS for side in ("left", "right") for end in ends),
)
"""Left leg first. Not OpenPose's 25, for which mmhuman3d's converter takes them."""

_ROTATIONS = (
    ("global_orient", 1),
    ("body_pose", 21),
    ("jaw_pose", 1),
    ("leye_pose", 1),
    ("reye_pose", 1),
    ("left_hand_pose", 15),
    ("right_hand_pose", 15),
)
_VECTORS = (("transl", 3), ("betas", 10), ("expression", 10))


def units(reader: Reader, folders: tuple[str, ...]) -> list[Unit]:
    """A unit is one action of one subject, in all cameras. `folders` are names of the dataset's own folder, which the
    raw root may be or hold.

    Raises:
        RawLayoutError: a folder or file is missing.
    """
    train = reader.require("train", *(f"{folder}/train" for folder in folders))
    base = train.relative_to(reader.root)
    found = sorted(train.glob("*/smplx/*.json"))
    if not found:
        reader.require(f"{base}/<subject>/smplx/<action>.json")
    result = []
    for path in found:
        subject, action = path.parts[-3], path.stem
        joints = reader.require(f"{base}/{subject}/joints3d_25/{path.name}")
        cameras = sorted(train.glob(f"{subject}/camera_parameters/*/{_literal(path.name)}"))
        if not cameras:
            reader.require(f"{base}/{subject}/camera_parameters/<camera>/{path.name}")
        files = tuple(str(file.relative_to(reader.root)) for file in (path, joints, *cameras))
        result.append(Unit(id=f"{subject}/{action}", files=files))
    return result


def people(
    reader: Reader, split: str, unit: Unit, *, licence: str, origins: tuple[LabelOrigin, ...]
) -> Iterator[Annotation | Reject]:
    """The people of an action, camera by camera and frame by frame; `origins` has one entry for each possible person.

    Raises:
        RawFileError: a file is damaged, or holds other numbers of people or frames than the joints.
    """
    fit_file, joint_file, *camera_files = (reader.root / file for file in unit.files)
    joints = _joints(joint_file, len(origins))
    num_people, num_frames = joints.shape[:2]
    fits = _fits(fit_file, joints)
    for file in camera_files:
        subject, camera_id, action = file.parts[-4], file.parent.name, file.stem
        camera = _camera(file)
        rotmat, centre = camera["rotmat"], camera["centre_m"]
        to_cam = RigidTransform(rotmat=rotmat, transl_m=-rotmat @ centre)
        seen = (joints - centre) @ rotmat.T
        folder = file.parents[2].relative_to(reader.root)
        frames = folder / "frames" / camera_id / action
        has_frames = (reader.root / frames).is_dir()
        for frame in range(num_frames):
            film = ImageSource(
                path=str(folder / "videos" / camera_id / f"{action}.mp4"),
                orientation=1,
                video=VideoFrame(index=frame, num_frames=num_frames),
            )
            image = film
            if has_frames:
                image = reader.image(ImageSource(path=str(frames / f"{frame:04d}.jpg"), orientation=1), film)
            for person in range(num_people):
                provenance = Provenance(
                    dataset=reader.name,
                    split=split,
                    sequence=f"{subject}/{camera_id}/{action}",
                    frame=f"{frame:05d}",
                    subject=subject,
                    person=str(person),
                    source_file=unit.files[0],
                    source_row=f"person={person} frame={frame}",
                    image_path=image.name,
                    reader=reader.name,
                    reader_version=str(reader.version),
                    label_origin=origins[person],
                    licence=licence,
                )
                if (problem := _problem(provenance, float(fits["orthogonality_error"][person, frame]))) is not None:
                    yield problem
                    continue
                yield Annotation(
                    provenance=provenance,
                    image=image,
                    camera=camera["camera"],
                    boxes=Boxes(),
                    body=_body(fits, person, frame, to_cam),
                    keypoints3d=_measured(seen[person, frame]),
                    image_size_px=SIZE_PX,
                )


def _problem(provenance: Provenance, error: float) -> Reject | None:
    """Why the rotation matrices of a person cannot be used, or None."""
    if not np.isfinite(error):
        return Reject(reason="not-finite", provenance=provenance, detail="rotation matrices")
    if error < MAX_ORTHOGONALITY_ERROR:
        return None
    numbers = {"orthogonality_error": error, "limit": MAX_ORTHOGONALITY_ERROR}
    return Reject(reason="not-a-rotation", provenance=provenance, detail="rotation matrices", numbers=numbers)


def _literal(name: str) -> str:
    """A file name as a glob pattern that matches only it."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _load(path: Path) -> Mapping[str, Any]:
    content = load_json(path)
    if not isinstance(content, Mapping):
        raise RawFileError(f"{path}: expected a record, found {type(content).__name__}", file=str(path))
    return content


def _joints(path: Path, max_people: int) -> Floats:
    """(people, frames, 25, 3) metres, world."""
    with concerns_file(path):
        joints = numbers(field(_load(path), "joints3d_25"), "joints3d_25")
        # Downloads of CHI3D older than June 2023 have the marked person alone, and no axis of people.
        joints = joints[None] if joints.ndim == 3 else joints
        if joints.ndim != 4 or joints.shape[2:] != (25, 3) or not 1 <= len(joints) <= max_people:
            expected = f"(frames, 25, 3) or (people, frames, 25, 3) with at most {max_people} people"
            raise MalformedRecord(f"field 'joints3d_25': expected shape {expected}, found {joints.shape}")
    return joints


def _fits(path: Path, joints: Floats) -> dict[str, Floats]:
    """pose_aa (people, frames, 55, 3), orthogonality_error (people, frames), and the vectors."""
    people_frames = joints.shape[:2]
    fits: dict[str, Floats] = {}
    with concerns_file(path, "use the smplx and joints3d_25 files of one download"):
        content = _load(path)
        rotmats = np.concatenate(
            [_per_frame(content, key, people_frames, count, 3, 3) for key, count in _ROTATIONS], axis=2
        )
        for key, count in _VECTORS:
            fits[key] = _per_frame(content, key, people_frames, count)
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(rotmats @ rotmats.swapaxes(-1, -2) - np.eye(3)).max(axis=(-1, -2))
        error = np.where(np.linalg.det(rotmats) > 0, error, np.maximum(error, 2.0))
    fits["orthogonality_error"] = error.max(axis=2)
    is_bad = ~(fits["orthogonality_error"] < MAX_ORTHOGONALITY_ERROR)
    rotmats[is_bad] = np.eye(3)
    fits["pose_aa"] = rotmat_to_aa(rotmats)
    return fits


def _per_frame(content: Mapping[str, Any], key: str, people_frames: tuple[int, ...], *shape: int) -> Floats:
    """A field as (people, frames, *shape); the axis of people may be missing where there is one."""
    values = numbers(field(content, key), key)
    if people_frames[0] == 1 and values.shape[:1] == people_frames[1:]:
        values = values[None]
    if values.shape[:2] != people_frames or values.size != np.prod([*people_frames, *shape]):
        raise MalformedRecord(f"field {key!r}: expected shape {(*people_frames, *shape)}, found {values.shape}")
    return values.reshape(*people_frames, *shape)


def _camera(path: Path) -> dict[str, Any]:
    """The camera; rotmat (3, 3) and centre_m (3,): x_cam = rotmat @ (x_world - centre_m)."""
    with concerns_file(path):
        content = _load(path)
        place, lens = entries(content, "extrinsics"), entries(content, "intrinsics_w_distortion")
        # `T` is the camera's centre in the world, not a translation.
        rotmat, centre = floats(place, "R", 3, 3), floats(place, "T", 3)
        camera = Camera(
            focal_px=floats(lens, "f", 2).astype(np.float32),
            principal_point_px=floats(lens, "c", 2).astype(np.float32),
            distortion=imar_distortion(floats(lens, "k", 3), floats(lens, "p", 2)).astype(np.float32),
            world_to_cam_rotmat=rotmat.astype(np.float32),
            world_to_cam_transl_m=(-rotmat @ centre).astype(np.float32),
            has_intrinsics=True,
            is_calibrated=True,
            has_extrinsics=True,
        )
    return {"camera": camera, "rotmat": rotmat, "centre_m": centre}


def _measured(joints_cam_m: Floats) -> NamedPoints:
    known = np.isfinite(joints_cam_m).all(axis=1, keepdims=True)
    values = np.column_stack([np.where(known, joints_cam_m, 0.0), known])
    return NamedPoints(names=JOINTS_25, values=values, origin="measured")


def _body(fits: Mapping[str, Floats], person: int, frame: int, to_cam: RigidTransform) -> RawBody:
    return RawBody(
        model="smplx",
        gender="neutral",
        pose_aa=fits["pose_aa"][person, frame],
        betas=fits["betas"][person, frame],
        transl_m=fits["transl"][person, frame],
        hands="absolute",
        expression=fits["expression"][person, frame],
        to_cam=to_cam,
        has_left_hand=True,
        has_right_hand=True,
        has_jaw=True,
        has_eyes=True,
        has_expression=True,
    )
