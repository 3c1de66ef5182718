"""TFRecord files of `tf.train.Example` messages, without TensorFlow.

A file is a row of records: length (8 bytes), its checksum, the bytes, their checksum; checksums are CRC-32C, "masked"
(TensorFlow, tfrecord format). An Example is a protocol buffer: a map from names to lists of bytes, floats or integers.
Of damaged or hostile files nothing is believed that the bytes do not show.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from harmonize.raw.guard import Refused, one_error
from harmonize.raw.paths import checked_size

MAX_TFRECORD_BYTES = 64 << 30
MAX_RECORD_BYTES = 1 << 30
_LANES = 1024
_MASK = 0xA282EAD8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Feature = tuple[bytes, ...] | npt.NDArray[np.float32] | npt.NDArray[np.int64]
Example = dict[str, Feature]


@dataclass(frozen=True, slots=True)
class Record:
    """Where the bytes of a record lie in its file."""

    offset: int
    size: int


def records(path: Path) -> list[Record]:
    """The records of a file, from their lengths alone; the bytes themselves are checked when they are read.

    Raises:
        RawFileError: the file is missing, truncated, or a length does not have its checksum.
    """
    size = checked_size(path, MAX_TFRECORD_BYTES)
    found: list[Record] = []
    with one_error(path, "TFRecords"), path.open("rb") as file:
        at = 0
        while at < size:
            file.seek(at)
            head = file.read(12)
            if len(head) < 12 or struct.unpack("<I", head[8:])[0] != _masked(head[:8]):
                raise Refused(f"no length with its checksum at byte {at}")
            (count,) = struct.unpack("<Q", head[:8])
            if count > min(MAX_RECORD_BYTES, size - at - 16):
                raise Refused(f"a record of {count} bytes at byte {at} of {size} (truncated, or a false length)")
            found.append(Record(at + 12, count))
            at += count + 16
    return found


def example(path: Path, record: Record) -> Example:
    """The Example of a record.

    Raises:
        RawFileError: the bytes do not have their checksum, or are no Example.
    """
    with one_error(path, "TFRecords of tf.train.Example"), path.open("rb") as file:
        return _example(_checked(file, record))


def _checked(file: BinaryIO, record: Record) -> bytes:
    file.seek(record.offset)
    data, tail = file.read(record.size), file.read(4)
    if len(data) < record.size or len(tail) < 4:
        raise Refused(f"the record at byte {record.offset} truncated")
    if struct.unpack("<I", tail)[0] != _masked(data):
        raise Refused(f"a record at byte {record.offset} whose checksum is wrong")
    return data


def _example(data: bytes) -> Example:
    found: Example = {}
    for number, features in _fields(memoryview(data)):
        if number != 1:
            continue
        for _, entry in _fields(_message(features)):
            parts = dict(_fields(_message(entry)))
            if 1 not in parts:
                raise Refused("a feature without a name")
            found[bytes(_message(parts[1])).decode("utf-8")] = _feature(_message(parts.get(2, memoryview(b""))))
    return found


def _feature(data: memoryview) -> Feature:
    """A Feature: one of the three lists; an empty tuple where it has none."""
    for kind, values in _fields(data):
        entries = [value for number, value in _fields(_message(values)) if number == 1]
        if kind == 1:
            return tuple(bytes(_message(value)) for value in entries)
        if kind == 2:
            parts = [np.frombuffer(_message(value), "<f4") for value in entries]
            return np.concatenate(parts) if parts else np.empty(0, np.float32)
        if kind == 3:
            numbers: list[int] = []
            for value in entries:
                numbers += [value] if isinstance(value, int) else _packed(value)
            return np.array(numbers, np.uint64).astype(np.int64)
    return ()


def _message(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise Refused("a number where a message must be")
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """The (number, value) fields of a message: an int for a varint, bytes for all else."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind not in (_FIXED64, _BYTES, _FIXED32):
            raise Refused(f"a field of wire type {kind}")
        count = 8 if kind == _FIXED64 else 4
        if kind == _BYTES:
            count, at = _varint(data, at)
        if count > len(data) - at:
            raise Refused(f"{count} bytes declared where {len(data) - at} are left")
        yield key >> 3, data[at : at + count]
        at += count


def _packed(data: memoryview) -> list[int]:
    numbers, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        numbers.append(value)
    return numbers


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, at
    raise Refused("a number without end, or beyond 64 bits")


# CRC-32C. The register is linear in what it is fed, so a long row of bytes is cut into lanes that advance together, and
# each lane's register is moved over the lanes behind it. How bits move shows in 32 more lanes that are fed zeros.


@cache
def _table() -> npt.NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> np.uint32(1)) ^ np.uint32(0x82F63B78), table >> np.uint32(1))
    return table.astype(np.uint32)


def crc32c(data: bytes) -> int:
    """The CRC-32C (Castagnoli) of bytes; about 100 MB a second on long ones."""
    table, width = _table(), len(data) // _LANES
    register = 0xFFFFFFFF
    if width >= 8:
        rows = np.frombuffer(data, np.uint8, _LANES * width).reshape(_LANES, width)
        lanes = np.zeros(_LANES + 32, np.uint32)
        lanes[0] = register
        lanes[_LANES:] = np.uint32(1) << np.arange(32, dtype=np.uint32)
        for column in np.ascontiguousarray(rows.T):
            low = lanes & np.uint32(0xFF)
            low[:_LANES] ^= column
            lanes = table[low] ^ (lanes >> np.uint32(8))
        moved = lanes[_LANES:].tolist()
        register = int(lanes[0])
        for lane in lanes[1:_LANES].tolist():
            for bit, effect in enumerate(moved):
                if register >> bit & 1:
                    lane ^= effect
            register = lane
        data = data[_LANES * width :]
    entries = table.tolist()
    for byte in data:
        register = entries[(register ^ byte) & 0xFF] ^ (register >> 8)
    return register ^ 0xFFFFFFFF


def _masked(data: bytes) -> int:
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF
