"""k-means: the same centres from the same points, whatever the number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

MAX_ROUNDS = 50


def k_means(points: Floats, num_clusters: int, seed: int) -> Floats:
    """Centres (K, D) of points (S, D), the largest cluster first; Lloyd's rounds until nothing moves, at most 50.

    Starts are drawn as in k-means++ (Arthur & Vassilvitskii 2007). K is at most `num_clusters`: fewer where there are
    fewer different points.
    """
    centres = _starts(points, num_clusters, np.random.default_rng(seed))
    nearest = nearest_centre(points, centres)
    for _ in range(MAX_ROUNDS):
        counts = np.bincount(nearest, minlength=len(centres))
        sums = np.stack([np.bincount(nearest, column, len(centres)) for column in points.T], axis=1)
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
        before, nearest = nearest, nearest_centre(points, centres)
        if np.array_equal(before, nearest):
            break
    sizes = np.bincount(nearest, minlength=len(centres))
    return centres[np.argsort(-sizes, kind="stable")]


def nearest_centre(points: Floats, centres: Floats) -> npt.NDArray[np.intp]:
    """Which centre (N,) is nearest to each point; the first of equals."""
    return np.asarray(np.argmin((centres * centres).sum(axis=1) - 2 * points @ centres.T, axis=1))


def _starts(points: Floats, num_clusters: int, rng: np.random.Generator) -> Floats:
    chosen = [int(rng.integers(len(points)))]
    squared = ((points - points[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < num_clusters and squared.max() > 0:
        total = np.cumsum(squared)
        chosen.append(int(min(np.searchsorted(total, rng.random() * total[-1], side="right"), len(points) - 1)))
        squared = np.minimum(squared, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return points[chosen]
