"""Judging proposers honestly: how much worse than the best mixture is what each proposes, where that can be known.

Every proposer gets what it could have in earnest: summaries, binned attributes, or a number of noisy runs, which is
stated beside it. Its proposal is scored by the noise-free response of the world. The regret is the mean error minus
that of the best mixture of datasets; a choice of single samples may be better than any mixture, and its regret
negative. Each proposer meets the same worlds, so differences to uniform are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmark.limits import Floats
from benchmark.problem import Problem, Run
from benchmark.proposers import PROPOSERS
from benchmark.run_table import random_mixtures
from benchmark.worlds import make
from benchmark.worlds.world import Laboratory, World, rows
from catalogs.selection import Budget, Selection
from harmonize.errors import UsageError

NUM_RUNS = 36
"""Runs of each method that learns from runs beyond those of single datasets."""

NUM_SAMPLES, REPEAT_CAP, K = 1000, 4, 5
NUM_RESAMPLES = 2000

Propose = Callable[[World, int], Selection | None]
"""A world and a seed to a proposal; None where the world does not have what the method needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A method as it is judged. num_runs: trainings it is given, None where it needs none. is_control: no proposer, but
    what a proposer that costs as much should beat."""

    propose: Propose
    num_runs: int | None = None
    is_control: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    kind: str
    seed: int
    method: str
    regret_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Mean regret of a method in a kind of world, and by how much it is below that of uniform, in mm.

    low, high: ends of the 95% bootstrap interval over seeds, which is too narrow for fewer than about ten.
    """

    kind: str
    method: str
    num_runs: int | None
    num_seeds: int
    regret_mm: float
    regret_low_mm: float
    regret_high_mm: float
    gain_mm: float
    gain_low_mm: float
    gain_high_mm: float

    @property
    def beats_uniform(self) -> bool:
        return self.gain_low_mm > 0

    @property
    def loses_to_uniform(self) -> bool:
        return self.gain_high_mm < 0


def _plain(name: str, **parameters: object) -> Propose:
    return lambda world, seed: PROPOSERS[name](world.problem, **parameters)


def _repeat_capped(world: World, seed: int) -> Selection:
    draws = world.problem.budget.draws_per_epoch
    budget = Budget(draws_per_epoch=draws, repeat_cap=REPEAT_CAP)
    return PROPOSERS["repeat_capped"](replace(world.problem, budget=budget))


def _dsir(world: World, seed: int) -> Selection:
    samples, targets = rows(world.scene, binned=True)
    return PROPOSERS["dsir"](_seeded(world, seed), samples=samples, targets=targets, num=NUM_SAMPLES)


def _facility_samples(world: World, seed: int) -> Selection:
    return PROPOSERS["facility_samples"](world.problem, num=NUM_SAMPLES)


def _semantic_dedup(world: World, seed: int) -> Selection:
    samples, _ = rows(world.scene, binned=False)
    return PROPOSERS["semantic_dedup"](_seeded(world, seed), samples=samples, epsilon=1e-4)


def _top_k(world: World, seed: int) -> Selection:
    laboratory = Laboratory(world, len(world.scene.names), seed)
    singles = [laboratory.run(shares) for shares in np.eye(len(world.scene.names))]
    errors = [np.mean(list(run.errors.values())) for run in singles]
    ranking = [world.scene.names[i] for i in np.argsort(errors, kind="stable")]
    return PROPOSERS["top_k"](world.problem, ranking=ranking, k=K)


def _mixmin(world: World, seed: int) -> Selection | None:
    if world.predictions is None:
        return None
    found, truth = world.predictions(np.eye(len(world.scene.names)))
    predictions = {name: dict(zip(world.scene.names, rows, strict=True)) for name, rows in found.items()}
    return PROPOSERS["mixmin"](world.problem, predictions=predictions, truth=truth)


