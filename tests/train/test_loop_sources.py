"""Runs with other networks than the token decoder, from stores behind a URL, and with bad losses in one of several
processes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from safetensors.torch import load_file
from small_training import interrupting, select, small_config, small_store
from training_runs import run_processes

from harmonize.errors import StoreError
from train.building import load_networks
from train.checkpoints import checkpoints_of, find_checkpoint
from train.config import OptimConfig
from train.data import augment
from train.data.cache import Cache
from train.data.loader import Loader
from train.data.schedule import State
from train.loop import train
from train.losses.supervised import SMPLER_X
from train.models.smpler_x import SmplerX, SmplerXConfig
from train.models.vit import VitConfig
from train.run_log import read_losses
from train.steps import predict


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_store(tmp_path_factory.mktemp("store"))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(find_checkpoint(run, "last").path / "model.safetensors")


def losses(run: Path) -> list[float]:
    return [row["total"] for row in read_losses(run)]


def uploaded(store: Path) -> str:
    """The store in fsspec's memory; its URL."""
    system, name = fsspec.filesystem("memory"), os.urandom(4).hex()
    for path in store.rglob("*.*"):
        system.pipe_file(f"{name}/{path.relative_to(store)}", path.read_bytes())
    return f"memory://{name}"


def test_smpler_x_learns_resumes_exactly_and_is_loaded(store: Path, standin: Any, tmp_path: Path) -> None:
    config = small_config(
        model=SmplerXConfig(vit=VitConfig(width=32, depth=1, num_heads=2, height_px=64, width_px=48)),
        loss=SMPLER_X,
        augment=augment.SMPLER_X,
        subset="fixed",
        steps=24,
        optim=OptimConfig(lr=1e-3, min_lr=1e-4, warmup=3, clip=None),
    )
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(store, select(store), whole, config, standin)
    rows = read_losses(whole)
    for name in ("total", "joints", "keypoints", "boxes"):
        first, last = (sum(row[name] for row in some) / 4 for some in (rows[:4], rows[-4:]))
        assert last < 0.95 * first, name
    train(store, select(store), stopped, config, standin, on_interval=interrupting(9))
    assert find_checkpoint(stopped, "last").manifest.step in (9, 10)
    train(store, select(store), stopped, config, standin, is_resumed=True)
    assert losses(stopped) == losses(whole)
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(stopped).items())
    networks = load_networks(whole)
    assert isinstance(networks.regressor, SmplerX)
    batch = next(Loader(store, select(store), batch_size=4, size=config.crop).batches(State()))[1]
    with torch.no_grad():
        assert predict(networks.regressor, batch.observed).rotmat.shape == (4, 53, 3, 3)


def test_a_store_behind_a_url_is_trained_on_like_its_folder(store: Path, standin: Any, tmp_path: Path) -> None:
    url, cache = uploaded(store), Cache(tmp_path / "cache")
    train(store, select(store), tmp_path / "local", small_config(), standin)
    train(url, select(store), tmp_path / "remote", small_config(), standin, cache=cache, on_interval=interrupting(5))
    assert find_checkpoint(tmp_path / "remote", "last").manifest.step in (5, 6)
    train(url, select(store), tmp_path / "remote", small_config(), standin, cache=cache, is_resumed=True)
    assert losses(tmp_path / "remote") == losses(tmp_path / "local")
    fsspec.filesystem("memory").rm(f"{url.removeprefix('memory://')}/pw3d/train/pw3d-train-000001.tar")
    with pytest.raises(StoreError, match="pw3d-train-000001"):
        train(url, select(store), tmp_path / "gone", small_config(), standin, cache=Cache(tmp_path / "empty"))


def test_a_streamed_store_is_trained_on_in_the_mixture_that_was_asked_for(
    store: Path, standin: Any, tmp_path: Path
) -> None:
    config = small_config(streamed=True)
    train(uploaded(store), select(store), tmp_path / "run", config, standin, cache=Cache(tmp_path / "cache"))
    drawn = {
        one["dataset"]: one["num_draws"] for one in json.loads((tmp_path / "run" / "run.json").read_text())["mixture"]
    }
    assert drawn == {"agora": 44, "pw3d": 44}
    found = losses(tmp_path / "run")
    assert sum(found[-3:]) < 0.9 * sum(found[:3])


def test_every_process_stops_at_a_loss_that_is_bad_in_one(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = run_processes(2, store, out, "checkpoint_every=2", "poison=5", expected=1)
    document = json.loads((out / "bad_batch.json").read_text())
    assert document["update"] == 5
    assert "finite loss, found nan" in document["problem"]
    victim = document["samples"][0]
    assert victim["loss"] == "nan"
    assert len(document["samples"]) == 8  # those of both processes
    for one in said:
        assert f"worst first: {victim['key']} (nan)" in one
    assert [one.manifest.step for one in checkpoints_of(out)] == [2, 4]
    assert not (out / "run.json").exists()
    shutil.rmtree(out)
