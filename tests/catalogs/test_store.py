"""The catalog: what is visible, what the macros compute, and what a query can never do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from small_store import person, write_shard

from catalogs.store import Table, named_query, open, pool, query
from harmonize.annotation import Reject
from harmonize.errors import StoreError, UsageError
from harmonize.layout import LAYOUT
from harmonize.record import Provenance

ROOT = Path(__file__).resolve().parents[2]
CROWD = Reject(reason="crowd", provenance=Provenance(dataset="pw3d", split="train"), numbers={"iou": 0.9})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three finished shards of two datasets under a path that has to be quoted."""
    folder = tmp_path_factory.mktemp("it's a störe [1] {a} * ?")
    write_shard(folder, [person("pw3d", "train", i) for i in range(4)], rejects=[CROWD])
    write_shard(folder, [person("pw3d", "train", i) for i in range(4, 7)], number=1)
    write_shard(folder, [person("agora", "validation", i) for i in range(3)])
    return folder


@pytest.fixture(scope="module")
def con(store: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with open(store) as connection:
        yield connection


def test_views_hold_the_whole_store(con: duckdb.DuckDBPyConnection) -> None:
    assert query(con, "SELECT dataset, split, count(*) FROM instances GROUP BY ALL ORDER BY ALL").rows == (
        ("agora", "validation", 3),
        ("pw3d", "train", 7),
    )
    assert query(con, "SELECT key, shard FROM instances ORDER BY key LIMIT 1").rows == (
        ("agora-validation-00000-0", "agora-validation-000000"),
    )
    assert query(con, "SELECT reason, stage, numbers['iou'], shard FROM rejects").rows == (
        ("crowd", "gate", 0.9, "pw3d-train-000000"),
    )
    columns = "dataset, split, num_shards, num_samples, num_rejects, is_standin"
    assert query(con, f"SELECT {columns} FROM datasets ORDER BY dataset").rows == (
        ("agora", "validation", 1, 3, 0, True),
        ("pw3d", "train", 2, 7, 1, True),
    )


def test_instances_have_a_column_for_every_field_of_the_layout(con: duckdb.DuckDBPyConnection) -> None:
    columns = set(query(con, "SELECT * FROM records LIMIT 0").columns)
    assert {column.name.replace(".", "_") for column in LAYOUT} <= columns
    assert {"key", "sequence", "evidence_reprojection_px", "npy_offset", "npy_size", "shard"} <= columns


def test_values_are_those_of_the_record(con: duckdb.DuckDBPyConnection) -> None:
    expected = person("agora", "validation", 1)
    fields = "body_betas, body_body_pose_aa, body_has_betas, camera_focal_px, boxes_person_origin, image_width_px"
    (row,) = query(con, f"SELECT {fields} FROM records WHERE key = $key", {"key": expected.key}).rows
    assert np.array_equal(np.float32(row[0]), expected.body.betas)
    assert np.array_equal(np.float32(row[1]), expected.body.body_pose_aa.reshape(-1))
    assert row[2:] == (True, [300.0, 300.0], "keypoints", 160)


def test_pool_names_sources_and_shards_of_training_splits_only(con: duckdb.DuckDBPyConnection) -> None:
    train, both = pool(con), pool(con, splits=("train", "validation"))
    assert [(source.name, source.num_available) for source in train.sources] == [("pw3d/train", 7)]
    assert [ref.shard for ref in train.shards] == ["pw3d-train-000000", "pw3d-train-000001"]
    assert [source.name for source in both.sources] == ["agora/validation", "pw3d/train"]
    assert both.shards[0].shard == "agora-validation-000000"
    assert all(len(ref.digest) == 64 for ref in both.shards)
    with pytest.raises(UsageError, match="splits test, found agora/validation, pw3d/train"):
        pool(con, splits=("test",))


# What is finished, and only that


def test_shard_without_manifest_is_invisible(tmp_path: Path) -> None:
    write_shard(tmp_path, [person("pw3d", "train", 0)])
    write_shard(tmp_path, [person("pw3d", "train", i) for i in (1, 2)], number=1, with_manifest=False)
    folder = tmp_path / "pw3d" / "train"
    (folder / "pw3d-train-000002.parquet").write_bytes(b"PAR1 half of a fi")
    (folder / ".tmp-1-x").mkdir()
    (folder / ".tmp-1-x" / "pw3d-train-000003.json").write_text("{")
    with open(tmp_path) as con:
        assert query(con, "SELECT count(*) FROM instances").rows == ((1,),)
        # A shard that is finished later belongs to the next catalog.
        write_shard(tmp_path, [person("pw3d", "train", i) for i in (1, 2)], number=1)
        assert query(con, "SELECT count(*) FROM instances").rows == ((1,),)
    with open(tmp_path) as con:
        assert query(con, "SELECT count(*) FROM instances").rows == ((3,),)


def test_several_stores_are_one_catalog(tmp_path: Path, store: Path) -> None:
    write_shard(tmp_path, [person("bedlam", "train", 0)], is_standin=False)
    with open([store, tmp_path]) as con:
        assert query(con, "SELECT count(*), count(DISTINCT dataset) FROM instances").rows == ((11, 3),)
        assert query(con, "SELECT store FROM shards WHERE NOT is_standin").rows == ((str(tmp_path),),)


def test_name_of_a_store_is_no_pattern(tmp_path: Path) -> None:
    for i, name in enumerate(("a?b", "aXb", "a[X]b", "a*b")):
        write_shard(tmp_path / name, [person("pw3d", "train", i)])
    for i, name in enumerate(("a?b", "aXb", "a[X]b", "a*b")):
        with open(tmp_path / name) as con:
            assert query(con, "SELECT frame FROM instances").rows == ((f"{i:05d}",),)


def test_same_shard_in_two_stores_is_refused(tmp_path: Path, store: Path) -> None:
    shutil.copytree(store, tmp_path / "copy")
    with pytest.raises(UsageError, match="agora-validation-000000 is in two stores"):
        open([store, tmp_path / "copy"])


def test_empty_store_and_missing_store_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no finished shard[\s\S]*fix: ehps ingest"):
        open(tmp_path)
    with pytest.raises(UsageError, match="expected the folder of a store"):
        open(tmp_path / "nothing")


def test_altered_or_misplaced_manifest_is_an_error_and_not_a_gap(tmp_path: Path) -> None:
    name = write_shard(tmp_path, [person("pw3d", "train", 0)])
    manifest = tmp_path / "pw3d" / "train" / f"{name}.json"
    shutil.copy(manifest, manifest.with_name("pw3d-train-000009.json"))
    with pytest.raises(StoreError, match=r"000009.json: expected the manifest of this shard"):
        open(tmp_path)
    manifest.with_name("pw3d-train-000009.json").unlink()
    manifest.write_bytes(manifest.read_bytes().replace(b'"num_samples": 1', b'"num_samples": 2'))
    with pytest.raises(StoreError, match=name):
        open(tmp_path)


def test_index_that_vanishes_or_breaks_is_a_store_error(tmp_path: Path) -> None:
    name = write_shard(tmp_path, [person("pw3d", "train", 0)])
    index = tmp_path / "pw3d" / "train" / f"{name}.parquet"
    with open(tmp_path) as con:
        index.unlink()
        with pytest.raises(StoreError, match="cannot be read"):
            query(con, "SELECT count(key) FROM instances")
    index.write_bytes(b"nonsense")
    with pytest.raises(StoreError, match=name):
        open(tmp_path)


# Safety


REFUSED = [
    "COPY (SELECT 1) TO '{folder}/x.csv'",
    "COPY (SELECT 1 AS x) TO '{index}' (FORMAT parquet, USE_TMP_FILE false)",
    "EXPLAIN ANALYZE COPY (SELECT 1 AS x) TO '{index}' (FORMAT parquet, USE_TMP_FILE false)",
    "COPY shards FROM '/etc/passwd'",
    "SELECT * FROM read_csv('/etc/passwd', header = false)",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM read_blob('{manifest}')",
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "ATTACH '{folder}/x.db'",
    "ATTACH ':memory:' AS other",
    "INSTALL httpfs",
    "LOAD httpfs",
    "EXPORT DATABASE '{folder}/x'",
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "SET temp_directory = '{folder}'",
    "RESET lock_configuration",
    "CREATE TABLE x AS SELECT 1",
    "CREATE OR REPLACE VIEW instances AS SELECT 1",
    "DROP VIEW instances",
    "DELETE FROM shards",
    "PRAGMA database_list",
    "SELECT 1; DROP VIEW instances",
    "SELECT * FROM secret",
    "",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_query_cannot_write_or_leave_the_store(store: Path, con: duckdb.DuckDBPyConnection, sql: str) -> None:
    secret = Table(("a variable of the program",), ())
    assert secret.columns
    index = store / "pw3d" / "train" / "pw3d-train-000000.parquet"
    before = {path: path.read_bytes() for path in sorted(store.rglob("*")) if path.is_file()}
    quoted = {"folder": store, "index": index, "manifest": index.with_suffix(".json")}
    with pytest.raises(UsageError):
        query(con, sql.format(**{name: str(path).replace("'", "''") for name, path in quoted.items()}))
    assert {path: path.read_bytes() for path in sorted(store.rglob("*")) if path.is_file()} == before
    assert query(con, "SELECT count(*) FROM instances").rows == ((10,),)


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{folder}/x.csv'",
        "SELECT * FROM read_csv('/etc/passwd', header = false)",
        "ATTACH '{folder}/x.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
    ],
)
def test_the_connection_itself_is_locked(tmp_path: Path, con: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(duckdb.Error):
        con.execute(sql.format(folder=tmp_path))


def test_unlocked_connection_can_export(tmp_path: Path, store: Path) -> None:
    with open(store, read_only=False) as con:
        con.execute(f"COPY (SELECT key FROM instances) TO '{tmp_path / 'keys.csv'}'")
    assert len((tmp_path / "keys.csv").read_text().splitlines()) == 11


def test_wrong_sql_is_a_usage_error(con: duckdb.DuckDBPyConnection) -> None:
    for sql in ("SELEC 1", "SELECT nothing FROM instances", "SELECT $a", "SELECT 'x'::INTEGER"):
        with pytest.raises(UsageError, match="query: "):
            query(con, sql)


def test_parameters_are_bound_not_pasted(con: duckdb.DuckDBPyConnection) -> None:
    hostile = "'; DROP VIEW instances; --"
    assert query(con, "SELECT $1 AS name", [hostile]).rows == ((hostile,),)


# Named queries


def test_unknown_named_query_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="expected one of @attribute_coverage, "):
        named_query("nothing")


