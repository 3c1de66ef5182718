"""What both parts of EgoBody share: recordings and their people, fits, and matrices.

`data_info_release.csv` has one row a recording; `body_idx_0` and `body_idx_1` are values like "0 female", and
`body_idx_fpv` ("1 male") is the interactee, whom the camera wearer (1 minus that index) looks at. Fits lie in
`<form>_<role>_<split>/<recording>/body_idx_<k>/results/frame_01888/000.pkl`, for both parts in the frame of the master
Kinect's colour camera.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harmonize.annotation import RawBody, RigidTransform
from harmonize.raw.jsons import load_json
from harmonize.raw.tables import load_csv
from harmonize.readers.base import Reader
from harmonize.readers.fields import FIX, MalformedRecord, concerns_file, field, floats
from harmonize.readers.rigid import inverse, rigid
from harmonize.readers.smplifyx import gender_of, smpl_body, smplx_body
from harmonize.record import Gender

Role = Literal["interactee", "camera_wearer"]

INFO_FILE = "data_info_release.csv"
SPLITS_FILE = "data_splits.csv"
SIZE_PX = (1920, 1080)

_NAME = re.compile(r"recording_\d{8}_S\d{2}_S\d{2}_\d{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A row of data_info_release.csv. genders: of body 0 and body 1. Frames count from first_frame to last_frame."""

    name: str
    scene: str
    genders: tuple[Gender, Gender]
    interactee: int
    first_frame: int
    last_frame: int

    def index(self, role: Role) -> int:
        """The body index of a role."""
        return self.interactee if role == "interactee" else 1 - self.interactee

    def gender(self, role: Role) -> Gender:
        return self.genders[self.index(role)]

    def subject(self, role: Role) -> str:
        """The subject, as the recording's name says: recording_<date>_<wearer>_<interactee>_<number>."""
        _, _, wearer, interactee, _ = self.name.split("_")
        return interactee if role == "interactee" else wearer

    def covers(self, frame: int) -> bool:
        return self.first_frame <= frame <= self.last_frame


def recordings_of(reader: Reader, split: str) -> list[Recording]:
    """The recordings of a split, sorted by name.

    Raises:
        RawLayoutError: one of the tables is missing.
        RawFileError: one of them is damaged, or a recording has no row.
    """
    splits_path, info_path = reader.require(SPLITS_FILE), reader.require(INFO_FILE)
    rows = load_csv(splits_path)
    with concerns_file(splits_path):
        # The columns are of unequal length and filled up with nothing.
        if not rows:
            raise MalformedRecord.of(split, "recordings", "no rows")
        columns = [field(row, split) for row in rows]
        names = sorted(name for name in columns if name not in ("", "nan"))
        for name in names:
            _check_name(name)
    info = load_csv(info_path)
    with concerns_file(info_path):
        known = {recording.name: recording for recording in map(_recording, info)}
        missing = [name for name in names if name not in known]
        if missing:
            raise MalformedRecord.of("recording_name", f"a row for {', '.join(missing)}", "none")
    return [known[name] for name in names]


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise MalformedRecord.of("recording_name", "recording_<date>_<subject>_<subject>_<number>", name)


def _recording(row: Mapping[str, str]) -> Recording:
    name = field(row, "recording_name")
    _check_name(name)
    genders = tuple(_body(row, f"body_idx_{k}", (k,))[1] for k in (0, 1))
    interactee, gender = _body(row, "body_idx_fpv", (0, 1))
    if gender != genders[interactee]:
        raise MalformedRecord.of(f"body_idx_fpv of {name}", f"the gender of body_idx_{interactee}", gender)
    return Recording(
        name=name,
        scene=field(row, "scene_name"),
        genders=(genders[0], genders[1]),
        interactee=interactee,
        first_frame=_whole(row, "start_frame"),
        last_frame=_whole(row, "end_frame"),
    )


def _body(row: Mapping[str, str], key: str, indices: tuple[int, ...]) -> tuple[int, Gender]:
    index, _, gender = field(row, key).partition(" ")
    if index not in map(str, indices):
        raise MalformedRecord.of(key, f"one of {indices} and a gender", field(row, key))
    return int(index), gender_of(gender.strip())


def _whole(row: Mapping[str, str], key: str) -> int:
    if not re.fullmatch(r"\d{1,9}(\.0)?", field(row, key)):
        raise MalformedRecord.of(key, "a whole number", row[key])
    return int(float(row[key]))


def fits_of(root: Path, form: str, role: Role, split: str, recording: Recording) -> dict[int, str] | None:
    """Frame number -> fit, relative to the root; None where the release at hand has no fits of that role.

    The first release had no split in the folder's name.
    """
    for folder in (f"{form}_{role}_{split}", f"{form}_{role}"):
        results = root / folder / recording.name / f"body_idx_{recording.index(role)}" / "results"
        if results.is_dir():
            found = {frame_number(path.parent.name): path for path in sorted(results.glob("frame_*/000.pkl"))}
            return {
                number: str(path.relative_to(root))
                for number, path in found.items()
                if number is not None and recording.covers(number)
            }
    return None


def frame_number(name: str) -> int | None:
    """1888 of `frame_01888`; None for other names."""
    match = re.fullmatch(r"frame_(\d{1,9})", name)
    return int(match[1]) if match else None


def body_of(fit: Mapping[str, Any], form: str, gender: Gender, to_cam: RigidTransform) -> RawBody:
    """A fit of either form as a body.

    Raises:
        MalformedRecord: a parameter is missing or of another size, or the fit names another gender than the table.
    """
    if fit.get("gender", gender) != gender:
        raise MalformedRecord.of("gender", f"{gender}, as {INFO_FILE} says", fit["gender"])
    return smplx_body(fit, gender, to_cam) if form == "smplx" else smpl_body(fit, gender, to_cam)


def calibration_file(reader: Reader, recording: str, name: str) -> str:
    """A calibration of a recording; the official code has one folder more than the README's tree."""
    folder = f"calibrations/{recording}"
    return str(reader.require(f"{folder}/cal_trans/{name}", f"{folder}/{name}").relative_to(reader.root))


def scene_file(reader: Reader, recording: Recording) -> str | None:
    """Master camera to scene, which no picture needs."""
    folder = f"calibrations/{recording.name}"
    files = [f"{parent}/kinect12_to_world/{recording.scene}.json" for parent in (f"{folder}/cal_trans", folder)]
    return next((file for file in files if (reader.root / file).is_file()), None)


def load_transform(path: Path) -> RigidTransform:
    """The rigid map in a calibration file, {"trans": 4x4}.

    Raises:
        RawFileError: it is damaged, or holds no rigid map.
    """
    record = load_json(path)
    with concerns_file(path, FIX):
        return rigid(floats(record, "trans", 4, 4), "trans")


def scene_to_master(path: Path | None) -> RigidTransform | None:
    """World to master camera, where the file is there."""
    return None if path is None else inverse(load_transform(path))
