"""A run end to end: what it leaves, exact resume, the same numbers however a batch is cut, its best checkpoint."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_training import interrupting, select, small_config, small_store

from catalogs.selection import Selection
from harmonize.errors import DataError
from train.building import load_networks
from train.checkpoints import checkpoints_of, find_checkpoint
from train.config import OptimConfig
from train.loop import train
from train.meta.config import DualConfig
from train.run_log import Interval, read_losses


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def whole(store: Path, standin: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run with everything that has a state."""
    out = tmp_path_factory.mktemp("run") / "whole"
    train(store, select(store), out, CONFIG, standin)
    return out


CONFIG = small_config(ema=0.9, checkpoint_every=4, keep_last=2)


def numbers(run: Path) -> list[dict[str, float]]:
    """All that is logged but the speed."""
    return [{name: value for name, value in row.items() if name != "samples_per_s"} for row in read_losses(run)]


def tensors(run: Path) -> dict[str, torch.Tensor]:
    folder = find_checkpoint(run, "last").path
    return {
        f"{path.stem}/{name}": value for path in folder.glob("*.safetensors") for name, value in load_file(path).items()
    }


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_folder_says_what_happened(whole: Path, store: Path) -> None:
    selection = select(store)
    with (whole / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    totals = [float(row["total"]) for row in rows]
    assert [int(row["step"]) for row in rows] == list(range(1, 13))
    assert sum(totals[-3:]) < 0.9 * sum(totals[:3])
    report = json.loads((whole / "run.json").read_text())
    assert report["selection"] == selection.content_hash == Selection.load(whole / "selection.json").content_hash
    assert report["shards"] == {ref.shard: ref.digest for ref in selection.shards}
    assert (report["is_standin"], report["step"], report["state"]) == (True, 12, {"epoch": 2, "step": 0})
    assert (report["first_loss"], report["last_loss"]) == (totals[0], totals[-1])
    assert report["recipe"]["batch_size"] == 8
    assert [(one["dataset"], one["num_draws"], one["num_distinct"]) for one in report["mixture"]] == [
        ("agora", 44, 10),
        ("pw3d", 44, 20),
    ]
    assert (whole / "losses.png").read_bytes().startswith(b"\x89PNG")
    last = [json.loads(line) for line in (whole / "mixture.jsonl").read_text().splitlines()][-1]
    assert (last["dataset"], last["num_draws"]) == ("pw3d", 44)
    assert list((whole / "tensorboard").glob("events.*"))
    assert [one.manifest.step for one in checkpoints_of(whole)] == [8, 12]
    assert not list(whole.rglob("*.tmp"))


def test_tensorboard_reads_the_same_losses(whole: Path) -> None:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    (path,) = (whole / "tensorboard").glob("events.*")
    found = [
        value.tensor.float_val[0]
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
        if value.tag == "loss/total"
    ]
    assert found == pytest.approx([row["total"] for row in read_losses(whole)], rel=1e-6)


@pytest.mark.parametrize("at", [3, 5])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    at: int, whole: Path, store: Path, standin: Any, tmp_path: Path
) -> None:
    out, before = tmp_path / "run", signal.getsignal(signal.SIGTERM)
    stopped = train(store, select(store), out, CONFIG, standin, on_interval=interrupting(at))
    assert not stopped.is_finished
    assert stopped.step == at + 1  # the update at hand when the signal came is finished
    assert find_checkpoint(out, "last").manifest.step == at + 1
    assert not (out / "run.json").exists()
    assert signal.getsignal(signal.SIGTERM) is before
    finished = train(store, select(store), out, replace(CONFIG, threads=2), standin, is_resumed=True)
    assert finished.is_finished
    assert numbers(out) == numbers(whole)
    assert same(tensors(out), tensors(whole))
    assert (
        json.loads((out / "run.json").read_text())["mixture"] == json.loads((whole / "run.json").read_text())["mixture"]
    )
    assert (out / "mixture.jsonl").read_text() == (whole / "mixture.jsonl").read_text()


def test_a_killed_run_goes_on_from_its_last_checkpoint(whole: Path, store: Path, standin: Any, tmp_path: Path) -> None:
    """What was logged after the checkpoint is forgotten and made again."""

    class Killed(BaseException):
        pass

    def kill(interval: Interval) -> None:
        if interval.step == 7:
            raise Killed

    out = tmp_path / "run"
    with pytest.raises(Killed):
        train(store, select(store), out, CONFIG, standin, on_interval=kill)
    assert [row["step"] for row in read_losses(out)] == list(range(1, 8))
    assert [one.manifest.step for one in checkpoints_of(out)] == [4]
    train(store, select(store), out, CONFIG, standin, is_resumed=True)
    assert numbers(out) == numbers(whole)
    assert same(tensors(out), tensors(whole))


