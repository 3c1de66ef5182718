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

from benchmark.metrics.alignment import aligned_parts
from benchmark.metrics.parts import FIELD_JOINTS, JointPart
from benchmark.metrics.points import (
    Errors,
    Valid,
    axes_first,
    check_mask,
    check_pair,
    check_pair_finite,
    check_valid,
    in_blocks,
    lengths,
    mean_counted,
    picked,
    reported,
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

    def measure(pred: Tensor, true: Tensor, known: Tensor | None, counted: Tensor | None) -> Errors:
        difference = axes_first(pred - true)
        errors: Errors = {}
        for part, of in parts.items():
            joints, roots = torch.tensor(of.joints, device=pred.device), list(of.roots)
            offset = difference[:, :, roots].mean(2, keepdim=True)
            distances_m = lengths(picked(difference, joints).sub_(offset))
            error = mean_counted(distances_m, None if counted is None else counted[:, joints])
            errors[part] = error if known is None else error.masked_fill(~known[:, roots].all(1), float("nan"))
        return errors

    return reported(in_blocks(measure, pred_m, true_m, known, _both(known, counted)), valid)


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

    def measure(pred: Tensor, true: Tensor, known: Tensor | None, counted: Tensor | None) -> Errors:
        of_part = {part: torch.tensor(of.joints, device=pred.device) for part, of in parts.items()}

        def rows(mask: Tensor | None, joints: Tensor) -> Tensor | None:
            return None if mask is None else mask[:, joints]

        pred, true = axes_first(pred), axes_first(true)
        left_m = aligned_parts(
            [(picked(pred, joints), picked(true, joints), rows(known, joints)) for joints in of_part.values()]
        )
        return {part: mean_counted(of, rows(counted, of_part[part])) for part, of in zip(of_part, left_m, strict=True)}

    return reported(in_blocks(measure, pred_m, true_m, known, _both(known, counted)), valid)


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
    check_pair_finite(pred, true, "joints")
    return true


def _both(known: Tensor | None, counted: Tensor | None) -> Tensor | None:
    return counted if known is None else known if counted is None else known & counted
