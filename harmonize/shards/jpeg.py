"""Lossless JPEG transforms: blocks of DCT coefficients are cut out, mirrored and turned, never decoded to pixels.

The work is done by the TurboJPEG interface of libjpeg-turbo, called through `ctypes` (which also frees the interpreter
lock meanwhile). The shared library comes inside the wheel of the PyPI package `turbojpeg`; failing that, the system's
is taken. Of that package only the library is used, under libjpeg-turbo's own licences (IJG, BSD): its Python wrapper
states none, and it leaks a handle with every damaged file.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.metadata
import re
from functools import cache
from pathlib import Path

# Orientation code of EXIF -> TJXOP of turbojpeg.h: none, hflip, rot180, vflip, transpose, rot90, transverse, rot270.
_OPERATION = {1: 0, 2: 1, 3: 6, 4: 2, 5: 3, 6: 5, 7: 4, 8: 7}
_PERFECT, _CROP, _COPY_NO_MARKERS = 1, 4, 64  # TJXOPT_*
_STOP_ON_WARNING, _LIMIT_SCANS = 8192, 32768  # TJFLAG_*
_BUNDLED = re.compile(r"(libturbojpeg.*\.(so|dylib).*|turbojpeg.*\.dll)")


class TransformError(Exception):
    """The file is damaged, or of a kind that cannot be transformed without loss. The message is the library's."""


class _Transform(ctypes.Structure):
    _fields_ = (
        ("x", ctypes.c_int),
        ("y", ctypes.c_int),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("operation", ctypes.c_int),
        ("options", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("filter", ctypes.c_void_p),
    )


def cut(data: bytes, window: tuple[int, int, int, int]) -> bytes:
    """The JPEG file of `window` (x, y, width, height); x and y must lie on the block grid. Metadata is left behind.

    Raises:
        TransformError: see there.
    """
    return _transform(data, _Transform(*window, 0, _CROP | _COPY_NO_MARKERS, None, None))


def turn(data: bytes, orientation: int) -> bytes:
    """The JPEG file as a viewer that honours `orientation` (an EXIF code) shows it. Metadata is left behind.

    Raises:
        TransformError: see there; also where incomplete blocks would come to lie at the left or upper border.
    """
    return _transform(data, _Transform(0, 0, 0, 0, _OPERATION[orientation], _PERFECT | _COPY_NO_MARKERS, None, None))


def library_name() -> str:
    """File name of the library in use (a wheel's name carries a hash of the file), or "none"."""
    path = library_path()
    return "none" if path is None else Path(path).name


def _transform(data: bytes, step: _Transform) -> bytes:
    library = _library()
    if library is None:
        raise TransformError("no TurboJPEG library on this machine")
    handle = library.tjInitTransform()
    if not handle:
        raise MemoryError("tjInitTransform")
    # NULL: the library allocates the output, which is why it must also free it.
    output, size = ctypes.c_void_p(), ctypes.c_ulong()
    try:
        status = library.tjTransform(
            handle,
            data,
            len(data),
            1,
            ctypes.byref(output),
            ctypes.byref(size),
            ctypes.byref(step),
            _STOP_ON_WARNING | _LIMIT_SCANS,
        )
        if status != 0:
            raise TransformError(library.tjGetErrorStr2(handle).decode("ascii", "replace"))
        return ctypes.string_at(output, size.value)
    finally:
        library.tjFree(output)
        library.tjDestroy(handle)


@cache
def library_path() -> str | None:
    """Where the TurboJPEG library is, or None."""
    try:
        bundled = importlib.metadata.files("turbojpeg") or []
    except importlib.metadata.PackageNotFoundError:
        bundled = []
    for file in bundled:
        if _BUNDLED.fullmatch(file.name):
            return str(file.locate())
    return ctypes.util.find_library("turbojpeg")


@cache
def _library() -> ctypes.CDLL | None:
    path = library_path()
    if path is None:
        return None
    library = ctypes.CDLL(path)
    library.tjInitTransform.restype = ctypes.c_void_p
    library.tjInitTransform.argtypes = ()
    library.tjTransform.argtypes = (
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_ulong,
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.POINTER(ctypes.c_ulong),
        ctypes.POINTER(_Transform),
        ctypes.c_int,
    )
    library.tjGetErrorStr2.restype = ctypes.c_char_p
    library.tjGetErrorStr2.argtypes = (ctypes.c_void_p,)
    library.tjFree.restype = None
    library.tjFree.argtypes = (ctypes.c_void_p,)
    library.tjDestroy.argtypes = (ctypes.c_void_p,)
    return library