def views(aa: np.ndarray) -> tuple[tuple[float, float], ...]:
    con = duckdb.connect()
    con.execute((ROOT / "catalogs" / "sql" / "rotations.sql").read_text())
    rows = con.execute(
        "SELECT view_azimuth_deg(r), view_elevation_deg(r) FROM (SELECT unnest($rows::DOUBLE[][]) AS r)",
        {"rows": aa.tolist()},
    ).fetchall()
    con.close()
    return tuple(rows)


FRONT = Rotation.from_rotvec([np.pi, 0, 0])


@pytest.mark.parametrize(
    ("turn", "azimuth", "elevation"),
    [
        ([0, 0, 0], 0, 0),
        # The body turns about its own vertical axis (+y); to its left by 90 degrees it shows its right side.
        ([0, 90, 0], -90, 0),
        ([0, -90, 0], 90, 0),
        ([0, 180, 0], 180, 0),
        # It bows towards the camera (+z goes to -y): the camera sees the head.
        ([90, 0, 0], 0, 90),
        ([-90, 0, 0], 0, -90),
        ([30, 0, 0], 0, 30),
        # A roll in the picture plane changes neither.
        ([0, 0, 70], 0, 0),
    ],
)
def test_view_of_known_poses(turn: list[float], azimuth: float, elevation: float) -> None:
    """FRONT maps body to camera; a turn about a body axis happens before it."""
    aa = (FRONT * Rotation.from_rotvec(np.radians(turn))).as_rotvec()
    ((found_azimuth, found_elevation),) = views(aa[None])
    assert found_elevation == pytest.approx(elevation, abs=1e-6)
    if abs(elevation) < 89:
        assert (found_azimuth - azimuth + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1e-9, 1e-5, 1e-3, 1.0, 2 * np.pi]))
