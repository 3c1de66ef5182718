"""Checked access to the fields of foreign records, and the parts of an annotation that several datasets share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.errors import RawFileError
from harmonize.record import Array, Camera

Floats = npt.NDArray[np.floating[Any]]

NO_BOX: Array = np.zeros(5, np.float32)


class MalformedRecord(ValueError):
    """One person's record lacks a field, or a field has another size; readers turn it into a `malformed` reject."""


def field(record: Any, key: Any) -> Any:
    """A field of a record.

    Raises:
        MalformedRecord: there is no such field.
    """
    try:
        return record[key]
    except (KeyError, TypeError, IndexError):
        raise MalformedRecord(f"field {key!r}: expected, found none") from None


def floats(record: Mapping[str, Any], key: str, *shape: int) -> Floats:
    """A field as float64 of the given shape; nested and flat lists are both accepted.

    Raises:
        MalformedRecord: the field is missing, not numeric, or of another size.
    """
    return shaped(field(record, key), key, *shape)


def shaped(value: Any, name: str, *shape: int) -> Floats:
    """A value as float64 of the given shape (one -1 allowed). Object arrays of numbers are accepted.

    Raises:
        MalformedRecord: the value is not numeric, or of another size.
    """
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise MalformedRecord(f"field {name!r}: expected numbers of shape {shape}, found {_short(value)}") from None
    try:
        return numbers.reshape(shape)
    except ValueError:
        raise MalformedRecord(f"field {name!r}: expected shape {shape}, found {numbers.shape}") from None


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
            fix="compare the file with the dataset's own description, or download it again",
            file=where,
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
