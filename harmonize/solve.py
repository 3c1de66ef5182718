"""Bodies of one model at once: hands made absolute, frame changed, neutral SMPL-X fitted, joints computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harmonize.annotation import Annotation, RawBody
from harmonize.bodies import BodyBatch, BodyModel, BodyModels, NeutralFit, from_meshes, to_neutral
from harmonize.geometry.frames import change_frame
from harmonize.geometry.rotations import canonical_aa
from harmonize.meshes import LEFT_HAND, RIGHT_HAND, absolute_hands
from harmonize.place import solve_transl
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
        id(body.rest_mesh_m),
        body.mesh_m is not None,
    )


@dataclass(frozen=True, slots=True)
class Solved:
    """One body in the camera frame: as annotated, and as neutral SMPL-X. Without a position, only the pose counts."""

    raw: RawBody
    has_position: bool
    pose_source_aa: Floats
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


def solve(views: list[Annotation], models: BodyModels, mode: BodyMode) -> list[Solved]:
    """The bodies, all of one `model_group`, of annotations; in order."""
    bodies = [view.body for view in views if view.body is not None]
    first = bodies[0]
    if first.mesh_m is not None:
        return _solve_meshes(bodies, models)
    if first.rest_mesh_m is not None:
        model = models.subject(first.model, first.gender, first.rest_mesh_m)
    else:
        model = models.get(first.model, first.gender)
    pose = np.stack([absolute_hands(_fingers(body, model), body.hands, model) for body in bodies])
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
    is_placed = np.array([body.transl_m is not None or body.pelvis_cam_m is not None for body in bodies])
    source_joints = model.joints(batch)
    for i, view in enumerate(views):
        if bodies[i].is_transl_solved:
            found = solve_transl(source_joints[i], model.joint_names, view.camera, view.keypoints2d)
            if found is not None:
                # A change of frame has turned the body about its pelvis, which already moved it.
                transl[i] += found
                is_placed[i] = True
                source_joints[i] += found.astype(np.float32)
    neutral = None
    if first.neutral_betas is not None:
        neutral = np.stack([body.neutral_betas for body in bodies if body.neutral_betas is not None])
    fit = to_neutral(batch, model, models, mode, neutral_betas=neutral)
    neutral_pose = canonical_aa(fit.batch.pose_aa)
    conversion = _conversion(first, mode)
    if (
        conversion == "identity"
        and betas.shape == fit.batch.betas.shape
        and not any(b.is_transl_solved for b in bodies)
    ):
        joints = source_joints
    else:
        joints = models.get("smplx", "neutral").joints(fit.batch)
    # Exact points show a wrong hand convention by themselves.
    is_doubtful = any(not points.is_exact for view in views for points in view.keypoints2d)
    other_joints = _other_hand_joints(bodies, batch, model) if is_doubtful else None
    return [
        Solved(
            raw=body,
            has_position=bool(is_placed[i]),
            pose_source_aa=pose[i],
            transl_m=transl[i],
            source_joints_m=source_joints[i],
            other_hand_joints_m=None if other_joints is None or body.hands == "absent" else other_joints[i],
            joint_names=model.joint_names,
            joints_m=joints[i],
            conversion=conversion,
            **_neutral_row(fit, neutral_pose, i),
        )
        for i, body in enumerate(bodies)
    ]


def _solve_meshes(bodies: list[RawBody], models: BodyModels) -> list[Solved]:
    """Bodies that the dataset gives as posed meshes in SMPL-X topology."""
    meshes = []
    for body in bodies:
        mesh = np.asarray(body.mesh_m, np.float64)
        if body.to_cam is not None:
            mesh = mesh @ np.asarray(body.to_cam.rotmat, np.float64).T + body.to_cam.transl_m
        meshes.append(mesh)
    fit = from_meshes(np.stack(meshes), models)
    neutral = models.get("smplx", "neutral")
    joints, neutral_pose = neutral.joints(fit.batch), canonical_aa(fit.batch.pose_aa)
    return [
        Solved(
            raw=replace(body, betas=fit.batch.betas[i], expression=_expression_row(fit, i)),
            has_position=True,
            pose_source_aa=fit.batch.pose_aa[i],
            transl_m=fit.batch.transl_m[i],
            source_joints_m=joints[i],
            other_hand_joints_m=None,
            joint_names=neutral.joint_names,
            joints_m=joints[i],
            conversion="fit",
            **_neutral_row(fit, neutral_pose, i),
        )
        for i, body in enumerate(bodies)
    ]


def _fingers(body: RawBody, model: BodyModel) -> Floats:
    """The pose with finger rotations made from hand components, where the dataset gives coefficients of these."""
    pose = np.array(body.pose_aa, np.float64)
    for side, coefficients, rows in ((0, body.left_hand_pca, LEFT_HAND), (1, body.right_hand_pca, RIGHT_HAND)):
        if coefficients is not None and model.hand_components is not None:
            components = model.hand_components[side, : len(coefficients)].astype(np.float64)
            pose[rows[model.kind]] = (np.asarray(coefficients, np.float64) @ components).reshape(15, 3)
    return pose


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


def _neutral_row(fit: NeutralFit, pose_aa: Floats, i: int) -> dict[str, Any]:
    return {
        "pose_aa": pose_aa[i],
        "betas": fit.batch.betas[i],
        "neutral_transl_m": fit.batch.transl_m[i],
        "has_betas": bool(fit.has_betas[i]),
        "error_mm": float(fit.error_mm[i]),
    }


def _expression_row(fit: NeutralFit, i: int) -> Floats | None:
    return None if fit.batch.expression is None else fit.batch.expression[i]


def _conversion(body: RawBody, mode: BodyMode) -> Conversion:
    if is_neutral_smplx(body):
        return "identity"
    return "copy" if mode == "copy" and body.model != "smplx" else "fit"


def is_neutral_smplx(body: RawBody) -> bool:
    """Whether the parameters already are neutral SMPL-X with at most 10 betas, whatever the hand convention."""
    is_plain = body.kid_weight == 0.0 and body.rest_mesh_m is None and body.mesh_m is None
    return body.model == "smplx" and body.gender == "neutral" and len(body.betas) <= 10 and is_plain


def expression_of(body: RawBody) -> Floats:
    """(10,) the first ten coefficients, zeros where the source has none."""
    values = np.zeros(10)
    if body.expression is not None:
        values[: len(body.expression)] = body.expression[:10]
    return values
