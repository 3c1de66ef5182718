"""Common Data Format (CDF) version 3, the container of Human3.6M's poses: one numeric variable of a file.

Layout after NASA's "CDF Internal Format Description" (version 3): big-endian records, each with its size and type in
front, that point at each other by file offset. Every offset and length is checked against the file, every record of a
chain is visited once, and no array is made that its bytes cannot fill.
"""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.raw.guard import Refused, one_error
from harmonize.raw.paths import checked_size

MAX_CDF_BYTES = 1 << 30  # Human3.6M's largest file has 30 MB
_CDR, _GDR, _RVDR, _VXR, _VVR, _ZVDR, _CCR, _CPR, _CVVR = 1, 2, 3, 6, 7, 8, 10, 11, 13
_MAGIC = bytes.fromhex("cdf30001")
_PLAIN, _COMPRESSED = bytes.fromhex("0000ffff"), bytes.fromhex("cccc0001")
_GZIP = 5
_NAME_BYTES = 256
_BIG_ENDIAN = {1, 2, 5, 7, 9, 11, 12, 18}  # network, Sun, SGi, RS, Macintosh, HP, NeXT, ARM big
_LITTLE_ENDIAN = {4, 6, 13, 16, 17}  # DECstation, IBM PC, Alpha OSF1, Alpha VMS IEEE, ARM little
_TYPES = {1: "i1", 2: "i2", 4: "i4", 8: "i8", 11: "u1", 12: "u2", 14: "u4", 21: "f4", 22: "f8", 44: "f4", 45: "f8"}


def load_cdf(path: Path, name: str, *, max_bytes: int = MAX_CDF_BYTES) -> npt.NDArray[Any]:
    """The variable `name`: (records, *dimensions), in the number type of the file and the machine's byte order.

    Raises:
        RawFileError: the file is missing, truncated, no CDF of version 3, larger than `max_bytes` (also when
            decompressed), lacks the variable, or keeps it in a way that dense numbers do not need.
    """
    path = Path(path)
    checked_size(path, max_bytes)
    with one_error(path, f"a CDF file with the variable {name!r}"):
        data = path.read_bytes()
        if data[:4] != _MAGIC:
            raise Refused("no CDF header of version 3")
        if data[4:8] == _COMPRESSED:
            data = _inflated_file(data, max_bytes)
        elif data[4:8] != _PLAIN:
            raise Refused("a CDF header of an unknown form")
        return _File(data, max_bytes).variable(name)


class _Record:
    """The fields of one record, read in order."""

    def __init__(self, data: bytes, at: int, *types: int) -> None:
        if not 8 <= at <= len(data) - 12:
            raise Refused(f"a record at byte {at} of {len(data)} (truncated, or a false offset)")
        size, self.type = struct.unpack_from(">qi", data, at)
        if self.type not in types:
            raise Refused(f"a record of type {self.type} at byte {at} where type {types[0]} must be")
        if not 12 <= size <= len(data) - at:
            raise Refused(f"a record of {size} bytes at byte {at} where {len(data) - at} are left (truncated)")
        self.data, self.at, self.end = data, at + 12, at + size

    def take(self, form: str) -> Any:
        values = struct.unpack(f">{form}", self.bytes(struct.calcsize(f">{form}")))
        return values[0] if len(values) == 1 else values

    def many(self, count: int, form: str) -> tuple[int, ...]:
        if not 0 <= count <= (self.end - self.at) // struct.calcsize(form):
            raise Refused(f"{count} entries in {self.end - self.at} bytes")
        return struct.unpack(f">{count}{form}", self.bytes(struct.calcsize(f">{count}{form}")))

    def bytes(self, count: int) -> bytes:
        if not 0 <= count <= self.end - self.at:
            raise Refused(f"{count} bytes at byte {self.at} of a record that ends at {self.end}")
        self.at += count
        return self.data[self.at - count : self.at]


