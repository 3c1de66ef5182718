"""What stops a run, and what is refused before it starts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_store import person, write_shard
from small_training import interrupting, select, small_config, small_store

from harmonize.errors import DataError, StoreError, UsageError
from train.checkpoints import checkpoints_of, find_checkpoint
from train.loop import train
from train.plain_step import PlainStep
from train.run_folder import checkpoint_to_resume
from train.run_log import Interval


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def whole(store: Path, standin: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("run") / "whole"
    train(store, select(store), out, small_config(steps=1), standin)
    return out


# What stops a run


class Poisoned(PlainStep):
    """Makes one sample's loss bad from an update on."""

    poison, at, calls, victim = float("nan"), 6, 0, ""

    def forward(self, batch: Any) -> Any:
        loss = super().forward(batch)
        type(self).calls += 1
        if self.calls < self.at:
            return loss
        type(self).victim = batch.keys[2]
        factor = torch.ones(len(batch.keys))
        factor[2] = self.poison
        per_sample = loss.per_sample * factor
        return loss._replace(total=loss.total + per_sample.mean() - loss.per_sample.mean(), per_sample=per_sample)


@pytest.mark.parametrize(("poison", "says"), [(float("nan"), "finite loss, found nan"), (1e6, "times the usual loss")])
def test_a_bad_loss_stops_the_run_and_names_the_samples(
    poison: float, says: str, store: Path, standin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.building.PlainStep", Poisoned)
    monkeypatch.setattr("train.guard.LEAST", 4)
    monkeypatch.setattr(Poisoned, "poison", poison)
    monkeypatch.setattr(Poisoned, "calls", 0)
    config = small_config(checkpoint_every=2)
    with pytest.raises(DataError, match=says) as caught:
        train(store, select(store), tmp_path, config, standin)
    assert caught.value.fields["samples"][0] == Poisoned.victim
    assert len(caught.value.fields["samples"]) == 4  # the sixth batch ends the epoch
    assert f"worst first: {Poisoned.victim}" in str(caught.value)
    assert "step-00000004 is kept" in str(caught.value)
    document = json.loads((tmp_path / "bad_batch.json").read_text())
    assert (document["update"], document["samples"][0]["key"]) == (6, Poisoned.victim)
    assert [one.manifest.step for one in checkpoints_of(tmp_path)] == [2, 4]


def test_a_shard_that_is_lost_is_named_and_the_work_is_kept(store: Path, standin: Any, tmp_path: Path) -> None:
    copy = shutil.copytree(store, tmp_path / "store")

    def lose(interval: Interval) -> None:
        if interval.step == 3:
            (copy / "pw3d" / "train" / "pw3d-train-000001.tar").write_bytes(b"")

    with pytest.raises(StoreError, match="pw3d-train-000001"):
        train(copy, select(copy), tmp_path / "run", small_config(), standin, on_interval=lose)
    kept = find_checkpoint(tmp_path / "run", "last").manifest.step
    assert kept >= 3
    shutil.copytree(store, copy, dirs_exist_ok=True)
    assert train(copy, select(copy), tmp_path / "run", small_config(), standin, is_resumed=True).is_finished


# What is refused


def test_folders_that_hold_a_run_are_not_written_over(whole: Path, store: Path, standin: Any, tmp_path: Path) -> None:
    for is_resumed in (False, True):
        with pytest.raises(UsageError, match="finished run"):
            train(store, select(store), whole, small_config(), standin, is_resumed=is_resumed)
    train(store, select(store), tmp_path, small_config(), standin, on_interval=interrupting(2))
    with pytest.raises(UsageError, match=r"unfinished run\n  fix: go on with --resume"):
        train(store, select(store), tmp_path, small_config(), standin)
    with pytest.raises(UsageError, match=r"batch_size: expected as the run was started, batch_size = 8, found 4"):
        train(store, select(store), tmp_path, replace(small_config(), batch_size=4), standin, is_resumed=True)
    with pytest.raises(UsageError, match="was started with selection"):
        train(store, select(store, seed=9), tmp_path, small_config(), standin, is_resumed=True)
    with pytest.raises(UsageError, match="found no checkpoints"):
        train(store, select(store), tmp_path / "empty", small_config(), standin, is_resumed=True)


def test_standin_and_licensed_bodies_are_never_mixed(
    store: Path, whole: Path, standin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = tmp_path / "mixed"
    write_shard(mixed, [person("pw3d", "train", i) for i in range(4)], is_standin=False)
    write_shard(mixed, [person("agora", "train", i) for i in range(4)], is_standin=True)
    with pytest.raises(UsageError, match=r"stand-in bodies \(agora-train-000000\) and licensed bodies \(pw3d"):
        train(mixed, select(mixed, draws=8), tmp_path / "out", small_config(), standin)
    licensed = small_store(tmp_path / "licensed", is_standin=False)
    with pytest.raises(UsageError, match="was made with licensed models, found the stand-in"):
        train(licensed, select(licensed), tmp_path / "out", small_config(), standin)
    assert not (tmp_path / "out").exists()
    # The same files of the stand-in, taken for licensed ones: neither a checkpoint to start from nor a run to resume
    # that saw the stand-in may go on with them.
    monkeypatch.setattr(standin, "is_standin", False)
    with pytest.raises(UsageError, match="was trained with stand-in bodies and must not go on with licensed ones"):
        train(licensed, select(licensed), tmp_path / "out", small_config(init=str(whole)), standin)


def test_a_run_is_not_resumed_on_another_kind_of_bodies(store: Path, standin: Any, tmp_path: Path) -> None:
    selection = select(store)
    train(store, selection, tmp_path, small_config(), standin, on_interval=interrupting(2))
    with pytest.raises(UsageError, match="was started with stand-in bodies and must not go on with licensed ones"):
        checkpoint_to_resume(tmp_path, small_config(), selection, is_standin=False)


def test_a_validation_without_the_deciding_number_is_an_error(store: Path, standin: Any, tmp_path: Path) -> None:
    config = small_config(validate_every=1, benchmarks=("ehf",))
    with pytest.raises(DataError, match="expected a number primary_mm, found"):
        train(store, select(store), tmp_path, config, standin, on_validate=lambda regressor, step: {"ehf": 1.0})
    with pytest.raises(UsageError, match="a way to validate"):
        train(store, select(store), tmp_path / "other", config, standin)
