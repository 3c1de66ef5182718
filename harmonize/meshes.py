"""Meshes of stored instances: the neutral body, and the source's own body exactly as it was annotated."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.bodies import BodyBatch, BodyModel, BodyModels
from harmonize.record import BodyKind, HandMean, Instance

Floats = npt.NDArray[np.floating[Any]]

LEFT_HAND: dict[BodyKind, slice] = {"smplx": slice(25, 40), "smplh": slice(22, 37)}
RIGHT_HAND: dict[BodyKind, slice] = {"smplx": slice(40, 55), "smplh": slice(37, 52)}


def absolute_hands(pose_aa: Floats, hands: HandMean, model: BodyModel) -> Floats:
    """A copy of one pose (J, 3) with absolute hands, float64.

    Hands that were never measured ("absent") are the model's mean hand, which is what the `smplx` package shows for a
    zero pose by default. SMPL has no fingers and is returned as it is.
    """
    pose = np.array(pose_aa, np.float64)
    if model.hand_mean_aa is None or hands == "absolute":
        return pose
    left, right = LEFT_HAND[model.kind], RIGHT_HAND[model.kind]
    if hands == "absent":
        pose[left] = pose[right] = 0.0
    pose[left] += model.hand_mean_aa[0]
    pose[right] += model.hand_mean_aa[1]
    return pose


def neutral_batch(instance: Instance) -> BodyBatch:
    """The stored body as a batch of one, in the joint order of SMPL-X."""
    body = instance.body
    pose = np.concatenate(
        [
            body.global_orient_aa[None],
            body.body_pose_aa,
            body.jaw_pose_aa[None],
            body.leye_pose_aa[None],
            body.reye_pose_aa[None],
            body.left_hand_pose_aa,
            body.right_hand_pose_aa,
        ]
    )
    return BodyBatch(
        pose_aa=pose[None], betas=body.betas[None], transl_m=body.transl_m[None], expression=body.expression[None]
    )


def source_batch(instance: Instance, models: BodyModels) -> tuple[BodyBatch, BodyModel]:
    """The body as annotated (its model, gender, betas, hands; camera frame) as a batch of one, and its model."""
    source = instance.source_body
    if source is None:
        return neutral_batch(instance), models.get("smplx", "neutral")
    model = models.get(source.model, source.gender)
    pose = absolute_hands(source.pose_aa[: source.num_joints], source.hand_mean, model)
    batch = BodyBatch(
        pose_aa=pose[None],
        betas=source.betas[None, : source.num_betas],
        transl_m=source.transl_m[None],
        expression=source.expression[None] if source.model == "smplx" else None,
        kid_weight=np.array([source.kid_weight]) if source.kid_weight else None,
    )
    return batch, model


def body_vertices_m(instance: Instance, models: BodyModels) -> Floats:
    """(10475, 3) vertices of the stored neutral SMPL-X body, camera frame, metres."""
    return np.asarray(models.get("smplx", "neutral").vertices(neutral_batch(instance))[0])


def source_vertices_m(instance: Instance, models: BodyModels) -> Floats:
    """(V, 3) vertices of the body as annotated, in the source model's topology, camera frame, metres."""
    batch, model = source_batch(instance, models)
    return np.asarray(model.vertices(batch)[0])
