"""One small training run end to end, the folder it leaves, and everything a run refuses."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.spatial.transform import Rotation
from small_store import FRONT_AA, person, write_shard

from benchmark.problem import Problem
from benchmark.proposers import PROPOSERS
from catalogs.selection import Budget, Selection, ShardRef
from catalogs.store import open, pool
from harmonize.errors import DataError, StoreError, UsageError
from harmonize.record import Boxes, Instance
from train.data.crops import CropSize
from train.fit import Recipe, train
from train.data.loader import Loader
from train.data.mixture import MixtureCheck
from train.models.tiny_vit import TinyVit, TinyVitConfig
from train.data.schedule import State

SIZE = CropSize()
SMALL = TinyVitConfig(width=64, depth=2)


def turned(dataset: str, number: int) -> Instance:
    """Somebody upright who looks up to 90 degrees to the left or right of the camera."""
    yaw = Rotation.from_rotvec([0, np.pi / 2 * np.sin(number), 0])
    aa = (Rotation.from_rotvec(FRONT_AA) * yaw).as_rotvec()
    one = person(dataset, "train", number, global_orient_aa=aa)
    # The pictures do not show pose and shape: leave little of them that could only be learnt by heart.
    return replace(one, body=replace(one.body, body_pose_aa=one.body.body_pose_aa / 5, betas=one.body.betas / 5))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 people of two datasets."""
    folder = tmp_path_factory.mktemp("store")
    write_shard(folder, [turned("pw3d", i) for i in range(12)])
    write_shard(folder, [turned("pw3d", i) for i in range(12, 20)], number=1)
    write_shard(folder, [turned("agora", i) for i in range(10)])
    return folder


def select(store: Path, draws: int = 40, method: str = "uniform", cap: int | None = 3) -> Selection:
    with open(store) as con:
        budget = Budget(draws_per_epoch=draws, repeat_cap=cap, seed=1)
        return PROPOSERS[method](Problem(pool=pool(con), budget=budget))


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    train(store, select(store), out, Recipe(steps=60, batch_size=10, learning_rate=1e-3, model=SMALL))
    return out


def test_loss_falls_and_the_folder_says_what_happened(run: Path, store: Path) -> None:
    with (run / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    totals = [float(row["total"]) for row in rows]
    assert len(totals) == 60
    assert sum(totals[-8:]) < 0.7 * sum(totals[:8])  # two epochs each
    report = json.loads((run / "run.json").read_text())
    selection = select(store)
    assert report["selection"] == selection.content_hash == Selection.load(run / "selection.json").content_hash
    assert report["shards"] == {ref.shard: ref.digest for ref in selection.shards}
    assert report["is_standin"] is True
    assert (report["first_loss"], report["last_loss"]) == (totals[0], totals[-1])
    assert report["recipe"]["batch_size"] == 10
    assert [
        (m["dataset"], m["requested"], m["num_draws"], m["num_distinct"], m["max_repeats"]) for m in report["mixture"]
    ] == [
        ("agora", 300, 300, 10, 2),
        ("pw3d", 300, 300, 20, 1),
    ]
    assert (run / "losses.png").read_bytes().startswith(b"\x89PNG")
    assert not list(run.glob("*.tmp"))


def test_weights_load_into_the_network(run: Path) -> None:
    TinyVit(SMALL).load_state_dict(load_file(run / "weights.safetensors"))


def test_default_network_is_of_the_stated_size() -> None:
    model = TinyVit(TinyVitConfig())
    assert 1e6 < sum(parameter.numel() for parameter in model.parameters()) < 2e6


def test_same_run_gives_the_same_losses_whatever_the_threads(store: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, float]] = []
    one = train(
        store,
        select(store),
        tmp_path / "a",
        Recipe(steps=3, model=SMALL, num_threads=0),
        on_step=lambda step, loss: seen.append((step, loss)),
    )
    two = train(store, select(store), tmp_path / "b", Recipe(steps=3, model=SMALL, num_threads=3))
    assert one.losses == two.losses
    assert seen == list(enumerate(one.losses["total"], 1))
    assert torch.initial_seed() != select(store).seed


def test_finished_run_is_not_overwritten(run: Path, store: Path) -> None:
    with pytest.raises(UsageError, match="finished run"):
        train(store, select(store), run)


# The loader


def keys_after(store: Path, state: State, num: int, *, world_size: int, num_threads: int) -> list[Counter[str]]:
    batches: list[Counter[str]] = [Counter() for _ in range(num)]
    for rank in range(world_size):
        loader = Loader(store, select(store), batch_size=8, size=SIZE, num_threads=num_threads)
        stream = loader.batches(state, rank, world_size)
        for i, (_, batch) in enumerate(islice(stream, num)):
            batches[i].update(batch.keys)
        stream.close()
    return batches


def test_resumed_loader_gives_the_same_remaining_samples(store: Path) -> None:
    whole = keys_after(store, State(), 7, world_size=1, num_threads=0)
    for state, at, world_size, num_threads in ((State(0, 3), 3, 1, 2), (State(0, 4), 4, 4, 1), (State(1, 1), 6, 2, 0)):
        assert keys_after(store, state, 7 - at, world_size=world_size, num_threads=num_threads) == whole[at:]


def test_batch_holds_what_the_record_says(store: Path) -> None:
    stream = Loader(store, select(store), batch_size=8, size=SIZE).batches(State())
    _, batch = next(stream)
    assert batch.crop.shape == (8, 3, 128, 96)
    assert batch.crop.dtype == torch.uint8
    for i, (key, (dataset, split)) in enumerate(zip(batch.keys, batch.sources, strict=True)):
        number = int(key.split("-")[2])
        expected = turned(dataset, number)
        assert (expected.key, split) == (key, "train")
        assert torch.equal(batch.betas[i], torch.from_numpy(expected.body.betas))
        assert bool(batch.has_betas[i]) == (number % 3 != 0)
        assert bool(batch.has_camera[i])


def test_shards_added_later_change_nothing(store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    selection = select(copy)
    before = Loader(copy, selection, batch_size=8, size=SIZE).members
    write_shard(copy, [person("pw3d", "train", 99)], number=2)
    assert Loader(copy, selection, batch_size=8, size=SIZE).members == before


def test_only_chosen_samples_are_drawn(store: Path) -> None:
    selection = select(store)
    keys = (*(person("agora", "train", i).key for i in range(10)), *(person("pw3d", "train", i).key for i in (1, 2, 7)))
    agora, pw3d = selection.members
    chosen = replace(
        selection, members=(agora, replace(pw3d, num_available=3)), sample_keys=tuple(sorted(keys)), repeat_cap=7
    )
    assert Loader(store, chosen, batch_size=4, size=SIZE).members.keys[1] == tuple(sorted(keys)[10:])
    unknown = replace(chosen, sample_keys=tuple(sorted((*keys[1:], "pw3d-nobody"))))
    with pytest.raises(UsageError, match="pw3d-nobody"):
        Loader(store, unknown, batch_size=4, size=SIZE)


# What is refused


def test_standin_and_licensed_bodies_are_never_mixed(tmp_path: Path) -> None:
    write_shard(tmp_path, [person("pw3d", "train", i) for i in range(4)], is_standin=False)
    write_shard(tmp_path, [person("agora", "train", i) for i in range(4)], is_standin=True)
    with pytest.raises(UsageError, match=r"stand-in bodies \(agora-train-000000\) and licensed bodies \(pw3d"):
        train(tmp_path, select(tmp_path, draws=8), tmp_path / "out", Recipe(steps=1, batch_size=4))
    assert not (tmp_path / "out").exists()


def test_selection_of_another_store_is_refused(store: Path) -> None:
    selection = select(store)
    first, *rest = selection.shards
    other = replace(selection, shards=(ShardRef(shard=first.shard, digest="0" * 64), *rest))
    with pytest.raises(StoreError, match="agora-train-000000: expected plan 000000000000"):
        Loader(store, other, batch_size=4, size=SIZE)
    missing = replace(selection, shards=(*selection.shards, ShardRef(shard="z-train-000000", digest="0")))
    with pytest.raises(StoreError, match=r"z-train-000000.*no such shard"):
        Loader(store, missing, batch_size=4, size=SIZE)
    fewer = replace(selection, shards=selection.shards[:-1])
    with pytest.raises(StoreError, match="pw3d/train: expected 20 samples as in the selection, found 12"):
        Loader(store, fewer, batch_size=4, size=SIZE)


def test_sample_that_cannot_be_trained_on_is_named(tmp_path: Path) -> None:
    plain = person("pw3d", "train", 0)
    write_shard(tmp_path / "a", [replace(plain, image=replace(plain.image, has_pixels=False))])
    with pytest.raises(UsageError, match=f"{plain.key}: expected a picture"):
        next(Loader(tmp_path / "a", select(tmp_path / "a", 1), batch_size=1, size=SIZE).batches(State()))
    write_shard(tmp_path / "b", [replace(plain, boxes=Boxes())])
    with pytest.raises(DataError, match=f"{plain.key}: expected a person box"):
        next(Loader(tmp_path / "b", select(tmp_path / "b", 1), batch_size=1, size=SIZE, num_threads=1).batches(State()))


def test_impossible_recipes_are_refused() -> None:
    with pytest.raises(UsageError, match="steps"):
        Recipe(steps=0)
    with pytest.raises(UsageError, match="expected the model's 128 x 96"):
        Recipe(crop=CropSize(height_px=64))


# The mixture that was trained on


def draws(*numbers: int, dataset: str = "agora") -> tuple[list[str], list[tuple[str, str]]]:
    return [f"{dataset}-{number}" for number in numbers], [(dataset, "train")] * len(numbers)


def merged(*parts: tuple[list[str], list[tuple[str, str]]]) -> tuple[list[str], list[tuple[str, str]]]:
    return [key for part in parts for key in part[0]], [source for part in parts for source in part[1]]


def test_drift_from_the_selection_is_an_error(store: Path) -> None:
    selection = select(store, draws=20, cap=1)
    good = merged(draws(*range(10)), draws(*range(10), dataset="pw3d"))
    check = MixtureCheck(selection)
    check.add(*good, ends_epoch=True)
    check.add(*good, ends_epoch=True)
    assert [(one.requested, one.num_draws, one.num_distinct, one.max_repeats) for one in check.realised()] == [
        (20, 20, 10, 1),
        (20, 20, 10, 1),
    ]
    wrong = [
        ("agora/train: expected 4.0 draws", merged(draws(*range(8))), False),
        ("agora/train: expected at most 1 draws", merged(draws(1, 1), draws(1, 2, dataset="pw3d")), False),
        ("agora/train: expected 10 draws of 10", merged(draws(1, 2), draws(1, 2, dataset="pw3d")), True),
        ("bedlam/train: expected no draws", merged(draws(1, dataset="bedlam")), False),
    ]
    for message, batch, ends_epoch in wrong:
        with pytest.raises(DataError, match=message):
            MixtureCheck(selection).add(*batch, ends_epoch=ends_epoch)
