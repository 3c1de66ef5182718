"""Samples of a task on their way into shards: contents in one temporary file, only their places in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.errors import StoreError
from harmonize.evidence import Evidence
from harmonize.layout import VECTOR_SIZE


def _npy_header() -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({VECTOR_SIZE},), }}"
    return b"\x93NUMPY\x01\x00v\x00" + text.ljust(117).encode() + b"\n"


NPY_HEADER = _npy_header()
"""Header of every `KEY.npy`: format 1.0, 128 bytes, so that the vector behind it is aligned."""


def to_npy(vector: npt.NDArray[np.float32]) -> bytes:
    """The .npy file of a vector (VECTOR_SIZE,)."""
    return NPY_HEADER + vector.astype("<f4", copy=False).tobytes()


def from_npy(data: bytes) -> npt.NDArray[np.float32]:
    """The vector in a .npy file of `to_npy`.

    Raises:
        ValueError: it is not one.
    """
    if len(data) != len(NPY_HEADER) + 4 * VECTOR_SIZE or not data.startswith(NPY_HEADER):
        raise ValueError(f"expected a .npy of {VECTOR_SIZE} float32 values")
    return np.frombuffer(data, "<f4", offset=len(NPY_HEADER)).astype(np.float32, copy=False)


def to_json(strings: Mapping[str, Any]) -> bytes:
    """The .json file of a sample's strings."""
    return json.dumps(strings, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A person ready to be written."""

    key: str
    vector: npt.NDArray[np.float32]
    strings: Mapping[str, Any]
    evidence: Evidence
    picture: bytes = b""
    picture_extension: str = ""
    picture_method: str = ""
    picture_detail: str = ""


@dataclass(frozen=True, slots=True)
class _Place:
    offset: int
    sizes: tuple[int, int, int]
    evidence: Evidence
    picture: tuple[str, str, str]


@dataclass(slots=True)
class Spool:
    """Takes samples in any order, gives them back by key. A context manager; its file lies in the task's folder."""

    path: Path
    _places: dict[str, _Place] = field(default_factory=dict)
    _end: int = 0
    _descriptor: int = -1

    def __enter__(self) -> Spool:
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._descriptor)

    def add(self, sample: Sample) -> None:
        """Keep a sample.

        Raises:
            StoreError: its key is there already; the message names both sources.
        """
        if sample.key in self._places:
            first = self.get(sample.key).strings
            raise StoreError(
                f"two people share the key {sample.key}: {_source(first)} and {_source(sample.strings)}",
                fix="the reader must give each person of a picture its own `person`; please report this",
                sample=sample.key,
            )
        contents = (to_npy(sample.vector), to_json(sample.strings), sample.picture)
        data = b"".join(contents)
        _write_all(self._descriptor, data)
        picture = (sample.picture_extension, sample.picture_method, sample.picture_detail)
        self._places[sample.key] = _Place(
            self._end, (len(contents[0]), len(contents[1]), len(contents[2])), sample.evidence, picture
        )
        self._end += len(data)

    def get(self, key: str) -> Sample:
        """A sample that was added."""
        place = self._places[key]
        data = os.pread(self._descriptor, sum(place.sizes), place.offset)
        npy, strings = place.sizes[0], place.sizes[0] + place.sizes[1]
        return Sample(
            key=key,
            vector=from_npy(data[:npy]),
            strings=json.loads(data[npy:strings]),
            evidence=place.evidence,
            picture=data[strings:],
            picture_extension=place.picture[0],
            picture_method=place.picture[1],
            picture_detail=place.picture[2],
        )

    def keys(self) -> list[str]:
        """The keys of all samples, sorted."""
        return sorted(self._places)

    def evidence(self) -> list[Evidence]:
        """The evidence of all samples."""
        return [place.evidence for place in self._places.values()]


def _source(strings: Mapping[str, Any]) -> str:
    return f"{strings['source_file']} row {strings['source_row']}"


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
