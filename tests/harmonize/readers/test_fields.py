"""Typed access to foreign records: what each accessor takes, and the one wording of what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.errors import RawFileError
from harmonize.readers import fields
from harmonize.readers.fields import MalformedRecord

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("read", "taken"),
    [
        (fields.entries, [{}, {"a": 1}]),
        (fields.listing, [[], (1,), np.zeros(2)]),
        (fields.text, ["", np.str_("x")]),
        (fields.flag, [True, 0, 1.0, np.bool_(False), np.float32(1)]),
        (fields.integer, [0, -3, 4.0, np.int64(7), np.float32(8)]),
        (fields.number, [0, -1.5, np.float32(2), [3], np.array([[4.0]]), np.array([5], object)]),
    ],
)
def test_what_is_taken(read: Callable[[Any, str], Any], taken: list[Any]) -> None:
    for value in taken:
        np.testing.assert_array_equal(
            read({"key": value}, "key"), np.squeeze(value) if read is fields.number else value
        )


@pytest.mark.parametrize(
    ("read", "expected", "refused"),
    [
        (fields.entries, "a record", [None, [], "x", 1]),
        (fields.listing, "a list", [None, {}, "x", 1, np.array(1)]),
        (fields.text, "text", [None, 1, b"x", ["x"]]),
        (fields.flag, "true or false", [None, "true", 2, NAN, [True], np.ones(1), {}]),
        (fields.integer, "a whole number", [None, "1", True, 1.5, NAN, INF, 1e30, 1 << 60, 1 << 2000, [1], 1j]),
        (fields.number, "numbers", [{}, "1", ["x"], [[1], [2, 3]], 1j, np.array(["1"]), np.array([{}], object)]),
        (fields.number, "a finite number", [None, NAN, INF]),
        (fields.number, r"shape \(1,\)", [[], [1, 2]]),
    ],
)
def test_what_is_refused(read: Callable[[Any, str], Any], expected: str, refused: list[Any]) -> None:
    for value in refused:
        with pytest.raises(MalformedRecord, match=rf"^field 'key': expected {expected}, found ."):
            read({"key": value}, "key")
    records: list[Any] = [{}, None, "key", 5, [1], np.zeros(3)]
    for record in records:
        with pytest.raises(MalformedRecord, match=r"^field 'key': expected, found none$"):
            read(record, "key")


def test_numbers_beyond_float64_and_huge_values_are_refused_in_a_short_message() -> None:
    values: list[Any] = [[10**400], ["x" * 10_000], [[0] * 10_000, [1]], np.full((300, 300), "x")]
    for value in values:
        with pytest.raises(MalformedRecord) as caught:
            fields.numbers(value, "key")
        assert len(str(caught.value)) < 200
        assert "\n" not in str(caught.value)


def test_numbers_keep_unknown_entries_as_nan() -> None:
    """They become a `not-finite` reject where they are needed."""
    np.testing.assert_array_equal(fields.shaped([1, None, 3], "key", 3), [1, NAN, 3])


def test_labels_are_text_or_whole_numbers() -> None:
    named: list[Any] = ["a", 7, np.int64(8), None, 1.5, [], {}]
    assert [fields.label({"id": value}, "id") for value in named] == ["a", "7", "8", "", "", "", ""]
    no_records: list[Any] = [None, "id", 3, []]
    assert [fields.label(record, "id") for record in no_records] == [""] * 4


def test_sizes_are_those_a_picture_can_have() -> None:
    assert fields.size_px({"width": 1920.0, "height": 65535}) == (1920, 65535)
    for width in (0, -1, 65536, 1.5, "1920", NAN):
        with pytest.raises(MalformedRecord, match="width"):
            fields.size_px({"width": width, "height": 1080})


def test_what_all_people_need_is_an_error_of_the_file() -> None:
    with (
        pytest.raises(RawFileError, match=r"^a/b\.npz: field 'key': expected, found none\n  fix: other") as caught,
        fields.concerns_file(Path("a/b.npz"), "other"),
    ):
        fields.field({}, "key")
    assert isinstance(caught.value.__cause__, MalformedRecord)
