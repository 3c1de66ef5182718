"""Rankings as one table: a row a dataset, a column a score and a column its place."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from benchmark.published import instances
from benchmark.rankings.agreement import Agreement
from benchmark.rankings.published import PROXIES, Proxy, published_ranking, recalled_errors
from benchmark.rankings.runs import RunErrors, mean_half_widths
from benchmark.rankings.scores import SCORES, ErrorTable, Ranking, rank_by, rank_on
from catalogs.cards import Benchmark
from harmonize.errors import DataError, UsageError
from harmonize.whole import whole_file

MARK = "unverified_"
"""How the names of columns begin whose values come from figures that could not be verified."""

SHORT_MARK = " (?)"
"""How their headings end in a table that people read."""


_BENCHMARKS = tuple(f"{name}_" for name in get_args(Benchmark))


@dataclass(frozen=True, slots=True, kw_only=True)
class RankTable:
    """rows: the same keys in each, best first; rankings: what the columns of places show; notes: what to know of it."""

    rows: tuple[Mapping[str, Any], ...]
    rankings: tuple[Ranking, ...]
    notes: tuple[str, ...]

    def pages(self) -> list[list[dict[str, Any]]]:
        """The same rows for people: over all benchmarks, then by benchmark; unverified columns with a short mark."""
        names = list(self.rows[0]) if self.rows else []
        single = [name for name in names if name.removeprefix(MARK).removeprefix("rank_").startswith(_BENCHMARKS)]
        pages = [[name for name in names if name not in single], ["dataset", *single] if single else []]
        return [[{_heading(name): row[name] for name in page} for row in self.rows] for page in pages if page]


def published_table(
    proxies: Sequence[Proxy], *, with_unverified: bool, in_domain: Sequence[bool] = (True, False)
) -> RankTable:
    """The verified places for the given architectures, and their mean where there are several.

    with_unverified: also what follows from the recalled errors of SMPLer-X-S, every such column marked; `in_domain`:
    with in-domain cells in (True) and out (False), each asked for.
    """
    rankings = [published_ranking(proxy) for proxy in proxies]
    columns: dict[str, Mapping[str, float]] = {
        f"rank_{proxy}": ranking.ranks for proxy, ranking in zip(proxies, rankings, strict=True)
    }
    if len(rankings) > 1:
        means = {name: sum(r.ranks[name] for r in rankings) / len(rankings) for name in rankings[0].datasets}
        columns["mean_rank_of_proxies"] = means
        rankings.append(Ranking.of(f"mean of {', '.join(PROXIES[proxy][1] for proxy in proxies)}", means))
    notes = []
    if with_unverified:
        errors = recalled_errors()
        more, missing = _scores(errors, in_domain)
        columns |= {f"{MARK}{name}": values for name, values in more.items()}
        notes.append(
            f"UNVERIFIED: {MARK}* (in the table: {SHORT_MARK.strip()}) come from errors recalled from Table 1 of arXiv "
            "2309.17448, found on no page that could be opened; check the paper before you rely on one"
        )
        notes += [f"{MARK}{note}" for note in missing]
    sizes = instances()
    first = rankings[0]
    rows = tuple(
        {
            "dataset": name,
            "instances": sizes.get(name),
            **{column: _whole(values.get(name)) for column, values in columns.items()},
        }
        for name in first.datasets
    )
    return RankTable(rows=rows, rankings=tuple(rankings), notes=tuple(notes))


def run_table(errors: RunErrors, *, in_domain: Sequence[bool], reference: str | None = None) -> RankTable:
    """All scores of one's own runs of one architecture, best first by the mean of the first of `in_domain`.

    reference: the dataset (or mixture) whose errors are the unit of the normalised mean; default: the median.
    """
    table, reference_mm = errors.table, None
    if reference is not None:
        if reference not in table.datasets:
            raise UsageError(f"--reference: no run was trained on {reference!r}; there are {', '.join(table.datasets)}")
        row = table.error_mm[table.datasets.index(reference)]
        reference_mm = dict(zip(table.benchmarks, row.tolist(), strict=True))
    columns, notes = _scores(table, in_domain, reference_mm)
    if errors.half_width_mm is None:
        notes.append("no dataset was trained with several seeds: the noise between trainings is unknown")
    else:
        for is_in in in_domain:
            suffix = "in" if is_in else "out"
            columns[f"mean_{suffix}_plus_minus_mm"] = mean_half_widths(errors, with_in_domain=is_in)
    rankings = tuple(
        rank_by(table, score, with_in_domain=is_in, reference_mm=reference_mm)
        for score in SCORES
        for is_in in in_domain
    )
    order = [*rankings[0].datasets, *sorted(rankings[0].unranked)]
    rows = tuple(
        {
            "dataset": name,
            "architecture": errors.architecture,
            "seeds": len(errors.seed_errors[name]),
            **{column: _whole(values.get(name)) for column, values in columns.items()},
        }
        for name in order
    )
    return RankTable(rows=rows, rankings=rankings, notes=tuple(notes))


def compare_rows(found: Agreement) -> list[dict[str, Any]]:
    """An agreement as rows: measure, value, its interval, chance level and p."""
    tau_p = "exact" if found.is_p_exact else "by permutation"
    rows: list[dict[str, Any]] = [
        _measure("Kendall tau-b", found.tau_b, found.tau_interval, 0.0, found.tau_p, f"p {tau_p}"),
        _measure("Spearman rho", found.spearman, found.spearman_interval, 0.0, None, ""),
    ]
    rows += [
        _measure(f"common among the best {one.k}", one.num_common, None, one.num_expected, one.p, ", ".join(one.common))
        for one in found.overlaps
    ]
    common = {"first": found.first, "second": found.second, "datasets": found.num_datasets}
    return [{**common, **row} for row in rows]


def save_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows (same keys in each) as CSV, whole or not at all; numbers in full, so that they can be read back."""
    with whole_file(path) as scratch, scratch.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def has_columns(path: Path, columns: Sequence[str]) -> bool:
    """Whether a CSV file's first line names all these columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return set(columns) <= set(next(csv.reader(file), []))


def saved_ranking(path: Path, column: str | None = None) -> Ranking:
    """The ranking in a column of a CSV file with a column `dataset`; default: its first column named rank...

    Raises:
        UsageError: no such column.
        DataError: a value that is not a number, or a dataset twice.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0]) if rows else []
    found = column or next((name for name in names if name.removeprefix(MARK).startswith("rank")), None)
    if found is None or not {found, "dataset"} <= set(names):
        raise UsageError(
            f"{path}: expected the columns dataset and {found or 'rank...'}, found {', '.join(names) or 'none'}",
            fix=f"{path}:COLUMN with a column that it has",
        )
    scores: dict[str, float] = {}
    unranked = {}
    for number, row in enumerate(rows, 1):
        name = row["dataset"]
        if name in scores or name in unranked:
            raise DataError(f"{path}: row {number}: the dataset {name!r} comes twice", path=path)
        if row[found] in ("", None):
            unranked[name] = f"no value in {found}"
            continue
        try:
            scores[name] = float(row[found])
        except ValueError as error:
            raise DataError(f"{path}: row {number}: {found}: expected a number, found {row[found]!r}") from error
    return Ranking.of(f"{path}:{found}", scores, unranked)


