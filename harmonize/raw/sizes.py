"""The size of a picture, from its header: a few labels are in pixels of a resized picture, and cannot do without."""

from __future__ import annotations

import warnings
from pathlib import Path

MAX_SIDE_PX = 65535
_SIDEWAYS = (5, 6, 7, 8)  # EXIF codes that turn a picture by a quarter
_ORIENTATION = 0x0112


def picture_size_px(path: Path) -> tuple[int, int] | None:
    """(width, height) as a viewer shows the PNG or JPEG file, after a JPEG's EXIF orientation; no pixel is decoded.

    None where there is no such file or no size in it: whoever opens the picture says what is wrong with it.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures and of odd EXIF data
            with Image.open(path, formats=("PNG", "JPEG")) as picture:
                width, height = picture.size
                # Pillow looks for EXIF data of a PNG behind its pixels, and decodes them all to get there.
                is_sideways = picture.format == "JPEG" and picture.getexif().get(_ORIENTATION) in _SIDEWAYS
    except Exception:
        return None
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX):
        return None
    return (height, width) if is_sideways else (width, height)
