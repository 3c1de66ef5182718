"""How every proposer is called in the toy world, and the trainings that those which learn from runs are given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from toy_world import Measured, World

from benchmark.problem import Problem, Run, Samples
from benchmark.proposers import PROPOSERS
from benchmark.published import instances
from benchmark.rankings.published import published_ranking
from benchmark.run_table import random_mixtures
from catalogs.apportion import apportion
from catalogs.selection import Budget, Selection
from harmonize.whole import write_whole
from pipelines import sample_values
from pipelines.mixture import target_splits

Floats = npt.NDArray[np.floating[Any]]

NUM_RUNS = 24
"""Trainings of each method that learns from runs beyond those of single datasets."""

NUM_FIRST = NUM_RUNS // 3
"""Of Bayesian optimisation: those before it chooses for itself."""

LABORATORY_SEED = 10_000
"""Added to the seed: a method is never judged by the very trainings that it learnt from."""

REPEAT_CAP, K = 6, 5


class Results:
    """What trainings came to, one JSON file each, so that no training is made twice."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder, self._digest = world, folder, world.digest
        folder.mkdir(parents=True, exist_ok=True)

    def measured(self, selection: Selection, seed: int) -> Measured:
        """Train on a mixture from a seed and measure, unless that was done. What a mixture is called does not count."""
        path = self.folder / f"{self._key(selection, seed)}.json"
        if not path.is_file():
            found = self.world.measure(self.world.train(selection, seed))
            joints = {name: np.round(values, 1).tolist() for name, values in found.joints_mm.items()}
            write_whole(path, json.dumps({"errors": found.errors, "joints_mm": joints}).encode())
        saved = json.loads(path.read_text(encoding="utf-8"))
        joints_mm = {name: np.array(values) for name, values in saved["joints_mm"].items()}
        return Measured(errors=saved["errors"], joints_mm=joints_mm)

    def _key(self, selection: Selection, seed: int) -> str:
        draws = [(member.name, member.num_draws) for member in selection.members]
        asked = [self._digest, seed, selection.seed, draws, selection.sample_keys]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:24]


