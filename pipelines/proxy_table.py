"""The run table of proxies (docs/runs.md): rows of a training, the table as files, and as it is shown."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.proxies import Proxy
from benchmark.rankings.mixture_runs import WEIGHT
from benchmark.rankings.runs import COLUMNS
from harmonize.whole import whole_file

if TYPE_CHECKING:
    from benchmark.evaluation import Summary

TABLE = "runs"
_NUMBERS = ("error_mm", "low_mm", "high_mm")
_COUNTS = ("seed", "draws")


def rows_of(proxy: Proxy, architecture: str, summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """One row a benchmark and metric that was measured; the primary one under its family's name, as rankings look for
    it."""
    rows = []
    for summary in summaries:
        for figure in summary.figures:
            if figure.mean_mm is None:
                continue
            name = figure.metric.rpartition("_")[0] if figure.metric == summary.primary else figure.metric
            values = (
                *(proxy.name, proxy.dataset, summary.benchmark, name),
                *(figure.mean_mm, figure.low_mm, figure.high_mm),
                *(proxy.seed, architecture, proxy.selection.draws_per_epoch),
            )
            rows.append({**dict(zip(COLUMNS, values, strict=True)), **_weights(proxy)})
    return rows


def write_table(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """runs.csv and runs.parquet of all these trainings, in an order of their own; each file appears whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    weights = sorted({name for row in rows for name in row} - set(COLUMNS))
    names = (*COLUMNS, *weights)
    ordered = sorted(rows, key=lambda row: (row["dataset"], row["seed"], row["benchmark"], row["metric"]))
    numbers = (*_NUMBERS, *weights)
    kinds = {name: pa.float64() for name in numbers} | {name: pa.int64() for name in _COUNTS}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in names])
    out.mkdir(parents=True, exist_ok=True)
    whole = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in ordered], schema=schema)
    # Commands for several GPUs may write the table of one folder at the same time.
    with whole_file(out / f"{TABLE}.parquet") as columns, whole_file(out / f"{TABLE}.csv") as lines:
        with lines.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(ordered)
        pq.write_table(whole, columns)


def shown_rows(trainings: Sequence[Proxy], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One line a training: its primary errors by benchmark, and how often it drew its samples."""
    from benchmark.protocols import PROTOCOLS

    primary = {
        (row["run_id"], row["benchmark"]): row["error_mm"]
        for row in rows
        if row["metric"] == PROTOCOLS[row["benchmark"]].primary.rpartition("_")[0]
    }
    benchmarks = sorted({benchmark for _, benchmark in primary})
    table = []
    for one in trainings:
        samples = sum(member.num_available for member in one.selection.members)
        line: dict[str, Any] = {"trained on": one.dataset, "seed": one.seed, "samples": samples}
        line["repeats"] = round(one.selection.draws_per_epoch / samples, 2)
        table.append(line | {f"{name} mm": primary.get((one.name, name)) for name in benchmarks})
    return table


def _weights(proxy: Proxy) -> dict[str, float]:
    """Shares of the draws; none for a training on the one split of the dataset that it is named after."""
    members = proxy.selection.members
    if len(members) == 1 and members[0].dataset == proxy.dataset:
        return {}
    draws = proxy.selection.draws_per_epoch
    return {f"{WEIGHT}{member.name}": member.num_draws / draws for member in members if member.num_draws}
