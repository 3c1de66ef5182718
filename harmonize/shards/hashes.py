"""Content hashes of raw files, remembered by what `stat` says of them.

Hashing a raw root of terabytes on every run would make resuming useless. A hash is remembered under absolute path,
size, modification and change time in nanoseconds, and inode; whoever changes a file changes at least one of them. Files
touched within the last seconds are hashed but not remembered: a second change inside one clock tick would not show.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path

from harmonize.cache import cache_dir
from harmonize.raw.paths import sha256_file

State = tuple[int, int, int, int]

SETTLED_S = 2.0
"""Coarsest modification-time step of a file system in use (FAT, some network shares)."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS hashes (
    path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER, sha256 TEXT
) WITHOUT ROWID
"""


class HashCache:
    """SHA-256 of files. Safe for several processes and threads; without a writable cache folder it only forgets."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = cache_dir() / "hashes.sqlite" if path is None else path
        self._local = threading.local()

    def sha256(self, path: Path) -> str:
        """The content hash of a file, from memory when `stat` says that it has not changed.

        Raises:
            OSError: the file cannot be read.
        """
        state = state_of(path)
        known = self.recall(path)
        if known is not None:
            return known
        digest = sha256_file(path)
        self.remember(path, state, digest)
        return digest

    def remember(self, path: Path, state: State, sha256: str, member: str = "") -> None:
        """Keep a hash that was computed while the file was in `state` (see `state_of`), or that of a member of it."""
        settled = time.time_ns() - max(state[1], state[2]) > SETTLED_S * 1e9
        if settled and state_of(path) == state:
            values = (_key(path, member), *state, sha256)
            self._execute("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?, ?)", values)

    def recall(self, path: Path, member: str = "") -> str | None:
        """The hash of a file, or of a member of an archive, if it is known and `stat` says that nothing has changed."""
        statement = "SELECT size, mtime_ns, ctime_ns, inode, sha256 FROM hashes WHERE path = ?"
        rows = self._execute(statement, (_key(path, member),))
        return str(rows[0][4]) if rows and tuple(rows[0][:4]) == state_of(path) else None

    def _execute(self, statement: str, values: tuple[object, ...]) -> list[tuple[object, ...]]:
        # A cache that is damaged, locked for long or on a full disk costs time, never a result.
        try:
            with self._connection() as connection:
                return connection.execute(statement, values).fetchall()
        except (sqlite3.Error, OSError):
            return []

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None or self._local.pid != os.getpid():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=30.0)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_SCHEMA)
            self._local.connection, self._local.pid = connection, os.getpid()
        return connection


def _key(path: Path, member: str) -> bytes:
    # No path holds a NUL.
    return os.fsencode(path.absolute()) + (b"\0" + member.encode(errors="surrogateescape") if member else b"")


def state_of(path: Path) -> State:
    """What a file looks like from outside: size, modification time, change time, inode."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
