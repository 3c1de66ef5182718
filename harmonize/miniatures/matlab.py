"""MATLAB v7.3 files: HDF5 behind MATLAB's own header, every value marked with its MATLAB class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from harmonize.miniatures.points import Floats

_USERBLOCK_BYTES = 512


def write_mat73(path: Path, arrays: Mapping[str, Any]) -> None:
    """Numeric arrays, and cells as lists of numeric arrays, both with the axes that h5py shows: MATLAB's reversed.

    A cell becomes an (N, 1) array of references. Folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=_USERBLOCK_BYTES) as file:
        for name, value in arrays.items():
            if not isinstance(value, list):
                _put(file, name, np.asarray(value))
                continue
            references = [[_put(file, f"#refs#/{name}{row}", entry).ref] for row, entry in enumerate(value)]
            cell = file.create_dataset(name, data=np.array(references, h5py.ref_dtype), dtype=h5py.ref_dtype)
            cell.attrs["MATLAB_class"] = np.bytes_("cell")
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Jan  1 00:00:00 1970 HDF5 schema 1.00 ."
    header = text.ljust(116) + bytes(8) + b"\x00\x02IM"
    with path.open("r+b") as raw:
        raw.write(header.ljust(_USERBLOCK_BYTES, b"\0"))


def _put(file: Any, name: str, value: Floats) -> Any:
    dataset = file.create_dataset(name, data=value, compression="gzip", compression_opts=1)
    kind = {"float64": "double", "float32": "single"}.get(value.dtype.name, value.dtype.name)
    dataset.attrs["MATLAB_class"] = np.bytes_(kind)
    return dataset
