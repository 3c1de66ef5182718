"""joblib files as joblib writes them, damaged ones, and those that ask for more than data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from harmonize.errors import RawFileError
from harmonize.raw.joblibs import load_joblib

DATA: dict[str, Any] = {
    "ann_id": np.arange(5),
    "file_name": np.array(["a/1.jpg", "b/ü.jpg"]),
    "bbox": np.linspace(0, 1, 12).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "transposed": np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1),
    "empty": np.zeros((0, 3)),
    "scalar": np.array(2.5),
    "big_endian": np.arange(3, dtype=">f4"),
    "objects": np.array([[1, 2], "x", None], object),
    "lists": [[224, 224]] * 3,
    "list_of_arrays": [np.arange(3), np.arange(2)],
    "number": np.float32(1.5),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5, None])
def test_what_joblib_writes(tmp_path: Path, protocol: int | None) -> None:
    path = tmp_path / "a.pt"
    joblib.dump(DATA, path, protocol=protocol)
    found = load_joblib(path)
    assert list(found) == list(DATA)
    for key, expected in DATA.items():
        if isinstance(expected, np.ndarray):
            assert found[key].dtype == expected.dtype, key
            assert found[key].shape == expected.shape, key
            assert found[key].tolist() == expected.tolist(), key
    assert found["lists"] == DATA["lists"]
    assert [one.tolist() for one in found["list_of_arrays"]] == [[0, 1, 2], [0, 1]]


def test_an_array_alone_and_one_that_comes_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    joblib.dump(np.arange(4), path)
    assert load_joblib(path).tolist() == [0, 1, 2, 3]
    array = np.arange(3.0)
    joblib.dump({"a": array, "b": array}, path)
    assert {key: value.tolist() for key, value in load_joblib(path).items()} == {"a": [0, 1, 2], "b": [0, 1, 2]}


def test_cut_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    joblib.dump(DATA, path)
    data = path.read_bytes()
    for count in range(0, len(data), 7):
        path.write_bytes(data[:count])
        with pytest.raises(RawFileError, match=r"a\.pt"):
            load_joblib(path)
    path.write_bytes(data + b"x")
    with pytest.raises(RawFileError, match="1 bytes behind its end"):
        load_joblib(path)


def test_every_byte_changed_is_data_or_one_error(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    joblib.dump({"a": np.arange(3), "b": np.array(["x"]), "c": np.array([{}], object)}, path)
    data = path.read_bytes()
    num_refused = 0
    for at in range(len(data)):
        for value in (0x00, 0x2E, 0xFF):
            path.write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
            try:
                load_joblib(path)
            except RawFileError:
                num_refused += 1
    assert num_refused > 100


@pytest.mark.parametrize("compress", [("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_compressed_files_are_refused_by_name(tmp_path: Path, compress: tuple[str, int]) -> None:
    path = tmp_path / "a.pt"
    joblib.dump(DATA, path, compress=compress)
    with pytest.raises(RawFileError, match="a compressed file"):
        load_joblib(path)


class Payload:
    def __reduce__(self) -> Any:
        return os.system, ("touch marker-of-execution",)


@pytest.mark.parametrize("value", [Payload(), {"a": Payload()}, np.array([Payload()], object)])
def test_payloads_are_not_executed(tmp_path: Path, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.pt"
    joblib.dump(value, path)
    with pytest.raises(RawFileError, match=r"posix\.system"):
        load_joblib(path)
    assert not (tmp_path / "marker-of-execution").exists()


def test_other_classes_of_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1.0, 2.0]])
    joblib.dump(matrix, path)
    with pytest.raises(RawFileError, match="matrix"):
        load_joblib(path)


def test_a_false_length_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    joblib.dump(np.zeros(200, np.uint8), path, protocol=2)
    data = path.read_bytes()
    assert data.count(b"K\xc8\x85") == 1
    path.write_bytes(data.replace(b"K\xc8\x85", b"J\xff\xff\xff\x7f\x85"))
    with pytest.raises(RawFileError, match="2147483647 bytes declared"):
        load_joblib(path)
