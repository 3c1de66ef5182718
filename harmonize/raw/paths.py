"""Paths that come out of raw files, and the content hash of raw files."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from harmonize.errors import RawFileError

MAX_NAME_BYTES = 255  # of one part of a path, on every common file system


def safe_join(root: Path, relative: str) -> Path:
    """`root / relative`, for a name that was read from a raw file; the file need not exist.

    Raises:
        RawFileError: the name is empty or absolute, contains `..` or a NUL, or leads out of the root through a link.
    """
    parts = PurePosixPath(relative.replace("\\", "/")).parts
    if not parts or "\0" in relative:
        raise _escape(root, relative, "a name without NUL characters")
    if parts[0] == "/" or PureWindowsPath(relative).drive:
        raise _escape(root, relative, "a relative name")
    if ".." in parts:
        raise _escape(root, relative, "a name without `..`")
    if any(len(part.encode(errors="replace")) > MAX_NAME_BYTES for part in parts):
        raise _escape(root, relative, f"parts of at most {MAX_NAME_BYTES} bytes")
    path = root / relative
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, characters that no file name can have
        raise _escape(root, relative, f"a name that can be resolved ({str(error)[:100]})") from error
    if not inside:
        raise _escape(root, relative, f"a file inside the root, not a link to {path.resolve()}")
    return path


def _escape(root: Path, relative: str, expected: str) -> RawFileError:
    shown = relative if len(relative) <= 200 else f"{relative[:200]}..."
    return RawFileError(
        f"file name in the raw data under {root}: expected {expected}, found {shown!r}",
        fix="correct the annotation file, or move the linked data under the raw root",
        root=str(root),
        name=relative,
    )


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of the file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checked_size(path: Path, max_bytes: int) -> int:
    """Size of a regular file in bytes.

    Raises:
        RawFileError: it is missing, not a regular file, empty, or larger than `max_bytes`.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise RawFileError(f"{path}: cannot be opened: {error.strerror}", file=str(path)) from error
    if not path.is_file():
        raise RawFileError(f"{path}: expected a regular file", file=str(path))
    if size == 0:
        raise RawFileError(f"{path}: the file is empty", fix="download or extract it again", file=str(path))
    if size > max_bytes:
        raise RawFileError(f"{path}: expected at most {max_bytes} bytes, found {size}", file=str(path))
    return size
