"""Batches: the same whatever threads, processes and resumption; what the records say; errors that name the place."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from small_store import person, write_shard

from benchmark.problem import Problem
from benchmark.proposers import PROPOSERS
from catalogs.selection import Budget, Selection
from catalogs.store import open, pool
from harmonize.errors import DataError, StoreError, UsageError
from harmonize.record import Boxes
from train.data.augment import NONE, STRONG, Augment
from train.data.batch import Batch
from train.data.crops import CropSize
from train.data.detector import TYPICAL
from train.data.loader import PIECE, Loader
from train.data.schedule import State

SIZE = CropSize(height_px=64, width_px=48)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 people of two datasets."""
    folder = tmp_path_factory.mktemp("store")
    write_shard(folder, [person("pw3d", "train", i) for i in range(40)])
    write_shard(folder, [person("agora", "train", i) for i in range(20)])
    return folder


def select(store: Path, draws: int = 100) -> Selection:
    with open(store) as con:
        budget = Budget(draws_per_epoch=draws, repeat_cap=5, seed=1)
        return PROPOSERS["uniform"](Problem(pool=pool(con), budget=budget))


def loader(store: Path, batch_size: int = 40, num_threads: int = 0, augment: Augment = STRONG) -> Loader:
    return Loader(
        store,
        select(store),
        batch_size=batch_size,
        size=SIZE,
        augment=augment,
        detector=TYPICAL,
        num_threads=num_threads,
    )


