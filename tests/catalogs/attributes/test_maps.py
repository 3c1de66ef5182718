from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from small_attributes import vectors, write_family
from small_store import person, write_shard

import catalogs.store
from catalogs.attributes import files, maps
from catalogs.attributes.map_layout import UmapLimits, pca, place, umap_layout
from catalogs.attributes.map_sampling import choose, open_source
from harmonize.errors import StoreError, UsageError

DATASETS = ("agora", "bedlam", "pw3d")
QUICK = UmapLimits(n_neighbors=8, num_epochs=120)


def clusters(table: Any) -> dict[str, Any]:
    """Each dataset in a corner of its own."""
    rows = []
    for key, dataset in zip(table.column("key").to_pylist(), table.column("dataset").to_pylist(), strict=True):
        rng = np.random.default_rng(int(key.split("-")[2]))
        rows.append(np.eye(66)[7 * DATASETS.index(dataset)] + rng.normal(0, 0.02, 66))
    return {"joints_m": vectors(np.array(rows, np.float32))}


def features(table: Any) -> dict[str, Any]:
    """As `clusters`, in half precision; the pictures of bedlam were not ingested."""
    values = np.array(clusters(table)["joints_m"].to_pylist(), np.float16)
    values[np.array(table.column("dataset").to_pylist()) == "bedlam"] = np.nan
    return {"vector": vectors(values)}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for first, dataset in enumerate(DATASETS):
        for number in range(2):
            people = [person(dataset, "train", 100 * first + 50 * number + i) for i in range(20)]
            write_shard(tmp_path, people, number=number)
    return tmp_path


def coordinates(table: Any) -> Any:
    return np.column_stack([table.column("x").to_numpy(), table.column("y").to_numpy()])


def test_umap_keeps_clusters_apart_is_the_same_twice_and_takes_new_data(store: Path) -> None:
    write_family(store, "skeleton", clusters, facts={"body": "b"})
    table = maps.make_map(store, "poses", "skeleton", per_dataset=12, umap=QUICK)
    assert table.column_names == ["key", "dataset", "split", "x", "y", "is_placed"]
    assert table.num_rows == 36
    assert not any(table.column("is_placed").to_pylist())
    path = store / "attributes" / "map_poses.parquet"
    first = path.read_bytes()
    path.unlink()
    assert maps.make_map(store, "poses", "skeleton", per_dataset=12, umap=QUICK).equals(table)
    assert path.read_bytes() == first

    datasets = np.array(table.column("dataset").to_pylist())
    xy = coordinates(table)
    centres = {name: xy[datasets == name].mean(axis=0) for name in DATASETS}

    own = maps.placed(store, "poses", store, table.column("key").to_pylist())
    by_key = dict(zip(table.column("key").to_pylist(), xy, strict=True))
    for key, point in zip(own.column("key").to_pylist(), coordinates(own), strict=True):
        assert np.array_equal(point, by_key[key])

    whole = maps.place_on_map(store, "poses")
    assert whole.num_rows == 120
    assert sum(whole.column("is_placed").to_pylist()) == 84
    assert whole.slice(0, 36).equals(table)
    for dataset, point in zip(whole.column("dataset").to_pylist(), coordinates(whole), strict=True):
        assert min(centres, key=lambda name: float(np.linalg.norm(centres[name] - point))) == dataset
    facts = maps.map_facts(store, "poses")
    assert facts["umap"] == {"n_neighbors": 8, "min_dist": 0.1, "num_epochs": 120}
    assert facts["source_facts"] == {"body": "b"}
    assert facts["umap_version"]
    assert facts["metric"] == "euclidean"
    assert facts["result"]["num_samples"] == dict.fromkeys(DATASETS, 12)
    assert facts["result"]["placed"]["num"] == 84
    assert maps.make_map(store, "poses", "skeleton", per_dataset=12, umap=QUICK).num_rows == 120
    assert maps.place_on_map(store, "poses", [own.column("key")[0].as_py()]).num_rows == 36


