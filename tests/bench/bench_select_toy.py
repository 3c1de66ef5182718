"""The regret of every proposer where tiny networks are really trained, on miniatures. Run by `make bench-select`.

    python tests/bench/bench_select_toy.py             3 seeds
    python tests/bench/bench_select_toy.py --full      20 seeds
    python tests/bench/bench_select_toy.py --quick     2 seeds
    python tests/bench/bench_select_toy.py --seeds 5 --json
    python tests/bench/bench_select_toy.py --simulated   with the simulated worlds of bench_select.py in the same table

Every proposer gets what it could have in earnest; what learns from runs gets the number of trainings stated. A network
is trained on each proposal from each seed, and measured by the benchmarks' protocols; the number is the mean of the
primary errors. Regrets are differences to the best method (in simulated worlds to the best mixture), in mm, paired by
seed, with 95% bootstrap intervals over seeds; `+` marks a method that beats uniform (the interval of the paired
difference is above 0), `-` one that loses to it. Trainings are kept in the cache folder, so that an interrupted bench
goes on where it was. `--full --simulated` writes the measured part of docs/proposers.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
from bench_select import simulated, table
from measured_page import write_measured
from toy_proposals import (
    CONTENDERS,
    NUM_RUNS,
    WHAT,
    Case,
    Floats,
    Laboratory,
    Looks,
    Results,
    halves,
    look,
    mixture,
    randoms,
    singles,
)
from toy_world import TINY, StoreConfig, World, build_store, open_world

from benchmark.judge import Verdict, measured_regrets, summary, verdicts
from benchmark.problem import Problem
from benchmark.worlds import KINDS
from harmonize.cache import cache_dir

FULL, REDUCED, QUICK = 20, 3, 2
KIND = "miniatures"
ORACLE = "best of all runs"


@dataclass(frozen=True, slots=True)
class Shared:
    """What all processes look at."""

    results: Results
    looks: Looks


_shared: Shared | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    global _shared
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--full", action="store_true", help=f"{FULL} seeds instead of {REDUCED}")
    length.add_argument("--quick", action="store_true", help=f"{QUICK} seeds")
    length.add_argument("--seeds", type=int, help="number of seeds")
    parser.add_argument("--no-runs", action="store_true", help="only methods that learn from no runs: a fifth")
    parser.add_argument("--simulated", action="store_true", help="judge in the simulated worlds, too: some minutes")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    given = parser.parse_args(arguments)
    num_seeds = given.seeds or (FULL if given.full else QUICK if given.quick else REDUCED)
    start = time.monotonic()
    store = build_store(StoreConfig(), given.workers)
    assert TINY.steps is not None
    world = open_world(store, draws_per_epoch=TINY.steps * TINY.batch_size)
    _shared = Shared(Results(world, cache_dir() / "toy-runs"), look(world))
    seeds = range(num_seeds)
    methods = [name for name, one in CONTENDERS.items() if one.num_runs is None or not given.no_runs]
    # Forked, so that the world is opened once.
    forks = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(given.workers, mp_context=forks) as pool:
        if not given.no_runs:
            jobs = [(seed, number) for seed in seeds for number in range(len(common(world.problem)))]
            list(pool.map(make_run, *zip(*jobs, strict=True)))
        by_seed = dict(zip(seeds, pool.map(judge_seed, [methods] * num_seeds, seeds), strict=True))
        errors = {name: {seed: by_seed[seed][name] for seed in seeds} for name in methods}
        num_runs = {name: CONTENDERS[name].num_runs for name in methods}
        if not given.no_runs:
            best, best_mm = oracle(_shared.results, seeds)
            errors[ORACLE] = dict(zip(seeds, pool.map(judge_mixture, [best.tolist()] * num_seeds, seeds), strict=True))
            num_runs[ORACLE] = len(common(world.problem)) * num_seeds
    own = verdicts(measured_regrets(KIND, errors), num_runs)
    kinds = [*KINDS, KIND] if given.simulated else [KIND]
    found = [*(simulated(list(KINDS), num_seeds) if given.simulated else []), *own]
    means = {name: float(np.mean(list(of.values()))) for name, of in errors.items()}
    if given.json:
        rows = [
            asdict(one) | {"beats_uniform": one.beats_uniform, "error_mm": means[one.method] if one in own else None}
            for one in found
        ]
        print(json.dumps(rows))
        return 0
    lines = [
        table(found, kinds, {name: name == ORACLE or CONTENDERS[name].is_control for name in errors}, "not judged"),
        gains(own, means),
        "",
        f"mean regret in mm [95% interval], {num_seeds} seeds; {KIND}: against {min(means, key=means.__getitem__)}",
        conditions(world),
        "+ beats uniform, - loses to it, no mark: no difference shown; runs: trainings the method was given in a seed",
        *(["with so few seeds the intervals are too narrow to rely on: --full"] if num_seeds < 10 else []),
    ]
    if not given.no_runs:
        lines += [
            f"control: the best of {NUM_RUNS} random runs, what a method that trains as often should beat",
            f"control: {ORACLE}: of single sources, halves and random mixtures the one whose mean over all seeds' runs "
            f"is lowest ({best_mm:.1f} mm), trained afresh",
        ]
    lines += ["", *(f"{name}: {text}" for name, text in WHAT.items()), "", *summary(found)]
    print("\n".join(lines))
    print(f"\n{time.monotonic() - start:.0f} s")
    if given.full and given.simulated and not given.no_runs:
        page = write_measured("proposers.md", "\n".join(["```text", *lines, "```", ""]))
        print(f"written to {page}")
    return 0


def conditions(world: World) -> str:
    """What was trained and measured."""
    assert TINY.steps is not None
    counts = ", ".join(f"{name} {len(one.crops.keys)}" for name, one in world.benchmarks.items())
    return (
        f"{KIND}: {len(world.crops.keys)} people to train on, {TINY.steps} updates of {TINY.batch_size}; instances: "
        f"{counts}; stand-in bodies and made-up people: no number here is a result about datasets"
    )


def judge_seed(methods: Sequence[str], seed: int) -> dict[str, float]:
    """The mean primary error in mm of each method's proposal, trained from this seed."""
    assert _shared is not None
    case = Case.of(_shared.results, _shared.looks, seed)
    errors = {}
    for name in methods:
        errors[name] = _shared.results.measured(CONTENDERS[name].propose(case), seed).mean_mm
        print(f"seed {seed}: {name}: {errors[name]:.1f} mm", file=sys.stderr, flush=True)
    return errors


