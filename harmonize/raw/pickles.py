"""Restricted pickles: plain data in, plain data out.

What is admitted, and what it becomes: builtin containers and numbers; numpy arrays, scalars and dtypes; pandas frames
as `pandas.DataFrame`; torch tensors, CPU or CUDA, as numpy arrays; scipy.sparse csc, csr and coo matrices; chumpy
arrays and selections as numpy arrays. Any other class or function is refused by name, and nothing is executed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from harmonize.raw.depth import check_depth
from harmonize.raw.guard import Refused, one_error
from harmonize.raw.machine import Machine
from harmonize.raw.opcodes import load
from harmonize.raw.paths import checked_size
from harmonize.raw.rebuild import PLAIN
from harmonize.raw.rebuild_pandas import PANDAS
from harmonize.raw.rebuild_sparse import CHUMPY, SPARSE
from harmonize.raw.rebuild_torch import TORCH
from harmonize.raw.values import Table

MAX_PICKLE_BYTES = 8 << 30  # AGORA's frames with joints and vertices are the largest, about 3.5 GB
ADMITTED: Table = {**PLAIN, **PANDAS, **SPARSE, **CHUMPY, **TORCH}


def load_pickle(path: Path, *, encoding: str = "latin1", max_bytes: int = MAX_PICKLE_BYTES) -> Any:
    """The plain data of a pickle, of any protocol, written by Python 2 or 3.

    `encoding` is that of Python 2 strings ("bytes" keeps them as bytes).

    Raises:
        RawFileError: the file is missing, larger than `max_bytes`, truncated, not a pickle, nested deeper than
            `depth.MAX_DEPTH`, or holds anything that is not admitted; the message names it.
        UsageError: the pickle holds a frame or a sparse matrix, and pandas or scipy is not installed.
    """
    path = Path(path)
    size = checked_size(path, max_bytes)
    with path.open("rb") as file:
        return _load(file, size, path, encoding)[0]


def stream_pickle(file: BinaryIO, size: int, path: Path) -> Any:
    """The plain data of a pickle of `size` bytes inside another file, such as an object array of an npz, from where
    `file` stands; `path` is for messages. The pickle is not held in memory beside what it makes.

    Raises:
        RawFileError: as `load_pickle`, or when bytes are left behind the pickle.
    """
    with one_error(path, "one pickle"):
        value, left = _load(file, size, path, "latin1")
        if left:
            raise Refused("more bytes behind it")
    return value


def _load(file: BinaryIO, size: int, path: Path, encoding: str) -> tuple[Any, int]:
    """The data, and how many bytes are left behind it."""
    machine = Machine(file, size, ADMITTED, encoding=encoding)
    with one_error(path, "a pickle of plain data (nothing in it was executed)"):
        try:
            value = load(machine)
        except Refused as error:
            raise Refused(f"at byte {size - machine.left}: {error}") from error
        check_depth(value)
        return value, machine.left
