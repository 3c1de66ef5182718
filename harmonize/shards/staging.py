"""Files that appear whole or not at all.

A task works in a folder of its own beside the shards, `.tmp-<pid>-...`. A finished shard is flushed to disk there and
renamed into place, manifest last; whatever happens before leaves nothing that a reader would take for a shard. The
folder is locked while its owner lives. The lock dies with the process, so leftovers of a killed run are told from the
work of a living one without trusting process ids, which containers reuse.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from harmonize.errors import StoreError
from harmonize.shards.names import MANIFEST, SUFFIXES, TEMPORARY

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A locked, empty working folder inside `folder`; removed with all it holds when the block ends.

    Raises:
        StoreError: the disk is full or cannot be written to; nothing half-written stays.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock, scratch = _locked_folder(folder)
    except OSError as error:
        raise _full(folder, error) or StoreError(
            f"{folder}: cannot write here ({error.strerror})", fix="choose another --store", path=str(folder)
        ) from error
    try:
        yield scratch
    except OSError as error:
        full = _full(folder, error)
        if full is None:
            raise
        raise full from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(lock)


def _full(folder: Path, error: OSError) -> StoreError | None:
    if error.errno not in _NO_SPACE:
        return None
    return StoreError(
        f"{folder}: the disk is full ({error.strerror}); the shards of this task were not written",
        fix="free space or choose another --store, then run the same command again: it goes on from here",
        path=str(folder),
    )


def _locked_folder(folder: Path) -> tuple[int, Path]:
    while True:
        scratch = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{os.getpid()}-", dir=folder))
        # A cleaning run may come before the lock and take the folder for a leftover: then begin again.
        with suppress(FileNotFoundError):
            lock = _open_lock(scratch)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if scratch.is_dir():
                return lock, scratch
            os.close(lock)


def _open_lock(scratch: Path) -> int:
    # A file opened for writing: network file systems refuse exclusive locks on anything else, folders included.
    return os.open(scratch / "lock", os.O_RDWR | os.O_CREAT, 0o600)


def remove_leftovers(folder: Path) -> int:
    """Remove the working folders in `folder` that no living process holds; returns how many."""
    removed = 0
    for scratch in sorted(folder.glob(f"{TEMPORARY}*")):
        try:
            lock = _open_lock(scratch)
        except (FileNotFoundError, NotADirectoryError):
            continue  # its owner was quicker; or it is not ours, which `verify` will say
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(scratch, ignore_errors=True)
            removed += 1
        finally:
            os.close(lock)
    return removed


def write_file(path: Path, content: bytes) -> None:
    """Write a new file and flush it to disk."""
    with path.open("xb") as file:
        file.write(content)
        flush(file.fileno())


def flush(descriptor: int) -> None:
    """Return when what was written to a file or folder is on disk."""
    os.fsync(descriptor)


def flush_folder(folder: Path) -> None:
    """Return when the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flush(descriptor)
    finally:
        os.close(descriptor)


def publish(files: Mapping[str, Path], folder: Path, name: str) -> None:
    """Rename the four flushed files of a shard, by suffix, into place: out with the old manifest, in with the new last.

    The folder is flushed between the steps, so that after a power cut a manifest on disk means its files are too.
    """
    remove_file(folder / f"{name}{MANIFEST}")
    for suffix in SUFFIXES:
        if suffix == MANIFEST:
            flush_folder(folder)
        files[suffix].rename(folder / f"{name}{suffix}")
    flush_folder(folder)


def remove_shard(folder: Path, name: str) -> None:
    """Remove the files of a shard, manifest first."""
    for suffix in reversed(SUFFIXES):
        remove_file(folder / f"{name}{suffix}")


def remove_file(path: Path) -> None:
    """Remove a file if it is there; the removal is on disk when this returns."""
    if path.exists() or path.is_symlink():
        path.unlink()
        flush_folder(path.parent)
