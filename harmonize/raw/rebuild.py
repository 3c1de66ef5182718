"""What stands for the globals of builtins, collections and numpy in a pickle: plain values in, a plain value out."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.raw.guard import Refused
from harmonize.raw.values import Admitted, Pending, Table, check_key

MAX_CODE_POINT = 0x10FFFF
_DTYPE = re.compile(r"[<>=|]?(?:[?bhilqpBHILQPefdgFDGO]|[biufc][1248]|f16|c16|c32|O[48]|[SaUV]\d{0,9})")


def array_of(raw: Any, dtype: np.dtype[Any], shape: Any, *, is_fortran: bool = False) -> npt.NDArray[Any]:
    """A writable array of `shape` and `dtype` from exactly the bytes it takes.

    Raises:
        Refused: the bytes are not as many as shape and dtype say, the dtype holds pointers, or the text is not Unicode.
    """
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise Refused(f"an array of shape {shape!r}"[:200])
    count = math.prod(shape)
    if dtype.hasobject or not isinstance(raw, (bytes, bytearray, memoryview)):
        raise Refused(f"an array of {dtype} without its bytes")
    if len(raw) != count * dtype.itemsize or (count and not dtype.itemsize):
        raise Refused(f"{len(raw)} bytes for an array of {shape} {dtype}, which takes {count * dtype.itemsize}")
    view: npt.NDArray[Any] = np.ndarray(shape, dtype, buffer=raw, order="F" if is_fortran else "C")
    return check_text(view).copy(order="K")


def check_text(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array itself, unless it is text with numbers that are no characters: reading those entries would fail later.

    Raises:
        Refused: it is.
    """
    if array.dtype.kind == "U" and array.size:
        order = array.dtype.str[0].replace("|", "=")
        if np.frombuffer(array.tobytes(), f"{order}u4").max() > MAX_CODE_POINT:
            raise Refused("text that is not Unicode")
    return array


def object_array(items: list[Any], shape: Any, *, is_fortran: bool = False) -> npt.NDArray[Any]:
    """An object array of `shape` from the flat list of its items.

    Raises:
        Refused: the items are not as many as the shape says.
    """
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise Refused(f"an array of shape {shape!r}"[:200])
    if math.prod(shape) != len(items):
        raise Refused(f"{len(items)} items for an object array of {shape}")
    flat: npt.NDArray[Any] = np.fromiter(items, object, count=len(items))
    return flat.reshape(shape, order="F" if is_fortran else "C")


class _PendingDtype(Pending):
    def __init__(self, code: str) -> None:
        self.code = code

    def build(self, state: Any) -> np.dtype[Any]:
        """The flags and sizes of the state are not used: they follow from the rest, or they are a lie."""
        if type(state) is not tuple or not 7 <= len(state) <= 9 or state[0] not in (3, 4):
            raise Refused("a numpy dtype of an unknown form")
        order, subdtype, names, fields, itemsize = state[1:6]
        if len(state) == 9 and state[8] is not None:
            raise Refused("a numpy dtype with metadata")
        if subdtype is not None:
            base, shape = subdtype
            return np.dtype((_plain(base), shape))
        if names is not None:
            formats = [(_plain(fields[name][0]), fields[name][1]) for name in names]
            return np.dtype(
                {
                    "names": list(names),
                    "formats": [form for form, _ in formats],
                    "offsets": [offset for _, offset in formats],
                    "itemsize": itemsize,
                }
            )
        return np.dtype(self.code).newbyteorder(order)


def _plain(dtype: Any) -> np.dtype[Any]:
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise Refused("a numpy dtype with fields that are not plain")
    return dtype


def _dtype(code: Any, _align: Any = False, _copy: Any = True) -> Pending:
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise Refused(f"the numpy dtype {code!r}"[:200])
    return _PendingDtype(code)


class _PendingArray(Pending):
    def build(self, state: Any) -> npt.NDArray[Any]:
        if type(state) is not tuple or len(state) not in (4, 5):
            raise Refused("a numpy array of an unknown form")
        shape, dtype, is_fortran, raw = state[-4:]
        if not isinstance(dtype, np.dtype):
            raise Refused("a numpy array without a dtype")
        if dtype.kind == "O" and type(raw) is list:
            return object_array(raw, shape, is_fortran=bool(is_fortran))
        return array_of(_as_bytes(raw), dtype, shape, is_fortran=bool(is_fortran))


