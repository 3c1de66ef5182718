"""Bodies of one model at once: hands made absolute, frame changed, neutral SMPL-X fitted, joints computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harmonize.annotation import RawBody
from harmonize.bodies import BodyBatch, BodyModel, BodyModels, NeutralFit, to_neutral
from harmonize.geometry.frames import change_frame
from harmonize.meshes import LEFT_HAND, RIGHT_HAND, absolute_hands
from harmonize.record import Conversion

Floats = npt.NDArray[np.floating[Any]]
BodyMode = Literal["fit", "copy"]


def model_group(body: RawBody) -> tuple[Any, ...]:
    """Bodies with the same group can be solved together."""
    return (
        body.model,
        body.gender,
        len(body.betas),
        body.kid_weight != 0.0,
        body.neutral_betas is not None,
    )


@dataclass(frozen=True, slots=True)
class Solved:
    """One body in the camera frame: as annotated, and as neutral SMPL-X."""

    raw: RawBody
    global_orient_aa: Floats
    transl_m: Floats
    source_joints_m: Floats
    other_hand_joints_m: Floats | None
    joint_names: tuple[str, ...]
    pose_aa: Floats
    betas: Floats
    neutral_transl_m: Floats
    has_betas: bool
    joints_m: Floats
    conversion: Conversion
    error_mm: float


def solve(bodies: list[RawBody], models: BodyModels, mode: BodyMode) -> list[Solved]:
    """Bodies of one `model_group`, in order."""
    first = bodies[0]
    model = models.get(first.model, first.gender)
    pose = np.stack([absolute_hands(body.pose_aa, body.hands, model) for body in bodies])
    betas = np.stack([body.betas for body in bodies]).astype(np.float64)
    transl = np.stack([np.zeros(3) if body.transl_m is None else body.transl_m for body in bodies]).astype(np.float64)
    kid = np.array([body.kid_weight for body in bodies]) if first.kid_weight else None
    rest_pelvis = model.rest_pelvis_m(betas, kid).astype(np.float64)
    moved = [i for i, body in enumerate(bodies) if body.to_cam is not None]
    if moved:
        transforms = [body.to_cam for body in bodies if body.to_cam is not None]
        orient, moved_transl = change_frame(
            pose[moved, 0],
            transl[moved],
            rest_pelvis[moved],
            np.stack([transform.rotmat for transform in transforms]),
            np.stack([transform.transl_m for transform in transforms]),
        )
        pose[moved, 0], transl[moved] = orient, moved_transl
    for i, body in enumerate(bodies):
        if body.pelvis_cam_m is not None:
            transl[i] = body.pelvis_cam_m - rest_pelvis[i]
    expression = np.stack([expression_of(body) for body in bodies])
    batch = BodyBatch(
        pose_aa=pose,
        betas=betas,
        transl_m=transl,
        expression=expression if first.model == "smplx" else None,
        kid_weight=kid,
    )
    neutral = None
    if first.neutral_betas is not None:
        neutral = np.stack([body.neutral_betas for body in bodies if body.neutral_betas is not None])
    fit = to_neutral(batch, model, models, mode, neutral_betas=neutral)
    joints = models.get("smplx", "neutral").joints(fit.batch)
    source_joints = model.joints(batch)
    other_joints = _other_hand_joints(bodies, batch, model)
    conversion = _conversion(first, mode)
    return [
        Solved(
            raw=body,
            global_orient_aa=pose[i, 0],
            transl_m=transl[i],
            source_joints_m=source_joints[i],
            other_hand_joints_m=None if other_joints is None or body.hands == "absent" else other_joints[i],
            joint_names=model.joint_names,
            joints_m=joints[i],
            conversion=conversion,
            **_neutral_row(fit, i),
        )
        for i, body in enumerate(bodies)
    ]


def _other_hand_joints(bodies: list[RawBody], batch: BodyBatch, model: BodyModel) -> Floats | None:
    """The source's joints if every reader had stated the other hand-mean convention; None for SMPL, which has no hands.

    Held against the dataset's own hand points, they show a wrong statement that noisy points would let pass.
    """
    if model.hand_mean_aa is None:
        return None
    pose = np.array(batch.pose_aa, np.float64)
    for i, body in enumerate(bodies):
        sign = 1.0 if body.hands == "absolute" else -1.0
        pose[i, LEFT_HAND[model.kind]] += sign * model.hand_mean_aa[0]
        pose[i, RIGHT_HAND[model.kind]] += sign * model.hand_mean_aa[1]
    return model.joints(replace(batch, pose_aa=pose))


def _neutral_row(fit: NeutralFit, i: int) -> dict[str, Any]:
    return {
        "pose_aa": fit.batch.pose_aa[i],
        "betas": fit.batch.betas[i],
        "neutral_transl_m": fit.batch.transl_m[i],
        "has_betas": bool(fit.has_betas[i]),
        "error_mm": float(fit.error_mm[i]),
    }


def _conversion(body: RawBody, mode: BodyMode) -> Conversion:
    if is_neutral_smplx(body):
        return "identity"
    return "copy" if mode == "copy" and body.model != "smplx" else "fit"


def has_position(body: RawBody) -> bool:
    """Whether the dataset says where in the camera frame the body is."""
    return body.transl_m is not None or body.pelvis_cam_m is not None


def is_neutral_smplx(body: RawBody) -> bool:
    """Whether the parameters already are neutral SMPL-X with at most 10 betas, whatever the hand convention."""
    return body.model == "smplx" and body.gender == "neutral" and len(body.betas) <= 10 and body.kid_weight == 0.0


def expression_of(body: RawBody) -> Floats:
    """(10,) the first ten coefficients, zeros where the source has none."""
    values = np.zeros(10)
    if body.expression is not None:
        values[: len(body.expression)] = body.expression[:10]
    return values
