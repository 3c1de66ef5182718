"""One thread per numeric library while shards are made.

Sums split over threads round differently with their number, so the bytes of a shard would depend on the machine's cores
and on how many workers share them. The workers are the parallelism.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,unused-ignore]

_lock = threading.Lock()
_num_inside = 0
_torch_threads = 1


@contextmanager
def pin_threads() -> Iterator[None]:
    """Hold BLAS, OpenMP and torch to one thread; nests, and may be entered from several threads at once.

    torch is pinned where it is loaded already, so open the body models first.
    """
    global _num_inside, _torch_threads
    torch = sys.modules.get("torch")
    with _lock:
        if torch is not None:
            _torch_threads = torch.get_num_threads() if _num_inside == 0 else _torch_threads
            torch.set_num_threads(1)
        _num_inside += 1
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        with _lock:
            _num_inside -= 1
            if torch is not None and _num_inside == 0:
                torch.set_num_threads(_torch_threads)
