"""What the views of a catalog hold, what wrong names are answered with, and the named queries against plain Python."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_attributes import describe, write_family, write_store_table
from small_store import person, write_shard

import catalogs
from catalogs import file
from catalogs.attributes import FAMILIES, files
from catalogs.columns import RECORDS_ONLY, beside
from catalogs.selection import Budget, select
from catalogs.store import named_queries, open, pool, query, stream
from harmonize.errors import StoreError, UsageError
from harmonize.shards.index import INDEX_SCHEMA

ROOT = Path(__file__).resolve().parents[2]
NARROW = sorted(name for name, family in FAMILIES.items() if not family.is_wide)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three datasets with every family, a family that the code does not know, and tables over the store."""
    folder = tmp_path_factory.mktemp("it's a store")
    for dataset, split, num in (("pw3d", "train", 9), ("agora", "validation", 7), ("bedlam", "train", 8)):
        write_shard(folder, [person(dataset, split, i) for i in range(num)])
    write_shard(folder, [person("pw3d", "train", i) for i in range(9, 12)], number=1)
    describe(folder)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(18).astype(np.float16)), 2)
    write_family(folder / "pw3d" / "train", "pw3d-train-000000", "features_tiny", columns={"vector": vectors})
    pairs = {"kind": ["appearance"], "key_a": ["a"], "dataset_a": ["pw3d"], "key_b": ["b"], "dataset_b": ["agora"]}
    write_store_table(folder, "duplicates", {**pairs, "similarity": [0.9]})
    write_store_table(folder, "overlaps", {"kind": ["picture"], "dataset_a": ["a"], "dataset_b": ["b"], "num": [3]})
    for name in ("pose", "orientation"):
        points = {"key": ["k"], "dataset": ["pw3d"], "split": ["train"], "x": [0.5], "y": [1.5]}
        write_store_table(folder, f"map_{name}", points)
    return folder