def make_run(seed: int, number: int) -> None:
    """One run of the laboratory of a seed, unless it was made."""
    assert _shared is not None
    laboratory = Laboratory(_shared.results, seed)
    laboratory.measured(common(laboratory.problem)[number])
    print(f"seed {seed}: run {number}", file=sys.stderr, flush=True)


def judge_mixture(shares: Sequence[float], seed: int) -> float:
    """The mean primary error in mm of a mixture of the candidates, trained from this seed."""
    assert _shared is not None
    problem = Case.of(_shared.results, _shared.looks, seed).problem
    return _shared.results.measured(mixture(problem, np.array(shares)), seed).mean_mm


def common(problem: Problem) -> Floats:
    """(M, N): the mixtures that every seed's laboratory trains on."""
    return np.concatenate([singles(problem), halves(problem), randoms(problem)])


def oracle(results: Results, seeds: Iterable[int]) -> tuple[Floats, float]:
    """Of the common mixtures the one whose runs have the lowest mean error over all seeds, and that error in mm."""
    laboratories = [Laboratory(results, seed) for seed in seeds]
    mixtures = common(results.world.problem)
    means = [np.mean([one.measured(shares).mean_mm for one in laboratories]) for shares in mixtures]
    best = int(np.argmin(means))
    return mixtures[best], float(means[best])


def gains(found: Sequence[Verdict], means: Mapping[str, float]) -> str:
    """Errors, and how far each method is below uniform."""
    width = max(len(one.method) for one in found)
    lines = [f"\n{'method':<{width}}  error mm  below uniform, mm [95% interval]"]
    for one in found:
        interval = f"{one.gain_mm:6.2f} [{one.gain_low_mm:6.2f}, {one.gain_high_mm:6.2f}]"
        lines.append(f"{one.method:<{width}}  {means[one.method]:8.2f}  {interval}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
