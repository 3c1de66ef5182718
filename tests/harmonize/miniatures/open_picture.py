"""A picture of a miniature by its `image_path`, opened with the plain libraries of the files' formats."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import h5py
from PIL import Image


def open_picture(root: Path, image_path: str) -> Image.Image:
    """`file`, `archive.zip!member`, `archive.tar!member`, `file.smc!dataset`, `x.tfrecord!example/frame`
    or `video#frame`, as stored."""
    if "#" in image_path:
        path, _, number = image_path.rpartition("#")
        return _frames(root / path)[int(number)]
    path, _, member = image_path.partition("!")
    if not member:
        return _loaded(root / path)
    if path.endswith(".zip"):
        with zipfile.ZipFile(root / path) as archive:
            return _loaded(io.BytesIO(archive.read(member)))
    if ".tar" in path:
        with tarfile.open(root / path) as archive:
            stored = archive.extractfile(member)
            assert stored is not None
            return _loaded(io.BytesIO(stored.read()))
    if path.endswith(".tfrecord"):
        number, index = map(int, member.split("/"))
        return _loaded(io.BytesIO(tfrecord_examples(root / path)[number]["image/encoded"][index]))
    with h5py.File(root / path) as file:
        return _loaded(io.BytesIO(file[member][()].tobytes()))


def _loaded(file: Path | io.BytesIO) -> Image.Image:
    with Image.open(file) as picture:
        picture.load()
        return picture


@lru_cache(maxsize=4)
def _frames(path: Path) -> list[Image.Image]:
    with av.open(str(path)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


def tfrecord_examples(path: Path) -> list[dict[str, list[Any]]]:
    """The features of each Example of a TFRecord file by name; its checksums are not looked at."""
    data, examples = path.read_bytes(), []
    while data:
        (length,) = struct.unpack_from("<Q", data)
        (features,) = _fields(data[12 : 12 + length])
        entries = (dict(_numbered(entry)) for _, entry in _fields(features[1]))
        examples.append({entry[1].decode(): _values(entry[2]) for entry in entries})
        data = data[16 + length :]
    return examples


def _numbered(data: bytes) -> list[tuple[int, bytes]]:
    """(field number, content) of the length-delimited fields of a protocol buffer."""
    fields, at = [], 0
    while at < len(data):
        key, at = _varint(data, at)
        length, at = _varint(data, at)
        assert key & 7 == 2
        fields.append((key >> 3, data[at : at + length]))
        at += length
    return fields


def _fields(data: bytes) -> list[tuple[int, bytes]]:
    fields = _numbered(data)
    assert {number for number, _ in fields} == {1}
    return fields


def _values(feature: bytes) -> list[Any]:
    ((kind, content),) = _numbered(feature)
    if kind == 1:
        return [entry for _, entry in _numbered(content)]
    ((_, packed),) = _numbered(content)
    if kind == 2:
        return list(struct.unpack(f"<{len(packed) // 4}f", packed))
    values, at = [], 0
    while at < len(packed):
        value, at = _varint(packed, at)
        values.append(value)
    return values


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at
