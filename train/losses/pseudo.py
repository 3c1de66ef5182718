"""The objective of adaptation: a network's own 2D evidence, and the body that an auxiliary network sees instead of a 3D
label, as far as that body agrees with the same evidence.

It has the terms of the supervised loss with another target. Nothing here takes a record's truth: only what is observed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from train.body import Points
from train.data.batch import Observed
from train.losses.parts import BODY, FACE, JOINT_PART, ROTATION_PART, index
from train.losses.reprojection import image_size, part_errors, project_joints
from train.losses.supervised import LossWeights, Terms, supervised
from train.losses.targets import Target, vertex_parts
from train.models.prediction import Prediction

_TAU = 0.1


def unified(
    prediction: Prediction,
    points: Points,
    pseudo: Prediction,
    pseudo_points: Points,
    observed: Observed,
    weights: LossWeights,
) -> Tensor:
    """(B,) the inner objective: 2D error of `prediction` plus its gated distance to `pseudo`; see `unified_terms`."""
    return unified_terms(prediction, points, pseudo, pseudo_points, observed, weights).total


def unified_terms(
    prediction: Prediction,
    points: Points,
    pseudo: Prediction,
    pseudo_points: Points,
    observed: Observed,
    weights: LossWeights,
) -> Terms:
    """The terms of the inner objective by name.

    Samples do not depend on each other, so the gradient of the sum is every sample's own. Gradients flow into `pseudo`
    too, through the distance but not through the gates; detach it where the auxiliary network must not learn.
    """
    gate = agreement(pseudo, pseudo_points, observed)
    return supervised(prediction, points, pseudo_target(pseudo, pseudo_points, gate, observed), observed, weights)


@torch.no_grad()
def agreement(pseudo: Prediction, pseudo_points: Points, observed: Observed) -> Tensor:
    """(B, 4) in [0, 1], how far each part of an auxiliary body can be believed: confidence of the part's 2D points
    times exp(-e^2 / 0.1), e the root mean square of the body's reprojection error in half boxes of the part.

    0.9 at a tenth of a half box, 0.08 at one half; 0 where a part has no confident point.
    """
    projected_px = project_joints(pseudo, pseudo_points, observed)
    errors = part_errors(projected_px, observed.keypoints_px, image_size(observed)[0])
    return errors.confidence * torch.exp(-errors.squared / _TAU)


def pseudo_target(pseudo: Prediction, pseudo_points: Points, gate: Tensor, observed: Observed) -> Target:
    """An auxiliary body as a target, every number weighted by the gate (B, 4) of its part; betas go with the body,
    expression with the face. The camera counts for nothing: 2D points say it. Keypoints are the observed ones."""
    joints_m, vertices_m = pseudo_points
    return Target(
        rotmat=pseudo.rotmat,
        rotation_weight=gate[:, index(ROTATION_PART, gate)],
        betas=pseudo.betas,
        betas_weight=gate[:, BODY],
        expression=pseudo.expression,
        expression_weight=gate[:, FACE],
        joints_m=joints_m,
        joint_weight=gate[:, index(JOINT_PART, gate)],
        vertices_m=vertices_m,
        vertex_weight=gate[:, vertex_parts(vertices_m)],
        weak_camera=pseudo.weak_camera,
        camera_weight=torch.zeros_like(gate[:, BODY]),
        keypoints_px=observed.keypoints_px,
    )
