"""Scene labels by the nearest prototype: known geometry, fitting, and what binds prototypes to a backbone."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_store import person, write_shard

from catalogs.attributes import engine, files, scene_features, scene_prototypes
from catalogs.attributes.family import Attribute, Family, Prepared, Rows, Scope
from catalogs.attributes.features import family as features_family
from catalogs.attributes.scene_prototypes import Prototypes
from harmonize.errors import StoreError, UsageError

WIDTH = 8
MEANS = {"arctic": 0, "h36m": 1, "mscoco": 1}


def vectors_by_number(rows: Rows, by_dataset: dict[str, int]) -> dict[str, Any]:
    """A direction for each dataset, with a little of its own for each sample; every fifth has no picture."""
    out = np.zeros((len(rows), WIDTH), np.float32)
    for row, (dataset, key) in enumerate(zip(rows.texts("dataset"), rows.texts("key"), strict=True)):
        number = int(key.split("-")[2])
        out[row, by_dataset[dataset]] = 10
        out[row, 2 + number % 5] = 1
        if number % 5 == 4:
            out[row] = np.nan
    return {"vector": out}


def prepared(facts: dict[str, Any], scope: Scope) -> Prepared:
    return Prepared(value=MEANS, facts=facts)


def stand_in(name: str = "features_stand_in_0a0a0a0a", **facts: Any) -> Family:
    """A family of image features without a network."""
    return Family(
        name=name,
        doc="",
        attributes=(Attribute(name="vector", unit="1", doc="", kind="half", size=WIDTH),),
        reads=(),
        compute=vectors_by_number,
        prepare=functools.partial(prepared, {"backbone": "stand-in", "weights_sha256": "0a", **facts}),
        is_wide=True,
    )


def run(store: Path, family: Family) -> int:
    pending = engine.plan(store, family).pending
    for job in pending:
        engine.run(job)
    return len(pending)


def scope_of(store: Path) -> Scope:
    names = {f"{path.stem}": path.parent for path in store.glob("*/*/*.tar")}
    return Scope(store=store, body_models=None, shards=names)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for dataset in MEANS:
        write_shard(tmp_path, [person(dataset, "train", number) for number in range(6)])
    run(tmp_path, stand_in())
    return tmp_path


def labels(store: Path, family: Family, dataset: str) -> list[dict[str, Any]]:
    folder = store / dataset / "train" / "attributes" / family.name
    rows: list[dict[str, Any]] = files.read_attributes(folder, f"{dataset}-train-000000").to_pylist()
    return rows


def test_cards_with_one_environment_label_all_others(store: Path) -> None:
    family = scene_features.family(stand_in())
    assert family.name == "scene_stand_in_0a0a0a0a"
    assert run(store, family) == 3
    found = {dataset: [row["environment"] for row in labels(store, family, dataset)] for dataset in MEANS}
    assert found["arctic"] == ["mocap-studio"] * 4 + [None, "mocap-studio"]
    assert found["mscoco"] == ["indoor"] * 4 + [None, "indoor"]
    row = labels(store, family, "mscoco")[4]
    assert (row["environment_confidence"], row["margin"]) == (None, None)


def test_confidence_and_margin_are_as_defined() -> None:
    prototypes = Prototypes(
        names=("a", "b", "c"), vectors=np.eye(3, dtype=np.float32), features="features_x", backbone={}
    )
    column = scene_features._compute("f", rows_of([[3, 4, 0], [0, 0, 0], [1, 1, 1]]), prototypes)
    cosines = np.array([0.6, 0.8, 0.0])
    expected = np.exp(cosines / 0.05) / np.exp(cosines / 0.05).sum()
    assert column["environment"].tolist()[:2] == ["b", None]
    assert column["environment_confidence"][0] == pytest.approx(expected[1], rel=1e-4)
    assert column["margin"][0] == pytest.approx(0.2, rel=1e-4)
    assert column["environment_confidence"][2] == pytest.approx(1 / 3, rel=1e-4)
    assert column["margin"][2] == pytest.approx(0, abs=1e-6)
    assert np.isnan(column["margin"][1])


def rows_of(vectors: list[list[float]]) -> Rows:
    import pyarrow as pa

    flat = np.array(vectors, np.float16)
    column = pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), flat.shape[1])
    return Rows(shard="s", table=pa.table({"key": ["k"] * len(flat)}), families={"f": pa.table({"vector": column})})


def test_each_dataset_counts_the_same_whatever_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_prototypes, "_environments", lambda: {"arctic": "x", "h36m": "y", "mscoco": "y"})
    write_shard(tmp_path, [person("arctic", "train", 0)])
    write_shard(tmp_path, [person("h36m", "train", 5 * number) for number in range(9)])
    write_shard(tmp_path, [person("mscoco", "train", 0)])
    features = stand_in()
    by_dataset = {"arctic": 0, "h36m": 1, "mscoco": 7}
    object.__setattr__(features, "prepare", functools.partial(_prepared_with, by_dataset))
    run(tmp_path, features)
    found = scene_prototypes.from_cards(scope_of(tmp_path), features)
    y = found.vectors[found.names.index("y")]
    assert y[1] == pytest.approx(y[7])
    assert np.linalg.norm(found.vectors, axis=1) == pytest.approx([1, 1])


def _prepared_with(by_dataset: dict[str, int], scope: Scope) -> Prepared:
    return Prepared(value=by_dataset, facts={"backbone": "stand-in"})


def test_prototypes_are_kept_so_a_changed_shard_is_the_only_one_labelled_again(store: Path) -> None:
    family = scene_features.family(stand_in())
    run(store, family)
    kept = sorted((store / "attributes" / "scene_prototypes").iterdir())
    assert {path.suffix for path in kept} == {".npz", ".json"}
    write_shard(store, [person("h36m", "train", 30 + number) for number in range(4)])
    run(store, stand_in())
    assert [job.shard for job in engine.plan(store, family).pending] == ["h36m-train-000000"]
    run(store, family)
    assert sorted((store / "attributes" / "scene_prototypes").iterdir()) == kept


def test_other_prototypes_make_all_labels_stale(store: Path) -> None:
    features = stand_in()
    family = scene_features.family(features)
    run(store, family)
    scope = scope_of(store)
    current, sha256 = scene_prototypes.current_or_fit(scope, features)
    swapped = Prototypes(
        names=current.names, vectors=current.vectors[::-1].copy(), features=features.name, backbone=current.backbone
    )
    assert scene_prototypes.put_into_use(scope, swapped, features) != sha256
    assert run(store, family) == 3
    assert labels(store, family, "arctic")[0]["environment"] == "indoor"


def test_prototypes_of_another_backbone_are_refused(store: Path) -> None:
    scope = scope_of(store)
    ours, other = stand_in(), stand_in("features_other_0b0b0b0b", weights_sha256="0b")
    found, _ = scene_prototypes.current_or_fit(scope, ours)
    with pytest.raises(
        UsageError, match=r"those of features_other_0b0b0b0b, found those of features_stand_in_0a0a0a0a"
    ):
        scene_prototypes.put_into_use(scope, found, other)
    with pytest.raises(UsageError, match=r"\(other view\)"):
        scene_prototypes.put_into_use(scope, found, stand_in(view="person"))
    assert scene_prototypes.current_or_fit(scope, stand_in(versions={"torch": "9"}))[0].names == found.names


def test_damaged_prototypes_are_refused(store: Path) -> None:
    scope = scope_of(store)
    scene_prototypes.current_or_fit(scope, stand_in())
    (path,) = (store / "attributes" / "scene_prototypes").glob("*.npz")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StoreError, match=r"stand_in_0a0a0a0a-[0-9a-f]{12}\.npz"):
        scene_prototypes.current_or_fit(scope, stand_in())


def test_one_environment_is_not_enough(tmp_path: Path) -> None:
    write_shard(tmp_path, [person("arctic", "train", 0)])
    write_shard(tmp_path, [person("mscoco", "train", 0)])
    with pytest.raises(UsageError, match=r"expected features_stand_in_0a0a0a0a of arctic-train-000000, found none"):
        scene_prototypes.from_cards(scope_of(tmp_path), stand_in())
    run(tmp_path, stand_in())
    with pytest.raises(UsageError, match=r"two environments or more .*found arctic \(mocap-studio\)"):
        scene_prototypes.from_cards(scope_of(tmp_path), stand_in())


def test_a_folder_of_pictures_makes_prototypes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    bases = {"forest": (20, 120, 30), "sea": (20, 40, 160)}
    for name, colour in bases.items():
        (tmp_path / "scenes" / name).mkdir(parents=True)
        for number in range(3):
            pixels = np.clip(np.array(colour) + rng.normal(0, 12, (60, 80, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "scenes" / name / f"{number}.jpg")
    features = features_family("random:test_vit")
    scope = Scope(store=tmp_path / "store", body_models=None, shards={})
    found = scene_prototypes.from_folder(tmp_path / "scenes", scope, features)
    assert found.names == ("forest", "sea")
    assert found.features == features.name
    sha256 = scene_prototypes.put_into_use(scope, found, features)
    again, digest = scene_prototypes.current_or_fit(scope, features)
    assert digest == sha256
    np.testing.assert_array_equal(again.vectors, found.vectors)
    (tmp_path / "scenes" / "empty").mkdir()
    with pytest.raises(UsageError, match="empty: expected pictures"):
        scene_prototypes.from_folder(tmp_path / "scenes", scope, features)
    with pytest.raises(UsageError, match="absent: expected a folder for each"):
        scene_prototypes.from_folder(tmp_path / "absent", scope, features)
