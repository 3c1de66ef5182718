"""Two processes train what one does: the same samples, losses within rounding, one checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_training import interrupting, select, small_config, small_store
from training_runs import run_processes

from harmonize.errors import UsageError
from train.checkpoints import checkpoints_of, find_checkpoint
from train.data.loader import Loader
from train.data.schedule import State
from train.loop import train
from train.meta.config import DualConfig
from train.run_log import read_losses


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def alone(store: Path, standin: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process trains."""
    out = tmp_path_factory.mktemp("run") / "alone"
    train(store, select(store), out, small_config(ema=0.9), standin)
    return out


def assert_same_numbers(run: Path, other: Path, rel: float) -> None:
    rows, others = read_losses(run), read_losses(other)
    assert [row["step"] for row in rows] == [row["step"] for row in others]
    for row, one in zip(rows, others, strict=True):
        assert {**row, "samples_per_s": 0} == pytest.approx({**one, "samples_per_s": 0}, rel=rel, abs=1e-5)


def weights(run: Path, file: str = "model") -> dict[str, torch.Tensor]:
    return load_file(find_checkpoint(run, "last").path / f"{file}.safetensors")


@pytest.mark.parametrize("sharding", [pytest.param("ddp", marks=pytest.mark.slow), "fsdp"])
def test_two_processes_train_what_one_does(sharding: str, alone: Path, store: Path, tmp_path: Path) -> None:
    run_processes(2, store, tmp_path, f"sharding={sharding}", "ema=0.9", "accumulate=2")
    assert_same_numbers(tmp_path, alone, rel=2e-3)
    assert read_losses(tmp_path)[0]["grad_norm"] == pytest.approx(read_losses(alone)[0]["grad_norm"], rel=1e-4)
    assert [one.manifest.step for one in checkpoints_of(tmp_path)] == [12]
    for file in ("model", "ema", "optimiser", "mixture"):
        ours, theirs = weights(tmp_path, file), weights(alone, file)
        assert {name: value.shape for name, value in ours.items()} == {n: v.shape for n, v in theirs.items()}
    for name, value in weights(tmp_path).items():
        # Adam moves a weight whose gradient is rounding alone by up to a learning rate, either way.
        assert torch.allclose(value, weights(alone)[name], atol=3e-3), name
    assert all(
        torch.equal(value, weights(alone, "mixture")[name]) for name, value in weights(tmp_path, "mixture").items()
    )
    assert (tmp_path / "mixture.jsonl").read_text() == (alone / "mixture.jsonl").read_text()
    assert (tmp_path / "run.json").is_file()


def test_another_number_of_processes_draws_the_same_remaining_samples(
    alone: Path, store: Path, standin: Any, tmp_path: Path
) -> None:
    """Two processes are told to stop in the second epoch, one goes on: as if there had always been one."""
    run_processes(2, store, tmp_path, "ema=0.9", "stop=6")
    assert find_checkpoint(tmp_path, "last").manifest.step in (7, 8)
    train(store, select(store), tmp_path, small_config(ema=0.9), standin, is_resumed=True)
    assert_same_numbers(tmp_path, alone, rel=2e-3)
    assert all(torch.equal(v, weights(alone, "mixture")[name]) for name, v in weights(tmp_path, "mixture").items())
    assert (tmp_path / "mixture.jsonl").read_text() == (alone / "mixture.jsonl").read_text()


@pytest.mark.slow
def test_sharded_processes_go_on_from_one_and_dual_networks_share_their_work(
    alone: Path, store: Path, standin: Any, tmp_path: Path
) -> None:
    config, resumed = small_config(ema=0.9), tmp_path / "resumed"
    train(store, select(store), resumed, config, standin, on_interval=interrupting(3))
    run_processes(2, store, resumed, "ema=0.9", "sharding=fsdp", "resume")
    assert_same_numbers(resumed, alone, rel=2e-3)
    dual = small_config(steps=4, dual=DualConfig(order="second", auxiliary="both"))
    train(store, select(store), tmp_path / "one", dual, standin)
    run_processes(2, store, tmp_path / "two", "dual", "steps=4")
    assert_same_numbers(tmp_path / "two", tmp_path / "one", rel=2e-3)


def test_more_processes_than_samples_of_a_batch_are_refused(store: Path, standin: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one sample for each of 5 processes"):
        next(Loader(store, select(store), batch_size=8, size=small_config().crop).batches(State(), 0, 5))
