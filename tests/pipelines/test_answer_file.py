"""Answers to queries as files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from small_store import person, write_shard

from harmonize.errors import UsageError
from pipelines.commands.query import query

SQL = "SELECT key, image_width_px, body_betas FROM instances ORDER BY key"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_shard(tmp_path / "store", [person("pw3d", "train", i) for i in range(3)])
    return tmp_path / "store"


def test_file_holds_the_answer(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query(store, SQL, as_json=True)
    expected = json.loads(capsys.readouterr().out)
    for suffix in (".parquet", ".json", ".csv"):
        query(store, SQL, out=tmp_path / f"answer{suffix}")
        assert "3 rows" in capsys.readouterr().err
    assert pq.read_table(tmp_path / "answer.parquet").to_pylist() == expected
    assert json.loads((tmp_path / "answer.json").read_text()) == expected
    with (tmp_path / "answer.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == [row["key"] for row in expected]
    assert [json.loads(row["body_betas"]) for row in rows] == [row["body_betas"] for row in expected]


def test_empty_answer_is_a_file_too(store: Path, tmp_path: Path) -> None:
    for suffix in (".parquet", ".json", ".csv"):
        query(store, "SELECT key FROM instances WHERE false", out=tmp_path / f"none{suffix}")
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0
    assert json.loads((tmp_path / "none.json").read_text()) == []
    assert (tmp_path / "none.csv").read_text().split() == ["key"]


def test_nothing_is_written_where_the_query_or_the_name_is_wrong(store: Path, tmp_path: Path) -> None:
    for sql, name in ((SQL, "answer.xlsx"), ("SELECT oops FROM instances", "answer.csv"), ("DROP VIEW x", "a.json")):
        with pytest.raises(UsageError):
            query(store, sql, out=tmp_path / name)
    with pytest.raises(OSError, match="nowhere"):
        query(store, SQL, out=tmp_path / "nowhere" / "a.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_notes_go_to_stderr(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (store / "catalog.duckdb").write_bytes(b"not a database")
    query(store, "SELECT count(*) AS n FROM instances", as_json=True)
    shown = capsys.readouterr()
    assert json.loads(shown.out) == [{"n": 3}]
    assert "fix: ehps catalog" in shown.err
