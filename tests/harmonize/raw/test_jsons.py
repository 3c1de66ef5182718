"""JSON files, whole and as a stream, sound and hostile."""

from __future__ import annotations

import json
import math
import time
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from harmonize.errors import RawFileError
from harmonize.raw import jsons
from harmonize.raw.jsons import iter_json_entries, iter_json_items, load_json

COCO = {
    "info": {"year": 2017},
    "images": [{"id": 1, "file_name": "a.jpg"}],
    "annotations": [{"id": i, "bbox": [0.5, 1, 2e-3, -4.25], "text": 'a "quoted\\" [{ \u00fc'} for i in range(50)],
}
ENTRIES = {str(i): {"pose": [0.25 * i] * 3, "ok": True} for i in range(50)}
READERS: dict[str, Callable[[Path], Any]] = {
    "load": load_json,
    "items": lambda path: list(iter_json_items(path, "annotations.item")),
    "entries": lambda path: dict(iter_json_entries(path, "")),
}


def write(tmp_path: Path, data: bytes | str) -> Path:
    path = tmp_path / "a.json"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_values_come_back_equal(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps(COCO))
    assert load_json(path) == COCO
    assert list(iter_json_items(path, "annotations.item")) == COCO["annotations"]
    assert dict(iter_json_entries(path, "")) == COCO
    assert list(iter_json_items(write(tmp_path, json.dumps([1, "a"])), "item")) == [1, "a"]
    assert dict(iter_json_entries(write(tmp_path, json.dumps({"a": {"b": ENTRIES}})), "a.b")) == ENTRIES


def test_numbers_are_floats_and_integers(tmp_path: Path) -> None:
    path = write(tmp_path, '{"annotations": [0.1, 7, 1e3, -0.0]}')
    for values in (load_json(path)["annotations"], list(iter_json_items(path, "annotations.item"))):
        assert [type(value) for value in values] == [float, int, float, float]


def test_a_stream_gives_items_before_the_end_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({"annotations": [{"id": i, "x": "y" * 1000} for i in range(1000)]})[:-100])
    items = iter_json_items(path, "annotations.item")
    assert next(items)["id"] == 0
    with pytest.raises(RawFileError):
        list(items)


def test_nan_as_python_writes_it(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({"a": [math.nan, math.inf, -math.inf, 1.5]}))
    values = load_json(path)["a"]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, 1.5]
    with pytest.raises(RawFileError, match="NaN"):
        list(iter_json_items(path, "a.item"))
    assert list(iter_json_items(path, "a.item", has_nan=True)) == [None, None, None, 1.5]


def test_nan_wherever_a_chunk_ends_but_never_inside_text() -> None:
    words = {"NaN": "x, NaN, -Infinity", 'a "NaN': "\\", "n": "NaN\\", "long": "Infinity" * 5, "-": '-NaN\\"'}
    text = json.dumps({"1": [math.nan, -math.inf, math.inf, 1, True, None], **words}).encode()
    for size in range(1, len(text) + 1):
        stream = jsons._GuardedWithNan(BytesIO(text))
        pieces = list(iter(lambda: stream.read(size), b""))  # noqa: B023
        assert json.loads(b"".join(pieces)) == {"1": [None, None, None, 1, True, None], **words}, size
        assert stream.position == len(text)


