"""SPEC: SPEC-SYN, with SPEC-MTP as a test set beside it.

Citation: Kocabas et al., SPEC: Seeing People in the Wild with an Estimated Camera, ICCV 2021 (arXiv 2110.00620).
Licence: non-commercial research.
Access: registration at spec.is.tue.mpg.de; spec-syn.zip and spec-mtp.zip.
Counts: 72 000 train people (SMPLer-X table as recalled, unverified); counts of pictures unverified.
Frame: world without yaw, y down; `cam_rotmat` (from pitch and roll) turns it into the OpenCV camera. SPEC-MTP has
    `pose_cam`, in the camera already.
Units: radians, pixels of the whole picture. There is NO translation of a person: it is solved from the projected joints
    and the camera. `cam_trans` is one vector a picture, and none of a person (issue 11 of mkocabas/SPEC).
Hands: absent. SMPL has no fingers, and no face is labelled.
Gender: neutral SMPL. Betas: 10.
Labels: synthetic (SPEC-SYN); fit (SPEC-MTP, people who mimic poses before calibrated cameras).
Splits: train and test of SPEC-SYN, mtp_test.
Known defects:
    - The official loader prefers `pose_0yaw_inverseyz` where a file has it; that is right for the 3DPW file of the
      project alone, and for SPEC-SYN `pose` counts (its own evaluation).
    - `camcalib_*` are predictions of a network: never read. `S` has another scale than the bodies (posepile): not read.
    - Point 0 of `openpose_gt` is the head rather than the nose (posepile ds/spec/main.py): left out.
    - `focal_length` comes as (N,), (N, 1) or (N, 2).
    - The padding of `center` and `scale` is not documented: boxes follow from the points.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject, RigidTransform
from harmonize.keypoints import convention
from harmonize.raw.npz import load_npz, npz_header
from harmonize.readers.base import Reader, Unit
from harmonize.readers.fields import Floats, MalformedRecord, concerns_file, pinhole, require_keys, shaped
from harmonize.readers.kept import keep_last
from harmonize.record import BodyKind, Boxes, PointOrigin, Provenance

ROWS_PER_UNIT = 4096
SYNTHETIC_SIZE_PX = (1920, 1080)
NOSE_ROW = 0

_FILES = {
    "train": ("spec-syn/annotations/train.npz", "annotations/train.npz"),
    "test": ("spec-syn/annotations/test.npz", "annotations/test.npz"),
    "mtp_test": ("spec-mtp/annotations/test.npz",),
}
_POSES = ("pose", "pose_0yaw_inverseyz")
_POINTS = {"openpose_gt": 25, "openpose": 25, "part": 24}


@dataclass(frozen=True, slots=True)
class _Rows:
    """The arrays of a file, one row a person. to_cam: (N, 3, 3), None where poses are in the camera already."""

    names: list[str]
    pose: Floats
    betas: Floats
    to_cam: Floats | None
    focal: Floats
    principal: Floats
    points: dict[str, Floats]


class Spec(Reader):
    """A unit is a run of rows; a file is parsed once a process."""

    name = "spec"
    version = 1
    splits = ("train", "test", "mtp_test")
    forms = ("npz",)
    body_kinds: ClassVar[tuple[BodyKind, ...]] = ("smpl", "smplx")
    licence: ClassVar[str] = "non-commercial research"

    def units(self, split: str) -> list[Unit]:
        self.check_split(split)
        path = self.require(*_FILES[split])
        header = npz_header(path)
        require_keys(header, ("imgname",), str(path))
        shape, _ = header["imgname"]
        count = shape[0] if shape else 0
        file = str(path.relative_to(self.root))
        return [
            Unit(id=f"rows-{part:04d}", files=(file,), num_hint=min(ROWS_PER_UNIT, count - first))
            for part, first in enumerate(range(0, max(count, 1), ROWS_PER_UNIT))
        ]

    def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
        self.check_split(split)
        is_synthetic = split != "mtp_test"
        rows = (_synthetic_rows if is_synthetic else _mtp_rows)(self.root / unit.files[0])
        folder = unit.files[0].rpartition("annotations/")[0]
        first = int(unit.id.removeprefix("rows-")) * ROWS_PER_UNIT
        for row in range(first, min(first + ROWS_PER_UNIT, len(rows.names))):
            picture = PurePosixPath(rows.names[row])
            provenance = Provenance(
                dataset=self.name,
                split=split,
                sequence="" if str(picture.parent) == "." else str(picture.parent),
                frame=picture.stem,
                person=str(row),
                source_file=unit.files[0],
                source_row=str(row),
                image_path=f"{folder}{picture}",
                reader=self.name,
                reader_version=str(self.version),
                label_origin="synthetic" if is_synthetic else "fit",
                licence=self.licence,
            )
            if not np.isfinite([rows.focal[row], rows.principal[row]]).all():
                yield Reject(reason="malformed", provenance=provenance, detail="the camera's numbers are not finite")
                continue
            yield Annotation(
                provenance=provenance,
                image=ImageSource(path=provenance.image_path),
                camera=pinhole(rows.focal[row], rows.principal[row], is_calibrated=True),
                boxes=Boxes(),
                body=_body(rows, row),
                keypoints2d=tuple(_points(rows, row, is_synthetic=is_synthetic)),
                image_size_px=SYNTHETIC_SIZE_PX if is_synthetic else None,
            )


@keep_last
def _synthetic_rows(path: Path) -> _Rows:
    return _rows(path, _POSES)


@keep_last
def _mtp_rows(path: Path) -> _Rows:
    return _rows(path, ("pose_cam", *_POSES))


def _rows(path: Path, poses: tuple[str, ...]) -> _Rows:
    header = npz_header(path)
    pose_key = next((key for key in poses if key in header), poses[0])
    lens = ("cam_int",) if "cam_int" in header else ("focal_length", "cam_center")
    turn = () if pose_key == "pose_cam" else ("cam_rotmat",)
    points = [key for key in _POINTS if key in header]
    require_keys(header, ("imgname", pose_key, "shape", *turn, *lens), str(path))
    found = load_npz(path, keys=["imgname", pose_key, "shape", *turn, *lens, *points])
    with concerns_file(path):
        names = found["imgname"].ravel()
        count = len(names)
        if not count or names.dtype.kind not in "US":
            raise MalformedRecord(f"field 'imgname': expected names, found {names.dtype}{found['imgname'].shape}")
        if lens == ("cam_int",):
            intrinsics = shaped(found["cam_int"], "cam_int", count, 3, 3)
            focal, principal = intrinsics[:, [0, 1], [0, 1]], intrinsics[:, :2, 2]
        else:
            focal = shaped(found["focal_length"], "focal_length", count, -1)
            focal = (
                np.broadcast_to(focal, (count, 2))
                if focal.shape[1] in (1, 2)
                else shaped(focal, "focal_length", count, 2)
            )
            principal = shaped(found["cam_center"], "cam_center", count, 2)
        if not points:
            raise MalformedRecord.of(", ".join(_POINTS), "at least one of them", ", ".join(sorted(header)))
        return _Rows(
            names=[name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in names],
            pose=shaped(found[pose_key], pose_key, count, 24, 3),
            betas=shaped(found["shape"], "shape", count, 10),
            to_cam=shaped(found["cam_rotmat"], "cam_rotmat", count, 3, 3) if turn else None,
            focal=focal,
            principal=principal,
            points={key: shaped(found[key], key, count, _POINTS[key], 3) for key in points},
        )


def _body(rows: _Rows, row: int) -> RawBody:
    turn = None if rows.to_cam is None else RigidTransform(rotmat=rows.to_cam[row], transl_m=np.zeros(3))
    return RawBody(
        model="smpl",
        gender="neutral",
        pose_aa=rows.pose[row],
        betas=rows.betas[row],
        transl_m=None,
        hands="absent",
        to_cam=turn,
        is_transl_solved=True,
    )


def _points(rows: _Rows, row: int, *, is_synthetic: bool) -> Iterator[NamedPoints]:
    """Projected joints first: the translation is solved from them. Detections where there are no others."""
    body25 = "openpose_gt" if "openpose_gt" in rows.points else "openpose"
    projected: PointOrigin = "projected" if is_synthetic else "annotated"
    if body25 in rows.points:
        values = rows.points[body25][row].copy()
        values[:, 2] = np.clip(values[:, 2], 0.0, 1.0)
        is_projected = body25 == "openpose_gt"
        if is_projected:
            values[NOSE_ROW, 2] = 0.0
        yield NamedPoints(
            names=convention("openpose_25").names, values=values, origin=projected if is_projected else "detected"
        )
    if "part" in rows.points:
        values = rows.points["part"][row].copy()
        values[:, 2] = np.clip(values[:, 2], 0.0, 1.0)
        yield NamedPoints(names=convention("spin_49").names[25:], values=values, origin=projected)
