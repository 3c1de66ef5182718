"""Pictures: from a source file's bytes to the bytes that are stored with a sample.

A JPEG is cut on its block borders without decoding, so the stored pixels are those of the source; a rotated one is
turned the same way where its blocks allow. Everything else is decoded, turned, cut and encoded once, and the result
says so. Boxes and windows are in the picture as a viewer shows it, after `orientation`.
"""

from __future__ import annotations

import importlib.metadata
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import simplejpeg

from harmonize.geometry import Window, crop_window
from harmonize.shards import jpeg
from harmonize.shards.decode import PictureHeader, Pixels, decode_rgb, frame_header, read_header

__all__ = ["PictureHeader", "StoredPicture", "codecs", "decode_rgb", "read_header", "store_picture", "turned"]

Method = Literal["copied", "lossless-crop", "lossless-transform", "encoded"]

JPEG_QUALITY = 95
"""With full chroma (4:4:4) a second generation at 95 stays within the noise of the first one."""

_STORED_AS_THEY_ARE = ("jpg", "png", "webp")
# What each EXIF code asks for, in this order: swap rows and columns, mirror left-right, mirror top-bottom.
_TURNS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """A picture ready to be stored. source_xy = stored_xy + window[:2], in the oriented source.

    method: copied (the source's bytes), lossless-crop and lossless-transform (the source's pixels), or encoded
    (decoded and encoded once); `detail` says why it was encoded.
    """

    data: bytes
    extension: str
    window: Window
    source_size_px: tuple[int, int]
    orientation: int
    method: Method
    detail: str


def codecs() -> dict[str, str]:
    """The libraries whose versions decide which bytes are stored; part of what a plan is bound to."""
    versions = {name: importlib.metadata.version(name) for name in ("simplejpeg", "pillow")}
    return {**versions, "libjpeg-turbo": jpeg.library_name()}


def store_picture(
    data: bytes | Pixels,
    *,
    box_xywh_px: npt.ArrayLike | None,
    orientation: int | None,
    mode: Literal["crop", "full"],
    context: float,
    name: str = "picture",
) -> StoredPicture:
    """The picture to store for one person: the region around the box, or all of it.

    A lossless crop grows outwards to the block grid. Where a turn would move incomplete blocks of the source's right or
    lower border to the left or top, they are left out (at most 15 px a side, never any of the box); if that is not
    possible the picture is encoded. Metadata is left behind unless the file is copied as it is.

    Args:
        data: the source file, or the pixels (H, W, 3) of a video's frame.
        box_xywh_px: (4,) or (5,) person box in the oriented picture; only needed for mode "crop".
        orientation: EXIF code that overrides the file's own; None takes the file's.
        mode: "crop", or "full" for the whole picture, copied byte for byte where it needs no turn.
        context: side of the region as a multiple of the box's longer side.
        name: the file's name, for messages.

    Raises:
        RawFileError: the file does not decode completely, or `read_header` refuses it.
        RecordError: the box is empty or outside the picture.
        ValueError: mode "crop" without a box.
    """
    header = read_header(data, name) if isinstance(data, bytes) else frame_header(data)
    code = header.exif_orientation if orientation is None else orientation
    size = header.oriented_size_px(code)
    if mode == "full":
        window = required = (0, 0, *size)
        upright = code == 1 and header.exif_orientation == 1
        if upright and isinstance(data, bytes) and header.format in _STORED_AS_THEY_ARE and not header.is_cmyk:
            _decoded(data, header.format, name)
            return StoredPicture(data, header.format, window, size, code, "copied", "")
    elif box_xywh_px is None:
        raise ValueError("mode 'crop' needs a box")
    else:
        window, required = crop_window(box_xywh_px, size, context), _pixels_of(box_xywh_px, size)

    if not isinstance(data, bytes) or header.format != "jpg":
        reason = f"the source is a {header.format}"
    elif header.is_cmyk:
        reason = "the source is CMYK, which common decoders do not turn into RGB"
    else:
        try:
            stored, kept = _transformed(data, header, code, window, required, name)
        except jpeg.TransformError as error:
            reason = str(error)
        else:
            method: Method = "lossless-crop" if code == 1 and mode == "crop" else "lossless-transform"
            return StoredPicture(stored, "jpg", kept, size, code, method, "")
    x, y, width, height = window
    source = _decoded(data, header.format, name) if isinstance(data, bytes) else data
    pixels = turned(source, code)[y : y + height, x : x + width]
    detail = f"encoded once, quality {JPEG_QUALITY} 4:4:4: {reason}"
    return StoredPicture(_encode(pixels), "jpg", window, size, code, "encoded", detail)


