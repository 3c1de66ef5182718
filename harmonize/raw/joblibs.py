"""joblib files: pickles with the bytes of each array behind the record that describes it.

joblib (numpy_pickle.py, `NumpyArrayWrapper`) writes, in place of an array, an object with `shape`, `dtype` and `order`;
right behind the opcode that fills it come, outside of the pickle's own language, a byte that counts the padding, the
padding, and the array's bytes. Arrays of objects are a whole pickle there. All else is admitted as it is in
`harmonize.raw.pickles`. Compressed files are refused, and those of joblib before 0.10, whose arrays lie in other files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.raw.depth import check_depth
from harmonize.raw.guard import Refused, one_error
from harmonize.raw.machine import Machine
from harmonize.raw.opcodes import load
from harmonize.raw.paths import checked_size
from harmonize.raw.pickles import ADMITTED
from harmonize.raw.rebuild import MAX_CODE_POINT, PLAIN, fields_of
from harmonize.raw.values import Admitted, Inner, Pending, Table

MAX_JOBLIB_BYTES = 8 << 30
_COMPRESSED = (
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ",
    b"\x5d\x00\x00",
    b"\x04\x22\x4d\x18",
    b"x\x01",
    b"x\x9c",
    b"x\xda",
    b"x^",
)


@dataclass(frozen=True, slots=True)
class _Wrapper(Inner):
    """What the file says about the array whose bytes follow."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool
    is_padded: bool


class _PendingWrapper(Pending):
    def build(self, state: Any) -> _Wrapper:
        given = fields_of(state)
        subclass, shape, dtype = given.get("subclass"), given.get("shape"), given.get("dtype")
        if not isinstance(subclass, Admitted) or subclass.rebuild is not PLAIN["numpy", "ndarray"]:
            raise Refused("an array of a class that is not numpy.ndarray")
        if type(shape) is not tuple or not all(type(size) is int and size >= 0 for size in shape):
            raise Refused(f"an array of shape {shape!r}"[:200])
        if not isinstance(dtype, np.dtype) or given.get("order") not in ("C", "F"):
            raise Refused("a joblib array of an unknown form")
        is_padded = given.get("numpy_array_alignment_bytes") is not None
        return _Wrapper(shape, dtype, given["order"] == "F", is_padded)


def _wrapper(*_: Any) -> Pending:
    return _PendingWrapper()


_TABLE: Table = {**ADMITTED, ("joblib.numpy_pickle", "NumpyArrayWrapper"): _wrapper}


class _Machine(Machine):
    """Reads the bytes that follow a filled wrapper; the array takes its place on the stack and in the memo."""

    def build(self) -> None:
        slots = list(self.slots.get(id(self.stack[-2]), ())) if len(self.stack) > 1 else []
        super().build()
        wrapper = self.stack[-1]
        if isinstance(wrapper, _Wrapper):
            array = self.stack[-1] = self.charge(self._array(wrapper))
            for slot in slots:
                self.memo[slot] = array

    def _array(self, wrapper: _Wrapper) -> npt.NDArray[Any]:
        if wrapper.dtype.hasobject:
            inner = Machine(self.file, self.left, ADMITTED, encoding=self.encoding)
            array = load(inner)
            self.left = inner.left
            if not isinstance(array, np.ndarray) or array.shape != wrapper.shape or array.dtype != wrapper.dtype:
                raise Refused(f"an array of objects that is not the {wrapper.shape} of its record")
            return array
        if wrapper.is_padded:
            self.read(self.read(1)[0])
        count = math.prod(wrapper.shape)
        if count and not wrapper.dtype.itemsize:
            raise Refused(f"{count} entries of no size")
        values = np.frombuffer(self.read(count * wrapper.dtype.itemsize), wrapper.dtype)  # not copied: names take 1 GB
        _check_text(values)
        return values.reshape(wrapper.shape[::-1]).T if wrapper.is_fortran else values.reshape(wrapper.shape)


def load_joblib(path: Path, *, max_bytes: int = MAX_JOBLIB_BYTES) -> Any:
    """The plain data of a file that `joblib.dump` wrote without compression; its arrays cannot be written to.

    Raises:
        RawFileError: the file is missing, larger than `max_bytes`, truncated, compressed, or holds anything that is not
            admitted; the message names it.
    """
    path = Path(path)
    size = checked_size(path, max_bytes)
    with path.open("rb") as file, one_error(path, "a joblib file of plain data (nothing in it was executed)"):
        start = file.read(8)
        if start.startswith(_COMPRESSED):
            raise Refused("a compressed file: load it with joblib and dump it again with compress=0")
        file.seek(0)
        machine = _Machine(file, size, _TABLE)
        try:
            value = load(machine)
        except Refused as error:
            raise Refused(f"at byte {size - machine.left}: {error}") from error
        if machine.left:
            raise Refused(f"{machine.left} bytes behind its end")
        check_depth(value)
        return value


def _check_text(values: npt.NDArray[Any]) -> None:
    if values.dtype.kind == "U" and values.size and values.dtype.itemsize:
        codes = values.view(f"{values.dtype.str[0].replace('|', '=')}u4")
        if codes.max() > MAX_CODE_POINT:
            raise Refused("text that is not Unicode")
