"""From a stored picture to the network's crop: one affine map with scale, turn, shift and mirror, and one warp by it.

Positions are continuous: a pixel covers [i, i + 1). Picture and keypoints go through the same map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from harmonize.errors import DataError, UsageError
from harmonize.shards.decode import decode_rgb
from harmonize.shards.jpeg_part import Window, decode_part
from harmonize.shards.read import Sample
from train.data.records import places_of, records_of

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Affine = tuple[float, float, float, float, float, float]
"""The two rows of an affine map, behind one another: arithmetic on a few floats is cheaper without arrays."""

MAX_SHRINK = 1.5
"""Bilinear interpolation shrinks so far without visible aliasing; beyond it every crop pixel is a mean of four."""

_SCALES = (1, 2, 4, 8)
"""Eighths by which libjpeg-turbo decodes faster than at full size; the other scales cost more than the full size."""

MAX_ENLARGEMENT = 1.15
"""A picture may be decoded so much smaller than the crop needs: its detail is kept, and decoding costs half."""

# The loader's threads are all the parallelism there is: OpenCV's own would only compete with them.
cv2.setNumThreads(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CropSize:
    """The network's input, and how much larger than the person box it is."""

    height_px: int = 256
    width_px: int = 192
    padding: float = 1.25

    def __post_init__(self) -> None:
        if min(self.height_px, self.width_px) < 1 or not 0 < self.padding < math.inf:
            raise UsageError(
                f"crop: expected at least 1 x 1 pixels and a positive padding, found {self.height_px} x "
                f"{self.width_px} and {self.padding}",
                field="size",
            )


def crop_maps(
    boxes: Floats,
    size: CropSize,
    turns: Floats | None = None,
    zoom: Floats | None = None,
    shift: Floats | None = None,
) -> Floats:
    """Affine maps (N, 2, 3) from stored pixels to crop pixels that put a padded person box into the crop.

    Boxes are widened or heightened to the crop's shape, so that all of them is seen.

    boxes: (N, 4+) x, y, width, height of stored pixels. turns: (N, 2, 2) rotation or mirror about the crop's centre.
    zoom: (N,) enlargement of the person. shift: (N, 2) of the person, in widths and heights of the crop.
    """
    extent = np.array([size.width_px, size.height_px], np.float64)
    scale = 1 / (size.padding * (boxes[:, 2:4] / extent).max(axis=1))
    if zoom is not None:
        scale = scale * zoom
    linear = scale[:, None, None] * (np.eye(2) if turns is None else turns)
    centre = boxes[:, :2] + boxes[:, 2:4] / 2
    goal = extent / 2 if shift is None else extent * (0.5 + shift)
    offset = goal - (linear @ centre[..., None])[..., 0]
    return np.concatenate([np.broadcast_to(linear, (len(boxes), 2, 2)), offset[..., None]], axis=2)


def person_boxes(samples: Sequence[Sample]) -> Floats:
    """The person boxes (N, 4) x, y, width, height in stored pixels.

    Raises:
        DataError: a record has none.
    """
    boxes = records_of(samples)["boxes.person_xywh_px"].astype(np.float64)
    missing = ~((boxes[:, 4] > 0) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0))
    if missing.any():
        key = samples[int(missing.argmax())].key
        raise DataError(
            f"{key}: expected a person box to crop by, found none",
            fix="leave the sample out of the selection",
            sample=key,
        )
    return boxes[:, :4]


def cut_crop(sample: Sample, to_crop: Floats, out: Pixels) -> None:
    """Decode a sample's picture at the useful scale and write its crop into `out` (height, width, 3), RGB.

    to_crop: (2, 3) map from stored pixels. Outside of the picture it is black.

    Raises:
        UsageError: the sample has no picture. RawFileError: the picture does not decode completely.
    """
    height, width = out.shape[:2]
    pixels, plan = _decode(sample, _affine(to_crop), height, width)
    _warp(pixels, plan, out)


def decoded_eighths(scale: float) -> int:
    """At how many eighths of its size a JPEG is decoded whose crop shows it at `scale`."""
    return next((n for n in _SCALES if n * MAX_ENLARGEMENT >= 8 * scale), 8)


def warp(pixels: Pixels, to_crop: Floats, out: Pixels) -> None:
    """Write the crop of a picture (H, W, 3) into `out` (height, width, 3); black outside of the picture.

    A picture that is much larger than needed is averaged first, so that fine texture does not alias.
    """
    _warp(pixels, _affine(to_crop), out)


