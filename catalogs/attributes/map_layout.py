"""From vectors to a plane, and how vectors that were not there when a plane was made find their place on it.

UMAP (McInnes, Healy, Melville 2018, arXiv 1802.03426) starts from the principal components instead of the eigenvectors
of its graph, which is unique and does not fail on small or disconnected samples. PCA is for a quick look.

A new vector is placed with the weights that UMAP itself gives to neighbours (section 3.1 there): among its k nearest
samples at distances d_1 <= ... <= d_k, w_i = exp(-(d_i - d_1) / sigma), sigma such that the weights add up to log2(k);
its place is the weighted mean of theirs. A vector that is exactly a sample's lies on that sample. On PCA maps new
vectors are projected.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from catalogs.attributes.near import unit
from harmonize.errors import UsageError

Vectors = npt.NDArray[Any]
Points = npt.NDArray[np.float64]
Method = Literal["umap", "pca"]
METRICS = ("euclidean", "cosine")

_BLOCK = 512
_SIGMA_ROUNDS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class UmapLimits:
    """UMAP's parameters, by its own names and with its own defaults. num_epochs: None takes UMAP's choice."""

    n_neighbors: int = 15
    min_dist: float = 0.1
    num_epochs: int | None = None


def comparable(vectors: Vectors, metric: str) -> Vectors:
    """The vectors (N, D) as float32 so that Euclidean distance orders them as `metric` does: of length 1 for cosine."""
    return unit(vectors) if metric == "cosine" else np.asarray(vectors, np.float32)


def pca(vectors: Vectors) -> tuple[Points, Points, Points]:
    """Mean (D,), the two main directions (2, D), and the share of the variance of each.

    The largest number of a direction is positive, so that a map is not mirrored from one run to the next; a direction
    without variance is zero.
    """
    centred = np.asarray(vectors, np.float64)
    mean = centred.mean(axis=0)
    _, sizes, rows = np.linalg.svd(centred - mean, full_matrices=False)
    directions, shares = np.zeros((2, centred.shape[1])), np.zeros(2)
    is_real = sizes[:2] > 1e-9 * max(float(sizes[0]), 1.0) if len(sizes) else np.zeros(0, bool)
    number = int(is_real.sum())
    signs = np.sign(rows[np.arange(number), np.abs(rows[:number]).argmax(axis=1)])
    directions[:number] = rows[:number] * signs[:, None]
    shares[:number] = sizes[:number] ** 2 / max(float((sizes**2).sum()), 1e-30)
    return mean, directions, shares


def project(vectors: Vectors, mean: Points, directions: Points) -> Points:
    """(N, 2) coordinates of vectors along two directions."""
    points: Points = (np.asarray(vectors, np.float64) - mean) @ directions.T
    return points


def umap_layout(vectors: Vectors, metric: str, limits: UmapLimits, num_neighbors: int, seed: int) -> Points:
    """(N, 2) coordinates by UMAP; the same on every run of one version on one machine.

    Raises:
        UsageError: umap-learn is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numba's and its dependencies' making, at import
            from umap import UMAP
    except ImportError as error:
        raise UsageError(
            f"maps by UMAP need umap-learn ({error})", fix="pip install 'ehps[viz]', or use PCA"
        ) from error
    directed = comparable(vectors, metric)
    start = project(directed, *pca(directed)[:2])
    # UMAP divides each coordinate of the start by its range, which must not be 0.
    flat = np.ptp(start, axis=0) == 0
    start[:, flat] = np.random.default_rng(seed).uniform(size=(len(start), int(flat.sum())))
    reducer = UMAP(
        n_components=2,
        n_neighbors=num_neighbors,
        min_dist=limits.min_dist,
        n_epochs=limits.num_epochs,
        metric=metric,
        init=start,
        random_state=seed,
        n_jobs=1,
    )
    return np.asarray(reducer.fit_transform(np.asarray(vectors, np.float32)), np.float64)


def place(vectors: Vectors, samples: Vectors, points: Points, metric: str, num_neighbors: int) -> Points:
    """(N, 2) coordinates of vectors (N, D) among samples (S, D) that lie at `points` (S, 2); see the module."""
    anchors = comparable(samples, metric)
    squares = np.square(anchors).sum(axis=1)
    number = min(num_neighbors, len(anchors))
    placed = np.empty((len(vectors), 2))
    for first in range(0, len(vectors), _BLOCK):
        block = comparable(vectors[first : first + _BLOCK], metric)
        nearest = np.argpartition(squares - 2 * block @ anchors.T, number - 1, axis=1)[:, :number]
        # The product above rounds; distances are taken anew, so that a sample is at distance 0 from itself.
        squared = np.square(anchors[nearest] - block[:, None]).sum(axis=2, dtype=np.float64)
        distances = squared / 2 if metric == "cosine" else np.sqrt(squared)
        weights = _weights(distances)
        placed[first : first + len(block)] = (weights[:, :, None] * points[nearest]).sum(axis=1)
    return placed


def _weights(distances: Points) -> Points:
    """(N, k) weights of neighbours that add up to 1, from their distances in any order."""
    beyond = distances - distances.min(axis=1, keepdims=True)
    target = np.log2(max(beyond.shape[1], 2))
    low, high = np.zeros(len(beyond)), np.maximum(beyond.max(axis=1), 1e-30) * 1e3
    for _ in range(_SIGMA_ROUNDS):
        sigma = (low + high) / 2
        is_wide = np.exp(-beyond / np.maximum(sigma, 1e-300)[:, None]).sum(axis=1) > target
        low, high = np.where(is_wide, low, sigma), np.where(is_wide, sigma, high)
    weights = np.exp(-beyond / np.maximum(high, 1e-300)[:, None])
    is_same = distances == 0
    weights = np.where(is_same.any(axis=1, keepdims=True), is_same, weights)
    shares: Points = weights / weights.sum(axis=1, keepdims=True)
    return shares
