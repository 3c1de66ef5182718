"""Picture files from outside: what their header says, and their pixels.

Sizes are checked before anything is allocated, and a file that does not decode to its last pixel is refused, because
half a picture looks like a picture. Warnings of the decoder count as errors.
"""

from __future__ import annotations

import io
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

Pixels = npt.NDArray[np.uint8]
Format = Literal["jpg", "png", "webp", "bmp"]

MAX_PIXELS = 1 << 26
"""Pictures beyond 67 megapixels are refused; the largest in use have 12."""

MAX_SCANS = 100
"""Scans of a progressive JPEG; encoders write about ten, and each costs a pass over the picture."""

_SIGNATURES: tuple[tuple[Format, bytes, type[ImageFile]], ...] = (
    ("jpg", b"\xff\xd8\xff", JpegImageFile),
    ("png", b"\x89PNG\r\n\x1a\n", PngImageFile),
    ("webp", b"RIFF", WebPImageFile),
    ("bmp", b"BM", BmpImageFile),
)
_ORIENTATION_TAG = 0x0112
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
    exif_orientation: int
    is_cmyk: bool
    block_px: tuple[int, int] | None

    def oriented_size_px(self, orientation: int) -> tuple[int, int]:
        """Width and height of the picture as a viewer shows it under that EXIF code."""
        swapped = orientation >= 5
        return (self.height_px, self.width_px) if swapped else (self.width_px, self.height_px)


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
        exif_orientation=_exif_orientation(image.info.get("exif", b"")),
        is_cmyk=image.mode == "CMYK",
        block_px=block,
    )


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
    known = [(file_format, kind) for file_format, signature, kind in _SIGNATURES if data.startswith(signature)]
    if not known:
        raise RawFileError(f"{name}: expected a JPEG, PNG, WebP or BMP file, found {data[:8]!r}", file=name)
    file_format, kind = known[0]
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
    num_scans = data.count(b"\xff\xda") if file_format == "jpg" else 1
    if num_scans > MAX_SCANS:
        raise RawFileError(f"{name}: expected at most {MAX_SCANS} scans, found {num_scans}", file=name)
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
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
