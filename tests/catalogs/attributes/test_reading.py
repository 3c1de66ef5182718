from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_attributes import vectors, write_family
from small_store import person, write_shard

from catalogs.attributes import files
from catalogs.attributes.reading import coverage, families_in, index_inputs, read_family, read_index
from harmonize.errors import StoreError, UsageError


def numbered(table: Any) -> dict[str, Any]:
    numbers = np.array([int(key.split("-")[2]) for key in table.column("key").to_pylist()], np.float32)
    return {"number": numbers, "vector": vectors(np.stack([numbers, -numbers], axis=1))}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for dataset, split, first in (("agora", "train", 0), ("pw3d", "train", 10), ("pw3d", "test", 20)):
        write_shard(tmp_path, [person(dataset, split, first + i) for i in range(3)])
    return tmp_path


def test_a_family_is_one_table_over_the_store(store: Path) -> None:
    write_family(store, "skeleton", numbered, facts={"basis": "b"})
    table = read_family(store, "skeleton")
    assert table.column_names == ["key", "dataset", "split", "shard", "number", "vector"]
    assert table.column("number").to_pylist() == [0, 1, 2, 20, 21, 22, 10, 11, 12]
    assert table.column("shard").to_pylist()[3] == "pw3d-test-000000"
    assert read_family(store, "skeleton", ["vector"]).column_names == ["key", "dataset", "split", "shard", "vector"]
    covered = coverage(store, "skeleton")
    assert (covered.num_current, covered.facts) == (3, {"basis": "b"})
    assert sorted(covered.inputs) == [f"skeleton/{name}-000000" for name in ("agora-train", "pw3d-test", "pw3d-train")]
    assert families_in(store) == ["skeleton"]


def test_missing_shards_are_counted_with_the_command_that_makes_them(store: Path) -> None:
    write_family(store, "skeleton", numbered, shards=lambda shard: "pw3d" not in shard)
    with pytest.raises(
        UsageError, match=r"of all 3 shards, found 2 missing and 0 stale \(first: pw3d-test-000000\)"
    ) as e:
        read_family(store, "skeleton")
    assert e.value.fix == f"ehps describe {store} --attributes skeleton"
    with pytest.raises(UsageError, match=r"there are: skeleton\n") as e:
        read_family(store, "features_vit_b")
    assert e.value.fix == f"ehps describe {store} --backbone vit_b"


def test_a_changed_shard_is_stale(store: Path) -> None:
    write_family(store, "skeleton", numbered)
    write_shard(store, [person("agora", "train", 5 + i) for i in range(3)])
    assert (coverage(store, "skeleton").num_current, coverage(store, "skeleton").num_stale) == (2, 1)
    with pytest.raises(UsageError, match=r"1 stale \(first: agora-train-000000\)"):
        read_family(store, "skeleton")


def test_shards_made_otherwise_than_most_are_stale(store: Path) -> None:
    write_family(store, "features_x", numbered, facts={"weights_sha256": "a"})
    write_family(store, "features_x", numbered, facts={"weights_sha256": "b"}, shards=lambda s: s.startswith("agora"))
    covered = coverage(store, "features_x")
    assert {one.shard: one.state for one in covered.shards}["agora-train-000000"] == "stale"
    assert covered.facts == {"weights_sha256": "a"}


def test_a_followed_family_that_changed_makes_its_follower_stale(store: Path) -> None:
    write_family(store, "skeleton", numbered)
    write_family(store, "pose_space", numbered)
    folder = files.folder_of(store / "agora" / "train", "pose_space")
    found = files.read_manifest(folder, "agora-train-000000")
    assert found is not None
    inputs = {**found.inputs, "attributes/skeleton": "another"}
    table = files.read_attributes(folder, "agora-train-000000")
    files.write(folder, found.name, table, family="pose_space", inputs=inputs, code_sha256="made up", facts={})
    assert coverage(store, "pose_space").num_stale == 1


def test_a_damaged_manifest_is_missing_and_a_damaged_table_is_an_error(store: Path) -> None:
    write_family(store, "skeleton", numbered)
    folder = files.folder_of(store / "agora" / "train", "skeleton")
    table = folder / "agora-train-000000.parquet"
    content = bytearray(table.read_bytes())
    content[40] ^= 1
    table.write_bytes(bytes(content))
    with pytest.raises(StoreError, match="agora-train-000000"):
        read_family(store, "skeleton")
    (folder / "agora-train-000000.json").write_text("{}")
    assert coverage(store, "skeleton").num_missing == 1


def test_unknown_columns_are_named_beside_the_known(store: Path) -> None:
    write_family(store, "skeleton", numbered)
    with pytest.raises(
        UsageError, match=r"no column joints_mm\n  fix: choose among key, dataset, split, number, vector"
    ):
        read_family(store, "skeleton", ["joints_mm"])


def test_the_index_over_a_store(store: Path) -> None:
    table = read_index(store, ["frame", "split"])
    assert table.column_names == ["key", "dataset", "split", "shard", "frame"]
    assert table.num_rows == 9
    assert sorted(index_inputs(store))[0] == "index/agora-train-000000"
