"""Every error a user can meet.

    EhpsError                    anything this project raises on purpose
    ├── UsageError               the request cannot be carried out as asked (exit code 1)
    │   ├── UnknownDatasetError  no reader of that name
    │   ├── RawLayoutError       a raw root lacks an expected file
    │   └── MissingBodyModelError  a body-model file is not where it must be
    └── DataError                data failed a check (exit code 2)
        ├── RawFileError         a raw file is damaged, hostile, or not what it claims to be
        ├── RecordError          a record breaks its own contract (shape, dtype, flag)
        ├── GateError            too many instances of a shard were rejected
        └── StoreError           a store is incomplete, altered, or of another layout

Each message says what failed, where (dataset, file, sample), what was expected, what was found, and what to do next.
"""

from __future__ import annotations

from typing import Any


class EhpsError(Exception):
    """Base of every deliberate error. `fields` keeps the facts of the message for programs."""

    exit_code = 1

    def __init__(self, message: str, *, fix: str | None = None, **fields: Any) -> None:
        self.fix = fix
        self.fields = fields
        super().__init__(message if fix is None else f"{message}\n  fix: {fix}")


class UsageError(EhpsError):
    """The request cannot be carried out as asked."""


class UnknownDatasetError(UsageError):
    """No reader has the requested name."""


class RawLayoutError(UsageError):
    """A raw root does not hold a file or folder that the dataset's official layout has."""


class MissingBodyModelError(UsageError):
    """A licence-gated body-model file is not under the body-model folder."""


class DataError(EhpsError):
    """Data failed a check."""

    exit_code = 2


class RawFileError(DataError):
    """A raw file is truncated, hostile, oversized, or not of the kind its name says."""


class RecordError(DataError):
    """A record breaks its own contract: a shape, a dtype, a code, a flag."""


class GateError(DataError):
    """More instances of a shard were rejected than the limit allows."""


class StoreError(DataError):
    """A store is incomplete, altered, or written with another layout."""
