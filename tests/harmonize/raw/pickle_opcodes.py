"""Pickle streams written by hand: as old library versions wrote them, and as an attacker would.

Every function gives a fragment that leaves one value on the stack; `stream` makes a file of a fragment.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np


def stream(fragment: bytes) -> bytes:
    return b"\x80\x02" + fragment + b"."


def lit(value: Any) -> bytes:
    """Containers, numbers and text, as Python 3 writes them in protocol 2."""
    return pickle.dumps(value, 2)[2:-1]


def raw(data: bytes, *, python2: bool = False) -> bytes:
    """Bytes: a counted string in Python 2, a call of `_codecs.encode` in Python 3."""
    if python2:
        return b"T" + len(data).to_bytes(4, "little") + data
    return call(name("_codecs", "encode"), lit(data.decode("latin1")), lit("latin1"))


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def tup(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def lst(*parts: bytes) -> bytes:
    return b"](" + b"".join(parts) + b"e"


def dct(**parts: bytes) -> bytes:
    return b"}(" + b"".join(lit(key) + value for key, value in parts.items()) + b"u"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + tup(*arguments) + b"R"


def new(cls: bytes) -> bytes:
    return cls + b")\x81"


def build(target: bytes, state: bytes) -> bytes:
    return target + state + b"b"


def dtype(code: str, state: tuple[Any, ...] | None = None) -> bytes:
    order = code[0] if code[0] in "<>|" else "|"
    flags = 63 if code.endswith("O8") else 0
    return build(
        call(name("numpy", "dtype"), lit(code.lstrip("<>|")), lit(0), lit(1)),
        lit((3, order, None, None, None, -1, -1, flags) if state is None else state),
    )


def array(values: np.ndarray[Any, Any], *, core: str = "core", python2: bool = False, items: bytes = b"") -> bytes:
    """An array as numpy 1.x wrote it (core="core") or 2.x ("_core"); `items` are the entries of an object array."""
    code = "|O8" if values.dtype == object else values.dtype.str
    contents = items or raw(values.tobytes("A"), python2=python2)
    is_fortran = values.flags.f_contiguous and not values.flags.c_contiguous
    return array_of(tup(lit(1), lit(values.shape), dtype(code), lit(is_fortran), contents), core, python2)


def array_of(state: bytes, core: str = "core", python2: bool = False) -> bytes:
    empty = call(
        name(f"numpy.{core}.multiarray", "_reconstruct"),
        name("numpy", "ndarray"),
        lit((0,)),
        raw(b"b", python2=python2),
    )
    return build(empty, state)
