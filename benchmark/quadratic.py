"""The least value of a strictly convex quadratic function on a polytope: Goldfarb and Idnani's dual active-set method.

Exact up to rounding after finitely many steps, without a tolerance to choose, and the same on every run. Made for the
few dozen variables of a mixture: matrices are solved anew in each step.

D. Goldfarb, A. Idnani: A numerically stable dual method for solving strictly convex quadratic programs. Mathematical
Programming 27 (1983), 1-33.
"""

from __future__ import annotations

import numpy as np

from benchmark.limits import Floats, Limits

_MET = 1e-11
"""A constraint missed by less than this is met."""


def least_on(limits: Limits, quadratic: Floats, linear: Floats) -> Floats:
    """The mixture w (n,) within the limits with the least w'Gw / 2 + a'w.

    quadratic: G (n, n), symmetric and positive definite. linear: a (n,). The limits must not be in conflict.

    Raises:
        ArithmeticError: the limits are in conflict after all, or rounding makes no further step possible.
    """
    scale = float(np.trace(quadratic)) / len(linear)
    normals, bounds = _rows(limits)
    shares = _solve(quadratic / scale, linear / scale, normals, bounds)
    shares = np.clip(shares, limits.lower, limits.upper)
    return np.asarray(shares / shares.sum())


def _rows(limits: Limits) -> tuple[Floats, Floats]:
    """Rows N (m, n) and b (m,) with N w >= b; the first is meant as an equality."""
    n = len(limits.names)
    rows, bounds = [np.ones(n)], [1.0]
    for i in range(n):
        rows.append(np.eye(n)[i])
        bounds.append(float(limits.lower[i]))
        if limits.upper[i] < 1:
            rows.append(-np.eye(n)[i])
            bounds.append(-float(limits.upper[i]))
    for group in limits.groups:
        row = np.zeros(n)
        row[list(group.members)] = 1
        if group.lower > 0:
            rows.append(row)
            bounds.append(group.lower)
        if group.upper < 1:
            rows.append(-row)
            bounds.append(-group.upper)
    return np.stack(rows), np.array(bounds)


def _solve(quadratic: Floats, linear: Floats, normals: Floats, bounds: Floats) -> Floats:
    inverse = np.linalg.inv(quadratic)
    inverse = (inverse + inverse.T) / 2
    x = -inverse @ linear
    active: list[int] = []
    signs = np.ones(len(bounds))
    if normals[0] @ x > bounds[0]:
        signs[0] = -1.0  # an equality is approached from either side, and never dropped
    normals, bounds = normals * signs[:, None], bounds * signs
    multipliers = np.zeros(0)
    for _ in range(50 * len(bounds)):
        missed = normals @ x - bounds
        missed[active] = 0
        new = 0 if 0 not in active else int(np.argmin(missed))
        if 0 in active and missed[new] >= -_MET:
            return x
        x, active, multipliers = _add(x, active, multipliers, new, inverse, normals, bounds)
    raise ArithmeticError("quadratic programme: no end after many steps")


def _add(
    x: Floats, active: list[int], multipliers: Floats, new: int, inverse: Floats, normals: Floats, bounds: Floats
) -> tuple[Floats, list[int], Floats]:
    """Make one constraint active, dropping those that then hold nothing."""
    multiplier = 0.0
    normal = normals[new]
    for _ in range(len(bounds) + 1):
        held = normals[active]
        along = inverse @ normal
        pull = np.linalg.lstsq(held @ inverse @ held.T, held @ along, rcond=None)[0] if active else np.zeros(0)
        step = along - inverse @ held.T @ pull if active else along
        gain = float(step @ normal)
        drop, dual = None, np.inf
        for place, (index, amount) in enumerate(zip(active, pull, strict=True)):
            if index != 0 and amount > _MET and multipliers[place] / amount < dual:
                drop, dual = place, float(multipliers[place] / amount)
        is_free = gain > _MET * max(1.0, float(along @ normal))
        primal = float((bounds[new] - normal @ x) / gain) if is_free else np.inf
        length = min(primal, dual)
        if not np.isfinite(length):
            raise ArithmeticError("quadratic programme: the constraints contradict each other")
        multiplier += length
        multipliers = multipliers - length * pull
        if is_free:
            x = x + length * step
        if length == primal:
            return x, [*active, new], np.append(multipliers, multiplier)
        assert drop is not None
        active = [index for place, index in enumerate(active) if place != drop]
        multipliers = np.delete(multipliers, drop)
    raise ArithmeticError("quadratic programme: no constraint can be dropped")
