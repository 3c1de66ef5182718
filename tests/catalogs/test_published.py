"""Published results: every table has its source, and what was not verified is only shown when asked for."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from small_store import person, write_shard

from catalogs import published
from catalogs.store import open, query

FOLDER = Path(published.__file__).parent
TABLES = [path.stem for path in sorted(FOLDER.glob("*.csv")) if path.stem != "sources"]


@pytest.fixture(scope="module")
def con(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    folder = tmp_path_factory.mktemp("store")
    write_shard(folder, [person("pw3d", "train", 0)])
    with open(folder) as connection:
        yield connection


def cells(name: str) -> tuple[list[str], list[list[str]]]:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


@pytest.mark.parametrize("name", TABLES)
def test_view_holds_the_file(con: duckdb.DuckDBPyConnection, name: str) -> None:
    header, rows = cells(name)
    assert {len(row) for row in rows} == {len(header)}
    table = query(con, f"FROM published_{name}")
    assert list(table.columns) == [one for one in header if not one.startswith(published.UNVERIFIED)]
    for i, column in enumerate(table.columns):
        texts = [row[header.index(column)] for row in rows]
        for text, row in zip(texts, table.rows, strict=True):
            value = row[i]
            same = value is None if text == "" else text == value if isinstance(value, str) else float(text) == value
            assert same, (column, text, value)


def test_every_table_has_its_source(con: duckdb.DuckDBPyConnection) -> None:
    rows = query(con, 'SELECT "table", source, verified, unverified FROM published_sources').rows
    assert [row[0] for row in rows] == TABLES
    assert all(row[1] for row in rows)
    assert {row[2] for row in rows} == {"yes", "in part", "by row"}
    assert all(row[3] for row in rows if row[2] != "yes")
    with_unverified = {name for name in TABLES if any(one.startswith("unverified_") for one in cells(name)[0])}
    assert with_unverified == {"dataset_statistics", "foundation_models", "single_dataset_benchmark"}
    assert {row[0] for row in rows if "unverified_" in (row[3] or "")} == with_unverified


def test_unverified_columns_are_shown_by_their_own_view_alone(con: duckdb.DuckDBPyConnection) -> None:
    plain = query(con, "FROM published_foundation_models")
    whole = query(con, "FROM published_foundation_models_unverified")
    assert "unverified_agora_val" not in plain.columns
    assert "derived_mean_of_unverified" not in plain.columns
    assert {"unverified_agora_val", "derived_mean_of_unverified", "mpe_readme"} <= set(whole.columns)
    assert len(plain.rows) == len(whole.rows)


def test_numbers_are_numbers(con: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT min(pa_mpjpe_3dpw) FROM published_hmr_benchmarks_single"
    assert query(con, sql).rows == ((60.82,),)
    assert query(con, "SELECT sum(top5), sum(all32) FROM published_training_mixtures").rows == ((5, 32),)
