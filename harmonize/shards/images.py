"""Pictures: from a source file's bytes to the bytes that are stored with a sample.

A JPEG is cut on its block borders without decoding, so the stored pixels are those of the source; a rotated one is
turned the same way where its blocks allow. Everything else is decoded, turned, cut and encoded once, and the result
says so. Boxes and windows are in the picture as a viewer shows it, after `orientation`.

Files come from outside: sizes are checked before anything is allocated, and a file that does not decode to its last
pixel is refused, because half a picture looks like a picture. Warnings of the decoder count as errors.
"""

from __future__ import annotations

import importlib.metadata
import io
import math
import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from harmonize.errors import RawFileError
from harmonize.geometry import Window, clip_to_image, crop_window
from harmonize.shards import jpeg

Pixels = npt.NDArray[np.uint8]
Format = Literal["jpg", "png", "webp", "bmp"]
Method = Literal["copied", "lossless-crop", "lossless-transform", "encoded"]

MAX_PIXELS = 1 << 26
"""Pictures beyond 67 megapixels are refused; the largest in use have 12."""

MAX_SCANS = 100
"""Scans of a progressive JPEG; encoders write about ten, and each costs a pass over the picture."""

JPEG_QUALITY = 95
"""With full chroma (4:4:4) a second generation at 95 stays within the noise of the first one."""

