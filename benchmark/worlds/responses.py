"""Responses of errors to a mixture, by topic: additive, saturating, with redundancy, wrong labels, or by distance.

Each is a function of three things of a run: effective draws of each topic, the share of draws on each topic, and the
share of draws of each source. A sample drawn again counts less: draws beyond the first are worth
R (1 - exp(-(t - 1) / R)) new ones with R = 15 (N. Muennighoff et al.: Scaling data-constrained language models, NeurIPS
2023). Near copies are one sample.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmark.limits import Floats
from benchmark.worlds.scene import DRAWS, NUM_BENCHMARKS, NUM_SOURCES, NUM_TOPICS, Scene, make_scene
from benchmark.worlds.world import World

NOISE_MM = 0.7
WORTH = 15.0
"""R: how many new draws all repetitions of a sample together are worth."""

Response = Callable[[Floats, Floats, Floats], Floats]
"""Effective draws (P, K), shares of draws by topic (P, K) and by source (P, N) to errors (P, B) in mm."""


def additive(seed: int) -> World:
    """E = floor + sum over draws of how little their topic and source help: the best mixture is one source."""
    scene = make_scene(seed)
    rng = np.random.default_rng([seed, 2])
    floor, quality = _floors(rng), rng.uniform(0, 10, NUM_SOURCES)
    relevance = scene.aims / scene.aims.max(axis=1, keepdims=True)

    def response(effective: Floats, topics: Floats, shares: Floats) -> Floats:
        return np.asarray(floor + 40 * (1 - topics @ relevance.T) + (shares @ quality)[:, None])

    return _world("additive", scene, response)


def saturating(seed: int) -> World:
    """E = floor + 60 (useful effective draws / 400 + 1)^-0.5: a useful source is worth its draws until it repeats."""
    scene = make_scene(seed)
    floor = _floors(np.random.default_rng([seed, 2]))
    relevance = scene.aims / scene.aims.max(axis=1, keepdims=True)

    def response(effective: Floats, topics: Floats, shares: Floats) -> Floats:
        return np.asarray(floor + 60 * (effective @ relevance.T / 400 + 1) ** -0.5)

    return _world("saturating", scene, response)


def redundant(seed: int) -> World:
    """E = floor + sum over topics of their share of the benchmark times a power law; five sources copy a sixth."""
    scene = make_scene(seed, num_copies=5)
    floor = _floors(np.random.default_rng([seed, 2]))
    return _world("redundant", scene, lambda effective, topics, shares: floor + _by_topic(scene, effective))


def mislabelled(seed: int) -> World:
    """The power law by topic, and label errors on top: worst in the two sources nearest to the benchmarks."""
    scene = make_scene(seed)
    rng = np.random.default_rng([seed, 2])
    floor = _floors(rng)
    label_mm = rng.uniform(0, 5, NUM_SOURCES)
    nearest = np.argsort(np.abs(scene.topic_shares - scene.aims.mean(axis=0)).sum(axis=1))
    label_mm[nearest[:2]] = rng.uniform(40, 60, 2)

    def response(effective: Floats, topics: Floats, shares: Floats) -> Floats:
        return floor + _by_topic(scene, effective) + (shares @ label_mm)[:, None]

    return _world("mislabelled", scene, response)


def matching(seed: int) -> World:
    """E = floor + 150 |topics of the draws - topics of the benchmark|^2, which one mixture brings to the floor."""
    scene = make_scene(seed, is_planted=True)
    floor = _floors(np.random.default_rng([seed, 2]))

    def response(effective: Floats, topics: Floats, shares: Floats) -> Floats:
        return np.asarray(floor + 150 * ((topics[:, None] - scene.aims) ** 2).sum(axis=2))

    return _world("matching", scene, response)


def effective_draws(draws: Floats) -> Floats:
    """How many new samples the draws of one sample are worth; below one draw, the draws themselves."""
    return np.where(draws <= 1, draws, 1 + WORTH * (1 - np.exp(-(np.maximum(draws, 1) - 1) / WORTH)))


def _by_topic(scene: Scene, effective: Floats) -> Floats:
    return np.asarray(60 * (effective / 40 + 1) ** -0.5 @ scene.aims.T)


def _floors(rng: np.random.Generator) -> Floats:
    return rng.uniform(50, 80, NUM_BENCHMARKS)


def _world(kind: str, scene: Scene, response: Response) -> World:
    # Samples with the same copies in the same sources are drawn alike: one class each, with their number.
    originals, place = np.unique(scene.copy_of, return_inverse=True)
    has = np.zeros((len(originals), NUM_SOURCES))
    has[place, scene.source] = 1
    topic_of = np.zeros(len(originals), np.int64)
    topic_of[place] = scene.topic
    described = np.concatenate([has, topic_of[:, None]], axis=1)
    classes, counts = np.unique(described, axis=0, return_counts=True)
    incidence, topic = classes[:, :NUM_SOURCES], classes[:, NUM_SOURCES].astype(np.int64)
    in_topic = np.eye(NUM_TOPICS)[topic] * counts[:, None]

    def of_shares(shares: Floats) -> Floats:
        each = DRAWS * shares / scene.counts
        return response(effective_draws(each @ incidence.T) @ in_topic, shares @ scene.topic_shares, shares)

    topics_of_items, sources_of_items = np.eye(NUM_TOPICS)[scene.topic], np.eye(NUM_SOURCES)[scene.source]
    topics_of_originals = np.eye(NUM_TOPICS)[topic_of]
    merged = np.zeros((len(scene.keys), len(originals)), np.float32) if len(originals) < len(scene.keys) else None
    if merged is not None:
        merged[np.arange(len(scene.keys)), place] = 1

    def of_items(draws: Floats) -> Floats:
        total = draws.sum(axis=1, keepdims=True)
        together = draws if merged is None else draws @ merged
        effective = effective_draws(together) @ topics_of_originals
        return response(effective, draws @ topics_of_items / total, draws @ sources_of_items / total)

    return World(kind=kind, scene=scene, of_items=of_items, of_shares=of_shares, noise_mm=NOISE_MM)