@lru_cache(maxsize=1)
def _decoded(data: bytes, extension: str, name: str) -> Pixels:
    """Pixels of a whole source; the last one is kept, because the people of a picture come one after the other."""
    pixels = decode_rgb(data, extension, name)
    pixels.flags.writeable = False
    return pixels


def _pixels_of(box_xywh_px: npt.ArrayLike, size: tuple[int, int]) -> Window:
    """The whole pixels that the part of a box inside the picture touches."""
    x, y, width, height = (float(value) for value in np.asarray(box_xywh_px, np.float64)[:4])
    left, top = math.floor(max(x, 0)), math.floor(max(y, 0))
    return left, top, min(math.ceil(x + width), size[0]) - left, min(math.ceil(y + height), size[1]) - top


def _transformed(
    data: bytes, header: PictureHeader, code: int, window: Window, required: Window, name: str
) -> tuple[bytes, Window]:
    """The lossless cut of at least `required` and about `window`, turned by `code`, and the window it shows."""
    assert header.block_px is not None
    width, height = header.width_px, header.height_px
    swap, flip_x, flip_y = _TURNS[code]
    size = header.oriented_size_px(code)
    x, y, w, h = window
    columns = (size[0] - x - w, size[0] - x) if flip_x else (x, x + w)
    rows = (size[1] - y - h, size[1] - y) if flip_y else (y, y + h)
    if swap:
        columns, rows, flip_x, flip_y = rows, columns, flip_y, flip_x
    left, right = _on_blocks(columns, width, header.block_px[0], is_mirrored=flip_x)
    top, bottom = _on_blocks(rows, height, header.block_px[1], is_mirrored=flip_y)
    kept_columns = (width - right, width - left) if flip_x else (left, right)
    kept_rows = (height - bottom, height - top) if flip_y else (top, bottom)
    if swap:
        kept_columns, kept_rows = kept_rows, kept_columns
    kept = (
        kept_columns[0],
        kept_rows[0],
        kept_columns[1] - kept_columns[0],
        kept_rows[1] - kept_rows[0],
    )
    if not _contains(kept, required):
        raise jpeg.TransformError("the turn would lose pixels beyond the last complete block")
    stored = jpeg.cut(data, (left, top, right - left, bottom - top))
    if code != 1:
        stored = jpeg.turn(stored, code)
    found = decode_rgb(stored, "jpg", name).shape[1::-1]
    if found != kept[2:]:
        raise jpeg.TransformError(f"the lossless cut has {found} px instead of {kept[2:]} px")
    return stored, kept


def _on_blocks(span: tuple[int, int], size: int, block: int, *, is_mirrored: bool) -> tuple[int, int]:
    """A span of source pixels moved out to the blocks at its start, and, if that will become the start, at its end."""
    start, end = span[0] - span[0] % block, span[1]
    if is_mirrored:
        end = min(math.ceil(end / block), size // block) * block
    return start, max(start, end)


def _contains(outer: Window, inner: Window) -> bool:
    return all(
        outer[axis] <= inner[axis] and inner[axis] + inner[axis + 2] <= outer[axis] + outer[axis + 2] for axis in (0, 1)
    )


def turned(pixels: Pixels, code: int) -> Pixels:
    """A view of pixels (H, W, 3) as a viewer that honours an EXIF code shows them."""
    swap, flip_x, flip_y = _TURNS[code]
    pixels = pixels.swapaxes(0, 1) if swap else pixels
    return pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


def _encode(pixels: Pixels) -> bytes:
    encoded = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels), quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="444", fastdct=False
    )
    return bytes(encoded)
