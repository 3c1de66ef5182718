"""Turns whatever a damaged or hostile file leads to into one error about that file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harmonize.errors import EhpsError, RawFileError, UsageError

FIX = "compare the file with the dataset's checksum and download it again"


class Refused(Exception):
    """What a file holds is not admitted; says what was found."""


@contextmanager
def one_error(path: Path, expected: str) -> Iterator[None]:
    """Raises RawFileError in place of any other exception; `expected` says what the file should hold.

    Parsers meet damaged bytes in too many ways to list (struct.error, zlib.error, OverflowError, MemoryError, ...);
    the original exception stays as the cause.
    """
    try:
        yield
    except EhpsError:
        raise
    except ImportError as error:
        raise UsageError(
            f"{path}: needs the package {error.name}, which is not installed", fix="pip install 'ehps[datasets,body]'"
        ) from error
    except Exception as error:
        found = str(error) if isinstance(error, Refused) else f"damaged contents ({type(error).__name__}: {error})"
        raise RawFileError(
            f"{path}: expected {expected}, found {found[:500]}", fix=FIX, file=str(path), expected=expected
        ) from error
