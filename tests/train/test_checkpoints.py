"""Checkpoints: whole or not there, checked bit by bit, the last few and the best kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harmonize.errors import DataError, UsageError
from train import checkpoints
from train.checkpoints import MODEL, Manifest, checkpoints_of, find_checkpoint, open_checkpoint, prune, save
from train.data.schedule import State


def manifest(step: int, **changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "step": step,
        "state": State(1, 2),
        "config": {"a": [1, None, 0.1]},
        "selection": "s",
        "is_standin": True,
        "guard": (0.1, 0.7),
    }
    return Manifest(**(values | changes))


TENSORS = {"model": {"a": torch.arange(6.0).reshape(2, 3)}, "ema": {}, "optimiser": {"a/step": torch.tensor(3.0)}}


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    save(tmp_path, manifest(7), TENSORS)
    found = find_checkpoint(tmp_path)
    assert (found.manifest.step, found.manifest.state, found.manifest.guard) == (7, State(1, 2), (0.1, 0.7))
    assert torch.equal(found.tensors(MODEL)["a"], TENSORS["model"]["a"])
    assert found.tensors("optimiser")["a/step"].shape == ()
    assert found.tensors("ema") == {}
    assert open_checkpoint(found.path).manifest == found.manifest
    assert find_checkpoint(found.path).path == found.path
    assert not list((tmp_path / "checkpoints").glob(".*"))
    save(tmp_path, manifest(7, selection="other"), TENSORS)
    assert [one.manifest.selection for one in checkpoints_of(tmp_path)] == ["other"]


def test_a_flipped_bit_is_found_and_named(tmp_path: Path) -> None:
    path = save(tmp_path, manifest(7), TENSORS).path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    load_file(path)  # the format itself does not notice
    with pytest.raises(
        DataError, match=r"(?s)step-00000007/model.safetensors: expected sha256 .*resume from the checkpoint b"
    ):
        find_checkpoint(tmp_path).tensors(MODEL)
    path.unlink()
    with pytest.raises(DataError, match=r"model.safetensors.*no such file"):
        find_checkpoint(tmp_path).tensors(MODEL)


def test_an_edited_manifest_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, manifest(7), TENSORS).path / "checkpoint.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "is_standin": False}))
    with pytest.raises(DataError, match=r"checkpoint.json: expected the content that was written"):
        find_checkpoint(tmp_path)
    path.write_text(json.dumps({**document, "format_version": 0}))
    with pytest.raises(DataError, match="format_version: expected 1, found 0"):
        find_checkpoint(tmp_path)
    path.write_text(path.read_text()[:-9])
    with pytest.raises(DataError, match="expected JSON"):
        find_checkpoint(tmp_path)


def test_a_write_that_is_cut_short_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, manifest(1), TENSORS)

    def stop(path: Path) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "sha256_file", stop)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, manifest(2), TENSORS)
    assert find_checkpoint(tmp_path, "last").manifest.step == 1
    save(tmp_path, manifest(2), TENSORS)
    assert find_checkpoint(tmp_path, "last").manifest.step == 2
    assert not list((tmp_path / "checkpoints").glob(".*"))


def test_the_last_few_and_the_best_are_kept(tmp_path: Path) -> None:
    scores = {1: 5.0, 2: 3.0, 3: 4.0, 4: None, 5: 6.0, 6: None}
    for step, score in scores.items():
        save(tmp_path, manifest(step, validation=None if score is None else {"primary_mm": score}), TENSORS)
        prune(tmp_path, keep_last=2)
    assert [one.manifest.step for one in checkpoints_of(tmp_path)] == [2, 5, 6]
    assert (find_checkpoint(tmp_path).manifest.step, find_checkpoint(tmp_path, "last").manifest.step) == (2, 6)


def test_a_folder_without_checkpoints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a checkpoint or the folder of a run"):
        find_checkpoint(tmp_path)
    with pytest.raises(UsageError, match=r"expected a checkpoint, found no checkpoint\.json"):
        open_checkpoint(tmp_path)
