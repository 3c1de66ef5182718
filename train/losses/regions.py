"""What SMPLer-X is taught besides the body: where its heatmaps and its hand and face boxes ought to be.

All L1 with weight 1, in the network's own cells (`train.models.heatmap`), as published.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from train.camera import MIN_DEPTH_M, project
from train.data.batch import Observed, Truth
from train.losses.masking import difference, mean_over_known
from train.losses.parts import BODY, LEFT_HAND, PART_ROOT, RIGHT_HAND, part_masks
from train.models.heatmap import (
    BODY_HALF_DEPTH_M,
    BODY_JOINTS,
    DEPTH_CELLS,
    HAND_HALF_DEPTH_M,
    LEFT_HAND_JOINTS,
    RIGHT_HAND_JOINTS,
    to_hand_cells,
)
from train.models.smpler_x import SmplerXExtra

_BODY = list(BODY_JOINTS)
_HANDS = ((LEFT_HAND, list(LEFT_HAND_JOINTS)), (RIGHT_HAND, list(RIGHT_HAND_JOINTS)))
_LEAST_SHARE = 0.5


def region_terms(extra: SmplerXExtra, truth: Truth, observed: Observed, cell_px: float) -> Mapping[str, Tensor]:
    """Terms (B,) by name; cell_px is the width of a cell of the body's heatmap.

    heatmap_points: joints of body and hands against the record's 2D points, and against its 3D joints in depth.
    heatmap_body: against the record's 3D joints as its camera sees them, where that is metric. A hand's joints count
    inside the box that the hand was read from. boxes: centres and sizes of hands and face against the box around the
    record's points of the part, where at least half of them are known; the face's without its contour.
    """
    is_metric = truth.has_pelvis & observed.has_intrinsics & (truth.pelvis_m[:, 2] > MIN_DEPTH_M)
    is_placed = is_metric[:, None] & (truth.joints_m[..., 3] > 0)
    pelvis = torch.where(is_metric[:, None], truth.pelvis_m, truth.pelvis_m.new_tensor([0.0, 0.0, 1.0]))
    joints = torch.where(is_placed[..., None], truth.joints_m[..., :3], 0.0)
    placed_px = project(joints + pelvis[:, None], observed.to_crop)
    confidence = torch.where(is_placed, truth.joints_m[..., 3], 0.0)[..., None]
    placed, placed_m = torch.cat([placed_px, confidence], dim=2), torch.cat([joints, confidence], dim=2)
    return {
        "heatmap_points": _heatmap_error(extra, truth.keypoints_px, truth.joints_m, cell_px),
        "heatmap_body": _heatmap_error(extra, placed, placed_m, cell_px),
        "boxes": _box_error(extra, truth.keypoints_px, cell_px),
    }


def _heatmap_error(extra: SmplerXExtra, points_px: Tensor, joints_m: Tensor, cell_px: float) -> Tensor:
    """(B,) mean over known numbers of the 25 + 40 joints; points_px (B, 144, 3), joints_m (B, 144, 4)."""
    cells = [points_px[:, _BODY, :2] / cell_px]
    depth = [_depth_cells(joints_m[:, _BODY, 2], BODY_HALF_DEPTH_M)]
    in_picture = [points_px[:, _BODY, 2]]
    in_depth = [joints_m[:, _BODY, 3]]
    for side, (part, rows) in enumerate(_HANDS):
        box = extra.hand_boxes_px[:, side]
        at_px = points_px[:, rows, :2]
        is_inside = ((at_px >= box[:, None, :2]) & (at_px <= box[:, None, 2:])).all(dim=-1)
        cells.append(to_hand_cells(at_px[:, None], box[:, None])[:, 0])
        in_picture.append(torch.where(is_inside, points_px[:, rows, 2], 0.0))
        wrist = joints_m[:, PART_ROOT[part]]
        depth.append(_depth_cells(joints_m[:, rows, 2] - wrist[:, None, 2], HAND_HALF_DEPTH_M))
        in_depth.append(torch.where(is_inside & (wrist[:, None, 3] > 0), joints_m[:, rows, 3], 0.0))
    wanted = torch.cat([torch.cat(cells, dim=1), torch.cat(depth, dim=1)[..., None]], dim=2)
    across = torch.cat(in_picture, dim=1)
    weight = torch.stack([across, across, torch.cat(in_depth, dim=1)], dim=2)
    found = torch.cat([extra.body_joints, extra.hand_joints.flatten(1, 2)], dim=1)
    return mean_over_known(difference(found, wanted, weight).abs(), weight)


def _depth_cells(depth_m: Tensor, half_m: float) -> Tensor:
    return (depth_m / half_m + 1) / 2 * DEPTH_CELLS


def _box_error(extra: SmplerXExtra, points_px: Tensor, cell_px: float) -> Tensor:
    masks = part_masks(points_px)[BODY + 1 :] > 0
    is_known = masks & (points_px[:, None, :, 2] > 0)
    at_px = points_px[:, None, :, :2]
    low = torch.where(is_known[..., None], at_px, torch.inf).amin(dim=2)
    high = torch.where(is_known[..., None], at_px, -torch.inf).amax(dim=2)
    weight = (is_known.sum(dim=2) >= _LEAST_SHARE * masks.sum(dim=1)).to(points_px.dtype)
    found = torch.cat([extra.box_centres, extra.box_sizes], dim=2)
    wanted = torch.cat([(low + high) / 2, high - low], dim=2) / cell_px
    return mean_over_known(difference(found, wanted, weight).abs(), weight)