def test_passes_change_nothing_but_memory(whole: Path, store: Path, standin: Any, tmp_path: Path) -> None:
    train(store, select(store), tmp_path / "run", replace(CONFIG, accumulate=3), standin)
    for one, other in zip(numbers(tmp_path / "run"), numbers(whole), strict=True):
        assert one == pytest.approx(other, rel=2e-3, abs=1e-5)
    first, of_whole = numbers(tmp_path / "run")[0], numbers(whole)[0]
    assert first == pytest.approx(of_whole, rel=1e-5, abs=1e-7)  # before rounding had a chance to grow


def test_dual_networks_resume_exactly_too(store: Path, standin: Any, tmp_path: Path) -> None:
    config = small_config(steps=5, batch_size=4, dual=DualConfig(order="second", auxiliary="both", subset="head+lora"))
    train(store, select(store), tmp_path / "whole", config, standin)
    train(store, select(store), tmp_path / "run", config, standin, on_interval=interrupting(2))
    train(store, select(store), tmp_path / "run", config, standin, is_resumed=True)
    assert numbers(tmp_path / "run") == numbers(tmp_path / "whole")
    assert {"outer", "auxiliary"} <= numbers(tmp_path / "run")[0].keys()
    assert same(tensors(tmp_path / "run"), tensors(tmp_path / "whole"))
    networks = load_networks(tmp_path / "run")
    assert networks.auxiliary is not None
    assert networks.rates is not None
    assert any("low_rank" in name for name in networks.regressor.state_dict())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_stays_near(precision: Any, whole: Path, store: Path, standin: Any, tmp_path: Path) -> None:
    train(store, select(store), tmp_path / "run", replace(CONFIG, precision=precision, steps=4), standin)
    half, full = (numbers(run)[3]["total"] for run in (tmp_path / "run", whole))
    assert half != full
    assert half == pytest.approx(full, rel=0.1)


def test_the_mean_of_the_weights_is_what_is_used(whole: Path) -> None:
    mean, last = load_networks(whole).regressor, load_networks(whole, use_ema=False).regressor
    found = tensors(whole)
    for name, value in mean.state_dict().items():
        assert torch.equal(value, found[f"ema/{name}"])
    assert not torch.equal(mean.head.queries, last.head.queries)
    assert not mean.training


def test_the_best_checkpoint_is_kept_and_chosen(store: Path, standin: Any, tmp_path: Path) -> None:
    config = small_config(ema=0.9, validate_every=2, keep_last=1, benchmarks=("ehf",))
    errors = {2: 9.0, 4: 3.0, 6: 5.0, 8: 4.0, 10: 3.5, 12: 8.0}
    seen: list[torch.Tensor] = []

    def validate(regressor: Any, step: int) -> dict[str, float]:
        seen.append(regressor.head.queries.detach().clone())
        return {"primary_mm": errors[step], "other_mm": 1.0}

    train(store, select(store), tmp_path, config, standin, on_validate=validate)
    assert [one.manifest.step for one in checkpoints_of(tmp_path)] == [4, 12]
    assert (load_networks(tmp_path).step, load_networks(tmp_path, "last").step) == (4, 12)
    assert torch.equal(load_networks(tmp_path).regressor.head.queries, seen[1])
    lines = [json.loads(line) for line in (tmp_path / "validation.jsonl").read_text().splitlines()]
    assert {line["step"]: line["primary_mm"] for line in lines} == errors


def test_the_pretrained_network_is_where_a_run_starts(whole: Path, store: Path, standin: Any, tmp_path: Path) -> None:
    frozen = OptimConfig(lr=1e-12, min_lr=0.0)
    train(store, select(store), tmp_path, small_config(init=str(whole), steps=1, optim=frozen), standin)
    start, end = (load_networks(run).regressor.state_dict() for run in (whole, tmp_path))
    for name, value in start.items():
        assert torch.allclose(value, end[name], atol=1e-9)
    other = small_config(init=str(whole), model=replace(CONFIG.model, num_layers=2))
    with pytest.raises(DataError, match=r"head.layers.1.*None instead of"):
        train(store, select(store), tmp_path / "other", other, standin)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a compiler")
@pytest.mark.filterwarnings("default")  # torch looks at gradients of what is no leaf while it compiles
def test_a_compiled_network_trains_alike(whole: Path, store: Path, standin: Any, tmp_path: Path) -> None:
    from torch._dynamo.utils import counters

    counters.clear()
    train(store, select(store), tmp_path, replace(CONFIG, compile=True), standin)
    assert counters["stats"]["unique_graphs"] >= 1
    for one, other in zip(numbers(tmp_path), numbers(whole), strict=True):
        assert one == pytest.approx(other, rel=2e-3, abs=1e-5)
