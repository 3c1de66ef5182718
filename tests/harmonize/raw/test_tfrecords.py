"""TFRecords written by hand from the format's description, damaged ones, and the checksum's published values."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest

from harmonize.errors import RawFileError
from harmonize.raw import tfrecords
from harmonize.raw.tfrecords import crc32c, example, records


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def message(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def features(**named: bytes) -> bytes:
    entries = (message(1, message(1, key.encode()) + message(2, value)) for key, value in named.items())
    return message(1, b"".join(entries))


def integers(*values: int, packed: bool = True) -> bytes:
    if packed:
        return message(3, message(1, b"".join(map(varint, values))))
    return message(3, b"".join(b"\x08" + varint(value) for value in values))


def floats(*values: float, packed: bool = True) -> bytes:
    if packed:
        return message(2, message(1, struct.pack(f"<{len(values)}f", *values)))
    return message(2, b"".join(b"\x0d" + struct.pack("<f", value) for value in values))


def texts(*values: bytes) -> bytes:
    return message(1, b"".join(message(1, value) for value in values))


def simple_crc(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = simple_crc(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def test_published_checksums() -> None:
    """RFC 3720, B.4."""
    assert crc32c(b"\0" * 32) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


@pytest.mark.parametrize("count", [1, 8191, 8192, 8193, 20_000])
def test_lanes_give_the_same_as_bit_by_bit(count: int) -> None:
    data = np.random.default_rng(count).bytes(count)
    assert crc32c(data) == simple_crc(data)


def test_long_records_are_checked_fast() -> None:
    data = np.random.default_rng(1).bytes(8 << 20)
    start = time.perf_counter()
    crc32c(data)
    assert time.perf_counter() - start < 4


def write(path: Path, *bodies: bytes) -> Path:
    path.write_bytes(b"".join(map(record, bodies)))
    return path


@pytest.mark.parametrize("packed", [True, False])
def test_lists_of_an_example(tmp_path: Path, packed: bool) -> None:
    body = features(
        **{
            "meta/N": integers(2, packed=packed),
            "image/xys": floats(0.5, -1.25, packed=packed),
            "negative": integers(-1, 1 << 40, packed=packed),
            "image/encoded": texts(b"\xff\xd8", b""),
            "nothing": b"",
        }
    )
    path = write(tmp_path / "a.tfrecord", b"", body)
    first, second = records(path)
    assert example(path, first) == {}
    found = example(path, second)
    assert list(found) == ["meta/N", "image/xys", "negative", "image/encoded", "nothing"]
    np.testing.assert_array_equal(found["meta/N"], [2])
    np.testing.assert_array_equal(found["image/xys"], np.float32([0.5, -1.25]))
    np.testing.assert_array_equal(found["negative"], [-1, 1 << 40])
    assert found["image/encoded"] == (b"\xff\xd8", b"")
    assert found["nothing"] == ()


def test_cut_anywhere(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", features(a=integers(1)), features(b=floats(2.0)))
    data = path.read_bytes()
    boundary = len(record(features(a=integers(1))))
    for count in range(len(data)):
        if count == boundary:
            continue
        path.write_bytes(data[:count])
        with pytest.raises(RawFileError, match=r"a\.tfrecord"):
            records(path)


def test_every_flipped_bit_is_seen(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", features(a=integers(1, 2, 3)))
    data = bytearray(path.read_bytes())
    for at in range(len(data)):
        data[at] ^= 4
        path.write_bytes(data)
        with pytest.raises(RawFileError, match=r"a\.tfrecord"):
            example(path, records(path)[0])
        data[at] ^= 4


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\xff\xff\xff\xff\x7f",  # a length beyond the record
        b"\x0a\x02\x0a\x7f",  # inside
        b"\x0b",  # a group
        b"\xff" * 11,  # a number without end
        message(1, message(1, message(2, b""))),  # no name
        message(1, message(1, b"\x08\x01" + message(2, b""))),  # a number for a name
        features(a=message(2, message(1, b"\0\0\0"))),  # three bytes for a float
        message(1, message(1, message(1, b"\xff") + message(2, b""))),  # a name that is no text
    ],
)
def test_hostile_messages_are_one_error(tmp_path: Path, body: bytes) -> None:
    path = write(tmp_path / "a.tfrecord", body)
    with pytest.raises(RawFileError, match=r"a\.tfrecord: expected TFRecords"):
        example(path, records(path)[0])


def test_a_false_length_allocates_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tfrecord"
    length = struct.pack("<Q", 1 << 62)
    path.write_bytes(length + masked(length) + b"x" * 20)
    with pytest.raises(RawFileError, match="a false length"):
        records(path)
    monkeypatch.setattr(tfrecords, "MAX_RECORD_BYTES", 5)
    with pytest.raises(RawFileError, match="a false length"):
        records(write(path, b"sixsix"))