def tensors(batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
    for part in (batch.observed, batch.truth):
        for item in fields(part):
            yield item.name, getattr(part, item.name)


def assert_equal(one: Batch, two: Batch) -> None:
    assert (one.keys, one.sources) == (two.keys, two.sources)
    for (name, value), (_, other) in zip(tensors(one), tensors(two), strict=True):
        assert torch.equal(value, other), name


def test_batches_do_not_depend_on_threads_or_on_resumption(store: Path) -> None:
    whole = list(islice(loader(store).batches(State()), 7))
    assert [state for state, _ in whole][2:4] == [State(1, 0), State(1, 1)]
    stream = loader(store, num_threads=3).batches(State())
    for (state, batch), (other_state, other) in zip(whole, islice(stream, 7), strict=False):
        assert state == other_state
        assert_equal(batch, other)
    stream.close()
    for at in (1, 3, 4):
        resumed = loader(store, num_threads=1).batches(whole[at - 1][0])
        for (_, batch), (_, other) in zip(whole[at:], islice(resumed, 7 - at), strict=True):
            assert_equal(batch, other)
        resumed.close()


def test_processes_share_a_batch_and_its_augmentation(store: Path) -> None:
    whole = [batch for _, batch in islice(loader(store).batches(State()), 4)]
    for rank in range(3):
        parts = [batch for _, batch in islice(loader(store).batches(State(), rank, 3), 4)]
        for batch, part in zip(whole, parts, strict=True):
            assert_equal(part, batch.rows(slice(rank, None, 3)))


def test_repeated_draws_are_augmented_anew(store: Path) -> None:
    crops: dict[str, list[torch.Tensor]] = {}
    for _, batch in islice(loader(store).batches(State()), 6):
        for key, crop in zip(batch.keys, batch.observed.crop, strict=True):
            crops.setdefault(key, []).append(crop)
    repeated = [seen for seen in crops.values() if len(seen) > 1]
    assert len(repeated) > 20
    assert not any(torch.equal(seen[0], seen[1]) for seen in repeated)


def test_batch_is_of_the_records(store: Path) -> None:
    _, batch = next(loader(store, batch_size=PIECE + 5, augment=NONE).batches(State()))
    assert batch.observed.crop.shape == (PIECE + 5, 3, 64, 48)
    assert batch.observed.crop.dtype == torch.uint8
    assert batch.observed.crop.is_contiguous(memory_format=torch.channels_last)
    for i, (key, (dataset, split)) in enumerate(zip(batch.keys, batch.sources, strict=True)):
        number = int(key.split("-")[2])
        expected = person(dataset, "train", number)
        assert (expected.key, split) == (key, "train")
        assert torch.equal(batch.truth.betas[i], torch.from_numpy(expected.body.betas))
        assert bool(batch.truth.has_betas[i]) == (number % 3 != 0)
        assert batch.truth.keypoints_px[i, :, 2].min() == 1
    assert not torch.equal(batch.truth.keypoints_px, batch.observed.keypoints_px)


def test_pictures_show_the_points_where_the_labels_say(store: Path) -> None:
    """The last point is drawn over all others, in a colour of its own."""
    plain = replace(STRONG, colour=0, brightness=0, contrast=0, saturation=0, occluders=0, flip_probability=0)
    colour = np.array([(37 * 143) % 256, (91 * 143) % 256, (153 * 143) % 256])
    stream = Loader(store, select(store), batch_size=60, size=CropSize(), augment=plain).batches(State())
    batch = next(stream)[1]
    hits = 0
    for crop, (x, y) in zip(batch.observed.crop, batch.truth.keypoints_px[:, 143, :2].tolist(), strict=True):
        if 2 <= x < 190 and 2 <= y < 254:
            hits += 1
            assert np.abs(crop[:, int(y), int(x)].numpy().astype(int) - colour).max() < 50
    assert hits > 40


def test_threads_end_with_the_stream(store: Path) -> None:
    stream = loader(store, num_threads=2).batches(State())
    next(stream)
    assert any(thread.name.startswith("loader") for thread in threading.enumerate())
    stream.close()
    assert not any(thread.name.startswith("loader") for thread in threading.enumerate())


@pytest.mark.parametrize("num_threads", [0, 2])
def test_shard_that_is_cut_in_the_middle_of_training_is_named(tmp_path: Path, num_threads: int) -> None:
    write_shard(tmp_path, [person("pw3d", "train", i) for i in range(30)])
    stream = loader(tmp_path, 10, num_threads).batches(State())
    next(stream)
    os.truncate(tmp_path / "pw3d" / "train" / "pw3d-train-000000.tar", 0)
    with pytest.raises(StoreError, match=r"pw3d-train-000000(?s:.)*fix: "):
        list(islice(stream, 20))


def test_shard_that_is_gone_is_named(tmp_path: Path) -> None:
    write_shard(tmp_path, [person("pw3d", "train", i) for i in range(30)])
    stream = loader(tmp_path, 10).batches(State())
    (tmp_path / "pw3d" / "train" / "pw3d-train-000000.tar").unlink()
    with pytest.raises(StoreError, match=r"pw3d-train-000000.*cannot be read(?s:.)*fix: "):
        next(stream)


@pytest.mark.parametrize("num_threads", [0, 2])
def test_damaged_sample_is_named(tmp_path: Path, num_threads: int) -> None:
    write_shard(tmp_path, [person("pw3d", "train", i) for i in range(30)])
    tar = tmp_path / "pw3d" / "train" / "pw3d-train-000000.tar"
    data = bytearray(tar.read_bytes())
    data[len(data) // 2] ^= 255
    tar.write_bytes(data)
    with pytest.raises(StoreError, match=r"pw3d-train-000000(?s:.)*pw3d-train-000\d\d-0(?s:.)*fix: "):
        list(islice(loader(tmp_path, 30, num_threads).batches(State()), 5))


def test_sample_that_cannot_be_trained_on_is_named(tmp_path: Path) -> None:
    plain = person("pw3d", "train", 0)
    for name, broken, error, message in (
        ("a", replace(plain, image=replace(plain.image, has_pixels=False)), UsageError, "expected a picture"),
        ("b", replace(plain, boxes=Boxes()), DataError, "expected a person box"),
    ):
        write_shard(tmp_path / name, [broken])
        with pytest.raises(error, match=f"{plain.key}: {message}"):
            next(
                Loader(tmp_path / name, select(tmp_path / name, 1), batch_size=1, size=SIZE, num_threads=1).batches(
                    State()
                )
            )
