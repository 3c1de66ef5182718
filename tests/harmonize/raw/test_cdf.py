"""CDF files as an independent writer makes them, and damaged ones."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import cdflib
import numpy as np
import pytest
from cdflib.cdfwrite import CDF

from harmonize.errors import RawFileError
from harmonize.raw.cdf import load_cdf

DOUBLE, FLOAT = 45, 44


def written(
    path: Path, values: np.ndarray, *, kind: int = DOUBLE, compress: int = 0, whole: int = 0, **spec: Any
) -> Path:
    cdf = CDF(path, cdf_spec={"Compressed": whole, **spec}, delete=True)
    cdf.write_var(
        {
            "Variable": "Pose",
            "Data_Type": kind,
            "Num_Elements": 1,
            "Rec_Vary": True,
            "Dim_Sizes": list(values.shape[1:]),
            "Compress": compress,
        },
        var_data=values,
    )
    cdf.close()
    return path


@pytest.mark.parametrize("majority", ["row_major", "column_major"])
@pytest.mark.parametrize("encoding", [1, 6], ids=["big-endian", "little-endian"])
@pytest.mark.parametrize(("compress", "whole"), [(0, 0), (6, 0), (0, 6)])
@pytest.mark.parametrize("shape", [(1, 7, 96), (3, 2, 4)])
def test_written_by_another_library(
    tmp_path: Path, majority: str, encoding: int, compress: int, whole: int, shape: tuple[int, ...]
) -> None:
    values = np.random.default_rng(3).normal(size=shape)
    spec = {"Majority": majority, "Encoding": encoding}
    path = written(tmp_path / "a.cdf", values, compress=compress, whole=whole, **spec)
    # Its writer stores the values of a column-major file as they lie, so its reader says what the file means.
    np.testing.assert_array_equal(load_cdf(path, "Pose"), cdflib.CDF(path).varget("Pose"))
    if majority == "row_major":
        np.testing.assert_array_equal(load_cdf(path, "Pose"), values)


def test_number_types_and_record_only_variables(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32)
    found = load_cdf(written(tmp_path / "a.cdf", values, kind=FLOAT), "Pose")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values)


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.cdf", np.zeros((1, 2, 2)))
    with pytest.raises(RawFileError, match=r"a\.cdf: .*'Masks'.* only the variables Pose"):
        load_cdf(path, "Masks")


@pytest.mark.parametrize(("compress", "whole"), [(0, 0), (6, 0), (0, 6)])
def test_cut_anywhere(tmp_path: Path, compress: int, whole: int) -> None:
    values = np.random.default_rng(1).normal(size=(1, 9, 64))
    data = written(tmp_path / "a.cdf", values, compress=compress, whole=whole).read_bytes()
    path = tmp_path / "cut.cdf"
    for count in {*range(0, len(data), max(1, len(data) // 60)), len(data) - 1, len(data) - 3}:
        path.write_bytes(data[:count])
        with pytest.raises(RawFileError, match=r"cut\.cdf"):
            load_cdf(path, "Pose")


def test_every_byte_changed_is_data_or_one_error(tmp_path: Path) -> None:
    data = written(tmp_path / "a.cdf", np.ones((2, 3, 2)), compress=6).read_bytes()
    path = tmp_path / "changed.cdf"
    num_refused = 0
    for at in range(len(data)):
        for value in (0x00, 0x7F, 0xFF):
            path.write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
            try:
                assert load_cdf(path, "Pose").nbytes <= 1 << 20
            except RawFileError:
                num_refused += 1
    assert num_refused > 100


def test_an_index_in_a_circle_ends(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path / "a.cdf", np.ones((2, 3))).read_bytes())
    (at,) = [n for n in range(8, len(data) - 12) if struct.unpack_from(">qi", data, n)[1:] == (6,)][:1]
    data[at + 12 : at + 20] = struct.pack(">q", at)
    path = tmp_path / "circle.cdf"
    path.write_bytes(bytes(data))
    with pytest.raises(RawFileError, match="circle"):
        load_cdf(path, "Pose")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.cdf"
    for content in (b"<html>", b"\xcd\xf3\0\x01\0\0\xff\xff", b"\0" * 400):
        path.write_bytes(content)
        with pytest.raises(RawFileError, match=r"a\.cdf"):
            load_cdf(path, "Pose")
