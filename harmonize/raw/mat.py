"""MATLAB files: v5 through scipy and v7.3 through h5py, both looked through before anything is built.

Values come as `scipy.io.loadmat(simplify_cells=True)` gives them: numbers as squeezed arrays or scalars, structs as
dictionaries, cells as lists or object arrays, text as `str`. v7.3 files, which HDF5 keeps transposed, come in MATLAB's
own order of axes. h5py hands damaged HDF5 to a C library, so a v7.3 file is trusted to that library's own checks.
"""

from __future__ import annotations

import math
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

from harmonize.raw.guard import Refused, one_error
from harmonize.raw.paths import checked_size

MAX_MAT_BYTES = 2 << 30
MAX_NESTING = 32  # scipy reads nested cells by recursion in C
_HEADER_BYTES = 128
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_COMPRESSED, _MATRIX = 15, 14
_CELL, _STRUCT, _CHAR, _NUMBERS = 1, 2, 4, range(6, 16)
_STORAGE_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
_NUMBER_BYTES = {6: 8, 7: 4, 8: 1, 9: 1, 10: 2, 11: 2, 12: 4, 13: 4, 14: 8, 15: 8}


def load_mat(path: Path, *, max_bytes: int = MAX_MAT_BYTES) -> dict[str, Any]:
    """The variables of a MATLAB file, v5 or v7.3.

    Raises:
        RawFileError: the file is missing, truncated, neither form, larger than `max_bytes` (also when decompressed),
            or holds more than numbers, text, cells and structs: function handles and objects are refused, as are
            links and data outside the file.
        UsageError: scipy or h5py is not installed.
    """
    path = Path(path)
    checked_size(path, max_bytes)
    with one_error(path, "a MATLAB file of numbers, text, cells and structs"):
        with path.open("rb") as file:
            start = file.read(512 + len(_HDF5_MAGIC))
        if _HDF5_MAGIC in (start[: len(_HDF5_MAGIC)], start[512:]):
            from harmonize.raw.hdf5 import load_hdf5

            return load_hdf5(path, max_bytes)
        return _load_v5(path.read_bytes(), max_bytes)


def _load_v5(data: bytes, max_bytes: int) -> dict[str, Any]:
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128], "")
    if len(data) < _HEADER_BYTES or not order or struct.unpack(f"{order}H", data[124:126])[0] != 0x0100:
        raise Refused("no MATLAB header of version 5")
    # Bytes 116:124 would lead scipy to a subsystem block, where objects are kept.
    plain = bytearray(data[:116] + b" " * 8 + data[124:_HEADER_BYTES])
    at = _HEADER_BYTES
    while at < len(data):
        kind, count = struct.unpack(f"{order}II", _part(data, at, 8))
        body = _part(data, at + 8, count)
        at += 8 + count
        if kind == _COMPRESSED:
            inflater = zlib.decompressobj()
            element = inflater.decompress(body, max_bytes)
            if not inflater.eof:
                raise Refused(f"compressed data that is truncated or larger than {max_bytes} bytes")
        else:
            element = struct.pack(f"{order}II", kind, count) + body
        if len(plain) + len(element) > max_bytes:
            raise Refused(f"data of more than {max_bytes} bytes when decompressed")
        if _check_matrix(element, order, 0) != len(element):
            raise Refused("more bytes than a variable takes")
        plain += element
    from scipy.io import loadmat

    variables: dict[str, Any] = loadmat(BytesIO(plain), simplify_cells=True)
    return {name: value for name, value in variables.items() if not name.startswith("__")}


def _part(data: bytes, at: int, count: int) -> bytes:
    if count > len(data) - at:
        raise Refused(
            f"{count} bytes declared at byte {at} where {len(data) - at} are left (truncated, or a false length)"
        )
    return data[at : at + count]


def _element(data: bytes, at: int, order: str) -> tuple[int, bytes, int]:
    """Type, contents and end of a data element; up to four bytes of contents may sit in the tag itself."""
    tag = _part(data, at, 8)
    kind, count = struct.unpack(f"{order}II", tag)
    if kind >> 16:
        kind, count = kind & 0xFFFF, kind >> 16
        if count > 4:
            raise Refused(f"{count} bytes in a tag that has 4")
        return kind, tag[4 : 4 + count], at + 8
    body = _part(data, at + 8, count)
    return kind, body, min(at + 8 + count + (-count % 8), len(data))


def _check_matrix(data: bytes, order: str, depth: int, start: int = 0) -> int:
    """The end of a matrix whose sizes fit its bytes and whose class is plain, looked through without building it."""
    kind, count = struct.unpack(f"{order}II", _part(data, start, 8))
    if kind != _MATRIX:
        raise Refused(f"a data element of type {kind} where a variable must be")
    if depth > MAX_NESTING:
        raise Refused(f"cells or structs nested deeper than {MAX_NESTING}")
    _part(data, start + 8, count)
    end: int = start + 8 + count
    if count == 0:
        return end
    _, flags, at = _element(data, start + 8, order)
    _, sizes, at = _element(data, at, order)
    _, _name, at = _element(data, at, order)
    (word,) = struct.unpack(f"{order}I", _part(flags, 0, 4))
    cls, is_complex = word & 0xFF, bool(word & 0x800)
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    if not shape or min(shape) < 0:
        raise Refused(f"a variable of shape {shape}")
    num_entries = math.prod(shape)
    if cls in (_CELL, _STRUCT):
        if cls == _STRUCT:
            _, width, at = _element(data, at, order)
            _, names, at = _element(data, at, order)
            (name_bytes,) = struct.unpack(f"{order}i", width)
            if name_bytes <= 0 or len(names) % name_bytes:
                raise Refused("field names of an unknown form")
            num_fields = len(names) // name_bytes
            if not num_fields and num_entries > 1:
                raise Refused(f"{num_entries} structs without fields")
            num_entries *= num_fields
        if num_entries > (end - at) // 8:
            raise Refused(f"{num_entries} entries in {end - at} bytes")
        for _ in range(num_entries):
            at = _check_matrix(data, order, depth + 1, at)
    elif cls == _CHAR or cls in _NUMBERS:
        for _ in range(2 if is_complex else 1):
            storage, body, at = _element(data, at, order)
            size = _STORAGE_BYTES.get(storage)
            if (
                size is None
                or (cls in _NUMBERS and len(body) != num_entries * size)
                or len(body) > num_entries * 4 * size
            ):
                raise Refused(f"{len(body)} bytes of type {storage} for {num_entries} entries")
            if cls == _CHAR and num_entries > len(body):
                raise Refused(f"{num_entries} characters in {len(body)} bytes")
    else:
        raise Refused(f"a variable of MATLAB class {cls} (function handle, object or sparse matrix)")
    if at > end:
        raise Refused("parts that reach beyond their variable")
    return end
