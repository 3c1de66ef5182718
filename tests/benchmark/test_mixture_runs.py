"""Run tables of mixtures: what is read, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark.problem import Problem
from benchmark.proposers import PROPOSERS
from benchmark.rankings.mixture_runs import load_mixture_runs
from benchmark.rankings.runs import load_runs, run_errors
from catalogs.selection import Budget, Pool, Source
from harmonize.errors import DataError, UsageError
from pipelines.proposing import runs_of

DOCS = Path(__file__).resolve().parents[2] / "docs"


def row(run: str, benchmark: str, error: float, **changed: Any) -> dict[str, Any]:
    known = {"run_id": run, "dataset": run, "benchmark": benchmark, "metric": "mpjpe" if benchmark == "pw3d" else "pve"}
    numbers = {"error_mm": error, "low_mm": None, "high_mm": None, "seed": 0, "architecture": "s", "draws": 10}
    weights = {"weight_bedlam": None, "weight_agora/train": None}
    return known | numbers | weights | changed


def save(folder: Path, *rows: dict[str, Any]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / "runs.parquet")
    return folder


def pool() -> Problem:
    sources = tuple(Source(dataset=name, split="train", num_available=100) for name in ("agora", "bedlam"))
    return Problem(pool=Pool(sources=sources, shards=()), budget=Budget(draws_per_epoch=100))


def test_the_table_of_the_page_is_read(tmp_path: Path) -> None:
    page = (DOCS / "runs.md").read_text()
    lines = re.findall(r"^    (\S+,\S+)$", page, flags=re.MULTILINE)
    (tmp_path / "runs.csv").write_text("\n".join(lines) + "\n")
    alone, mixed = load_mixture_runs(tmp_path)
    assert (alone.run_id, alone.weights, alone.errors) == ("bedlam-s0", {"bedlam": 1.0}, {"ehf": 90.1, "pw3d": 88.7})
    assert (mixed.weights, mixed.errors) == ({"bedlam": 0.75, "agora": 0.25}, {"ehf": 91.2, "pw3d": 84.0})


def test_one_table_serves_rankings_and_proposals(tmp_path: Path) -> None:
    shares = {"weight_bedlam": 0.25, "weight_agora/train": 0.75}
    table = save(
        tmp_path,
        row("m", "ehf", 80.0, **shares),
        row("m", "ehf", 50.0, metric="pa_pve", **shares),
        row("bedlam", "ehf", 90.0),
    )
    assert run_errors(load_runs(table), "s").table.datasets == ("bedlam", "m")
    found = runs_of(table, pool())
    assert [run.weights for run in found] == [{"bedlam/train": 1.0}, {"bedlam/train": 0.25, "agora/train": 0.75}]
    assert [run.errors for run in found] == [{"ehf": 90.0}, {"ehf": 80.0}]


def test_methods_learn_from_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for number, share in enumerate(rng.random(16).tolist()):
        weights = {"weight_bedlam": share, "weight_agora/train": 1 - share}
        rows.append(row(f"m{number:02d}", "ehf", 90 - 20 * share + rng.normal(0, 0.1), **weights))
    selection = PROPOSERS["regmix"](pool(), runs=runs_of(save(tmp_path, *rows), pool()), law="linear")
    assert {member.dataset: member.weight for member in selection.members}["bedlam"] > 0.9


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"weight_bedlam": 0.5}, DataError, "weights of b that add up to 1, found 0.5"),
        ({"weight_bedlam": 1.5, "weight_agora/train": -0.5}, DataError, "weight_agora/train: expected a share"),
        ({"weight_bedlam": float("nan")}, DataError, "weight_bedlam: expected a share"),
        ({"run_id": "a", "weight_bedlam": 1.0, "seed": 1}, DataError, "other weights of a than before"),
        ({"run_id": "a", "seed": 1}, DataError, "a second pve of a on ehf"),
        ({"metric": "pa_pve"}, DataError, "expected a primary error of each run, found none of b"),
        ({"architecture": "b"}, UsageError, "one architecture, found b, s"),
        ({"draws": 20}, UsageError, "one draws, found 10, 20"),
    ],
)
def test_what_is_refused(tmp_path: Path, changed: dict[str, Any], error: type[Exception], message: str) -> None:
    other = row("b", "ehf", 80.0) | changed
    if changed.get("run_id") == "a":
        other["dataset"] = "a"
    with pytest.raises(error, match=re.escape(message)):
        load_mixture_runs(save(tmp_path, row("a", "ehf", 90.0), other))
