"""The pixels of a part of a JPEG picture, at a fraction of its size, as the whole picture would show them there.

Coefficients right and left of the part are read but not transformed, those below it are not even read, and the pixels
go to memory that each thread uses again. The work is done by the TurboJPEG interface (version 3) of libjpeg-turbo
through `ctypes`, which frees the interpreter lock meanwhile; see `harmonize.shards.jpeg` for where the library is from.
Without it the whole picture is decoded, to the same pixels. Transform and upsampling are libjpeg-turbo's exact ones.
"""

from __future__ import annotations

import ctypes
import threading
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg

from harmonize.shards.jpeg import library_path

Pixels = npt.NDArray[np.uint8]
Window = tuple[int, int, int, int]

MAX_SCANS = 100

_DECOMPRESS, _RGBX = 1, 2  # TJINIT_*, TJPF_*
_STOP_ON_WARNING, _SUBSAMPLING, _WIDTH, _HEIGHT, _COLOURS, _SCAN_LIMIT = 0, 4, 5, 6, 8, 13  # TJPARAM_*
_BLOCK_WIDTH_PX = {0: 8, 1: 16, 2: 16, 3: 8, 4: 8, 5: 32, 6: 8}  # of TJSAMP_*; others cannot be cut
_CMYK = (3, 4)  # TJCS_CMYK, TJCS_YCCK
_END = b"\xff\xd9"
_MARGIN_PX = 3
"""Interpolation of the warp looks one pixel further, that of colours another, which is not right at a cut."""


class _Fraction(ctypes.Structure):
    _fields_ = (("num", ctypes.c_int), ("denom", ctypes.c_int))


class _Region(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_int), ("width", ctypes.c_int), ("height", ctypes.c_int))


class _Decoder:
    """A decoder and the memory it writes to: those of one thread."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.handle = library.tj3Init(_DECOMPRESS)
        if not self.handle:
            raise MemoryError("tj3Init")
        for parameter, value in ((_STOP_ON_WARNING, 1), (_SCAN_LIMIT, MAX_SCANS)):
            library.tj3Set(self.handle, parameter, value)
        self.memory: Pixels = np.empty(0, np.uint8)

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self.library.tj3Destroy(self.handle)

    def pixels(self, height: int, width: int) -> Pixels:
        """Memory for RGBX pixels (height, width, 4)."""
        size = 4 * height * width
        if size > len(self.memory):
            self.memory = np.empty(size, np.uint8)
        return self.memory[:size].reshape(height, width, 4)


_THREAD = threading.local()


def decode_part(data: bytes, size_px: tuple[int, int], eighths: int, window: Window) -> tuple[Pixels, int, int] | None:
    """Pixels (H, W, 3 or 4), red, green, blue and perhaps one without meaning, of at least a window of a JPEG picture;
    and the column and row where they lie in the whole. They are overwritten when the same thread calls again.

    size_px: the width and height that the picture must have. eighths: 1, 2, 4 or 8 eighths of the size it is decoded
    to. window: left, upper, right, lower border in decoded pixels; what lies outside of the picture is left out.

    None where this way is closed and `decode_rgb` has to say what is wrong, if anything is: for pictures of another
    size, CMYK, unknown kinds of subsampling, files that do not end as a JPEG does, damaged ones.
    """
    library = _library()
    if not data.endswith(_END):
        return None
    width, height = (-(-side * eighths // 8) for side in size_px)
    if library is None:
        return _decode_whole(data, width, height)
    decoder: _Decoder | None = getattr(_THREAD, "decoder", None)
    if decoder is None:
        decoder = _THREAD.decoder = _Decoder(library)
    handle = decoder.handle
    if library.tj3DecompressHeader(handle, data, len(data)):
        return None
    found, colours = (library.tj3Get(handle, _WIDTH), library.tj3Get(handle, _HEIGHT)), library.tj3Get(handle, _COLOURS)
    block = _BLOCK_WIDTH_PX.get(library.tj3Get(handle, _SUBSAMPLING))
    if found != size_px or colours in _CMYK or block is None:
        return None
    library.tj3SetScalingFactor(handle, _FRACTIONS[eighths])
    left, width = _cut(window[0], window[2], width, block * eighths // 8)
    top, height = _cut(window[1], window[3], height, 1)
    if library.tj3SetCroppingRegion(handle, _Region(left, top, width, height)):
        return None
    pixels = decoder.pixels(height, width)
    if library.tj3Decompress8(handle, data, len(data), pixels.ctypes.data, 4 * width, _RGBX):
        return None
    return pixels, left, top


def _decode_whole(data: bytes, width: int, height: int) -> tuple[Pixels, int, int] | None:
    try:
        if simplejpeg.decode_jpeg_header(data)[2] in ("CMYK", "YCCK"):
            return None
        pixels = simplejpeg.decode_jpeg(data, colorspace="RGB", min_height=height, min_width=width, strict=True)
    except ValueError:
        return None
    return (pixels, 0, 0) if pixels.shape == (height, width, 3) else None


_FRACTIONS = {eighths: _Fraction(1, 8 // eighths) for eighths in (1, 2, 4, 8)}


def _cut(low: int, high: int, size: int, step: int) -> tuple[int, int]:
    """Start, a multiple of `step`, and length of what is decoded of `size` pixels to have those from low to high."""
    start = min(max(low - _MARGIN_PX, 0), size - 1) // step * step
    return start, min(max(high + _MARGIN_PX, start + 1), size) - start


@cache
def _library() -> ctypes.CDLL | None:
    path = library_path()
    if path is None:
        return None
    library = ctypes.CDLL(path)
    if not hasattr(library, "tj3SetCroppingRegion"):  # before version 3
        return None
    handle, number, size = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
    signatures: dict[str, tuple[Any, ...]] = {
        "tj3Init": (number,),
        "tj3Destroy": (handle,),
        "tj3Set": (handle, number, number),
        "tj3Get": (handle, number),
        "tj3DecompressHeader": (handle, ctypes.c_char_p, size),
        "tj3SetScalingFactor": (handle, _Fraction),
        "tj3SetCroppingRegion": (handle, _Region),
        "tj3Decompress8": (handle, ctypes.c_char_p, size, handle, number, number),
    }
    for name, arguments in signatures.items():
        getattr(library, name).argtypes = arguments
    library.tj3Init.restype = handle
    library.tj3Destroy.restype = None
    return library
