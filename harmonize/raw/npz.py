"""npz and npy files: object arrays go through the restricted unpickler, no array is made that the file cannot fill."""

from __future__ import annotations

import math
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from harmonize.raw.guard import Refused, one_error
from harmonize.raw.paths import checked_size
from harmonize.raw.pickles import stream_pickle
from harmonize.raw.rebuild import check_text

MAX_NPZ_BYTES = 16 << 30
MAX_MEMBERS = 10_000
MAX_HEADER_BYTES = 10_000  # numpy's own limit
BLOCK_BYTES = 8 << 20
MAX_DEFLATE_RATIO = 1032  # what deflate can reach at most; more is a false size

_PYTHON2_INT = re.compile(rb"(\d)L(?=[,)\]])")

Header = tuple[tuple[int, ...], np.dtype[Any]]


def load_npz(
    path: Path, keys: tuple[str, ...] | list[str] | None = None, *, max_bytes: int = MAX_NPZ_BYTES
) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an npz: all of them, or only `keys`; the others are not read.

    An array of objects (HumanData keeps dictionaries in 0-d ones: take them with `.item()`) holds plain data only.

    Raises:
        RawFileError: the file is missing, truncated or no npz; a key is missing; a member is encrypted, named twice,
            not an array, or declares a size that is false or brings the sum over `max_bytes`; or an object array
            holds more than plain data.
    """
    path = Path(path)
    with _members(path, max_bytes) as (archive, members):
        chosen = list(members) if keys is None else list(keys)
        missing = [key for key in chosen if key not in members]
        if missing:
            raise Refused(f"no {', '.join(missing)} among {', '.join(sorted(members))}")
        total = sum(members[key].file_size for key in chosen)
        if total > max_bytes:
            raise Refused(f"arrays of {total} bytes, over the limit of {max_bytes}")
        arrays = {}
        for key in chosen:
            with archive.open(members[key]) as stream:
                arrays[key] = _read_array(stream, members[key].file_size, path, key)  # type: ignore[arg-type]
        return arrays


def npz_header(path: Path, *, max_bytes: int = MAX_NPZ_BYTES) -> dict[str, Header]:
    """Shape and dtype of every array of an npz, from their headers alone.

    Raises:
        RawFileError: as `load_npz`, as far as it shows without the data.
    """
    headers = {}
    with _members(Path(path), max_bytes) as (archive, members):
        for key, member in members.items():
            with archive.open(member) as stream:
                headers[key] = _read_header(stream, member.file_size, key)[0]  # type: ignore[arg-type]
    return headers


def npz_blocks(
    path: Path, key: str, *, block_bytes: int = BLOCK_BYTES, max_bytes: int = MAX_NPZ_BYTES
) -> Iterator[npt.NDArray[Any]]:
    """One array of an npz in blocks of rows, for arrays that need not be in memory at once.

    An array of objects, or in Fortran order, comes as one block.

    Raises:
        RawFileError: as `load_npz`, when the blocks are taken.
    """
    path = Path(path)
    with _members(path, max_bytes) as (archive, members):
        if key not in members:
            raise Refused(f"no {key} among {', '.join(sorted(members))}")
        member = members[key]
        with archive.open(member) as stream:
            (shape, dtype), is_fortran, _ = _read_header(stream, member.file_size, key)  # type: ignore[arg-type]
            if not dtype.hasobject and not is_fortran and shape:
                row = dtype.itemsize * math.prod(shape[1:])
                num_rows = max(1, block_bytes // max(row, 1))
                for first in range(0, shape[0], num_rows):
                    block = np.empty((min(num_rows, shape[0] - first), *shape[1:]), dtype)
                    _fill(block, stream, key)  # type: ignore[arg-type]
                    yield block
                _at_end(stream, key)  # type: ignore[arg-type]
                return
    yield load_npz(path, [key], max_bytes=max_bytes)[key]


def load_npy(path: Path, *, max_bytes: int = MAX_NPZ_BYTES) -> npt.NDArray[Any]:
    """The array of an npy file.

    Raises:
        RawFileError: the file is missing, larger than `max_bytes`, truncated, no npy, or holds more than plain data.
    """
    path = Path(path)
    size = checked_size(path, max_bytes)
    with one_error(path, "an npy array"), path.open("rb") as file:
        return _read_array(file, size, path, path.name)


@contextmanager
def _members(path: Path, max_bytes: int) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    size = checked_size(path, max_bytes)
    with one_error(path, "an npz archive"), zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_MEMBERS:
            raise Refused(f"{len(entries)} members, over the limit of {MAX_MEMBERS}")
        members: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            key = entry.filename.removesuffix(".npy")
            if key == entry.filename or ".." in key.split("/") or key.startswith("/"):
                raise Refused(f"a member named {entry.filename!r}, which is no array")
            if key in members:
                raise Refused(f"two members named {entry.filename!r}")
            if entry.flag_bits & 1:
                raise Refused(f"the encrypted member {entry.filename!r}")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Refused(f"the member {entry.filename!r} with compression method {entry.compress_type}")
            most = entry.compress_size * (1 if entry.compress_type == zipfile.ZIP_STORED else MAX_DEFLATE_RATIO)
            if entry.compress_size > size or entry.file_size > most:
                raise Refused(f"the member {entry.filename!r} with a false size of {entry.file_size} bytes")
            members[key] = entry
        yield archive, members


def _read_header(stream: BinaryIO, size: int, key: str) -> tuple[tuple[tuple[int, ...], np.dtype[Any]], bool, int]:
    """((shape, dtype), whether in Fortran order, number of data bytes)."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise Refused(f"{key}: npy format {version}")
    form = "<H" if version == (1, 0) else "<I"
    prefix = stream.read(struct.calcsize(form))
    (length,) = struct.unpack(form, prefix)
    if length > min(MAX_HEADER_BYTES, size):
        raise Refused(f"{key}: a header of {length} bytes")
    shape, is_fortran, dtype = _parse_header(version, stream.read(length))
    if not all(type(n) is int and n >= 0 for n in shape):
        raise Refused(f"{key}: shape {shape}")
    if dtype.hasobject and dtype != np.dtype(object):
        raise Refused(f"{key}: records with objects in them")
    num_entries = math.prod(int(n) for n in shape)
    num_data = size - np.lib.format.MAGIC_LEN - len(prefix) - length
    if not dtype.hasobject and num_entries * dtype.itemsize != num_data:
        raise Refused(f"{key}: {num_data} bytes for {shape} {dtype}, which takes {num_entries * dtype.itemsize}")
    if not dtype.itemsize and num_entries:
        raise Refused(f"{key}: {shape} entries of no size")
    return (shape, dtype), is_fortran, num_data


