"""Picture files from outside: what their header says, and their pixels.

Sizes are checked before anything is allocated, and a file that does not decode to its last pixel is refused, because
half a picture looks like a picture. Warnings of the decoder count as errors.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from harmonize.errors import RawFileError

Pixels = npt.NDArray[np.uint8]
Format = Literal["jpg", "png", "webp", "bmp"]

MAX_PIXELS = 1 << 26
"""Pictures beyond 67 megapixels are refused; the largest in use have 12."""

MAX_SCANS = 100
"""Scans of a progressive JPEG; encoders write about ten, and each costs a pass over the picture."""

_SIGNATURES: dict[Format, bytes] = {
    "jpg": b"\xff\xd8\xff",
    "png": b"\x89PNG\r\n\x1a\n",
    "webp": b"RIFF",
    "bmp": b"BM",
}
# Opened by class: Image.open would decide by itself what to read, and warn where we refuse.
_PLUGINS: dict[Format, type[ImageFile]] = {"png": PngImageFile, "webp": WebPImageFile, "bmp": BmpImageFile}
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF markers; the three others in between are tables
_JPEG_SCAN = 0xDA
_JPEG_APP1 = 0xE1
_ORIENTATION_TAG = 0x0112
# What Pillow and simplejpeg raise on files that are not what they claim to be.
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, LookupError, TypeError, EOFError, struct.error)


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What a picture file says of itself. Sizes are those of the file's own pixels, before any turn.

    block_px: width and height of the blocks on whose borders a JPEG can be cut; None for other formats.
    """

    format: Format | Literal["video frame"]
    width_px: int
    height_px: int
    exif_orientation: int
    is_cmyk: bool
    block_px: tuple[int, int] | None

    def oriented_size_px(self, orientation: int) -> tuple[int, int]:
        """Width and height of the picture as a viewer shows it under that EXIF code."""
        swapped = orientation >= 5
        return (self.height_px, self.width_px) if swapped else (self.width_px, self.height_px)


def frame_header(pixels: Pixels, orientation: int = 1) -> PictureHeader:
    """The header of a video's decoded frame (H, W, 3), which a viewer turns by an EXIF code."""
    height, width = pixels.shape[:2]
    return PictureHeader("video frame", width, height, orientation, is_cmyk=False, block_px=None)


def read_header(data: bytes, name: str = "picture") -> PictureHeader:
    """Format, size, orientation and blocks of a picture file, without decoding it. `name` is for messages.

    Raises:
        RawFileError: not a JPEG, PNG, WebP or BMP; damaged; an animation; a JPEG of other than 8 bits a channel; or
            beyond MAX_PIXELS or MAX_SCANS.
    """
    known = [file_format for file_format, signature in _SIGNATURES.items() if data.startswith(signature)]
    if not known:
        raise RawFileError(f"{name}: expected a JPEG, PNG, WebP or BMP file, found {data[:8]!r}", file=name)
    file_format = known[0]
    try:
        if file_format == "jpg":
            header = _read_jpeg_header(data)
        else:
            # Pillow's WebP decoder allocates the canvas while opening: look at the size first.
            if file_format == "webp":
                _check_size(_webp_size(data), name)
            image = _PLUGINS[file_format](io.BytesIO(data))
            if getattr(image, "is_animated", False):
                raise ValueError("it is an animation")
            orientation = _exif_orientation(image.info.get("exif", b""))
            header = PictureHeader(file_format, *image.size, orientation, is_cmyk=False, block_px=None)
    except _DECODE_ERRORS as error:
        raise RawFileError(f"{name}: not a readable {file_format} picture: {error}", file=name) from error
    _check_size((header.width_px, header.height_px), name)
    num_scans = data.count(bytes((0xFF, _JPEG_SCAN))) if file_format == "jpg" else 1
    if num_scans > MAX_SCANS:
        raise RawFileError(f"{name}: expected at most {MAX_SCANS} scans, found {num_scans}", file=name)
    return header


def decode_rgb(data: bytes, extension: str, name: str = "picture") -> Pixels:
    """The pixels (H, W, 3) of a picture file as they lie in it; EXIF is not applied, alpha is dropped.

    Raises:
        RawFileError: the file does not decode completely, is not what `extension` says, or `read_header` refuses it.
    """
    header = read_header(data, name)
    if header.format != extension:
        raise RawFileError(f"{name}: expected a {extension} file, found {header.format}", file=name)
    try:
        if header.format in _PLUGINS:
            return _decode_with_pillow(data, header.format)
        if not header.is_cmyk:
            return np.asarray(simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True), np.uint8)
        inks = np.asarray(simplejpeg.decode_jpeg(data, colorspace="CMYK", strict=True), np.uint16)
    except _DECODE_ERRORS as error:
        raise RawFileError(f"{name}: the {extension} file does not decode completely: {error}", file=name) from error
    # Adobe's convention, which decoders follow: inks are stored inverted, 255 for no ink.
    return ((inks[..., :3] * inks[..., 3:] + 127) // 255).astype(np.uint8)


def _decode_with_pillow(data: bytes, file_format: Any) -> Pixels:
    image = _PLUGINS[file_format](io.BytesIO(data))
    if image.mode.startswith("I;16"):  # Pillow would clip 16-bit grey to 255 instead of scaling it
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    return np.asarray(image.convert("RGB"), np.uint8)


def _read_jpeg_header(data: bytes) -> PictureHeader:
    """The frame header and the first EXIF block before the first scan (ITU-T T.81, annex B)."""
    frame, exif, at = b"", b"", 2
    while True:
        prefix, marker, length = struct.unpack_from(">BBH", data, at)
        if prefix != 0xFF:
            raise ValueError(f"no marker at byte {at}")
        if marker == 0xFF:  # markers may be padded
            at += 1
            continue
        segment = data[at + 4 : at + 2 + length]
        if marker == _JPEG_SCAN:
            break
        if marker in _JPEG_FRAMES:
            frame = segment
        elif marker == _JPEG_APP1 and not exif and segment.startswith(b"Exif\0\0"):
            exif = segment
        at += 2 + length
    precision, height, width, num_channels = struct.unpack_from(">BHHB", frame)
    if precision != 8:
        raise ValueError(f"expected 8 bits a channel, found {precision}")
    factors = [divmod(frame[7 + 3 * channel], 16) for channel in range(num_channels)]
    if not factors or not all(1 <= factor <= 4 for pair in factors for factor in pair):
        raise ValueError(f"bad sampling factors {factors}")
    if num_channels == 1:  # stored block by block, whatever its sampling factors say
        factors = [(1, 1)]
    return PictureHeader(
        format="jpg",
        width_px=width,
        height_px=height,
        exif_orientation=_exif_orientation(exif),
        is_cmyk=num_channels == 4,
        block_px=(8 * max(h for h, _ in factors), 8 * max(v for _, v in factors)),
    )


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
