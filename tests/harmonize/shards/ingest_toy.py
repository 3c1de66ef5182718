"""Ingest the made-up dataset in a process of its own.

python ingest_toy.py RAW STORE [--tasks 0,2]       make the tasks that are due (of those listed) and, if all, close
python ingest_toy.py RAW STORE --kill SEED COUNT   COUNT times: ingest into STORE/<i>, killed at a random moment; then
                                                   again to the end
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import toy_dataset

from harmonize.readers import READERS
from harmonize.shards import hashes
from harmonize.shards.plan import make_plan
from harmonize.shards.write import finalise, pending, run_task

READERS["toy"] = toy_dataset.ToyReader


def make(root: Path, store: Path, only: set[int] | None = None) -> None:
    """Make what is due."""
    job = toy_dataset.toy_job(root, store)
    plan = make_plan(job)
    for task in pending(plan, job):
        if only is None or task.index in only:
            run_task(job, plan, task)
    if only is None:
        finalise(plan, job)


def start(root: Path, store: Path) -> int:
    """Ingest in a forked process, which has everything loaded already; returns its id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            make(root, store)
            status = 0
        finally:
            os._exit(status)
    return child


def finish(root: Path, store: Path) -> float:
    """Ingest to the end; returns how long it took."""
    begin = time.monotonic()
    _, state = os.waitpid(start(root, store), 0)
    if state != 0:
        sys.exit("an ingest that nobody killed has failed")
    return time.monotonic() - begin


def num_finished(store: Path) -> int:
    """Shards with a manifest."""
    return len(list((store / "toy" / "train").glob("toy-*.json")))


def kill_and_rerun(root: Path, store: Path, seed: int, count: int) -> None:
    """Print for each trial how many finished shards and leftovers the killed run left."""
    rng = random.Random(seed)
    make(root, store / "warm-up")
    whole = finish(root, store / "timed")
    for trial in range(count):
        target = store / str(trial)
        child = start(root, target)
        if trial % 2:  # at any time of the run
            time.sleep(rng.uniform(0.0, 1.0) * whole)
        else:  # while shards are being published, which is a small part of that time
            wanted, deadline = rng.randrange(1, 24), time.monotonic() + 60
            while num_finished(target) < wanted and time.monotonic() < deadline:
                time.sleep(rng.uniform(0.0, 0.002))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        leftovers = list((target / "toy" / "train").glob(".*"))
        print(num_finished(target), len(leftovers), flush=True)
        finish(root, target)


if __name__ == "__main__":
    raw, target_store = Path(sys.argv[1]), Path(sys.argv[2])
    hashes.cache_dir = lambda: target_store.parent / "cache"  # type: ignore[attr-defined]
    if "--kill" in sys.argv:
        kill_and_rerun(raw, target_store, int(sys.argv[4]), int(sys.argv[5]))
    else:
        make(raw, target_store, {int(i) for i in sys.argv[4].split(",")} if len(sys.argv) > 3 else None)
