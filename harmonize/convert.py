"""From what a dataset says to the one record: frame, hands, shape, joints, boxes. All arithmetic of all datasets.

A batch of annotations is grouped by body model, so that joints and fits run batched; order is kept. What cannot be
converted comes back as a `Reject`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.annotation import Annotation, RawBody, Reject
from harmonize.bodies import BodyModels
from harmonize.convert_points import BODY_JOINTS, boxes_of, keypoints_of
from harmonize.evidence import Evidence, measure
from harmonize.geometry.rotations import (
    MAX_ORTHOGONALITY_ERROR,
    is_rotation,
    orthogonality_error,
)
from harmonize.readers.base import make_key
from harmonize.record import (
    MAX_SOURCE_BETAS,
    MAX_SOURCE_JOINTS,
    Body,
    BodyKind,
    HandMean,
    Image,
    Instance,
    SourceBody,
)
from harmonize.solve import BodyMode, Solved, expression_of, is_neutral_smplx, model_group, solve

Floats = npt.NDArray[np.floating[Any]]

NUM_POSE_JOINTS: dict[BodyKind, int] = {"smplx": 55, "smplh": 52, "smpl": 24}

MESH_SHAPE = (10475, 3)

_NUMBERS = (
    *("pose_aa", "betas", "transl_m", "expression", "kid_weight", "pelvis_cam_m", "neutral_betas"),
    *("left_hand_pca", "right_hand_pca", "rest_mesh_m", "mesh_m"),
)

MAX_ROTATION_RAD = 6 * np.pi
"""Fits drift past pi (15.4 rad was seen in an MTP presented pose), but not this far: beyond it the unit is degrees."""


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
            groups.setdefault(model_group(annotation.body), []).append(i)
    for rows in groups.values():
        for i, solved in zip(rows, solve([annotations[i] for i in rows], models, mode), strict=True):
            results[i] = _assemble(annotations[i], solved)
    return [result for result in results if result is not None]


def _problem(body: RawBody) -> tuple[str, str, dict[str, float]] | None:
    """Why the numbers of a body cannot be used at all, or None."""
    expected = (NUM_POSE_JOINTS[body.model], 3)
    if body.pose_aa.shape != expected:
        return "pose-shape", f"expected pose {expected}, found {body.pose_aa.shape}", {}
    if body.betas.ndim != 1 or not 0 < len(body.betas) <= MAX_SOURCE_BETAS:
        return "betas-shape", f"expected 1 to {MAX_SOURCE_BETAS} betas, found {body.betas.shape}", {}
    for name, value in (("left_hand_pca", body.left_hand_pca), ("right_hand_pca", body.right_hand_pca)):
        if value is not None and (value.ndim != 1 or not 0 < len(value) <= 45 or body.model == "smpl"):
            return "hands-shape", f"expected 1 to 45 coefficients of {name}, found {value.shape}", {}
    if body.mesh_m is not None and body.mesh_m.shape != MESH_SHAPE:
        return "mesh-shape", f"expected a mesh {MESH_SHAPE}, found {body.mesh_m.shape}", {}
    for name in _NUMBERS:
        value = getattr(body, name)
        if value is not None and not np.isfinite(value).all():
            return "not-finite", name, {"num_not_finite": float((~np.isfinite(value)).sum())}
    if body.to_cam is not None:
        rotmat, offset = np.asarray(body.to_cam.rotmat, np.float64), np.asarray(body.to_cam.transl_m, np.float64)
        if not (np.isfinite(rotmat).all() and np.isfinite(offset).all()):
            return "not-finite", "to_cam", {}
        if not is_rotation(rotmat):
            numbers = {"orthogonality_error": orthogonality_error(rotmat), "limit": MAX_ORTHOGONALITY_ERROR}
            return "not-a-rotation", "to_cam", numbers
    largest = float(np.linalg.norm(body.pose_aa, axis=-1).max())
    if largest > MAX_ROTATION_RAD:
        return "rotation-range", "are these degrees?", {"largest_rad": largest, "limit_rad": float(MAX_ROTATION_RAD)}
    return None


def _assemble(annotation: Annotation, solved: Solved | None) -> Converted:
    size = annotation.image_size_px or (0, 0)
    body = _body(solved) if solved is not None else Body()
    is_placed = solved is not None and solved.has_position
    joints = solved.joints_m if solved is not None and is_placed else None
    keypoints = keypoints_of(annotation, body, joints)
    boxes = boxes_of(annotation, keypoints)
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


def _known(raw: RawBody) -> npt.NDArray[np.float32]:
    return np.array([name not in raw.unknown_joints for name in BODY_JOINTS], np.float32)


def _body(solved: Solved) -> Body:
    raw, pose = solved.raw, solved.pose_aa
    betas = np.zeros(10)
    betas[: len(solved.betas)] = solved.betas
    return Body(
        global_orient_aa=_f32(pose[0]),
        body_pose_aa=_f32(pose[1:22]),
        known_body_joints=_known(raw),
        jaw_pose_aa=_f32(pose[22]),
        leye_pose_aa=_f32(pose[23]),
        reye_pose_aa=_f32(pose[24]),
        left_hand_pose_aa=_f32(pose[25:40]),
        right_hand_pose_aa=_f32(pose[40:55]),
        betas=_f32(betas),
        expression=_f32(expression_of(raw)),
        transl_m=_f32(solved.neutral_transl_m) if solved.has_position else np.zeros(3, np.float32),
        has_body=True,
        has_betas=solved.has_betas,
        has_left_hand=raw.has_left_hand,
        has_right_hand=raw.has_right_hand,
        has_jaw=raw.has_jaw,
        has_eyes=raw.has_eyes,
        has_expression=raw.has_expression,
        has_transl=solved.has_position,
        is_transl_metric=solved.has_position and raw.is_transl_metric,
    )


def _source_body(solved: Solved) -> SourceBody | None:
    raw = solved.raw
    if is_neutral_smplx(raw) and (raw.hands == "absolute" or raw.left_hand_pca is not None):
        return None
    pose, betas = np.zeros((MAX_SOURCE_JOINTS, 3)), np.zeros(MAX_SOURCE_BETAS)
    pose[: len(raw.pose_aa)] = raw.pose_aa
    if raw.left_hand_pca is not None or raw.right_hand_pca is not None or raw.mesh_m is not None:
        # The record has no components, and no mesh: their result is kept.
        hands: HandMean = "absolute"
        pose[: len(raw.pose_aa)] = solved.pose_source_aa
    else:
        hands = raw.hands
        pose[0] = solved.pose_source_aa[0]
    betas[: len(raw.betas)] = raw.betas
    return SourceBody(
        model=raw.model,
        gender=raw.gender,
        hand_mean=hands,
        conversion=solved.conversion,
        pose_aa=_f32(pose),
        num_joints=len(raw.pose_aa),
        betas=_f32(betas),
        num_betas=len(raw.betas),
        kid_weight=float(np.float32(raw.kid_weight)),
        expression=_f32(expression_of(raw)),
        transl_m=_f32(solved.transl_m),
        fit_error_mm=float(np.float32(solved.error_mm)),
        is_rebuildable=raw.rest_mesh_m is None and raw.mesh_m is None,
    )
