"""The test-time signal: how far a predicted body is from 2D points, each part measured by its own size.

Nothing here takes a record's truth. Distances are in half boxes of the part: with one scale for the whole person a hand
a tenth as large would count a hundredth in a squared loss. The points of a hand or of the face are moved so that their
mean is right before they are compared: they say how the part is shaped and turned. Where it is, wrist and nose say,
which are the body's; an arm that is a hand's length off must neither drown the fingers nor saturate the penalty.

B batch, K = 144 joints, P = 4 parts (`train.losses.parts`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from train.body import Points
from train.camera import pelvis_from_weak, project
from train.data.batch import Observed
from train.losses.masking import difference, mean_over_known
from train.losses.parts import BODY, JOINT_PART, index, part_masks
from train.models.prediction import Prediction

MIN_CONFIDENCE = 0.2
"""A point below this is no point: detectors place such ones anywhere, and one would stretch the part's box."""

PART_WEIGHT: tuple[float, ...] = (1.0, 0.1, 0.1, 0.1)
"""What body, left hand, right hand and face count in the sum over parts. An error of a third of a small part is as
usual as one of a tenth of the person, and then weighs the same."""

_HEATMAP_ROWS = 16
_LEAST_BODY, _LEAST_PART = 0.1, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class PartErrors:
    """Of each part, (B, P): squared = mean of r^2 over its points, weighted by confidence^2, r in half boxes of the
    part; robust = sum of confidence^2 rho(r) over the sum of confidences; confidence = mean of the confidences,
    weighted by themselves. All 0 where the part has no confident point."""

    squared: Tensor
    robust: Tensor
    confidence: Tensor


def image_size(observed: Observed) -> tuple[int, int]:
    """Height and width of the crops, pixels."""
    return observed.crop.shape[-2], observed.crop.shape[-1]


def project_joints(prediction: Prediction, points: Points, observed: Observed) -> Tensor:
    """Crop pixels (B, 144, 2) at which a prediction's joints are seen through its camera."""
    pelvis = pelvis_from_weak(prediction.weak_camera, observed.to_crop, image_size(observed))
    return project(points.joints_m + pelvis[:, None], observed.to_crop)


def reprojection(prediction: Prediction, points: Points, observed: Observed) -> Tensor:
    """(B,) the robust errors of the parts against `observed.keypoints_px`, weighted by `PART_WEIGHT` and summed.

    A part without confident points has gradient zero. Contour points of the face are left out: which vertices they are
    jumps with the head's yaw.
    """
    errors = part_errors(project_joints(prediction, points, observed), observed.keypoints_px, image_size(observed)[0])
    return weigh_parts(errors.robust)


def weigh_parts(per_part: Tensor) -> Tensor:
    """(B,) the sum over parts (B, P) under `PART_WEIGHT`."""
    return (per_part * per_part.new_tensor(PART_WEIGHT)).sum(dim=1)


def part_errors(projected_px: Tensor, keypoints_px: Tensor, height_px: int) -> PartErrors:
    """Errors of projected joints (B, K, 2) against points (B, K, 3) with confidence, in crops of a height.

    rho(r) = r^2 / (1 + r^2), Geman and McClure's penalty at a scale of one half box: r^2 for small errors, at most 1,
    so that a point on somebody else costs no more than one half a part away.
    """
    masks = part_masks(keypoints_px)
    confidence = torch.nan_to_num(keypoints_px[..., 2]) * masks.sum(dim=0)
    is_confident = confidence >= MIN_CONFIDENCE
    confidence = torch.where(is_confident, confidence, 0.0)
    sizes_px = part_sizes_px(torch.where(is_confident[..., None], keypoints_px[..., :2], 0.0), is_confident, height_px)
    # A joint is of one part or, on the contour, of none: then any size will do, as its confidence is 0.
    own_px = torch.where(masks.any(dim=0), sizes_px[:, index(JOINT_PART, sizes_px)], 1.0)
    offset_px = difference(projected_px, keypoints_px[..., :2], confidence)
    shape_px = _without_place(offset_px, confidence.square(), masks)
    squared = (shape_px / own_px[..., None]).square().sum(dim=-1)
    by_part = confidence[:, None] * masks
    total, total_squared = by_part.sum(dim=2), by_part.square().sum(dim=2)
    some, some_squared = torch.where(total > 0, total, 1.0), torch.where(total_squared > 0, total_squared, 1.0)
    return PartErrors(
        squared=(by_part.square() * squared[:, None]).sum(dim=2) / some_squared,
        robust=(by_part.square() * (squared / (1 + squared))[:, None]).sum(dim=2) / some,
        confidence=total_squared / some,
    )


def heatmap_errors(projected_px: Tensor, keypoints_px: Tensor, height_px: int) -> Tensor:
    """(B,) SMPLer-X's mean L1 distance over the known points, in cells of a heatmap of 16 rows, weighted by confidence;
    hands and face moved as in `part_errors`."""
    masks = part_masks(keypoints_px)
    confidence = torch.nan_to_num(keypoints_px[..., 2]) * masks.sum(dim=0)
    offset = difference(projected_px, keypoints_px[..., :2], confidence) / (height_px / _HEATMAP_ROWS)
    return mean_over_known(_without_place(offset, confidence, masks).abs(), confidence)


def _without_place(offset: Tensor, weight: Tensor, masks: Tensor) -> Tensor:
    """Offsets (B, K, 2) after each hand and the face were moved so that their weighted mean offset is 0."""
    apart = masks[BODY + 1 :]
    share = weight[:, None] * apart
    total = share.sum(dim=2, keepdim=True)
    return offset - apart.T @ (share / torch.where(total > 0, total, 1.0) @ offset)


def part_sizes_px(place_px: Tensor, is_confident: Tensor, height_px: int) -> Tensor:
    """(B, P) half the longer side of the box around each part's confident points, pixels; the body's is the person's,
    around all points but the contour.

    At least a twentieth of the person for hands and face and a tenth of the crop for the person: a fist seen end-on, or
    two points, would turn a pixel of noise into a large error.
    """
    masks = part_masks(place_px) > 0
    masks = torch.cat([masks.any(dim=0, keepdim=True), masks[BODY + 1 :]])
    is_in, place = (masks & is_confident[:, None])[:, :, None], place_px.mT.contiguous()[:, None]
    low = torch.where(is_in, place, torch.inf).amin(dim=-1)  # over the axis that is long and dense in memory
    high = torch.where(is_in, place, -torch.inf).amax(dim=-1)
    half = (high - low).clamp(min=0).amax(dim=-1) / 2
    person = half[:, :1].clamp(min=_LEAST_BODY * height_px)
    rest = torch.maximum(half[:, 1:], _LEAST_PART * person)
    return torch.cat([person, rest], dim=1)
