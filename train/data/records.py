"""The numbers of some records as arrays by field, straight out of their stored vectors: no record object is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmonize.layout import LAYOUT
from harmonize.shards.read import Sample

Singles = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

_COLUMNS = {column.name: column for column in LAYOUT}


@dataclass(frozen=True, slots=True)
class Records:
    """N records. vectors: (N, VECTOR_SIZE), see `harmonize.layout`. Fields are named as there: "camera.focal_px"."""

    vectors: Singles

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, name: str) -> Singles:
        """A field (N, *shape), a view; flags and codes as numbers."""
        column = _COLUMNS[name]
        return self.vectors[:, column.start : column.stop].reshape(len(self), *column.spec.shape)

    def has(self, name: str) -> Flags:
        """A flag (N,)."""
        return np.asarray(self[name] != 0)

    def says(self, name: str, value: str) -> Flags:
        """Where (N,) a code has a value."""
        return np.asarray(self[name] == _COLUMNS[name].spec.codes.index(value))


def records_of(samples: Sequence[Sample]) -> Records:
    """The records of samples."""
    return Records(np.stack([sample.vector for sample in samples]))


def places_of(*names: str) -> npt.NDArray[np.intp]:
    """Where the numbers of some fields are in a vector, one field behind the other."""
    return np.concatenate([np.arange(_COLUMNS[name].start, _COLUMNS[name].stop) for name in names])