class Laboratory:
    """The trainings that a method may learn from, in one seed; the mixtures are the same in every seed."""

    def __init__(self, results: Results, seed: int) -> None:
        self._results, self._seed = results, seed + LABORATORY_SEED
        self.problem = _seeded(results.world.problem, self._seed)

    def measured(self, shares: Floats) -> Measured:
        return self._results.measured(mixture(self.problem, shares), self._seed)

    def run(self, shares: Floats) -> Run:
        """Train on a mixture (N,) of the candidates and test on every benchmark."""
        weights = dict(zip(self.problem.names, np.asarray(shares).tolist(), strict=True))
        return Run(weights=weights, errors=self.measured(shares).errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What proposers of samples look at: bins of sources and benchmarks, poses, and joints in the order of time."""

    bins: Mapping[str, Samples]
    target_bins: Mapping[str, Samples]
    poses: Mapping[str, Samples]
    joints: Mapping[str, Samples]


def look(world: World) -> Looks:
    """Read what proposers of samples look at from the store."""
    names, splits = world.problem.names, target_splits(world.store, list(world.benchmarks))
    bins = sample_values.bins(world.store, [*names, *splits.values()])
    return Looks(
        bins={name: bins[name] for name in names},
        target_bins={name: bins[split] for name, split in splits.items()},
        poses=sample_values.points(world.store, names, "pose"),
        joints=sample_values.joints(world.store, names),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One seed of the world: what a proposer is called with."""

    world: World
    looks: Looks
    laboratory: Laboratory
    problem: Problem
    seed: int

    @classmethod
    def of(cls, results: Results, looks: Looks, seed: int) -> Case:
        problem = _seeded(results.world.problem, seed)
        return cls(world=results.world, looks=looks, laboratory=Laboratory(results, seed), problem=problem, seed=seed)

    @property
    def draws(self) -> int:
        return self.problem.budget.draws_per_epoch

    @property
    def num_samples(self) -> int:
        """How many samples methods choose that are told a number: a third of all."""
        return int(self.problem.counts.sum()) // 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """num_runs: trainings that it is given in each seed, None where it needs none. is_control: no proposer."""

    propose: Callable[[Case], Selection]
    num_runs: int | None = None
    is_control: bool = False


def mixture(problem: Problem, shares: Floats) -> Selection:
    """A mixture by the shares (N,) of the candidates."""
    lengths = dict(zip(problem.names, np.asarray(shares).tolist(), strict=True))
    return PROPOSERS["explicit_lengths"](problem, lengths=lengths)


def singles(problem: Problem) -> Floats:
    """(N, N): one source each."""
    return np.eye(len(problem.names))


def halves(problem: Problem) -> Floats:
    """(`NUM_RUNS`, N): random halves of the sources, each with its other half."""
    size = len(problem.names)
    rng = np.random.default_rng(0xAA)
    found = np.zeros((NUM_RUNS, size))
    for i in range(0, NUM_RUNS, 2):
        found[i, rng.permutation(size)[: size // 2]] = 1
        found[i + 1] = 1 - found[i]
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def randoms(problem: Problem) -> Floats:
    """(`NUM_RUNS`, N): uniform, and mixtures as RegMix draws its proxies."""
    size = len(problem.names)
    drawn = random_mixtures(np.random.default_rng(0xBB), problem.counts, problem.limits, NUM_RUNS - 1)
    return np.concatenate([np.full((1, size), 1 / size), drawn])


def _plain(name: str, **parameters: object) -> Callable[[Case], Selection]:
    return lambda case: PROPOSERS[name](case.problem, **parameters)


def _repeat_capped(case: Case) -> Selection:
    budget = replace(case.problem.budget, repeat_cap=REPEAT_CAP)
    return PROPOSERS["repeat_capped"](replace(case.problem, budget=budget))


def _explicit_lengths(case: Case) -> Selection:
    held = {source.dataset for source in case.problem.candidates.sources}
    lengths = {name: length for name, length in instances().items() if name in held}
    return PROPOSERS["explicit_lengths"](case.problem, lengths=lengths)


def _weighted(case: Case) -> Selection:
    held = {source.dataset for source in case.problem.candidates.sources}
    ranked = [name for name in published_ranking("b").datasets if name in held]
    draws = apportion([float(len(ranked) - place) for place in range(len(ranked))], case.draws)
    return PROPOSERS["smplerx_weighted"](case.problem, lengths=dict(zip(ranked, draws, strict=True)))


def _concat(case: Case) -> Selection:
    budget = Budget(draws_per_epoch=int(case.problem.counts.sum()), seed=case.seed)
    return PROPOSERS["smplerx_concat"](replace(case.problem, budget=budget))


def _dsir(case: Case) -> Selection:
    looks = case.looks
    return PROPOSERS["dsir"](case.problem, samples=looks.bins, targets=looks.target_bins, num=case.num_samples)


def _facility_samples(case: Case) -> Selection:
    return PROPOSERS["facility_samples"](case.problem, num=case.num_samples)


def _semantic_dedup(case: Case) -> Selection:
    return PROPOSERS["semantic_dedup"](case.problem, samples=case.looks.poses)


def _motion_frames(case: Case) -> Selection:
    return PROPOSERS["motion_frames"](case.problem, samples=case.looks.joints)


def _top_k(case: Case) -> Selection:
    errors = [case.laboratory.measured(shares).mean_mm for shares in singles(case.problem)]
    ranking = [case.problem.names[i] for i in np.argsort(errors, kind="stable")]
    return PROPOSERS["top_k"](case.problem, ranking=ranking, k=K)


def _mixmin(case: Case) -> Selection:
    alone = [case.laboratory.measured(shares).joints_mm for shares in singles(case.problem)]
    names = case.problem.names
    predictions = {
        of: {name: joints[of] for name, joints in zip(names, alone, strict=True)} for of in case.world.benchmarks
    }
    truth = {of: one.joints_mm for of, one in case.world.benchmarks.items()}
    return PROPOSERS["mixmin"](case.problem, predictions=predictions, truth=truth)


def _datamodel(case: Case) -> Selection:
    runs = [case.laboratory.run(shares) for shares in halves(case.problem)]
    return PROPOSERS["datamodel"](case.problem, runs=runs)


def _regmix(law: str | None) -> Callable[[Case], Selection]:
    def propose(case: Case) -> Selection:
        runs = [case.laboratory.run(shares) for shares in randoms(case.problem)]
        return PROPOSERS["regmix"](case.problem, runs=runs, law=law)

    return propose


def _bayesian(case: Case) -> Selection:
    runs = [case.laboratory.run(shares) for shares in randoms(case.problem)[:NUM_FIRST]]
    while len(runs) < NUM_RUNS:
        following = PROPOSERS["bayesian"](replace(case.problem, seed=case.seed + len(runs)), runs=runs, goal="explore")
        runs.append(case.laboratory.run(np.array([member.weight for member in following.members])))
    return PROPOSERS["bayesian"](case.problem, runs=runs, goal="best")


def _best_of_random(case: Case) -> Selection:
    drawn = randoms(case.problem)
    errors = [case.laboratory.measured(shares).mean_mm for shares in drawn]
    return mixture(case.problem, drawn[int(np.argmin(errors))])


CONTENDERS: dict[str, Contender] = {
    "uniform": Contender(propose=_plain("uniform")),
    "natural": Contender(propose=_plain("natural")),
    "temperature": Contender(propose=_plain("temperature", tau=2.0)),
    "repeat_capped": Contender(propose=_repeat_capped),
    "explicit_lengths": Contender(propose=_explicit_lengths),
    "smplerx_best_k, 5": Contender(propose=_plain("smplerx_best_k", k=5)),
    "smplerx_best_k, 10": Contender(propose=_plain("smplerx_best_k", k=10)),
    "smplerx_concat": Contender(propose=_concat),
    "smplerx_weighted": Contender(propose=_weighted),
    "smplerx_specialist": Contender(propose=_plain("smplerx_specialist", target="EgoBody")),
    "mean_matching": Contender(propose=_plain("mean_matching")),
    "facility_datasets": Contender(propose=_plain("facility_datasets")),
    "dsir": Contender(propose=_dsir),
    "facility_samples": Contender(propose=_facility_samples),
    "semantic_dedup": Contender(propose=_semantic_dedup),
    "motion_frames": Contender(propose=_motion_frames),
    "top_k": Contender(propose=_top_k, num_runs=12),
    "mixmin": Contender(propose=_mixmin, num_runs=12),
    "datamodel": Contender(propose=_datamodel, num_runs=NUM_RUNS),
    "regmix": Contender(propose=_regmix(None), num_runs=NUM_RUNS),
    "regmix, boosted trees": Contender(propose=_regmix("boosted"), num_runs=NUM_RUNS),
    "bayesian": Contender(propose=_bayesian, num_runs=NUM_RUNS),
    "best of random runs": Contender(propose=_best_of_random, num_runs=NUM_RUNS, is_control=True),
}
WHAT: dict[str, str] = {
    "explicit_lengths": "as many draws as the real datasets have instances (GTA-Human II's number is not published)",
    "smplerx_concat": "an epoch is one pass over all samples; as many updates as the others",
    "smplerx_weighted": "draws fall in steps with the place of a dataset in the published ranking of SMPLer-X-B",
    "smplerx_specialist": "the released mixture for EgoBody, judged on all benchmarks",
    "repeat_capped": f"at most {REPEAT_CAP} draws of a sample in an epoch",
    "dsir": "a third of the samples, as facility_samples",
}
"""How methods were called that take more than the problem."""


def _seeded(problem: Problem, seed: int) -> Problem:
    return replace(problem, seed=seed, budget=replace(problem.budget, seed=seed))
