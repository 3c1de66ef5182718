"""Pickles as Python 2 wrote them, for releases of that time: 8-bit strings, `numpy.core` paths, protocol 2.

Python 3's own pickler writes other opcodes even at protocol 2, so a reader tested on its output would never meet the
byte strings that make `encoding="latin1"` necessary.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np


def dumps(value: Any) -> bytes:
    """The pickle of nested dict, list, tuple, str, int, float, bool, None and numeric arrays (little-endian).

    Raises:
        TypeError: the value holds something else.
    """
    return b"\x80\x02" + _save(value) + b"."


def _save(value: Any) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, str):
        return _string(value.encode("latin1"))
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(_save, value)) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_save, value)) + b"t"
    if isinstance(value, dict):
        return b"}(" + b"".join(_save(key) + _save(entry) for key, entry in value.items()) + b"u"
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        return _array(value)
    raise TypeError(f"no Python 2 pickle for {type(value).__name__}")


def _string(data: bytes) -> bytes:
    if len(data) < 256:
        return b"U" + bytes([len(data)]) + data
    return b"T" + struct.pack("<i", len(data)) + data


def _array(value: np.ndarray[Any, Any]) -> bytes:
    dtype = value.dtype.newbyteorder("<")
    make = b"cnumpy.core.multiarray\n_reconstruct\n" + b"(cnumpy\nndarray\n" + _save((0,)) + _string(b"b") + b"tR"
    described = b"cnumpy\ndtype\n" + _save((dtype.str[1:], 0, 1)) + b"R"
    described += _save((3, "<", None, None, None, -1, -1, 0)) + b"b"
    data = _string(np.ascontiguousarray(value, dtype).tobytes())
    return make + b"(" + _save(1) + _save(value.shape) + described + _save(False) + data + b"tb"
