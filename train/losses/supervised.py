"""The distance between a prediction and a target, term by term and sample by sample.

One form for every use: plain training and the outer step of meta-training compare with `train.losses.targets.known`,
adaptation with `train.losses.pseudo`. A term of a sample is the mean over that sample's known entries, 0 if there are
none, whatever the other samples know: so a loss does not depend on how a batch is cut over micro-batches or processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from train.body import Points
from train.data.batch import Observed
from train.losses.axis_angle import nearest_axis_angle
from train.losses.masking import difference, mean_over_known
from train.losses.parts import IS_CONTOUR, IS_FINGER_OR_FACE, JOINT_ROOT, index
from train.losses.reprojection import heatmap_errors, image_size, part_errors, project_joints, weigh_parts
from train.losses.targets import Target
from train.models.prediction import ROTATIONS, Prediction
from train.rotations import rotmat_to_aa

_HANDS = slice(ROTATIONS["left_hand"].start, ROTATIONS["right_hand"].stop)
_ROTATION_TERMS = {name: ROTATIONS[name] for name in ("global_orient", "body_pose", "jaw")} | {"hands": _HANDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """What each term counts, and how differences are measured.

    rotation: "matrix" compares the 9 numbers of a rotation, "axis_angle" its 3, of the two forms the nearer. norm of
    rotations, betas, expression, joints (metres) and camera. keypoints: "by_part" is `train.losses.reprojection` (half
    boxes, robust); "heatmap" is SMPLer-X's L1 in cells of a heatmap of 16 rows, where the points of each hand and of
    the face are moved so that their means agree. Vertices (metres) are always L1. joints: relative to the pelvis;
    part_joints: fingers to their wrist, face to the neck. hands: both together. camera: log scale and offset of the
    weak camera.
    """

    rotation: Literal["matrix", "axis_angle"]
    norm: Literal["squared", "absolute"]
    keypoints_form: Literal["by_part", "heatmap"]
    global_orient: float
    body_pose: float
    hands: float
    jaw: float
    betas: float
    expression: float
    joints: float
    part_joints: float
    vertices: float
    keypoints: float
    camera: float


UNIFIED = LossWeights(
    rotation="matrix",
    norm="squared",
    keypoints_form="by_part",
    global_orient=1.0,
    body_pose=1.0,
    hands=1.0,
    jaw=1.0,
    betas=0.001,
    expression=0.001,
    joints=5.0,
    part_joints=20.0,
    vertices=0.5,
    keypoints=5.0,
    camera=1.0,
)
"""The objective of both steps of dual networks (arXiv 2401.14121, whose weights are SPIN's and EFT's with a vertex
term), carried over to hands and face, whose distances to their root are about half as large."""

SMPLER_X = LossWeights(
    rotation="axis_angle",
    norm="absolute",
    keypoints_form="heatmap",
    global_orient=10.0 * 1 / 53,
    body_pose=10.0 * 21 / 53,
    hands=10.0 * 30 / 53,
    jaw=10.0 * 1 / 53,
    betas=1.0,
    expression=1.0,
    joints=100.0,
    part_joints=100.0,
    vertices=0.0,
    keypoints=1.0,
    camera=0.0,
)
"""SMPLer-X's (arXiv 2309.17448): pose 10 as one mean over all 53 rotations. Its terms on heatmaps and boxes, which
only that network has, are in `train.losses.regions`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """per_sample: weighted terms by name, each (B,); total (B,) is their sum."""

    per_sample: Mapping[str, Tensor]
    total: Tensor

    def plus(self, other: Mapping[str, Tensor]) -> Terms:
        """With more terms, already weighted."""
        return Terms(per_sample={**self.per_sample, **other}, total=torch.stack([self.total, *other.values()]).sum(0))


def supervised(
    prediction: Prediction, points: Points, target: Target, observed: Observed, weights: LossWeights
) -> Terms:
    """The terms of B predictions with their `points` against `target`; of `observed` only camera and crop size count.

    Names of the terms are those of `LossWeights`. Contour points of the face are left out of every term.
    """
    norm = torch.square if weights.norm == "squared" else torch.abs

    def term(found: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
        return mean_over_known(norm(difference(found, wanted, weight)), weight)

    found_turns, wanted_turns = prediction.rotmat, target.rotmat
    if weights.rotation == "axis_angle":
        wanted_turns = rotmat_to_aa(wanted_turns)
        found_turns = nearest_axis_angle(rotmat_to_aa(found_turns), wanted_turns)
    rotation = {
        name: term(found_turns[:, at], wanted_turns[:, at], target.rotation_weight[:, at])
        for name, at in _ROTATION_TERMS.items()
    }
    joint_weight = target.joint_weight * ~index(IS_CONTOUR, target.joint_weight)
    root = index(JOINT_ROOT, target.joints_m).long()
    is_part = index(IS_FINGER_OR_FACE, joint_weight)
    found_camera, wanted_camera = (
        torch.cat([camera[:, :1].log(), camera[:, 1:]], dim=1)
        for camera in (prediction.weak_camera, target.weak_camera)
    )
    unweighted = {
        **rotation,
        "betas": term(prediction.betas, target.betas, target.betas_weight),
        "expression": term(prediction.expression, target.expression, target.expression_weight),
        "joints": term(points.joints_m, target.joints_m, joint_weight),
        "part_joints": term(
            points.joints_m - points.joints_m[:, root],
            target.joints_m - target.joints_m[:, root],
            joint_weight * is_part * (joint_weight[:, root] > 0),
        ),
        "vertices": mean_over_known(
            difference(points.vertices_m, target.vertices_m, target.vertex_weight).abs(), target.vertex_weight
        ),
        "keypoints": _keypoints(project_joints(prediction, points, observed), target.keypoints_px, observed, weights),
        "camera": term(found_camera, wanted_camera, target.camera_weight),
    }
    weighted = {name: getattr(weights, name) * value for name, value in unweighted.items()}
    return Terms(per_sample=weighted, total=torch.stack(list(weighted.values())).sum(dim=0))


def _keypoints(projected_px: Tensor, keypoints_px: Tensor, observed: Observed, weights: LossWeights) -> Tensor:
    height, _ = image_size(observed)
    if weights.keypoints_form == "by_part":
        return weigh_parts(part_errors(projected_px, keypoints_px, height).robust)
    return heatmap_errors(projected_px, keypoints_px, height)
