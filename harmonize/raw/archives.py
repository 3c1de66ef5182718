"""Files inside zip, tar, HDF5 and TFRecord files, read one at a time without unpacking anything.

Names are only looked up, never turned into paths, so an archive can lead nowhere. A tar is indexed by one pass over its
headers; a compressed tar has no such index and is refused.
"""

from __future__ import annotations

import re
import tarfile
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.errors import UsageError
from harmonize.raw.guard import Refused, one_error
from harmonize.raw.hdf5 import check_storage
from harmonize.raw.hdf5_tree import node_at
from harmonize.raw.tfrecords import example, records

_EXPECTED = "an archive"


class Archive(ABC):
    """An open archive. `read` gives a member's bytes, or None where there is no file of that name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, member: str, max_bytes: int) -> bytes | None:
        """A member's bytes.

        Raises:
            RawFileError: the archive is damaged, or the member is larger than `max_bytes`, encrypted, or no plain file.
        """
        with one_error(self.path, _EXPECTED):
            return self._read(member, max_bytes)

    @abstractmethod
    def _read(self, member: str, max_bytes: int) -> bytes | None: ...

    @abstractmethod
    def close(self) -> None:
        """Closes the file."""


class ZipArchive(Archive):
    """A zip file; compressed members are checked by their own CRC."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._zip = zipfile.ZipFile(path)

    def _read(self, member: str, max_bytes: int) -> bytes | None:
        try:
            info = self._zip.getinfo(member)
        except KeyError:
            return None
        if info.is_dir() or info.flag_bits & 1:
            raise Refused(f"{member!r}: a folder, or encrypted")
        _check_size(member, info.file_size, max_bytes)
        with self._zip.open(info) as file:
            data = file.read(max_bytes + 1)
        _check_size(member, len(data), max_bytes)
        return data

    def close(self) -> None:
        self._zip.close()


class TarArchive(Archive):
    """An uncompressed tar file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with tarfile.open(path, mode="r:") as tar:
            self._where = {_plain(info.name): (info.offset_data, info.size) for info in tar if info.isreg()}

    def _read(self, member: str, max_bytes: int) -> bytes | None:
        if _plain(member) not in self._where:
            return None
        offset, size = self._where[_plain(member)]
        _check_size(member, size, max_bytes)
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        if len(data) < size:
            raise Refused(f"{member!r}: truncated, {len(data)} of {size} bytes")
        return data

    def close(self) -> None:
        """Nothing stays open."""


class Hdf5Archive(Archive):
    """An HDF5 file whose members are datasets of bytes (uint8, one axis): the encoded pictures of SMC files."""

    def __init__(self, path: Path) -> None:
        import h5py

        super().__init__(path)
        self._h5py: Any = h5py
        self._file = h5py.File(path, "r")

    def _read(self, member: str, max_bytes: int) -> bytes | None:
        node = node_at(self._h5py, self._file, member)
        if node is None:
            return None
        if not isinstance(node, self._h5py.Dataset) or node.dtype != np.uint8 or node.ndim != 1:
            raise Refused(f"{member!r}: not a row of bytes")
        check_storage(node)
        _check_size(member, node.shape[0], max_bytes)
        return bytes(node[()].tobytes())

    def close(self) -> None:
        self._file.close()


class TfrecordArchive(Archive):
    """A TFRecord file of videos; member "3/12" is the thirteenth entry of `image/encoded` in the fourth record."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._records = records(path)
        self._number = -1
        self._pictures: tuple[bytes, ...] = ()

    def _read(self, member: str, max_bytes: int) -> bytes | None:
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", member)
        if found is None or int(found[1]) >= len(self._records):
            return None
        number, frame = int(found[1]), int(found[2])
        if number != self._number:
            encoded = example(self.path, self._records[number]).get("image/encoded", ())
            self._number, self._pictures = number, encoded if isinstance(encoded, tuple) else ()
        if frame >= len(self._pictures):
            return None
        _check_size(member, len(self._pictures[frame]), max_bytes)
        return self._pictures[frame]

    def close(self) -> None:
        """Nothing stays open."""


_KINDS: dict[str, type[Archive]] = {
    ".zip": ZipArchive,
    ".tar": TarArchive,
    ".smc": Hdf5Archive,
    ".h5": Hdf5Archive,
    ".hdf5": Hdf5Archive,
    ".tfrecord": TfrecordArchive,
}


def open_archive(path: Path) -> Archive:
    """The archive at `path`, by its suffix.

    Raises:
        RawFileError: the file is damaged, or not what its suffix says.
        UsageError: the suffix is of a form that has to be unpacked first, or h5py is not installed.
    """
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(
            f"{path}: pictures are read out of {', '.join(_KINDS)} files, not out of {path.suffix or 'this'}",
            fix="unpack it beside itself, then run the same command again",
        )
    with one_error(path, f"a {path.suffix} file"):
        return kind(path)


def _plain(name: str) -> str:
    return name.removeprefix("./")


def _check_size(member: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise Refused(f"{member!r}: {size} bytes where at most {max_bytes} are expected")
