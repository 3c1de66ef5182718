"""Trainings on mixtures, from the run tables that rankings read: what methods that learn from runs are given.

A run table (`rankings.runs`) may have columns `weight_NAME`, NAME being a source: `dataset`, or `dataset/split`. They
hold the share of the draws that a training took from it, empty for none; `dataset` then is the mixture's name. A row
without any weight is a training on its dataset alone, so that one table serves rankings and proposals. docs/runs.md
describes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.rankings.runs import COLUMNS, PRIMARY_METRICS, Run, architectures, load_runs, read_rows, runs_file
from harmonize.errors import DataError, UsageError

WEIGHT = "weight_"
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureRun:
    """One training: shares by source, which add up to 1, and its primary error by benchmark, in mm."""

    run_id: str
    weights: Mapping[str, float]
    errors: Mapping[str, float]


def load_mixture_runs(path: Path) -> tuple[MixtureRun, ...]:
    """The trainings of a run table (a file, or a folder with runs.parquet or runs.csv), in order of their names.

    Raises:
        UsageError: there is no such file, or runs differ in architecture or draws: their errors do not compare.
        DataError: see `load_runs`; weights are no shares or do not add up to 1, rows of a run differ in them, a run has
            no primary error, or two on one benchmark.
    """
    file = runs_file(path)
    runs = load_runs(file)
    for what, found in (("architecture", architectures(runs)), ("draws", sorted({run.draws for run in runs}))):
        if len(found) > 1:
            raise UsageError(
                f"{file}: expected runs of one {what}, found {', '.join(map(str, found))}: their errors do not compare",
                fix="write those of one into a table of its own",
            )
    weights: dict[str, dict[str, float]] = {}
    errors: dict[str, dict[str, float]] = {}
    for number, (run, row) in enumerate(zip(runs, read_rows(file, COLUMNS), strict=True), 1):
        own = _weights(run, row, f"{file}: row {number}")
        if weights.setdefault(run.run_id, own) != own:
            raise DataError(f"{file}: row {number}: other weights of {run.run_id} than before", path=file, row=number)
        if run.metric.lower() != PRIMARY_METRICS.get(run.benchmark, "pve"):
            continue
        if run.benchmark in errors.setdefault(run.run_id, {}):
            raise DataError(
                f"{file}: row {number}: a second {run.metric} of {run.run_id} on {run.benchmark}",
                fix="give each training a run_id of its own",
                path=file,
                row=number,
            )
        errors[run.run_id][run.benchmark] = run.error_mm
    if without := sorted(set(weights) - set(errors)):
        raise DataError(f"{file}: expected a primary error of each run, found none of {', '.join(without)}", path=file)
    return tuple(MixtureRun(run_id=name, weights=weights[name], errors=errors[name]) for name in sorted(weights))


def _weights(run: Run, row: Mapping[str, Any], where: str) -> dict[str, float]:
    given = {name.removeprefix(WEIGHT): value for name, value in row.items() if name.startswith(WEIGHT)}
    shares = {}
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value >= 0):
            raise DataError(f"{where}: {WEIGHT}{name}: expected a share from 0 to 1, found {value!r}")
        if value:
            shares[name] = float(value)
    if not shares:
        return {run.dataset: 1.0}
    if abs(sum(shares.values()) - 1) > TOLERANCE:
        raise DataError(
            f"{where}: expected weights of {run.run_id} that add up to 1, found {sum(shares.values()):.6g}",
            fix="divide them by their sum",
        )
    return shares
