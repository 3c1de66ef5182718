"""The height of a body at rest from its betas, exactly that of the mesh, without making the mesh.

A vertex of the unposed mesh is linear in betas, y_i(b) = y_i + d_i . b. Vertex j covers vertex i for every |b| <= B if

    y_j - y_i >= B |d_i - d_j|        (Cauchy-Schwarz on (d_i - d_j) . b)

so all but a few hundred of the 10,475 vertices can never be the highest or the lowest of such a body. Betas beyond B
take the whole mesh.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]

MAX_NORM = 10.0
"""B. Fits of adults have norms of 1 to 6; whoever is beyond it is slower, not wrong."""

_MESHES_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class _Extremes:
    """The vertices that can be the highest: rest_m (K,), directions_m (K, n) along the axis of the height."""

    rest_m: Float64
    directions_m: Float64

    def highest_m(self, betas: Float64) -> Float64:
        """(N,) from betas (N, n)."""
        return np.asarray((betas @ self.directions_m.T + self.rest_m).max(axis=1))


@dataclass(frozen=True, slots=True)
class Stature:
    """What `of` needs of a body model: heads and soles of bodies within `max_norm`, and all vertices for the others.

    Soles are kept upside down, so that both are maxima.
    """

    max_norm: float
    heads: _Extremes
    soles: _Extremes
    every_head: _Extremes
    every_sole: _Extremes

    @classmethod
    def from_mesh(cls, rest_m: Floats, directions_m: Floats, max_norm: float = MAX_NORM) -> Stature:
        """rest_m (V,) and directions_m (V, n): the upright coordinate of the rest mesh and of its shape directions."""
        every_head = _Extremes(np.asarray(rest_m, np.float64), np.asarray(directions_m, np.float64))
        every_sole = _Extremes(-every_head.rest_m, -every_head.directions_m)
        return cls(max_norm, _pruned(every_head, max_norm), _pruned(every_sole, max_norm), every_head, every_sole)

    def of(self, betas: Floats) -> Float64:
        """Heights (N,) in metres of bodies with these betas (N, n)."""
        exact = np.asarray(betas, np.float64)
        out = self.heads.highest_m(exact) + self.soles.highest_m(exact)
        beyond = np.flatnonzero((exact * exact).sum(axis=1) > self.max_norm**2)
        for start in range(0, len(beyond), _MESHES_AT_ONCE):
            some = beyond[start : start + _MESHES_AT_ONCE]
            out[some] = self.every_head.highest_m(exact[some]) + self.every_sole.highest_m(exact[some])
        return out


def _pruned(every: _Extremes, max_norm: float) -> _Extremes:
    """Without the vertices that another one covers for all betas up to `max_norm`."""
    order = np.argsort(-every.rest_m, kind="stable")
    kept: list[int] = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        lead = every.rest_m[best] - every.rest_m[order]
        turn = np.linalg.norm(every.directions_m[order] - every.directions_m[best], axis=1)
        order = order[lead < max_norm * turn]
    return _Extremes(every.rest_m[kept], every.directions_m[kept])