class _File:
    def __init__(self, data: bytes, max_bytes: int) -> None:
        self.data, self.max_bytes = data, max_bytes
        header = _Record(data, 8, _CDR)
        (gdr, _version, _release, encoding, flags) = header.take("qiiii")
        if encoding not in _BIG_ENDIAN | _LITTLE_ENDIAN:
            raise Refused(f"numbers in the encoding {encoding}")
        if not flags & 2:
            raise Refused("a CDF whose variables lie in other files")
        self.order = ">" if encoding in _BIG_ENDIAN else "<"
        self.is_row_major = bool(flags & 1)
        self.gdr = _Record(data, gdr, _GDR)
        self.heads = self.gdr.take("qq")
        _attributes, end = self.gdr.take("qq")
        if end > len(data):
            raise Refused(f"{len(data)} bytes where {end} must be (truncated)")
        _, _, _, num_dims = self.gdr.take("iiii")
        self.gdr.take("iqiii")
        self.dims = self.gdr.many(num_dims, "i")

    def variable(self, name: str) -> npt.NDArray[Any]:
        names = []
        for record, found, fields in self._variables():
            names.append(found)
            if found == name:
                return self._values(record, fields)
        raise Refused(f"only the variables {', '.join(names)[:200] or 'none'}")

    def _variables(self) -> Iterator[tuple[_Record, str, tuple[int, ...]]]:
        for head, kind in zip(self.heads, (_RVDR, _ZVDR), strict=True):
            seen: set[int] = set()
            while head:
                if head in seen:
                    raise Refused("variables that are linked in a circle")
                seen.add(head)
                record = _Record(self.data, head, kind)
                head, kind_of_number, max_record, index = record.take("qiiq")
                record.take("q")
                flags, sparse = record.take("ii")
                record.take("iii")
                num_elements, _number, compression, _blocking = record.take("iiqi")
                name = record.bytes(_NAME_BYTES).rstrip(b"\0 ").decode("ascii")
                yield record, name, (kind_of_number, max_record, index, flags, sparse, num_elements, compression)

    def _values(self, record: _Record, fields: tuple[int, ...]) -> npt.NDArray[Any]:
        kind, max_record, index, flags, sparse, num_elements, compression = fields
        code = _TYPES.get(kind)
        if code is None or num_elements != 1 or sparse:
            raise Refused(f"values of type {kind} ({num_elements} elements each), or sparse records")
        dims = record.many(record.take("i"), "i") if record.type == _ZVDR else self.dims
        varies = record.many(len(dims), "i")
        shape = tuple(size for size, does in zip(dims, varies, strict=True) if does)
        num_records = max_record + 1
        if any(size < 1 for size in shape) or num_records < 0 or (num_records > 1 and not flags & 1):
            raise Refused(f"{num_records} records of shape {shape}")
        dtype = np.dtype(f"{self.order}{code}")
        record_bytes = math.prod(shape) * dtype.itemsize
        if num_records * record_bytes > self.max_bytes:
            raise Refused(f"{num_records} records of shape {shape}, over the limit of {self.max_bytes} bytes")
        is_gzip = bool(flags & 4) and self._compression(compression) == _GZIP
        pieces, next_record = [], 0
        for first, last, offset in sorted(self._extents(index)):
            if first != next_record or not first <= last < num_records:
                raise Refused(f"records {first} to {last} where record {next_record} must follow")
            pieces.append(self._block(offset, (last - first + 1) * record_bytes, is_gzip=is_gzip))
            next_record = last + 1
        if next_record != num_records:
            raise Refused(f"{next_record} records where {num_records} are declared")
        values = np.frombuffer(b"".join(pieces), dtype)
        if self.is_row_major:
            values = values.reshape(num_records, *shape)
        else:
            values = values.reshape(num_records, *shape[::-1])
            values = values.transpose(0, *range(len(shape), 0, -1))
        return values.astype(dtype.newbyteorder("="))

    def _compression(self, offset: int) -> int:
        kind = int(_Record(self.data, offset, _CPR).take("i"))
        if kind != _GZIP:
            raise Refused(f"compression of type {kind}")
        return kind

    def _extents(self, index: int) -> Iterator[tuple[int, int, int]]:
        """(first record, last record, offset of their values), through all levels of the index."""
        waiting, seen = [index], set()
        while waiting:
            at = waiting.pop()
            if at in seen:
                raise Refused("an index that is linked in a circle")
            seen.add(at)
            record = _Record(self.data, at, _VXR)
            following, num_entries, num_used = record.take("qii")
            firsts, lasts, offsets = (record.many(num_entries, form) for form in "iiq")
            if not 0 <= num_used <= num_entries:
                raise Refused(f"{num_used} of {num_entries} index entries")
            if following > 0:
                waiting.append(following)
            for first, last, offset in list(zip(firsts, lasts, offsets, strict=True))[:num_used]:
                if _Record(self.data, offset, _VVR, _CVVR, _VXR).type == _VXR:
                    waiting.append(offset)
                else:
                    yield first, last, offset

    def _block(self, offset: int, count: int, *, is_gzip: bool) -> bytes:
        record = _Record(self.data, offset, _VVR, _CVVR)
        if record.type == _VVR:
            return record.bytes(count)  # a block may have room for more records
        if not is_gzip:
            raise Refused("compressed values in a variable that says it has none")
        record.take("i")
        return _inflated(record.bytes(record.take("q")), count)


def _inflated(data: bytes, count: int) -> bytes:
    with gzip.GzipFile(fileobj=BytesIO(data)) as stream:
        plain = stream.read(count + 1)
    if len(plain) < count:
        raise Refused(f"{len(plain)} bytes in compressed data where {count} must be")
    return plain[:count]


def _inflated_file(data: bytes, max_bytes: int) -> bytes:
    """A file that is compressed as a whole, as if it were not."""
    record = _Record(data, 8, _CCR)
    compression, size, _ = record.take("qqi")
    if int(_Record(data, compression, _CPR).take("i")) != _GZIP:
        raise Refused("a file compressed in another way than gzip")
    if not 0 < size <= max_bytes:
        raise Refused(f"{size} bytes when decompressed, over the limit of {max_bytes}")
    return _MAGIC + _PLAIN + _inflated(record.bytes(record.end - record.at), size)
