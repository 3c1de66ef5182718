"""A pool of processes that make shards, shared by the threads of a flow."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from ctypes import Array, c_longlong
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from harmonize.errors import EhpsError

Item = TypeVar("Item")
Result = TypeVar("Result")

# Processes and not threads, by measurement. Of 2,200 people of three miniatures, on two cores that had other work too,
# two processes took in 1.8 to 1.9 times as many a second as one (three rounds: 90 to 160, 73 to 138, 120 to 227), two
# threads 0.7 to 1.5 times as many (90 to 132, 72 to 51, 93 to 112): reading, gating and writing tables are Python,
# which holds the interpreter's lock. A process needs about three seconds to start.

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
STOP_S = 10.0
WATCH_S = 0.5


class InterruptedRunError(EhpsError):
    """Work stopped half-way; what was finished is kept and the same command goes on from there."""

    exit_code = 3


class Workers(Generic[Item, Result]):
    """`num_workers` fresh processes for a fixed list of items; `run(i)` has one of them call `function(item, count)`.

    `count(n)` tells that n more people are done. Function and items must be picklable; they are sent once, when a
    worker starts. Each worker computes on one thread: the workers are the parallelism. They end with their parent,
    however it ends; told to stop, they have `stop_s` seconds to do so in order.
    """

    def __init__(
        self,
        function: Callable[[Item, Callable[[int], None]], Result],
        items: Sequence[Item],
        num_workers: int,
        *,
        stop_s: float = STOP_S,
    ) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy the flow engine's threads in mid-step
        self._num_workers, self._stop_s = num_workers, stop_s
        # Each item has a slot with one writer, so there is no lock that a killed worker could take along.
        self._counts = context.RawArray(c_longlong, len(items))
        for name in THREAD_SETTINGS:
            os.environ.setdefault(name, "1")  # numeric libraries read them when a worker first loads them
        # Through a file: more than the pipe holds would block the parent for ever if a worker died while it starts.
        self._work = tempfile.NamedTemporaryFile(prefix="ehps-work-")  # noqa: SIM115 (closed in __exit__)
        pickle.dump((function, tuple(items)), self._work)
        self._work.flush()
        self._pool = ProcessPoolExecutor(
            num_workers, mp_context=context, initializer=_start, initargs=(self._work.name, self._counts)
        )

    def run(self, i: int) -> Result:
        """The result for item i; may be called from any thread.

        Raises:
            InterruptedRunError: the worker died, or the pool was stopped.
        """
        try:
            with (
                _ctrl_c_blocked()
            ):  # inherited by a worker that this call may start: it must not die of Ctrl-C half-born
                future = self._pool.submit(_run, i)
        except RuntimeError as error:
            raise _lost() from error
        try:
            result: Result = future.result()
        except (BrokenExecutor, CancelledError) as error:
            raise _lost() from error
        return result

    def run_all(self) -> list[Result]:
        """The results for all items, in order; the first exception of an item is raised."""
        with ThreadPoolExecutor(self._num_workers) as threads:
            return list(threads.map(self.run, range(len(self._counts))))

    @contextmanager
    def watched(self, reach: Callable[[int], None]) -> Iterator[None]:
        """Meanwhile tell `reach` every WATCH_S seconds how many people are done, and once more at the end."""
        is_over = threading.Event()

        def watch() -> None:
            while not is_over.wait(WATCH_S):
                reach(self.num_done)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()
            reach(self.num_done)

    @property
    def num_done(self) -> int:
        """People done so far, over all items."""
        return sum(self._counts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let the workers end; at once if there was an exception."""
        try:
            if error is None:
                self._pool.shutdown()
            else:
                self._stop()
        finally:
            self._work.close()

    def _stop(self) -> None:
        """End all workers now; each removes the half-written files of the item it is at."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        processes = multiprocessing.active_children()
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(self._stop_s)
            process.kill()


def num_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Ctrl-C reaches the whole process group; it is the parent's main thread that decides who stops."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _lost() -> InterruptedRunError:
    return InterruptedRunError(
        "a worker process ended before its shards were complete (killed, or out of memory)",
        fix="run the same command again, with fewer --workers if memory is short",
    )


_function: Callable[[Any, Callable[[int], None]], Any]
_items: Sequence[Any]
_counts: Array[c_longlong]


def _start(work: str, counts: Any) -> None:
    global _function, _items, _counts
    _function, _items = pickle.loads(Path(work).read_bytes())
    _counts = counts
    # There is nothing to remove yet, and what an initializer raises would be told with a traceback.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _run(i: int) -> Any:
    def count(number: int) -> None:
        _counts[i] += number

    try:
        signal.signal(signal.SIGTERM, _leave)
        return _function(_items[i], count)
    except SystemExit as error:
        raise _lost() from error


def _leave(signum: int, frame: FrameType | None) -> NoReturn:
    # So that half-written files are removed on the way out, and past every `except Exception` for a bad sample.
    sys.exit(128 + signum)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
