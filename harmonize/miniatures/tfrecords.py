"""TFRecord files of `tf.train.Example`s, written without TensorFlow.

A record is its length, a masked CRC-32C of the length, the data, and a masked CRC-32C of the data; an Example is a
protocol buffer: a map from names to lists of bytes (field 1), floats (field 2) or 64-bit integers (field 3).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from harmonize.miniatures.points import Floats

Feature = Sequence[bytes] | Sequence[int] | Floats
"""Lists of bytes, lists of integers that are not negative, or floats."""
_CASTAGNOLI = 0x82F63B78


def write_tfrecord(path: Path, examples: Iterable[Mapping[str, Feature]]) -> None:
    """One record an example; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(_record(_example(features)) for features in examples))


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_CASTAGNOLI if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def _masked_crc(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _example(features: Mapping[str, Feature]) -> bytes:
    entries = (_field(1, name.encode()) + _field(2, _feature(value)) for name, value in features.items())
    return _field(1, b"".join(_field(1, entry) for entry in entries))


def _feature(value: Feature) -> bytes:
    if isinstance(value, np.ndarray):
        return _field(2, _field(1, np.ravel(value).astype("<f4").tobytes()))
    if any(isinstance(entry, bytes) for entry in value):
        return _field(1, b"".join(_field(1, entry) for entry in value if isinstance(entry, bytes)))
    return _field(3, _field(1, b"".join(_varint(int(entry)) for entry in value)))


def _field(number: int, data: bytes) -> bytes:
    """A field of the length-delimited wire type."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
