"""Vertices of meshes in PLY and OBJ files. Every declared size is held against the file before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harmonize.raw.guard import Refused, one_error
from harmonize.raw.paths import checked_size
from harmonize.raw.tables import load_lines

MAX_MESH_BYTES = 1 << 28
MAX_HEADER_BYTES = 1 << 16

_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}
_TYPES = {
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2"},
    **{"uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4"},
    **{"double": "f8", "float64": "f8"},
}

Vertices = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Property:
    """A number of each item; a list of numbers where `length_type` says how its length is stored."""

    name: str
    type: str
    length_type: str = ""


@dataclass(frozen=True, slots=True)
class _Element:
    name: str
    count: int
    properties: tuple[_Property, ...]

    @property
    def is_flat(self) -> bool:
        return not any(one.length_type for one in self.properties)


def load_ply_vertices(path: Path, *, max_bytes: int = MAX_MESH_BYTES) -> Vertices:
    """The vertices (V, 3) of a PLY mesh, ascii or binary; other elements are only checked to be there.

    Raises:
        RawFileError: the file is missing, larger than `max_bytes`, truncated, longer than it says, or no PLY mesh with
            vertices that have x, y and z.
    """
    path = Path(path)
    checked_size(path, max_bytes)
    data = path.read_bytes()
    with one_error(path, "a PLY mesh"):
        form, elements, start = _header(data)
        read = _read_ascii if form == "ascii" else _read_binary
        found = read(data[start:], elements, _ORDERS[form])
        if found is None:
            raise Refused("no element called vertex")
        return found


def load_obj_vertices(path: Path, *, max_bytes: int = MAX_MESH_BYTES) -> Vertices:
    """The vertices (V, 3) of a Wavefront OBJ mesh.

    Raises:
        RawFileError: the file is missing, larger than `max_bytes`, truncated, or has a vertex that is not three numbers
            (colours may follow).
    """
    lines = load_lines(path, max_bytes=max_bytes)
    with one_error(Path(path), "an OBJ mesh"):
        rows = [line.split()[1:] for line in lines if line.startswith("v ")]
        if not rows:
            raise Refused("no vertices")
        if any(len(row) not in (3, 4, 6) for row in rows):
            raise Refused("a vertex that is not three numbers")
        return np.array([[float(word) for word in row[:3]] for row in rows])


def _header(data: bytes) -> tuple[str, list[_Element], int]:
    end = data.find(b"end_header", 0, MAX_HEADER_BYTES)
    start = data.find(b"\n", end) + 1
    if not data.startswith(b"ply") or end < 0 or not start:
        raise Refused("no header")
    form, elements = "", list[_Element]()
    for line in data[:end].decode("ascii").splitlines()[1:]:
        match line.split():
            case ["format", name, "1.0"] if name in _ORDERS and not form:
                form = name
            case ["element", name, count] if count.isdigit() and name not in [one.name for one in elements]:
                elements.append(_Element(name, int(count), ()))
            case ["property", "list", length, kind, name] if elements and _is_length(length) and kind in _TYPES:
                elements[-1] = _with(elements[-1], _Property(name, _TYPES[kind], _TYPES[length]))
            case ["property", kind, name] if elements and kind in _TYPES:
                elements[-1] = _with(elements[-1], _Property(name, _TYPES[kind]))
            case [] | ["comment", *_] | ["obj_info", *_]:
                pass
            case _:
                raise Refused(f"the line {line[:80]!r}")
    if not form:
        raise Refused("no known format")
    if any(one.count and not one.properties for one in elements):
        raise Refused("items without properties")
    return form, elements, start


def _is_length(kind: str) -> bool:
    return _TYPES.get(kind, "f")[0] in "iu"


def _with(element: _Element, one: _Property) -> _Element:
    if one.name in [other.name for other in element.properties]:
        raise Refused(f"the property {one.name!r} twice")
    return _Element(element.name, element.count, (*element.properties, one))


def _columns(element: _Element) -> list[int]:
    names = [one.name for one in element.properties]
    if not element.is_flat or not {"x", "y", "z"} <= set(names):
        raise Refused(f"vertices with {', '.join(names)}")
    return [names.index(name) for name in "xyz"]


def _read_binary(data: bytes, elements: list[_Element], order: str) -> Vertices | None:
    found, at = None, 0
    for element in elements:
        if element.is_flat:
            dtype = np.dtype([(one.name, order + one.type) for one in element.properties])
            if element.count * dtype.itemsize > len(data) - at:
                raise Refused(f"{len(data) - at} bytes for {element.count} items of {dtype.itemsize} (truncated)")
            rows = np.frombuffer(data, dtype, element.count, at)
            at += rows.nbytes
            if element.name == "vertex":
                _columns(element)
                found = np.stack([rows[name].astype(np.float64) for name in "xyz"], axis=-1)
        elif element.name == "vertex":
            _columns(element)
        else:
            at = _skip_lists(data, at, element, order)
    if at != len(data):
        raise Refused(f"{len(data) - at} bytes behind the last element")
    return found


def _skip_lists(data: bytes, at: int, element: _Element, order: str) -> int:
    """The position behind an element whose items hold lists."""
    for _ in range(element.count):
        for one in element.properties:
            number = 1
            if one.length_type:
                [number] = np.frombuffer(data, order + one.length_type, 1, at).tolist()
                at += np.dtype(one.length_type).itemsize
            at += number * np.dtype(one.type).itemsize
            if number < 0 or at > len(data):
                raise Refused(f"lists of {element.name} that go over the end (truncated)")
    return at


def _read_ascii(data: bytes, elements: list[_Element], order: str) -> Vertices | None:
    text = data.decode("ascii")
    lines = text.splitlines()
    if not text.endswith("\n") or len(lines) != sum(element.count for element in elements):
        raise Refused(f"{len(lines)} lines for {sum(element.count for element in elements)} items (truncated?)")
    found, at = None, 0
    for element in elements:
        rows = [line.split() for line in lines[at : at + element.count]]
        at += element.count
        if element.name == "vertex":
            columns = _columns(element)
            if any(len(row) != len(element.properties) for row in rows):
                raise Refused(f"a vertex without its {len(element.properties)} numbers")
            found = np.array([[float(row[column]) for column in columns] for row in rows]).reshape(-1, 3)
    return found
