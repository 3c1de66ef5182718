"""One measurement in a process of its own: time of each repeat, peak memory, and the answer, as JSON on stdout.

python tests/bench/scale_measure.py ask STORE "@orientation"
python tests/bench/scale_measure.py numpy FOLDER orientation
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPEATS = 3
MAX_ANSWER_ROWS = 20_000


def measured(task: str, path: Path, question: str) -> dict[str, Any]:
    """What a fresh process says.

    task: `ask` puts SQL to the catalog of a store. `numpy` answers orientation, flexion or betas from the npz files of
    a folder by the one key that is needed, `loader` by all keys that SMPLer-X's loader reads.

    Returns open_s and open_cpu_s (0 without a catalog), seconds and cpu_s (of all threads) of each repeat, memory_mb
    (peak), settings (memory limit and threads of the database), answer (the first rows), error ("" or what went wrong).
    """
    command = [sys.executable, __file__, task, str(path), question]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(task: str, path: Path, question: str) -> dict[str, Any]:
    """The work of such a process."""
    if task == "ask":
        return _ask(path, question)
    seconds, cpu_s, answer = _timed(lambda: answer_with_numpy(path, task, question))
    times = {"open_s": 0.0, "open_cpu_s": 0.0, "seconds": seconds, "cpu_s": cpu_s}
    return {**times, "settings": [], "answer": answer, "error": "", **_memory()}


def _ask(store: Path, question: str) -> dict[str, Any]:
    from catalogs import store as catalog
    from harmonize.errors import EhpsError

    start, cpu_start = time.perf_counter(), time.process_time()
    with catalog.open(store) as con:
        open_s, open_cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
        found: dict[str, Any] = {"open_s": open_s, "open_cpu_s": open_cpu_s, "answer": [], "error": ""}
        try:
            found["seconds"], found["cpu_s"], answer = _timed(lambda: catalog.query(con, question).rows)
            found["answer"] = answer[:MAX_ANSWER_ROWS]
        except EhpsError as error:
            found["error"] = str(error).splitlines()[0]
        sql = "SELECT current_setting('memory_limit'), current_setting('threads')"
        return {**found, "settings": catalog.query(con, sql).rows[0], **_memory()}


def _memory() -> dict[str, float]:
    # getrusage would not do: on Linux its peak is inherited from the process that started this one.
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return {"memory_mb": int(line.split()[1]) / 1024}


def _timed(work: Callable[[], Any]) -> tuple[list[float], list[float], Any]:
    seconds, cpu_s, answer = [], [], None
    for _ in range(REPEATS):
        start, cpu_start = time.perf_counter(), time.process_time()
        answer = work()
        seconds.append(time.perf_counter() - start)
        cpu_s.append(time.process_time() - cpu_start)
    return seconds, cpu_s, answer


def answer_with_numpy(folder: Path, task: str, question: str) -> list[list[Any]]:
    """Rows as the catalog gives them; see `measured` for task and question."""
    import scale_humandata as humandata

    keys = ("smplx",) if task == "numpy" else None
    if question == "betas":
        return [[dataset, *values] for dataset, values in humandata.betas(folder, keys).items()]
    if question == "orientation":
        cells = humandata.orientation(folder, keys)
        return [[dataset, cell, int(n)] for dataset, counts in cells.items() for cell, n in enumerate(counts) if n]
    bends = humandata.flexion(folder, keys)
    return [
        [dataset, joint, number, int(n)]
        for dataset, counts in bends.items()
        for joint, row in zip(("knee", "elbow"), counts, strict=True)
        for number, n in enumerate(row)
        if n
    ]


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], Path(sys.argv[2]), sys.argv[3]), default=str))
