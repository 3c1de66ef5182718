"""Restricted pickles: plain data in, plain data out.

What is admitted, and what it becomes: builtin containers and numbers; numpy arrays, scalars and dtypes; pandas frames
as `pandas.DataFrame`; torch tensors, CPU or CUDA, as numpy arrays; scipy.sparse csc, csr and coo matrices; chumpy
arrays and selections as numpy arrays. Any other class or function is refused by name, and nothing is executed.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from harmonize.errors import RawFileError, UsageError
from harmonize.raw.depth import check_depth
from harmonize.raw.machine import Machine, Refused, Table
from harmonize.raw.paths import checked_size
from harmonize.raw.rebuild import PLAIN
from harmonize.raw.rebuild_pandas import PANDAS
from harmonize.raw.rebuild_sparse import CHUMPY, SPARSE
from harmonize.raw.rebuild_torch import TORCH

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
        return _load(file, size, path, encoding)


def loads_pickle(data: bytes, path: Path) -> Any:
    """The plain data of a pickle inside another file, such as an object array of an npz; `path` is for messages."""
    return _load(BytesIO(data), len(data), path, "latin1")


def _load(file: BinaryIO, size: int, path: Path, encoding: str) -> Any:
    machine = Machine(file, size, ADMITTED, encoding=encoding)
    try:
        value = machine.load()
        check_depth(value)
    except ImportError as error:
        raise UsageError(
            f"{path}: needs the package {error.name}, which is not installed", fix="pip install 'ehps[datasets,body]'"
        ) from error
    except Exception as error:  # whatever a damaged stream leads to is one error about the file
        raise _describe(error, path, size - machine.left) from error
    return value


def _describe(error: Exception, path: Path, at: int) -> RawFileError:
    if isinstance(error, Refused):
        found = str(error)
    else:
        found = f"contents that do not hold together ({type(error).__name__}: {error})"[:500]
    return RawFileError(
        f"{path}: byte {at}: expected a pickle of plain data, found {found}; nothing in it was executed",
        fix="compare the file with the dataset's checksum and download it again",
        file=str(path),
        byte=at,
    )