BROKEN = {
    "nothing": b"",
    "spaces": b"   ",
    "trailing comma": b'{"annotations": [1,]}',
    "two values": b'{"annotations": []} {"more": 1}',
    "single quotes": b"{'annotations': []}",
    "not text": b"\x80\x04\x95\x00\x00",
    "not Unicode": b'{"annotations": ["\xff\xfe"]}',
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "open text": b'{"annotations": ["abc',
    "infinite number": b'{"annotations": [1e999]}',
    "NaN and broken": b'{"annotations": [NaN,]}',
    "control characters": b'{"annotations": ["a\x00b"]}',
    "deep": b'{"annotations": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "deep objects": b'{"annotations": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}",
    "deep beside text": b'{"annotations": ' + b'["]]]\\"",' * 20_000 + b"1" + b"]" * 20_000 + b"}",
    "deep after an escape": b'{"annotations": ' + b'["\\\\",' * 20_000 + b"1" + b"]" * 20_000 + b"}",
    "deep and open": b'{"annotations": ' + b"[" * 20_000,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_give_one_clear_error(tmp_path: Path, case: str, reader: str) -> None:
    path = write(tmp_path, BROKEN[case])
    tracemalloc.start()
    try:
        with pytest.raises(RawFileError) as caught:
            READERS[reader](path)
        assert tracemalloc.get_traced_memory()[1] < 50 * len(BROKEN[case]) + 2_000_000
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert "fix: " in str(caught.value)
    if case.startswith("deep"):
        assert "nested deeper than" in str(caught.value)


@pytest.mark.parametrize("reader", READERS)
def test_a_file_cut_anywhere_is_one_clear_error(tmp_path: Path, reader: str) -> None:
    data = json.dumps(COCO).encode()
    for count in range(0, len(data), 13):
        with pytest.raises(RawFileError, match=r"a\.json"):
            READERS[reader](write(tmp_path, data[:count]))


def test_errors_say_at_which_byte(tmp_path: Path) -> None:
    data = '{"ü": [1, 2, x]}'.encode()
    with pytest.raises(RawFileError) as caught:
        load_json(write(tmp_path, data))
    assert caught.value.fields["byte"] == data.index(b"x")
    with pytest.raises(RawFileError) as caught:
        load_json(write(tmp_path, data.replace(b"2", b"NaN")))
    assert caught.value.fields["byte"] == data.replace(b"2", b"NaN").index(b"x")
    big = json.dumps({"annotations": [0] * 100_000}).encode()
    with pytest.raises(RawFileError) as caught:
        list(iter_json_items(write(tmp_path, big[:200_000] + b"x" + big[200_000:]), "annotations.item"))
    assert 200_000 <= caught.value.fields["byte"] <= 200_000 + (1 << 17)


def test_a_key_that_comes_twice(tmp_path: Path) -> None:
    path = write(tmp_path, '{"7": 1, "8": 2, "7": 3}')
    assert load_json(path) == {"7": 3, "8": 2}
    with pytest.raises(RawFileError, match="'7' twice"):
        list(iter_json_entries(path, ""))


def test_brackets_in_text_do_not_count(tmp_path: Path) -> None:
    value = {"annotations": ["[" * 5000, "\\" * 4999 + '"[{' * 1000, "{[" * 70_000, {"a": '"' * 3}]}
    path = write(tmp_path, json.dumps(value))
    assert load_json(path) == value
    assert list(iter_json_items(path, "annotations.item")) == value["annotations"]


def test_escapes_across_the_pieces_of_a_read(tmp_path: Path) -> None:
    for shift in range(8):
        value = {"annotations": ["x" * (65_536 - 30 + shift) + '\\\\"[[[' * 50, "[" * 200]}
        path = write(tmp_path, json.dumps(value))
        assert load_json(path) == value
        assert list(iter_json_items(path, "annotations.item")) == value["annotations"]


def test_sizes_are_limited(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps(COCO))
    with pytest.raises(RawFileError, match="at most 10 bytes"):
        load_json(path, max_bytes=10)
    with pytest.raises(RawFileError, match="at most 10 bytes"):
        next(iter_json_items(path, "annotations.item", max_bytes=10))
    with pytest.raises(RawFileError, match="cannot be opened"):
        next(iter_json_entries(tmp_path / "missing.json", ""))


def test_following_the_depth_costs_little(tmp_path: Path) -> None:
    """Otherwise it would be the slowest part of reading files of several GB."""
    path = write(tmp_path, json.dumps({"annotations": [{"k": [1.5, 2.5, 0] * 133, "id": i} for i in range(3000)]}))
    begin = time.perf_counter()
    assert len(list(iter_json_items(path, "annotations.item"))) == 3000
    assert path.stat().st_size / (time.perf_counter() - begin) > 3e6, "bytes a second"
