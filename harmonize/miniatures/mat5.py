"""MATLAB v5 files through scipy, the same bytes whenever they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

_HEADER = b"MATLAB 5.0 MAT-file, Platform: GLNXA64, Created on: Thu Jan  1 00:00:00 1970"
_HEADER_BYTES = 116  # text, in which scipy writes the time


def write_mat5(path: Path, variables: Mapping[str, Any]) -> None:
    """Writes the variables; folders are made."""
    buffer = BytesIO()
    savemat(buffer, dict(variables), do_compression=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_HEADER.ljust(_HEADER_BYTES) + buffer.getvalue()[_HEADER_BYTES:])


def structs(records: Sequence[Mapping[str, Any]]) -> Any:
    """A 1 x N struct array; a field that only some records have is empty in the others, as in MATLAB."""
    names = list(dict.fromkeys(name for record in records for name in record))
    array = np.empty((1, len(records)), [(name, object) for name in names])
    for column, record in enumerate(records):
        for name in names:
            array[0, column][name] = record.get(name, np.zeros((0, 0)))
    return array


def cells(values: Sequence[Any]) -> Any:
    """An N x 1 cell array."""
    array = np.empty((len(values), 1), object)
    for row, value in enumerate(values):
        array[row, 0] = value
    return array
