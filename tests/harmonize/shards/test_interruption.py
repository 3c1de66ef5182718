"""Ingest in other processes: side by side, and killed at any moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy_dataset import contents, toy_job

from harmonize.shards.plan import make_plan
from harmonize.shards.verify import verify
from harmonize.shards.write import finalise, pending

DRIVER = Path(__file__).with_name("ingest_toy.py")
NUM_KILLS = 20

pytestmark = pytest.mark.usefixtures("toy_reader")


def test_two_processes_give_the_same_bytes(toy_store: Path, toy_root: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(DRIVER), str(toy_root), str(tmp_path / "store")]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    running = [subprocess.Popen([*command, "--tasks", tasks], env=environment) for tasks in ("0", "1,2")]
    assert [process.wait(120) for process in running] == [0, 0]
    job = toy_job(toy_root, tmp_path / "store")
    plan = make_plan(job)
    assert pending(plan, job) == []
    finalise(plan, job)
    assert contents(tmp_path / "store") == contents(toy_store)


def test_killed_at_any_moment_and_rerun_gives_the_same_bytes(toy_store: Path, toy_root: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(DRIVER), str(toy_root), str(tmp_path / "stores"), "--kill", "1", str(NUM_KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    left = [tuple(int(number) for number in line.split()) for line in done.stdout.splitlines()]
    assert len(left) == NUM_KILLS
    # The kills must have struck where it hurts: between shards, and while a working folder was there.
    assert sum(0 < shards < 24 for shards, _ in left) >= 5
    assert sum(leftovers for _, leftovers in left) >= 5
    whole = contents(toy_store)
    for trial in range(NUM_KILLS):
        store = tmp_path / "stores" / str(trial)
        assert contents(store) == whole
        assert sorted(path.name for path in store.rglob(".*")) == []
    assert verify(store).findings == ()
