"""The regret of every proposer in worlds whose response is known, against uniform and the best mixture. Run by
`make bench-select`.

    python tests/bench/bench_select.py             5 seeds of each kind of world
    python tests/bench/bench_select.py --full      20 seeds
    python tests/bench/bench_select.py --seeds 3 --kinds matching learner --json

Regrets are mean errors minus that of the best mixture of datasets, in mm, with 95% bootstrap intervals over seeds. `+`
marks a method that beats uniform there (the interval of the paired difference is above 0), `-` one that loses to it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict

from benchmark.judge import CONTENDERS, NOT_JUDGED, NUM_RUNS, Score, Verdict, judge_world, summary, verdicts
from benchmark.worlds import KINDS

FULL, REDUCED = 20, 5


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--full", action="store_true", help=f"{FULL} seeds instead of {REDUCED}")
    parser.add_argument("--seeds", type=int, help="number of seeds")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    given = parser.parse_args(arguments)
    num_seeds = given.seeds or (FULL if given.full else REDUCED)
    start = time.monotonic()
    found = simulated(given.kinds, num_seeds)
    if given.json:
        print(json.dumps([asdict(verdict) | {"beats_uniform": verdict.beats_uniform} for verdict in found]))
        return 0
    print(table(found, given.kinds, {name: one.is_control for name, one in CONTENDERS.items()}))
    print(f"\nmean regret in mm [95% interval], {num_seeds} seeds, {time.monotonic() - start:.0f} s")
    print("+ beats uniform, - loses to it, no mark: no difference shown; runs: trainings the method was given")
    if num_seeds < 10:
        print("with so few seeds the intervals are too narrow to rely on: --full")
    print(f"control: the best of {NUM_RUNS} random runs, what a method that trains as often should beat\n")
    print("\n".join(summary(found)))
    print("\n" + "\n".join(f"{name}: not judged: {why}" for name, why in NOT_JUDGED.items()))
    return 0


def simulated(kinds: Sequence[str], num_seeds: int) -> list[Verdict]:
    """All methods in all worlds of these kinds."""
    jobs = [(kind, seed) for kind in kinds for seed in range(num_seeds)]
    with ProcessPoolExecutor(max_workers=min(os.cpu_count() or 1, len(jobs))) as pool:
        scores: list[Score] = [score for found in pool.map(judge_world, *zip(*jobs, strict=True)) for score in found]
    return verdicts(scores)


def table(
    found: Sequence[Verdict], kinds: Sequence[str], is_control: Mapping[str, bool], missing: str = "needs models"
) -> str:
    """One line a method, in the order of `is_control`, one column a kind of world.

    missing: what stands where there is no verdict.
    """
    cells = {(one.method, one.kind): one for one in found}
    num_runs: dict[str, list[str]] = {}
    for one in found:
        known = num_runs.setdefault(one.method, [])
        if one.num_runs and str(one.num_runs) not in known:
            known.append(str(one.num_runs))
    lines = [["method", "runs", *kinds]]
    for method, is_one in is_control.items():
        row = [f"{method} (control)" if is_one else method, " or ".join(num_runs.get(method, []))]
        row += [_cell(cells[method, kind]) if (method, kind) in cells else missing for kind in kinds]
        lines.append(row)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cell(one: Verdict) -> str:
    mark = "+" if one.beats_uniform else "-" if one.loses_to_uniform else " "
    return f"{one.regret_mm:6.2f} [{one.regret_low_mm:5.2f}, {one.regret_high_mm:5.2f}]{mark}"


if __name__ == "__main__":
    sys.exit(main())