def test_rotation_macros_agree_with_scipy(seed: int, scale: float) -> None:
    aa = np.random.default_rng(seed).uniform(-1, 1, (20, 3)) * scale
    rotmat = Rotation.from_rotvec(aa).as_matrix()
    con = duckdb.connect()
    con.execute((ROOT / "catalogs" / "sql" / "rotations.sql").read_text())
    rows = con.execute(
        "SELECT aa_row3_x(r), aa_row3_y(r), aa_row3_z(r), aa_angle_deg(r), aa_bend_deg(r, 1), aa_bend_deg(r, 2) "
        "FROM (SELECT unnest($rows::DOUBLE[][]) AS r)",
        {"rows": aa.tolist()},
    ).fetchnumpy()
    found = np.stack([np.asarray(column) for column in rows.values()], axis=1)
    con.close()
    angle = np.degrees(Rotation.from_matrix(rotmat).magnitude())
    bends = [
        np.degrees(np.arctan2(np.linalg.norm(np.delete(rotmat[:, :, k], k, axis=1), axis=1), rotmat[:, k, k]))
        for k in (0, 1)
    ]
    assert np.allclose(found[:, :3], rotmat[:, 2], atol=1e-12)
    assert np.allclose(found[:, 3:], np.stack([angle, *bends], axis=1), atol=1e-6)


