"""PCK of points in the picture, relative to the size of the person, and the area under its curve.

PCK: Yang and Ramanan 2013 (IEEE TPAMI 35(12)): a point is right within a fraction of the larger side of the person's
box. Relative to the torso, from left shoulder to right hip: Sapp and Taskar 2013 (MODEC, CVPR), Toshev and Szegedy 2014
(DeepPose, CVPR).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmark.metrics.points import axes_first, check_mask, check_pair, check_pair_finite, lengths, mean_counted
from harmonize.keypoints import SMPLX_144

_LEFT_SHOULDER, _RIGHT_HIP = SMPLX_144.index("left_shoulder"), SMPLX_144.index("right_hip")


def box_length_px(boxes_xywh_px: Tensor) -> Tensor:
    """The larger side (N,) of boxes (N, 4 or 5)."""
    return boxes_xywh_px[:, 2:4].amax(1)


def torso_length_px(points_px: Tensor, left_shoulder: int = _LEFT_SHOULDER, right_hip: int = _RIGHT_HIP) -> Tensor:
    """From left shoulder to right hip (N,) of true points (N, K, 2), by default in the order of SMPLX_144."""
    return (points_px[:, left_shoulder] - points_px[:, right_hip]).square().sum(1).sqrt()


def pck2d(
    pred_px: Tensor, true_px: Tensor, length_px: Tensor, *, threshold: float, known: Tensor | None = None
) -> Tensor:
    """The share (N,), 0 to 1, of known points (N, K, 2) within `threshold` times the person's length (N,).

    `known` (N, K): points that the truth has; the others may be anything there. A sample without any, or whose length
    is not above 0, is NaN.

    Raises:
        DataError: a predicted point, or a known true one, is NaN or infinite; the message names the sample.
        ValueError: shapes, precision or devices do not fit.
    """
    return auc2d(pred_px, true_px, length_px, thresholds=(threshold,), known=known)


def auc2d(
    pred_px: Tensor,
    true_px: Tensor,
    length_px: Tensor,
    *,
    thresholds: Sequence[float],
    known: Tensor | None = None,
) -> Tensor:
    """The mean (N,) of `pck2d` over thresholds that are evenly spaced; other arguments and errors as there."""
    check_pair(pred_px, true_px, num_dims=2)
    check_mask(known, "known", tuple(pred_px.shape[:2]))
    if length_px.shape != pred_px.shape[:1]:
        raise ValueError(f"length_px: expected ({len(pred_px)},), found {tuple(length_px.shape)}")
    if known is not None:
        true_px = torch.where(known[..., None], true_px, 0.0)
    check_pair_finite(pred_px, true_px, "points")
    distances_px = lengths(axes_first(pred_px - true_px))
    right = torch.stack([distances_px <= threshold * length_px[:, None] for threshold in thresholds])
    share = mean_counted(right.to(distances_px.dtype).mean(0), known)
    return share.masked_fill(~(length_px > 0), float("nan"))
