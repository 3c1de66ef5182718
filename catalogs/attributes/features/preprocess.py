"""From a stored picture to what a network sees: a region of the network's shape, brought to its size, normalised.

Two views. "picture": the whole stored picture, letterboxed; nothing is cut off. "person": the person box with a quarter
more around it, grown to the network's shape, as pose networks are trained; the whole picture where there is no box.
What lies outside the picture has the mean colour, which is zero after normalisation.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from catalogs.attributes.features.layouts import View
from catalogs.attributes.pictures import decode_at_least
from harmonize.shards.decode import read_header

PERSON_CONTEXT = 1.25
"""Side of the region as a multiple of the box, the padding of top-down pose networks (mmpose)."""

_DECODED = 2  # times the size needed: beyond that a JPEG is reduced while it is decoded
WAYS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

Region = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the stored picture; may reach beyond it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """size_px: height and width of the network's picture. mean, std: of colours from 0 to 1, in the order R, G, B."""

    size_px: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    view: View

    def facts(self) -> dict[str, Any]:
        """All of it, as a manifest keeps it."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return plain if self.view == "picture" else {**plain, "context": PERSON_CONTEXT}


def region_of(
    width_px: int, height_px: int, box_xywh_px: npt.NDArray[np.float32] | None, preprocessing: Preprocessing
) -> Region:
    """The smallest region of the network's shape around the picture, or around the person with context.

    box_xywh_px: (5,) with the confidence last; 0: there is none.
    """
    left, top, width, height = 0.0, 0.0, float(width_px), float(height_px)
    if preprocessing.view == "person" and box_xywh_px is not None and box_xywh_px[4] > 0 and min(box_xywh_px[2:4]) > 0:
        x, y, box_width, box_height = (float(value) for value in box_xywh_px[:4])
        width, height = box_width * PERSON_CONTEXT, box_height * PERSON_CONTEXT
        left, top = x + (box_width - width) / 2, y + (box_height - height) / 2
    rows, columns = preprocessing.size_px
    grown_width, grown_height = max(width, height * columns / rows), max(height, width * rows / columns)
    left, top = left - (grown_width - width) / 2, top - (grown_height - height) / 2
    return left, top, left + grown_width, top + grown_height


def to_input(
    data: bytes,
    extension: str,
    box_xywh_px: npt.NDArray[np.float32] | None,
    preprocessing: Preprocessing,
    name: str = "picture",
) -> npt.NDArray[np.float32]:
    """The network's input (3, H, W) for a picture file; all mean colour where the person is outside the picture.

    Raises:
        RawFileError: the file does not decode completely.
    """
    header = read_header(data, name)
    left, top, right, bottom = region_of(header.width_px, header.height_px, box_xywh_px, preprocessing)
    rows, columns = preprocessing.size_px
    scale = columns / (right - left)
    pixels = decode_at_least(data, extension, _DECODED * scale * max(header.width_px, header.height_px), name)
    canvas = np.zeros((rows, columns, 3), np.float32)
    shown = (max(left, 0.0), max(top, 0.0), min(right, header.width_px), min(bottom, header.height_px))
    x, y, end_x, end_y = (
        round((side - start) * scale) for side, start in zip(shown, (left, top, left, top), strict=True)
    )
    if x < end_x and y < end_y:
        across, down = pixels.shape[1] / header.width_px, pixels.shape[0] / header.height_px
        box = (shown[0] * across, shown[1] * down, shown[2] * across, shown[3] * down)
        resized = Image.fromarray(pixels).resize((end_x - x, end_y - y), WAYS[preprocessing.interpolation], box=box)
        colours = np.asarray(resized, np.float32) / np.float32(255)
        canvas[y:end_y, x:end_x] = (colours - np.asarray(preprocessing.mean, np.float32)) / np.asarray(
            preprocessing.std, np.float32
        )
    return np.ascontiguousarray(canvas.transpose(2, 0, 1))
