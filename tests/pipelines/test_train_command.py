"""`ehps train`: recipes and settings on the command line, interruption, resuming, validation by a protocol."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evaluating import labelled, write_store
from processes import command, ehps, environment
from small_training import select, small_store

from catalogs.selection import Selection
from harmonize.errors import UsageError
from pipelines.training import config_of, interval_text, recipe_rows, run_training, train_run
from train.checkpoints import checkpoints_of, find_checkpoint
from train.run_log import Interval, read_losses

SMALL = [
    *("--set", "model.vit.width=32", "--set", "model.vit.depth=1", "--set", "model.vit.num_heads=2"),
    *("--set", "model.decoder_width=32", "--set", "model.num_layers=1", "--set", "batch_size=8"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = small_store(tmp_path_factory.mktemp("store"))
    select(folder).save(folder / "mixture.json")
    write_store(folder, [labelled("ehf", "test", i, sequence=f"s{i}") for i in range(6)])
    return folder


def arguments(store: Path, out: Path, *more: str) -> list[object]:
    return ["train", "toy", "--store", store, "--selection", store / "mixture.json", "-o", out, *SMALL, *more]


def test_recipes_are_listed_with_the_command_for_their_mixture() -> None:
    by_name = {row["recipe"]: row for row in recipe_rows()}
    assert by_name["toy"]["length"] == "200 updates"
    assert "--method smplerx_best_k --k 32 --budget 4500000" in by_name["smpler_x_h32"]["mixture"]


def test_a_line_says_losses_and_rates() -> None:
    losses = {"total": 3.21, "joints": 1.5, "jaw": 0.0, "betas": 0.25}
    interval = Interval(step=3, losses=losses, learning_rate=1e-4, grad_norm=2.0, samples_per_s=1234.5)
    assert interval_text(interval) == "loss 3.21, joints 1.5, betas 0.25, lr 0.0001, 1,234 samples/s"


def test_a_run_with_validation_leaves_its_record(store: Path, tmp_path: Path) -> None:
    more = ("--set", "steps=4", "--set", "validate_every=2", "--set", "benchmarks=ehf", "--json")
    done = ehps(*arguments(store, tmp_path / "run", *more))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["loss"] == "total"
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (run["recipe"]["steps"], run["recipe"]["model"]["vit"]["width"], run["is_standin"]) == (4, 32, True)
    lines = [json.loads(line) for line in (tmp_path / "run" / "validation.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert lines[0]["primary_mm"] == lines[0]["ehf/pve_all_mm"] > 10
    assert checkpoints_of(tmp_path / "run")[-1].manifest.validation == {
        name: value for name, value in lines[1].items() if name != "step"
    }
    again = ehps(*arguments(store, tmp_path / "run", *more))
    assert again.returncode == 1
    assert "holds a finished run already" in again.stderr


def test_sigterm_writes_a_checkpoint_and_says_how_to_go_on(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    more = ("--set", "steps=100000", "--set", "checkpoint_every=none")
    started = subprocess.Popen(
        command(*arguments(store, out, *more)), env=environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        limit = time.monotonic() + 100
        while len(read_losses(out)) < 3 and time.monotonic() < limit and started.poll() is None:
            time.sleep(0.1)
        started.send_signal(signal.SIGTERM)
        said = started.communicate(timeout=100)[1]
    finally:
        started.kill()
    assert started.returncode == 3, said
    step = find_checkpoint(out).manifest.step
    assert step >= 3
    assert f"stopped after update {step} of 100000, with a checkpoint" in said
    assert said.rstrip().endswith("--resume")
    assert f"fix: ehps train toy --store {store}" in said
    refused = ehps(*arguments(store, out, "--set", "steps=100001", "--resume"))
    assert (refused.returncode, "steps = 100000, found 100001" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("settings", "options", "says"),
    [
        ([], {"device": "cuda:77"}, "cuda:77: expected a device of this machine"),
        ([], {"is_resumed": True}, r"found no checkpoints/step-\*"),
        ([], {"cache": Path("there")}, "cache: expected a folder with a store at a URL"),
        (["validate_every=2", "benchmarks=agora"], {}, "agora"),
        (["validate_every=2", "benchmarks=nothing"], {}, "nothing"),
    ],
)
def test_what_cannot_be_done_is_said(
    settings: list[str], options: dict[str, Any], says: str, store: Path, tmp_path: Path
) -> None:
    selection, config = Selection.load(store / "mixture.json"), config_of("toy", ["batch_size=8", *settings])
    with pytest.raises(UsageError, match=says):
        run_training(str(store), selection, tmp_path / "run", config, **options)
    assert not (tmp_path / "run").exists()


def test_a_run_inside_other_work_goes_on_from_wherever_it_stands(store: Path, tmp_path: Path) -> None:
    selection, out, told = Selection.load(store / "mixture.json"), tmp_path / "run", []
    config = config_of("toy", [*SMALL[1::2], "steps=3"])

    class Killed(BaseException):
        pass

    def kill(num: int) -> None:
        told.append(num)
        if sum(told) == 2:
            raise Killed

    early = replace(config, checkpoint_every=1)
    with pytest.raises(Killed):
        train_run(store, selection, out, early, resume=True, on_step=kill)
    assert told == [0, 1, 1]
    for _ in range(2):  # the second time there is nothing left to do
        told.clear()
        train_run(store, selection, out, early, resume=True, on_step=told.append)
        assert sum(told) == 3
    assert told == [3]
    assert [row["step"] for row in read_losses(out)] == [1, 2, 3]
    with pytest.raises(UsageError, match="holds a finished run already"):
        train_run(store, selection, out, config, resume=True)


def test_what_is_missing_is_named() -> None:
    done = ehps("train", "toy")
    assert (done.returncode, "--store, --selection, --out: expected a value" in done.stderr) == (1, True)
    with pytest.raises(UsageError, match="expected trained weights to start from"):
        config_of("finetune_agora", [])
    assert config_of("finetune_agora", ["init=somewhere"]).init == "somewhere"
