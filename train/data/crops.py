"""From a stored picture to the network's crop: one affine map with scale, turn, shift and mirror, and one warp by it.

Positions are continuous: a pixel covers [i, i + 1). Picture and keypoints go through the same map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from harmonize.errors import DataError, UsageError
from harmonize.shards.decode import decode_rgb
from harmonize.shards.read import Sample

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

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
    boxes = np.stack([sample.instance.boxes.person_xywh_px for sample in samples]).astype(np.float64)
    missing = ~((boxes[:, 4] > 0) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0))
    if missing.any():
        key = samples[int(missing.argmax())].instance.key
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
    scale = math.sqrt(abs(to_crop[0, 0] * to_crop[1, 1] - to_crop[0, 1] * to_crop[1, 0]))
    pixels, decoded_scale = _decode(sample, scale)
    warp(pixels, to_crop / np.array([decoded_scale, decoded_scale, 1]), out)


def decoded_eighths(scale: float) -> int:
    """At how many eighths of its size a JPEG is decoded whose crop shows it at `scale`."""
    return next((n for n in _SCALES if n * MAX_ENLARGEMENT >= 8 * scale), 8)


def warp(pixels: Pixels, to_crop: Floats, out: Pixels) -> None:
    """Write the crop of a picture (H, W, 3) into `out` (height, width, 3); black outside of the picture.

    A picture that is much larger than needed is averaged first, so that fine texture does not alias.
    """
    scale = math.sqrt(abs(to_crop[0, 0] * to_crop[1, 1] - to_crop[0, 1] * to_crop[1, 0]))
    blocks = int(1 / scale)
    if blocks > 1:
        pixels, to_crop = _mean_of_blocks(pixels, blocks), to_crop * np.array([blocks, blocks, 1])
        scale *= blocks
    height, width = out.shape[:2]
    if scale * MAX_SHRINK >= 1:
        _interpolate(pixels, to_crop, out)
        return
    fine = np.empty((2 * height, 2 * width, 3), np.uint8)
    _interpolate(pixels, 2 * to_crop, fine)
    cv2.resize(fine, (width, height), dst=out, interpolation=cv2.INTER_AREA)


def _interpolate(pixels: Pixels, to_crop: Floats, out: Pixels) -> None:
    # OpenCV counts from the centres of pixels, this project from their corners.
    (a, b, x), (c, d, y) = to_crop.tolist()
    area = a * d - b * c
    a, b, c, d = d / area, -b / area, -c / area, a / area
    x, y = 0.5 - x, 0.5 - y
    found = cv2.warpAffine(
        pixels,
        np.array([[a, b, a * x + b * y - 0.5], [c, d, c * x + d * y - 0.5]]),
        (out.shape[1], out.shape[0]),
        dst=out,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    if not np.shares_memory(found, out):
        out[:] = found


def _mean_of_blocks(pixels: Pixels, size: int) -> Pixels:
    height, width = pixels.shape[:2]
    whole = cv2.copyMakeBorder(pixels, 0, -height % size, 0, -width % size, cv2.BORDER_REPLICATE)
    goal = (-(-width // size), -(-height // size))
    return np.asarray(cv2.resize(whole, goal, interpolation=cv2.INTER_AREA), np.uint8)


def _decode(sample: Sample, scale: float) -> tuple[Pixels, float]:
    """The picture's pixels (H, W, 3), at about `scale` times their stored size or more, and at what they are."""
    key, data = sample.instance.key, sample.picture
    if data is None:
        raise UsageError(
            f"{key}: expected a picture, found annotations only",
            fix="ingest again with --images crop or full",
            sample=key,
        )
    eighths = decoded_eighths(scale)
    if sample.extension == "jpg":
        image = sample.instance.image
        height, width = (-(-side * eighths // 8) for side in (image.height_px, image.width_px))
        try:
            # The record's size was checked at ingest, and the bytes against their hash: no second look at the header.
            pixels = simplejpeg.decode_jpeg(data, colorspace="RGB", min_height=height, min_width=width, strict=True)
        except ValueError:
            # CMYK, or damaged: the careful decoder knows the one and has a message for the other.
            return decode_rgb(data, "jpg", key), 1.0
        if pixels.shape == (height, width, 3):
            return pixels, eighths / 8
    return decode_rgb(data, sample.extension, key), 1.0
