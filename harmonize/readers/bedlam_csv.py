"""BEDLAM's render jobs as Unreal left them: what stands where (be_seq.csv), the camera of every picture, and motions.

be_seq.csv: rows whose `Comment` has `sequence_name=seq_000000;frames=...` begin a sequence; rows with
`start_frame=<n>;...` are its bodies, `<subject>_<motion>`, at X, Y, Z (cm) and Yaw (degrees) of the scene.
ground_truth/camera/seq_000000_camera.csv: a row a picture, 30 a second: `name` seq_000000_0000.png, x, y, z (cm), yaw,
pitch, roll (degrees), focal_length (mm) (bedlam_render unreal/render/unreal_coordinate_system.md). Motions:
motion_seq.npz with `poses` (T, 165), `trans` (T, 3), `betas` of neutral SMPL-X; picture i shows row i + start_frame
(pixelite1201/BEDLAM data_processing/df_full_body.py, which is followed throughout).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harmonize.annotation import RigidTransform
from harmonize.raw.npz import load_npz
from harmonize.raw.tables import load_csv
from harmonize.readers.fields import FIX, Floats, MalformedRecord, concerns_file, shaped, text
from harmonize.readers.unreal import body_to_scene, opencv_m, rotation_x, rotation_y, rotation_z

BE_SEQ = "be_seq.csv"
SENSOR_WIDTH_MM = 36.0  # of all jobs; 20.25 high, so pixels are square
MAX_NUMBER = 1e7

_SEQUENCE = re.compile(r"seq_\d{6}")
_PICTURE = re.compile(r"(seq_\d{6})_(\d{4,6})\.\w+")
_BODY = re.compile(r"(?P<subject>[\w.-]+)_(?P<motion>[A-Za-z0-9.-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneBody:
    """A body of a sequence; position_cm and yaw_deg are the scene's."""

    subject: str
    motion: str
    start_frame: int
    position_cm: tuple[float, float, float]
    yaw_deg: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneSequence:
    """A sequence and its bodies, in file order; num_frames is 0 where the file does not say."""

    name: str
    num_frames: int
    bodies: tuple[SceneBody, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """The camera of one picture; angles as Unreal's: first yaw, then pitch, then roll."""

    frame: int
    focal_mm: float
    position_cm: tuple[float, float, float]
    yaw_deg: float
    pitch_deg: float
    roll_deg: float

    def world_to_cam(self, *, is_turned: bool) -> RigidTransform:
        """From the scene in OpenCV axes to the camera; is_turned: of the picture turned 90 degrees clockwise."""
        roll = 90.0 - self.roll_deg if is_turned else -self.roll_deg
        rotmat = rotation_z(roll) @ rotation_x(-self.pitch_deg) @ rotation_y(-self.yaw_deg)
        return RigidTransform(rotmat=rotmat, transl_m=-rotmat @ opencv_m(self.position_cm))


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """pose_aa (T, 55, 3), hands absolute; transl_m (T, 3); betas (10 | 11,)."""

    pose_aa: Floats
    transl_m: Floats
    betas: Floats


def body_to_cam(body: SceneBody, world_to_cam: RigidTransform) -> RigidTransform:
    """From the frame of a body's parameters to the camera."""
    rotmat, transl_m = world_to_cam.rotmat, world_to_cam.transl_m
    return RigidTransform(
        rotmat=rotmat @ body_to_scene(body.yaw_deg), transl_m=rotmat @ opencv_m(body.position_cm) + transl_m
    )


def load_sequences(path: Path) -> dict[str, SceneSequence]:
    """The sequences of a be_seq.csv by name, in file order.

    Raises:
        RawFileError: the file is missing or damaged, has no sequence or one twice, or a value is none.
    """
    rows = load_csv(path, has_end=True)
    found: dict[str, list[SceneBody]] = {}
    frames: dict[str, int] = {}
    with concerns_file(path):
        for row in rows:
            comment = _pairs(text(row, "Comment"))
            if "sequence_name" in comment:
                name = comment["sequence_name"]
                if not _SEQUENCE.fullmatch(name) or name in found:
                    raise MalformedRecord.of("sequence_name", "seq_ with six digits, each once", name)
                found[name], frames[name] = [], _count(comment.get("frames", "0"), "frames")
            elif "start_frame" in comment:
                if not found:
                    raise MalformedRecord.of("Comment", "a sequence_name before the first body", row["Comment"])
                found[next(reversed(found))].append(_body(row, comment))
        if not found:
            raise MalformedRecord("field 'Comment': expected rows with sequence_name, found none")
    return {
        name: SceneSequence(name=name, num_frames=frames[name], bodies=tuple(bodies)) for name, bodies in found.items()
    }


def load_shots(path: Path, sequence: str) -> list[Shot]:
    """The pictures of a sequence.

    Raises:
        RawFileError: the file is missing or damaged, names a picture of another sequence or one twice, or a value is
            none.
    """
    rows = load_csv(path, has_end=True)
    with concerns_file(path):
        shots = {shot.frame: shot for shot in (_shot(row, sequence) for row in rows)}
        if not rows or len(shots) != len(rows):
            raise MalformedRecord.of("name", "pictures, each once", f"{len(shots)} in {len(rows)} rows")
    return list(shots.values())


def load_motion(path: Path) -> Motion:
    """A motion_seq.npz.

    Raises:
        RawFileError: it is missing or damaged, or of another body model.
    """
    arrays = load_npz(path, ("poses", "trans", "betas"))
    with concerns_file(path, f"use neutral_ground_truth or neutral_ground_truth_motioninfo; {FIX}"):
        pose_aa = shaped(arrays["poses"], "poses", -1, 55, 3)
        betas = shaped(arrays["betas"], "betas", -1)
        if len(betas) not in (10, 11):
            raise MalformedRecord.of("betas", "10 or 11 (locked heads with 16 are another model)", len(betas))
        return Motion(pose_aa=pose_aa, transl_m=shaped(arrays["trans"], "trans", len(pose_aa), 3), betas=betas)


def _body(row: Mapping[str, str], comment: Mapping[str, str]) -> SceneBody:
    body = _BODY.fullmatch(text(row, "Body"))
    if body is None or ".." in row["Body"]:
        raise MalformedRecord.of("Body", "<subject>_<motion>", row["Body"])
    return SceneBody(
        subject=body["subject"],
        motion=body["motion"],
        start_frame=_count(comment["start_frame"], "start_frame"),
        position_cm=_position(row, "X", "Y", "Z"),
        yaw_deg=_number(row, "Yaw"),
    )


def _shot(row: Mapping[str, str], sequence: str) -> Shot:
    name = _PICTURE.fullmatch(text(row, "name"))
    if name is None or name[1] != sequence:
        raise MalformedRecord.of("name", f"{sequence}_<frame>.png", row["name"])
    focal_mm = _number(row, "focal_length")
    if focal_mm <= 0:
        raise MalformedRecord.of("focal_length", "millimetres", focal_mm)
    return Shot(
        frame=int(name[2]),
        focal_mm=focal_mm,
        position_cm=_position(row, "x", "y", "z"),
        yaw_deg=_number(row, "yaw"),
        pitch_deg=_number(row, "pitch"),
        roll_deg=_number(row, "roll"),
    )


def _pairs(comment: str) -> dict[str, str]:
    """`a=1;b=2` as a dictionary."""
    return {key: value for key, _, value in (part.partition("=") for part in comment.split(";"))}


def _position(row: Mapping[str, str], *keys: str) -> tuple[float, float, float]:
    x, y, z = (_number(row, key) for key in keys)
    return x, y, z


def _number(row: Mapping[str, str], key: str) -> float:
    try:
        value = float(text(row, key))
    except ValueError:
        value = np.nan
    if not abs(value) < MAX_NUMBER:
        raise MalformedRecord.of(key, "a number", row[key])
    return value


def _count(value: str, name: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise MalformedRecord.of(name, "a whole number", value)
    return int(value)
