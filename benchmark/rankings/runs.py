"""One's own trainings as a run table, and the errors with intervals that come of it.

A run table is a Parquet or CSV file with one row a trained model, benchmark and metric:

| column       | holds                                                                                     |
|--------------|-------------------------------------------------------------------------------------------|
| run_id       | name of the training                                                                      |
| dataset      | what it was trained on: a dataset, or the name of a mixture                               |
| benchmark    | agora, egobody, ehf, pw3d, ubody, ...                                                     |
| metric       | pve, mpjpe, ...                                                                           |
| error_mm     | the error, in mm                                                                          |
| low_mm, high_mm | its interval over test sequences or subjects; both may be empty                        |
| seed         | of the training                                                                           |
| architecture | of the model                                                                              |
| draws        | training samples drawn in the whole training                                              |

Columns `weight_NAME` say what a mixture is made of (`mixture_runs`, docs/runs.md); rankings do not look at them.

Intervals of scores here are about trainings, not about test pictures: means over seeds, with Student's t and the
variance between seeds pooled over all datasets that have several. Without any such dataset there is no interval.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.rankings.scores import ErrorTable, in_domain_mask
from harmonize.errors import DataError, UsageError

FILES = ("runs.parquet", "runs.csv")
PRIMARY_METRICS: Mapping[str, str] = {"pw3d": "mpjpe"}
"""Benchmark -> metric of SMPLer-X's mean primary error; it is `pve` on all others."""

LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One row of a run table; see the module. Errors in mm; `low_mm` and `high_mm` None where there is no interval."""

    run_id: str
    dataset: str
    benchmark: str
    metric: str
    error_mm: float
    low_mm: float | None
    high_mm: float | None
    seed: int
    architecture: str
    draws: int


COLUMNS = tuple(entry.name for entry in fields(Run))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunErrors:
    """Mean errors over seeds of one architecture; `half_width_mm` (N, B): of their intervals, None without repeats.

    seed_errors: dataset -> (number of seeds, B); the rows of a dataset are its trainings, in order of seeds.
    """

    architecture: str
    draws: int
    table: ErrorTable
    half_width_mm: np.typing.NDArray[np.float64] | None
    seed_errors: Mapping[str, np.typing.NDArray[np.float64]]


def load_runs(path: Path) -> tuple[Run, ...]:
    """Read and check a run table: a file, or a folder that holds runs.parquet or runs.csv.

    Raises:
        UsageError: there is no such file, or it is not Parquet or CSV.
        DataError: a column is missing, a value is not of its kind, or a result comes twice; the message says where.
    """
    file = runs_file(path)
    rows = read_rows(file, COLUMNS)
    if not rows:
        raise DataError(f"{file}: expected at least one run, found none", path=file)
    runs = tuple(_run(row, file, number) for number, row in enumerate(rows, 1))
    seen: dict[tuple[object, ...], int] = {}
    for number, run in enumerate(runs, 1):
        key = (run.architecture, run.draws, run.dataset, run.benchmark, run.metric.lower(), run.seed)
        if key in seen:
            raise DataError(
                f"{file}: rows {seen[key]} and {number} are both {run.metric} of {run.dataset} on {run.benchmark} "
                f"with seed {run.seed}, {run.architecture}, {run.draws} draws; expected one",
                fix="remove one of them",
                path=file,
            )
        seen[key] = number
    return runs


def runs_file(path: Path) -> Path:
    """The run table itself, of a file or a folder.

    Raises:
        UsageError: the folder has none.
    """
    if not path.is_dir():
        return path
    found = [path / name for name in FILES if (path / name).is_file()]
    if not found:
        raise UsageError(f"{path}: expected {' or '.join(FILES)}, found neither", fix="give the run table itself")
    return found[0]


def read_rows(file: Path, needed: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a Parquet or CSV file that has at least the columns `needed`; empty cells are None.

    Raises:
        UsageError: there is no such file, or its name ends otherwise.
        DataError: it cannot be read, or lacks a column.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    if file.suffix not in (".parquet", ".csv"):
        raise UsageError(f"{file}: expected a name ending in .parquet or .csv")
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file")
    try:
        if file.suffix == ".csv":
            # Names stay text even where all of them are digits.
            text = {name: pa.string() for name in ("run_id", "dataset", "benchmark", "metric", "architecture", "model")}
            options = csv.ConvertOptions(column_types=text, strings_can_be_null=True, quoted_strings_can_be_null=False)
            content = csv.read_csv(file, convert_options=options)
        else:
            content = parquet.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: cannot be read: {error}", path=file) from error
    if missing := [name for name in needed if name not in content.column_names]:
        raise DataError(
            f"{file}: expected the columns {', '.join(needed)}; missing: {', '.join(missing)}",
            path=file,
            missing=missing,
        )
    rows: list[dict[str, Any]] = content.to_pylist()
    return rows


def architectures(runs: Sequence[Run]) -> tuple[str, ...]:
    """The architectures of a run table, sorted."""
    return tuple(sorted({run.architecture for run in runs}))


def run_errors(runs: Sequence[Run], architecture: str, *, draws: int | None = None) -> RunErrors:
    """The mean errors of one architecture, of the primary metric of each benchmark.

    A dataset that lacks a seed on a benchmark which it has elsewhere lacks the cell: means over different seeds are
    means of different models.

    Raises:
        UsageError: no run of that architecture or budget, or several budgets and none chosen: rankings hold for one.
        DataError: a benchmark lacks the primary metric.
    """
    mine = [run for run in runs if run.architecture == architecture]
    if not mine:
        known = ", ".join(architectures(runs))
        raise UsageError(f"no run has the architecture {architecture!r}; there are {known}")
    budgets = sorted({run.draws for run in mine})
    if draws is None and len(budgets) > 1:
        raise UsageError(
            f"{architecture}: the runs have several budgets, {', '.join(map(str, budgets))} draws; datasets can be "
            "compared at one only",
            fix=f"add --draws {budgets[-1]}",
        )
    wanted = budgets[0] if draws is None else draws
    mine = [run for run in mine if run.draws == wanted]
    if not mine:
        raise UsageError(f"{architecture}: no run has {wanted} draws; there are {', '.join(map(str, budgets))}")
    benchmarks = tuple(sorted({run.benchmark for run in mine}))
    cells: dict[str, dict[tuple[str, int], float]] = defaultdict(dict)
    for run in mine:
        if run.metric.lower() == PRIMARY_METRICS.get(run.benchmark, "pve"):
            cells[run.dataset][run.benchmark, run.seed] = run.error_mm
    for benchmark in benchmarks:
        if not any(key[0] == benchmark for found in cells.values() for key in found):
            metrics = sorted({run.metric for run in mine if run.benchmark == benchmark})
            raise DataError(
                f"{benchmark}: expected the primary metric {PRIMARY_METRICS.get(benchmark, 'pve')}, "
                f"found {', '.join(metrics)}"
            )
    datasets = tuple(sorted({run.dataset for run in mine}))
    seed_errors = {}
    for dataset in datasets:
        seeds = sorted({seed for _, seed in cells[dataset]})
        seed_errors[dataset] = np.array(
            [[cells[dataset].get((benchmark, seed), math.nan) for benchmark in benchmarks] for seed in seeds]
        ).reshape(len(seeds), len(benchmarks))
    means = np.array([e.mean(axis=0) if len(e) else np.full(len(benchmarks), math.nan) for e in seed_errors.values()])
    return RunErrors(
        architecture=architecture,
        draws=wanted,
        table=ErrorTable(
            datasets=datasets,
            benchmarks=benchmarks,
            error_mm=means,
            is_in_domain=in_domain_mask(datasets, benchmarks),
        ),
        half_width_mm=_half_widths(list(seed_errors.values())),
        seed_errors=seed_errors,
    )


def mean_half_widths(errors: RunErrors, *, with_in_domain: bool) -> dict[str, float]:
    """Dataset -> half the 95 % interval, in mm, of its mean over benchmarks; empty when nothing was trained twice.

    Taken over whole trainings: the errors of one model on several benchmarks rise and fall together.
    """
    scores = []
    for dataset, counts in zip(errors.table.datasets, ~errors.table.is_in_domain | with_in_domain, strict=True):
        rows = errors.seed_errors[dataset][:, counts]
        scores.append(rows.mean(axis=1, keepdims=True) if rows.size else np.empty((0, 1)))
    widths = _half_widths(scores)
    if widths is None:
        return {}
    found = zip(errors.table.datasets, widths[:, 0].tolist(), strict=True)
    return {dataset: width for dataset, width in found if not math.isnan(width)}


def _half_widths(samples: Sequence[np.typing.NDArray[np.float64]]) -> np.typing.NDArray[np.float64] | None:
    """Half widths of the intervals of means: samples of shape (seeds, B), each dataset its own number of seeds.

    Pooled over datasets: s² = Σ (e − mean of its dataset)² / Σ (seeds − 1), half width t(Σ (seeds − 1)) · s / √seeds.
    """
    from scipy.stats import t

    columns = samples[0].shape[1]
    squares, freedom = np.zeros(columns), np.zeros(columns)
    for sample in samples:
        if len(sample) < 2:
            continue
        is_whole = ~np.isnan(sample).any(axis=0)
        deviations = sample[:, is_whole] - sample[:, is_whole].mean(axis=0)
        squares[is_whole] += (deviations**2).sum(axis=0)
        freedom[is_whole] += len(sample) - 1
    if not freedom.any():
        return None
    deviation = np.sqrt(np.divide(squares, freedom, out=np.full(columns, math.nan), where=freedom > 0))
    factor = t.ppf((1 + LEVEL) / 2, np.maximum(freedom, 1)) * deviation
    widths = [
        np.where(np.isnan(s).any(axis=0), math.nan, factor / math.sqrt(len(s)))
        if len(s)
        else np.full(columns, math.nan)
        for s in samples
    ]
    return np.array(widths)


def _run(row: Mapping[str, Any], file: Path, number: int) -> Run:
    values: dict[str, Any] = {}
    where = f"{file}: row {number}"
    for name in COLUMNS:
        value = row[name]
        if value is None and name in ("low_mm", "high_mm"):
            values[name] = None
            continue
        kind: type = str
        if name.endswith("_mm"):
            kind, is_right = float, isinstance(value, int | float) and math.isfinite(value) and value > 0
        elif name in ("seed", "draws"):
            kind, is_right = int, isinstance(value, int) and value >= (name == "draws")
        else:
            is_right = isinstance(value, str) and bool(value.strip())
        if isinstance(value, bool) or not is_right:
            expected = {float: "a number of mm above 0", int: "an integer of 0 or more", str: "a name"}[kind]
            raise DataError(f"{where}: {name}: expected {expected}, found {value!r}", path=file, row=number)
        values[name] = kind(value)
    low, high = values["low_mm"], values["high_mm"]
    if (low is None) != (high is None) or (low is not None and low > high):
        raise DataError(f"{where}: low_mm, high_mm: expected low to high, found {low} to {high}", path=file)
    return Run(**values)
