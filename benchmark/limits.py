"""Bounds on the shares of a mixture, of single sources and of groups of them, and the mixture nearest to a wanted one.

Groups lie inside each other or apart (a dataset's splits inside the synthetic datasets inside all), so they form a
tree, and water-filling generalises: at level mu a source gets mu times its wanted share, held within its bounds, and a
group the sum of its parts, held within its own. The result is the mixture of smallest Kullback-Leibler divergence from
the wanted one that obeys all bounds: its optimality conditions are one multiplier for each bound that holds, and the
multipliers of nested groups multiply.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SLACK = 1e-9
"""Bounds that miss each other by less than this are taken to meet: shares are sums of floats."""

_ALL = "all sources"
_TRACE = 1e-9
"""Wanted share of what is not wanted at all, when the wanted sources alone cannot meet the bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The sources `members` (positions, ascending) have together a share within [lower, upper]; `label` names them."""

    label: str
    members: tuple[int, ...]
    lower: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of n sources. lower, upper (n,) within [0, 1]; lower_why, upper_why: what set each, for messages.

    groups: each two are nested or disjoint, the smaller one first.
    """

    names: tuple[str, ...]
    lower: Floats
    upper: Floats
    lower_why: tuple[str, ...]
    upper_why: tuple[str, ...]
    groups: tuple[Group, ...] = ()

    def conflict(self) -> str | None:
        """Which bounds contradict each other, in words; None when some mixture obeys all."""
        for i, name in enumerate(self.names):
            if self.lower[i] > self.upper[i] + SLACK:
                return (
                    f"{name}: at least {self.lower[i]:.4%} ({self.lower_why[i]}) and at most {self.upper[i]:.4%} "
                    f"({self.upper_why[i]})"
                )
        low, high = self.lower.copy(), self.upper.copy()
        for group, parts in _tree(self):
            least, most = float(low[parts].sum()), float(high[parts].sum())
            whole = group.label == _ALL
            if whole and most < 1 - SLACK:
                return f"{_ALL} together allow {most:.4%} of the draws: {self._highs(group)}"
            if whole and least > 1 + SLACK:
                return f"{_ALL} together need {least:.4%} of the draws: {self._lows(group)}"
            if least > group.upper + SLACK:
                return f"{group.label}: at most {group.upper:.4%}, but {self._lows(group)} need {least:.4%}"
            if most < group.lower - SLACK:
                return f"{group.label}: at least {group.lower:.4%}, but {self._highs(group)} allow {most:.4%}"
            low = np.append(low, max(least, group.lower))
            high = np.append(high, min(most, group.upper))
        return None

    def _lows(self, group: Group) -> str:
        found = [f"{self.names[i]} ({self.lower_why[i]})" for i in group.members if self.lower[i] > 0]
        inner = [f"{one.label} (at least {one.lower:.4%})" for one in self._inside(group) if one.lower > 0]
        return ", ".join([*inner, *found])

    def _highs(self, group: Group) -> str:
        found = [f"{self.names[i]} ({self.upper_why[i]})" for i in group.members if self.upper[i] < 1]
        inner = [f"{one.label} (at most {one.upper:.4%})" for one in self._inside(group) if one.upper < 1]
        return ", ".join([*inner, *found]) or "no sources"

    def _inside(self, group: Group) -> list[Group]:
        return [one for one in self.groups if one is not group and set(one.members) <= set(group.members)]

    def holds(self, shares: Floats, slack: float = SLACK) -> npt.NDArray[np.bool_]:
        """Whether each mixture (..., n) obeys all bounds and adds up to 1."""
        is_met = (shares >= self.lower - slack).all(-1) & (shares <= self.upper + slack).all(-1)
        is_met &= np.abs(shares.sum(-1) - 1) <= slack
        for group in self.groups:
            total = shares[..., list(group.members)].sum(-1)
            is_met &= (total >= group.lower - slack) & (total <= group.upper + slack)
        return np.asarray(is_met)

    def active(self, shares: Floats, slack: float = SLACK) -> list[str]:
        """For each source the bounds that hold its share where it is, in words; empty where none does."""
        found = []
        for i in range(len(self.names)):
            words = []
            if shares[i] >= self.upper[i] - slack and self.upper[i] < 1:
                words.append(self.upper_why[i])
            elif shares[i] <= self.lower[i] + slack and self.lower[i] > 0:
                words.append(self.lower_why[i])
            for group in self.groups:
                if i in group.members:
                    total = float(shares[list(group.members)].sum())
                    if total >= group.upper - slack and group.upper < 1:
                        words.append(f"{group.label} at their largest share {group.upper:.2%}")
                    elif total <= group.lower + slack and group.lower > 0:
                        words.append(f"{group.label} at their smallest share {group.lower:.2%}")
            found.append("; ".join(words))
        return found


