"""What is in a world: sources and benchmarks as clouds of points around common topics, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from benchmark.limits import Floats
from benchmark.problem import Problem, Summaries
from benchmark.summary import Summary
from catalogs.attributes.pose_clusters import k_means, nearest_centre
from catalogs.selection import Budget, Pool, Selection, Source

NUM_SOURCES, NUM_TOPICS, NUM_BENCHMARKS, NUM_DIMENSIONS = 12, 10, 3, 4
NUM_INSTANCES, NUM_FREQUENCIES, SAMPLE = 200, 128, 200
DRAWS = 4000
SPACE = "made-up:1"

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """M items of N sources: source (M,), topic (M,), points (M, d), keys; copy_of (M,): items that share a number are
    near copies of each other. instances: points (V, d) of each benchmark. centres: of the topics, (K, d)."""

    names: tuple[str, ...]
    source: Ints
    topic: Ints
    points: Floats
    copy_of: Ints
    keys: tuple[str, ...]
    instances: Mapping[str, Floats]
    aims: Floats
    seed: int

    @property
    def benchmarks(self) -> tuple[str, ...]:
        return tuple(self.instances)

    @cached_property
    def counts(self) -> Ints:
        """(N,) items of each source."""
        return np.bincount(self.source, minlength=len(self.names)).astype(np.int64)

    @cached_property
    def topic_shares(self) -> Floats:
        """(N, K) of each source's items."""
        table = np.zeros((len(self.names), NUM_TOPICS))
        np.add.at(table, (self.source, self.topic), 1)
        return np.asarray(table / table.sum(axis=1, keepdims=True))

    @cached_property
    def problem(self) -> Problem:
        """The summaries of all sources and benchmarks, in one space."""
        rng = np.random.default_rng([self.seed, 7])
        everything = np.concatenate(list(self.instances.values()))
        width = float(np.median(np.abs(everything - everything[::-1]).sum(axis=1))) / 2
        frequencies = rng.normal(0, 1 / width, (NUM_FREQUENCIES, NUM_DIMENSIONS))
        pool = Pool(
            sources=tuple(
                Source(dataset=name.partition("/")[0], split="train", num_available=int(count))
                for name, count in zip(self.names, self.counts, strict=True)
            ),
            shards=(),
        )
        sources: Summaries = {
            name: {SPACE: self._summary(self.points[self.source == i], name, frequencies, rng)}
            for i, name in enumerate(self.names)
        }
        targets: Summaries = {
            name: {SPACE: self._summary(points, name, frequencies, rng)} for name, points in self.instances.items()
        }
        budget = Budget(draws_per_epoch=DRAWS)
        return Problem(pool=pool, budget=budget, sources=sources, targets=targets, seed=self.seed)

    @cached_property
    def _centres(self) -> Floats:
        return np.asarray(k_means(self.points, NUM_TOPICS, self.seed), np.float64)

    def cell(self, points: Floats) -> Ints:
        """(P,) the cluster of points, as found without knowing the topics."""
        return nearest_centre(points, self._centres).astype(np.int64)

    def draws(self, selection: Selection) -> Floats:
        """(M,) how often a selection draws each item: a member's draws are shared equally by its samples."""
        chosen = None if selection.sample_keys is None else set(selection.sample_keys)
        is_in = np.array([chosen is None or key in chosen for key in self.keys])
        draws = np.zeros(len(self.keys))
        for member in selection.members:
            at = is_in & (self.source == self.names.index(member.name))
            draws[at] = member.num_draws / member.num_available
        return draws

    def _summary(self, points: Floats, name: str, frequencies: Floats, rng: np.random.Generator) -> Summary:
        phase = points @ frequencies.T
        embedded = np.concatenate([np.cos(phase), np.sin(phase)], axis=1) / np.sqrt(len(frequencies))
        at = rng.permutation(len(points))[:SAMPLE]
        own = [key for key, i in zip(self.keys, self.source, strict=True) if self.names[i] == name]
        keys = own or [f"{name}-{i:04d}" for i in range(len(points))]
        apart = points - points.mean(axis=0)
        return Summary(
            space=SPACE,
            num=len(points),
            mean=points.mean(axis=0),
            scatter=apart.T @ apart,
            embedding=embedded.mean(axis=0),
            cells=np.bincount(self.cell(points), minlength=NUM_TOPICS).astype(np.int64),
            sample=points[at],
            sample_keys=tuple(keys[i] for i in at),
        )


def make_scene(seed: int, *, num_copies: int = 0, is_planted: bool = False) -> Scene:
    """Sources of 40 to 1,200 items with topics of their own, and three benchmarks.

    num_copies: so many sources are near copies of the first one's items. is_planted: the benchmarks' topics are those
    of one random mixture of the sources.
    """
    rng = np.random.default_rng([seed, 1])
    counts = np.exp(rng.uniform(np.log(40), np.log(1200), NUM_SOURCES)).astype(int)
    topics = rng.dirichlet(np.full(NUM_TOPICS, 0.4), NUM_SOURCES)
    centres = rng.normal(0, 2, (NUM_TOPICS, NUM_DIMENSIONS))
    aims = rng.dirichlet(np.full(NUM_TOPICS, 0.6), NUM_BENCHMARKS)
    if is_planted:
        aims = np.tile(rng.dirichlet(np.full(NUM_SOURCES, 0.5)) @ topics, (NUM_BENCHMARKS, 1))
    if num_copies:
        counts[: num_copies + 1] = int(counts.max() // 2)
    source = np.repeat(np.arange(NUM_SOURCES), counts)
    topic = np.concatenate([rng.choice(NUM_TOPICS, n, p=p) for n, p in zip(counts, topics, strict=True)])
    points = centres[topic] + rng.normal(0, 0.5, (len(topic), NUM_DIMENSIONS))
    copy_of = np.arange(len(topic))
    for i in range(1, num_copies + 1):
        first, here = np.flatnonzero(source == 0), np.flatnonzero(source == i)
        copy_of[here], topic[here] = first, topic[first]
        points[here] = points[first] + rng.normal(0, 0.01, (len(here), NUM_DIMENSIONS))
    names = tuple(f"set{i:02d}/train" for i in range(NUM_SOURCES))
    order = rng.permutation(NUM_SOURCES)  # whether a source is a copy must not show in its name
    source = order[source].astype(np.int64)
    instances = {}
    for number, aim in enumerate(aims):
        drawn = rng.choice(NUM_TOPICS, NUM_INSTANCES, p=aim)
        instances[f"bench{number}"] = centres[drawn] + rng.normal(0, 0.5, (NUM_INSTANCES, NUM_DIMENSIONS))
    return Scene(
        names=names,
        source=source,
        topic=topic.astype(np.int64),
        points=points,
        copy_of=copy_of.astype(np.int64),
        keys=tuple(f"item-{i:05d}" for i in range(len(topic))),
        instances=instances,
        aims=aims,
        seed=seed,
    )
