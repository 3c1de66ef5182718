"""Fits as SMPLify-X and the programs made from it write them: one small pickle (`000.pkl`) a person and frame.

Every array has a leading axis of 1. SMPL-X hands are the first 12 components of the model's hand space, to which the
mean hand is added (`flat_hand_mean=False`): relative. `pose_embedding`, `camera_rotation`, `camera_translation` and
similar entries are left over from the optimisation and mean nothing here.

A hand, jaw, eye or expression that is exactly zero was never fitted: zeros are what the optimiser starts from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.annotation import RawBody, RigidTransform
from harmonize.errors import RawFileError
from harmonize.raw.pickles import load_pickle
from harmonize.readers.fields import FIX, Floats, MalformedRecord, floats
from harmonize.record import Gender

MAX_FIT_BYTES = 16 << 20
MAX_HAND_COMPONENTS = 45

MEAN_PELVIS_M = (0.0, -0.35, 0.01)
"""About where the pelvis of SMPL-X rests, for any gender; good to a few centimetres."""

GENDERS: dict[str, Gender] = {"male": "male", "female": "female", "neutral": "neutral"}


def load_fit(path: Path) -> Mapping[str, Any]:
    """The entries of a fit.

    Raises:
        RawFileError: the file is missing, damaged, or holds no dictionary.
    """
    fit = load_pickle(path, max_bytes=MAX_FIT_BYTES)
    if not isinstance(fit, Mapping):
        raise RawFileError(f"{path}: expected a dictionary, found {type(fit).__name__}", fix=FIX, file=str(path))
    return fit


def smplx_body(fit: Mapping[str, Any], gender: Gender, to_cam: RigidTransform | None = None) -> RawBody:
    """An SMPL-X fit as a body.

    Raises:
        MalformedRecord: a parameter is missing or of another size.
    """
    left, right = hand_components(fit, "left_hand_pose"), hand_components(fit, "right_hand_pose")
    jaw, eyes = floats(fit, "jaw_pose", 1, 3), [floats(fit, key, 1, 3) for key in ("leye_pose", "reye_pose")]
    expression = floats(fit, "expression", 10)
    return RawBody(
        model="smplx",
        gender=gender,
        pose_aa=np.concatenate(
            [floats(fit, "global_orient", 1, 3), floats(fit, "body_pose", 21, 3), jaw, *eyes, np.zeros((30, 3))]
        ),
        betas=floats(fit, "betas", 10),
        transl_m=floats(fit, "transl", 3),
        hands="relative",
        expression=expression,
        to_cam=to_cam,
        left_hand_pca=left,
        right_hand_pca=right,
        has_left_hand=bool(left.any()),
        has_right_hand=bool(right.any()),
        has_jaw=bool(jaw.any()),
        has_eyes=any(bool(eye.any()) for eye in eyes),
        has_expression=bool(expression.any()),
    )


def smpl_body(fit: Mapping[str, Any], gender: Gender, to_cam: RigidTransform | None = None) -> RawBody:
    """An SMPL fit of the same layout as a body.

    Raises:
        MalformedRecord: a parameter is missing or of another size.
    """
    return RawBody(
        model="smpl",
        gender=gender,
        pose_aa=np.concatenate([floats(fit, "global_orient", 1, 3), floats(fit, "body_pose", 23, 3)]),
        betas=floats(fit, "betas", 10),
        transl_m=floats(fit, "transl", 3),
        hands="absent",
        to_cam=to_cam,
    )


def hand_components(fit: Mapping[str, Any], key: str) -> Floats:
    """Coefficients (n,) of the model's first n hand components; n differs between programs.

    Raises:
        MalformedRecord: there are none, or more than the hand has.
    """
    values = floats(fit, key, -1)
    if not 0 < len(values) <= MAX_HAND_COMPONENTS:
        raise MalformedRecord.of(key, f"1 to {MAX_HAND_COMPONENTS} hand components", f"{len(values)} of them")
    return values


def gender_of(value: Any) -> Gender:
    """A gender spelled out.

    Raises:
        MalformedRecord: it is not one of male, female and neutral.
    """
    gender = GENDERS.get(value) if isinstance(value, str) else None
    if gender is None:
        raise MalformedRecord.of("gender", "male, female or neutral", value)
    return gender


def about_pelvis_m(body: RawBody) -> Floats:
    """About where the posed pelvis is, (3,) in the camera frame: enough to tell people in a picture apart."""
    pelvis: Floats = np.asarray(MEAN_PELVIS_M) + (0.0 if body.transl_m is None else body.transl_m)
    return pelvis if body.to_cam is None else np.asarray(body.to_cam.rotmat @ pelvis + body.to_cam.transl_m)
