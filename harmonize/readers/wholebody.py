"""COCO-WholeBody people and NeuralAnnot-style SMPL-X fits: what MS COCO and UBody have in common.

A COCO-WholeBody annotation holds five point lists; together, in the order body, feet, face, left hand, right hand, they
are the 133 points of the convention (jin-s13/COCO-WholeBody, data_format.md). v is 0 (not labelled), 1 (labelled,
hidden) or 2 (visible); in the part lists it may be a float between 0 and 1, because those labels are model-assisted.
Confidence is v cut to [0, 1]: a hidden point that an annotator placed counts as labelled, a float stays what it is.
(The mmhuman3d converter keeps only v == 2 and so loses both.)

A fit is `smplx_param` (neutral SMPL-X, 10 betas, 10 expression values, full axis-angle hands RELATIVE to the mean hand:
mks0601/Hand4Whole_RELEASE issues 45 and 62) with `cam_param`, a virtual camera per person in whole-picture pixels whose
focal length comes from a network crop (tens of thousands of pixels): depth is not metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonize.annotation import NamedPoints, RawBody
from harmonize.keypoints import convention
from harmonize.readers.fields import entries, flag, floats, integer, pinhole
from harmonize.record import Array, Camera, PointOrigin

NO_POINTS: Array = np.zeros((133, 3), np.float32)

_LISTS = (
    ("keypoints", 17, ()),
    ("foot_kpts", 6, ("foot_valid",)),
    ("face_kpts", 68, ("face_valid",)),
    ("lefthand_kpts", 21, ("lefthand_valid",)),
    ("righthand_kpts", 21, ("righthand_valid",)),
)
FACE_ROWS = slice(23, 91)
LEFT_HAND_ROWS = slice(91, 112)
RIGHT_HAND_ROWS = slice(112, 133)

_FIT = (
    ("root_pose", 3),
    ("body_pose", 63),
    ("jaw_pose", 3),
    ("lhand_pose", 45),
    ("rhand_pose", 45),
    ("shape", 10),
    ("expr", 10),
    ("trans", 3),
)
_VALID = ("lhand_valid", "rhand_valid", "face_valid")
_CAMERA = (("focal", 2), ("princpt", 2))


@dataclass(frozen=True, slots=True)
class Person:
    """One COCO-WholeBody annotation in compact form (a train set holds 250 000 of them).

    points (133, 3): x, y px and confidence; shared zeros where none is labelled on the body.
    boxes (4, 4): person, face, left hand, right hand as x, y, w, h px.
    valid: face, left hand, right hand.
    """

    id: int
    image_id: int
    is_crowd: bool
    num_keypoints: int
    points: Array
    boxes: Array
    valid: tuple[bool, bool, bool]


def person(annotation: Mapping[str, Any]) -> Person:
    """Parse one annotation.

    Raises:
        MalformedRecord: a field is missing or of another size.
    """
    rows = []
    for key, count, flags in _LISTS:
        points = floats(annotation, key, count, 3)
        labelled = all(flag(annotation, name) for name in flags if name in annotation)
        points[:, 2] = np.clip(points[:, 2], 0.0, 1.0) * labelled
        rows.append(points)
    boxes = [floats(annotation, key, 4) for key in ("bbox", "face_box", "lefthand_box", "righthand_box")]
    face, left, right = (flag(annotation, key) for key in ("face_valid", "lefthand_valid", "righthand_valid"))
    num_keypoints = integer(annotation, "num_keypoints")
    return Person(
        id=integer(annotation, "id"),
        image_id=integer(annotation, "image_id"),
        is_crowd="iscrowd" in annotation and flag(annotation, "iscrowd"),
        num_keypoints=num_keypoints,
        points=np.concatenate(rows).astype(np.float32) if num_keypoints else NO_POINTS,
        boxes=np.array(boxes, np.float32),
        valid=(face, left, right),
    )


def named_points(points: Array, origin: PointOrigin) -> NamedPoints:
    """The 133 points under their canonical names."""
    return NamedPoints(names=convention("coco_wholebody_133").names, values=points, origin=origin)


@dataclass(frozen=True, slots=True)
class NeuralFit:
    """One fit in compact form: its numbers (186,) in the order root, body, jaw, left and right hand (axis-angle, 159),
    betas, expression, translation, focal length, principal point.

    valid: left hand, right hand, face as the fit itself says, None where it is silent.
    """

    values: Array
    valid: tuple[bool, bool, bool] | None


def neural_fit(entry: Mapping[str, Any]) -> NeuralFit:
    """Parse one entry of a fit file.

    Raises:
        MalformedRecord: a parameter is missing or of another size.
    """
    params, camera = entries(entry, "smplx_param"), entries(entry, "cam_param")
    numbers = [floats(params, key, size) for key, size in _FIT] + [floats(camera, key, size) for key, size in _CAMERA]
    valid = None
    if not any(params.get(key) is None for key in _VALID):
        left, right, face = (flag(params, key) for key in _VALID)
        valid = (left, right, face)
    return NeuralFit(values=np.concatenate(numbers).astype(np.float32), valid=valid)


def fit_body(fit: NeuralFit, labelled: tuple[bool, bool, bool]) -> RawBody:
    """The fit as a body; the annotation's flags (face, left hand, right hand) count where the fit has none."""
    face, left, right = labelled if fit.valid is None else (fit.valid[2], fit.valid[0], fit.valid[1])
    poses = fit.values[:159].reshape(53, 3)
    eyes = np.zeros((2, 3), np.float32)
    return RawBody(
        model="smplx",
        gender="neutral",
        pose_aa=np.concatenate([poses[:23], eyes, poses[23:]]),
        betas=fit.values[159:169],
        transl_m=fit.values[179:182],
        hands="relative",
        expression=fit.values[169:179],
        has_left_hand=left,
        has_right_hand=right,
        has_jaw=face,
        has_expression=face,
        is_transl_metric=False,
    )


def fit_camera(fit: NeuralFit) -> Camera:
    """The fit's virtual camera."""
    return pinhole(fit.values[182:184], fit.values[184:], is_calibrated=False)
