"""JSON: whole files up to a limit, and files of several GB as a stream of items."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import orjson

from harmonize.errors import RawFileError
from harmonize.raw.guard import FIX, Refused, one_error
from harmonize.raw.paths import checked_size

MAX_JSON_BYTES = 1 << 30  # parsed JSON takes about ten times its size in memory
MAX_STREAM_BYTES = 64 << 30
MAX_DEPTH = 100
_CHUNK = 1 << 16
_TEXT_OR_NAN = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\Z)|-?(?:NaN|Infinity)', re.DOTALL)
_REST_OF_TEXT = re.compile(rb'(?:[^"\\]|\\.)*(?:"|\Z)', re.DOTALL)
_UNFINISHED = re.compile(rb"-?[A-Za-z]{0,8}\Z")
_STEP = np.zeros(256, np.int8)
_STEP[[ord("["), ord("{")]] = 1
_STEP[[ord("]"), ord("}")]] = -1


def load_json(path: Path, *, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """The value of a JSON file; when an object has a key twice, the last one counts.

    Python writes NaN and Infinity into JSON, which the standard does not have; files with them are read too.

    Raises:
        RawFileError: the file is missing, larger than `max_bytes`, truncated, invalid, or nested deeper than
            MAX_DEPTH; the message has the byte where that shows.
    """
    path = Path(path)
    checked_size(path, max_bytes)
    data = path.read_bytes()
    with one_error(path, "JSON"):
        depth = _Depth()
        for at in range(0, len(data), _CHUNK):
            depth.feed(data[at : at + _CHUNK])
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError as error:
            if b"NaN" not in data and b"Infinity" not in data:
                raise _broken(path, _byte_of(error), error.msg) from error
        try:
            return json.loads(data)
        except json.JSONDecodeError as error:
            raise _broken(path, _byte_of(error), error.msg) from error


def iter_json_items(
    path: Path, prefix: str, *, max_bytes: int = MAX_STREAM_BYTES, has_nan: bool = False
) -> Iterator[Any]:
    """The items of an array inside a JSON file, one at a time; `prefix` as "annotations.item", or "item" at the top.

    has_nan: Python wrote the file, with NaN and Infinity, which no streaming parser reads: they come as None.

    Raises:
        RawFileError: as `load_json`, when the stream gets there; NaN is refused unless `has_nan`.
    """
    import ijson

    path = Path(path)
    yield from _stream(path, max_bytes, has_nan, lambda file: ijson.items(file, prefix, use_float=True))


def iter_json_entries(
    path: Path, prefix: str, *, max_bytes: int = MAX_STREAM_BYTES, has_nan: bool = False
) -> Iterator[tuple[str, Any]]:
    """The (key, value) entries of an object inside a JSON file, one at a time; `prefix` is "" for the top.

    Raises:
        RawFileError: as `iter_json_items`, or when a key comes twice.
    """
    import ijson

    path = Path(path)
    seen: set[str] = set()
    for key, value in _stream(path, max_bytes, has_nan, lambda file: ijson.kvitems(file, prefix, use_float=True)):
        if key in seen:
            raise RawFileError(f"{path}: expected each key once, found {key!r} twice", fix=FIX, file=str(path), key=key)
        seen.add(key)
        yield key, value


def _stream(path: Path, max_bytes: int, has_nan: bool, parse: Callable[[BinaryIO], Iterator[Any]]) -> Iterator[Any]:
    from ijson import JSONError

    checked_size(path, max_bytes)
    with path.open("rb") as file:
        guarded = _GuardedWithNan(file) if has_nan else _Guarded(file)
        items = parse(cast(BinaryIO, guarded))
        while True:
            with one_error(path, "JSON"):
                try:
                    item = next(items)
                except StopIteration:
                    return
                except JSONError as error:
                    raise _broken(path, guarded.position, " ".join(str(error).split())[:300]) from error
            yield item


def _byte_of(error: json.JSONDecodeError) -> int:
    return len(error.doc[: error.pos].encode(errors="surrogatepass"))


def _broken(path: Path, byte: int, found: object) -> RawFileError:
    return RawFileError(
        f"{path}: expected JSON, found at or before byte {byte}: {found}", fix=FIX, file=str(path), byte=byte
    )


class _Depth:
    """Follows how deep brackets nest, so that it is known before a parser sees the bytes.

    ijson keeps a path for every open level: 20,000 brackets, a file of 40 kB, take it 1 GB.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.in_string = False
        self.tail = b""

    def feed(self, data: bytes) -> None:
        data = self.tail + data
        num_backslashes = len(data) - len(data.rstrip(b"\\"))
        cut = len(data) - num_backslashes % 2
        self.tail = data[cut:]
        pieces = data[:cut].replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = np.frombuffer(b"".join(pieces[int(self.in_string) :: 2]), np.uint8)
        if len(outside):
            depths = np.cumsum(_STEP[outside], dtype=np.int32)
            if self.depth + int(depths.max()) > MAX_DEPTH:
                raise Refused(f"values nested deeper than {MAX_DEPTH}")
            self.depth += int(depths[-1])
        self.in_string ^= len(pieces) % 2 == 0


class _Guarded:
    """A binary file that refuses deep nesting and knows how far it was read."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.position = 0
        self.depth = _Depth()

    def read(self, size: int = _CHUNK) -> bytes:
        data = self.file.read(size)
        self.depth.feed(data)
        self.position += len(data)
        return data


class _GuardedWithNan(_Guarded):
    """The same with NaN, Infinity and -Infinity outside of text given out as null."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.held = b""

    def read(self, size: int = _CHUNK) -> bytes:
        while True:
            more = self.file.read(size)
            data, self.held = self.held + more, b""
            if more:
                data, self.held = _cut_before_unfinished(data)
            is_in_text = self.depth.in_string
            self.depth.feed(data)
            self.position += len(data)
            if data or not more:
                break
        if b"NaN" not in data and b"Infinity" not in data:
            return data
        found = _REST_OF_TEXT.match(data) if is_in_text else None
        start = found.end() if found else 0
        return data[:start] + _TEXT_OR_NAN.sub(_null_for_nan, data[start:])


def _cut_before_unfinished(data: bytes) -> tuple[bytes, bytes]:
    """Data up to where a word or an escape may go on in the next chunk, and the rest."""
    found = _UNFINISHED.search(data)
    cut = found.start() if found else len(data)
    num_backslashes = cut - len(data[:cut].rstrip(b"\\"))
    cut -= num_backslashes % 2
    return data[:cut], data[cut:]


def _null_for_nan(found: re.Match[bytes]) -> bytes:
    return found[0] if found[0].startswith(b'"') else b"null"
