"""The command line from outside: output, messages, exit codes."""

from __future__ import annotations

import contextlib
import inspect
import io
import itertools
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import command, ehps, environment

from catalogs.cards import DATASETS
from catalogs.selection import Selection
from pipelines import cli

COMMANDS = (
    *("demo", "miniatures", "datasets", "ingest", "verify", "report", "export", "describe", "catalog", "query", "view"),
    *("compare", "plot", "atlas", "rank", "scaling", "mixtures", "distance", "propose"),
    *("train", "adapt", "evaluate", "proxy"),
)


def in_process(arguments: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Exit code, output and errors of `main` in this process: a tenth of a second where a new one takes two."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("EHPS_BODY_MODELS", raising=False)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("sys.argv", ["ehps", *arguments])
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors), pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0), output.getvalue(), errors.getvalue()


def test_help_lists_every_command_within_half_a_second() -> None:
    times_s = []
    for _ in range(5):
        start = time.perf_counter()
        done = ehps("--help")
        times_s.append(time.perf_counter() - start)
    assert done.returncode == 0
    assert [name for name in COMMANDS if f"│ {name} " not in done.stdout] == []
    assert "Exit codes: 0 done, 1 user error, 2 data failed a check, 3 interrupted and resumable" in done.stdout
    assert min(times_s) < 0.5


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_is_explained(name: str) -> None:
    function = getattr(cli, name)
    lines = inspect.cleandoc(function.__doc__).split("\n")
    explained = {line for line, after in itertools.pairwise(lines) if after.startswith("    ")}
    assert set(inspect.signature(function).parameters) - {"as_json"} <= explained


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ingest pw4d --raw . --store s", ["'pw4d'", "known: agora, arctic, bedlam", "fix: ehps datasets"]),
        ("ingest pw3d --raw nowhere --store s", ["nowhere", "is not a folder", "fix: ehps datasets pw3d"]),
        ("ingest pw3d --raw . --store s --split dev", ["'dev'", "train, validation, test"]),
        ("ingest pw3d --raw . --store s --form xml", ["'xml'", "pickle, json"]),
        ("ingest pw3d --raw . --store s", ["EHPS_BODY_MODELS is not set", "--body-models standin"]),
        ("ingest pw3d --raw . --store s --body-models standin", ["sequenceFiles", "fix: ehps datasets pw3d"]),
        ("ingest pw3d --raw . --store s --workers 0", ["--workers", "at least 1", "found 0"]),
        ("ingest pw3d --raw . --store s --context 0.5", ["context", "1 to 10", "0.5"]),
        ("ingest pw3d --raw . --store s --every two", ["--every", "two"]),
        ("verify nowhere", ["nowhere", "is not a folder"]),
        ("query nowhere SELECT", ["nowhere", "expected the folder of a store"]),
        ("view nowhere key -o x.png", ["nowhere", "is not a folder"]),
        ("propose nowhere --method temperature --budget 9 -o x", ["--tau", "fix: add --tau 2"]),
        ("propose nowhere --method uniform --budget 9 -o x --tau 2", ["--tau", "uniform has no temperature"]),
        ("train toy --store . --selection nowhere.json -o run", ["nowhere.json", "ehps propose"]),
        ("datasets pw4d", ["'pw4d'", "known: agora, arctic, bedlam"]),
        ("inges", ['Did you mean "ingest"?']),
    ],
)
def test_a_request_that_cannot_work_is_refused(
    line: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = ["--runner", "inline"] if line.startswith("ingest ") else []
    code, _, errors = in_process([*line.split(), *runner], tmp_path, monkeypatch)
    assert (code, [part for part in expected if part not in errors]) == (1, [])
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_a_message_and_not_a_traceback() -> None:
    done = ehps("ingest", "pw4d", "--raw", ".", "--store", "s")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("ehps: no dataset is called 'pw4d'")
    assert "Traceback" not in done.stderr


def test_a_missing_body_model_names_the_file(miniature, tmp_path: Path) -> None:
    raw, models = miniature("pw3d")[0], tmp_path / "models"
    models.mkdir()
    store = tmp_path / "store"
    done = ehps("ingest", "pw3d", "--raw", raw, "--store", store, "--body-models", models, "--runner", "inline")
    assert done.returncode == 1
    assert str(models) in done.stderr
    assert "SMPL" in done.stderr
    assert not list(store.rglob("*.json"))


def test_verify_passes_a_sound_store(store: Path) -> None:
    done = ehps("verify", store, "--decode", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["findings"]) == (0, [])
    assert report["shards"] == len(list(store.rglob("*.tar")))
    assert report["samples"] > 10


def test_verify_finds_a_flipped_bit(store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    victim = max(copy.rglob("*.tar"), key=lambda path: path.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 4
    victim.write_bytes(data)
    done = ehps("verify", copy, "--json")
    assert done.returncode == 2
    assert {finding["shard"] for finding in json.loads(done.stdout)["findings"]} == {victim.stem}


def test_query_answers_in_json(store: Path) -> None:
    sql = "SELECT dataset, count(*) AS n FROM instances GROUP BY dataset ORDER BY dataset"
    done = ehps("query", store, sql, "--json")
    rows = json.loads(done.stdout)
    assert [row["dataset"] for row in rows] == ["mscoco", "pw3d"]
    assert all(row["n"] > 0 for row in rows)
    named = json.loads(ehps("query", store, "@datasets", "--json").stdout)
    assert sum(row["num_samples"] for row in named) == sum(row["n"] for row in rows)


def test_a_query_loads_neither_torch_nor_prefect(store: Path) -> None:
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr))\n"
        f"sys.argv = ['ehps', 'query', {str(store)!r}, '@reprojection']\n"
        "from pipelines.cli import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "duckdb" in loaded
    assert loaded.isdisjoint({"torch", "scipy", "prefect", "smplx", "matplotlib", "pandas"})


def test_query_without_a_query_lists_the_named_ones(store: Path) -> None:
    assert "@orientation" in ehps("query", store).stdout


def test_a_query_that_is_wrong_is_the_users_error(store: Path) -> None:
    done = ehps("query", store, "DROP TABLE shards")
    assert (done.returncode, done.stdout) == (1, "")
    assert "expected one SELECT statement, found DROP" in done.stderr


def test_view_draws_the_mesh_over_the_picture(store: Path, tmp_path: Path) -> None:
    sql = "SELECT key, image_width_px, image_height_px FROM instances WHERE body_has_body AND dataset = 'pw3d' LIMIT 1"
    (row,) = json.loads(ehps("query", store, sql, "--json").stdout)
    done = ehps("view", store, row["key"], "-o", tmp_path / "view.png")
    assert (done.returncode, done.stderr) == (0, "")
    sheet = np.asarray(Image.open(tmp_path / "view.png").convert("RGB"), int)
    width = round(row["image_width_px"] * 480 / row["image_height_px"])
    left, right = sheet[:480, :width], sheet[:480, width + 8 : 2 * width + 8]
    changed = np.abs(left - right).max(axis=2) > 12
    bluish = right[..., 2] - right[..., 0] > 20
    assert 0.02 < (changed & bluish).mean() < 0.7


def test_propose_takes_training_splits_only(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "mixture.json"
    done = ehps("propose", store, "--method", "natural", "--budget", 50, "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    selection = Selection.load(out)
    assert [member.name for member in selection.members] == ["mscoco/train", "pw3d/train"]
    assert sum(member.num_draws for member in selection.members) == 50
    assert [row["draws"] for row in json.loads(done.stdout)] == [member.num_draws for member in selection.members]


def test_datasets_lists_cards_and_tells_how_to_obtain_one() -> None:
    rows = json.loads(ehps("datasets", "--json").stdout)
    assert [row["name"] for row in rows] == list(DATASETS)
    page = ehps("datasets", "pw3d").stdout
    assert [word for word in ("To obtain it:", "sequenceFiles", "Known defects:") if word not in page] == []
    assert json.loads(ehps("datasets", "pw3d", "--json").stdout)["name"] == "pw3d"


def test_output_may_be_cut_off_by_its_reader(store: Path) -> None:
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait()
    assert reader.stdin is not None
    sql = "SELECT key FROM instances"
    done = subprocess.run(
        command("query", store, sql),
        env=environment(),
        stdout=reader.stdin,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    with contextlib.suppress(BrokenPipeError):
        reader.stdin.close()
    assert (done.returncode, done.stderr) == (0, "")
