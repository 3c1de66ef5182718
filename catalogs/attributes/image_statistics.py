"""What a stored picture looks like as a signal: light, contrast, sharpness, colour, compression.

All but `jpeg_quality` describe the picture at one size, its longer side brought to `LONGER_SIDE_PX` (by averaging over
the area of each new pixel; smaller pictures by bilinear interpolation), because noise, edges and blur depend on the
size at which one looks. Large JPEG files are reduced by 2, 4 or 8 while they are decoded, to no less than twice that
size; that changes the sharpness by a few in a hundred and the others by less than one.

Luma is 0.299 R + 0.587 G + 0.114 B of the stored values (ITU-R BT.601). Nothing is known of a sample without a picture.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from catalogs.attributes.family import Attribute, Columns, Family, Rows
from catalogs.attributes.pictures import decode_at_least
from harmonize.shards.decode import Pixels

LONGER_SIDE_PX = 256
_DECODED = 2

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# ITU-T T.81, annex K.1: the tables that libjpeg scales by its quality; rows of 8 by 8 frequencies.
# fmt: off
_LUMA_STEPS = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)
_CHROMA_STEPS = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, *(99,) * 32,
)
# fmt: on


def brightness(luma: npt.NDArray[np.float32]) -> float:
    """Mean luma. luma: (H, W) of 0 to 1."""
    return float(luma.mean(dtype=np.float64))


def contrast(luma: npt.NDArray[np.float32]) -> float:
    """Standard deviation of luma: the RMS contrast of Peli (1990). luma: (H, W) of 0 to 1."""
    return float(luma.std(dtype=np.float64))


def sharpness(luma: npt.NDArray[np.float32]) -> float:
    """Variance of the Laplacian of luma in levels of 255; NaN for pictures of less than 3 pixels a side.

    Kernel 0 1 0 / 1 -4 1 / 0 1 0, inner pixels only (Pech-Pacheco et al. 2000, as a measure of focus). White noise of s
    levels has 20 s^2. luma: (H, W) of 0 to 1.
    """
    if min(luma.shape) < 3:
        return float("nan")
    inner = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * inner
    return float(laplacian.var(dtype=np.float64) * 255**2)


def colourfulness(pixels: Pixels) -> float:
    """M of Hasler and Suesstrunk (2003), equation 5. pixels: (H, W, 3) of 0 to 255.

    rg = R - G, yb = (R + G) / 2 - B; M = |deviations| + 0.3 |means|. Grey is 0, "extremely colourful" about 109.
    """
    red, green, blue = (pixels[..., channel].astype(np.float32) for channel in range(3))
    opponents = (red - green, (red + green) / 2 - blue)
    deviation = np.hypot(*(part.std(dtype=np.float64) for part in opponents))
    mean = np.hypot(*(part.mean(dtype=np.float64) for part in opponents))
    return float(deviation + 0.3 * mean)


def jpeg_quality(tables: Mapping[int, Any]) -> float:
    """The quality 1 to 100 of libjpeg whose quantisation tables are nearest (smallest sum of absolute differences).

    tables: by number, 64 steps each, the first for luma and the second for chroma. Encoders with tables of their own
    get the quality that quantises most like them.
    """
    known = [np.asarray(tables[number], np.int64) for number in sorted(tables)[:2]]
    difference = sum(np.abs(ours - theirs).sum(axis=1) for ours, theirs in zip(_libjpeg_tables(), known, strict=False))
    return float(np.argmin(np.asarray(difference)) + 1)


@lru_cache(maxsize=1)
def _libjpeg_tables() -> tuple[npt.NDArray[np.int64], ...]:
    """Luma and chroma tables (100, 64) of qualities 1 to 100, as `jpeg_set_quality` of libjpeg scales annex K.1."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)[:, None]
    return tuple(np.clip((np.array(steps) * scale + 50) // 100, 1, 255) for steps in (_LUMA_STEPS, _CHROMA_STEPS))


def at_one_size(pixels: Pixels) -> Pixels:
    """The picture with its longer side at LONGER_SIDE_PX, in its own shape (but no side below one pixel)."""
    height, width = pixels.shape[:2]
    longer = max(height, width)
    if longer == LONGER_SIDE_PX:
        return pixels
    size = (max(1, round(width * LONGER_SIDE_PX / longer)), max(1, round(height * LONGER_SIDE_PX / longer)))
    way = Image.Resampling.BOX if longer > LONGER_SIDE_PX else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).resize(size, way))


def statistics(data: bytes, extension: str, name: str = "picture") -> tuple[float, float, float, float]:
    """Brightness, contrast, sharpness and colourfulness of a picture file.

    Raises:
        RawFileError: it does not decode completely.
    """
    pixels = at_one_size(decode_at_least(data, extension, _DECODED * LONGER_SIDE_PX, name))
    luma = (pixels @ _LUMA) / np.float32(255)
    return brightness(luma), contrast(luma), sharpness(luma), colourfulness(pixels)


def compute(rows: Rows, value: None) -> Columns:
    """The statistics of each stored picture.

    Raises:
        RawFileError: a picture does not decode completely; the message names its sample.
    """
    found = np.full((len(rows), 5), np.nan)
    keys, methods = rows.texts("key"), rows.texts("picture_method")
    for row, data, extension in rows.open_pictures():
        found[row, :4] = statistics(data, extension, f"{rows.shard}: picture of {keys[row]}")
        if extension == "jpg" and methods[row] != "encoded":
            found[row, 4] = jpeg_quality(JpegImageFile(io.BytesIO(data)).quantization)
    return {attribute.name: found[:, column] for column, attribute in enumerate(FAMILY.attributes)}


FAMILY = Family(
    name="image_statistics",
    doc=f"Light, contrast, sharpness, colour and compression of the stored picture, seen at {LONGER_SIDE_PX} px.",
    attributes=(
        Attribute(name="brightness", unit="1", doc="Mean luma (BT.601), 0 black to 1 white."),
        Attribute(name="contrast", unit="1", doc="Standard deviation of luma, 0 to 0.5 (RMS contrast, Peli 1990)."),
        Attribute(
            name="sharpness",
            unit="levels^2",
            doc=f"Variance of the Laplacian of luma (0 to 255) at a longer side of {LONGER_SIDE_PX} px (Pech-Pacheco "
            "et al. 2000): small where blurred. Null below 3 px.",
        ),
        Attribute(
            name="colourfulness",
            unit="levels",
            doc="M of Hasler and Suesstrunk (2003): 0 grey, 109 extremely so.",
        ),
        Attribute(
            name="jpeg_quality",
            unit="1",
            doc="libjpeg quality 1 to 100 whose quantisation tables are nearest to the picture's, which a lossless "
            "crop keeps from the source. Null where the picture is no JPEG, or was encoded by ingest.",
        ),
    ),
    reads=("picture_method",),
    compute=compute,
    reads_pictures=True,
)
