"""AGORA's evaluation of several people in a picture: matching, F1, and errors divided by it.

The rules are those of the published code, pixelite1201/agora_evaluation at 8c9dece (matching.py,
calculate_v2v_error.py, compute_average_error.py), its corners included:

- the distance of two people is the spectral norm of the (24, 2) differences of their first 24 joints in the picture,
  not the mean distance; boxes are those of all joints given, and count pixels, so that sides are one longer;
- pairs are taken in order of distance, and each one whose boxes overlap by less than 0.1 uses up a prediction, even if
  that prediction has long been matched: matching can stop before a good pair is reached;
- a prediction that is nearest to a person who does not count is a false positive if it matches no one else;
- F1, precision and recall are rounded to 2 decimals, mean errors to 1, before anything is computed from them;
- a missed person enters the means of hands and face (not of the body) with an error of zero, unless the picture has no
  prediction at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmark.metrics.points import Errors, check_pair_finite

MIN_IOU = 0.1
NUM_COMPARED = 24
_PARTS = ("body", "left_hand", "right_hand", "face")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """Of one picture: pairs of (prediction, true person), nearest first; predictions that match no one; valid people
    that no prediction matches."""

    pairs: tuple[tuple[int, int], ...]
    false_positives: tuple[int, ...]
    misses: tuple[int, ...]


def box_ious(pred_px: Tensor, true_px: Tensor) -> Tensor:
    """Overlap (P, T) of the boxes around points (P, K, 2) and (T, L, 2): intersection over union, sides one longer."""
    pred_low, pred_high = pred_px.amin(1)[:, None], pred_px.amax(1)[:, None]
    true_low, true_high = true_px.amin(1)[None], true_px.amax(1)[None]
    common = (torch.minimum(pred_high, true_high) - torch.maximum(pred_low, true_low) + 1).clamp(min=0).prod(-1)
    areas = (pred_high - pred_low + 1).prod(-1) + (true_high - true_low + 1).prod(-1)
    return common / (areas - common)


def match_people(pred_px: Tensor, true_px: Tensor, is_valid: Tensor) -> Matching:
    """Which prediction is whom, in one picture, from projected joints in pixels.

    pred_px (P, K, 2) and true_px (T, L, 2), the first 24 joints in the same order, K and L at least 24; P or T may be
    0. is_valid (T,) bool: people who count, in AGORA those of `isValid` with an occlusion of 0 to 90 percent.

    Raises:
        DataError: a joint is NaN or infinite; the message names the person.
        ValueError: there are fewer than 24 joints, or shapes do not fit.
    """
    for points in (pred_px, true_px):
        if points.ndim != 3 or points.shape[1] < NUM_COMPARED or points.shape[2] != 2:
            raise ValueError(f"expected joints (people, {NUM_COMPARED} or more, 2), found {tuple(points.shape)}")
    if is_valid.shape != true_px.shape[:1] or is_valid.dtype != torch.bool:
        raise ValueError(f"is_valid: expected bool({len(true_px)},), found {is_valid.dtype}{tuple(is_valid.shape)}")
    check_pair_finite(pred_px, true_px, "joints in the picture")
    num_pred, num_true = len(pred_px), len(true_px)
    valid: list[bool] = is_valid.tolist()
    pairs: list[tuple[int, int]] = []
    if num_pred and num_true:
        difference = pred_px[:, None, :NUM_COMPARED] - true_px[None, :, :NUM_COMPARED]
        distance = torch.linalg.matrix_norm(difference, ord=2).flatten()
        order: list[int] = distance.sort(stable=True).indices.tolist()
        ious: list[list[float]] = box_ious(pred_px, true_px).tolist()
        is_used, is_settled, num_far = [False] * num_pred, [False] * num_true, 0
        for pred, true in (divmod(at, num_true) for at in order):
            if all(is_settled) or len(pairs) + num_far >= num_pred:
                break
            if ious[pred][true] < MIN_IOU:
                num_far += 1
            elif not is_used[pred] and not is_settled[true]:
                is_settled[true] = True
                if valid[true]:
                    is_used[pred] = True
                    pairs.append((pred, true))
    matched_pred, matched_true = {pred for pred, _ in pairs}, {true for _, true in pairs}
    return Matching(
        pairs=tuple(pairs),
        false_positives=tuple(pred for pred in range(num_pred) if pred not in matched_pred),
        misses=tuple(true for true in range(num_true) if valid[true] and true not in matched_true),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """Counts over pictures: people matched, missed and wrongly predicted; missed_beside: those missed in pictures that
    have a prediction."""

    num_matched: int
    num_missed: int
    num_false: int
    num_missed_beside: int

    @property
    def f1(self) -> float:
        """TP / (TP + (FP + FN) / 2) rounded to 2 decimals; 0 when nobody counts."""
        return _ratio(self.num_matched, self.num_matched + 0.5 * (self.num_false + self.num_missed))

    @property
    def precision(self) -> float:
        """TP / (TP + FP) rounded to 2 decimals; 0 without predictions."""
        return _ratio(self.num_matched, self.num_matched + self.num_false)

    @property
    def recall(self) -> float:
        """TP / (TP + FN) rounded to 2 decimals; 0 when nobody counts."""
        return _ratio(self.num_matched, self.num_matched + self.num_missed)


def detection(matchings: Iterable[Matching]) -> Detection:
    """The counts of all pictures."""
    matched = missed = false = beside = 0
    for one in matchings:
        matched += len(one.pairs)
        missed += len(one.misses)
        false += len(one.false_positives)
        beside += len(one.misses) if one.pairs or one.false_positives else 0
    return Detection(num_matched=matched, num_missed=missed, num_false=false, num_missed_beside=beside)


def full_body_mm(body_mm: float, left_hand_mm: float, right_hand_mm: float, face_mm: float) -> float:
    """B + (LH + RH + F) / 3, rounded to 0.1 mm (docs/evaluation_metric.md of agora_evaluation)."""
    return _round(body_mm + left_hand_mm / 3 + right_hand_mm / 3 + face_mm / 3)


def normalised_mm(error_mm: float, f1: float) -> float:
    """NMVE of an MVE, NMJE of an MPJPE: error / F1, rounded to 0.1 mm; NaN when F1 is 0."""
    return _round(error_mm / f1) if f1 > 0 else float("nan")


def agora_figures(errors: Errors, found: Detection, *, counts_missed_hands: bool = True) -> dict[str, float]:
    """The mean of each part and of "full_body" in mm, and "normalised_body" and "normalised_full_body".

    `errors` of the matched people only, (num_matched,) of body, left_hand, right_hand and face: MVE with
    `agora_mesh_parts`, or MPJPE with `AGORA_JOINTS`, as `pve` and `mpjpe` return them. NaN where nobody is matched.
    `counts_missed_hands` is the published code's rule for hands and face of missed people (see above), which makes them
    look better than they are; without it means are over matched people alone.

    Raises:
        ValueError: a part is missing, or a number of errors is not that of the matched people.
    """
    for part in _PARTS:
        if part not in errors or errors[part].shape != (found.num_matched,):
            have = tuple(errors[part].shape) if part in errors else "none"
            raise ValueError(f"expected errors of {found.num_matched} matched people for {part}, found {have}")
    zeros = found.num_missed_beside if counts_missed_hands else 0
    means = {
        part: _round(float(errors[part].double().mean()) * _share(found.num_matched, 0 if part == "body" else zeros))
        for part in _PARTS
    }
    full_body = full_body_mm(means["body"], means["left_hand"], means["right_hand"], means["face"])
    return {
        **means,
        "full_body": full_body,
        "normalised_body": normalised_mm(means["body"], found.f1),
        "normalised_full_body": normalised_mm(full_body, found.f1),
    }


def _share(num: int, num_zeros: int) -> float:
    return num / (num + num_zeros) if num else 1.0


def _ratio(part: float, whole: float) -> float:
    return round(part / whole, 2) if whole else 0.0


def _round(value_mm: float) -> float:
    # numpy's rounding, as the published code has it: it differs from Python's at ties.
    return float(np.round(value_mm, 1))