def _affine(to_crop: Floats) -> Affine:
    (a, b, x), (c, d, y) = to_crop.tolist()
    return a, b, x, c, d, y


def _scale(plan: Affine) -> float:
    a, b, _, c, d, _ = plan
    return math.sqrt(abs(a * d - b * c))


def _counted(plan: Affine, size: float, left: float = 0.0, top: float = 0.0) -> Affine:
    """The same map from pixels that are `size` times as wide and counted from (left, top), in those pixels."""
    a, b, x, c, d, y = plan
    a, b, c, d = a * size, b * size, c * size, d * size
    return a, b, x + a * left + b * top, c, d, y + c * left + d * top


def _inverse(plan: Affine) -> Affine:
    a, b, x, c, d, y = plan
    area = a * d - b * c
    a, b, c, d = d / area, -b / area, -c / area, a / area
    return a, b, -a * x - b * y, c, d, -c * x - d * y


def _warp(pixels: Pixels, plan: Affine, out: Pixels) -> None:
    """`warp`, also of four channels, the last of which is left out."""
    scale = _scale(plan)
    blocks = int(1 / scale)
    if blocks > 1:
        pixels, plan = _mean_of_blocks(pixels, blocks), _counted(plan, blocks)
        scale *= blocks
    height, width = out.shape[:2]
    if scale * MAX_SHRINK >= 1:
        crop = _interpolated(pixels, plan, height, width)
    else:
        a, b, x, c, d, y = plan
        fine = _interpolated(pixels, (2 * a, 2 * b, 2 * x, 2 * c, 2 * d, 2 * y), 2 * height, 2 * width)
        crop = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    if crop.shape[2] == 4:
        cv2.cvtColor(crop, cv2.COLOR_RGBA2RGB, dst=out)
    else:
        out[:] = crop


def _interpolated(pixels: Pixels, plan: Affine, height: int, width: int) -> Any:
    # OpenCV counts from the centres of pixels, this project from their corners.
    a, b, x, c, d, y = _inverse(plan)
    back = np.array(((a, b, x + (a + b - 1) / 2), (c, d, y + (c + d - 1) / 2)))
    return cv2.warpAffine(pixels, back, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def _mean_of_blocks(pixels: Pixels, size: int) -> Pixels:
    height, width = pixels.shape[:2]
    whole = cv2.copyMakeBorder(pixels, 0, -height % size, 0, -width % size, cv2.BORDER_REPLICATE)
    goal = (-(-width // size), -(-height // size))
    return np.asarray(cv2.resize(whole, goal, interpolation=cv2.INTER_AREA), np.uint8)


def _decode(sample: Sample, plan: Affine, height: int, width: int) -> tuple[Pixels, Affine]:
    """Pixels (H, W, 3 or 4) of what a crop of a size shows of a picture, at the useful scale, and their map to it."""
    data = sample.picture
    if data is None:
        raise UsageError(
            f"{sample.key}: expected a picture, found annotations only",
            fix="ingest again with --images crop or full",
            sample=sample.key,
        )
    if sample.extension == "jpg":
        eighths = decoded_eighths(_scale(plan))
        plan_there = _counted(plan, 8 / eighths)
        size_px = (int(sample.vector[_WIDTH]), int(sample.vector[_HEIGHT]))
        # The record's size was checked at ingest, and the bytes against their hash: what is not seen may stay unread.
        found = decode_part(data, size_px, eighths, _seen(plan_there, height, width))
        if found is not None:
            pixels, left, top = found
            return pixels, _counted(plan_there, 1, left, top)
    # The careful decoder knows the other kinds, too, and has a message for damaged ones.
    return decode_rgb(data, sample.extension, sample.key), plan


def _seen(plan: Affine, height: int, width: int) -> Window:
    """The part of the picture that a crop of a size shows."""
    a, b, x, c, d, y = _inverse(plan)
    xs = (x, x + a * width, x + b * height, x + a * width + b * height)
    ys = (y, y + c * width, y + d * height, y + c * width + d * height)
    return math.floor(min(xs)), math.floor(min(ys)), math.ceil(max(xs)), math.ceil(max(ys))


_WIDTH, _HEIGHT = places_of("image.width_px", "image.height_px").tolist()
