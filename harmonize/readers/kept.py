"""Annotation files that take minutes to parse are parsed once a process, however many readers and units use them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def keep_last(build: Callable[..., T]) -> Callable[..., T]:
    """Remember the last result of a function of paths and texts, until it is asked for others or a file has changed.

    Workers make a new reader for every task, so a reader cannot keep it. Threads wait for the first that builds.
    """
    lock = threading.Lock()
    kept: dict[tuple[tuple[str, int, int] | str, ...], T] = {}

    def get(*given: Path | str) -> T:
        with lock:
            stamp = tuple(
                one if isinstance(one, str) else (str(one), one.stat().st_size, one.stat().st_mtime_ns) for one in given
            )
            if stamp not in kept:
                kept.clear()  # before the next one is built: two need not fit into memory
                kept[stamp] = build(*given)
            return kept[stamp]

    return get