@lru_cache(maxsize=256)  # a folder of files, one a person, says the same thousands of times
def _parse_header(version: tuple[int, int], raw: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and dtype."""
    text = _PYTHON2_INT.sub(rb"\1", raw)  # numpy reads these too, but warns each time
    header = BytesIO(struct.pack("<H" if version == (1, 0) else "<I", len(text)) + text)
    parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return parse(header, max_header_size=MAX_HEADER_BYTES)


def _read_array(stream: BinaryIO, size: int, path: Path, key: str) -> npt.NDArray[Any]:
    (shape, dtype), is_fortran, num_data = _read_header(stream, size, key)
    if dtype.hasobject:
        # Small ones are read whole: seeking back in a compressed member means to read it again.
        source = BytesIO(stream.read(num_data)) if num_data <= BLOCK_BYTES else stream
        array = stream_pickle(source, num_data, path)
        if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
            raise Refused(f"{key}: an object array that is not the {shape} of its header")
    else:
        array = np.empty(shape, dtype, order="F" if is_fortran else "C")
        _fill(array, stream, key)
    _at_end(stream, key)
    return array


def _fill(array: npt.NDArray[Any], stream: BinaryIO, key: str) -> None:
    """Read the entries of an array, in the order in which they lie in memory."""
    target = memoryview(array.reshape(-1, order="A").view(np.uint8).data if array.nbytes else b"")
    filled = 0
    while filled < array.nbytes:
        count = stream.readinto(target[filled:])  # type: ignore[attr-defined]
        if not count:
            raise Refused(f"{key}: {filled} bytes where {array.nbytes} must be (truncated)")
        filled += count
    check_text(array)


def _at_end(stream: BinaryIO, key: str) -> None:
    if stream.read(1):  # also makes zipfile compare the checksum
        raise Refused(f"{key}: more bytes than the array takes")
