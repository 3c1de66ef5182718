"""The arrays of a HumanData file, row by row in float32: in memory, or mapped from a spool where the file is large.

A compressed npz can only be read from its beginning, and a process that loads one holds all of it. So a large file is
unpacked once into plain arrays in the cache folder, a block of rows at a time; all workers of a machine then map the
same pages, and read only the rows they need. Spools least recently used are removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.cache import build_once, cache_dir

MAX_BYTES_IN_MEMORY = 64 << 20
"""Arrays that take more than this, unpacked, are spooled."""
MAX_SPOOL_BYTES = 32 << 30
"""Of all spools together; those of a split of the largest dataset take about as much."""
NUM_THREADS = 2

Block = npt.NDArray[Any]
Source = tuple[int, Callable[[], Iterator[Block]]]
"""Number of rows of an array, and its rows in blocks."""
Group = Callable[[], dict[str, Block]]
"""Several arrays that can only be had together: a dictionary of the file."""


def columns_of(
    path: Path, plan: str, arrays: Mapping[str, Source], groups: list[Group], num_bytes: int
) -> dict[str, Block]:
    """The arrays by name. `plan` says in words all that decides them beside the file; num_bytes is what the file takes
    unpacked.

    Raises:
        Whatever the sources raise.
    """
    if num_bytes <= MAX_BYTES_IN_MEMORY:
        columns = {name: np.concatenate(list(blocks())) for name, (_, blocks) in arrays.items()}
        for group in groups:
            columns |= group()
        return columns
    stat = path.stat()
    stamp = f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0{plan}"
    spool = cache_dir() / "humandata" / hashlib.sha256(stamp.encode()).hexdigest()[:32]
    with _alone(spool):
        build_once(spool, lambda folder: _fill(folder, arrays, groups))
    os.utime(spool)
    _make_room(spool)
    return {file.stem: np.load(file, mmap_mode="r") for file in spool.glob("*.npy")}


def _fill(folder: Path, arrays: Mapping[str, Source], groups: list[Group]) -> None:
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        jobs = [pool.submit(_write_group, folder, group) for group in groups]
        jobs += [pool.submit(_write_array, folder / f"{name}.npy", *source) for name, source in arrays.items()]
        for job in jobs:
            job.result()


def _write_group(folder: Path, group: Group) -> None:
    for name, values in group().items():
        np.save(folder / f"{name}.npy", values)


def _write_array(file: Path, num_rows: int, blocks: Callable[[], Iterator[Block]]) -> None:
    target, at = None, 0
    for block in blocks():
        if target is None:
            target = np.lib.format.open_memmap(file, "w+", block.dtype, (num_rows, *block.shape[1:]))
        target[at : at + len(block)] = block
        at += len(block)


@contextmanager
def _alone(spool: Path) -> Iterator[None]:
    """Other processes that need the spool wait until it is there, rather than make it too."""
    spool.parent.mkdir(parents=True, exist_ok=True)
    with spool.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make_room(kept: Path) -> None:
    """Remove spools, the least recently used first; whoever has one mapped keeps its pages."""
    spools = []
    for folder in kept.parent.iterdir():
        with suppress(OSError):  # another process removes it too
            if folder.is_dir() and not folder.name.startswith("."):
                spools.append(
                    (folder.stat().st_mtime_ns, folder, sum(file.stat().st_size for file in folder.iterdir()))
                )
    total = sum(size for _, _, size in spools)
    for _, folder, size in sorted(spools):
        if total > MAX_SPOOL_BYTES and folder != kept:
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_suffix(".lock").unlink(missing_ok=True)
            total -= size
