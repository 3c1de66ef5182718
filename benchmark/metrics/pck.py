"""3DPCK and the area under its curve: how many joints are near enough.

Mehta et al. 2017 (3DV, "Monocular 3D Human Pose Estimation In The Wild Using Improved CNN Supervision"): a joint is
right within 150 mm; the curve runs over thresholds from 0 to 150 mm. Details as mmpose has them (keypoint_3d_pck,
keypoint_3d_auc) after the script of the MPI-INF-3DHP test set, mpii_compute_3d_pck.m: nearer than, not as near as, and
the plain mean over 31 thresholds 5 mm apart. So a perfect prediction has an area of 30/31: 0 is not below 0.

Values are shares from 0 to 1 for each sample; the published ones are percentages over all joints of all samples, which
is the mean over samples when all have as many known joints.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from benchmark.metrics.alignment import aligned_distances
from benchmark.metrics.parts import FIELD_JOINTS, JointPart
from benchmark.metrics.points import (
    MM_PER_M,
    axes_first,
    check_mask,
    check_pair,
    check_pair_finite,
    lengths,
    mean_counted,
    picked,
)

PCK3D_MM = 150.0
AUC3D_MM = tuple(float(threshold) for threshold in range(0, 151, 5))

Alignment = Literal["root", "procrustes"]


def pck3d(
    pred_m: Tensor,
    true_m: Tensor,
    part: JointPart = FIELD_JOINTS["body"],
    *,
    alignment: Alignment = "root",
    known: Tensor | None = None,
    threshold_mm: float = PCK3D_MM,
) -> Tensor:
    """The share (N,) of a part's known joints nearer than the threshold, from joints (N, J, 3) in metres.

    `known` (N, J): joints that the truth has; the others may be anything there. A sample without any, without a known
    root or (Procrustes) with fewer than three is NaN.

    Raises:
        DataError: a predicted joint, or a known true one, is NaN or infinite; the message names the sample.
        ValueError: shapes, precision or devices do not fit, or the part has no root to align at.
    """
    return _shares(*_distances_mm(pred_m, true_m, part, alignment, known), (threshold_mm,))


def auc3d(
    pred_m: Tensor,
    true_m: Tensor,
    part: JointPart = FIELD_JOINTS["body"],
    *,
    alignment: Alignment = "root",
    known: Tensor | None = None,
) -> Tensor:
    """The mean (N,) of `pck3d` over 0, 5, ..., 150 mm; arguments and errors as there."""
    return _shares(*_distances_mm(pred_m, true_m, part, alignment, known), AUC3D_MM)


def _distances_mm(
    pred: Tensor, true: Tensor, part: JointPart, alignment: Alignment, known: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Distances (N, K) after alignment and which of them are known (N, K); NaN where there is no alignment."""
    check_pair(pred, true)
    check_mask(known, "known", tuple(pred.shape[:2]))
    if known is not None:
        true = torch.where(known[..., None], true, 0.0)
    check_pair_finite(pred, true, "joints")
    joints, roots = torch.tensor(part.joints, device=pred.device), list(part.roots)
    known_part = None if known is None else known[:, joints]
    if alignment == "procrustes":
        distances_m = aligned_distances(picked(axes_first(pred), joints), picked(axes_first(true), joints), known_part)
    elif roots:
        difference = pred - true
        offset = difference[:, roots].mean(1)
        distances_m = lengths(picked(axes_first(difference), joints) - offset[..., None])
        if known is not None:
            distances_m = distances_m.masked_fill(~known[:, roots].all(1, keepdim=True), float("nan"))
    else:
        raise ValueError("expected a part with a root to align at, found one without")
    return MM_PER_M * distances_m, known_part


def _shares(distances_mm: Tensor, known: Tensor | None, thresholds_mm: tuple[float, ...]) -> Tensor:
    right = torch.stack([distances_mm < threshold for threshold in thresholds_mm]).to(distances_mm.dtype).mean(0)
    return mean_counted(right.masked_fill(distances_mm.isnan(), float("nan")), known)
