"""An interpreter for the data part of pickle: containers, numbers, strings, and nothing that can act.

The standard unpickler calls whatever its `find_class` returns, numpy's own reconstruction trusts what it is told
(`dtype.__setstate__` takes flags from the file: eight bytes of a file then become a pointer that is followed), and
the C implementation allocates what a length field declares. So the stream is interpreted here. A global is looked up in
a table of functions of this project; each gets plain values and gives a plain value back. No foreign callable is ever
reached.

An object that pickle first makes empty and fills later is a `Pending`; filling gives the finished value, which takes
its place on the stack and in the memo.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from harmonize.raw.guard import Refused
from harmonize.raw.values import Admitted, Inner, Pending, Table, check_key

MAX_INT_BYTES = 16  # torch's magic number has 10; nothing in the 32 datasets is longer
MAX_LINE_BYTES = 1 << 20  # text numbers and names; text strings are bounded by the file instead
MAX_KEPT_BYTES = 1 << 16  # longer literals are memorised by their place: AGORA's arrays would else be in memory twice

UINT8, UINT16, UINT32, UINT64 = struct.Struct("<B"), struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
INT32, DOUBLE = struct.Struct("<i"), struct.Struct(">d")


@dataclass(frozen=True, slots=True)
class _Literal:
    """Where bytes that the memo stands for lie in the file."""

    position: int
    count: int


_SPENT = Inner()
"""In place of the state of an object that was filled: it holds the bytes of an array, and nothing shares it."""


class Machine:
    """The stack, the memo and the steps of one pickle of a stream; `opcodes.load` drives it."""

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        table: Table,
        *,
        encoding: str = "latin1",
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        self.file = file
        self.left = size
        self.table = table
        self.encoding = encoding
        self.persistent = persistent
        self.budget = 4 * size + (1 << 20)
        self.stack: list[Any] = []
        self.marks = [0]
        self.memo: dict[int, Any] = {}
        self.last_slot = -1
        self.slots: dict[int, list[int]] = {}
        self.num_pending = 0
        self.last_literal: tuple[bytes, _Literal] | None = None

    # Reading: every length is checked against the bytes that are left before anything is allocated.

    def read(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            raise Refused(f"{count} bytes declared where {self.left} are left (truncated, or a false length)")
        self.left -= count
        data = self.file.read(count)
        if len(data) != count:
            raise Refused("the file ends early")
        return data

    def line(self, limit: int = MAX_LINE_BYTES) -> bytes:
        data = self.file.readline(min(limit, self.left) + 1)
        self.left -= len(data)
        if not data.endswith(b"\n") or self.left < 0:
            raise Refused("a text line without end (truncated, or a false length)")
        return data[:-1]

    def number(self, form: struct.Struct) -> Any:
        return form.unpack(self.read(form.size))[0]

    def text(self, raw: bytes) -> str | bytes:
        """A Python 2 string."""
        return raw if self.encoding == "bytes" else raw.decode(self.encoding)

    # The stack.

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= self.marks[-1]:
            raise Refused("an operation without its operand")
        return self.stack.pop()

    def top(self, kind: type = object) -> Any:
        if len(self.stack) <= self.marks[-1]:
            raise Refused("an operation without its operand")
        value = self.stack[-1]
        if not isinstance(value, kind):
            raise Refused(f"{type(value).__name__} where {kind.__name__} must be")
        return value

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def since_mark(self) -> list[Any]:
        if len(self.marks) == 1:
            raise Refused("a missing mark")
        at = self.marks.pop()
        items = self.stack[at:]
        del self.stack[at:]
        return finished(items)

    # Memo. A pending object keeps its slots, so that the finished value can take its place in them.

    def remember(self, slot: int) -> None:
        if len(self.stack) <= self.marks[-1]:
            raise Refused("an operation without its operand")
        self.last_slot = slot
        value = self.memo[slot] = self.stack[-1]
        if self.last_literal is not None and value is self.last_literal[0]:
            self.memo[slot] = self.last_literal[1]
        if isinstance(value, Pending):
            self.slots.setdefault(id(value), []).append(slot)

    def recall(self, slot: int) -> None:
        if slot not in self.memo:
            raise Refused(f"memo slot {slot}, which was never filled")
        value = self.memo[slot]
        if isinstance(value, Pending):
            raise Refused("an object that contains itself")
        if value is _SPENT:
            raise Refused("the state of one object used for another")
        if isinstance(value, _Literal):
            here = self.file.tell()
            self.file.seek(value.position)
            value = self.charge(self.file.read(value.count))
            self.file.seek(here)
        self.push(value)

    # Objects.

    def admit(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused("a global whose name is not text")
        rebuild = self.table.get((module, name))
        if rebuild is None:
            raise Refused(f"the global {module}.{name}, which is not on the list of admitted ones")
        self.push(Admitted(f"{module}.{name}", rebuild))

    def call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Admitted) or type(arguments) is not tuple:
            raise Refused(f"a call of {type(function).__name__}")
        self.push(self.charge(function.rebuild(*arguments)))

    def charge(self, value: Any) -> Any:
        """Counts what a call made, so that one stretch of the file cannot be turned into any number of copies."""
        if isinstance(value, Pending):
            self.num_pending += 1
        elif isinstance(value, (np.ndarray, Inner)):
            self.budget -= getattr(value, "nbytes", 0)
        elif isinstance(value, (bytes, bytearray)):
            self.budget -= len(value)
        elif isinstance(value, (list, tuple, set, frozenset, dict)):
            self.budget -= 8 * len(value)
        if self.budget < 0:
            raise Refused("arrays that add up to more than the file can hold")
        return value

    def build(self) -> None:
        state, pending = self.pop(), self.pop()
        if type(state) is tuple and self.memo.get(self.last_slot) is state:
            self.memo[self.last_slot] = _SPENT
        if not isinstance(pending, Pending):
            raise Refused(f"a state for {type(pending).__name__}")
        value = self.charge(pending.build(state))
        self.num_pending -= 1
        for slot in self.slots.pop(id(pending), ()):
            if self.memo[slot] is pending:
                self.memo[slot] = value
        self.push(value)

    def new_with_keywords(self) -> None:
        keywords, arguments, cls = self.pop(), self.pop(), self.pop()
        if keywords:
            raise Refused("an object made with keyword arguments")
        self.call(cls, arguments)

    def inst(self) -> None:
        module, name = self.line().decode(), self.line().decode()
        arguments = self.since_mark()
        self.admit(module, name)
        self.call(self.pop(), tuple(arguments))

    def obj(self) -> None:
        cls, *arguments = self.since_mark()
        self.call(cls, tuple(arguments))

    def persist(self, key: Any) -> None:
        if self.persistent is None:
            raise Refused("a reference to something outside the file")
        self.push(self.persistent(key))

    # Containers.

    def extend(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.top(dict)
        if len(items) % 2:
            raise Refused("a key without a value")
        for at in range(0, len(items), 2):
            target[check_key(items[at])] = items[at + 1]

    def pop_or_mark(self) -> None:
        if len(self.marks) > 1 and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.pop()

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self.update(finished([key, value]))

    def make_dict(self) -> None:
        items = self.since_mark()
        self.push({})
        self.update(items)

    def make_tuple(self, count: int) -> None:
        at = len(self.stack) - count
        if at < self.marks[-1]:
            raise Refused("an operation without its operand")
        items = finished(self.stack[at:])
        self.stack[at:] = [tuple(items)]

    def add_items(self) -> None:
        items = self.since_mark()
        self.top(set).update([check_key(item) for item in items])

    def duplicate(self) -> None:
        self.push(*finished([self.top()]))

    # Literals.

    def python2_text(self, form: struct.Struct) -> None:
        self.push(self.text(self.read(self.number(form))))

    def quoted(self) -> None:
        raw = self.line(self.left).strip()
        if len(raw) < 2 or raw[:1] != raw[-1:] or raw[:1] not in (b"'", b'"'):
            raise Refused("a string without quotes")
        self.push(self.text(codecs.escape_decode(raw[1:-1])[0]))

    def binary(self, count: int) -> None:
        data = self.read(count)
        if count > MAX_KEPT_BYTES:
            self.last_literal = (data, _Literal(self.file.tell() - count, count))
        self.push(data)

    def unicode(self, form: struct.Struct) -> None:
        self.push(self.read(self.number(form)).decode("utf-8", "surrogatepass"))

    def decimal(self) -> None:
        raw = self.line()
        if raw in (b"00", b"01"):  # how protocol 0 writes False and True
            self.push(raw == b"01")
            return
        if not re.fullmatch(rb"[+-]?\d{1,40}L?", raw):
            raise Refused("a number that is none, or too long")
        self.push(int(raw.rstrip(b"L")))

    def long(self, form: struct.Struct) -> None:
        count = self.number(form)
        if not 0 <= count <= MAX_INT_BYTES:
            raise Refused(f"an integer of {count} bytes")
        self.push(int.from_bytes(self.read(count), "little", signed=True))

    def frame(self) -> None:
        count = self.number(UINT64)
        if count > self.left:
            raise Refused(f"a frame of {count} bytes where {self.left} are left")

    def protocol(self) -> None:
        version = self.read(1)[0]
        if version > 5:
            raise Refused(f"pickle protocol {version}")


def finished(items: list[Any]) -> list[Any]:
    for item in items:
        if isinstance(item, Pending):
            raise Refused("an object that is used before it is filled")
    return items