def test_even_views_give_a_flat_orientation_histogram(tmp_path: Path) -> None:
    rotations = Rotation.random(1080, random_state=0)
    people = [
        replace(person("pw3d", "train", i, global_orient_aa=aa), key=f"k{i}")
        for i, aa in enumerate(rotations.as_rotvec())
    ]
    people = [replace(one, image=replace(one.image, has_pixels=False)) for one in people]
    write_shard(tmp_path, people)
    with open(tmp_path) as con:
        table = query(
            con, "SELECT num_instances, share FROM orientation_histogram(num_azimuth := 6, num_elevation := 3)"
        )
    counts = [row[0] for row in table.rows]
    assert len(counts) == 18
    assert sum(counts) == 1080
    assert sum(row[1] for row in table.rows) == pytest.approx(1)
    # 60 expected in each cell of equal area; five standard deviations.
    assert all(abs(count - 60) < 5 * np.sqrt(60) for count in counts)


def test_flexion_is_that_of_the_hinge_and_not_of_the_twist(tmp_path: Path) -> None:
    pose = np.zeros((21, 3), np.float32)
    pose[3], pose[4] = [np.radians(95), 0, 0], [0, np.radians(60), 0]  # left knee bent, right shin only twisted
    pose[17], pose[18] = [np.radians(120), 0, 0], [0, 0, np.radians(42)]  # left forearm twisted, right elbow bent
    one = person("pw3d", "train", 0)
    write_shard(tmp_path, [replace(one, body=replace(one.body, body_pose_aa=pose))])
    with open(tmp_path) as con:
        table = query(con, "SELECT joint, from_deg, num_joints, share FROM flexion_histogram(bin_deg := 10)")
    assert table.rows == (("elbow", 0, 1, 0.5), ("elbow", 40, 1, 0.5), ("knee", 0, 1, 0.5), ("knee", 90, 1, 0.5))


def test_joint_angles_are_per_joint(tmp_path: Path) -> None:
    pose = np.zeros((21, 3), np.float32)
    pose[11] = [0, np.radians(30), 0]
    one, two = person("pw3d", "train", 0), person("pw3d", "train", 1)
    straight = replace(two, body=replace(two.body, body_pose_aa=np.zeros((21, 3), np.float32)))
    write_shard(tmp_path, [replace(one, body=replace(one.body, body_pose_aa=pose)), straight])
    with open(tmp_path) as con:
        rows = query(con, "SELECT joint, mean_deg FROM joint_angles() WHERE mean_deg > 0").rows
    assert [row[0] for row in rows] == ["neck"]
    assert rows[0][1] == pytest.approx(15, abs=1e-4)


# Import path


def loaded_modules(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


def test_query_path_does_not_import_torch() -> None:
    loaded = loaded_modules("import catalogs.store, catalogs.selection")
    assert "duckdb" in loaded
    assert loaded.isdisjoint({"torch", "scipy", "prefect", "pyarrow", "pandas", "matplotlib"})


def test_proposers_do_not_import_torch() -> None:
    loaded = loaded_modules("import benchmark.proposers")
    assert loaded.isdisjoint({"torch", "scipy", "prefect", "pandas", "matplotlib"})


def test_an_import_of_torch_would_be_seen() -> None:
    assert "torch" in loaded_modules("import catalogs.store, torch")
