"""HDF5 files looked into by name: what is asked for is checked and read, the rest (gigabytes of pictures) is not.

Names are followed through hard links alone, so nothing leads out of the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.raw.guard import Refused, one_error
from harmonize.raw.hdf5 import check_storage

MAX_ARRAY_BYTES = 1 << 30
MAX_ATTRIBUTE_BYTES = 1 << 16  # what HDF5 itself allows beside a group's header
MAX_NAMES = 1_000_000
_EXPECTED = "an HDF5 file of numbers"


class Hdf5Tree:
    """An open HDF5 file. Every method raises RawFileError where the file is damaged or leads out of itself."""

    def __init__(self, h5py: Any, path: Path, file: Any) -> None:
        self._h5py = h5py
        self._path = path
        self._file = file

    def names(self, group: str) -> tuple[str, ...]:
        """The names in a group, sorted; none where there is no such group."""
        with one_error(self._path, _EXPECTED):
            node = self._node(group)
            if not isinstance(node, self._h5py.Group):
                return ()
            if len(node) > MAX_NAMES:
                raise Refused(f"{group!r}: {len(node)} names")
            return tuple(sorted(node))

    def array(self, name: str) -> npt.NDArray[Any] | None:
        """The numbers of a dataset; None where there is none of that name."""
        with one_error(self._path, _EXPECTED):
            node = self._node(name)
            if not isinstance(node, self._h5py.Dataset):
                return None
            if node.dtype.kind not in "biuf":
                raise Refused(f"{name!r}: values of type {node.dtype}")
            if node.shape is None:
                raise Refused(f"{name!r}: a dataset without values")
            if check_storage(node) > MAX_ARRAY_BYTES:
                raise Refused(f"{name!r}: {node.shape} values, more than {MAX_ARRAY_BYTES} bytes")
            return np.asarray(node[()])

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of a dataset; None where there is none of that name."""
        with one_error(self._path, _EXPECTED):
            node = self._node(name)
            return tuple(node.shape) if isinstance(node, self._h5py.Dataset) and node.shape is not None else None

    def rows(self, name: str, first: int, count: int) -> npt.NDArray[Any] | None:
        """Entries first to first + count along the first axis of a dataset of numbers, or of bytes of one length."""
        with one_error(self._path, _EXPECTED):
            node = self._node(name)
            if not isinstance(node, self._h5py.Dataset):
                return None
            if node.dtype.kind not in "biufS" or not node.shape:
                raise Refused(f"{name!r}: values of type {node.dtype}, shape {node.shape}")
            check_storage(node)
            num_bytes = math.prod(node.shape[1:]) * node.dtype.itemsize * min(count, node.shape[0])
            if num_bytes > MAX_ARRAY_BYTES:
                raise Refused(f"{name!r}: {num_bytes} bytes in {count} rows, more than {MAX_ARRAY_BYTES}")
            return np.asarray(node[first : first + count])

    def attribute(self, group: str, name: str) -> str | npt.NDArray[Any] | None:
        """An attribute of a group ("" for the file), text or numbers; None where there is none of that name."""
        with one_error(self._path, _EXPECTED):
            node = self._node(group)
            if node is None or name not in node.attrs:
                return None
            entry = node.attrs.get_id(name)
            if math.prod(entry.shape) * entry.dtype.itemsize > MAX_ATTRIBUTE_BYTES:
                raise Refused(f"attribute {name!r} of {group!r}: {entry.shape} values")
            if entry.dtype.kind not in "biufSO" or (
                entry.dtype.kind == "O" and self._h5py.check_string_dtype(entry.dtype) is None
            ):
                raise Refused(f"attribute {name!r} of {group!r}: values of type {entry.dtype}")
            value = np.asarray(node.attrs[name])
            if value.dtype.kind in "biuf":
                return value
            text = value.reshape(-1)[0] if value.size == 1 else ""
            return text.decode(errors="replace") if isinstance(text, bytes) else str(text)

    def _node(self, name: str) -> Any:
        """The group or dataset of that name, or None."""
        return node_at(self._h5py, self._file, name)


def node_at(h5py: Any, file: Any, name: str) -> Any:
    """The group or dataset of that name in an open file, or None.

    Raises:
        Refused: a link to another place or file is on the way.
    """
    node = file
    for part in filter(None, name.split("/")):
        if not isinstance(node, h5py.Group) or part not in node:
            return None
        if not isinstance(node.get(part, getlink=True), h5py.HardLink):
            raise Refused(f"{name!r}: a link to another place or file")
        node = node[part]
    return node


@contextmanager
def open_hdf5(path: Path) -> Iterator[Hdf5Tree]:
    """The tree of an HDF5 file, open as long as the block runs.

    Raises:
        RawFileError: the file is missing or no HDF5 file.
        UsageError: h5py is not installed.
    """
    with one_error(path, _EXPECTED):
        import h5py

        file = h5py.File(path, "r")
    try:
        yield Hdf5Tree(h5py, path, file)
    finally:
        file.close()
