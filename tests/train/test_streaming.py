"""Shards read from their beginning: the schedule's mixture, every sample sooner or later, and damage named."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import fsspec
import numpy as np
import pytest
from small_store import person, write_shard

from benchmark.problem import Problem
from benchmark.proposers import PROPOSERS
from catalogs.selection import Budget, Selection
from catalogs.store import open, pool
from harmonize.errors import StoreError, UsageError
from train.data.cache import Cache
from train.data.feed import Drawn
from train.data.members import bind
from train.data.opening import open_feed
from train.data.schedule import Schedule, State
from train.data.streaming import Streamed


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 people of pw3d in four shards, 10 of agora in one."""
    folder = tmp_path_factory.mktemp("store")
    for number in range(4):
        write_shard(folder, [person("pw3d", "train", 6 * number + i) for i in range(6)], number=number)
    write_shard(folder, [person("agora", "train", i) for i in range(10)])
    return folder


def select(store: Path, draws: int = 40) -> Selection:
    with open(store) as con:
        return PROPOSERS["natural"](Problem(pool=pool(con), budget=Budget(draws_per_epoch=draws, seed=1)))


def take(feed: Streamed, num: int, rank: int = 0, world_size: int = 1, state: State | None = None) -> list[Drawn]:
    return list(islice(feed.batches(state or State(), rank, world_size), num))


def keys_in(drawn: Iterable[Drawn]) -> list[str]:
    return [key for one in drawn for key in one.keys]


def opened(store: Path, selection: Selection, num_buffered: int = 64) -> Streamed:
    return Streamed(bind(store, selection), Schedule(selection, 8), num_buffered)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_batch_is_of_the_members_that_the_schedule_says(store: Path, world_size: int) -> None:
    selection = select(store)
    feed = opened(store, selection)
    for rank in range(world_size):
        planned = feed.schedule.batches(State(0, 1), rank, world_size)
        for drawn, (after, draws) in zip(take(feed, 8, rank, world_size, State(0, 1)), planned, strict=False):
            assert (drawn.after, drawn.epoch) == (after, draws.epoch)
            assert drawn.position.tolist() == draws.position.tolist()
            sources = [selection.members[i].dataset for i in draws.member.tolist()]
            assert [key.split("-")[0] for key in drawn.keys] == sources


def test_samples_are_those_of_the_store_and_come_in_passes(store: Path) -> None:
    feed = opened(store, select(store))
    local = bind(store, select(store))
    drawn = take(feed, 30)
    counts = Counter(keys_in(drawn))
    assert set(counts) == {key for keys in local.keys for key in keys}
    # 240 draws are 7 passes; the buffer holds less than one pass of pw3d, and 1.6 of agora.
    assert max(counts.values()) - min(counts.values()) <= 6
    for one in drawn[:3]:
        for i, key in enumerate(one.keys):
            member = 0 if key.startswith("agora") else 1
            at = local.keys[member].position(key)
            assert at is not None
            expected, found = local.sample(member, at), one.read(i)
            assert (found.instance.key, found.picture, found.extension) == (key, expected.picture, "jpg")
            assert found.instance.body.betas.tolist() == expected.instance.body.betas.tolist()


def test_processes_share_the_shards(store: Path) -> None:
    """pw3d has shards for both processes, agora one shard for two: then each takes every other sample."""
    for rank in range(2):
        seen = set(keys_in(take(opened(store, select(store), num_buffered=16), 12, rank, 2)))
        assert 0 < len([key for key in seen if key.startswith("agora")]) <= 10
    ranks = [keys_in(take(opened(store, select(store)), 12, rank, 2)) for rank in range(2)]
    assert set(ranks[0]) | set(ranks[1]) == {key for keys in bind(store, select(store)).keys for key in keys}
    # One pass over what a process reads, before the buffer shuffles: no sample is read by two processes.
    passes = [opened(store, select(store))._passes(1, State(), rank, 2) for rank in range(2)]
    first, second = ({stored.key for stored in islice(one, 12)} for one in passes)
    assert (len(first), len(second), len(first & second)) == (12, 12, 0)
    passes = [opened(store, select(store))._passes(0, State(), rank, 2) for rank in range(2)]
    first, second = ({stored.key for stored in islice(one, 5)} for one in passes)
    assert (len(first), len(second), len(first & second)) == (5, 5, 0)


