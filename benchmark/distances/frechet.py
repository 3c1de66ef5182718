"""Fréchet distance: how far apart two Gaussians with the sources' means and covariances are."""

from __future__ import annotations

import numpy as np

from benchmark.summary import Floats, Summary, check_enough, check_same_space

SHRINKAGE = 0.01


def frechet(source: Summary, target: Summary, *, shrinkage: float = SHRINKAGE) -> float:
    """F, in the unit of the space: the 2-Wasserstein distance of two Gaussians.

        F^2 = |m1 - m2|^2 + tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2)     Dowson & Landau 1982; Heusel et al. 2017 (FID)

    It is F and not F^2 that is returned. Covariances are shrunk, (1 - a) S + a tr(S) / d I, which keeps few instances
    from leaving directions without variance. Roots are those of symmetric matrices, negative eigenvalues taken as 0.
    The trace is computed as |A - B Q|^2 with A, B the roots and Q the rotation that brings B nearest to A (Bhatia, Jain
    & Lim 2019, "On the Bures-Wasserstein distance"): differences of large numbers would leave 1e-8 where 0 is right.

    Raises:
        UsageError: other spaces or versions, or fewer than d + 1 instances on a side: less than a covariance needs.
    """
    check_same_space(source, target, "frechet")
    for one in (source, target):
        check_enough(one, one.num, len(one.mean) + 1, "frechet")
    first, second = (_root(_shrunk(one.covariance, shrinkage)) for one in (source, target))
    left, _, right = np.linalg.svd(second @ first)
    apart = first - second @ (left @ right)
    shift = source.mean - target.mean
    return float(np.sqrt(shift @ shift + (apart * apart).sum()))


def _shrunk(covariance: Floats, shrinkage: float) -> Floats:
    size = len(covariance)
    return np.asarray((1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / size * np.eye(size))


def _root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)
