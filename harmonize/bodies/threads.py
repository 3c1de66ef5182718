"""One thread for numbers that end up in files.

The order in which torch's kernels add up depends on the number of threads, and with it the last bits; the batches here
are too small to gain from more threads anyway. Parallel work runs in parallel processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread; the setting is restored afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def exact_inference() -> Iterator[None]:
    """torch without gradients and on one thread."""
    with one_thread(), torch.inference_mode():
        yield
