"""Pickles of protocol 2 as Python 3 writes them, with torch tensors and parameters, written without torch.

A tensor is a call of `torch._utils._rebuild_tensor_v2` on a storage, and the storage a whole file of torch's old
format, handed as bytes to `torch.storage._load_from_bytes`; a storage may name the GPU that it lay on.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmonize.miniatures.points import Floats

_START, _STOP = b"\x80\x02", b"."
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_ORDERED = b"ccollections\nOrderedDict\n)R"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A float32 tensor; a Parameter when `is_parameter`. device: as `torch.device` writes it."""

    values: Floats
    is_parameter: bool = False
    device: str = "cpu"


def dumps(value: Any) -> bytes:
    """The pickle of nested dict, list, tuple, str, int, float, bool, None, numeric arrays and `Tensor`s.

    Raises:
        TypeError: the value holds something else.
    """
    return _START + _save(value) + _STOP


def _save(value: Any) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, str):
        data = value.encode()
        return b"X" + struct.pack("<I", len(data)) + data
    if isinstance(value, bytes):  # protocol 2 has no bytes: they are encoded text
        return b"c_codecs\nencode\n(" + _save(value.decode("latin1")) + _save("latin1") + b"tR"
    if isinstance(value, int):
        data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(_save, value)) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_save, value)) + b"t"
    if isinstance(value, dict):
        return b"}(" + b"".join(_save(key) + _save(entry) for key, entry in value.items()) + b"u"
    if isinstance(value, Tensor):
        return _tensor(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        return _array(value)
    raise TypeError(f"no pickle for {type(value).__name__}")


def _array(value: np.ndarray[Any, Any]) -> bytes:
    dtype = value.dtype.newbyteorder("<")
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + _save((0,)) + _save(b"b") + b"tR"
    described = b"cnumpy\ndtype\n" + _save((dtype.str[1:], False, True)) + b"R"
    described += _save((3, "<", None, None, None, -1, -1, 0)) + b"b"
    data = np.ascontiguousarray(value, dtype).tobytes()
    return made + b"(" + _save(1) + _save(value.shape) + described + _save(False) + _save(data) + b"tb"


def _tensor(tensor: Tensor) -> bytes:
    values = np.ascontiguousarray(tensor.values, "<f4")
    strides = tuple(stride // values.itemsize for stride in values.strides)
    storage = b"ctorch.storage\n_load_from_bytes\n(" + _save(_storage_file(values, tensor.device)) + b"tR"
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + _save(0) + _save(values.shape) + _save(strides)
    made += _save(False) + _ORDERED + b"tR"
    if not tensor.is_parameter:
        return made
    return b"ctorch._utils\n_rebuild_parameter\n(" + made + _save(True) + _ORDERED + b"tR"


def _storage_file(values: Floats, device: str) -> bytes:
    """Magic number, version, machine, the storage by a persistent id, the list of storages, and their numbers."""
    key, count = "94023716547280", values.size
    machine = {"protocol_version": _PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    persistent = b"(" + _save("storage") + b"ctorch\nFloatStorage\n" + _save(key) + _save(device) + _save(count)
    pickles = (_save(_MAGIC), _save(_PROTOCOL), _save(machine), persistent + _save(None) + b"tQ", _save([key]))
    return b"".join(_START + part + _STOP for part in pickles) + struct.pack("<q", count) + values.tobytes()
