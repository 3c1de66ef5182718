"""`ehps proxy`: trainings on datasets and mixtures, their run table, going on after an interruption, refusals."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from evaluating import annotated_as, labelled, write_store
from processes import command, ehps, environment
from small_store import person, write_shard
from small_training import select

from benchmark.problem import Problem
from benchmark.rankings.mixture_runs import load_mixture_runs
from catalogs import store as catalog
from catalogs.selection import Budget, Selection
from harmonize.errors import UsageError
from pipelines.commands.proxy import proxy
from pipelines.commands.rank import rank
from pipelines.proposing import runs_of
from train.checkpoints import find_checkpoint

SMALL = [
    *("model.vit.width=16", "model.vit.depth=1", "model.vit.num_heads=2", "model.vit.height_px=64"),
    *("model.vit.width_px=48", "model.decoder_width=16", "model.num_layers=1", "model.num_heads=2"),
    *("batch_size=4", "optim.warmup=2", "threads=0", "checkpoint_every=none"),
]
DRAWS, NUM_STEPS, NUM_LEAKING = 160, 40, 3
PRIMARY = {"ehf": "pve", "pw3d": "mpjpe"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training splits, two evaluation splits; some people of one were filmed in a recording of the other."""
    people = [person("pw3d", "train", i) for i in range(12)] + [person("agora", "train", i) for i in range(8)]
    for i, one in enumerate(people):
        sequence = "tested_00" if i < NUM_LEAKING else "trained_00"
        people[i] = replace(one, provenance=replace(one.provenance, sequence=sequence))
    folder = tmp_path_factory.mktemp("store")
    write_shard(folder, people[:12])
    write_shard(folder, people[12:])
    tested = [labelled("ehf", "test", i) for i in range(6)]
    tested += [annotated_as(labelled("pw3d", "test", i, sequence="tested_00"), "smpl", "female") for i in range(3)]
    return write_store(folder, tested)


def ask(store: Path, out: Path, **options: Any) -> None:
    """The command in this process, where a flow needs few imports."""
    proxy(store, out=out, **({"settings": SMALL, "workers": 1} | options))


@pytest.fixture(scope="module")
def whole(store: Path) -> tuple[Path, str, str]:
    """Folder, output and messages of a command that was left alone."""
    out, shown, said = store / "runs" / "single", io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
        ask(store, out, draws=DRAWS, full_draws=2 * DRAWS)
    return out, shown.getvalue(), said.getvalue()


