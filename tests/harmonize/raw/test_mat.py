"""MATLAB files, v5 and v7.3, sound and hostile."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.io import loadmat, savemat

from harmonize.errors import RawFileError
from harmonize.raw.mat import load_mat


def refused(path: Path, **options: Any) -> str:
    tracemalloc.start()
    try:
        with pytest.raises(RawFileError) as caught:
            load_mat(path, **options)
        assert tracemalloc.get_traced_memory()[1] < 60 * path.stat().st_size + 20_000_000
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    return str(caught.value)


# --- v5 ---------------------------------------------------------------------------------------------------------------


def variables() -> dict[str, Any]:
    cell = np.empty((2, 1), object)
    cell[0, 0], cell[1, 0] = np.arange(6.0).reshape(2, 3), np.zeros((3, 4))
    return {
        "joints": np.random.default_rng(0).normal(size=(14, 3, 5)),
        "annot2": cell,
        "release": {"version": 1.0, "text": "MPII ü", "inner": {"ids": [1, 2, 3]}, "cell": cell},
        "many": np.array([(1.0, "a"), (2.0, "b")], [("x", "O"), ("y", "O")]),
        "flags": np.array([True, False]),
        "complex": np.array([1 + 2j, 3]),
        "small": np.array([1, 2], np.uint8),
        "nothing": np.zeros((0, 3)),
        "words": np.array(["ab", "cd"]),
        "scalar": 7,
    }


@pytest.mark.parametrize("compress", [False, True])
def test_variables_come_as_scipy_gives_them(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "a.mat"
    savemat(path, variables(), do_compression=compress)
    expected = {key: value for key, value in loadmat(path, simplify_cells=True).items() if key[:2] != "__"}
    result = load_mat(path)
    assert repr(result) == repr(expected)
    assert list(result) == list(variables())
    assert result["release"]["text"] == "MPII ü"
    assert_array_equal(result["joints"], variables()["joints"])


def element(kind: int, body: bytes) -> bytes:
    return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)


def matrix(cls: int, shape: tuple[int, ...], *parts: bytes, flags: int = 0) -> bytes:
    head = element(6, struct.pack("<II", cls | flags, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, head + element(1, b"a") + b"".join(parts))


def v5(*elements: bytes, version: int = 0x0100, order: bytes = b"IM") -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", version) + order + b"".join(elements)


def doubles(*values: float) -> bytes:
    return element(9, struct.pack(f"<{len(values)}d", *values))


def nested(depth: int, kind: int = 1) -> bytes:
    inner = matrix(6, (1, 1), doubles(1.0))
    for _ in range(depth):
        inner = matrix(kind, (1, 1), inner)
    return inner


def packed(data: bytes, level: int = 9) -> bytes:
    body = zlib.compress(data, level)
    return struct.pack("<II", 15, len(body)) + body


FIELDS = element(5, struct.pack("<i", 8)) + element(1, b"ab".ljust(8, b"\0"))
HOSTILE: dict[str, bytes] = {
    "function handle": v5(matrix(16, (1, 1), matrix(6, (1, 1), doubles(1.0)))),
    "object": v5(matrix(3, (1, 1), element(1, b"class"), FIELDS, matrix(6, (1, 1), doubles(1.0)))),
    "opaque": v5(matrix(17, (1, 1), element(1, b"s"), element(1, b"MCOS"), matrix(6, (1, 1), doubles(1.0)))),
    "sparse": v5(matrix(5, (2, 2), element(5, b"\0" * 4), element(5, b"\0" * 12), doubles(1.0))),
    "unknown class": v5(matrix(99, (1, 1), doubles(1.0))),
    "function in a cell": v5(matrix(1, (1, 1), matrix(16, (1, 1), doubles(1.0)))),
    "function in a struct": v5(matrix(2, (1, 1), FIELDS, matrix(16, (1, 1), doubles(1.0)))),
    "compressed function": v5(packed(matrix(16, (1, 1), doubles(1.0)))),
    "huge shape": v5(matrix(6, (1 << 30, 1 << 30), doubles(1.0))),
    "negative shape": v5(matrix(6, (-1, -1), doubles(1.0))),
    "no shape": v5(matrix(6, (), doubles(1.0))),
    "too few numbers": v5(matrix(6, (2, 2), doubles(1.0))),
    "too many numbers": v5(matrix(6, (1, 1), doubles(1.0, 2.0))),
    "huge cell": v5(matrix(1, (1 << 30, 1), nested(0))),
    "huge struct": v5(matrix(2, (1 << 30, 1), FIELDS, nested(0))),
    "structs without fields": v5(matrix(2, (1 << 30, 1), element(5, struct.pack("<i", 8)), element(1, b""))),
    "fields of no length": v5(matrix(2, (1, 1), element(5, struct.pack("<i", 0)), element(1, b"ab"))),
    "huge text": v5(matrix(4, (1, 1 << 30), element(16, b"ab"))),
    "missing imaginary part": v5(matrix(6, (1, 1), doubles(1.0), flags=0x800)),
    "numbers of no type": v5(matrix(6, (1, 1), element(8, b"x" * 8))),
    "deep cells": v5(nested(5000)),
    "deep cells compressed": v5(packed(nested(5000))),
    "no variable": v5(element(9, b"x" * 8)),
    "length beyond the file": v5(struct.pack("<II", 14, 1 << 31)),
    "length in the tag": v5(matrix(6, (1, 1), struct.pack("<HH", 9, 200) + b"abcd")),
    "broken compression": v5(struct.pack("<II", 15, 20) + b"x" * 20),
    "cut compression": v5(packed(nested(3))[:-6]),
    "another version": v5(nested(0), version=0x0300),
    "another order": v5(nested(0), order=b"XX"),
    "header alone, cut": v5()[:100],
    "v4": struct.pack("<5I", 0, 1, 1, 0, 2) + b"a\0" + struct.pack("<d", 1.0),
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(200),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_v5_files(tmp_path: Path, case: str) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(HOSTILE[case])
    message = refused(path)
    assert "MATLAB" in message


def test_a_handmade_file_is_sound(tmp_path: Path) -> None:
    """Otherwise the tests above might refuse for another reason than the one they are about."""
    path = tmp_path / "a.mat"
    path.write_bytes(v5(matrix(6, (2, 1), doubles(1.0, 2.0))))
    assert_array_equal(load_mat(path)["a"], [1, 2])
    path.write_bytes(v5(packed(matrix(2, (1, 1), FIELDS, matrix(6, (1, 1), doubles(5.0))))))
    assert load_mat(path)["a"] == {"ab": 5.0}
    path.write_bytes(v5(nested(20)))
    assert "a" in load_mat(path)


def test_a_v5_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(v5(packed(matrix(9, (1, 100_000_000), element(2, bytes(100_000_000))))))
    assert "truncated or larger than 5000000 bytes" in refused(path, max_bytes=5_000_000)
    path.write_bytes(v5(*[packed(matrix(9, (1, 2_000_000), element(2, bytes(2_000_000))))] * 10))
    assert "when decompressed" in refused(path, max_bytes=5_000_000)


@pytest.mark.parametrize("compress", [False, True])
def test_damaged_and_cut_v5_files(tmp_path: Path, compress: bool) -> None:
    whole, path = tmp_path / "whole.mat", tmp_path / "a.mat"
    savemat(whole, variables(), do_compression=compress)
    data, numbers, errors = whole.read_bytes(), random.Random(3), 0
    for count in range(0, 128, 9):
        path.write_bytes(data[:count])
        refused(path)
    ends = {128}
    while (last := max(ends)) < len(data):
        ends.add(last + 8 + int.from_bytes(data[last + 4 : last + 8], "little"))
    for count in range(128, len(data), 41):
        path.write_bytes(data[:count])
        if count not in ends:  # a file cut between two variables is a sound file with fewer of them
            refused(path)
    for _ in range(300):
        damaged = bytearray(data)
        damaged[numbers.randrange(len(data))] = numbers.randrange(256)
        path.write_bytes(damaged)
        try:
            load_mat(path)
        except RawFileError:
            errors += 1
    assert errors > 20


# --- v7.3 -------------------------------------------------------------------------------------------------------------


def hdf5(path: Path) -> h5py.File:
    """A file as MATLAB starts it: 512 bytes of its own before the HDF5 part."""
    file = h5py.File(path, "w", userblock_size=512)
    return file


def sign(path: Path) -> Path:
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<H", 0x0200) + b"IM")
    return path


def put(group: Any, name: str, value: np.ndarray[Any, Any], cls: str, **options: Any) -> Any:
    dataset = group.create_dataset(name, data=value.T, **options)
    dataset.attrs["MATLAB_class"] = np.bytes_(cls)
    return dataset


def test_v73_variables(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    annot = np.arange(24.0).reshape(2, 3, 4)
    with hdf5(path) as file:
        put(file, "annot3", annot, "double", chunks=True, compression="gzip", shuffle=True)
        put(file, "scalar", np.array([[5.0]]), "double")
        put(file, "text", np.array([[ord(c) for c in "MPI ü"]], np.uint16), "char")
        put(file, "flag", np.array([[1, 0, 1]], np.uint8), "logical")
        put(file, "z", np.array([[(1.0, 2.0)]], [("real", "f8"), ("imag", "f8")]), "double")
        empty = put(file, "empty", np.array([[0, 0]], np.uint64), "double")
        empty.attrs["MATLAB_empty"] = np.uint8(1)
        refs = file.create_group("#refs#")
        entries = [
            put(refs, "a", np.array([[1.0, 2.0]]), "double"),
            put(refs, "b", np.array([[ord("q")]], np.uint16), "char"),
        ]
        put(file, "cell", np.array([[entry.ref for entry in entries]], h5py.ref_dtype), "cell")
        struct_group = file.create_group("info")
        struct_group.attrs["MATLAB_class"] = np.bytes_("struct")
        put(struct_group, "fps", np.array([[25.0]]), "double")
    result = load_mat(sign(path))
    assert_array_equal(result["annot3"], annot)
    assert result["scalar"] == 5.0
    assert result["text"] == "MPI ü"
    assert result["flag"].tolist() == [True, False, True]
    assert result["z"] == 1 + 2j
    assert result["empty"].shape == (0,)
    assert_array_equal(result["cell"][0], [1, 2])
    assert result["cell"][1] == "q"
    assert result["info"] == {"fps": 25.0}
    assert set(result) == {"annot3", "scalar", "text", "flag", "z", "empty", "cell", "info"}


def hostile_hdf5(case: str, tmp_path: Path) -> Path:
    path = tmp_path / "a.mat"
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.arange(5.0)
    (tmp_path / "raw.bin").write_bytes(bytes(800))
    with hdf5(path) as file:
        put(file, "sound", np.ones((2, 2)), "double")
        if case == "external link":
            file["x"] = h5py.ExternalLink("other.h5", "/secret")
        elif case == "soft link":
            file["x"] = h5py.SoftLink("/sound")
        elif case == "external storage":
            file.create_dataset("x", (100,), "f8", external=[("raw.bin", 0, 800)])
        elif case == "virtual":
            layout = h5py.VirtualLayout((5,), "f8")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", (5,))
            file.create_virtual_dataset("x", layout)
        elif case == "declared only":
            file.create_dataset("x", (1 << 40,), "f8", chunks=(1024,))
        elif case == "huge chunk":
            file.create_dataset("x", (1 << 26,), "f8", chunks=(1 << 26,))[:1] = 1
        elif case == "other filter":
            file.create_dataset("x", data=np.arange(1000.0), compression="lzf")
        elif case == "text of any length":
            file.create_dataset("x", data=["a", "b"], dtype=h5py.string_dtype())
        elif case == "rows of any length":
            file.create_dataset("x", (2,), dtype=h5py.vlen_dtype(np.float64))
        elif case == "named type":
            file["x"] = np.dtype([("a", "f8")])
        elif case == "records":
            file.create_dataset("x", data=np.zeros(3, [("a", "f8"), ("b", "i4")]))
        elif case == "reference to nothing":
            put(file, "x", np.full((1, 2), h5py.Reference(), h5py.ref_dtype), "cell")
        elif case == "cell in itself":
            cell = file.create_dataset("x", (1, 1), h5py.ref_dtype)
            cell[0, 0] = cell.ref
        elif case == "group in itself":
            file["x"] = file["/"]
        elif case == "laughs":
            entry = put(file, "l0", np.ones((1, 100_000)), "double")
            for level in range(1, 12):
                entry = put(file, f"l{level}", np.array([[entry.ref] * 10], h5py.ref_dtype), "cell")
        elif case == "text of numbers":
            put(file, "x", np.array([[1.5]]), "char")
    return sign(path)


CASES = (
    "external link",
    "soft link",
    "external storage",
    "virtual",
    "declared only",
    "huge chunk",
    "other filter",
    "text of any length",
    "rows of any length",
    "named type",
    "records",
    "reference to nothing",
    "cell in itself",
    "group in itself",
    "laughs",
    "text of numbers",
)


@pytest.mark.parametrize("case", CASES)
def test_hostile_v73_files(tmp_path: Path, case: str) -> None:
    refused(hostile_hdf5(case, tmp_path), max_bytes=50_000_000)


def test_the_sound_part_of_the_hostile_files_is_read(tmp_path: Path) -> None:
    assert_array_equal(load_mat(hostile_hdf5("", tmp_path))["sound"], np.ones((2, 2)))


def test_cut_v73_files(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    with hdf5(path) as file:
        put(file, "annot3", np.random.default_rng(0).normal(size=(50, 3)), "double", chunks=True, compression="gzip")
    data = sign(path).read_bytes()
    for count in [*range(1, len(data) - 8, 211), len(data) - 1]:
        path.write_bytes(data[:count])
        refused(path)


def test_sizes_are_limited(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"a": np.zeros(1000)})
    assert "at most 100 bytes" in refused(path, max_bytes=100)
    with pytest.raises(RawFileError, match="cannot be opened"):
        load_mat(tmp_path / "missing.mat")
    path.write_bytes(b"")
    assert "empty" in refused(path)
