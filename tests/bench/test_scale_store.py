"""The synthetic store is what the catalog takes for a real one, and its numbers follow from one another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scale_people import draw, looking_from
from scale_store import index, jobs, write_store
from scale_worlds import NUM_INSTANCES, sizes, worlds

from catalogs import store as catalog
from harmonize.geometry.cameras import project
from harmonize.geometry.rotations import rotmat_to_aa
from harmonize.shards.index import INDEX_SCHEMA, read_table
from harmonize.shards.names import INDEX

NUM_ROWS = 640


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synthetic") / "store"
    write_store(path, NUM_ROWS, seed=3)
    return path


def test_the_catalog_finds_every_dataset_and_row(synthetic: Path) -> None:
    with catalog.open(synthetic) as con:
        found = dict(catalog.query(con, "SELECT dataset, num_samples FROM datasets").rows)
        counted = dict(catalog.query(con, "SELECT dataset, count(DISTINCT key) FROM instances GROUP BY ALL").rows)
    assert found == counted == sizes(NUM_ROWS)
    assert sum(found.values()) == NUM_ROWS


def test_the_tables_are_of_the_present_layout(synthetic: Path) -> None:
    paths = [path for path in synthetic.rglob(f"*{INDEX}") if ".rejects" not in path.name]
    assert len(paths) == len(NUM_INSTANCES)
    for path in paths:
        read_table(path, INDEX_SCHEMA)


def test_sizes_are_in_proportion() -> None:
    found = sizes(4_500_000)
    assert sum(found.values()) == 4_500_000
    assert found["dna_rendering"] / found["bedlam"] == pytest.approx(3_991_950 / 951_066, rel=1e-3)
    assert found["ssp3d"] >= 1
    with pytest.raises(ValueError, match="at least 32"):
        sizes(31)


def test_one_seed_gives_the_same_bytes_whatever_the_number_of_processes(synthetic: Path, tmp_path: Path) -> None:
    write_store(tmp_path / "again", NUM_ROWS, seed=3, num_workers=2)
    write_store(tmp_path / "other", NUM_ROWS, seed=4)
    files = [path.relative_to(synthetic) for path in sorted(synthetic.rglob("*")) if path.is_file()]
    assert all((synthetic / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)
    index_file = next(file for file in files if file.name.startswith("bedlam") and file.suffix == INDEX)
    assert (synthetic / index_file).read_bytes() != (tmp_path / "other" / index_file).read_bytes()


def test_a_body_is_seen_from_where_it_was_drawn(synthetic: Path) -> None:
    azimuth, elevation = np.array([0.0, 90, -120, 30]), np.array([0.0, 20, -60, 84])
    aa = rotmat_to_aa(looking_from(azimuth, elevation, np.array([0.0, 5, -5, 0])))
    sql = "SELECT view_azimuth_deg($aa), view_elevation_deg($aa)"
    with catalog.open(synthetic) as con:
        found = [catalog.query(con, sql, {"aa": one.tolist()}).rows[0] for one in aa]
    np.testing.assert_allclose(found, np.stack([azimuth, elevation], axis=1), atol=1e-6)
    np.testing.assert_allclose(aa[0], [np.pi, 0, 0], atol=1e-9)


def test_points_and_boxes_follow_from_the_body() -> None:
    world = next(one for one in worlds(45_000, 0) if one.name == "bedlam")
    people = draw(world, 0, 0, 200)
    joints_m = people["keypoints_joints3d_cam_m"][:, :55, :3]
    pixels = project(joints_m, people["camera_focal_px"], people["camera_principal_point_px"])
    given = people["keypoints_joints2d_px"][:, :55]
    seen = given[..., 2] > 0
    assert 0.3 < seen.mean() < 1
    assert np.abs(pixels - given[..., :2])[seen].max() <= 0.51
    box = people["boxes_person_xywh_px"]
    np.testing.assert_allclose(box[:, :2], pixels.min(axis=1), atol=0.51)
    assert np.abs(joints_m[:, 0] - people["body_transl_m"]).max() < 1 / 256


def test_pictures_are_shared_where_a_dataset_has_several_people_in_one() -> None:
    by_name = {world.name: world for world in worlds(45_000, 0)}
    crowd, alone = (index(by_name[name], draw(by_name[name], 0, 0, 100), 100) for name in ("mscoco", "arctic"))
    paths, hashes = (crowd.column(name).to_pylist() for name in ("image_path", "image_sha256"))
    assert len(set(paths)) == len(set(hashes)) < 100
    assert len(set(zip(paths, hashes, strict=True))) == len(set(paths))
    assert len(set(alone.column("image_path").to_pylist())) == 100


def test_datasets_differ_and_keep_their_looks_at_any_size() -> None:
    small, large = (worlds(rows, 0) for rows in (NUM_ROWS, 45_000))
    assert all((a.views == b.views).all() for a, b in zip(small, large, strict=True))
    assert len({one.hand_scale for one in large}) == len(large)


def test_shards_hold_a_thousand_rows(tmp_path: Path) -> None:
    todo = [job for job in jobs(tmp_path, 45_000, 0) if job.world.name == "dna_rendering"]
    assert [job.first for job in todo] == list(range(0, len(todo) * 1000, 1000))
    assert {job.num for job in todo[:-1]} == {1000}
    assert sum(job.num for job in todo) == todo[0].world.num_rows
