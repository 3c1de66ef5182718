"""Tables: one JSON document for programs, aligned text for people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.tables import show

ROWS = [
    {"name": "pw3d", "samples": 22735, "share": 0.123456, "is_standin": False, "path": Path("a/b"), "note": None},
    {"name": "[bold]", "samples": 7, "share": 12345.6, "is_standin": True, "path": Path("c"), "note": "x"},
]


def test_json_is_one_list_with_every_value(capsys: pytest.CaptureFixture[str]) -> None:
    show(ROWS, as_json=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == [{**row, "path": str(row["path"])} for row in ROWS]


def test_text_is_aligned_and_never_markup(capsys: pytest.CaptureFixture[str]) -> None:
    show(ROWS, as_json=False)
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "samples", "share", "is_standin", "path", "note"]
    assert first.split() == ["pw3d", "22,735", "0.1235", "no", "a/b"]
    assert second.split() == ["[bold]", "7", "12,346", "yes", "c", "x"]
    assert first.index("22,735") + len("22,735") == second.index("7") + 1


@pytest.mark.parametrize(("as_json", "expected"), [(True, "[]"), (False, "no rows")])
def test_nothing_is_said_too(as_json: bool, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    show([], as_json=as_json)
    assert capsys.readouterr().out.strip() == expected
