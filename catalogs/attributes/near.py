"""Pairs of vectors whose cosine similarity reaches a threshold, without ever holding all similarities.

Up to `exact_limit` vectors every pair is compared, block by block with BLAS: time grows with the square of their
number, memory does not. Beyond, vectors are put into cells around centroids (spherical k-means on a sample of them);
each belongs to the `NUM_CELLS_EACH` cells it is nearest to, and pairs are sought inside cells. Two vectors as near as
duplicates nearly always share one: of the pairs among 60,000 vectors of 256 numbers 99.6 percent were found. No pair is
made up. Memory is that of `exact_limit` vectors in float32, or of a cell's.

Vectors are compared in float32 whatever their own type; one of zeros or with NaN is like no other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[Any]
Positions = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
Pairs = tuple[Positions, Positions, npt.NDArray[np.float32]]
"""Later, earlier, similarity."""

NUM_CELLS_EACH = 2
_ROWS, _COLUMNS = 1024, 4096
_KMEANS_ROUNDS = 6
_SAMPLE_A_CELL = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class NearLimits:
    """min_similarity: cosine from which two vectors count as duplicates. max_pairs: earlier partners kept of each
    vector, the most similar ones, inside its own group and again across groups. exact_limit: most vectors that are all
    compared with each other; cell_size: how many vectors a centroid stands for when there are more.
    """

    min_similarity: float = 0.95
    max_pairs: int = 10
    exact_limit: int = 200_000
    cell_size: int = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """Pairs by position: `later` > `earlier`; similarity (M,); is_capped (N,): the vector had more partners."""

    later: Positions
    earlier: Positions
    similarity: npt.NDArray[np.float32]
    is_capped: Flags


def near_pairs(vectors: Vectors, groups: Positions, limits: NearLimits) -> Near:
    """Every vector's most similar earlier ones.

    vectors: (N, D), also a memory map; groups: (N,) code of the dataset. Same input, same output, on one machine.
    """
    is_capped = np.zeros(len(vectors), bool)
    found = [_empty()]
    for members in _cells(vectors, limits):
        found += _exact(unit(vectors[members]), groups[members], members, limits, is_capped)
    later, earlier, similarity = (np.concatenate(column) for column in zip(*found, strict=True))
    _, first = np.unique(later * len(vectors) + earlier, return_index=True)
    later, earlier, similarity = later[first], earlier[first], similarity[first]
    kept, dropped = _capped(later, earlier, similarity, groups, limits.max_pairs)
    is_capped[later[dropped]] = True
    return Near(later=later[kept], earlier=earlier[kept], similarity=similarity[kept], is_capped=is_capped)


def _exact(
    vectors: npt.NDArray[np.float32], groups: Positions, members: Positions, limits: NearLimits, is_capped: Flags
) -> Iterator[Pairs]:
    """The pairs among some unit vectors, whose positions `members` rise; `is_capped` is updated at those."""
    for first in range(0, len(members), _ROWS):
        rows = np.arange(first, min(first + _ROWS, len(members)))
        later, earlier, values = _empty()
        for start in range(0, int(rows[-1]) + 1, _COLUMNS):
            columns = np.arange(start, min(start + _COLUMNS, int(rows[-1]) + 1))
            similarity = vectors[rows] @ vectors[columns].T
            is_hit = (similarity >= limits.min_similarity) & (columns < rows[:, None])
            if np.count_nonzero(is_hit) > 8 * limits.max_pairs * len(rows):
                is_own = groups[rows][:, None] == groups[columns]
                thinned = [_best(similarity, is_hit & mask, limits.max_pairs) for mask in (is_own, ~is_own)]
                is_capped[members[rows]] |= (is_hit & ~(thinned[0] | thinned[1])).any(axis=1)
                is_hit = thinned[0] | thinned[1]
            at, to = np.nonzero(is_hit)
            later, earlier = np.concatenate([later, rows[at]]), np.concatenate([earlier, columns[to]])
            values = np.concatenate([values, similarity[at, to]])
            kept, dropped = _capped(later, earlier, values, groups, limits.max_pairs)
            is_capped[members[later[dropped]]] = True
            later, earlier, values = later[kept], earlier[kept], values[kept]
        yield members[later], members[earlier], values


def _best(similarity: npt.NDArray[np.float32], is_hit: Flags, number: int) -> Flags:
    """The hits of each row down to its `number` most similar ones."""
    if is_hit.shape[1] <= number:
        return is_hit
    masked = np.where(is_hit, similarity, -2)
    chosen = np.argpartition(-masked, number - 1, axis=1)[:, :number]
    best = np.zeros_like(is_hit)
    np.put_along_axis(best, chosen, True, axis=1)
    return best & is_hit


def _capped(
    later: Positions, earlier: Positions, similarity: npt.NDArray[np.float32], groups: Positions, cap: int
) -> tuple[Positions, Positions]:
    """Indices of the pairs to keep, ordered by vector, and of those beyond the cap. Ties go to the earlier vector."""
    is_across = groups[later] != groups[earlier]
    order = np.lexsort((earlier, -similarity, is_across, later))
    label = later[order] * 2 + is_across[order]
    starts = np.flatnonzero(np.r_[True, np.diff(label) != 0]) if len(label) else np.zeros(0, np.intp)
    rank = np.arange(len(label)) - np.repeat(starts, np.diff(np.r_[starts, len(label)]))
    return order[rank < cap], order[rank >= cap]


def _cells(vectors: Vectors, limits: NearLimits) -> Iterator[Positions]:
    """Positions to compare with each other, each list in rising order; one list when the comparison is exact."""
    num = len(vectors)
    if num <= limits.exact_limit:
        yield np.arange(num)
        return
    centroids = _centroids(vectors, -(-num // limits.cell_size))
    nearest = np.concatenate(
        [_nearest(unit(vectors[start : start + _COLUMNS]), centroids) for start in range(0, num, _COLUMNS)]
    )
    position = np.repeat(np.arange(num), nearest.shape[1])
    order = np.lexsort((position, nearest.ravel()))
    bounds = np.searchsorted(nearest.ravel()[order], np.arange(len(centroids) + 1))
    for start, stop in itertools.pairwise(bounds):
        members = position[order[start:stop]]
        # Only masses of nearly equal vectors overflow a cell: each of them finds partners in its own part.
        for part in range(0, len(members), limits.exact_limit):
            yield members[part : part + limits.exact_limit]


def _centroids(vectors: Vectors, number: int) -> npt.NDArray[np.float32]:
    """Unit centroids (number, D) of evenly spread vectors, from evenly spread starts: no chance in it."""
    sample = unit(vectors[np.unique(np.linspace(0, len(vectors) - 1, number * _SAMPLE_A_CELL).astype(np.intp))])
    centroids = sample[np.linspace(0, len(sample) - 1, number).astype(np.intp)]
    for _ in range(_KMEANS_ROUNDS):
        home = np.concatenate(
            [_nearest(sample[start : start + _COLUMNS], centroids)[:, 0] for start in range(0, len(sample), _COLUMNS)]
        )
        order = np.argsort(home, kind="stable")
        occupied, starts = np.unique(home[order], return_index=True)
        centroids[occupied] = np.add.reduceat(sample[order], starts, axis=0)
        centroids = unit(centroids)
    return centroids


def _nearest(block: npt.NDArray[np.float32], centroids: npt.NDArray[np.float32]) -> Positions:
    """(B, NUM_CELLS_EACH) centroids of each unit vector, nearest first."""
    similarity = block @ centroids.T
    each = min(NUM_CELLS_EACH, len(centroids))
    chosen = np.argpartition(-similarity, each - 1, axis=1)[:, :each]
    order = np.argsort(-np.take_along_axis(similarity, chosen, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1)


def unit(vectors: Vectors) -> npt.NDArray[np.float32]:
    """Vectors (N, D) as float32 of length 1; those of zeros or with NaN become zeros."""
    block = np.asarray(vectors, np.float32)
    length = np.linalg.norm(block, axis=1, keepdims=True)
    is_sound = np.isfinite(length) & (length > 0)
    return np.where(is_sound, block / np.where(is_sound, length, 1), 0).astype(np.float32)


def _empty() -> Pairs:
    return np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, np.float32)
