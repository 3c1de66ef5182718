"""Errors of meshes on a CPU: what `mesh` does in torch, in one pass over the coordinates, or two for an alignment.

An alignment's first pass finds means, and covariances about them: not of the parts but of their cells, the vertices
that are in the same parts, so that none is looked at twice; a part's are merged from those of its cells.
`alignment.best_fits` makes transforms of them, and the second pass measures what these leave.

Samples are shared out among as many threads as torch may use; the errors do not depend on how many these are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from benchmark.metrics.alignment import MIN_POINTS, Moments, best_fits
from benchmark.metrics.kernels import (
    COVARIANCE,
    NUM_MOMENTS,
    SOURCE,
    TARGET,
    TILE,
    Array,
    add_distances,
    add_moments,
)
from benchmark.metrics.parts import MeshParts
from benchmark.metrics.points import Errors, check_pair_finite

_SAMPLES_A_THREAD = 16
"""Fewer would be measured before another thread had started."""


def root_errors(pred_m: Tensor, true_m: Tensor, offsets_m: Tensor, counted: Tensor | None, parts: MeshParts) -> Errors:
    """Mean distances (N,) of each part in metres between meshes (N, V, 3), over the vertices that count (N, V).

    Predictions are moved by -offsets (N, M, 3), one of each of `parts.different_roots`.

    Raises:
        DataError: a mesh is not finite.
    """
    roots = parts.different_roots
    moves = np.array([roots.index(parts.roots[part]) for part in parts.vertices], np.int64)
    no_turns = offsets_m.new_empty((len(offsets_m), 0, 3, 3))
    return _errors(pred_m, true_m, no_turns, offsets_m, moves, counted, parts)


def aligned_errors(pred_m: Tensor, true_m: Tensor, counted: Tensor | None, parts: MeshParts) -> Errors:
    """As `root_errors`, each part aligned by the best similarity of all its vertices.

    Raises:
        DataError: a mesh is not finite.
    """
    layout, num, num_parts = _layout(parts), len(pred_m), len(parts.vertices)
    rows, sums = np.empty((num, num_parts, NUM_MOMENTS)), np.empty(num)
    samples = [_flat(pred_m), _flat(true_m), rows, sums]
    _run(add_moments, samples, [layout.cells, layout.cell_spans, layout.holds])
    _check(sums, pred_m, true_m)
    moments = _moments(rows.reshape(-1, NUM_MOMENTS), pred_m.dtype)
    scale, rotation = best_fits([moments])
    turns = (scale[:, None, None] * rotation).reshape(num, num_parts, 3, 3)
    centres = torch.cat([moments.source_mean, moments.target_mean], 1).reshape(num, num_parts, 6)
    return _errors(pred_m, true_m, turns, centres, np.arange(num_parts), counted, parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """members (P, V) of the parts; cells (C, V): vertices that are in the same parts; holds (P, C): which cells make up
    a part; the spans of members and cells as in `kernels`."""

    members: Array
    cells: Array
    holds: Array
    member_spans: Array
    cell_spans: Array


@lru_cache(maxsize=8)
def _layout(parts: MeshParts) -> _Layout:
    members = np.zeros((len(parts.vertices), parts.num_vertices), np.bool_)
    for row, ids in zip(members, parts.vertices.values(), strict=True):
        row[ids] = True
    patterns, pattern = np.unique(members, axis=1, return_inverse=True)
    used = np.flatnonzero(patterns.any(0))
    cells = pattern.reshape(1, -1) == used[:, None]
    holds = np.ascontiguousarray(patterns[:, used])
    return _Layout(members=members, cells=cells, holds=holds, member_spans=_spans(members), cell_spans=_spans(cells))


def _spans(masks: Array) -> Array:
    spans = np.zeros((-(-masks.shape[1] // TILE), len(masks), 3), np.uint64)
    for tile, group in np.ndindex(spans.shape[:2]):
        inside = np.flatnonzero(masks[group, tile * TILE : (tile + 1) * TILE])
        if len(inside):
            spans[tile, group] = len(inside), inside[0], inside[-1] + 1
    return spans


def _moments(rows: Array, precision: torch.dtype) -> Moments:
    """Of rows (M, 17) as `kernels` has them."""
    number = np.maximum(rows[:, :1], 1)
    means, spreads = (
        torch.from_numpy(of).to(precision) for of in (rows[:, :COVARIANCE], rows[:, COVARIANCE:] / number)
    )
    return Moments(
        source_mean=means[:, SOURCE:TARGET],
        target_mean=means[:, TARGET:],
        covariance=spreads[:, :-1].reshape(-1, 3, 3),
        variance=spreads[:, -1],
        is_enough=torch.from_numpy(rows[:, 0]) >= MIN_POINTS,
    )


def _errors(
    pred_m: Tensor,
    true_m: Tensor,
    turns: Tensor,
    centres: Tensor,
    moves: Array,
    counted: Tensor | None,
    parts: MeshParts,
) -> Errors:
    layout, num = _layout(parts), len(pred_m)
    means, sums = np.empty((num, len(parts.vertices))), np.empty(num)
    use = np.empty((num, 0), np.bool_) if counted is None else _array(counted)
    _run(
        add_distances,
        [_flat(pred_m), _flat(true_m), use, _array(turns), _array(centres), means, sums],
        [layout.members, layout.member_spans, moves],
    )
    _check(sums, pred_m, true_m)
    return dict(zip(parts.vertices, torch.from_numpy(means).to(pred_m.dtype).unbind(1), strict=True))


def _check(sums: Array, pred_m: Tensor, true_m: Tensor) -> None:
    if not np.isfinite(sums).all():
        check_pair_finite(pred_m, true_m, "vertices")


def _array(of: Tensor) -> Array:
    array: Array = of.contiguous().numpy()
    return array


def _flat(points_m: Tensor) -> Array:
    return _array(points_m.flatten(1))


def _run(kernel: Callable[..., None], samples: Sequence[Array], others: Sequence[Array]) -> None:
    num = len(samples[0])
    workers = max(min(torch.get_num_threads(), num // _SAMPLES_A_THREAD), 1)
    edges = [num * worker // workers for worker in range(workers + 1)]

    def part(start: int, stop: int) -> None:
        kernel(*(of[start:stop] for of in samples), *others)

    if workers == 1:
        part(0, num)
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(part, edges[:-1], edges[1:]))
