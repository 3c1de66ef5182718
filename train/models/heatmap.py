"""Joints as the expected place in a 3D heatmap (integral regression, Sun et al., ECCV 2018), as SMPLer-X has them.

Places are x, y, z in cells, the first cell at 0. With p the patch size of the encoder (16 px), the body's heatmap has a
cell per patch and 16 in depth: x = x_px / p, y = y_px / p, z = 16 * (z_m / BODY_HALF_DEPTH_M + 1) / 2 from the pelvis.
A hand's has 16 x 16 x 16 cells over its box (`to_hand_cells`), and depth from the wrist by HAND_HALF_DEPTH_M.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harmonize.keypoints import SMPLX_144

DEPTH_CELLS = 16
HAND_CELLS = 16
BODY_HALF_DEPTH_M = 1.0
HAND_HALF_DEPTH_M = 0.15

_BODY = (
    "pelvis left_hip right_hip left_knee right_knee left_ankle right_ankle neck left_shoulder right_shoulder "
    "left_elbow right_elbow left_wrist right_wrist left_bigtoe left_smalltoe left_heel right_bigtoe right_smalltoe "
    "right_heel left_ear right_ear left_eye right_eye nose"
)
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")


def _hand(side: str) -> tuple[int, ...]:
    """Three joints and the tip of each finger."""
    return tuple(SMPLX_144.index(f"{side}_{finger}{part}") for finger in _FINGERS for part in ("_1", "_2", "_3", ""))


BODY_JOINTS: tuple[int, ...] = tuple(SMPLX_144.index(name) for name in _BODY.split())
LEFT_HAND_JOINTS: tuple[int, ...] = _hand("left")
RIGHT_HAND_JOINTS: tuple[int, ...] = _hand("right")
"""Which of the 144 joints the heatmaps' are, in their order."""


class PositionNet(nn.Module):
    """Feature map (B, C, H, W) to heatmaps (B, J, 16, H, W), each summing to 1, and places (B, J, 3) in cells."""

    def __init__(self, num_channels: int, num_joints: int) -> None:
        super().__init__()
        self.num_joints = num_joints
        self.conv = nn.Sequential(nn.Conv2d(num_channels, num_joints * DEPTH_CELLS, kernel_size=1))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.conv(features)
        shape = (len(logits), self.num_joints, DEPTH_CELLS, *logits.shape[-2:])
        heatmap = logits.reshape(*shape[:2], -1).softmax(-1).reshape(shape)
        along = [heatmap.sum((2, 3)), heatmap.sum((2, 4)), heatmap.sum((3, 4))]
        return heatmap, torch.stack([expected(sums) for sums in along], dim=-1)


def expected(weights: Tensor) -> Tensor:
    """The mean cell (...) of weights (..., N) that sum to 1."""
    return weights @ torch.arange(weights.shape[-1], dtype=weights.dtype, device=weights.device)


def to_hand_cells(points_px: Tensor, boxes_px: Tensor) -> Tensor:
    """Crop pixels (B, R, N, 2) in cells of their hands' heatmaps; boxes_px (B, R, 4) xmin, ymin, xmax, ymax."""
    low, high = boxes_px[:, :, None, :2], boxes_px[:, :, None, 2:]
    return (points_px - low) / (high - low).clamp(min=1) * HAND_CELLS
