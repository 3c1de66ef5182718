"""Alignment of predicted to true points, sample by sample: by a root, and by the best similarity transform."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.metrics.points import axes_first, check_finite, check_pair, lengths

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
    if weights is not None:
        if weights.shape != source_m.shape[:2]:
            raise ValueError(f"weights: expected {tuple(source_m.shape[:2])}, found {tuple(weights.shape)}")
        source_m, target_m = (torch.where(weights[..., None] > 0, of, 0.0) for of in (source_m, target_m))
    check_finite(source_m, "source points of an alignment")
    check_finite(target_m, "target points of an alignment")
    fit = _fit(axes_first(source_m), axes_first(target_m), weights)
    turned = (fit.rotation @ fit.source_mean)[..., 0]
    return Similarity(
        scale=fit.scale,
        rotation=fit.rotation,
        translation_m=fit.target_mean[..., 0] - fit.scale[:, None] * turned,
    )


def aligned_distances(source_m: Tensor, target_m: Tensor, weights: Tensor | None = None) -> Tensor:
    """What is left (N, P) between source and target (N, 3, P), finite, once `procrustes` has aligned them.

    NaN where there is no transform; a distance of a point without weight means nothing.
    """
    fit = _fit(source_m, target_m, weights)
    columns = torch.split(fit.scale[:, None, None] * fit.rotation, 1, dim=2)
    left = -fit.target_offsets
    for column, axis in zip(columns, torch.split(fit.source_offsets, 1, dim=1), strict=True):
        left.addcmul_(column, axis)
    return lengths(left)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """scale (N,), rotation (N, 3, 3); means (N, 3, 1) and the points' offsets from them (N, 3, P)."""

    scale: Tensor
    rotation: Tensor
    source_mean: Tensor
    target_mean: Tensor
    source_offsets: Tensor
    target_offsets: Tensor


def _fit(source: Tensor, target: Tensor, weights: Tensor | None) -> _Fit:
    """Of points (N, 3, P), all finite."""
    num_points = source.shape[2]
    if weights is None:
        is_enough = torch.full((len(source),), num_points >= MIN_POINTS, device=source.device)
        source_mean, target_mean = source.mean(2, keepdim=True), target.mean(2, keepdim=True)
        source_offsets, target_offsets = source - source_mean, target - target_mean
        weighted, divisor = source_offsets, max(num_points, 1)
    else:
        is_enough = (weights > 0).sum(1) >= MIN_POINTS
        share = weights.to(source.dtype)[:, None]
        share = share / share.sum(2, keepdim=True).clamp(min=torch.finfo(source.dtype).tiny)
        source_mean, target_mean = ((of * share).sum(2, keepdim=True) for of in (source, target))
        source_offsets, target_offsets = source - source_mean, target - target_mean
        weighted, divisor = source_offsets * share, 1
    covariance = target_offsets @ weighted.mT / divisor
    variance = (weighted * source_offsets).sum((1, 2)) / divisor

    left, singular, right = torch.linalg.svd(covariance)
    turn = left @ right
    is_mirror = torch.linalg.det(turn) < 0
    mirror = 2 * left[:, :, 2:] * right[:, 2:]
    rotation = torch.where(is_mirror[:, None, None], turn - mirror, turn)
    scale = (singular.sum(1) - torch.where(is_mirror, 2 * singular[:, 2], 0.0)) / variance

    # Below the rounding of the coordinates a spread is none: its scale would be a quotient of two roundings.
    rounding = 16 * torch.finfo(source.dtype).eps * source_mean.abs().amax((1, 2))
    is_one_point = variance <= rounding.square()
    scale = torch.where(is_one_point, 1.0, scale)
    rotation = torch.where(is_one_point[:, None, None], torch.eye(3, dtype=rotation.dtype).to(rotation), rotation)
    return _Fit(
        scale=scale.masked_fill(~is_enough, float("nan")),
        rotation=rotation.masked_fill(~is_enough[:, None, None], float("nan")),
        source_mean=source_mean,
        target_mean=target_mean,
        source_offsets=source_offsets,
        target_offsets=target_offsets,
    )