def _measure(
    name: str, value: float, interval: tuple[float, float] | None, chance: float, p: float | None, detail: str
) -> dict[str, Any]:
    low, high = interval or (None, None)
    row = {"measure": name, "value": value, "low": low, "high": high, "by_chance": chance, "p": p, "detail": detail}
    return row


def _scores(
    table: ErrorTable, in_domain: Sequence[bool], reference_mm: Mapping[str, float] | None = None
) -> tuple[dict[str, Mapping[str, float]], list[str]]:
    """Columns by name: each score, the place by it, and the errors; and why datasets have no place."""
    columns: dict[str, Mapping[str, float]] = {}
    notes = []
    for is_in in in_domain:
        for score in SCORES:
            ranking = rank_by(table, score, with_in_domain=is_in, reference_mm=reference_mm)
            name = f"{ranking.name}_mm" if score == "mean" else ranking.name
            columns[name] = dict(zip(ranking.datasets, ranking.scores, strict=True))
            columns[f"rank_{ranking.name}"] = ranking.ranks
            if score == "mean":
                notes += [f"rank_{ranking.name}: {d} is not ranked: {why}" for d, why in ranking.unranked.items()]
    for benchmark in table.benchmarks:
        every = rank_on(table, benchmark, with_in_domain=True)
        columns[f"{benchmark}_mm"] = dict(zip(every.datasets, every.scores, strict=True))
        for is_in in in_domain:
            ranking = rank_on(table, benchmark, with_in_domain=is_in)
            columns[f"rank_{ranking.name}"] = ranking.ranks
    return columns, notes


def _heading(name: str) -> str:
    return f"{name.removeprefix(MARK)}{SHORT_MARK}" if name.startswith(MARK) else name


def _whole(value: float | None) -> float | int | None:
    """Places are integers but where datasets share one."""
    return int(value) if value is not None and value == int(value) else value
