"""The index describes every record bit by bit, and its file says when it does not."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harmonize.annotation import Reject
from harmonize.errors import StoreError
from harmonize.evidence import Evidence
from harmonize.layout import LAYOUT, TEXT_FIELDS, VECTOR_SIZE
from harmonize.record import Provenance
from harmonize.shards.index import (
    INDEX_SCHEMA,
    REJECTS_SCHEMA,
    Row,
    StagedReject,
    column_name,
    damaged_columns,
    index_table,
    places_of,
    read_table,
    rejects_table,
    strings_of,
    to_parquet,
    vectors_of,
)
from harmonize.shards.summary import duplicate_keys, reject_counts, source_pictures, source_pictures_digest
from harmonize.shards.tars import Member


def random_vectors(number: int) -> np.ndarray:
    """Vectors with any value that a field of its kind may have."""
    rng = np.random.default_rng(number)
    vectors = rng.normal(0, 100, (number, VECTOR_SIZE)).astype(np.float32)
    for column in LAYOUT:
        high = {"flag": 2, "code": max(1, len(column.spec.codes)), "count": 2**24}.get(column.spec.kind)
        if high is not None:
            vectors[:, column.start] = rng.integers(0, high, number)
    return vectors


def row(number: int, **changes: Any) -> Row:
    strings = {name: f"{name} {number}" for name in TEXT_FIELDS}
    return replace(
        Row(
            strings={"key": f"k{number}", "layout_version": 1, "extra_names": ["ä", "b"][: number % 3], **strings},
            evidence=Evidence(reprojection_px=number + 0.1),
            picture_extension="jpg",
            picture_method="lossless-crop",
            picture_detail="",
            offset=4096 * number,
            size=4096,
            members={
                name: Member(offset=4096 * number + i, size=i + 1, sha256=f"{i}" * 64)
                for i, name in enumerate(("npy", "json", "picture"))
            },
        ),
        **changes,
    )


@pytest.mark.parametrize("number", [0, 1, 17])
def test_the_index_gives_back_vectors_strings_and_places(number: int, tmp_path: Path) -> None:
    rows, vectors = [row(i) for i in range(number)], random_vectors(number)
    path = tmp_path / "i.parquet"
    path.write_bytes(to_parquet(index_table(rows, vectors)))
    table = read_table(path, INDEX_SCHEMA)
    assert vectors_of(table).tobytes() == vectors.tobytes()
    expected = [{name: value for name, value in one.strings.items() if name != "layout_version"} for one in rows]
    assert strings_of(table) == expected
    for one, (key, offset, size, members) in zip(rows, places_of(table), strict=True):
        assert (key, offset, size) == (one.strings["key"], one.offset, one.size)
        assert list(members) == ["npy", "json", "jpg"]
        assert list(members.values()) == list(one.members.values())


def test_every_field_is_a_column_and_unknown_evidence_is_null() -> None:
    table = index_table([row(0)], random_vectors(1))
    assert {column_name(column) for column in LAYOUT} <= set(table.column_names)
    assert {f"evidence_{item.name}" for item in fields(Evidence)} <= set(table.column_names)
    assert table.column("evidence_reprojection_px").to_pylist() == [0.1]
    assert table.column("evidence_exact_mm").to_pylist() == [None]


def test_a_sample_without_a_picture_has_two_members() -> None:
    members = {name: member for name, member in row(1).members.items() if name != "picture"}
    table = index_table([row(1, picture_extension="", picture_method="", members=members)], random_vectors(1))
    ((_, _, _, found),) = places_of(table)
    assert list(found) == ["npy", "json"]


def test_the_same_rows_give_the_same_bytes() -> None:
    rows, vectors = [row(i) for i in range(5)], random_vectors(5)
    assert to_parquet(index_table(rows, vectors)) == to_parquet(index_table(list(rows), vectors.copy()))


def reject(person: str, reason: str = "box-small", stage: str = "gate", **provenance: str) -> StagedReject:
    source = Provenance(dataset="d", split="train", frame="7", person=person, **provenance)
    return StagedReject(stage=stage, reject=Reject(reason=reason, provenance=source, numbers={"z": 1.0, "a": 2.0}))


def test_rejects_are_sorted_whatever_the_order_of_reading(tmp_path: Path) -> None:
    rejects = [reject("2"), reject("1"), reject("1", "crowd", "dataset")]
    data = to_parquet(rejects_table(rejects))
    assert data == to_parquet(rejects_table(rejects[::-1]))
    path = tmp_path / "r.parquet"
    path.write_bytes(data)
    table = read_table(path, REJECTS_SCHEMA)
    assert table.column("key").to_pylist() == ["d-train-7-1", "d-train-7-1", "d-train-7-2"]
    assert table.column("numbers").to_pylist()[0] == [("a", 2.0), ("z", 1.0)]
    assert reject_counts(table) == {"gate/box-small": 2, "dataset/crowd": 1}


def test_pictures_that_were_read_or_looked_for_in_vain_are_sources() -> None:
    index = index_table(
        [row(i, strings={**row(i).strings, "image_path": f"{i}.jpg", "image_sha256": "ab"[i:]}) for i in range(3)],
        random_vectors(3),
    )
    rejects = rejects_table(
        [
            reject("0", "image-missing", "image", image_path="gone.jpg"),
            reject("1", "image-damaged", "image", image_path="bad.jpg", image_sha256="c"),
            reject("2", "crowd", "dataset", image_path="never-opened.jpg"),
        ]
    )
    pictures = source_pictures(index, rejects)
    assert pictures == {"0.jpg": "ab", "1.jpg": "b", "gone.jpg": "", "bad.jpg": "c"}
    assert source_pictures_digest(pictures) == source_pictures_digest(dict(sorted(pictures.items(), reverse=True)))
    assert source_pictures_digest(pictures) != source_pictures_digest({**pictures, "bad.jpg": "d"})


def test_keys_used_twice_are_found_within_and_across_files() -> None:
    columns = {
        "s0": pa.chunked_array([["a", "b", "b"]]),
        "s1": pa.chunked_array([["c"], ["a", "d"]]),
        "s2": pa.chunked_array([], pa.string()),
    }
    assert duplicate_keys(columns) == [("a", ["s0", "s1"]), ("b", ["s0", "s0"])]
    assert duplicate_keys({"s1": columns["s1"]}) == []
    assert duplicate_keys({}) == []


def test_another_schema_a_null_and_damage_are_named(tmp_path: Path) -> None:
    path = tmp_path / "i.parquet"
    table = index_table([row(0)], random_vectors(1))

    def refused() -> str:
        with pytest.raises(StoreError) as error:
            read_table(path, INDEX_SCHEMA)
        return str(error.value)

    pq.write_table(table.drop_columns(["body_betas"]), path)
    assert "body_betas" in refused()
    pq.write_table(table.replace_schema_metadata({"ehps_layout": "0"}), path)
    assert "ehps_layout" in refused()
    path.write_bytes(to_parquet(table)[:-20])
    assert "not a readable parquet file" in refused()
    path.write_bytes(b"")
    assert "not a readable parquet file" in refused()


def test_a_damaged_column_is_found(tmp_path: Path) -> None:
    path = tmp_path / "i.parquet"
    path.write_bytes(to_parquet(index_table([row(i) for i in range(4)], random_vectors(4))))
    metadata = pq.ParquetFile(path).metadata.row_group(0)
    columns = {metadata.column(i).path_in_schema.split(".")[0]: metadata.column(i) for i in range(metadata.num_columns)}
    column = columns["body_body_pose_aa"]
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 4
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError):
        read_table(path, INDEX_SCHEMA)
    assert damaged_columns(path, INDEX_SCHEMA) == ["body_body_pose_aa"]
    path.write_bytes(b"PAR1")
    assert damaged_columns(path, INDEX_SCHEMA) == []