def test_one_training_for_each_dataset(whole: tuple[Path, str, str]) -> None:
    out, shown, said = whole
    assert f"left out: pw3d/train for pw3d (pw3d/test): recording: tested_00; {NUM_LEAKING} samples" in said
    assert "no number here is a result" in said
    asked = {name: Selection.load(out / f"{name}-0" / "selection.json") for name in ("agora", "pw3d")}
    kept = {name: set(one.sample_keys or ()) for name, one in asked.items()}
    assert {name: len(keys) for name, keys in kept.items()} == {"agora": 8 // 2, "pw3d": round((12 - NUM_LEAKING) / 2)}
    assert not {f"pw3d-train-{i:05d}-0" for i in range(NUM_LEAKING)} & kept["pw3d"]
    with (out / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    primary = {
        (row["dataset"], row["benchmark"]): float(row["error_mm"])
        for row in rows
        if row["metric"] == PRIMARY[row["benchmark"]]
    }
    assert set(primary) == {(of, on) for of in ("agora", "pw3d") for on in ("ehf", "pw3d")}
    assert {(row["seed"], row["draws"]) for row in rows} == {("0", str(DRAWS))}
    for (dataset, benchmark), error_mm in primary.items():
        assert f"{error_mm:.1f}" in shown
        summary = json.loads((out / f"{dataset}-0" / "evaluation" / "summary.json").read_text())
        of = summary["benchmarks"][benchmark]
        figures = {one["metric"]: one["mean_mm"] for one in of["figures"]}
        assert figures[of["primary"]] == pytest.approx(error_mm)
        assert summary["model"]["selection"] == asked[dataset].content_hash
    assert pq.read_table(out / "runs.parquet").num_rows == len(rows)


def test_the_table_is_what_rankings_and_proposers_read(
    store: Path, whole: tuple[Path, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rank(runs=whole[0], as_json=True)
    assert {"agora", "pw3d"} <= {part.strip('", ') for part in capsys.readouterr().out.split()}
    with catalog.open(store) as con:
        problem = Problem(pool=catalog.pool(con), budget=Budget(draws_per_epoch=16))
    runs = runs_of(whole[0], problem)
    assert [dict(run.weights) for run in runs] == [{"agora/train": 1.0}, {"pw3d/train": 1.0}]
    assert all(set(run.errors) == {"ehf", "pw3d"} for run in runs)
    # Two runs are too few for a law, and that is what the method says of them.
    made = ["propose", store, "--method", "datamodel", "--runs", whole[0], "--budget", 16, "--drop-leaks"]
    done = ehps(*made, "-o", tmp_path / "learned.json")
    assert (done.returncode, "expected at least 8 runs, found 2" in done.stderr) == (1, True), done.stderr


def test_runs_and_their_errors_are_asked_in_sql(store: Path, whole: tuple[Path, str, str]) -> None:
    sql = """
        SELECT run, benchmark, num_draws, run_errors.draws, error_mm FROM run_errors JOIN runs USING (folder)
        WHERE metric IN ('pve', 'mpjpe') ORDER BY ALL
    """
    with catalog.open(store) as con:
        rows = catalog.query(con, sql).rows
    assert [row[:-1] for row in rows] == [
        (f"{dataset}-0", benchmark, DRAWS, DRAWS) for dataset in ("agora", "pw3d") for benchmark in ("ehf", "pw3d")
    ]
    assert all(row[-1] > 10 for row in rows)


def test_an_interrupted_command_goes_on_to_the_same_table(
    store: Path, whole: tuple[Path, str, str], tmp_path: Path
) -> None:
    out = tmp_path / "stopped"
    first, losses = out / "agora-0", out / "agora-0" / "losses.csv"
    settings = [part for setting in SMALL for part in ("--set", setting)]
    asked = ["proxy", store, "-o", out, "--draws", DRAWS, "--full-draws", 2 * DRAWS, "--datasets", "agora", *settings]
    started = subprocess.Popen(command(*asked), env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        limit = time.monotonic() + 100
        while not (losses.is_file() and len(losses.read_text().splitlines()) > 3):
            assert started.poll() is None, started.communicate()[1]
            assert time.monotonic() < limit
            time.sleep(0.01)
        started.send_signal(signal.SIGTERM)
        said = started.communicate(timeout=100)[1]
    finally:
        started.kill()
    assert started.returncode == 3, said
    assert "run the same command again" in said
    stopped = find_checkpoint(first)
    assert 3 <= stopped.manifest.step < NUM_STEPS
    assert not (out / "runs.csv").exists()
    ask(store, out, draws=DRAWS, full_draws=2 * DRAWS, datasets=["agora"])
    found, expected = (pq.read_table(of / "runs.parquet").to_pylist() for of in (out, whole[0]))
    assert found == [row for row in expected if row["dataset"] == "agora"]
    assert stopped.path.is_dir()  # the training went on from there: a new one would have removed it
    assert find_checkpoint(first).manifest.step == NUM_STEPS


def test_mixtures_have_their_weights(store: Path, tmp_path: Path) -> None:
    out, mixture = tmp_path / "mixed", tmp_path / "even.json"
    select(store, draws=12, cap=None).save(mixture)
    ask(store, out, selections=[mixture], benchmark=["ehf"])
    assert {row["run_id"] for row in pq.read_table(out / "runs.parquet").to_pylist()} == {"even-0"}
    made = {path: path.stat().st_mtime_ns for path in (out / "even-0").rglob("*")}
    ask(store, out, selections=[mixture], benchmark=["ehf"], seeds=[0, 1])
    assert {path: path.stat().st_mtime_ns for path in (out / "even-0").rglob("*")} == made
    table = pq.read_table(out / "runs.parquet").to_pylist()
    assert {(row["run_id"], row["dataset"], row["seed"]) for row in table} == {
        ("even-0", "even", 0),
        ("even-1", "even", 1),
    }
    assert Selection.load(out / "even-0" / "selection.json") == Selection.load(mixture)
    seeds = [Selection.load(out / f"even-{seed}" / "selection.json").seed for seed in (0, 1)]
    assert seeds[1] == seeds[0] + 1
    first, second = load_mixture_runs(out)
    assert first.weights == second.weights == {"agora/train": 0.5, "pw3d/train": 0.5}
    assert first.errors != second.errors


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"benchmark": ["pw3d"]}, rf"even.json: holds samples .*\n.*recording: tested_00; {NUM_LEAKING} samples"),
        ({"selections": ["even", "more"], "benchmark": ["ehf"]}, "more.json: expected 12 draws as in .*even.json"),
        ({"selections": ["even", "even"], "benchmark": ["ehf"]}, "files of different names, found several even"),
        ({"seeds": [1, 1], "benchmark": ["ehf"]}, "seeds: expected one or more, each once"),
        ({"draws": 16}, "--draws: is not for --selections"),
    ],
)
def test_mixtures_that_cannot_be_trained(options: dict[str, Any], says: str, store: Path, tmp_path: Path) -> None:
    for name, draws in (("even", 12), ("more", 16)):
        select(store, draws=draws, cap=None).save(tmp_path / f"{name}.json")
    files = [tmp_path / f"{name}.json" for name in options.get("selections", ["even"])]
    with pytest.raises(UsageError, match=says):
        ask(store, tmp_path / "mixed", **options | {"selections": files})
    assert not (tmp_path / "mixed").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"draws": 20, "full_draws": 2 * DRAWS}, "agora-0: was made with other draws, selection;"),
        ({"draws": DRAWS, "full_draws": 3 * DRAWS, "seeds": [1]}, "agora-0: was made with other full draws;"),
        ({"benchmark": ["ehf"]}, "was made with other benchmarks;"),
        ({"settings": [*SMALL, "optim.lr=2e-3"]}, "was made with other settings;"),
        ({"datasets": ["bedlam"]}, "no training split of bedlam"),
        ({"benchmark": ["coco"]}, "there is no benchmark 'coco'"),
        ({"benchmark": ["agora"]}, "the store has no samples of agora/validation"),
        ({"recipe": "huge"}, "huge: there is no such recipe"),
        ({"settings": ["steps=4"]}, "--set steps=4: is decided by --draws and --seeds"),
        ({"settings": ["validate_every=2", "benchmarks=ehf"]}, "no longer measured by it"),
        ({"seeds": [1, 1]}, "seeds: expected one or more, each once"),
        ({"draws": None}, "--draws: expected a number"),
        ({"workers": 0}, "--workers: expected 1 or more"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    options: dict[str, Any], says: str, store: Path, whole: tuple[Path, str, str]
) -> None:
    before = (whole[0] / "runs.csv").read_bytes()
    with pytest.raises(UsageError, match=says):
        ask(store, whole[0], **({"draws": DRAWS, "full_draws": 2 * DRAWS} | options))
    assert (whole[0] / "runs.csv").read_bytes() == before


def test_a_folder_of_something_else_is_left_alone(store: Path, tmp_path: Path) -> None:
    (tmp_path / "agora-0").mkdir()
    (tmp_path / "agora-0" / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="agora-0: holds something else than a proxy"):
        ask(store, tmp_path, draws=16)
