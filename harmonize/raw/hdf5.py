"""MATLAB v7.3 files, which are HDF5: every value lies in the file itself, and its size is known before it is read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.raw.guard import Refused

MAX_NESTING = 32
MAX_VALUES = 2_000_000
MAX_CHUNK_BYTES = 1 << 28
MAX_DEFLATE_RATIO = 1032
_FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32"}  # others are loaded as plugins


def load_hdf5(path: Path, max_bytes: int) -> dict[str, Any]:
    """The variables at the root of the file.

    Raises:
        Refused: a link or data outside the file, a filter that is a plugin, values whose sizes are false or add up to
            more than `max_bytes`, nesting deeper than MAX_NESTING, or types that MATLAB's numbers, text, cells and
            structs do not need.
    """
    import h5py

    with h5py.File(path, "r") as file:
        reader = _Reader(h5py, file, max_bytes)
        return {name: reader.read(file, name, 1) for name in file if not name.startswith("#")}


def check_storage(node: Any) -> int:
    """The bytes that an HDF5 dataset takes in memory.

    Raises:
        Refused: its data lie outside the file, need a filter that is a plugin, or are declared larger than they can be.
    """
    if node.external or node.is_virtual:
        raise Refused(f"{node.name}: data outside the file")
    dtype, creation = node.dtype, node.id.get_create_plist()
    for at in range(creation.get_nfilters()):
        if creation.get_filter(at)[0] not in _FILTERS:
            raise Refused(f"{node.name}: the HDF5 filter {creation.get_filter(at)[0]}")
    if node.chunks and math.prod(node.chunks) * dtype.itemsize > MAX_CHUNK_BYTES:
        raise Refused(f"{node.name}: chunks of {node.chunks} {dtype}")
    num_bytes = math.prod(node.shape) * dtype.itemsize
    most = node.id.get_storage_size() * MAX_DEFLATE_RATIO
    if num_bytes > most:
        raise Refused(f"{node.name}: {num_bytes} bytes declared where the file can hold {most}")
    return int(num_bytes)


class _Reader:
    def __init__(self, h5py: Any, file: Any, max_bytes: int) -> None:
        self.h5py = h5py
        self.file = file
        self.max_bytes = max_bytes
        self.left = max_bytes
        self.num_values = 0

    def read(self, group: Any, name: str, depth: int) -> Any:
        if not isinstance(group.get(name, getlink=True), self.h5py.HardLink):
            raise Refused(f"{name!r}: a link to another place or file")
        return self.value(group[name], depth)

    def value(self, node: Any, depth: int) -> Any:
        self.num_values += 1
        if depth > MAX_NESTING or self.num_values > MAX_VALUES:
            raise Refused(f"{node.name}: nested deeper than {MAX_NESTING}, or more than {MAX_VALUES} values")
        if isinstance(node, self.h5py.Group):
            return {name: self.read(node, name, depth + 1) for name in node}
        if not isinstance(node, self.h5py.Dataset):
            raise Refused(f"{node.name}: an HDF5 {type(node).__name__}")
        self.check(node)
        kind = bytes(node.attrs.get("MATLAB_class", b"")).decode()
        if "MATLAB_empty" in node.attrs:
            return "" if kind == "char" else np.empty(0)
        if node.dtype == self.h5py.ref_dtype:
            entries = [self.value(self.target(node, reference), depth + 1) for reference in node[()].T.reshape(-1)]
            return entries[0] if len(entries) == 1 and kind != "cell" else entries
        return _plain(node[()], kind)

    def target(self, node: Any, reference: Any) -> Any:
        if not reference:
            raise Refused(f"{node.name}: a reference to nothing")
        return self.file[reference]

    def check(self, node: Any) -> None:
        dtype = node.dtype
        is_reference = dtype == self.h5py.ref_dtype
        is_complex = dtype.names == ("real", "imag") and all(dtype[name].kind == "f" for name in dtype.names)
        if not (is_reference or is_complex or dtype.kind in "biuf"):
            raise Refused(f"{node.name}: values of type {dtype}")
        self.left -= check_storage(node)
        if self.left < 0:
            raise Refused(f"values of more than {self.max_bytes} bytes")


def _plain(stored: Any, kind: str) -> Any:
    """MATLAB's view of a stored array: axes in its order, text joined, axes of length one dropped."""
    array: npt.NDArray[Any] = np.asarray(stored).T
    if kind == "char":
        if array.dtype.kind not in "iu":
            raise Refused(f"text stored as {array.dtype}")
        rows = ["".join(map(chr, row.tolist())).rstrip() for row in np.atleast_2d(array)]
        return rows[0] if len(rows) == 1 else np.array(rows)
    if kind == "logical":
        array = array.astype(bool)
    if array.dtype.names is not None:
        array = array["real"] + 1j * array["imag"]
    squeezed = array.squeeze()
    return squeezed.item() if squeezed.ndim == 0 else squeezed
