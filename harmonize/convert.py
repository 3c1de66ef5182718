"""From what a dataset says to the one record: frame, hands, shape, joints, boxes. All arithmetic of all datasets.

A batch of annotations is grouped by body model, so that joints and fits run batched; order is kept. What cannot be
converted comes back as a `Reject`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harmonize.annotation import Annotation, RawBody, Reject
from harmonize.bodies import BodyBatch, BodyModel, BodyModels, NeutralFit, to_neutral
from harmonize.convert_points import boxes_of, keypoints_of
from harmonize.evidence import Evidence, measure
from harmonize.geometry.frames import change_frame
from harmonize.geometry.rotations import canonical_aa
from harmonize.meshes import LEFT_HAND, RIGHT_HAND, absolute_hands
from harmonize.readers.base import make_key
from harmonize.record import (
    MAX_SOURCE_BETAS,
    MAX_SOURCE_JOINTS,
    Body,
    BodyKind,
    Conversion,
    Image,
    Instance,
    SourceBody,
)

Floats = npt.NDArray[np.floating[Any]]
BodyMode = Literal["fit", "copy"]

NUM_POSE_JOINTS: dict[BodyKind, int] = {"smplx": 55, "smplh": 52, "smpl": 24}

MAX_ROTATION_RAD = 6 * np.pi
"""Fits drift past pi (15.4 rad was seen in an MTP presented pose), but not this far: beyond it the unit is degrees."""

MAX_ORTHOGONALITY_ERROR = 1e-3
"""Camera rotations are released with six digits; mirrored, scaled or damaged ones miss by far more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """An instance in whole-picture pixels, not yet cropped or gated, with the evidence for its body."""

    instance: Instance
    evidence: Evidence


def convert(annotations: Sequence[Annotation], models: BodyModels, mode: BodyMode = "fit") -> list[Converted | Reject]:
    """Convert annotations, in order.

    mode: "fit" fits foreign bodies to neutral SMPL-X; "copy" does what SMPLer-X's loader does with SMPL and SMPL-H
    (`data/humandata.py`: rotations copied, betas zero), for comparability.

    Raises:
        MissingBodyModelError: a body was annotated with a model whose file is missing.
    """
    results: list[Converted | Reject | None] = [None] * len(annotations)
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, annotation in enumerate(annotations):
        if annotation.body is None:
            results[i] = _assemble(annotation, None)
        elif (problem := _problem(annotation.body)) is not None:
            results[i] = Reject(
                reason=problem[0], provenance=annotation.provenance, detail=problem[1], numbers=problem[2]
            )
        else:
            groups.setdefault(_group(annotation.body), []).append(i)
    for rows in groups.values():
        bodies = [annotation.body for annotation in (annotations[i] for i in rows) if annotation.body is not None]
        for i, solved in zip(rows, _solve(bodies, models, mode), strict=True):
            results[i] = _assemble(annotations[i], solved)
    return [result for result in results if result is not None]


def _problem(body: RawBody) -> tuple[str, str, dict[str, float]] | None:
    """Why the numbers of a body cannot be used at all, or None."""
    expected = (NUM_POSE_JOINTS[body.model], 3)
    if body.pose_aa.shape != expected:
        return "pose-shape", f"expected pose {expected}, found {body.pose_aa.shape}", {}
    if body.betas.ndim != 1 or not 0 < len(body.betas) <= MAX_SOURCE_BETAS:
        return "betas-shape", f"expected 1 to {MAX_SOURCE_BETAS} betas, found {body.betas.shape}", {}
    for name in ("pose_aa", "betas", "transl_m", "expression", "pelvis_cam_m", "neutral_betas"):
        value = getattr(body, name)
        if value is not None and not np.isfinite(value).all():
            return "not-finite", name, {"num_not_finite": float((~np.isfinite(value)).sum())}
    if body.to_cam is not None:
        rotmat, offset = np.asarray(body.to_cam.rotmat, np.float64), np.asarray(body.to_cam.transl_m, np.float64)
        if not (np.isfinite(rotmat).all() and np.isfinite(offset).all()):
            return "not-finite", "to_cam", {}
        with np.errstate(over="ignore", invalid="ignore"):
            error = float(np.abs(rotmat @ rotmat.T - np.eye(3)).max())
        if not (error < MAX_ORTHOGONALITY_ERROR and np.linalg.det(rotmat) > 0):
            return "not-a-rotation", "to_cam", {"orthogonality_error": error, "limit": MAX_ORTHOGONALITY_ERROR}
    largest = float(np.linalg.norm(body.pose_aa, axis=-1).max())
    if largest > MAX_ROTATION_RAD:
        return "rotation-range", "are these degrees?", {"largest_rad": largest, "limit_rad": float(MAX_ROTATION_RAD)}
    return None


