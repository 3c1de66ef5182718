"""One thread per numeric library while shards are made.

Sums split over threads round differently with their number, so the bytes of a shard would depend on the machine's cores
and on how many workers share them. The workers are the parallelism.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from threadpoolctl import threadpool_info, threadpool_limits

from harmonize.errors import UsageError

_lock = threading.Lock()
_num_inside = 0
_restore = ExitStack()


@contextmanager
def pin_threads() -> Iterator[None]:
    """Hold BLAS, OpenMP and torch to one thread; nests, and may be entered from several threads at once.

    BLAS and torch have one setting a process: the first to enter changes it, the last to leave restores it. OpenMP has
    one a thread. torch is pinned where it is loaded already, so open the body models first.

    Raises:
        UsageError: another thread of the process holds BLAS to more threads (threadpoolctl then ignores all others).
    """
    global _num_inside
    torch = sys.modules.get("torch")
    with _lock:
        if _num_inside == 0:
            _restore.enter_context(threadpool_limits(limits=1, user_api="blas"))
            if torch is not None:
                _restore.callback(torch.set_num_threads, torch.get_num_threads())
            if _blas_threads() > 1:
                _restore.close()
                raise UsageError(
                    "shards are made with one BLAS thread, but another thread of this process controls their number",
                    fix="make shards in the main thread or in processes of their own, or set OPENBLAS_NUM_THREADS=1",
                )
        if torch is not None:
            torch.set_num_threads(1)
        _num_inside += 1
    try:
        with threadpool_limits(limits=1, user_api="openmp"):
            yield
    finally:
        with _lock:
            _num_inside -= 1
            if _num_inside == 0:
                _restore.close()


def _blas_threads() -> int:
    libraries = threadpool_info()
    return max((library["num_threads"] for library in libraries if library["user_api"] == "blas"), default=1)