def test_umap_takes_few_samples_with_fewer_neighbours(tmp_path: Path) -> None:
    write_shard(tmp_path, [person("pw3d", "train", i) for i in range(4)])
    write_family(tmp_path, "features_tiny", features)
    assert maps.make_map(tmp_path, "few", "features_tiny", umap=QUICK).num_rows == 4
    assert maps.map_facts(tmp_path, "few")["result"]["n_neighbors"] == 3
    assert maps.map_facts(tmp_path, "few")["metric"] == "cosine"


def test_maps_of_a_store_show_the_same_samples(store: Path) -> None:
    write_family(store, "skeleton", clusters)
    one = maps.make_map(store, "poses", "skeleton", method="pca", per_dataset=5)
    other = maps.make_map(store, "views", "orientation", method="pca", per_dataset=5)
    assert one.column("key").equals(other.column("key"))
    assert maps.maps_in(store) == ["poses", "views"]
    reseeded = maps.make_map(store, "poses", "skeleton", method="pca", per_dataset=5, seed=1)
    assert not reseeded.column("key").equals(one.column("key"))
    assert set(one.column("dataset").to_pylist()) == set(DATASETS)


def test_orientation_is_the_rotation_matrix(tmp_path: Path) -> None:
    angles = (np.pi - 0.01, -np.pi + 0.01, 0.0, 0.1, 0.2)
    people = [person("pw3d", "train", i, global_orient_aa=(0, angle, 0)) for i, angle in enumerate(angles)]
    write_shard(tmp_path, people)
    table = maps.make_map(tmp_path, "views", "orientation", method="pca")
    xy = coordinates(table)
    assert np.linalg.norm(xy[0] - xy[1]) < 0.05 < 1 < np.linalg.norm(xy[0] - xy[2])


def test_a_map_is_made_again_only_when_its_input_changed(store: Path) -> None:
    write_family(store, "skeleton", clusters)
    maps.make_map(store, "poses", "skeleton", method="pca", per_dataset=5)
    manifest = store / "attributes" / "map_poses.json"
    before = manifest.stat().st_mtime_ns
    maps.make_map(store, "poses", "skeleton", method="pca", per_dataset=5)
    assert manifest.stat().st_mtime_ns == before
    write_shard(store, [person("agora", "train", 10)], number=1)
    with pytest.raises(UsageError, match="1 stale"):
        maps.make_map(store, "poses", "skeleton", method="pca", per_dataset=5)
    write_family(store, "skeleton", clusters)
    assert maps.make_map(store, "poses", "skeleton", method="pca", per_dataset=30).num_rows == 81


def test_a_kept_map_takes_new_data_and_moves_no_point(store: Path) -> None:
    write_family(store, "skeleton", clusters)
    before = maps.keep_map(store, "kept", "skeleton", method="pca")
    assert maps.keep_map(store, "kept", "skeleton", method="pca").equals(before)
    new = [person("pw3d", "test", 900 + number) for number in range(5)]
    write_shard(store, new)
    write_family(store, "skeleton", clusters)
    after = maps.keep_map(store, "kept", "skeleton", method="pca")
    assert after.slice(0, before.num_rows).equals(before)
    assert after.slice(before.num_rows).column("key").to_pylist() == [one.key for one in new]
    assert set(after.slice(before.num_rows).column("is_placed").to_pylist()) == {True}
    assert maps.keep_map(store, "kept", "skeleton", method="pca").equals(after)
    assert not any(maps.make_map(store, "kept", "skeleton", method="pca").column("is_placed").to_pylist())