def _as_bytes(raw: Any) -> Any:
    """Python 2 strings arrive as text, one character a byte."""
    return raw.encode("latin1") if isinstance(raw, str) else raw


def _ndarray(*_shape: Any) -> Pending:
    return _PendingArray()


def _reconstruct(cls: Any, _shape: Any, _code: Any) -> Pending:
    if not isinstance(cls, Admitted) or cls.rebuild is not _ndarray:
        raise Refused("an array of a class that is not numpy.ndarray")
    return _PendingArray()


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    if not isinstance(dtype, np.dtype):
        raise Refused("a numpy scalar without a dtype")
    return array_of(_as_bytes(raw), dtype, (1,))[0]


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> npt.NDArray[Any]:
    """Protocol 5. Order "K" comes with the permutation of axes that leads from the order of the bytes to the array."""
    if not isinstance(dtype, np.dtype) or order not in ("C", "F", "K") or (axes is None) != (order != "K"):
        raise Refused("a numpy array of an unknown form")
    array = array_of(raw, dtype, shape, is_fortran=order == "F")
    return array if axes is None else array.transpose(axes)


def _encode(text: Any, codec: Any = "utf-8") -> bytes:
    """How protocol 2 writes bytes. Only these two codecs: others import modules or unpack archives."""
    if not isinstance(text, str) or codec not in ("latin1", "latin-1", "utf-8"):
        raise Refused(f"text in the codec {codec!r}"[:200])
    return text.encode(codec)


def _bytes(text: Any = "", codec: Any = "latin1") -> bytes:
    return bytes(text) if isinstance(text, (bytes, bytearray)) else _encode(text, codec)


def fields_of(state: Any) -> dict[str, Any]:
    """The state of an object, when it is a dictionary of attributes.

    Raises:
        Refused: it is not.
    """
    if type(state) is not dict:
        raise Refused(f"an object whose state is {type(state).__name__}")
    return state


def _items(items: Any = ()) -> Any:
    """Arguments of the container types: a container that the file itself spelled out."""
    if type(items) not in (list, tuple, set, frozenset, dict):
        raise Refused(f"a container made from {type(items).__name__}")
    return items


def _ordered(pairs: Any = ()) -> OrderedDict[Any, Any]:
    return OrderedDict((check_key(key), value) for key, value in _items(pairs))


def _default(_factory: Any = None, pairs: Any = ()) -> dict[Any, Any]:
    """A defaultdict comes as a plain dict: a key that is not in the file is an error, not an empty value."""
    return dict(_ordered(pairs))


def _complex(real: Any, imag: Any) -> complex:
    return complex(float(real), float(imag))


def _slice(*bounds: Any) -> slice:
    if not all(bound is None or type(bound) is int for bound in bounds):
        raise Refused("a slice whose bounds are not integers")
    return slice(*bounds)


def _object(*_: Any) -> Any:
    raise Refused("a bare object")


def _reconstructor(cls: Any, base: Any, state: Any) -> Any:
    """`copyreg._reconstructor`, how protocols 0 and 1 make an empty object."""
    if (
        not isinstance(cls, Admitted)
        or not isinstance(base, Admitted)
        or base.rebuild is not _object
        or state is not None
    ):
        raise Refused("an object made from a base that is not `object`")
    return cls.rebuild()


_BUILTINS: dict[str, Callable[..., Any]] = {
    "complex": _complex,
    "slice": _slice,
    "object": _object,
    "bytes": _bytes,
    "bytearray": lambda text=b"", codec="latin1": bytearray(_bytes(text, codec)),
    "list": lambda items=(): list(_items(items)),
    "tuple": lambda items=(): tuple(_items(items)),
    "set": lambda items=(): {check_key(item) for item in _items(items)},
    "frozenset": lambda items=(): frozenset(check_key(item) for item in _items(items)),
    "dict": lambda pairs=(): dict(_ordered(pairs)),
}

PLAIN: Table = {
    **{(module, name): rebuild for module in ("builtins", "__builtin__") for name, rebuild in _BUILTINS.items()},
    **{(module, "_reconstructor"): _reconstructor for module in ("copyreg", "copy_reg")},
    ("collections", "OrderedDict"): _ordered,
    ("collections", "defaultdict"): _default,
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}
