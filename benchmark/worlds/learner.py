"""A world in which something is really learnt: ridge regression on random features, fitted to the drawn points.

Its error has all effects at once, and none of them was put in by hand: bias where no source has points, variance where
a source is small and repeats, label noise of sources.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmark.limits import Floats
from benchmark.worlds.scene import DRAWS, NUM_DIMENSIONS, NUM_SOURCES, make_scene
from benchmark.worlds.world import World

NUM_FEATURES, NUM_OUTPUTS = 40, 2
NOISE_MM = 0.7
_SCALE_MM = 60.0
_DECAY = 4.0
"""Strength of the ridge, as a number of draws."""


def learner(seed: int) -> World:
    """Labels are a smooth function of the point plus noise of its source; errors are root mean squares, in mm."""
    scene = make_scene(seed)
    rng = np.random.default_rng([seed, 3])
    truth_waves = rng.normal(0, 0.35, (6, NUM_DIMENSIONS)), rng.uniform(0, 2 * np.pi, 6), rng.normal(0, 0.6, (6, 2))
    waves = rng.normal(0, 0.4, (NUM_FEATURES, NUM_DIMENSIONS)), rng.uniform(0, 2 * np.pi, NUM_FEATURES)
    label_noise = np.where(rng.random(NUM_SOURCES) < 0.25, 1.5, 0.15)

    def truth(points: Floats) -> Floats:
        return np.asarray(np.cos(points @ truth_waves[0].T + truth_waves[1]) @ truth_waves[2])

    def features(points: Floats) -> Floats:
        waved = np.cos(points @ waves[0].T + waves[1]) * np.sqrt(2 / NUM_FEATURES)
        return np.concatenate([waved, np.ones((len(points), 1))], axis=1)

    seen = features(scene.points)
    labels = truth(scene.points)
    labels = labels + rng.normal(0, 1, labels.shape) * label_noise[scene.source][:, None]
    size = seen.shape[1]
    squares = np.stack([_mean_outer(seen[scene.source == i], seen[scene.source == i]) for i in range(NUM_SOURCES)])
    products = np.stack([_mean_outer(seen[scene.source == i], labels[scene.source == i]) for i in range(NUM_SOURCES)])
    tests = {name: (features(points), truth(points)) for name, points in scene.instances.items()}
    decay = _DECAY / DRAWS * np.eye(size)

    def errors(square: Floats, product: Floats) -> Floats:
        coefficients = np.linalg.solve(square + decay, product)  # (P, F, outputs)
        found = [np.sqrt(np.mean((test @ coefficients - aim) ** 2, axis=(1, 2))) for test, aim in tests.values()]
        return np.asarray(_SCALE_MM * np.stack(found, axis=1))

    def of_shares(shares: Floats) -> Floats:
        return errors(np.einsum("pn,nfg->pfg", shares, squares), np.einsum("pn,nfo->pfo", shares, products))

    def of_items(draws: Floats) -> Floats:
        part = draws / draws.sum(axis=1, keepdims=True)
        square = np.stack([(seen * one[:, None]).T @ seen for one in part])
        return errors(square, np.stack([(seen * one[:, None]).T @ labels for one in part]))

    def predictions(models: Floats) -> tuple[Mapping[str, Floats], Mapping[str, Floats]]:
        square, product = np.einsum("pn,nfg->pfg", models, squares), np.einsum("pn,nfo->pfo", models, products)
        coefficients = np.linalg.solve(square + decay, product)
        found = {name: (test @ coefficients).reshape(len(models), len(test), -1) for name, (test, _) in tests.items()}
        return found, {name: aim for name, (_, aim) in tests.items()}

    return World(
        kind="learner",
        scene=scene,
        of_items=of_items,
        of_shares=of_shares,
        noise_mm=NOISE_MM,
        predictions=predictions,
    )


def _mean_outer(one: Floats, other: Floats) -> Floats:
    return np.asarray(one.T @ other / len(one))
