"""Pixels of stored pictures, decoded no larger than they are needed."""

from __future__ import annotations

import numpy as np
import simplejpeg

from harmonize.errors import RawFileError
from harmonize.shards.decode import Pixels, decode_rgb, read_header

_FACTORS = (8, 4, 2)  # libjpeg also reduces by 8/7 and the like, but slower than it decodes the whole picture


def decode_at_least(data: bytes, extension: str, longer_side_px: float, name: str) -> Pixels:
    """The pixels (H, W, 3) of a picture; from a JPEG reduced by 2, 4 or 8 if it keeps this longer side.

    libjpeg reduces while it decodes, by averaging over the area that becomes one pixel. `name` is for messages.

    Raises:
        RawFileError: the file does not decode completely or is not what `extension` says.
    """
    header = read_header(data, name)
    longer = max(header.width_px, header.height_px)
    factor = next((factor for factor in _FACTORS if longer >= factor * longer_side_px), 1)
    if factor == 1 or header.format != "jpg" or extension != "jpg" or header.is_cmyk:
        return decode_rgb(data, extension, name)
    sides = {"min_width": -(-header.width_px // factor), "min_height": -(-header.height_px // factor)}
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True, **sides), np.uint8)
    except (ValueError, OSError) as error:
        raise RawFileError(f"{name}: the jpg file does not decode completely: {error}", file=name) from error
