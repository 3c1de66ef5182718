"""Pickle opcodes of a CUDA scalar tensor, as torch before its zip format wrote it; made without torch or a GPU.

Releases of fitting code carry such tensors in corners nobody needs, and plain unpickling of them fails.
"""

from __future__ import annotations

import pickle
import pickletools
import struct
from typing import Any

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_SYSTEM = {"protocol_version": _PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
_PLACEHOLDER = "\x01scalar tensor\x01"


def dumps_with_scalars(value: Any, scalars: dict[str, float]) -> bytes:
    """Protocol 2 pickle of the dict `value`, with `losses_to_log` as its first entry: named tensors of one number.

    numpy's module has the name that it had when such files were written.
    """
    losses = {name: _PLACEHOLDER + name for name in scalars}
    data = pickletools.optimize(pickle.dumps({"losses_to_log": losses} | value, 2))
    data = data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    for name, number in scalars.items():
        data = data.replace(_text(_PLACEHOLDER + name), _tensor(number), 1)
    return data


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<i", len(text)) + text.encode()


def _tensor(number: float) -> bytes:
    stored = pickletools.optimize(pickle.dumps(_storage(number), 2))[2:-1]
    storage = b"ctorch.storage\n_load_from_bytes\n" + stored + b"\x85R"
    hooks = b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00))\x88" + hooks + b"tR"


def _storage(number: float) -> bytes:
    """torch's old file format: magic, version, system, the object, its keys, then each storage's length and numbers."""
    reference = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text("0") + _text("cuda:0") + b"K\x01NtQ"
    head = b"".join(pickle.dumps(each, 2) for each in (_MAGIC, _PROTOCOL, _SYSTEM))
    return head + b"\x80\x02" + reference + b"." + pickle.dumps(["0"], 2) + struct.pack("<qf", 1, number)
