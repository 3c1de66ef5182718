"""Boxes as x, y, width, height and, where a fifth value is given, confidence; pixels.

Computed in float64; boxes are returned in float32 as the record wants them.

A box covers the half-open region [x, x + width) x [y, y + height). Confidence 0 says that there is no box.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harmonize.geometry.rotations import Float64
from harmonize.record import Array


def from_points(points_px: npt.ArrayLike, confidence: npt.ArrayLike | None = None) -> Array:
    """The tight box (5,) around points (N, 2) that are finite and, if `confidence` (N,) is given, above 0 in it.

    Points that span no area (none, one, or all on one row or column) give zeros: no box.
    """
    points = np.asarray(points_px, np.float64).reshape(-1, 2)
    used = np.isfinite(points).all(axis=-1)
    if confidence is not None:
        used &= np.asarray(confidence) > 0
    box = np.zeros(5, np.float32)
    if used.any():
        low, high = points[used].min(axis=0), points[used].max(axis=0)
        if (high > low).all():
            box[:] = (*low, *(high - low), 1.0)
    return box


def clip_to_image(box_xywh_px: npt.ArrayLike, image_size_px: tuple[int, int]) -> Array:
    """The parts (..., 4 | 5) of boxes inside a picture of (width, height); boxes that miss it become zeros."""
    box = np.asarray(box_xywh_px, np.float64)
    low = np.clip(box[..., :2], 0, image_size_px)
    high = np.clip(box[..., :2] + box[..., 2:4], 0, image_size_px)
    clipped = np.concatenate((low, high - low, box[..., 4:]), axis=-1)
    return np.where(area(clipped)[..., None] > 0, clipped, 0).astype(np.float32)


def area(box_xywh_px: npt.ArrayLike) -> Float64:
    """Areas (...) in square pixels of boxes (..., 4 | 5); 0 for a width or height that is not positive (or is NaN)."""
    box = np.asarray(box_xywh_px, np.float64)
    width, height = box[..., 2], box[..., 3]
    return np.where((width > 0) & (height > 0), width * height, 0.0)


def iou(first_xywh_px: npt.ArrayLike, second_xywh_px: npt.ArrayLike) -> Float64:
    """Intersection over union (...) of boxes (..., 4 | 5), broadcast; 0 where a box has no area."""
    first, second = np.asarray(first_xywh_px, np.float64), np.asarray(second_xywh_px, np.float64)
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., :2] + first[..., 2:4], second[..., :2] + second[..., 2:4])
    shared = area(np.concatenate((low, high - low), axis=-1))
    united = area(first) + area(second) - shared
    ratio: Float64 = np.zeros_like(united)
    np.divide(shared, united, out=ratio, where=(area(first) > 0) & (area(second) > 0))
    return ratio


def scaled(box_xywh_px: npt.ArrayLike, factor: float) -> Array:
    """Boxes (..., 4 | 5) with width and height multiplied by `factor` about their centres."""
    box = np.asarray(box_xywh_px, np.float64)
    size = box[..., 2:4] * factor
    low = box[..., :2] + (box[..., 2:4] - size) / 2
    return np.concatenate((low, size, box[..., 4:]), axis=-1).astype(np.float32)
