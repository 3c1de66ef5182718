"""Facility location: which few stand for many. Lazy greedy, with its guarantee."""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

from benchmark.limits import Floats


def lazy_greedy(
    similarity: npt.NDArray[np.floating], num: int, *, owner: npt.NDArray[np.intp], most: npt.NDArray[np.int64]
) -> tuple[list[int], list[float]]:
    """Positions in the order taken, and what each adds to f(S) = mean over v of max over s in S of similarity[s, v].

    similarity (N, V), not negative. owner (N,): the source of each; most: how many of each source may be taken. What a
    position adds never grows while others are taken, so stale gains in a heap are upper bounds (Minoux 1978); greedy
    reaches at least 1 - 1/e of the best f, half of it where `most` binds (Nemhauser, Wolsey, Fisher 1978). Ties go to
    the first position.
    """
    best = np.zeros(similarity.shape[1])
    gains = similarity.mean(axis=1, dtype=np.float64)
    heap = [(-float(gain), i) for i, gain in enumerate(gains)]
    heapq.heapify(heap)
    left = most.copy()
    taken: list[int] = []
    added: list[float] = []
    while heap and len(taken) < num:
        _, i = heapq.heappop(heap)
        if not left[owner[i]]:
            continue
        gain = float(np.maximum(similarity[i] - best, 0).mean(dtype=np.float64))
        if heap and (-gain, i) > heap[0]:
            heapq.heappush(heap, (-gain, i))
            continue
        taken.append(i)
        added.append(gain)
        left[owner[i]] -= 1
        best = np.maximum(best, similarity[i])
    return taken, added


def width_of(points: Floats, k: int = 5) -> float:
    """Half-width of a kernel under which neighbours are similar: median distance of a point to its k-th neighbour."""
    distances = np.sqrt(squared_distances(points, points))
    k = min(k, len(points) - 1)
    return float(max(np.median(np.partition(distances, k, axis=1)[:, k]), 1e-9))


def squared_distances(one: Floats, other: Floats) -> Floats:
    """(N, M) squared Euclidean distances of points (N, d) and (M, d)."""
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None] - 2 * one @ other.T
    return np.asarray(np.maximum(squares, 0))