def _halves(world: World, seed: int) -> list[Run]:
    """Runs on random halves of the sources, balanced so that each is in half of the runs."""
    size = len(world.scene.names)
    rng = np.random.default_rng([seed, 0xAA])
    laboratory = Laboratory(world, NUM_RUNS, seed)
    runs = []
    for _ in range(NUM_RUNS // 2):
        half = np.zeros(size)
        half[rng.permutation(size)[: size // 2]] = 1
        runs += [laboratory.run(side / side.sum()) for side in (half, 1 - half)]
    return runs


def _datamodel(world: World, seed: int) -> Selection:
    return PROPOSERS["datamodel"](_seeded(world, seed), runs=_halves(world, seed))


def _random_runs(world: World, seed: int, num: int, laboratory: Laboratory) -> list[Run]:
    problem = world.problem
    rng = np.random.default_rng([seed, 0xBB])
    mixtures = random_mixtures(rng, problem.counts, problem.limits, num - 1)
    size = len(problem.names)
    return [laboratory.run(shares) for shares in [np.full(size, 1 / size), *mixtures]]


def _regmix(law: str | None) -> Propose:
    def propose(world: World, seed: int) -> Selection:
        runs = _random_runs(world, seed, NUM_RUNS, Laboratory(world, NUM_RUNS, seed))
        return PROPOSERS["regmix"](_seeded(world, seed), runs=runs, law=law)

    return propose


def _bayesian(world: World, seed: int) -> Selection:
    laboratory = Laboratory(world, NUM_RUNS, seed)
    runs = _random_runs(world, seed, NUM_RUNS // 3, laboratory)
    while len(runs) < NUM_RUNS:
        following = PROPOSERS["bayesian"](_seeded(world, seed + len(runs)), runs=runs, goal="explore")
        runs.append(laboratory.run(np.array([member.weight for member in following.members])))
    return PROPOSERS["bayesian"](_seeded(world, seed), runs=runs, goal="best")


def _best_of_random(world: World, seed: int) -> Selection:
    runs = _random_runs(world, seed, NUM_RUNS, Laboratory(world, NUM_RUNS, seed))
    best = min(runs, key=lambda run: np.mean(list(run.errors.values())))
    return PROPOSERS["explicit_lengths"](world.problem, lengths=best.weights)


CONTENDERS: dict[str, Contender] = {
    "uniform": Contender(propose=_plain("uniform")),
    "natural": Contender(propose=_plain("natural")),
    "temperature": Contender(propose=_plain("temperature", tau=2.0)),
    "repeat_capped": Contender(propose=_repeat_capped),
    "mean_matching": Contender(propose=_plain("mean_matching")),
    "facility_datasets": Contender(propose=_plain("facility_datasets")),
    "dsir": Contender(propose=_dsir),
    "facility_samples": Contender(propose=_facility_samples),
    "semantic_dedup": Contender(propose=_semantic_dedup),
    "top_k": Contender(propose=_top_k, num_runs=12),
    "mixmin": Contender(propose=_mixmin, num_runs=12),
    "datamodel": Contender(propose=_datamodel, num_runs=NUM_RUNS),
    "regmix": Contender(propose=_regmix(None), num_runs=NUM_RUNS),
    "regmix, boosted trees": Contender(propose=_regmix("boosted"), num_runs=NUM_RUNS),
    "bayesian": Contender(propose=_bayesian, num_runs=NUM_RUNS),
    "best of random runs": Contender(propose=_best_of_random, num_runs=NUM_RUNS, is_control=True),
}
NOT_JUDGED: dict[str, str] = {
    "explicit_lengths": "repeats what a user says; the control goes through it",
    "motion_frames": "needs recordings in time, and items of these worlds have no order",
    "smplerx_best_k": "needs the 32 datasets by name; top_k is its rule, with a ranking made in the world",
    "smplerx_concat": "is natural, at a budget of one pass",
    "smplerx_specialist": "needs the released datasets by name",
    "smplerx_weighted": "repeats what a user says, as explicit_lengths",
}
"""Proposers that these worlds cannot judge, and why."""


def judge_world(kind: str, seed: int, methods: Iterable[str] | None = None) -> list[Score]:
    """The regret of each method in one world, in mm; methods that cannot run there are left out."""
    world = make(kind, seed)
    errors = {}
    for name in methods or CONTENDERS:
        selection = CONTENDERS[name].propose(world, seed)
        if selection is not None:
            errors[name] = world.mean_error(selection)
    best = world.least()[1]
    return [Score(kind=kind, seed=seed, method=name, regret_mm=error - best) for name, error in errors.items()]


def measured_regrets(kind: str, errors: Mapping[str, Mapping[int, float]]) -> list[Score]:
    """Scores of errors in mm by method and seed, where no response is known, only what trainings of each seed came to.

    The best is the method with the lowest mean over all seeds, so its own regret is 0; each regret is taken in its own
    seed. Being chosen among noisy means, the best looks a little better than it is, and regrets a little larger.

    Raises:
        UsageError: no method, or methods measured in different seeds.
    """
    seeds = {name: sorted(by_seed) for name, by_seed in errors.items()}
    if not seeds or not all(seeds.values()) or len({tuple(one) for one in seeds.values()}) > 1:
        raise UsageError(f"regrets: expected errors of every method in the same seeds, found {seeds}")
    best = min(errors, key=lambda name: (float(np.mean(list(errors[name].values()))), name))
    return [
        Score(kind=kind, seed=seed, method=name, regret_mm=by_seed[seed] - errors[best][seed])
        for name, by_seed in errors.items()
        for seed in sorted(by_seed)
    ]


def verdicts(scores: Sequence[Score], num_runs: Mapping[str, int | None] | None = None) -> list[Verdict]:
    """One row for each kind of world and method, in the order of the scores; uniform must be among the methods.

    num_runs: trainings that each method was given; those of `CONTENDERS` by default.
    """
    given = {name: one.num_runs for name, one in CONTENDERS.items()} if num_runs is None else num_runs
    table: dict[tuple[str, str], dict[int, float]] = {}
    for score in scores:
        table.setdefault((score.kind, score.method), {})[score.seed] = score.regret_mm
    found = []
    for (kind, method), by_seed in table.items():
        seeds = sorted(by_seed)
        regrets = np.array([by_seed[seed] for seed in seeds])
        gains = np.array([table[kind, "uniform"][seed] for seed in seeds]) - regrets
        low, high = interval(regrets)
        gain_low, gain_high = interval(gains)
        found.append(
            Verdict(
                kind=kind,
                method=method,
                num_runs=given[method],
                num_seeds=len(seeds),
                regret_mm=float(regrets.mean()),
                regret_low_mm=low,
                regret_high_mm=high,
                gain_mm=float(gains.mean()),
                gain_low_mm=gain_low,
                gain_high_mm=gain_high,
            )
        )
    return found


def interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """Ends of the bootstrap interval (percentile) of the mean of values (S,)."""
    at = np.random.default_rng(0).integers(len(values), size=(NUM_RESAMPLES, len(values)))
    low, high = np.quantile(values[at].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def summary(found: Sequence[Verdict]) -> list[str]:
    """In words, for each method but uniform: in which worlds it beats uniform, loses to it, or cannot be told apart."""
    lines = []
    for method in dict.fromkeys(verdict.method for verdict in found):
        own = [verdict for verdict in found if verdict.method == method]
        if method == "uniform":
            continue
        parts = []
        for text, chosen in (
            ("beats uniform", [one.kind for one in own if one.beats_uniform]),
            ("does not beat uniform: worse", [one.kind for one in own if one.loses_to_uniform]),
            (
                "does not beat uniform: no difference shown",
                [one.kind for one in own if not one.beats_uniform and not one.loses_to_uniform],
            ),
        ):
            if chosen:
                parts.append(f"{text} ({', '.join(chosen)})")
        lines.append(f"{method}: " + "; ".join(parts))
    return lines


def _seeded(world: World, seed: int) -> Problem:
    return replace(world.problem, seed=seed)