def test_order_is_shuffled_repeats_and_differs_after_a_resume(store: Path) -> None:
    one, again = (keys_in(take(opened(store, select(store)), 5)) for _ in range(2))
    assert one == again
    assert [key for key in one if key.startswith("pw3d")] != sorted(key for key in one if key.startswith("pw3d"))
    assert keys_in(take(opened(store, select(store)), 5, state=State(1, 0))) != one


def test_shuffle_reaches_over_shards(store: Path) -> None:
    """Neighbours come from other shards about as often as chance has it, three in four; unshuffled it is one in six."""
    keys = [key for key in keys_in(take(opened(store, select(store), num_buffered=200), 60)) if key.startswith("pw3d")]
    shard = np.array([int(key.split("-")[2]) // 6 for key in keys])
    assert np.mean(shard[1:] != shard[:-1]) > 0.5


def test_only_chosen_samples_are_streamed(store: Path) -> None:
    selection = select(store)
    agora, pw3d = selection.members
    keys = sorted([*(person("agora", "train", i).key for i in range(10)), person("pw3d", "train", 7).key])
    chosen = replace(selection, members=(agora, replace(pw3d, num_available=1)), sample_keys=tuple(keys))
    assert set(keys_in(take(opened(store, chosen), 10))) == set(keys)


def test_stores_behind_a_url_are_streamed(store: Path, tmp_path: Path) -> None:
    system, selection = fsspec.filesystem("memory"), select(store)
    for path in store.rglob("*.*"):
        system.pipe_file(f"streamed/{path.relative_to(store)}", path.read_bytes())
    cache = Cache(tmp_path / "cache")
    feed = open_feed("memory://streamed", selection, batch_size=8, cache=cache, is_streamed=True)
    local = open_feed(store, selection, batch_size=8, is_streamed=True)
    for one, other in islice(zip(feed.batches(State()), local.batches(State()), strict=False), 6):
        assert one.keys == other.keys
        assert one.read(3).picture == other.read(3).picture
    system.rm("streamed/agora/train/agora-train-000000.tar")
    feed = open_feed("memory://streamed", selection, batch_size=8, cache=cache, is_streamed=True)
    with pytest.raises(StoreError, match=r"agora-train-000000\.tar: cannot be read \(no such file\)"):
        next(feed.batches(State()))


@pytest.mark.parametrize("cut", ["in a sample", "between samples"])
def test_shard_that_is_cut_off_is_named(store: Path, tmp_path: Path, cut: str) -> None:
    copy = Path(shutil.copytree(store, tmp_path / "store"))
    feed = opened(copy, select(copy))
    start_of_fifth = int(np.sort(feed.members.places[0].offset)[4])
    # Cut between two samples, the rest is a sound tar that only lacks some of them.
    tar = copy / "agora/train/agora-train-000000.tar"
    os.truncate(tar, start_of_fifth + (2000 if cut == "in a sample" else 0))
    problem = {
        "in a sample": r"expected \d+ bytes of a tar, found",
        "between samples": "6 of its samples are not in it",
    }
    with pytest.raises(StoreError, match=rf"agora-train-000000\.tar: {problem[cut]}(?s:.*)fix: "):
        take(feed, 30)


def test_altered_sample_is_named(store: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(store, tmp_path / "store"))
    feed = opened(copy, select(copy))
    tar = copy / "agora/train/agora-train-000000.tar"
    tar.write_bytes(tar.read_bytes().replace(b"\xff\xd8", b"\xff\xd9"))
    drawn = take(feed, 1)[0]
    i = next(i for i, key in enumerate(drawn.keys) if key.startswith("agora"))
    with pytest.raises(StoreError, match=r"agora-train-000000\.tar: sample agora.*: jpg: its content is not what"):
        drawn.read(i)
    tar.unlink()
    with pytest.raises(StoreError, match=r"agora-train-000000\.tar: cannot be read"):
        take(feed, 30)


def test_impossible_processes_are_refused(store: Path) -> None:
    with pytest.raises(UsageError, match="rank"):
        opened(store, select(store)).batches(State(), 2, 2)
