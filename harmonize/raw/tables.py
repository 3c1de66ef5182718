"""Text tables: lines of comma-separated values."""

from __future__ import annotations

import csv
from pathlib import Path

from harmonize.raw.guard import Refused, one_error
from harmonize.raw.paths import checked_size

MAX_TABLE_BYTES = 1 << 28


def load_lines(path: Path, *, max_bytes: int = MAX_TABLE_BYTES) -> list[str]:
    """The lines of a UTF-8 text whose every line, the last one too, has an end: so a cut file shows.

    Raises:
        RawFileError: the file is missing, larger than `max_bytes`, no such text, or its last line has no end.
    """
    path = Path(path)
    checked_size(path, max_bytes)
    with one_error(path, "lines of text"):
        text = path.read_bytes().decode("utf-8")
        if not text.endswith("\n") or "\0" in text:
            raise Refused("a last line without an end (truncated), or bytes that are no text")
        return text.splitlines()


def load_csv(path: Path, *, has_end: bool = False, max_bytes: int = MAX_TABLE_BYTES) -> list[dict[str, str]]:
    """The rows of a table with a header, by its names.

    has_end: the last line is known to have an end, so that a file cut inside its last value shows.

    Raises:
        RawFileError: the file is missing, larger than `max_bytes`, no text, has a name twice in its header, a row with
            more or fewer values than that, or against `has_end` no end.
    """
    path = Path(path)
    checked_size(path, max_bytes)
    with one_error(path, "comma-separated values"):
        text = path.read_bytes().decode("utf-8-sig")
        if has_end and not text.endswith("\n"):
            raise Refused("a last line without an end (truncated)")
        rows = list(csv.reader(text.splitlines(), strict=True))
        header = rows[0] if rows else []
        if len(set(header)) != len(header):
            raise Refused(f"a header that has a name twice: {', '.join(header)}")
        for number, row in enumerate(rows[1:], 2):
            if row and len(row) != len(header):
                raise Refused(f"{len(row)} values in line {number}, where the header has {len(header)} (truncated?)")
        return [dict(zip(header, row, strict=True)) for row in rows[1:] if row]
