"""Remembered hashes: right whenever a file may have changed, absent whenever in doubt."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harmonize.raw import paths
from harmonize.shards import hashes
from harmonize.shards.hashes import SETTLED_S, HashCache


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that has settled: the clock runs ahead of its times."""
    path = tmp_path / "raw.bin"
    path.write_bytes(b"first")
    now = time.time_ns
    monkeypatch.setattr(hashes.time, "time_ns", lambda: now() + int(10 * SETTLED_S * 1e9))
    return path


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    reads: list[Path] = []

    def counted(path: Path) -> str:
        reads.append(path)
        return paths.sha256_file(path)

    monkeypatch.setattr(hashes, "sha256_file", counted)
    return reads


def test_a_file_is_read_once(old_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = count_reads(monkeypatch)
    for _ in range(3):
        assert HashCache(tmp_path / "c" / "h.sqlite").sha256(old_file) == sha256(b"first")
    assert reads == [old_file]


def test_a_change_is_seen_even_under_the_same_size_and_time(
    old_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = HashCache(tmp_path / "h.sqlite")
    cache.sha256(old_file)
    times = old_file.stat()
    old_file.write_bytes(b"other")
    os.utime(old_file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert cache.sha256(old_file) == sha256(b"other")


def test_a_fresh_file_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "raw.bin"
    path.write_bytes(b"first")
    cache, reads = HashCache(tmp_path / "h.sqlite"), count_reads(monkeypatch)
    cache.sha256(path)
    cache.sha256(path)
    assert len(reads) == 2


@pytest.mark.parametrize("damage", ["garbage", "folder"])
def test_a_broken_cache_costs_only_time(old_file: Path, tmp_path: Path, damage: str) -> None:
    place = tmp_path / "h.sqlite"
    place.mkdir() if damage == "folder" else place.write_bytes(b"not a database" * 100)
    assert HashCache(place).sha256(old_file) == sha256(b"first")


def test_many_processes_share_it(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for i in range(40):
        (folder / str(i)).write_bytes(b"%d" % i)
        os.utime(folder / str(i), (1, 1))
    code = (
        "import sys; from pathlib import Path; from harmonize.shards import hashes;"
        "hashes.SETTLED_S = -1e9; cache = hashes.HashCache(Path(sys.argv[1]));"
        "print(*[cache.sha256(path) for path in sorted(Path(sys.argv[2]).iterdir())])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "h.sqlite"), str(folder)]
    root = Path(hashes.__file__).parents[2]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, text=True) for _ in range(2)]
    outputs = {process.communicate(timeout=60)[0] for process in running}
    assert outputs == {" ".join(sha256(path.read_bytes()) for path in sorted(folder.iterdir())) + "\n"}