def nearest(wanted: Floats, limits: Limits) -> Floats:
    """The mixture (n,) within the limits that is nearest to `wanted` (n,): not negative, of any positive sum.

    Shares keep their proportions except where a bound holds. Sources that are not wanted get something only where the
    others cannot meet the bounds. The limits must not be in conflict (see `Limits.conflict`).
    """
    if not limits.groups and not limits.lower.any() and (limits.upper >= 1).all():
        return np.asarray(wanted / wanted.sum())
    top = float(wanted.max())
    exact = wanted / top
    shares = _fill(exact, limits)
    if shares is None:
        shares = _fill(np.maximum(exact, _TRACE), limits)
    if shares is None:
        raise ArithmeticError(f"limits: they contradict each other: {limits.conflict()}")
    return shares


Curve = tuple[Floats, Floats]
"""Knots mu (K,) and values (K,) of a function that rises, straight between the knots and level beyond them."""


def _fill(wanted: Floats, limits: Limits) -> Floats | None:
    curves: list[Curve] = [_leaf(*bounds) for bounds in zip(wanted, limits.lower, limits.upper, strict=True)]
    levels: list[tuple[Group, list[int], Curve]] = []
    for group, parts in _tree(limits):
        total = _sum([curves[i] for i in parts])
        if total[1][-1] < group.lower - SLACK:
            return None
        levels.append((group, parts, total))
        curves.append(_clipped(total, group.lower, group.upper))
    shares = np.zeros(len(wanted))
    mus = np.zeros(len(curves))
    for place, (group, parts, total) in reversed(list(enumerate(levels, len(wanted)))):
        level = float(np.interp(mus[place], *total))
        is_root = place == len(curves) - 1
        if is_root or not group.lower <= level <= group.upper:
            mus[place] = _level(total, 1.0 if is_root else min(max(level, group.lower), group.upper))
        mus[parts] = mus[place]
    for i in range(len(wanted)):
        shares[i] = np.interp(mus[i], *curves[i])
    return shares


def _tree(limits: Limits) -> list[tuple[Group, list[int]]]:
    """The groups, inner ones first and at last all sources, each with its parts: positions of sources, or n + position
    of a group in this list."""
    n = len(limits.names)
    everything = Group(label=_ALL, members=tuple(range(n)), lower=1.0, upper=1.0)
    place, tree = list(range(n)), []
    for number, group in enumerate((*limits.groups, everything)):
        parts = sorted({place[i] for i in group.members})
        for i in group.members:
            place[i] = n + number
        tree.append((group, parts))
    return tree


def _leaf(wanted: float, lower: float, upper: float) -> Curve:
    lower = min(lower, upper)
    if wanted == 0 or lower == upper:
        return np.zeros(1), np.array([lower])
    return np.array([lower / wanted, upper / wanted]), np.array([lower, upper])


def _sum(curves: list[Curve]) -> Curve:
    knots = np.unique(np.concatenate([mu for mu, _ in curves]))
    return knots, np.sum([np.interp(knots, mu, value) for mu, value in curves], axis=0)


def _clipped(curve: Curve, lower: float, upper: float) -> Curve:
    mu, value = curve
    knots = np.unique(np.concatenate([mu, [_level(curve, lower), _level(curve, upper)]]))
    return knots, np.clip(np.interp(knots, mu, value), lower, upper)


def _level(curve: Curve, value: float) -> float:
    """The smallest mu at which a curve reaches a value; its ends where it never does."""
    mu, values = curve
    i = int(np.searchsorted(values, value, side="left"))
    if i == 0 or i == len(values):
        return float(mu[min(i, len(mu) - 1)])
    rise = (value - values[i - 1]) / (values[i] - values[i - 1])
    return float(mu[i - 1] + rise * (mu[i] - mu[i - 1]))
