"""The opcodes of data pickles, each as steps of the machine, and the loop over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harmonize.raw.guard import Refused
from harmonize.raw.machine import DOUBLE, INT32, UINT8, UINT16, UINT32, UINT64, Machine, finished
from harmonize.raw.values import Inner, check_key

MAX_OPERATIONS = 50_000_000
"""Bounds the objects of a file made of one-byte opcodes; AGORA's largest frame should need about a million."""


def load(machine: Machine) -> Any:
    """The value of the pickle; leaves the file behind its STOP opcode.

    Raises:
        Refused: an opcode, a global or a value that is not admitted, or lengths that do not fit the file.
    """
    read = machine.file.read
    for _ in range(MAX_OPERATIONS):
        code = read(1) if machine.left > 0 else b""
        if not code:
            raise Refused("the file ends early")
        machine.left -= 1
        if code == b".":  # STOP
            value = machine.pop()
            if machine.num_pending or isinstance(value, Inner):
                raise Refused("an object that is never filled, or a class instead of a value")
            return value
        operation = _OPERATIONS.get(code[0])
        if operation is None:
            raise Refused(f"opcode 0x{code[0]:02x}, which no data pickle has")
        operation(machine)
    raise Refused(f"more than {MAX_OPERATIONS} operations")


def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.admit(module, name)


def _reduce(machine: Machine) -> None:
    arguments, function = machine.pop(), machine.pop()
    machine.call(function, arguments)


_OPERATIONS: dict[int, Callable[[Machine], None]] = {
    ord("("): Machine.mark,
    ord("0"): Machine.pop_or_mark,
    ord("1"): lambda m: m.stack.extend(m.since_mark()[:0]),
    ord("2"): Machine.duplicate,
    ord("F"): lambda m: m.stack.append(float(m.line())),
    ord("I"): Machine.decimal,
    ord("J"): lambda m: m.stack.append(m.number(INT32)),
    ord("K"): lambda m: m.stack.append(m.read(1)[0]),
    ord("L"): Machine.decimal,
    ord("M"): lambda m: m.stack.append(m.number(UINT16)),
    ord("N"): lambda m: m.stack.append(None),
    ord("P"): lambda m: m.persist(m.line().decode()),
    ord("Q"): lambda m: m.persist(m.pop()),
    ord("R"): _reduce,
    ord("S"): Machine.quoted,
    ord("T"): lambda m: m.python2_text(INT32),
    ord("U"): lambda m: m.python2_text(UINT8),
    ord("V"): lambda m: m.stack.append(m.line(m.left).decode("raw-unicode-escape")),
    ord("X"): lambda m: m.unicode(UINT32),
    ord("a"): lambda m: m.extend(finished([m.pop()])),
    ord("b"): lambda m: m.build(),  # the machine for joblib overrides it
    ord("c"): lambda m: m.admit(m.line().decode(), m.line().decode()),
    ord("d"): Machine.make_dict,
    ord("}"): lambda m: m.stack.append({}),
    ord("e"): lambda m: m.extend(m.since_mark()),
    ord("g"): lambda m: m.recall(int(m.line())),
    ord("h"): lambda m: m.recall(m.read(1)[0]),
    ord("i"): Machine.inst,
    ord("j"): lambda m: m.recall(m.number(UINT32)),
    ord("l"): lambda m: m.stack.append(m.since_mark()),
    ord("]"): lambda m: m.stack.append([]),
    ord("o"): Machine.obj,
    ord("p"): lambda m: m.remember(int(m.line())),
    ord("q"): lambda m: m.remember(m.read(1)[0]),
    ord("r"): lambda m: m.remember(m.number(UINT32)),
    ord("s"): Machine.set_item,
    ord("t"): lambda m: m.stack.append(tuple(m.since_mark())),
    ord(")"): lambda m: m.stack.append(()),
    ord("u"): lambda m: m.update(m.since_mark()),
    ord("G"): lambda m: m.stack.append(m.number(DOUBLE)),
    0x80: Machine.protocol,
    0x81: _reduce,  # NEWOBJ: the same call, as no class is ever reached
    0x85: lambda m: m.make_tuple(1),
    0x86: lambda m: m.make_tuple(2),
    0x87: lambda m: m.make_tuple(3),
    0x88: lambda m: m.stack.append(True),
    0x89: lambda m: m.stack.append(False),
    0x8A: lambda m: m.long(UINT8),
    0x8B: lambda m: m.long(INT32),
    ord("B"): lambda m: m.binary(m.number(UINT32)),
    ord("C"): lambda m: m.stack.append(m.read(m.read(1)[0])),
    0x8C: lambda m: m.unicode(UINT8),
    0x8D: lambda m: m.unicode(UINT64),
    0x8E: lambda m: m.binary(m.number(UINT64)),
    0x8F: lambda m: m.stack.append(set()),
    0x90: Machine.add_items,
    0x91: lambda m: m.stack.append(frozenset(check_key(item) for item in m.since_mark())),
    0x92: Machine.new_with_keywords,
    0x93: _stack_global,
    0x94: lambda m: m.remember(len(m.memo)),
    0x95: Machine.frame,
    0x96: lambda m: m.stack.append(bytearray(m.read(m.number(UINT64)))),
}
