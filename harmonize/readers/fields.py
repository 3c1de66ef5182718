"""Checked access to the fields of foreign records, and the parts of an annotation that several datasets share."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from harmonize.errors import RawFileError
from harmonize.record import Array, Camera

Floats = npt.NDArray[np.floating[Any]]

NO_BOX: Array = np.zeros(5, np.float32)
FIX = "compare the file with the dataset's own description, or download it again"

MAX_SIDE_PX = 65535
"""The longest side that a JPEG can have."""

_NUMBER = (bool, int, float, np.bool_, np.integer, np.floating)
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 60


class MalformedRecord(ValueError):
    """A field is missing or not what its format says: of one person's record, which becomes a `malformed` reject, or of
    what all people of a file need (see `concerns_file`)."""

    @classmethod
    def of(cls, name: Any, expected: str, found: Any) -> MalformedRecord:
        """The error with its one wording; `found` is shortened."""
        return cls(f"field {name!r}: expected {expected}, found {' '.join(_REPR.repr(found).split())}")


@contextmanager
def concerns_file(path: Path, fix: str = FIX) -> Iterator[None]:
    """For what all people of a file need.

    Raises:
        RawFileError: instead of MalformedRecord; the message names the file.
    """
    try:
        yield
    except MalformedRecord as error:
        raise RawFileError(f"{path}: {error}", fix=fix, file=str(path)) from error


def field(record: Any, key: Any) -> Any:
    """A field of a record.

    Raises:
        MalformedRecord: there is no such field, as there is none in what is no record.
    """
    try:
        return record[key]
    except (KeyError, TypeError, IndexError):
        raise MalformedRecord(f"field {key!r}: expected, found none") from None


def entries(record: Any, key: str) -> Mapping[str, Any]:
    """A field that must be a record itself.

    Raises:
        MalformedRecord: it is missing or something else.
    """
    value = field(record, key)
    if not isinstance(value, Mapping):
        raise MalformedRecord.of(key, "a record", value)
    return value


def listing(record: Any, key: str) -> Sequence[Any]:
    """A field that must be a list, a tuple, or an array with an axis.

    Raises:
        MalformedRecord: it is missing or something else.
    """
    value = field(record, key)
    if not is_listing(value):
        raise MalformedRecord.of(key, "a list", value)
    return value


def is_listing(value: Any) -> TypeGuard[Sequence[Any]]:
    """Whether a value has a length and entries by number, and is no text."""
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def text(record: Any, key: str) -> str:
    """A field that must be text.

    Raises:
        MalformedRecord: it is missing or something else.
    """
    value = field(record, key)
    if not isinstance(value, str):
        raise MalformedRecord.of(key, "text", value)
    return value


def label(record: Any, key: str) -> str:
    """What a record calls itself, a text or a whole number, as text; empty where it says nothing usable."""
    value = record.get(key) if isinstance(record, Mapping) else None
    return str(value) if isinstance(value, (str, int, np.integer)) else ""


def flag(record: Any, key: str) -> bool:
    """A field that must be a truth value, or 0 or 1.

    Raises:
        MalformedRecord: it is missing or something else.
    """
    value = field(record, key)
    if not isinstance(value, _NUMBER) or value not in (0, 1):
        raise MalformedRecord.of(key, "true or false", value)
    return bool(value)


def integer(record: Any, key: str) -> int:
    """A field that must be a whole number, below the size where float64 loses whole numbers.

    Raises:
        MalformedRecord: it is missing or something else.
    """
    value = field(record, key)
    is_number = isinstance(value, _NUMBER) and not isinstance(value, (bool, np.bool_))
    if not is_number or not abs(value) < 2**53 or value % 1:
        raise MalformedRecord.of(key, "a whole number", value)
    return int(value)


def number(record: Any, key: str) -> float:
    """A field that must be one finite number; an array of one entry is accepted.

    Raises:
        MalformedRecord: it is missing or something else.
    """
    value = float(floats(record, key, 1)[0])
    if not np.isfinite(value):
        raise MalformedRecord.of(key, "a finite number", value)
    return value


def size_px(record: Any) -> tuple[int, int]:
    """`width` and `height` of a picture.

    Raises:
        MalformedRecord: one is missing, no whole number, or no size that a picture can have.
    """
    size = (integer(record, "width"), integer(record, "height"))
    if not all(0 < side <= MAX_SIDE_PX for side in size):
        raise MalformedRecord.of("width, height", f"1 to {MAX_SIDE_PX}", size)
    return size


def floats(record: Any, key: str, *shape: int) -> Floats:
    """A field as float64 of the given shape; nested and flat lists are both accepted.

    Raises:
        MalformedRecord: the field is missing, not numeric, or of another size.
    """
    return shaped(field(record, key), key, *shape)


def shaped(value: Any, name: str, *shape: int) -> Floats:
    """A value as float64 of the given shape (one -1 allowed).

    Raises:
        MalformedRecord: the value is not numeric, or of another size.
    """
    values = numbers(value, name)
    try:
        return values.reshape(shape)
    except ValueError:
        raise MalformedRecord(f"field {name!r}: expected shape {shape}, found {values.shape}") from None


def numbers(value: Any, name: str) -> Floats:
    """A value as float64 of whatever shape. Object arrays of numbers are accepted, numbers written as text are not.

    Raises:
        MalformedRecord: the value is not numeric, or its lists are of unequal length.
    """
    try:
        values = np.asarray(value)
        if values.dtype.kind in "biufO":
            return values.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError):
        pass
    raise MalformedRecord.of(name, "numbers", value)


def box(xywh_px: Floats, confidence: float = 1.0) -> Array:
    """x, y, width, height with a confidence; no box where a number is not finite or a side is not positive."""
    if confidence <= 0 or not np.isfinite(xywh_px).all() or xywh_px[2] <= 0 or xywh_px[3] <= 0:
        return NO_BOX
    return np.array([*xywh_px, confidence], np.float32)


def pinhole(focal_px: Floats, principal_point_px: Floats, *, is_calibrated: bool) -> Camera:
    """A camera without distortion; focal_px (2,), principal_point_px (2,) in pixels of the whole picture."""
    return Camera(
        focal_px=np.asarray(focal_px, np.float32),
        principal_point_px=np.asarray(principal_point_px, np.float32),
        has_intrinsics=True,
        is_calibrated=is_calibrated,
    )


def with_confidence(points: Floats, confidence: float = 1.0) -> Floats:
    """(K, 2 | 3) points with one more column, the confidence."""
    return np.column_stack([points, np.full(len(points), confidence)])


def require_keys(found: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    """Check that a file holds what its format says.

    Raises:
        RawFileError: a key is missing; the message names file, missing keys and the keys that are there.
    """
    missing = [key for key in keys if key not in found]
    if missing:
        raise RawFileError(
            f"{where}: expected {', '.join(missing)}, found only {', '.join(sorted(map(str, found))[:20])}",
            fix=FIX,
            file=where,
        )
