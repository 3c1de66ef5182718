"""Ctrl-C and SIGTERM: exit code 3, nothing half-written, nobody left behind, and the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from processes import command, ehps, environment, tree


def ingest_arguments(raw: Path, store: Path, runner: str) -> list[object]:
    return ["ingest", "pw3d", "--raw", raw, "--store", store, "--body-models", "standin", "--runner", runner]


def wait_until_at_work(process: subprocess.Popen[str], store: Path) -> None:
    """Until a task has its temporary folder, and thus is somewhere between reading and publishing."""
    end = time.monotonic() + 90
    while not list(store.rglob(".tmp-*")):
        assert process.poll() is None, "it ended before it was at work"
        assert time.monotonic() < end, "it never was at work"
        time.sleep(0.002)


def heed_ctrl_c() -> None:
    """A command started in the background of a shell ignores Ctrl-C, and hands that on to whatever it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def processes_marked(mark: str) -> list[str]:
    """Command lines of the live processes that have a mark in their environment: a command and all it has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue  # it has just ended
    return found


@pytest.mark.parametrize(
    ("runner", "number"), [("inline", signal.SIGTERM), ("local", signal.SIGINT)], ids=["inline-term", "local-ctrl-c"]
)
def test_an_interrupted_ingest_goes_on(
    runner: str, number: signal.Signals, miniature, store: Path, tmp_path: Path
) -> None:
    raw, target, mark = miniature("pw3d")[0], tmp_path / "store", f"interrupted-{os.getpid()}-{runner}"
    process = subprocess.Popen(
        command(*ingest_arguments(raw, target, runner)),
        env=environment(TEST_MARK=mark),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_ctrl_c,
    )
    wait_until_at_work(process, target)
    assert processes_marked(mark)
    start = time.monotonic()
    os.killpg(process.pid, number)  # as a terminal does it: everybody in the group gets it
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert output == ""
    assert "Traceback" not in errors, errors
    assert "interrupted" in errors
    assert "fix: run the same command again" in errors
    assert time.monotonic() - start < 20
    assert processes_marked(mark) == []
    assert list(target.rglob(".tmp-*")) == []

    again = ehps(*ingest_arguments(raw, target, "inline"))
    assert again.returncode == 0, again.stderr
    assert tree(target / "pw3d") == tree(store / "pw3d")
