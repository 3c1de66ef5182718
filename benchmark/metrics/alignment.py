"""Alignment of predicted to true points, sample by sample: by a root, and by the best similarity transform."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.metrics.points import check_finite, check_pair

MIN_POINTS = 3
"""Fewer always fit without error, whatever is predicted."""


def align_roots(points_m: Tensor, roots_m: Tensor, onto_m: Tensor) -> Tensor:
    """Points (N, P, 3) moved by what takes their roots (N, 3) onto others (N, 3)."""
    return points_m + (onto_m - roots_m)[:, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """Of each sample, point -> scale * rotation @ point + translation_m. scale (N,), rotation (N, 3, 3) with
    determinant 1, translation_m (N, 3); all NaN where fewer than three points were given."""

    scale: Tensor
    rotation: Tensor
    translation_m: Tensor

    def apply(self, points_m: Tensor) -> Tensor:
        """Points (N, P, 3) to points (N, P, 3)."""
        turned = points_m @ (self.scale[:, None, None] * self.rotation).mT
        return turned.add_(self.translation_m[:, None])


def procrustes(source_m: Tensor, target_m: Tensor, weights: Tensor | None = None) -> Similarity:
    """The similarity that takes source onto target (N, P, 3) with the least sum of weighted squared distances.

    Umeyama 1991 (IEEE TPAMI 13(4), eq. 40-42, with weights in the sums), by one batched SVD of the 3x3 covariances; a
    reflection is never a solution. `weights` (N, P) are not negative or bool; a point of weight 0 may be anything.

    Degenerate samples:
        fewer than three points with weight: no transform (NaN), since one or two always fit;
        points on one line (in source or target): any turn about it is as good, one of these is taken; distances of
            the aligned points do not depend on which;
        source points all equal: scale 1 and no turn, only the translation between the centres;
        target points all equal: scale 0, the least-squares answer (every point lands on the target).

    Raises:
        ValueError: shapes, precision or devices differ.
        DataError: a point with weight is not finite.
    """
    check_pair(source_m, target_m)
    if weights is not None and weights.shape != source_m.shape[:2]:
        raise ValueError(f"weights: expected {tuple(source_m.shape[:2])}, found {tuple(weights.shape)}")
    source, target, share, is_enough = _weighted(source_m, target_m, weights)
    check_finite(source, "source points of an alignment")
    check_finite(target, "target points of an alignment")

    source_mean, target_mean = _mean(source, share), _mean(target, share)
    source_offsets, target_offsets = source - source_mean[:, None], target - target_mean[:, None]
    weighted = source_offsets if share is None else source_offsets * share[..., None]
    divisor = source.shape[1] if share is None else 1
    covariance = target_offsets.mT @ weighted / divisor
    variance = (weighted * source_offsets).sum((1, 2)) / divisor

    left, singular, right = torch.linalg.svd(covariance)
    sign = torch.ones_like(singular)
    sign[:, 2] = torch.where(torch.linalg.det(left) * torch.linalg.det(right) < 0, -1.0, 1.0)
    rotation = (left * sign[:, None]) @ right
    scale = (singular * sign).sum(1) / variance

    # Below the rounding of the coordinates a spread is none: its scale would be a quotient of two roundings.
    rounding = 16 * torch.finfo(source.dtype).eps * source.abs().amax((1, 2))
    is_one_point = variance <= rounding.square()
    scale = torch.where(is_one_point, 1.0, scale)
    rotation = torch.where(is_one_point[:, None, None], torch.eye(3, dtype=rotation.dtype).to(rotation), rotation)
    scale = scale.masked_fill(~is_enough, float("nan"))
    rotation = rotation.masked_fill(~is_enough[:, None, None], float("nan"))
    translation = target_mean - scale[:, None] * (rotation @ source_mean[..., None])[..., 0]
    return Similarity(scale=scale, rotation=rotation, translation_m=translation)


def _weighted(source: Tensor, target: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Points with those of no weight at the origin, weights that add up to one, and whether a sample has enough."""
    if weights is None:
        enough = torch.full((len(source),), source.shape[1] >= MIN_POINTS, device=source.device)
        return source, target, None, enough
    has_weight = weights > 0
    weights = torch.where(has_weight, weights, 0).to(source.dtype)
    share = weights / weights.sum(1, keepdim=True).clamp(min=torch.finfo(source.dtype).tiny)
    source, target = (torch.where(has_weight[..., None], points, 0.0) for points in (source, target))
    return source, target, share, has_weight.sum(1) >= MIN_POINTS


def _mean(points: Tensor, share: Tensor | None) -> Tensor:
    return points.mean(1) if share is None else (points * share[..., None]).sum(1)