@pytest.fixture(scope="module", params=["from shards", "from the file"])
def con(store: Path, request: pytest.FixtureRequest) -> Iterator[duckdb.DuckDBPyConnection]:
    if request.param == "from the file":
        file.refresh(store)
    with open(store) as connection:
        yield connection


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A store without any attributes."""
    write_shard(tmp_path, [person("pw3d", "train", i) for i in range(3)])
    with open(tmp_path) as connection:
        yield connection


def columns_of(con: duckdb.DuckDBPyConnection, view: str) -> list[str]:
    return [row[0] for row in query(con, f"DESCRIBE {view}").rows]


def test_records_have_every_column_of_the_index_and_instances_all_but_the_long_ones(
    con: duckdb.DuckDBPyConnection,
) -> None:
    assert columns_of(con, "records") == [*INDEX_SCHEMA.names, "shard"]
    assert columns_of(con, "instances") == [*(n for n in INDEX_SCHEMA.names if n not in RECORDS_ONLY), "shard"]
    for name, kind in zip(INDEX_SCHEMA.names, INDEX_SCHEMA.types, strict=True):
        if pa.types.is_fixed_size_list(kind):
            assert (name in RECORDS_ONLY) == (kind.list_size > 10), name


def test_samples_are_instances_with_every_narrow_family_beside(con: duckdb.DuckDBPyConnection) -> None:
    expected = {beside(name, one.name) for name in NARROW for one in FAMILIES[name].attributes}
    assert set(columns_of(con, "samples")) == {*columns_of(con, "instances"), *expected}
    assert "label__origin" in expected  # the index has a label_origin of its own


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_view_of_a_family_holds_its_files(con: duckdb.DuckDBPyConnection, store: Path, family: str) -> None:
    found = con.sql(f"SELECT * FROM {family} ORDER BY key").to_arrow_table()
    parts = [pq.read_table(path) for path in store.glob(f"*/*/{files.FOLDER}/{family}/*.parquet")]
    expected = pa.concat_tables(parts).sort_by("key")
    assert found.column_names == expected.column_names == FAMILIES[family].schema.names
    for name in expected.column_names:
        assert found.column(name).to_pylist() == expected.column(name).to_pylist(), name


def test_samples_join_by_key(con: duckdb.DuckDBPyConnection) -> None:
    sql = (
        "SELECT count(*), count(*) FILTER (s.orientation_cell IS NOT DISTINCT FROM o.cell "
        "AND s.pose_jaw_deg IS NOT DISTINCT FROM p.jaw_deg) "
        "FROM samples s JOIN orientation o USING (key) JOIN pose p USING (key)"
    )
    assert query(con, sql).rows == ((27, 27),)


def test_family_unknown_to_the_code_is_read_from_its_own_files(con: duckdb.DuckDBPyConnection) -> None:
    table = query(con, "SELECT count(*), sum(list_sum(vector)) FROM features_tiny")
    assert table.rows == ((9, float(sum(range(18)))),)
    assert "features_tiny: 3 of 4 shards" in table.notes[0]
    assert "features_tiny_vector" not in columns_of(con, "samples")


def test_tables_over_the_store(con: duckdb.DuckDBPyConnection) -> None:
    assert query(con, "SELECT similarity FROM duplicates").rows == ((0.9,),)
    assert query(con, 'SELECT num FROM "overlaps"').rows == ((3,),)
    assert query(con, "SELECT map, key, x, y FROM maps ORDER BY map").rows == (
        ("orientation", "k", 0.5, 1.5),
        ("pose", "k", 0.5, 1.5),
    )


def test_coverage_counts_shards(con: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT num_shards, num_current, num_stale, num_missing FROM attributes WHERE dataset = 'pw3d' AND family = "
    assert query(con, sql + "'orientation'").rows == ((2, 2, 0, 0),)
    assert query(con, sql + "'features_tiny'").rows == ((2, 1, 0, 1),)


def test_relations_go_to_arrow_polars_and_pandas(store: Path) -> None:
    sql = "SELECT dataset, count(*) AS n FROM samples GROUP BY ALL ORDER BY ALL"
    expected = {"dataset": ["agora", "bedlam", "pw3d"], "n": [7, 8, 12]}
    with catalogs.open(store) as con:
        assert con.sql(sql).to_arrow_table().to_pydict() == expected
        assert con.sql(sql).pl().to_dict(as_series=False) == expected
        assert con.sql(sql).df().to_dict(orient="list") == expected
        reader, notes = stream(con, sql)
        assert reader.read_all().to_pydict() == expected
        assert notes == ()


# Runs and selections


def test_runs_and_selections_are_found(tmp_path: Path) -> None:
    store, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    write_shard(store, [person("pw3d", "train", i) for i in range(3)])
    (store / "selections").mkdir()
    with open(store) as con:
        chosen = select(pool(con), [1.0], Budget(draws_per_epoch=6), method="uniform", reasons=["all there is"])
    chosen.save(store / "selections" / "mine.json")
    for folder in (store / "runs" / "first", elsewhere / "second", store / "runs" / "broken"):
        folder.mkdir(parents=True)
        chosen.save(folder / "selection.json")
        mixture = [{"dataset": "pw3d", "split": "train", "requested": 1.0, "num_draws": 6, "num_distinct": 3}]
        run = {"recipe": {"steps": 5}, "selection": chosen.content_hash, "is_standin": True, "mixture": mixture}
        run |= {"num_parameters": 10, "first_loss": 2.0, "last_loss": 0.5}
        (folder / "run.json").write_text("{" if folder.name == "broken" else json.dumps(run))
    with open(store, run_folders=[elsewhere]) as con:
        table = query(con, "SELECT run, selection, num_draws, num_distinct, last_loss, recipe FROM runs ORDER BY run")
        row = (chosen.content_hash, 6, 3, 0.5, '{"steps": 5}')
        assert table.rows == (("first", *row), ("second", *row))
        assert "broken/run.json" in table.notes[0]
        sql = "SELECT selection, path, method, dataset, num_draws, reason FROM selections"
        path = str(store / "selections" / "mine.json")
        assert query(con, sql).rows == ((chosen.content_hash, path, "uniform", "pw3d", 6, "all there is"),)
        assert query(con, "SELECT count(*) FROM instances").notes == ()


def test_a_run_table_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    write_shard(tmp_path, [person("pw3d", "train", i) for i in range(3)])
    for name, content in (("good", None), ("broken", b"PAR1 and then nothing")):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "runs.parquet").write_bytes(content or b"")
    values = {"run_id": "a-0", "dataset": "a", "benchmark": "ehf", "metric": "pve", "error_mm": 80.5}
    row = values | {"low_mm": None, "high_mm": None, "seed": 0, "architecture": "toy", "draws": 9, "weight_a": 1.0}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "runs" / "good" / "runs.parquet")
    with open(tmp_path) as con:
        found = query(con, "SELECT folder, run_id, error_mm, low_mm, draws FROM run_errors")
    assert found.rows == ((str(tmp_path / "runs" / "good" / "a-0"), "a-0", 80.5, None, 9),)
    assert len(found.notes) == 1
    assert "broken/runs.parquet: not in `run_errors`, because it cannot be read" in found.notes[0]


# Names that are wrong


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT orientation_cel FROM samples", "did you mean orientation_cell"),
        ("SELECT s.orientation_cel FROM samples s", "did you mean orientation_cell"),
        ("FROM orientatoin", "did you mean orientation"),
        ("SELECT body_body_pose_aa FROM samples", "body_body_pose_aa is in records"),
        ("SELECT cell FROM samples", "cell is in orientation; in samples it is called orientation_cell"),
        ("SELECT joints_m FROM samples", "joints_m is in skeleton"),
        ("SELECT orientation_celll(1, 2)", "did you mean orientation_cell"),
        ("FROM overlaps", 'write "overlaps" in double quotes'),
        ("FROM published_training_mixture", "did you mean published_training_mixtures"),
        ("SELECT zzzzzzzzz FROM samples", "DESCRIBE samples"),
    ],
)
def test_wrong_name_is_answered_with_the_right_one(con: duckdb.DuckDBPyConnection, sql: str, expected: str) -> None:
    with pytest.raises(UsageError, match="query: ") as caught:
        query(con, sql)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "family"),
    [
        ("FROM orientation", "--attributes orientation"),
        ("SELECT orientation_cell FROM samples", "--attributes orientation"),
        ("SELECT pose_space_cluster FROM samples", "--attributes pose_space"),
        ("SELECT label__origin FROM samples", "--attributes label"),
        ("FROM features_vit_base", "--backbone vit_base"),
        ("FROM duplicates", "ehps describe"),
        ("FROM maps", "ehps describe"),
        ("@orientation", "--attributes orientation"),
        ("@pose_divergence", "--attributes pose_space"),
    ],
)
def test_what_was_not_computed_is_answered_with_the_command(
    bare: duckdb.DuckDBPyConnection, sql: str, family: str
) -> None:
    with pytest.raises(UsageError, match=r"has not been computed|have not been made") as caught:
        query(bare, sql)
    assert "fix: ehps describe" in str(caught.value)
    assert family in str(caught.value)


def test_family_whose_shards_all_changed_is_said_to_be_stale(tmp_path: Path) -> None:
    write_shard(tmp_path, [person("pw3d", "train", 0)])
    describe(tmp_path, ["orientation"])
    write_shard(tmp_path, [person("pw3d", "train", 1)])
    with open(tmp_path) as con, pytest.raises(UsageError, match="has changed in all shards") as caught:
        query(con, "SELECT orientation_cell FROM samples")
    assert f"ehps describe {tmp_path} --attributes orientation" in str(caught.value)


def test_damaged_wide_table_is_named(tmp_path: Path) -> None:
    write_shard(tmp_path, [person("pw3d", "train", i) for i in range(4)])
    describe(tmp_path, ["skeleton"])
    path = tmp_path / "pw3d" / "train" / files.FOLDER / "skeleton" / "pw3d-train-000000.parquet"
    with open(tmp_path) as con:
        content = bytearray(path.read_bytes())
        content[4:-400] = bytes(len(content) - 404)
        path.write_bytes(content)
        with pytest.raises(StoreError, match=f"{path}"):
            query(con, "SELECT sum(list_sum(joints_m)) FROM skeleton")


def test_wide_families_open_no_other_file(con: duckdb.DuckDBPyConnection, store: Path) -> None:
    manifest = store / "pw3d" / "train" / "pw3d-train-000000.json"
    for path in (manifest, manifest.with_suffix(".tar"), Path("/etc/passwd")):
        with pytest.raises(UsageError, match="query: "):
            query(con, f"SELECT * FROM read_blob('{str(path).replace(chr(39), chr(39) * 2)}')")


# Named queries


def test_every_named_query_runs_and_describes_itself(con: duckdb.DuckDBPyConnection) -> None:
    assert list(named_queries()) == sorted(named_queries())
    for name, description in named_queries().items():
        assert description.endswith("."), name
        table = query(con, f"@{name}")
        assert table.rows or name == "rejects", name
        assert "dataset" in table.columns or {"dataset_a", "domain"} & set(table.columns), name


def test_orientation_query_counts_cells(con: duckdb.DuckDBPyConnection) -> None:
    cells = query(con, "SELECT dataset, cell FROM orientation WHERE cell IS NOT NULL").rows
    found = query(con, "@orientation_histogram")
    named = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    counted = {(row["dataset"], row["elevation_bin"] * 24 + row["azimuth_bin"]): row["num_instances"] for row in named}
    assert counted == Counter(cells)
    shares: Counter[str] = Counter()
    for row in named:
        shares[row["dataset"]] += row["share"]
    assert all(share == pytest.approx(1) for share in shares.values())


def test_flexion_and_joint_angles_agree_with_numpy(con: duckdb.DuckDBPyConnection) -> None:
    names = [f"pose_{side}_knee_flexion_deg" for side in ("left", "right")]
    rows = query(con, f"SELECT {', '.join(names)} FROM samples WHERE dataset = 'pw3d'").rows
    bends = np.array([value for row in rows for value in row if value is not None])
    counts = np.histogram(bends, np.arange(0, 190, 10))[0]
    found = query(con, "@flexion").rows
    in_query = {row[2]: row[5] for row in found if row[:2] == ("pw3d", "knee")}
    assert in_query == {i: count for i, count in enumerate(counts) if count}
    neck = [row[0] for row in query(con, "SELECT neck_deg FROM pose WHERE dataset = 'bedlam'").rows]
    known = np.array([value for value in neck if value is not None])
    (row,) = (row for row in query(con, "@joint_angles").rows if row[0] == "bedlam" and row[2] == "neck")
    assert row[1] == 11
    assert row[4:] == pytest.approx((known.mean(), known.std(), known.max()), rel=1e-5)


def divergence_bits(p: np.ndarray, q: np.ndarray) -> float:
    def entropy(x: np.ndarray) -> float:
        return float(-(x[x > 0] * np.log2(x[x > 0])).sum())

    p, q = p / p.sum(), q / q.sum()
    return entropy((p + q) / 2) - entropy(p) / 2 - entropy(q) / 2


def test_divergence_is_that_of_jensen_and_shannon(con: duckdb.DuckDBPyConnection) -> None:
    rows = query(con, "SELECT dataset, cell FROM orientation WHERE cell IS NOT NULL").rows
    counts = {name: np.bincount([cell for one, cell in rows if one == name], minlength=216) for name, _ in rows}
    found = {row[:2]: row[2] for row in query(con, "@orientation_divergence").rows}
    assert set(found) == {(a, b) for a in counts for b in counts}
    for (a, b), bits in found.items():
        assert bits == pytest.approx(divergence_bits(counts[a], counts[b]), abs=1e-9)
    lists = [[1, 0, 3], [0, 5, 5]]
    sql = "SELECT histogram_divergence_bits($1, $2), histogram_divergence_bits($1, $1)"
    expected = divergence_bits(*map(np.array, lists))
    assert query(con, sql, lists).rows[0] == pytest.approx((expected, 0), abs=1e-12)
    apart = (
        "SELECT histogram_divergence_bits([1, 0], [0, 9]), cosine_distance([1, 0], [0, 2]), cosine_distance([1], [3])"
    )
    assert query(con, apart).rows[0] == pytest.approx((1, 1, 0), abs=1e-12)


def test_cells_lie_where_they_say(con: duckdb.DuckDBPyConnection) -> None:
    sql = (
        "SELECT cell, orientation_cell(cell_azimuth_deg(cell), sin(radians("
        "(cell_elevation_from_deg(cell) + cell_elevation_to_deg(cell)) / 2))) FROM range(216) cells (cell)"
    )
    assert all(cell == again for cell, again in query(con, sql).rows)
    assert query(con, "SELECT orientation_cell(180, 1.0), orientation_cell(-180, -1.0)").rows == ((192, 0),)


# Import path


def test_query_path_is_light() -> None:
    code = "import sys, catalogs.store, catalogs.file, pipelines.commands.query\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "duckdb" in loaded
    heavy = {"torch", "matplotlib", "umap", "prefect", "pyarrow", "pandas", "polars", "scipy", "sklearn", "timm"}
    assert loaded.isdisjoint(heavy)
