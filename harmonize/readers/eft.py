"""Fits of Exemplar Fine-Tuning (EFT), one json format for PoseTrack, OCHuman, LSPET and COCO.

Citation: Joo et al., Exemplar Fine-Tuning for 3D Human Model Fitting, 3DV 2021 (arXiv 2004.03686); CC BY-NC 4.0.
Format: facebookresearch/eft docs/README_dataformat.md: {"ver", "data": [fit, ...]}. Neutral SMPL. Rotations are
matrices from a network's output, so they are made orthogonal again. There is no translation but a weak-perspective
camera (s, tx, ty) of a square crop with side B = 200 bbox_scale around bbox_center. Of a point X of SMPL without
translation

    u = x0 + B/2 (s X_x + tx + 1),  v = y0 + B/2 (s X_y + ty + 1),  (x0, y0) = bbox_center - B/2.

The virtual pinhole here has its principal point at bbox_center and f = 5000 B / 224 px (what EFT's own renderer and
SPIN use), so that transl = (tx/s, ty/s, 2 f / (s B)): about 50 m, not metric. Pinhole and weak perspective differ by
depth over distance: below 1 px for people of usual size, and EFT's rounding of the crop to whole pixels is as large.

2D points are 49 in SPIN's order: 25 of OpenPose (zeros where there were none), then 24 annotated. The crop is the box
of the annotation made square and enlarged by 1.2; person boxes here are not enlarged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.annotation import Annotation, ImageSource, NamedPoints, RawBody, Reject
from harmonize.geometry.rotations import rotmat_to_aa
from harmonize.keypoints import convention
from harmonize.raw.jsons import iter_json_items
from harmonize.readers.base import Unit
from harmonize.readers.fields import (
    Floats,
    MalformedRecord,
    box,
    concerns_file,
    floats,
    label,
    number,
    pinhole,
    text,
)
from harmonize.readers.kept import keep_last
from harmonize.record import Array, Boxes, Camera, Provenance

ROWS_PER_UNIT = 2048
CROP_FOCAL_PX = 5000.0
CROP_PX = 224.0
CROP_MARGIN = 1.2

MAX_DRIFT = 0.02
"""Largest entry of |R R^T - 1|: float32 output of a network is off by 1e-6; beyond this it is no rotation."""

_NUM_DETECTED = 25
_EARS = ("left_ear", "right_ear")


@dataclass(frozen=True, slots=True)
class EftFit:
    """One fit in compact form.

    pose_aa (24, 3). camera (3,): s, tx, ty. crop_px (3,): centre x, y and side of the square. points (49, 3): x, y
    px and confidence.
    """

    image_name: str
    subject: str
    annotation_id: str
    pose_aa: Array
    betas: Array
    camera: Floats
    crop_px: Floats
    points: Array


@dataclass(frozen=True, slots=True)
class EftMalformed:
    """A fit that could not be parsed, what it calls its picture, and why."""

    image_name: str
    subject: str
    annotation_id: str
    reason: str
    why: str


EftRow = EftFit | EftMalformed
_Parsed = tuple[tuple[str, str, str], Floats, Array, Floats, Floats, Array]
"""Names, rotmats (24, 3, 3), betas, camera, crop_px, points."""


@keep_last
def read_eft(path: Path) -> list[EftRow]:
    """The fits of a file, streamed, in order.

    Raises:
        RawFileError: the file is missing, no JSON, or has no fits.
    """
    rows: list[EftRow] = []
    parsed: list[EftMalformed | _Parsed] = []
    for entry in iter_json_items(path, "data.item", has_nan=True):
        parsed.append(_parse(entry))
        if len(parsed) == ROWS_PER_UNIT:
            rows += _with_poses(parsed)
            parsed = []
    rows += _with_poses(parsed)
    with concerns_file(path):
        if not rows:
            raise MalformedRecord("field 'data': expected fits, found none")
    return rows


def eft_units(num_rows: int, file: str) -> list[Unit]:
    """Runs of rows, each a unit that reads `file`."""
    return [
        Unit(id=f"rows-{part:04d}", files=(file,), num_hint=min(ROWS_PER_UNIT, num_rows - first))
        for part, first in enumerate(range(0, num_rows, ROWS_PER_UNIT))
    ]


def rows_of(rows: list[EftRow], unit: Unit) -> Iterator[tuple[int, EftRow]]:
    """(row, fit) of a unit, in order."""
    first = int(unit.id.removeprefix("rows-")) * ROWS_PER_UNIT
    yield from enumerate(rows[first : first + ROWS_PER_UNIT], first)


def _parse(entry: Any) -> EftMalformed | _Parsed:
    names = (label(entry, "imageName"), label(entry, "subjectId"), label(entry, "annotId"))
    try:
        text(entry, "imageName")
        if label(entry, "smpltype") not in ("smpl", ""):
            raise MalformedRecord.of("smpltype", "smpl", entry["smpltype"])
        rotmats = floats(entry, "parm_pose", 24, 3, 3)
        betas, camera = floats(entry, "parm_shape", 10), floats(entry, "parm_cam", 3)
        crop_px = np.array([*floats(entry, "bbox_center", 2), 200 * number(entry, "bbox_scale")])
        points = floats(entry, "gt_keypoint_2d", 49, 3).copy()
    except MalformedRecord as error:
        return EftMalformed(*names, "malformed", str(error))
    for name, values in (("parm_pose", rotmats), ("parm_shape", betas), ("parm_cam", camera), ("bbox", crop_px)):
        if not np.isfinite(values).all():
            return EftMalformed(*names, "not-finite", name)
    if camera[0] <= 0 or crop_px[2] <= 0:
        return EftMalformed(*names, "malformed", f"expected scales above 0, found {camera[0]:g} and {crop_px[2]:g}")
    points[:, 2] = np.clip(points[:, 2], 0.0, 1.0)
    points[~np.isfinite(points).all(axis=1)] = 0.0
    return names, rotmats, betas.astype(np.float32), camera, crop_px, points.astype(np.float32)


def _with_poses(parsed: list[EftMalformed | _Parsed]) -> list[EftRow]:
    """Fits with their rotations as axis-angle, all at once; those that have no rotations are malformed."""
    rotmats = np.reshape([one[1] for one in parsed if isinstance(one, tuple)], (-1, 24, 3, 3)).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        drift = np.abs(rotmats @ rotmats.swapaxes(-1, -2) - np.eye(3)).max(axis=(1, 2, 3))
        is_turn = (drift <= MAX_DRIFT) & (np.linalg.det(rotmats) > 0).all(axis=1)
    poses = np.zeros((len(rotmats), 24, 3), np.float32)
    poses[is_turn] = rotmat_to_aa(rotmats[is_turn])
    rows: list[EftRow] = []
    position = count()
    for one in parsed:
        if isinstance(one, EftMalformed):
            rows.append(one)
            continue
        at = next(position)
        names, _, betas, camera, crop_px, points = one
        if is_turn[at]:
            rows.append(EftFit(*names, poses[at], betas, camera, crop_px, points))
        else:
            rows.append(EftMalformed(*names, "not-a-rotation", f"parm_pose: orthogonality error {drift[at]:.3g}"))
    return rows


def eft_annotation(
    fit: EftRow, provenance: Provenance, image: ImageSource, *, has_ears: bool = True, has_box: bool = True
) -> Annotation | Reject:
    """The person of a fit, or why there is none.

    has_ears: false where the two slots are placeholders. has_box: false where the crop is not that of the person.
    """
    if isinstance(fit, EftMalformed):
        return Reject(reason=fit.reason, provenance=provenance, detail=fit.why)
    centre_px, side_px = fit.crop_px[:2], fit.crop_px[2] / CROP_MARGIN
    xywh_px = np.array([*(centre_px - side_px / 2), side_px, side_px])
    names = convention("spin_49").names
    detected, annotated = fit.points[:_NUM_DETECTED], fit.points[_NUM_DETECTED:]
    kept = [i for i, name in enumerate(names[_NUM_DETECTED:]) if has_ears or name not in _EARS]
    points = [
        NamedPoints(names=tuple(names[_NUM_DETECTED + i] for i in kept), values=annotated[kept], origin="annotated")
    ]
    if (detected[:, 2] > 0).any():
        points.append(NamedPoints(names=names[:_NUM_DETECTED], values=detected, origin="detected"))
    return Annotation(
        provenance=provenance,
        image=image,
        camera=eft_camera(fit),
        boxes=Boxes(person_xywh_px=box(xywh_px), person_origin="dataset") if has_box else Boxes(),
        body=eft_body(fit),
        keypoints2d=tuple(points),
    )


def eft_camera(fit: EftFit) -> Camera:
    """The virtual pinhole of a fit."""
    focal_px = CROP_FOCAL_PX * fit.crop_px[2] / CROP_PX
    return pinhole(np.array([focal_px, focal_px]), fit.crop_px[:2], is_calibrated=False)


def eft_body(fit: EftFit) -> RawBody:
    """The body of a fit, placed for its virtual pinhole."""
    scale, tx, ty = fit.camera
    return RawBody(
        model="smpl",
        gender="neutral",
        pose_aa=fit.pose_aa,
        betas=fit.betas,
        transl_m=np.array([tx / scale, ty / scale, 2 * CROP_FOCAL_PX / (CROP_PX * scale)]),
        hands="absent",
        is_transl_metric=False,
    )