def test_datasets_without_vectors_are_left_out_and_said_so(store: Path) -> None:
    write_family(store, "features_a", features)
    table = maps.make_map(store, "pictures", "features_a", method="pca", per_dataset=5)
    assert set(table.column("dataset").to_pylist()) == {"agora", "pw3d"}
    result = maps.map_facts(store, "pictures")["result"]
    assert (result["left_out"], result["num_without_vector"]) == (["bedlam"], {"bedlam": 40})
    with pytest.raises(UsageError, match=r"1 of 1 samples are not there, or have no features_a \(first: bedlam"):
        maps.place_on_map(store, "pictures", ["bedlam-train-00100-0"])
    write_shard(store, [person("bedlam", "train", i) for i in range(3)])
    other = store.parent / "other"
    write_shard(other, [person("bedlam", "train", i) for i in range(9)])
    write_family(other, "features_a", features)
    with pytest.raises(UsageError, match="at least 3 samples with features_a, found 0"):
        maps.make_map(other, "pictures", "features_a", method="pca")
    assert not (other / "attributes").exists()


def test_pca_places_new_data_by_projection_also_from_another_store(store: Path, tmp_path: Path) -> None:
    write_family(store, "skeleton", clusters)
    table = maps.make_map(store, "quick", "skeleton", method="pca", per_dataset=10)
    other = tmp_path / "other"
    write_shard(other, [person("pw3d", "test", i) for i in range(200, 206)])
    write_family(other, "skeleton", clusters)
    points = coordinates(maps.placed(store, "quick", other))
    centre = coordinates(table)[20:].mean(axis=0)
    assert np.abs(points - centre).max() < 0.2 < np.abs(coordinates(table)[:20] - centre).max()
    own = maps.placed(store, "quick", store, table.column("key").to_pylist())
    assert np.allclose(sorted(coordinates(own).tolist()), sorted(coordinates(table).tolist()), atol=1e-6)


def test_two_backbones_are_never_mixed(store: Path) -> None:
    write_family(store, "features_a", features, facts={"backbone": "a", "weights_sha256": "1" * 64, "versions": "x"})
    write_family(store, "features_b", features, facts={"backbone": "b", "weights_sha256": "2" * 64})
    maps.make_map(store, "pictures", "features_a", method="pca", per_dataset=5)
    before = (store / "attributes" / "map_pictures.json").read_bytes()
    both = r"features_a \(backbone a, weights_sha256 1{16}\).* features_b \(backbone b, weights_sha256 2{16}\)"
    with pytest.raises(UsageError, match=both):
        maps.make_map(store, "pictures", "features_b", method="pca", per_dataset=5)
    write_family(store, "features_a", features, facts={"backbone": "a", "weights_sha256": "3" * 64})
    with pytest.raises(UsageError, match=r"expected vectors made by features_a .*1{16}\), found features_a .*3{16}\)"):
        maps.place_on_map(store, "pictures")
    assert (store / "attributes" / "map_pictures.json").read_bytes() == before
    write_family(store, "features_a", features, facts={"backbone": "a", "weights_sha256": "1" * 64, "versions": "y"})
    assert maps.place_on_map(store, "pictures").num_rows == 80
    maps.make_map(store, "pictures", "features_b", method="pca", per_dataset=5, replace=True)
    assert maps.map_facts(store, "pictures")["source"] == "features_b"


