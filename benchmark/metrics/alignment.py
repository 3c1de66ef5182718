"""Alignment of predicted to true points, sample by sample: by a root, and by the best similarity transform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.metrics.points import axes_first, check_finite, check_pair, lengths
from benchmark.metrics.rotation_fit import nearest_rotations

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

    Umeyama 1991 (IEEE TPAMI 13(4), eq. 40-42, with weights in the sums), by one batched SVD of the 3x3 covariances
    (`rotation_fit`); a reflection is never a solution. `weights` (N, P) are not negative or bool; a point of weight 0
    may be anything.

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
    pair = _centred(axes_first(source_m), axes_first(target_m), weights)
    moments = pair.moments
    scale, rotation = best_fits([moments])
    turned = (rotation @ moments.source_mean[..., None])[..., 0]
    return Similarity(scale=scale, rotation=rotation, translation_m=moments.target_mean - scale[:, None] * turned)


def aligned_distances(source_m: Tensor, target_m: Tensor, weights: Tensor | None = None) -> Tensor:
    """What is left (N, P) between source and target (N, 3, P), finite, once `procrustes` has aligned them.

    NaN where there is no transform; a distance of a point without weight means nothing.
    """
    return aligned_parts([(source_m, target_m, weights)])[0]


def aligned_parts(parts: Sequence[tuple[Tensor, Tensor, Tensor | None]]) -> list[Tensor]:
    """`aligned_distances` of several parts of the same samples, (source, target, weights) each: one SVD for all."""
    pairs = [_centred(*part) for part in parts]
    scale, rotation = best_fits([pair.moments for pair in pairs])
    turns = torch.split(scale[:, None, None] * rotation, [len(pair.source) for pair in pairs])
    return [
        lengths(torch.baddbmm(pair.target, turn, pair.source, beta=-1)) for pair, turn in zip(pairs, turns, strict=True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """All that a fit needs to know of N samples' points: their means (N, 3) in metres, covariance (N, 3, 3) of target
    with source and variance (N,) of the source, divided by the number of points; is_enough (N,): there are points to
    fit to."""

    source_mean: Tensor
    target_mean: Tensor
    covariance: Tensor
    variance: Tensor
    is_enough: Tensor


def best_fits(moments: Sequence[Moments]) -> tuple[Tensor, Tensor]:
    """Scales (M,) and rotations (M, 3, 3) of all samples, those of one after those of the other, as in `procrustes`."""
    rotation, stretch = nearest_rotations(torch.cat([of.covariance for of in moments]))
    variance = torch.cat([of.variance for of in moments])
    farthest = torch.cat([of.source_mean.abs().amax(1) for of in moments])
    is_enough = torch.cat([of.is_enough for of in moments])

    # Below the rounding of the coordinates a spread is none: its scale would be a quotient of two roundings.
    is_one_point = variance <= (16 * torch.finfo(variance.dtype).eps * farthest).square()
    scale = torch.where(is_one_point, 1.0, stretch / variance)
    rotation = torch.where(is_one_point[:, None, None], torch.eye(3, dtype=rotation.dtype).to(rotation), rotation)
    without = ~is_enough
    return scale.masked_fill(without, float("nan")), rotation.masked_fill(without[:, None, None], float("nan"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """Points (N, 3, P) as offsets from their means, and their moments."""

    source: Tensor
    target: Tensor
    moments: Moments


def _centred(source: Tensor, target: Tensor, weights: Tensor | None) -> _Pair:
    """Of points (N, 3, P), all finite."""
    num_points = source.shape[2]
    if weights is None:
        is_enough = torch.full((len(source),), num_points >= MIN_POINTS, device=source.device)
        source_mean, target_mean = source.mean(2, keepdim=True), target.mean(2, keepdim=True)
        source, target = source - source_mean, target - target_mean
        weighted, divisor = source, max(num_points, 1)
        variance = torch.linalg.vector_norm(source.flatten(1), dim=1).square()
    else:
        is_enough = (weights > 0).sum(1) >= MIN_POINTS
        share = weights.to(source.dtype)[:, None]
        share = share / share.sum(2, keepdim=True).clamp(min=torch.finfo(source.dtype).tiny)
        source_mean, target_mean = ((of * share).sum(2, keepdim=True) for of in (source, target))
        source, target = source - source_mean, target - target_mean
        weighted, divisor = source * share, 1
        variance = (weighted * source).sum((1, 2))
    moments = Moments(
        source_mean=source_mean[..., 0],
        target_mean=target_mean[..., 0],
        covariance=target @ weighted.mT / divisor,
        variance=variance / divisor,
        is_enough=is_enough,
    )
    return _Pair(source=source, target=target, moments=moments)
