"""A selection bound to a store: the same samples as the store's, compact, and what does not belong together refused."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from small_store import person, write_shard

from benchmark.problem import Problem
from benchmark.proposers import PROPOSERS
from catalogs.selection import Budget, Selection, ShardRef
from catalogs.store import open, pool
from harmonize.errors import StoreError, UsageError
from harmonize.shards.read import open_store
from train.data.members import bind


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 people of two datasets in three shards; one has no picture."""
    folder = tmp_path_factory.mktemp("store")
    people = [person("pw3d", "train", i) for i in range(20)]
    write_shard(folder, people[:12])
    write_shard(folder, people[12:], number=1)
    others = [person("agora", "train", i) for i in range(10)]
    others[3] = replace(others[3], image=replace(others[3].image, has_pixels=False))
    write_shard(folder, others)
    return folder


@pytest.fixture
def copy(store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(store, tmp_path / "store"))


def select(store: Path, draws: int = 40) -> Selection:
    with open(store) as con:
        return PROPOSERS["uniform"](Problem(pool=pool(con), budget=Budget(draws_per_epoch=draws, seed=1)))


def test_samples_are_those_of_the_store(store: Path) -> None:
    members, other = bind(store, select(store)), open_store(store)
    assert [list(keys) for keys in members.keys] == [
        sorted(person(name, "train", i).key for i in range(num)) for name, num in (("agora", 10), ("pw3d", 20))
    ]
    assert members.is_standin
    for i, keys in enumerate(members.keys):
        for at, key in enumerate(keys):
            found, expected = members.sample(i, at), other.sample(key)
            assert found.instance.key == key
            assert (found.picture, found.extension) == (expected.picture, expected.extension)
            assert found.instance.body.betas.tolist() == expected.instance.body.betas.tolist()
            assert keys.position(key) == at
    assert members.sample(0, 3).picture is None
    assert members.keys[0].position("agora-nobody") is None
    assert list(members.keys[1][2:5]) == list(members.keys[1])[2:5]


def test_shards_added_later_change_nothing(copy: Path) -> None:
    selection = select(copy)
    before = [list(keys) for keys in bind(copy, selection).keys]
    write_shard(copy, [person("pw3d", "train", 99)], number=2)
    write_shard(copy, [person("behave", "train", 0)])
    assert [list(keys) for keys in bind(copy, selection).keys] == before


def test_only_chosen_samples_are_bound(store: Path) -> None:
    selection = select(store)
    agora, pw3d = selection.members
    keys = [person("pw3d", "train", i).key for i in (1, 2, 13)]
    everyone = sorted([*(person("agora", "train", i).key for i in range(10)), *keys])
    chosen = replace(selection, members=(agora, replace(pw3d, num_available=3)), sample_keys=tuple(everyone))
    members = bind(store, chosen)
    assert list(members.keys[1]) == sorted(keys)
    assert members.sample(1, 2).instance.key == keys[2]
    unknown = replace(chosen, sample_keys=tuple(sorted([*everyone[1:], "pw3d-nobody"])))
    with pytest.raises(UsageError, match=r"1 chosen samples are not in .* pw3d-nobody first(?s:.*)fix: "):
        bind(store, unknown)


def test_standin_and_licensed_bodies_are_never_mixed(tmp_path: Path) -> None:
    write_shard(tmp_path, [person("pw3d", "train", i) for i in range(4)], is_standin=False)
    write_shard(tmp_path, [person("agora", "train", i) for i in range(4)], is_standin=True)
    with pytest.raises(UsageError, match=r"stand-in bodies \(agora-train-000000\) and licensed bodies \(pw3d"):
        bind(tmp_path, select(tmp_path, draws=8))


def test_selection_of_another_store_is_refused(store: Path) -> None:
    selection = select(store)
    first, *rest = selection.shards
    other = replace(selection, shards=(ShardRef(shard=first.shard, digest="0" * 64), *rest))
    with pytest.raises(
        StoreError, match=r"agora-train-000000: expected plan 000000000000 .* found plan [^0](?s:.*)fix"
    ):
        bind(store, other)
    lost = replace(selection, shards=(*selection.shards, ShardRef(shard="z-train-000000", digest="0")))
    with pytest.raises(StoreError, match="z-train-000000: expected plan 0 as in the selection, found no such shard"):
        bind(store, lost)
    odd = replace(selection, shards=(*selection.shards, ShardRef(shard="z/../../etc", digest="0")))
    with pytest.raises(StoreError, match="is not the name of a shard"):
        bind(store, odd)


def test_dataset_that_the_shards_do_not_hold_is_refused(store: Path) -> None:
    selection = select(store)
    unknown = replace(selection, shards=selection.shards[1:])
    with pytest.raises(StoreError, match=r"agora/train: expected 10 .* found 0; none of the selection's shards"):
        bind(store, unknown)
    fewer = replace(selection, members=(selection.members[0], replace(selection.members[1], num_available=21)))
    with pytest.raises(StoreError, match="pw3d/train: expected 21 samples as in the selection, found 20\n"):
        bind(store, fewer)


def test_path_that_is_no_store_is_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        bind(tmp_path / "nowhere", select(store))


@pytest.mark.parametrize("damage", ["gone", "cut off", "altered"])
def test_shard_that_is_damaged_in_the_middle_of_a_run_is_named(copy: Path, damage: str) -> None:
    members = bind(copy, select(copy))
    tar = copy / "agora/train/agora-train-000000.tar"
    if damage == "gone":
        tar.unlink()
    elif damage == "cut off":
        os.truncate(tar, tar.stat().st_size // 2)
    else:
        tar.write_bytes(tar.read_bytes().replace(b"\xff\xd8", b"\xff\xd9"))
    with pytest.raises(StoreError, match=r"agora-train-000000\.tar(?s:.*)fix: .*ehps"):
        [members.sample(0, at) for at in range(10)]
    assert members.sample(1, 0).instance.key == members.keys[1][0]


def test_what_is_altered_after_it_was_read_is_found(copy: Path) -> None:
    """Hashes are worked out once, and again as soon as the tar was touched, whatever time it then claims."""
    members = bind(copy, select(copy))
    first, second = members.sample(0, 0), members.sample(0, 0)
    assert first.picture == second.picture
    assert first.picture is not None
    tar = copy / "agora/train/agora-train-000000.tar"
    before, data = tar.stat(), tar.read_bytes()
    at = data.index(first.picture) + len(first.picture) // 2
    with tar.open("r+b") as file:
        file.seek(at)
        file.write(bytes([data[at] ^ 1]))
    os.utime(tar, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(StoreError, match=r"agora-train-000000\.tar(?s:.*)sha256"):
        members.sample(0, 0)
