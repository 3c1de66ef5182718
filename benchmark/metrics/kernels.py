"""Loops over the vertices of meshes, compiled by numba; `compiled` says what they are for.

A sample is taken a tile of vertices at a time: its coordinates are put apart by axis, in a buffer that stays in the
innermost cache, so that every loop over them runs in vectors. Vertices that are not in a part are passed over by a mask
of the part, which costs less than to pick those that are. Sums over a tile are in the precision of the points, sums of
these in double. What is said of a sample depends on no other sample.

Arrays of both kernels: pred, true (N, 3 V), finite or not; sums (N,), written, finite only if every coordinate of the
sample is; cells or members (G, V), which vertices are in a group of them; spans (tiles, G, 3), how many of a tile are,
and from which to before which of the tile these lie.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

TILE = 256
"""Vertices at a time. With twice as many, samples in double precision take half as long again."""

# A row of moments: how many points; means of source and target; sums about them of target times source, axis by axis,
# and of the squared source.
SOURCE, TARGET, COVARIANCE, VARIANCE, NUM_MOMENTS = 1, 4, 7, 16, 17

# Spans and indices are unsigned: signed ones may count from the end, and a loop that has to ask runs in no vectors.
_ZERO, _ONE, _TWO, _THREE, _Y, _Z = (np.uint64(number) for number in (0, 1, 2, 3, TILE, 2 * TILE))


# Sums may be taken in any order, which vectors need; NaN and infinity are kept, by which bad samples are seen.
_kernel = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "nsz", "contract"})


@_kernel
def add_moments(pred: Array, true: Array, rows: Array, sums: Array, cells: Array, spans: Array, holds: Array) -> None:
    """Rows of moments (N, P, 17), written, of parts that hold cells (P, C); a vertex is in one cell at most."""
    source, target = np.empty(3 * TILE, pred.dtype), np.empty(3 * TILE, pred.dtype)
    of_cells, of_tile = np.empty((len(cells), NUM_MOMENTS)), np.empty(NUM_MOMENTS)
    for sample in range(len(pred)):
        of_cells[:] = 0
        rows[sample] = 0
        sums[sample] = 0
        for tile in range(len(spans)):
            first, last = tile * TILE, min((tile + 1) * TILE, cells.shape[1])
            sums[sample] += _split(pred[sample, 3 * first : 3 * last], source)
            sums[sample] += _split(true[sample, 3 * first : 3 * last], target)
            for cell in range(len(cells)):
                number, start, stop = spans[tile, cell, 0], spans[tile, cell, 1], spans[tile, cell, 2]
                if number > 0:
                    of_tile[0] = number
                    _measure(source, target, cells[cell, first:last], start, stop, of_tile)
                    _merge(of_cells[cell], of_tile)
        for part in range(len(holds)):
            for cell in range(len(cells)):
                if holds[part, cell]:
                    _merge(rows[sample, part], of_cells[cell])


@_kernel
def add_distances(
    pred: Array,
    true: Array,
    counted: Array,
    turns: Array,
    centres: Array,
    means: Array,
    sums: Array,
    members: Array,
    spans: Array,
    moves: Array,
) -> None:
    """Mean distances (N, P), written, of the parts' vertices that count (N, V), or of all where that is (N, 0).

    moves (P,): which of M moves is that of a part. With turns (N, M, 3, 3) and centres (N, M, 6), of pred and true, a
    distance is the length of turn (p - centre) - (t - centre); with turns (N, 0, 3, 3) and centres (N, M, 3), of p - t
    - centre.
    """
    source, target = np.empty(3 * TILE, pred.dtype), np.empty(3 * TILE, pred.dtype)
    distances, used = np.empty(TILE, pred.dtype), np.empty(TILE, np.bool_)
    lengths, numbers = np.empty(len(members)), np.empty(len(members))
    is_turned, has_mask = turns.shape[1] > 0, counted.shape[1] > 0
    for sample in range(len(pred)):
        lengths[:] = 0
        numbers[:] = 0
        sums[sample] = 0
        for tile in range(len(spans)):
            first, last = tile * TILE, min((tile + 1) * TILE, members.shape[1])
            sums[sample] += _split(pred[sample, 3 * first : 3 * last], source)
            sums[sample] += _split(true[sample, 3 * first : 3 * last], target)
            known, known_start, known_stop = -1, _ZERO, _ZERO
            for part in range(len(members)):
                number, start, stop = spans[tile, part, 0], spans[tile, part, 1], spans[tile, part, 2]
                if number == 0:
                    continue
                move = moves[part]
                if move != known or start < known_start or stop > known_stop:
                    known, known_start, known_stop = move, start, stop
                    if is_turned:
                        _left_by_turn(
                            source, target, turns[sample, move], centres[sample, move], start, stop, distances
                        )
                    else:
                        _left_by_offset(source, target, centres[sample, move], start, stop, distances)
                if has_mask:
                    numbers[part] += _both(members[part, first:last], counted[sample, first:last], start, stop, used)
                    lengths[part] += _sum(distances, used, start, stop)
                else:
                    numbers[part] += number
                    lengths[part] += _sum(distances, members[part, first:last], start, stop)
        for part in range(len(members)):
            means[sample, part] = lengths[part] / numbers[part]


@_kernel
def _split(points: Array, axes: Array) -> Any:
    """Points (3 n,) to axes (3 TILE,); their sum."""
    total = points.dtype.type(0)
    for at in range(np.uint64(len(points) // 3)):
        x, y, z = points[_THREE * at], points[_THREE * at + _ONE], points[_THREE * at + _TWO]
        axes[at] = x
        axes[at + _Y] = y
        axes[at + _Z] = z
        total += x + y + z
    return total


@_kernel
def _measure(source: Array, target: Array, mask: Array, start: int, stop: int, row: Array) -> None:
    """The rest of a row whose number of points is known, those of a span that are in the mask."""
    mx = my = mz = mu = mv = mw = source.dtype.type(0)
    for at in range(start, stop):
        if mask[at]:
            mx += source[at]
            my += source[at + _Y]
            mz += source[at + _Z]
            mu += target[at]
            mv += target[at + _Y]
            mw += target[at + _Z]
    number = source.dtype.type(row[0])
    mx, my, mz, mu, mv, mw = mx / number, my / number, mz / number, mu / number, mv / number, mw / number
    ux = uy = uz = vx = vy = vz = wx = wy = wz = squares = source.dtype.type(0)
    for at in range(start, stop):
        if mask[at]:
            dx, dy, dz = source[at] - mx, source[at + _Y] - my, source[at + _Z] - mz
            du, dv, dw = target[at] - mu, target[at + _Y] - mv, target[at + _Z] - mw
            ux += du * dx
            uy += du * dy
            uz += du * dz
            vx += dv * dx
            vy += dv * dy
            vz += dv * dz
            wx += dw * dx
            wy += dw * dy
            wz += dw * dz
            squares += dx * dx + dy * dy + dz * dz
    row[SOURCE:] = (mx, my, mz, mu, mv, mw, ux, uy, uz, vx, vy, vz, wx, wy, wz, squares)


@_kernel
def _merge(row: Array, other: Array) -> None:
    """Adds another row, of other points (Chan, Golub and LeVeque 1979, Updating formulae, eq. 2.1)."""
    share = other[0] / (row[0] + other[0])
    weight = row[0] * share
    row[0] += other[0]
    for axis in range(COVARIANCE, NUM_MOMENTS):
        row[axis] += other[axis]
    for j in range(3):
        apart = other[SOURCE + j] - row[SOURCE + j]
        row[VARIANCE] += weight * apart * apart
        for i in range(3):
            row[COVARIANCE + 3 * i + j] += weight * apart * (other[TARGET + i] - row[TARGET + i])
    for axis in range(SOURCE, COVARIANCE):
        row[axis] += share * (other[axis] - row[axis])


@_kernel
def _both(mask: Array, counted: Array, start: int, stop: int, used: Array) -> int:
    """How many of a span are in the mask and count; used, written: which."""
    number = 0
    for at in range(start, stop):
        used[at] = mask[at] & counted[at]
        number += used[at]
    return number


@_kernel
def _left_by_offset(source: Array, target: Array, offset: Array, start: int, stop: int, distances: Array) -> None:
    ox, oy, oz = offset[0], offset[1], offset[2]
    for at in range(start, stop):
        dx = source[at] - target[at] - ox
        dy = source[at + _Y] - target[at + _Y] - oy
        dz = source[at + _Z] - target[at + _Z] - oz
        distances[at] = np.sqrt(dx * dx + dy * dy + dz * dz)


@_kernel
def _left_by_turn(
    source: Array, target: Array, turn: Array, centres: Array, start: int, stop: int, distances: Array
) -> None:
    ux, uy, uz = turn[0, 0], turn[0, 1], turn[0, 2]
    vx, vy, vz = turn[1, 0], turn[1, 1], turn[1, 2]
    wx, wy, wz = turn[2, 0], turn[2, 1], turn[2, 2]
    mx, my, mz, mu, mv, mw = centres[0], centres[1], centres[2], centres[3], centres[4], centres[5]
    for at in range(start, stop):
        dx, dy, dz = source[at] - mx, source[at + _Y] - my, source[at + _Z] - mz
        du = ux * dx + uy * dy + uz * dz - (target[at] - mu)
        dv = vx * dx + vy * dy + vz * dz - (target[at + _Y] - mv)
        dw = wx * dx + wy * dy + wz * dz - (target[at + _Z] - mw)
        distances[at] = np.sqrt(du * du + dv * dv + dw * dw)


@_kernel
def _sum(values: Array, mask: Array, start: int, stop: int) -> Any:
    zero = values.dtype.type(0)
    total = zero
    for at in range(start, stop):
        total += values[at] if mask[at] else zero
    return total
