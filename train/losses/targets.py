"""What a prediction is compared with, whoever says so: a record, or another network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from train.body import Body
from train.camera import MIN_DEPTH_M, weak_from_pelvis
from train.data.batch import Observed, Truth
from train.losses.parts import BODY, FACE, LEFT_HAND, PARTS, RIGHT_HAND, VERTEX_PART, index
from train.losses.reprojection import image_size
from train.models.prediction import ROTATIONS

_IN_FRONT = (0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A body and how much each of its numbers counts: weights lie in [0, 1], numbers with weight 0 mean nothing.

    B batch, V = 768 vertices of `train.losses.vertex_subset` (or none). rotmat (B, 53, 3, 3), rotation_weight (B, 53);
    betas (B, 10), betas_weight (B,); expression (B, 10), expression_weight (B,); joints_m (B, 144, 3) relative to the
    pelvis, joint_weight (B, 144); vertices_m (B, V, 3) likewise, vertex_weight (B, V); weak_camera (B, 3),
    camera_weight (B,); keypoints_px (B, 144, 3) x, y in the crop and confidence.
    """

    rotmat: Tensor
    rotation_weight: Tensor
    betas: Tensor
    betas_weight: Tensor
    expression: Tensor
    expression_weight: Tensor
    joints_m: Tensor
    joint_weight: Tensor
    vertices_m: Tensor
    vertex_weight: Tensor
    weak_camera: Tensor
    camera_weight: Tensor
    keypoints_px: Tensor


@torch.no_grad()
def known(truth: Truth, observed: Observed, body: Body) -> Target:
    """What a record knows, to be made once a batch.

    Joints are the record's. Vertices are those of its body, and count where betas and every rotation that moves their
    part are known (for the face also the expression). The camera counts where the pelvis is metric,
    before the camera, and the focal length is no guess. `body` gives the vertices of `vertex_subset`, or none.
    """
    rest = torch.eye(3, dtype=truth.rotmat.dtype, device=truth.rotmat.device)
    rotmat = torch.where(truth.has_rotation[..., None, None], truth.rotmat, rest)
    betas = torch.where(truth.has_betas[:, None], truth.betas, 0.0)
    expression = torch.where(truth.has_expression[:, None], truth.expression, 0.0)
    vertices = body(rotmat, betas, expression).vertices_m
    is_metric = truth.has_pelvis & observed.has_intrinsics & (truth.pelvis_m[:, 2] > MIN_DEPTH_M)
    in_front = truth.pelvis_m.new_tensor(_IN_FRONT)
    pelvis = torch.where(is_metric[:, None], truth.pelvis_m, in_front)
    dtype = truth.rotmat.dtype
    return Target(
        rotmat=rotmat,
        rotation_weight=truth.has_rotation.to(dtype),
        betas=betas,
        betas_weight=truth.has_betas.to(dtype),
        expression=expression,
        expression_weight=truth.has_expression.to(dtype),
        joints_m=truth.joints_m[..., :3],
        joint_weight=truth.joints_m[..., 3],
        vertices_m=vertices,
        vertex_weight=_known_parts(truth).to(dtype)[:, vertex_parts(vertices)],
        weak_camera=weak_from_pelvis(pelvis, observed.to_crop, image_size(observed)),
        camera_weight=is_metric.to(dtype),
        keypoints_px=truth.keypoints_px,
    )


def vertex_parts(vertices_m: Tensor) -> Tensor:
    """The part of each vertex (V,): of the fixed subset, or of none.

    Raises:
        ValueError: there are others.
    """
    count = vertices_m.shape[1]
    if count not in (0, len(VERTEX_PART)):
        raise ValueError(f"vertices in a loss: expected the {len(VERTEX_PART)} of vertex_subset or none, found {count}")
    return index(VERTEX_PART[:count], vertices_m).long()


def _known_parts(truth: Truth) -> Tensor:
    """(B, 4) whether all is known that moves a part's vertices."""
    has = {name: truth.has_rotation[:, at].all(dim=1) for name, at in ROTATIONS.items()}
    body = has["global_orient"] & has["body_pose"] & truth.has_betas
    by_part = {
        BODY: body,
        LEFT_HAND: body & has["left_hand"],
        RIGHT_HAND: body & has["right_hand"],
        FACE: body & has["jaw"] & truth.has_expression,
    }
    return torch.stack([by_part[at] for at in range(len(PARTS))], dim=1)