def test_vectors_of_another_making_are_not_used(store: Path) -> None:
    write_family(store, "skeleton", clusters)
    maps.make_map(store, "one", "skeleton", method="pca", per_dataset=5)
    maps.make_map(store, "two", "skeleton", method="pca", per_dataset=6)
    for suffix in (".parquet", ".json"):
        (store / "attributes" / f"vectors_of_map_one{suffix}").write_bytes(
            (store / "attributes" / f"vectors_of_map_two{suffix}").read_bytes()
        )
    with pytest.raises(StoreError, match="not those it was made of"):
        maps.place_on_map(store, "one")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "Über", "source": "orientation"}, "cannot name a map"),
        ({"name": "x__y", "source": "orientation"}, "cannot name a map"),
        ({"name": "x", "source": "orientatoin"}, "no map of 'orientatoin'"),
        ({"name": "x", "source": "skeleton"}, r"found 6 missing .*\n  fix: ehps describe .* --attributes skeleton"),
        ({"name": "x", "source": "features_a"}, r"\n  fix: ehps describe .* --backbone a"),
        ({"name": "x", "source": "orientation", "method": "tsne"}, "no method 'tsne'"),
        ({"name": "x", "source": "orientation", "metric": "manhattan"}, "no metric 'manhattan'"),
    ],
)
def test_wrong_requests(store: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        maps.make_map(store, **arguments)
    assert not (store / "attributes").exists()


def test_a_catalog_has_maps_and_other_tables(store: Path) -> None:
    maps.make_map(store, "views", "orientation", method="pca", per_dataset=5)
    con = catalogs.store.open(store)
    answer = catalogs.store.query(con, "SELECT map, dataset, count(*) FROM maps GROUP BY ALL ORDER BY ALL")
    assert [tuple(row) for row in answer.rows] == [("views", dataset, 5) for dataset in DATASETS]
    con.close()


def test_an_unknown_map_is_named_beside_the_known(store: Path) -> None:
    maps.make_map(store, "views", "orientation", method="pca")
    with pytest.raises(UsageError, match="no map 'view', there are: views"):
        maps.read_map(store, "view")


def test_pca_is_signed_and_survives_what_has_no_spread() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, [5, 2, 0.1], (50, 3))
    mean, directions, shares = pca(values)
    assert np.allclose(np.abs(directions), [[1, 0, 0], [0, 1, 0]], atol=0.1)
    assert (directions.max(axis=1) > 0.9).all()
    assert shares[0] > shares[1] > 0.05
    assert np.allclose(mean, values.mean(axis=0))
    assert not pca(np.ones((4, 3)))[1].any()
    line = pca(np.arange(4.0)[:, None] * [[0, -2.0, 0]])
    assert np.allclose(line[1], [[0, 1, 0], [0, 0, 0]])
    assert np.allclose(line[2], [1, 0])


def test_weights_of_neighbours_fall_with_distance() -> None:
    samples, points = np.array([[0.0], [1.0], [2.0], [50.0]]), np.array([[0.0, 0], [1, 0], [2, 0], [50, 0]])
    placed = place(np.array([[0.1], [1.5], [2.0], [60.0]]), samples, points, "euclidean", 3)
    assert placed[0, 0] < 0.9
    assert 0.8 < placed[1, 0] < 1.6
    assert placed[2, 0] == 2
    assert place(np.array([[49.0]]), samples, points, "euclidean", 1)[0, 0] == 50


def test_umap_takes_samples_that_are_all_alike() -> None:
    assert np.isfinite(umap_layout(np.ones((6, 4), np.float32), "cosine", QUICK, 3, 0)).all()


def test_the_choice_is_by_hash_whatever_the_shards(store: Path, tmp_path: Path) -> None:
    together = tmp_path / "together"
    for first, dataset in enumerate(DATASETS):
        numbers = [100 * first + 50 * number + i for number in range(2) for i in range(20)]
        write_shard(together, [person(dataset, "train", i) for i in reversed(numbers)])
    one, other = (choose(open_source(path, "orientation"), 7, 3) for path in (store, together))
    assert one.identity.equals(other.identity)
    assert np.array_equal(one.vectors, other.vectors)
    assert one.identity.num_rows == 21
    assert isinstance(one.identity, pa.Table)


def test_stored_vectors_keep_their_own_precision(store: Path) -> None:
    write_family(store, "features_a", features)
    maps.make_map(store, "pictures", "features_a", method="pca", per_dataset=5)
    table = files.read_attributes(files.store_folder(store), "vectors_of_map_pictures")
    assert table.schema.field("vector").type.value_type == pa.float16()
