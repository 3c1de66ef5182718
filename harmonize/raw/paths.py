"""Paths that come out of raw files, and the content hash of raw files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from harmonize.errors import RawFileError

LINKED_DATA = "EHPS_LINKED_DATA"
MAX_NAME_BYTES = 255  # of one part of a path, on every common file system


def safe_join(root: Path, relative: str) -> Path:
    """`root / relative`, for a name that was read from a raw file; the file need not exist.

    Raises:
        RawFileError: the name is empty or absolute, contains `..` or a NUL, or leads out of the root through a link,
            unless into a folder that EHPS_LINKED_DATA names.
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
        target = path.resolve()
        inside = any(target.is_relative_to(folder.resolve()) for folder in (root, *_linked_folders()))
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, characters that no file name can have
        raise _escape(root, relative, f"a name that can be resolved ({str(error)[:100]})") from error
    if not inside:
        raise _escape(root, relative, f"a file inside the root, not a link to {target}")
    return path


def _linked_folders() -> list[Path]:
    """Folders that the user, and not the raw data, says links may lead into: pictures often lie on another disk."""
    return [Path(folder) for folder in os.environ.get(LINKED_DATA, "").split(os.pathsep) if folder]


def _escape(root: Path, relative: str, expected: str) -> RawFileError:
    shown = relative if len(relative) <= 200 else f"{relative[:200]}..."
    return RawFileError(
        f"file name in the raw data under {root}: expected {expected}, found {shown!r}",
        fix=f"correct the annotation file; where you linked the data yourself, name its folder in {LINKED_DATA}",
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
