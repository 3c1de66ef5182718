"""npz and npy files, sound and hostile."""

from __future__ import annotations

import pickle
import random
import struct
import tracemalloc
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pickle_opcodes import array, call, lit, lst, name, stream

from harmonize.errors import RawFileError
from harmonize.raw.npz import load_npy, load_npz, npz_header


def npy(value: Any) -> bytes:
    file = BytesIO()
    np.save(file, value)
    return file.getvalue()


def header(shape: str, descr: str = "'<f8'", version: int = 1, length: int | None = None) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    form = "<H" if version == 1 else "<I"
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack(form, len(text) if length is None else length) + text


def archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for member, data in members.items():
            file.writestr(member, data)
    return path


def refused(load: Any, path: Path, *arguments: Any) -> str:
    tracemalloc.start()
    try:
        with pytest.raises(RawFileError) as caught:
            load(path, *arguments)
        assert tracemalloc.get_traced_memory()[1] < 50 * path.stat().st_size + 8_000_000
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    return str(caught.value)


ARRAYS = {
    "poses": np.random.default_rng(0).normal(size=(7, 165)),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "names": np.array(["a/b.png", "日本"]),
    "gender": np.array("male"),
    "bytes": np.array([b"ab", b"c"]),
    "flags": np.array([True, False]),
    "records": np.zeros(3, [("a", "<i4"), ("b", "<f8", (2,))]),
    "empty": np.zeros((0, 144, 3)),
    "big": np.arange(3, dtype=">i2"),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back_equal(tmp_path: Path, save: Any) -> None:
    path = tmp_path / "a.npz"
    save(path, **ARRAYS)
    result = load_npz(path)
    assert list(result) == list(ARRAYS)
    for key, expected in ARRAYS.items():
        assert result[key].dtype == expected.dtype
        assert result[key].flags.writeable
        assert_array_equal(result[key], expected)
    headers = npz_header(path)
    assert headers == {key: (value.shape, value.dtype) for key, value in ARRAYS.items()}


def test_human_data_dictionaries_are_read(tmp_path: Path) -> None:
    smplx = {"body_pose": np.zeros((2, 21, 3)), "meta": {"gender": ["m", "f"]}}
    ragged = np.array([np.arange(2), None], object)
    np.savez_compressed(tmp_path / "h.npz", smplx=np.array(smplx, object), ragged=ragged, config="smplx")
    result = load_npz(tmp_path / "h.npz")
    assert result["smplx"].shape == ()
    assert result["smplx"].item()["body_pose"].shape == (2, 21, 3)
    assert result["smplx"].item()["meta"] == {"gender": ["m", "f"]}
    assert_array_equal(result["ragged"][0], [0, 1])
    assert str(result["config"]) == "smplx"
    assert npz_header(tmp_path / "h.npz")["smplx"] == ((), np.dtype(object))


def test_only_the_chosen_keys_are_read(tmp_path: Path) -> None:
    evil = header("()", "'|O'") + stream(call(name("posix", "system"), lit("true")))
    path = archive(tmp_path / "a.npz", {"good.npy": npy(np.arange(3)), "evil.npy": evil})
    assert list(load_npz(path, ["good"])) == ["good"]
    assert "posix.system" in refused(load_npz, path)
    assert "posix.system" in refused(load_npz, path, ["evil"])
    message = refused(load_npz, path, ["good", "poses"])
    assert "no poses among evil, good" in message


def test_npy_files(tmp_path: Path) -> None:
    for value in (*ARRAYS.values(), np.array({"a": 1}, object)):
        np.save(tmp_path / "a.npy", value)
        assert_array_equal(load_npy(tmp_path / "a.npy"), value)


def test_headers_of_python_2_and_of_version_2(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(header("(2L, 3L)") + np.arange(6.0).tobytes())
    assert load_npy(path).shape == (2, 3)
    path.write_bytes(header("(6,)", version=2) + np.arange(6.0).tobytes())
    assert_array_equal(load_npy(path), np.arange(6.0))


OBJECTS = "'|O'"
HOSTILE: dict[str, bytes] = {
    "terabyte": header("(1000000000000,)") + b"x" * 64,
    "overflowing": header("(4294967296, 4294967296, 4294967296)") + b"x" * 64,
    "negative": header("(-1, -8)") + b"x" * 64,
    "boolean": header("(True,)") + b"x" * 8,
    "too short": header("(9,)") + b"x" * 64,
    "too long": header("(7,)") + b"x" * 64,
    "no size": header("(1000000000000,)", "'|V0'"),
    "no shape": header("None") + b"x" * 64,
    "code in the header": header("(__import__('os').system('true'),)") + b"x" * 64,
    "deep header": b"\x93NUMPY\x01\x00" + struct.pack("<H", 60000) + b"(" * 60000,
    "long header": header("(8,)", version=2, length=1 << 31) + b"x" * 64,
    "header beyond the file": header("(8,)", length=60000),
    "version 9": b"\x93NUMPY\x09\x00" + header("(8,)")[8:] + b"x" * 64,
    "wrong magic": b"NUMPY" + header("(8,)") + b"x" * 64,
    "empty": b"",
    "pointers": header("(1,)", "[('a', '|O')]") + b"A" * 8,
    "payload": header("()", OBJECTS) + stream(call(name("posix", "system"), lit("touch marker"))),
    "payload in an array": header("(1,)", OBJECTS)
    + stream(array(np.empty(1, object), items=lst(call(name("builtins", "eval"), lit("1"))))),
    "object of another shape": header("(5,)", OBJECTS) + stream(array(np.empty(1, object), items=lst(lit(1)))),
    "object that is no array": header("()", OBJECTS) + pickle.dumps({"a": 1}, 2),
    "object and more": header("()", OBJECTS) + pickle.dumps(np.array(None, object), 4) + b"more",
    "plain pickle": pickle.dumps(np.arange(3), 4),
    "no characters": header("(1,)", "'<U1'") + b"\xff\xff\xff\x7f",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_arrays(tmp_path: Path, monkeypatch: Any, case: str) -> None:
    monkeypatch.chdir(tmp_path)
    if HOSTILE[case]:
        (tmp_path / "a.npy").write_bytes(HOSTILE[case])
        refused(load_npy, tmp_path / "a.npy")
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = archive(tmp_path / "a.npz", {"ok.npy": npy(np.arange(3)), "bad.npy": HOSTILE[case]}, method)
        refused(load_npz, path)
        assert_array_equal(load_npz(path, ["ok"])["ok"], np.arange(3))
    assert not Path("marker").exists()


@pytest.mark.parametrize("member", ["../a.npy", "a/../../b.npy", "/etc/a.npy", "a.txt", "a", "a.npy.exe"])
def test_members_that_are_no_arrays(tmp_path: Path, member: str) -> None:
    refused(load_npz, archive(tmp_path / "a.npz", {"ok.npy": npy(np.arange(3)), member: npy(np.arange(3))}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for value in (1, 2):
            file.writestr("a.npy", npy(value))
    assert "two members" in refused(load_npz, tmp_path / "a.npz")


def test_other_compression_methods(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", {"a.npy": npy(np.arange(3))}, zipfile.ZIP_LZMA)
    assert "compression method 14" in refused(load_npz, path)


def patched(path: Path, offset: int, form: str, value: int) -> None:
    """Changes a field of the first entry of the central directory."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, data.index(b"PK\x01\x02") + offset, value)
    path.write_bytes(data)


def test_an_encrypted_member(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", {"a.npy": npy(np.arange(3))})
    patched(path, 8, "<H", 1)
    assert "encrypted" in refused(load_npz, path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("size", [0, 1, 200, 1 << 31, 0xFFFFFFF0])
def test_false_sizes(tmp_path: Path, method: int, size: int) -> None:
    path = archive(tmp_path / "a.npz", {"a.npy": npy(np.arange(100))}, method)
    patched(path, 24, "<I", size)
    refused(load_npz, path)


def test_a_bomb_is_refused_by_its_declared_size(tmp_path: Path) -> None:
    data = header("(12500000,)") + bytes(100_000_000)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", data)
    del data
    path = tmp_path / "a.npz"
    with pytest.raises(RawFileError, match="over the limit of 10000000"):
        load_npz(path, max_bytes=10_000_000)
    assert npz_header(path)["a"][0] == (12_500_000,)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_cut_anywhere_is_one_clear_error(tmp_path: Path, save: Any) -> None:
    whole, path = tmp_path / "whole.npz", tmp_path / "cut.npz"
    save(whole, poses=np.random.default_rng(0).normal(size=(5, 72)), smplx=np.array({"a": np.zeros(3)}, object))
    data = whole.read_bytes()
    for count in [*range(0, len(data), max(1, len(data) // 100)), *range(len(data) - 30, len(data))]:
        path.write_bytes(data[:count])
        with pytest.raises(RawFileError, match=r"cut\.npz"):
            load_npz(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_bytes_never_give_other_errors_or_other_numbers(tmp_path: Path, save: Any) -> None:
    whole, path = tmp_path / "whole.npz", tmp_path / "damaged.npz"
    poses = np.random.default_rng(0).normal(size=(5, 72))
    save(whole, poses=poses, smplx=np.array({"a": np.zeros(3)}, object))
    data, numbers, errors = whole.read_bytes(), random.Random(1), 0
    for _ in range(400):
        damaged = bytearray(data)
        damaged[numbers.randrange(len(data))] ^= 1 << numbers.randrange(8)
        path.write_bytes(damaged)
        try:
            result = load_npz(path)
        except RawFileError:
            errors += 1
            continue
        for value in result.values():  # what is read under any name has the right checksum
            assert value.dtype == object or np.array_equal(value, poses)
    assert errors > 300


def test_other_files_are_not_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    for data in (b"\x89PNG\r\n\x1a\n", pickle.dumps({"a": 1}), b"PK\x03\x04" + b"\0" * 100, npy(np.arange(3))):
        path.write_bytes(data)
        refused(load_npz, path)
        refused(npz_header, path)
    with pytest.raises(RawFileError, match="cannot be opened"):
        load_npz(tmp_path / "missing.npz")