def _group(body: RawBody) -> tuple[Any, ...]:
    return (
        body.model,
        body.gender,
        len(body.betas),
        body.kid_weight != 0.0,
        body.neutral_betas is not None,
    )


@dataclass(frozen=True, slots=True)
class _Solved:
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


def _solve(bodies: list[RawBody], models: BodyModels, mode: BodyMode) -> list[_Solved]:
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
    expression = np.stack([_expression(body) for body in bodies])
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
        _Solved(
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


def _expression(body: RawBody) -> Floats:
    values = np.zeros(10)
    if body.expression is not None:
        values[: len(body.expression)] = body.expression[:10]
    return values


def _assemble(annotation: Annotation, solved: _Solved | None) -> Converted:
    size = annotation.image_size_px or (0, 0)
    body = _body(solved) if solved is not None else Body()
    is_placed = solved is not None and has_position(solved.raw)
    joints = solved.joints_m if solved is not None and is_placed else None
    keypoints = keypoints_of(annotation, body, joints)
    boxes = boxes_of(annotation, body, joints)
    evidence = Evidence()
    if solved is not None and is_placed:
        width, height = boxes.person_xywh_px[2:4]
        diagonal = float(np.hypot(width, height)) if boxes.person_xywh_px[4] > 0 else np.nan
        evidence = measure(
            solved.source_joints_m,
            solved.joint_names,
            annotation.camera,
            annotation.keypoints2d,
            annotation.keypoints3d,
            diagonal,
            solved.other_hand_joints_m,
        )
    instance = Instance(
        key=make_key(annotation.provenance),
        image=Image(
            width_px=size[0],
            height_px=size[1],
            source_width_px=size[0],
            source_height_px=size[1],
            orientation=annotation.image.orientation or 1,
        ),
        camera=annotation.camera,
        body=body,
        keypoints=keypoints,
        boxes=boxes,
        provenance=annotation.provenance,
        source_body=_source_body(solved) if solved is not None else None,
    )
    return Converted(instance=instance, evidence=evidence)


def _f32(values: Floats) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(values, np.float32)


def _body(solved: _Solved) -> Body:
    raw, pose = solved.raw, canonical_aa(solved.pose_aa)
    betas = np.zeros(10)
    betas[: len(solved.betas)] = solved.betas
    return Body(
        global_orient_aa=_f32(pose[0]),
        body_pose_aa=_f32(pose[1:22]),
        jaw_pose_aa=_f32(pose[22]),
        leye_pose_aa=_f32(pose[23]),
        reye_pose_aa=_f32(pose[24]),
        left_hand_pose_aa=_f32(pose[25:40]),
        right_hand_pose_aa=_f32(pose[40:55]),
        betas=_f32(betas),
        expression=_f32(_expression(raw)),
        transl_m=_f32(solved.neutral_transl_m) if has_position(raw) else np.zeros(3, np.float32),
        has_body=True,
        has_betas=solved.has_betas,
        has_left_hand=raw.has_left_hand,
        has_right_hand=raw.has_right_hand,
        has_jaw=raw.has_jaw,
        has_eyes=raw.has_eyes,
        has_expression=raw.has_expression,
        has_transl=has_position(raw),
        is_transl_metric=has_position(raw) and raw.is_transl_metric,
    )


def _source_body(solved: _Solved) -> SourceBody | None:
    raw = solved.raw
    if is_neutral_smplx(raw) and raw.hands == "absolute":
        return None
    pose, betas = np.zeros((MAX_SOURCE_JOINTS, 3)), np.zeros(MAX_SOURCE_BETAS)
    pose[: len(raw.pose_aa)] = raw.pose_aa
    pose[0] = solved.global_orient_aa
    betas[: len(raw.betas)] = raw.betas
    return SourceBody(
        model=raw.model,
        gender=raw.gender,
        hand_mean=raw.hands,
        conversion=solved.conversion,
        pose_aa=_f32(pose),
        num_joints=len(raw.pose_aa),
        betas=_f32(betas),
        num_betas=len(raw.betas),
        kid_weight=float(np.float32(raw.kid_weight)),
        expression=_f32(_expression(raw)),
        transl_m=_f32(solved.transl_m),
        fit_error_mm=float(np.float32(solved.error_mm)),
    )
