"""Text tables: what is cut or uneven is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harmonize.errors import RawFileError
from harmonize.raw.tables import load_csv, load_lines


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_lines_and_rows(tmp_path: Path) -> None:
    assert load_lines(write(tmp_path / "a.txt", b"1,2\r\n3\n")) == ["1,2", "3"]
    rows = load_csv(write(tmp_path / "a.csv", b'\xef\xbb\xbfname,note\r\na,"x, y"\r\n\r\nb,\r\n'))
    assert rows == [{"name": "a", "note": "x, y"}, {"name": "b", "note": ""}]
    assert load_csv(write(tmp_path / "b.csv", b"name\na")) == [{"name": "a"}], "spreadsheets write no last line end"


@pytest.mark.parametrize("data", [b"", b"1,2\n3,", b"\xff\xfe\n", b"a\0\n"])
def test_what_is_no_text_is_one_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(RawFileError, match=r"a\.txt"):
        load_lines(write(tmp_path / "a.txt", data))


@pytest.mark.parametrize(
    "data", [b"", b"a,a\n1,2\n", b"a,b\n1,2\n3", b"a,b\n1,2,3\n", b'a,b\n1,"2\n', b"\xff,b\n1,2\n"]
)
def test_uneven_tables_are_one_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(RawFileError, match=r"a\.csv"):
        load_csv(write(tmp_path / "a.csv", data))


def test_large_files_are_refused(tmp_path: Path) -> None:
    for load in (load_csv, load_lines):
        with pytest.raises(RawFileError, match="at most"):
            load(write(tmp_path / "a.csv", b"a\n" * 10), max_bytes=10)
