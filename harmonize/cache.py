"""The user's cache folder, and files in it that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """Where built files are kept: the environment's EHPS_CACHE, else the platform's cache folder for `ehps`."""
    chosen = os.environ.get("EHPS_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("ehps"))


def build_once(target: Path, build: Callable[[Path], None]) -> Path:
    """The folder `target`, filled by `build` unless it is there already.

    The folder is built under a temporary name and renamed, so it is never seen half-filled; of two processes that
    build at once the first to finish wins and the other's identical copy is dropped.
    """
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        build(scratch)
        scratch.chmod(0o755)
        try:
            scratch.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target
