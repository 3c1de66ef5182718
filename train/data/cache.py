"""A folder of pieces of remote files that never grows beyond a limit; the least recently used pieces go first.

One file a piece. Pieces are samples, not whole shards: an epoch draws its samples in an order that is shuffled over all
shards, so of a shard that was fetched for one sample a cache smaller than the store would throw away the rest unread.

Any number of processes may share the folder. Pieces appear whole (written aside, then renamed), and the sum of their
sizes is kept in a file that is changed under a lock. What is read back is not trusted: callers check it as they check
what the network gave.
"""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harmonize.errors import UsageError

DEFAULT_MAX_BYTES = 64 << 30
_SHARE_KEPT = 0.9  # what is left after making room, so that not every new piece has to
_NUM_LOOKED_AT = 4096
"""Pieces whose times are compared to find the oldest. A smaller cache is least-recently-used exactly, a larger one
among the pieces of some folders, in turn: looking at millions of files for each piece would stop all readers."""

_FOLDERS = [f"{i:02x}" for i in range(256)]
_ACCOUNT = struct.Struct("<qq")  # bytes held, next folder to look at
_STALE_S = 3600


class Cache:
    """Pieces by name (hexadecimal digits), at most `max_bytes` of them on disk.

    Raises:
        UsageError: max_bytes is below 1, or the folder cannot be written to.
    """

    def __init__(self, folder: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        if max_bytes < 1:
            raise UsageError(f"cache: max_bytes: expected at least 1, found {max_bytes}", field="max_bytes")
        self.folder = folder
        self.max_bytes = max_bytes
        try:
            for name in (*_FOLDERS, "new"):
                (folder / name).mkdir(parents=True, exist_ok=True)
            self._recount()
        except OSError as error:
            raise UsageError(
                f"{folder}: a cache cannot be kept there ({error.strerror})", fix="choose a folder that can be written"
            ) from error

    def get(self, name: str) -> bytes | None:
        """The piece, which counts as used now; None when it is not there."""
        path = self._path(name)
        try:
            data = path.read_bytes()
            os.utime(path)
        except FileNotFoundError:
            return None
        return data

    def put(self, name: str, data: bytes) -> None:
        """Keep a piece, in the place of others if need be; one larger than the whole cache is not kept.

        Raises:
            UsageError: the disk is full.
        """
        if len(data) > self.max_bytes:
            return
        path = self._path(name)
        new = self.write_aside(data)
        with self._account() as account:
            held, hand = account.read()
            held += len(data) - _size(path)
            new.replace(path)
            if held > self.max_bytes:
                held, hand = self._make_room(held, hand)
            account.write(held, hand)

    def drop(self, name: str) -> None:
        """Forget a piece."""
        path = self._path(name)
        with self._account() as account:
            held, hand = account.read()
            size = _size(path)
            path.unlink(missing_ok=True)
            account.write(held - size, hand)

    def write_aside(self, data: bytes) -> Path:
        """A new file on the cache's disk that holds `data`, to be renamed to where it shall lie.

        Raises:
            UsageError: the disk is full.
        """
        handle, name = tempfile.mkstemp(dir=self.folder / "new")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
        except OSError as error:
            Path(name).unlink(missing_ok=True)
            raise UsageError(
                f"{self.folder}: cannot be written ({error.strerror})",
                fix="free disk space, or lower the cache's limit",
            ) from error
        return Path(name)

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name[2:]

    def _recount(self) -> None:
        """What processes that were killed left behind must neither fill the disk nor stay in the account."""
        for path in (self.folder / "new").iterdir():
            with suppress(FileNotFoundError):  # another process has just put it in its place
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink()
        with self._account() as account:
            held = sum(size for name in _FOLDERS for _, size, _ in _pieces(self.folder / name))
            account.write(held, 0)
            if held > self.max_bytes:
                account.write(*self._make_room(held, 0))

    def _make_room(self, held: int, hand: int) -> tuple[int, int]:
        """Remove the oldest pieces until the cache is a little below its limit; held and hand after that."""
        while held > self.max_bytes * _SHARE_KEPT:
            found: list[tuple[int, int, str]] = []
            for _ in _FOLDERS:
                found += _pieces(self.folder / _FOLDERS[hand])
                hand = (hand + 1) % len(_FOLDERS)
                if len(found) >= _NUM_LOOKED_AT:
                    break
            if not found:
                return 0, hand
            # The younger half stays until others were looked at: here they are among the oldest only by chance.
            for _, size, path in sorted(found)[: (len(found) + 1) // 2]:
                if held <= self.max_bytes * _SHARE_KEPT:
                    break
                Path(path).unlink(missing_ok=True)
                held -= size
        return held, hand

    @contextmanager
    def _account(self) -> Iterator[_Account]:
        # A handle of its own for each use: the lock then holds between threads as well as between processes.
        handle = os.open(self.folder / "account", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield _Account(handle)
        finally:
            os.close(handle)


class _Account:
    def __init__(self, handle: int) -> None:
        self.handle = handle

    def read(self) -> tuple[int, int]:
        held, hand = _ACCOUNT.unpack(os.pread(self.handle, _ACCOUNT.size, 0))
        return held, hand

    def write(self, held: int, hand: int) -> None:
        os.pwrite(self.handle, _ACCOUNT.pack(max(0, held), hand), 0)


def _pieces(folder: Path) -> list[tuple[int, int, str]]:
    """(time of last use, size, path) of the files in a folder."""
    with os.scandir(folder) as entries:
        return [(stat.st_mtime_ns, stat.st_size, entry.path) for entry in entries for stat in (entry.stat(),)]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
