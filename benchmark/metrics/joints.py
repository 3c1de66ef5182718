"""Per-joint errors: MPJPE and PA-MPJPE of each part.

MPJPE (Ionescu et al. 2014, Human3.6M) of a part is the mean over its joints of the distance after root and predicted
root are brought together; PA-MPJPE aligns the part's joints with the best similarity instead, the "reconstruction
error" of Bogo et al. 2016 (SMPLify). Which joints come in, of the kinematic chain or regressed from a mesh, is the
protocol's matter.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from benchmark.metrics.alignment import procrustes
from benchmark.metrics.parts import FIELD_JOINTS, JointPart
from benchmark.metrics.points import (
    MM_PER_M,
    Errors,
    Valid,
    check_finite,
    check_mask,
    check_pair,
    check_valid,
    distances,
    mean_counted,
    where_valid,
    with_hands,
)


def mpjpe(
    pred_m: Tensor,
    true_m: Tensor,
    parts: Mapping[str, JointPart] = FIELD_JOINTS,
    *,
    valid: Valid | None = None,
    known: Tensor | None = None,
    counted: Tensor | None = None,
) -> Errors:
    """Millimetres (N,) of each part and of "hands", root-aligned, from joints (N, J, 3) in metres.

    `valid` of a part (N,): the others are NaN. `known` (N, J): joints that the truth has; the others may be anything
    there, neither count nor are aligned at, and a part whose root is unknown is NaN. `counted` (N, J): joints that
    enter the mean (UBody: those inside the picture); a part without any is NaN.

    Raises:
        DataError: a predicted joint, or a known true one, is NaN or infinite; the message names the sample.
        ValueError: shapes, precision or devices do not fit, or a part has no root.
    """
    true_m = _checked(pred_m, true_m, parts, valid, known, counted)
    without = [part for part, of in parts.items() if not of.roots]
    if without:
        raise ValueError(f"expected parts with a root to align at, found none for {', '.join(without)}")
    difference = pred_m - true_m
    counted = _both(known, counted)
    errors: Errors = {}
    for part, of in parts.items():
        roots = list(of.roots)
        lengths = distances(difference[:, of.joints], difference[:, roots].mean(1, keepdim=True))
        error = MM_PER_M * mean_counted(lengths, None if counted is None else counted[:, of.joints])
        if known is not None:
            error = error.masked_fill(~known[:, roots].all(1), float("nan"))
        errors[part] = where_valid(error, valid, part)
    return with_hands(errors)


def pa_mpjpe(
    pred_m: Tensor,
    true_m: Tensor,
    parts: Mapping[str, JointPart] = FIELD_JOINTS,
    *,
    valid: Valid | None = None,
    known: Tensor | None = None,
    counted: Tensor | None = None,
) -> Errors:
    """Millimetres (N,) of each part and of "hands", each part aligned by the best similarity of its known joints.

    Arguments and errors as of `mpjpe`, but no root is needed. A part with fewer than three known joints is NaN.
    """
    true_m = _checked(pred_m, true_m, parts, valid, known, counted)
    counted = _both(known, counted)
    errors: Errors = {}
    for part, of in parts.items():
        pred, true = pred_m[:, of.joints], true_m[:, of.joints]
        weights = None if known is None else known[:, of.joints]
        lengths = distances(procrustes(pred, true, weights).apply(pred), true)
        error = MM_PER_M * mean_counted(lengths, None if counted is None else counted[:, of.joints])
        errors[part] = where_valid(error, valid, part)
    return with_hands(errors)


def _checked(
    pred: Tensor,
    true: Tensor,
    parts: Mapping[str, JointPart],
    valid: Valid | None,
    known: Tensor | None,
    counted: Tensor | None,
) -> Tensor:
    """The true joints, with those that are not known at the origin."""
    check_pair(pred, true)
    most = max(max(*of.joints, *of.roots, 0) for of in parts.values())
    if most >= pred.shape[1]:
        raise ValueError(f"expected more than {most} joints, found {pred.shape[1]}")
    check_valid(valid, parts, len(pred))
    for mask, name in ((known, "known"), (counted, "counted")):
        check_mask(mask, name, tuple(pred.shape[:2]))
    if known is not None:
        true = torch.where(known[..., None], true, 0.0)
    check_finite(pred, "predicted joints")
    check_finite(true, "true joints")
    return true


def _both(known: Tensor | None, counted: Tensor | None) -> Tensor | None:
    return counted if known is None else known if counted is None else known & counted
