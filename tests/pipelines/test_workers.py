"""Worker processes: results, failures, and what is left when somebody is killed."""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import ROOT

from harmonize.errors import GateError
from pipelines.workers import InterruptedRunError, Workers, num_cores

Count = Callable[[int], None]


def square(item: int, count: Count) -> int:
    count(item)
    return item * item


def refuse(item: int, count: Count) -> int:
    raise GateError(f"item {item}", fix="look at it", item=item)


def die(item: int, count: Count) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


def interrupt(item: int, count: Count) -> int:
    os.kill(os.getpid(), signal.SIGINT)
    return item


def threads_and_parent(item: int, count: Count) -> tuple[str, int]:
    return os.environ["OMP_NUM_THREADS"], os.getppid()


def hold(folder: str, count: Count) -> None:
    """Hold a file while at work, as a shard writer holds its temporary folder."""
    held = Path(folder) / f"{os.getpid()}.held"
    held.touch()
    try:
        time.sleep(60)
    finally:
        held.unlink()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def test_results_come_in_order_and_progress_adds_up() -> None:
    with Workers(square, range(1, 6), 2) as workers:
        assert workers.run_all() == [1, 4, 9, 16, 25]
        assert workers.num_done == 15


def test_no_items_need_no_process() -> None:
    start = time.perf_counter()
    with Workers(square, [], 2) as workers:
        assert (workers.run_all() if workers.num_done else []) == []
    assert time.perf_counter() - start < 0.5


def test_a_worker_computes_on_one_thread_and_is_our_child() -> None:
    with Workers(threads_and_parent, [0], 1) as workers:
        assert workers.run_all() == [("1", os.getpid())]


def test_an_error_comes_back_whole() -> None:
    with Workers(refuse, [7], 1) as workers, pytest.raises(GateError, match="item 7") as caught:
        workers.run(0)
    assert (caught.value.fix, caught.value.fields) == ("look at it", {"item": 7})


def test_a_killed_worker_is_an_interruption() -> None:
    with Workers(die, [1], 1) as workers, pytest.raises(InterruptedRunError, match="ended before") as caught:
        workers.run(0)
    assert caught.value.exit_code == 3


def test_ctrl_c_is_not_for_workers() -> None:
    with Workers(interrupt, [5], 1) as workers:
        assert workers.run_all() == [5]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_an_exception_ends_workers_after_they_cleaned_up(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def run() -> None:
        with pytest.raises(InterruptedRunError):
            workers.run(0)

    thread = threading.Thread(target=run)
    with contextlib.suppress(Stop), Workers(hold, [str(tmp_path)], 1) as workers:
        thread.start()
        wait_for(lambda: bool(list(tmp_path.iterdir())), "the worker")
        (held,) = tmp_path.iterdir()
        raise Stop
    thread.join()
    assert not held.exists()
    wait_for(lambda: not is_alive(int(held.stem)), "the end of the worker")


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, test_workers as t\n"
        "from pipelines.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    with Workers(t.hold, [sys.argv[1]] * 2, 2) as workers: workers.run_all()\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    held = tmp_path / "held"
    held.mkdir()
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    parent = subprocess.Popen([sys.executable, script, held], env={**os.environ, "PYTHONPATH": path})
    wait_for(lambda: len(list(held.iterdir())) == 2, "two workers")
    pids = [int(path.stem) for path in held.iterdir()]
    assert all(map(is_alive, pids))
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(map(is_alive, pids)), "the end of the workers")


def test_num_cores_is_what_this_process_may_use() -> None:
    assert 1 <= num_cores() <= (os.cpu_count() or 1)


def test_a_worker_that_dies_while_it_starts_does_not_hold_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dies.py").write_text(
        "import multiprocessing, os\n"
        "if multiprocessing.parent_process() is not None:\n"
        "    os._exit(1)\n"
        "def never(item, count):\n"
        "    return item\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    never = importlib.import_module("dies").never
    much = bytes(4 << 20)  # far more than a pipe holds
    with pytest.raises(InterruptedRunError, match="ended before"), Workers(never, [much], 1) as workers:
        workers.run(0)


def test_a_worker_that_is_told_to_end_while_it_starts_ends_without_a_word(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.write_bytes(pickle.dumps((len, ())))
    script = (
        "import os, signal, sys, threading\n"
        "from pipelines import workers\n"
        "threading.Thread.start = lambda self: os.kill(os.getpid(), signal.SIGTERM)\n"
        "workers._start(sys.argv[1], None)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(work)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
