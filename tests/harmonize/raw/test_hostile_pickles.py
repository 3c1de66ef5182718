"""Hostile pickles: whatever a file asks for, nothing runs, nothing large is allocated, one clear error comes out."""

from __future__ import annotations

import os
import pickle
import random
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pickle_opcodes import array, array_of, build, call, dct, dtype, lit, lst, name, new, raw, stream, tup
from scipy import sparse

from harmonize.errors import RawFileError
from harmonize.raw import opcodes
from harmonize.raw.pickles import load_pickle

EXECUTED: list[str] = []


def executed(*what: Any) -> None:
    EXECUTED.append(repr(what))


class Payload:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduction = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduction


def refused(tmp_path: Path, data: bytes) -> str:
    """The message of the error, after a check that it names the file and that memory stayed small."""
    path = tmp_path / "hostile.pkl"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(RawFileError) as caught:
            load_pickle(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50 * len(data) + 4_000_000, f"{peak} bytes for a file of {len(data)}"
    assert str(path) in str(caught.value)
    assert "fix: " in str(caught.value)
    assert len(str(caught.value)) < 1200
    return str(caught.value)


# --- code -------------------------------------------------------------------------------------------------------------

MARKER = "marker-of-execution"
CALLS: dict[str, tuple[str, str, list[Any]]] = {
    "os.system": ("os", "system", [f"touch {MARKER}"]),
    "posix.system": ("posix", "system", [f"touch {MARKER}"]),
    "subprocess": ("subprocess", "Popen", [["touch", MARKER]]),
    "eval": ("builtins", "eval", [f"open({MARKER!r}, 'w')"]),
    "python 2 eval": ("__builtin__", "eval", [f"open({MARKER!r}, 'w')"]),
    "exec": ("builtins", "exec", [f"open({MARKER!r}, 'w')"]),
    "open": ("builtins", "open", [MARKER, "w"]),
    "import": ("builtins", "__import__", ["os"]),
    "getattr": ("builtins", "getattr", [[], "__class__"]),
    "attrgetter": ("operator", "attrgetter", ["__class__"]),
    "methodcaller": ("operator", "methodcaller", ["system", f"touch {MARKER}"]),
    "partial": ("functools", "partial", []),
    "numpy.load": ("numpy", "load", [MARKER, None, True]),
    "numpy.fromfile": ("numpy", "fromfile", ["/etc/passwd"]),
    "numpy.memmap": ("numpy", "memmap", [MARKER, "uint8", "w+", 0, [10]]),
    "numpy runstring": ("numpy.testing._private.utils", "runstring", ["1", {}]),
    "numpy ctypes": ("numpy.ctypeslib", "load_library", ["x", "."]),
    "pandas.read_pickle": ("pandas", "read_pickle", [MARKER]),
    "pandas eval": ("pandas.core.computation.eval", "eval", ["1+1"]),
    "torch.load": ("torch", "load", [MARKER]),
    "torch hub": ("torch.hub", "load", ["a/b", "c"]),
    "torch jit": ("torch.jit._serialization", "load", [MARKER]),
    "scipy loadmat": ("scipy.io", "loadmat", [MARKER]),
    "pickle.loads": ("pickle", "loads", ["x"]),
    "_pickle.loads": ("_pickle", "loads", ["x"]),
    "codecs.decode": ("_codecs", "decode", ["x", "zlib"]),
    "ctypes": ("ctypes", "CDLL", ["libc.so.6"]),
    "sys.modules": ("sys", "modules", []),
    "chumpy function": ("chumpy.ch", "depends_on", ["x"]),
    "own module": ("harmonize.raw.pickles", "load_pickle", [MARKER]),
    "this test": (__name__, "executed", ["x"]),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_call_of_anything_else_is_refused_by_name(tmp_path: Path, monkeypatch: Any, case: str) -> None:
    monkeypatch.chdir(tmp_path)
    module, attribute, arguments = CALLS[case]
    for data in (
        stream(call(name(module, attribute), *map(lit, arguments))),
        stream(lst(lit(1), dct(a=call(name(module, attribute), *map(lit, arguments))))),
        b"(" + b"".join(map(lit, arguments)) + f"i{module}\n{attribute}\n.".encode(),
        b"(" + name(module, attribute) + b"".join(map(lit, arguments)) + b"o.",
        b"\x80\x04" + lit(module) + lit(attribute) + b"\x93" + tup(*map(lit, arguments)) + b"\x81.",
        b"\x80\x04" + lit(module) + lit(attribute) + b"\x93)}\x92.",
    ):
        message = refused(tmp_path, data)
        assert f"{module}.{attribute}" in message
    assert not Path(MARKER).exists()
    assert not EXECUTED


@pytest.mark.parametrize("protocol", range(6))
def test_real_payloads_do_not_run(tmp_path: Path, monkeypatch: Any, protocol: int) -> None:
    monkeypatch.chdir(tmp_path)
    payload = Payload(os.system, f"touch {MARKER}")
    for value in (
        payload,
        [payload],
        {"poses": np.zeros(3), "x": payload},
        np.array([payload], object),
        pd.DataFrame({"a": [payload]}),
        (torch.zeros(2), payload),
    ):
        assert "system" in refused(tmp_path, pickle.dumps(value, protocol))
    assert not Path(MARKER).exists()


def test_the_payloads_are_real(tmp_path: Path, monkeypatch: Any) -> None:
    """The standard unpickler runs them: otherwise the tests above could not fail."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(stream(call(name("posix", "system"), lit(f"touch {MARKER}"))))
    assert Path(MARKER).exists()


def test_a_payload_inside_a_torch_storage_does_not_run(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    inner = stream(call(name("posix", "system"), lit(f"touch {MARKER}")))
    header = stream(lit(0x1950A86A20F9469CFC6C)) + stream(lit(1001)) + stream(lit({"little_endian": True}))
    for nested in (inner, header + inner, header + stream(call(name("torch.storage", "_load_from_bytes"), raw(inner)))):
        refused(tmp_path, stream(call(name("torch.storage", "_load_from_bytes"), raw(nested))))
    assert not Path(MARKER).exists()


NDARRAY, OBJECT = name("numpy", "ndarray"), name("__builtin__", "object")
INDEX = name("pandas", "Index")
NEW_INDEX = name("pandas.core.indexes.base", "_new_Index")
RECONSTRUCT = name("numpy.core.multiarray", "_reconstruct")
DATA = array(np.arange(6.0))
F8 = dtype("<f8")
FRAME = new(name("pandas", "DataFrame"))
STRINGS = name("pyarrow.lib", "_restore_array")
TEXT = call(name("pyarrow.lib", "type_for_alias"), lit("string"))
MANAGER = name("pandas.core.internals.managers", "BlockManager")
CSC = new(name("scipy.sparse.csc", "csc_matrix"))


def offsets(*values: int) -> bytes:
    return raw(np.array(values, "<i4").tobytes())


def sparse_state(**changes: bytes) -> bytes:
    parts = {
        "_shape": lit((2, 2)),
        "data": array(np.ones(2)),
        "indices": array(np.array([0, 1], np.int32)),
        "indptr": array(np.array([0, 1, 2], np.int32)),
    }
    return dct(**{**parts, **changes})


def tensor(*arguments: bytes) -> bytes:
    from test_pickles import storage

    values = np.arange(6, dtype=np.float32)
    stored = call(name("torch.storage", "_load_from_bytes"), raw(storage(values)))
    return call(name("torch._utils", "_rebuild_tensor_v2"), stored, *arguments, lit(False), lit(()))


MISUSES: dict[str, bytes] = {
    "class as value": NDARRAY,
    "class in a list": lst(INDEX),
    "function in an array": array(np.empty(1, object), items=lst(NEW_INDEX)),
    "function as key": b"}" + NEW_INDEX + lit(1) + b"s",
    "never filled": call(RECONSTRUCT, NDARRAY, lit((0,)), raw(b"b")),
    "never filled, in a list": lst(call(RECONSTRUCT, NDARRAY, lit((0,)), raw(b"b"))),
    "subclass of ndarray": call(RECONSTRUCT, name("numpy", "memmap"), lit((0,)), raw(b"b")),
    "reconstruct a function": call(RECONSTRUCT, NEW_INDEX, lit((0,)), raw(b"b")),
    "object of a data class": call(name("copy_reg", "_reconstructor"), NDARRAY, NDARRAY, lit(None)),
    "bare object": call(OBJECT),
    "call of a value": call(lit([1]), lit(1)),
    "arguments that are no tuple": NDARRAY + lit([1]) + b"R",
    "state for a list": build(lit([]), lit({"__class__": 1})),
    "state for a dict": build(lit({}), lit({"a": 1})),
    "state for an array": build(DATA, lit({"a": 1})),
    "array of a pointer dtype": array_of(
        tup(lit(1), lit((1,)), dtype("|O8", (3, "|", None, None, None, -1, -1, 0)), lit(False), raw(b"A" * 8))
    ),
    "pointer in a record": array_of(
        tup(
            lit(1),
            lit((1,)),
            build(
                call(name("numpy", "dtype"), lit("V8"), lit(0), lit(1)),
                tup(lit(3), lit("|"), lit(None), lit(("a",)), dct(a=tup(dtype("|O8"), lit(0))), lit(8), lit(1), lit(0)),
            ),
            lit(False),
            raw(b"A" * 8),
        )
    ),
    "record beyond its size": array_of(
        tup(
            lit(1),
            lit((1,)),
            build(
                call(name("numpy", "dtype"), lit("V8"), lit(0), lit(1)),
                tup(lit(3), lit("|"), lit(None), lit(("a",)), dct(a=tup(F8, lit(4096))), lit(8), lit(1), lit(0)),
            ),
            lit(False),
            raw(b"A" * 8),
        )
    ),
    "dtype code": call(name("numpy", "dtype"), lit("f8,O8")),
    "dtype from a dict": call(name("numpy", "dtype"), lit({"names": ["a"], "formats": ["O"]})),
    "scalar of objects": call(name("numpy.core.multiarray", "scalar"), dtype("|O8"), raw(b"A" * 8)),
    "scalar too short": call(name("numpy.core.multiarray", "scalar"), F8, raw(b"A" * 4)),
    "huge shape": array_of(tup(lit(1), lit((1 << 40,)), F8, lit(False), raw(b"A" * 8))),
    "huge empty shape": array_of(tup(lit(1), lit((1 << 62, 1 << 62)), dtype("|S1"), lit(False), raw(b""))),
    "entries of no size": array_of(
        tup(
            lit(1),
            lit((1 << 40,)),
            build(call(name("numpy", "dtype"), lit("V0")), lit((3, "|", None, None, None, 0, 1, 0))),
            lit(False),
            raw(b""),
        )
    ),
    "negative shape": array_of(tup(lit(1), lit((-1, -8)), F8, lit(False), raw(b"A" * 64))),
    "huge object shape": array_of(tup(lit(1), lit((1 << 40,)), dtype("|O8"), lit(False), lit([1]))),
    "no characters": array_of(tup(lit(1), lit((1,)), dtype("<U1"), lit(False), raw(b"\xff\xff\xff\x7f"))),
    "huge subarray": build(
        call(name("numpy", "dtype"), lit("V8")),
        tup(lit(3), lit("|"), tup(F8, lit((1 << 31,))), *[lit(None)] * 2, *[lit(8)] * 3),
    ),
    "codec that imports": call(name("_codecs", "encode"), lit("x"), lit("os")),
    "codec that inflates": call(name("_codecs", "encode"), lit("x"), lit("zlib")),
    "bytearray of a size": call(name("builtins", "bytearray"), lit(1 << 40)),
    "bytes of a size": call(name("builtins", "bytes"), lit(1 << 40)),
    "list of a string": call(name("builtins", "list"), lit("abc")),
    "complex of text": call(name("builtins", "complex"), lit("x"), lit("y")),
    "slice of arrays": call(name("builtins", "slice"), DATA),
    "keyword arguments": NDARRAY + b")" + lit({"shape": 1}) + b"\x92",
    "unhashable key": b"}" + lit([1]) + lit(1) + b"s",
    "array as key": b"}" + DATA + lit(1) + b"s",
    "deep tuple as key": b"}" + b")" + b"\x85" * 100_000 + lit(1) + b"s",
    "deep tuple in a set": b"\x8f(" + b")" + b"\x85" * 100_000 + b"\x90",
    "frame without blocks": build(FRAME, lit({"_mgr": [1]})),
    "frame with a list": build(FRAME, lit([1])),
    "blocks that are lists": call(MANAGER, lit(()), lit([])),
    "endless rows": call(
        MANAGER,
        tup(
            call(
                name("pandas._libs.internals", "_unpickle_block"),
                array(np.zeros((1, 2))),
                call(name("builtins", "slice"), lit(0), lit(1)),
            )
        ),
        lst(
            call(NEW_INDEX, INDEX, dct(data=array(np.arange(1)), name=lit(None))),
            call(
                NEW_INDEX,
                name("pandas", "RangeIndex"),
                dct(name=lit(None), start=lit(0), stop=lit(1 << 60), step=lit(1)),
            ),
        ),
    ),
    "block of endless places": call(
        name("pandas._libs.internals", "_unpickle_block"),
        array(np.zeros((1, 2))),
        call(name("builtins", "slice"), lit(0), lit(1 << 60)),
    ),
    "index of a class": call(NEW_INDEX, name("pandas", "MultiIndex"), lit({})),
    "index of a function": call(NEW_INDEX, NEW_INDEX, lit({})),
    "text with false offsets": call(
        STRINGS, tup(TEXT, lit(1), lit(0), lit(0), lst(lit(None), offsets(0, 1 << 30), raw(b"a")), lit([]), lit(None))
    ),
    "text with falling offsets": call(
        STRINGS, tup(TEXT, lit(2), lit(0), lit(0), lst(lit(None), offsets(0, 1, 0), raw(b"a")), lit([]), lit(None))
    ),
    "text with negative offsets": call(
        STRINGS, tup(TEXT, lit(1), lit(0), lit(0), lst(lit(None), offsets(-5, 1), raw(b"a")), lit([]), lit(None))
    ),
    "text of endless length": call(
        STRINGS, tup(TEXT, lit(1 << 40), lit(0), lit(0), lst(lit(None), offsets(0, 1), raw(b"a")), lit([]), lit(None))
    ),
    "Arrow of another type": call(name("pyarrow.lib", "type_for_alias"), lit("int64")),
    "storage of nothing": call(name("torch.storage", "_load_from_bytes"), raw(b"")),
    "storage as value": call(name("torch.storage", "_load_from_bytes"), raw(b"x" * 100)),
    "tensor beyond its storage": tensor(lit(0), lit((7,)), lit((1,))),
    "tensor before its storage": tensor(lit(-1), lit((2,)), lit((1,))),
    "tensor with a step too far": tensor(lit(0), lit((2,)), lit((6,))),
    "tensor with a negative step": tensor(lit(5), lit((2,)), lit((-1,))),
    "tensor that repeats": tensor(lit(0), lit((1 << 40,)), lit((0,))),
    "tensor of false rank": tensor(lit(0), lit((2, 2)), lit((1,))),
    "tensor of a list": call(name("torch._utils", "_rebuild_tensor_v2"), lit([1]), lit(0), lit((1,)), lit((1,))),
    "sparse index too large": build(CSC, sparse_state(indices=array(np.array([0, 1 << 20], np.int32)))),
    "sparse index negative": build(CSC, sparse_state(indices=array(np.array([0, -5], np.int32)))),
    "sparse pointer too large": build(CSC, sparse_state(indptr=array(np.array([0, 1, 1 << 20], np.int32)))),
    "sparse of endless shape": build(CSC, sparse_state(_shape=lit((1 << 60, 2)))),
    "sparse of objects": build(CSC, sparse_state(data=lit([1, 2]))),
    "chumpy without numbers": build(new(name("chumpy.ch", "Ch")), lit({"x": "os"})),
    "chumpy index too large": build(new(name("chumpy.reordering", "Select")), dct(a=DATA, idxs=array(np.array([99])))),
    "memo never filled": b"h\x07",
    "persistent reference": lit("x") + b"Q",
    "extension": b"\x82\x01",
    "buffer out of band": b"\x97",
    "unknown opcode": b"\xff",
    "nothing on the stack": b"a",
    "mark where a value must be": b"(0(.",
    "tuple without a mark": b"t",
    "key without a value": b"}(" + lit(1) + b"u",
    "append to a dict": b"}" + lit(1) + b"a",
    "long integer": b"\x8b" + (1 << 20).to_bytes(4, "little") + b"\xff" * (1 << 20),
    "negative length": b"\x8b" + b"\xff" * 4,
    "long text number": b"I" + b"9" * 100_000 + b"\n",
    "protocol 9": b"\x80\x09N",
    "contains itself": b"]q\x00h\x00a",
    "contains itself deeply": b"]q\x00]q\x01h\x00ah\x01a",
    "dictionary contains itself": b"}q\x63" + lit("a") + b"h\x63s",
    "array contains itself": call(RECONSTRUCT, NDARRAY, lit((0,)), raw(b"b"))
    + b"q\x63"
    + tup(lit(1), lit((1,)), dtype("|O8"), lit(False), b"](h\x63e")
    + b"b",
    "state used twice": lst(
        array_of(tup(lit(1), lit((1,)), F8, lit(False), raw(b"A" * 8)) + b"q\x63"), array_of(b"h\x63")
    ),
    "deep lists": b"]" * 5000 + b"a" * 4999,
    "deep tuples": b")" + b"\x85" * 5000,
    "deep lists beside each other": b"](" + b"]q\x01" + b"]h\x01aq\x01" * 500 + b"e",
}


@pytest.mark.parametrize("case", MISUSES)
def test_admitted_names_cannot_be_misused(tmp_path: Path, case: str) -> None:
    message = refused(tmp_path, stream(MISUSES[case]))
    assert "AttributeError" not in message, "an error of ours should say what is wrong"


def test_the_same_stretch_of_a_file_cannot_be_copied_without_end(tmp_path: Path) -> None:
    big = b"q\x05"
    state = b"(" + lit(1) + lit((200_000,)) + dtype("|S1") + lit(False) + b"h\x05t"
    one = build(call(RECONSTRUCT, NDARRAY, lit((0,)), raw(b"b")), state)
    data = stream(lst(b"B" + (200_000).to_bytes(4, "little") + b"x" * 200_000 + big, *[one] * 1000))
    assert "add up to more" in refused(tmp_path, data)


def test_one_byte_objects_are_bounded(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(opcodes, "MAX_OPERATIONS", 1000)
    assert "more than 1000 operations" in refused(tmp_path, stream(b"]" * 5000))


LENGTHS = {
    "BINBYTES": b"B\xff\xff\xff\xff",
    "BINBYTES8": b"\x8e" + (1 << 62).to_bytes(8, "little"),
    "BYTEARRAY8": b"\x96" + (1 << 62).to_bytes(8, "little"),
    "BINUNICODE": b"X\xff\xff\xff\x7f",
    "BINUNICODE8": b"\x8d" + (1 << 40).to_bytes(8, "little"),
    "BINSTRING": b"T\xff\xff\xff\x7f",
    "BINSTRING negative": b"T\xff\xff\xff\xff",
    "FRAME": b"\x95" + (1 << 62).to_bytes(8, "little"),
    "LONG4": b"\x8b\xff\xff\xff\x7f",
    "LONG_BINPUT": b"Nr\xff\xff\xff\xff0j\xfe\xff\xff\xff",
}


@pytest.mark.parametrize("case", LENGTHS)
def test_declared_lengths_allocate_nothing(tmp_path: Path, case: str) -> None:
    refused(tmp_path, b"\x80\x04" + LENGTHS[case] + b"abc.")


def test_a_nested_storage_length_allocates_nothing(tmp_path: Path) -> None:
    from test_pickles import storage

    data = storage(np.zeros(4, np.float32), count=1 << 40)
    message = refused(tmp_path, stream(call(name("torch.storage", "_load_from_bytes"), raw(data))))
    assert "for an array of" in message


# --- damage -----------------------------------------------------------------------------------------------------------


def rich_pickle(protocol: int) -> bytes:
    return pickle.dumps(
        {
            "poses": np.random.default_rng(0).normal(size=(5, 72)),
            "names": ["a", "bü"],
            "objects": np.array([{"x": 1}, None], object),
            "frame": pd.DataFrame({"t": ["a", "b"], "x": [[1], [2]], "y": [0.5, 1.5]}),
            "tensor": torch.arange(6.0).reshape(2, 3),
            "regressor": sparse.csc_matrix(np.eye(3)),
            "mixed": (1 << 40, 2.5, None, True, {1, 2}),
        },
        protocol,
    )


@pytest.mark.parametrize("protocol", range(6))
def test_a_file_cut_anywhere_is_one_clear_error(tmp_path: Path, protocol: int) -> None:
    data = rich_pickle(protocol)
    path = tmp_path / "cut.pkl"
    path.write_bytes(data)
    load_pickle(path)
    for count in [*range(40), *range(40, len(data), max(1, len(data) // 150)), *range(len(data) - 20, len(data))]:
        path.write_bytes(data[:count])
        with pytest.raises(RawFileError, match=r"cut\.pkl"):
            load_pickle(path)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_damaged_bytes_give_data_or_one_error(tmp_path: Path, protocol: int) -> None:
    data = rich_pickle(protocol)
    path = tmp_path / "damaged.pkl"
    numbers = random.Random(protocol)
    outcomes = {"data": 0, "error": 0}
    for _ in range(600):
        damaged = bytearray(data)
        for _ in range(numbers.choice((1, 1, 2, 8))):
            damaged[numbers.randrange(len(damaged))] = numbers.randrange(256)
        path.write_bytes(damaged)
        try:
            load_pickle(path)
            outcomes["data"] += 1
        except RawFileError:
            outcomes["error"] += 1
    assert min(outcomes.values()) > 20, outcomes


def test_other_files_are_not_pickles(tmp_path: Path) -> None:
    for data in (
        b"\x89PNG\r\n\x1a\n" + b"\0" * 50,
        b"PK\x03\x04" + b"\0" * 50,
        b'{"a": 1}',
        b"hello\n",
        b"\0" * 100,
        b"\x1f\x8b\x08",
    ):
        refused(tmp_path, data)


def test_size_is_limited_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "large.pkl"
    path.write_bytes(pickle.dumps(list(range(1000))))
    with pytest.raises(RawFileError, match="at most 100 bytes"):
        load_pickle(path, max_bytes=100)
    with pytest.raises(RawFileError, match="cannot be opened"):
        load_pickle(tmp_path / "missing.pkl")