_SIGNATURES: tuple[tuple[Format, bytes, type[ImageFile]], ...] = (
    ("jpg", b"\xff\xd8\xff", JpegImageFile),
    ("png", b"\x89PNG\r\n\x1a\n", PngImageFile),
    ("webp", b"RIFF", WebPImageFile),
    ("bmp", b"BM", BmpImageFile),
)
_STORED_AS_THEY_ARE = ("jpg", "png", "webp")
_ORIENTATION_TAG = 0x0112
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
# What Pillow and simplejpeg raise on files that are not what they claim to be.
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, LookupError, TypeError, EOFError, struct.error)


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What a picture file says of itself. Sizes are those of the file's own pixels, before any turn.

    block_px: width and height of the blocks on whose borders a JPEG can be cut; None for other formats.
    """

    format: Format
    width_px: int
    height_px: int
    num_channels: int
    exif_orientation: int
    block_px: tuple[int, int] | None

    def oriented_size_px(self, orientation: int) -> tuple[int, int]:
        """Width and height of the picture as a viewer shows it under that EXIF code."""
        swapped = _TURNS[orientation][0]
        return (self.height_px, self.width_px) if swapped else (self.width_px, self.height_px)


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


def read_header(data: bytes, name: str = "picture") -> PictureHeader:
    """Format, size, orientation and blocks of a picture file, without decoding it. `name` is for messages.

    Raises:
        RawFileError: not a JPEG, PNG, WebP or BMP; damaged; an animation; or beyond MAX_PIXELS or MAX_SCANS.
    """
    file_format, image = _open(data, name)
    block = None
    if isinstance(image, JpegImageFile):
        # libjpeg stores a single channel block by block, whatever sampling factors the file gives it.
        factors = [(1, 1)] if image.layers == 1 else [(layer[1], layer[2]) for layer in image.layer]
        block = (8 * max(h for h, _ in factors), 8 * max(v for _, v in factors))
    return PictureHeader(
        format=file_format,
        width_px=image.width,
        height_px=image.height,
        num_channels=len(image.getbands()),
        exif_orientation=_exif_orientation(image.info.get("exif", b"")),
        block_px=block,
    )


def store_picture(
    data: bytes,
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
        data: the source file.
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
    header = read_header(data, name)
    code = header.exif_orientation if orientation is None else orientation
    size = header.oriented_size_px(code)
    if mode == "full":
        window = required = (0, 0, *size)
        upright = code == 1 and header.exif_orientation == 1
        if upright and header.format in _STORED_AS_THEY_ARE and header.num_channels < 4:
            decode_rgb(data, header.format, name)
            return StoredPicture(data, header.format, window, size, code, "copied", "")
    elif box_xywh_px is None:
        raise ValueError("mode 'crop' needs a box")
    else:
        window, required = crop_window(box_xywh_px, size, context), _pixels_of(box_xywh_px, size)

    if header.format != "jpg":
        reason = f"the source is {header.format}"
    elif header.num_channels == 4:
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
    pixels = _turned(decode_rgb(data, header.format, name), code)[y : y + height, x : x + width]
    detail = f"encoded once, quality {JPEG_QUALITY} 4:4:4: {reason}"
    return StoredPicture(_encode(pixels), "jpg", window, size, code, "encoded", detail)


def decode_rgb(data: bytes, extension: str, name: str = "picture") -> Pixels:
    """The pixels (H, W, 3) of a picture file as they lie in it; EXIF is not applied, alpha is dropped.

    Raises:
        RawFileError: the file does not decode completely, is not what `extension` says, or `read_header` refuses it.
    """
    file_format, image = _open(data, name)
    if file_format != extension:
        raise RawFileError(f"{name}: expected a {extension} file, found {file_format}", file=name)
    try:
        if file_format != "jpg":
            image.load()
            if image.mode.startswith("I;16"):
                return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
            return np.asarray(image.convert("RGB"), np.uint8)
        if image.mode != "CMYK":
            return np.asarray(simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True), np.uint8)
        inks = np.asarray(simplejpeg.decode_jpeg(data, colorspace="CMYK", strict=True), np.uint16)
    except _DECODE_ERRORS as error:
        raise RawFileError(f"{name}: the {file_format} file does not decode completely: {error}", file=name) from error
    # Adobe's convention, followed by all decoders: inks are stored inverted, 255 for no ink.
    return ((inks[..., :3] * inks[..., 3:] + 127) // 255).astype(np.uint8)


def _open(data: bytes, name: str) -> tuple[Format, ImageFile]:
    """The format and the file opened by Pillow, which reads no further than to the pixels; sizes are checked."""
    for file_format, signature, kind in _SIGNATURES:
        if data.startswith(signature):
            break
    else:
        raise RawFileError(f"{name}: expected a JPEG, PNG, WebP or BMP file, found {data[:8]!r}", file=name)
    try:
        # Pillow's WebP decoder allocates the canvas while opening: look at the size first.
        if file_format == "webp":
            _check_size(_webp_size(data), name)
        image = kind(io.BytesIO(data))
        is_animated = getattr(image, "is_animated", False)
    except _DECODE_ERRORS as error:
        raise RawFileError(f"{name}: damaged {file_format} header: {error}", file=name) from error
    _check_size(image.size, name)
    if is_animated:
        raise RawFileError(f"{name}: expected a single picture, found an animation", file=name)
    if file_format == "jpg" and data.count(b"\xff\xda") > MAX_SCANS:
        raise RawFileError(
            f"{name}: expected at most {MAX_SCANS} scans, found {data.count(bytes([0xFF, 0xDA]))}", file=name
        )
    return file_format, image


def _check_size(size: tuple[int, int], name: str) -> None:
    if not 0 < size[0] * size[1] <= MAX_PIXELS:
        raise RawFileError(f"{name}: expected 1 to {MAX_PIXELS} pixels, found {size[0]} x {size[1]}", file=name)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height as in RFC 9649, section 2.5 to 2.7."""
    kind, payload = data[12:16], data[20:30]
    if data[8:12] != b"WEBP" or len(payload) < 10:
        raise ValueError("not a WebP file")
    if kind == b"VP8X":
        return int.from_bytes(payload[4:7], "little") + 1, int.from_bytes(payload[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(payload[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", payload, 6)
    return width & 0x3FFF, height & 0x3FFF


def _exif_orientation(exif: bytes) -> int:
    """The code 1..8 in the first directory of an EXIF block; 1 where it is missing or damaged, as viewers take it."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(count):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * entry)
            if tag == _ORIENTATION_TAG:
                return value if value in _TURNS else 1
    except struct.error:
        return 1
    return 1


def _pixels_of(box_xywh_px: npt.ArrayLike, size: tuple[int, int]) -> Window:
    """The whole pixels that the part of a box inside the picture touches."""
    x, y, width, height = (float(value) for value in clip_to_image(box_xywh_px, size)[:4])
    left, top = math.floor(x), math.floor(y)
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


def _turned(pixels: Pixels, code: int) -> Pixels:
    swap, flip_x, flip_y = _TURNS[code]
    pixels = pixels.swapaxes(0, 1) if swap else pixels
    return pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


def _encode(pixels: Pixels) -> bytes:
    encoded = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels), quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="444", fastdct=False
    )
    return bytes(encoded)
