"""A world: what is in it, what a mixture really leads to, and a laboratory in which runs cost something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmark.limits import Floats
from benchmark.problem import Problem, Run, Samples
from benchmark.worlds.scene import Scene
from catalogs.selection import Selection

Errors = Callable[[Floats], Floats]
"""Draws of each item, (..., M), to errors in mm, (..., B)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """scene: sources, benchmarks and items. of_items: the response, from how often each item is drawn in a run.

    of_shares: the same from shares (P, N) of sources, faster. noise_mm: deviation of the mean error between two runs of
    one mixture. predictions: for benchmarks of which single-source models can be asked.
    """

    kind: str
    scene: Scene
    of_items: Errors
    of_shares: Errors
    noise_mm: float
    predictions: Callable[[Floats], tuple[Mapping[str, Floats], Mapping[str, Floats]]] | None = None

    @property
    def problem(self) -> Problem:
        """What a proposer gets: no run, no response."""
        return self.scene.problem

    def errors(self, shares: Floats) -> Floats:
        """(P, B) errors in mm of mixtures (P, N), noise-free."""
        return self.of_shares(np.atleast_2d(shares))

    def mean_error(self, selection: Selection) -> float:
        """Mean over benchmarks of the noise-free error in mm of a selection, whether of datasets or of samples."""
        return float(self.of_items(self.scene.draws(selection)[None]).mean())

    def least(self) -> tuple[Floats, float]:
        """The best mixture of sources (N,) that a search finds, and its mean error in mm.

        All corners, uniform and thousands of random mixtures; exponentiated gradient from the best ones.
        """
        size = len(self.scene.names)
        rng = np.random.default_rng(0)
        random = [rng.dirichlet(np.full(size, value), 1500) for value in (0.1, 0.3, 1.0)]
        start = np.concatenate([np.eye(size), np.full((1, size), 1 / size), *random])
        values = self.errors(start).mean(axis=1)
        found = [self._descended(start[i]) for i in np.argsort(values, kind="stable")[:6]]
        return min(found, key=lambda one: one[1])

    def _descended(self, shares: Floats) -> tuple[Floats, float]:
        shares = shares * 0.999 + 0.001 / len(shares)
        value, rate = float(self.errors(shares).mean()), 1.0
        for _ in range(400):
            step = 1e-5
            probes = shares * (1 + step * np.eye(len(shares)))
            probes /= probes.sum(axis=1, keepdims=True)
            slope = (self.errors(probes).mean(axis=1) - value) / step  # by the logarithm of each share
            slope = slope / max(float(np.abs(slope).max()), 1e-12)
            rates = rate * np.array([4.0, 2.0, 1.0, 0.5, 0.1])
            moved = shares * np.exp(-rates[:, None] * slope)
            moved /= moved.sum(axis=1, keepdims=True)
            values = self.errors(moved).mean(axis=1)
            best = int(np.argmin(values))
            if values[best] >= value:
                rate /= 20
                if rate < 1e-5:
                    break
                continue
            rate, value, shares = float(rates[best]), float(values[best]), moved[best]
        return shares, value


class Laboratory:
    """Runs of a world: noisy, and no more than were paid for."""

    def __init__(self, world: World, num_runs: int, seed: int) -> None:
        self._world, self._left = world, num_runs
        self._rng = np.random.default_rng([seed, 0x1AB])

    def run(self, shares: Floats) -> Run:
        """Train once on a mixture (N,) and test on every benchmark.

        Raises:
            RuntimeError: no run is left.
        """
        if not self._left:
            raise RuntimeError("laboratory: all runs have been made")
        self._left -= 1
        scene = self._world.scene
        errors = self._world.errors(shares)[0]
        # Noise of a run is partly common to all benchmarks.
        noise = self._rng.normal(0, self._world.noise_mm, 1 + len(errors)) @ np.vstack(
            [np.ones((1, len(errors))), np.eye(len(errors))]
        )
        noisy = errors + noise / np.sqrt(2)
        return Run(
            weights=dict(zip(scene.names, shares.tolist(), strict=True)),
            errors=dict(zip(scene.benchmarks, noisy.tolist(), strict=True)),
        )


def rows(scene: Scene, *, binned: bool) -> tuple[dict[str, Samples], dict[str, Samples]]:
    """What sample-level proposers see: attributes of every item of sources and benchmarks, binned or as they are."""
    sources, targets = {}, {}
    edges = np.quantile(scene.points, [0.2, 0.4, 0.6, 0.8], axis=0)

    def attributes(points: Floats) -> Floats | np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        if not binned:
            return points
        columns = [np.searchsorted(edges[:, i], points[:, i]) for i in range(points.shape[1])]
        return np.stack([*columns, scene.cell(points)], axis=1).astype(np.int64)

    for i, name in enumerate(scene.names):
        at = np.flatnonzero(scene.source == i)
        sources[name] = Samples(keys=tuple(scene.keys[j] for j in at), values=attributes(scene.points[at]))
    for name, points in scene.instances.items():
        keys = tuple(f"{name}-{i:04d}" for i in range(len(points)))
        targets[name] = Samples(keys=keys, values=attributes(points))
    return sources, targets
