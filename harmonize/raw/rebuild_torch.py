"""Torch tensors in pickles, as numpy arrays: torch itself is never imported, and CUDA tensors need no GPU.

`torch.storage._load_from_bytes` holds a whole file in torch's old format, pickles again; those are read by the same
machine with a table that admits storage types alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.raw.guard import Refused
from harmonize.raw.machine import Machine
from harmonize.raw.opcodes import load
from harmonize.raw.rebuild import array_of
from harmonize.raw.values import Admitted, Inner, Table

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "ComplexFloatStorage": "<c8",
    "ComplexDoubleStorage": "<c16",
}


@dataclass(frozen=True, slots=True, repr=False)
class _Storage(Inner):
    """The numbers behind tensors, in one row; bfloat16 widened to float32."""

    values: npt.NDArray[Any]

    @property
    def nbytes(self) -> int:
        return self.values.nbytes


def _storage_type(*_: Any) -> Any:
    raise Refused("a torch storage outside a tensor")


_STORAGE_TYPES: Table = {
    (module, name): _storage_type for module in ("torch", "torch.cuda", "torch.storage") for name in _DTYPES
}


def _load_from_bytes(data: Any) -> _Storage:
    if not isinstance(data, (bytes, bytearray)):
        raise Refused("a torch storage without its bytes")
    declared: dict[str, tuple[str, int]] = {}

    def persistent(reference: Any) -> str:
        if type(reference) is not tuple or len(reference) != 6 or reference[0] != "storage" or reference[5] is not None:
            raise Refused("a torch storage of an unknown form")
        kind, key, _location, count = reference[1:5]
        if not isinstance(kind, Admitted) or type(key) is not str or type(count) is not int:
            raise Refused("a torch storage of an unknown form")
        declared[key] = (kind.name.rpartition(".")[2], count)
        return key

    stream, left = BytesIO(data), len(data)

    def part() -> Any:
        nonlocal left
        machine = Machine(stream, left, _STORAGE_TYPES, persistent=persistent)
        value = load(machine)
        left = machine.left
        return value

    if part() != _MAGIC or part() != _PROTOCOL:
        raise Refused("a torch storage of an unknown version")
    if part().get("little_endian") is not True:
        raise Refused("a torch storage in big-endian order")
    key, keys = part(), part()
    if type(key) is not str or keys != [key] or key not in declared:
        raise Refused("a torch storage of an unknown form")
    name, count = declared[key]
    dtype = np.dtype(_DTYPES[name])
    if stream.read(8) != count.to_bytes(8, "little", signed=True):
        raise Refused("a torch storage whose two lengths differ")
    values = array_of(stream.read(), dtype, (count,))
    if name == "BFloat16Storage":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return _Storage(values)


def _tensor(
    storage: Any, offset: Any, size: Any, stride: Any, _requires_grad: Any = False, _hooks: Any = (), _meta: Any = None
) -> npt.NDArray[Any]:
    if not isinstance(storage, _Storage) or type(size) is not tuple or type(stride) is not tuple:
        raise Refused("a torch tensor of an unknown form")
    if len(size) != len(stride) or not all(type(n) is int and n >= 0 for n in (offset, *size, *stride)):
        raise Refused("a torch tensor of an unknown form")
    values = storage.values
    count = int(np.prod(size, dtype=object))
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if count else 0
    if count > len(values) or (count and last >= len(values)):
        raise Refused(f"a torch tensor of {size} over {len(values)} numbers")
    if not count:
        return np.empty(size, values.dtype)
    steps = [step * values.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(values[offset:], size, steps, writeable=False).copy()


def _parameter(tensor: Any, _requires_grad: Any, _hooks: Any) -> Any:
    if not isinstance(tensor, np.ndarray):
        raise Refused("a torch parameter without its tensor")
    return tensor


TORCH: Table = {
    ("torch.storage", "_load_from_bytes"): _load_from_bytes,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}
