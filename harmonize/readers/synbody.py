"""SynBody: layered human models in rendered scenes.

Citation: Yang et al., SynBody: Synthetic Dataset with Layered Human Models for 3D Human Perception and Modeling, ICCV
    2023 (arXiv 2303.17368).
Licence: CC BY-NC-SA 4.0 (Hugging Face release).
Access: caizhongang/SynBody on Hugging Face, folder SMPL-X_subset; no registration.
Counts: 1 200 000 pictures and 10 000 body models (paper abstract); 633 500 train people (SMPLer-X table as recalled,
    unverified).
Frame: OpenCV camera, parameters are in it already. One pinhole for all: f 640, c (640, 360), 1280x720.
Units: metres, radians, pixels.
Hands: relative (offsets to the mean hand), 45 values read as axis-angle, which is unverified for the public files.
Gender: SMPL-X or SMPL of the gender in `meta`, for which two hints speak: the authors' later converter poses that
    model, and SMPLer-X trains with refitted neutral betas. Unverified for v1.0. Betas: 10, one row a clip or a frame.
Labels: synthetic.
Forms: `smplx` (release, default), `smpl` (release), `internal` (older layout with joints, SMPL-X).
Known defects:
    - Frame 0 is a T-pose and is left out. Parameters have a row for it or not, joints likewise: each array is aligned
      by its own length, from the number of the last picture (mmhuman3d's cuts the joints whatever their length).
      Where no picture is at hand, a first row without any body rotation is taken for the T-pose.
    - SMPLer-X projects with a focal length of 540; the visualiser of the release and mmhuman3d have 640.
    - Folders of the internal layout without `_noBUG` have joints that need not be the body's: no exact points.
    - Masks are pictures and are not read, so hidden people are kept; mmhuman3d's test of them accepts wrong colours.
    - Batches `*_ehf` (one is spelled `efh`) and `*_agora` repeat motions of EHF and AGORA.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject
from harmonize.keypoints import convention
from harmonize.raw.npz import load_npz, npz_header
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import (
    Floats,
    MalformedRecord,
    concerns_file,
    entries,
    field,
    floats,
    numbers,
    pinhole,
    require_keys,
    with_confidence,
)
from harmonize.record import BodyKind, Boxes, Camera, Gender, Provenance

SIZE_PX = (1280, 720)
FOCAL_PX = 640.0

_CAMERA: Camera = pinhole(np.full(2, FOCAL_PX), np.array(SIZE_PX) / 2, is_calibrated=True)
_FOLDERS = {
    "smplx": ("smplx",),
    "smpl": ("smpl",),
    "internal": ("smplx_withJoints_inCamSpace_noBUG", "smplx_withJoints_inCamSpace"),
}
"""Folders of the people of a sequence by form, the preferred one first."""
_EXACT_FOLDER = "smplx_withJoints_inCamSpace_noBUG"
_POSES: dict[BodyKind, tuple[tuple[str, int], ...]] = {
    "smplx": (
        ("global_orient", 1),
        ("body_pose", 21),
        ("jaw_pose", 1),
        ("leye_pose", 1),
        ("reye_pose", 1),
        ("left_hand_pose", 15),
        ("right_hand_pose", 15),
    ),
    "smpl": (("global_orient", 1), ("body_pose", 23)),
}
_GENDERS: dict[str, Gender] = {"male": "male", "female": "female", "neutral": "neutral"}
_NUM_JOINTS = 127
"""Of the 144 joints: the last 17, on the contour of the face, depend on the view and on who computes them."""


class Synbody(Reader):
    """A unit is one sequence of one camera with all its people, frame by frame."""

    name = "synbody"
    version = 1
    splits = ("train",)
    forms = ("smplx", "smpl", "internal")
    body_kinds: ClassVar[tuple[BodyKind, ...]] = ("smpl", "smplx")
    licence: ClassVar[str] = "CC BY-NC-SA 4.0"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        for base in ("", "synbody_v1_0", "synbody"):
            people: dict[str, dict[str, list[str]]] = {}
            for folder in _FOLDERS[self.form]:
                for path in sorted((self.root / base).glob(f"*/*/*/{folder}/*.npz")):
                    sequence = "/".join(path.parts[-5:-2])
                    by_folder = people.setdefault(sequence, {})
                    by_folder.setdefault(folder, []).append(str(path.relative_to(self.root)))
            if people:
                return [Unit(id=sequence, files=_preferred(people[sequence])) for sequence in sorted(people)]
        self.require(f"<batch>/<place>/<sequence>/{_FOLDERS[self.form][0]}/<person>.npz")
        return []

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        pictures = Path(unit.files[0]).parent.parent / "rgb"
        last = max((int(path.stem) for path in (self.root / pictures).glob("*.jpeg") if path.stem.isdigit()), default=0)
        model: BodyKind = "smpl" if self.form == "smpl" else "smplx"
        people = [(file, _load(self.root / file, model, last)) for file in unit.files]
        for row in range(max(len(person["pose"]) for _, person in people)):
            frame = row + 1
            for file, person in people:
                if row >= len(person["pose"]):
                    continue
                image = ImageSource(path=str(pictures / f"{frame:04d}.jpeg"), orientation=1)
                provenance = Provenance(
                    dataset=self.name,
                    split=split,
                    sequence=unit.id,
                    frame=f"{frame:04d}",
                    subject=Path(file).stem,
                    person=Path(file).stem,
                    source_file=file,
                    source_row=f"frame={frame}",
                    image_path=image.name,
                    reader=self.name,
                    reader_version=str(self.version),
                    label_origin="synthetic",
                    licence=self.licence,
                )
                yield Annotation(
                    provenance=provenance,
                    image=image,
                    camera=_CAMERA,
                    boxes=Boxes(),
                    body=_body(person, row),
                    keypoints2d=() if person["points2d"] is None else (_points(person, "points2d", row),),
                    keypoints3d=None if person["points3d"] is None else _points(person, "points3d", row),
                    image_size_px=SIZE_PX,
                )


def _preferred(by_folder: Mapping[str, list[str]]) -> tuple[str, ...]:
    """The files of the first folder that has any."""
    return tuple(next(iter(by_folder.values())))


def _load(path: Path, model: BodyKind, last_frame: int) -> dict[str, Any]:
    """The arrays of a person, one row for each frame from 1. `last_frame` is that of the last picture, 0 if unknown."""
    header = npz_header(path)
    require_keys(header, (model, "meta"), str(path))
    content = load_npz(path, [key for key in (model, "meta", "keypoints2d", "keypoints3d") if key in header])
    with concerns_file(path):
        record = {key: value.item() if value.ndim == 0 else value for key, value in content.items()}
        params = entries(record, model)
        num_rows = len(floats(params, "transl", -1, 3))
        poses = [floats(params, key, num_rows, count, 3) for key, count in _POSES[model]]
        # Without pictures: a T-pose turns no joint of the body.
        has_t_pose = num_rows > 0 and not poses[1][0].any()
        num_frames = last_frame or num_rows - has_t_pose
        betas = floats(params, "betas", -1, 10)
        person: dict[str, Any] = {
            "model": model,
            "gender": _gender(field(entries(record, "meta"), "gender")),
            "pose": _aligned(np.concatenate(poses, axis=1), "global_orient", num_frames),
            "transl": _aligned(floats(params, "transl", num_rows, 3), "transl", num_frames),
            "betas": np.repeat(betas, num_frames, axis=0) if len(betas) == 1 else _aligned(betas, "betas", num_frames),
            "expression": None,
            "is_exact": path.parent.name == _EXACT_FOLDER,
        }
        if model == "smplx":
            person["expression"] = _aligned(floats(params, "expression", num_rows, 10), "expression", num_frames)
        for key, name, size in (("keypoints2d", "points2d", 2), ("keypoints3d", "points3d", 3)):
            person[name] = None
            if key in record:
                points = numbers(record[key], key)
                if points.ndim != 3 or points.shape[1:] != (144, size):
                    raise MalformedRecord(f"field {key!r}: expected shape (frames, 144, {size}), found {points.shape}")
                person[name] = _aligned(points, key, num_frames)
    return person


def _aligned(rows: Floats, name: str, num_frames: int) -> Floats:
    """The rows of frames 1 to num_frames of an array that starts with frame 1 or, if it is longer, with the T-pose."""
    if len(rows) < num_frames:
        raise MalformedRecord(f"field {name!r}: expected a row for each of {num_frames} frames, found {len(rows)}")
    return rows if len(rows) == num_frames else rows[1 : num_frames + 1]


def _gender(value: Any) -> Gender:
    gender = _GENDERS.get(str(value).lower())
    if gender is None:
        raise MalformedRecord.of("gender", "male, female or neutral", value)
    return gender


def _points(person: Mapping[str, Any], key: str, row: int) -> NamedPoints:
    values = with_confidence(person[key][row, :_NUM_JOINTS])
    known = np.isfinite(values).all(axis=1, keepdims=True)
    return NamedPoints(
        names=convention("agora_127").names,
        values=np.where(known, values, 0.0),
        origin="projected" if key == "points2d" else "measured",
        is_exact=person["is_exact"],
    )


def _body(person: Mapping[str, Any], row: int) -> RawBody:
    is_smplx = person["model"] == "smplx"
    return RawBody(
        model=person["model"],
        gender=person["gender"],
        pose_aa=person["pose"][row],
        betas=person["betas"][row],
        transl_m=person["transl"][row],
        hands="relative" if is_smplx else "absent",
        expression=person["expression"][row] if is_smplx else None,
        has_left_hand=is_smplx,
        has_right_hand=is_smplx,
        has_jaw=is_smplx,
        has_eyes=is_smplx,
        has_expression=is_smplx,
    )
