"""What is parsed once a process, and when it is parsed again."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from harmonize.readers.kept import keep_last


def test_the_last_result_is_kept_until_a_file_changes(tmp_path: Path) -> None:
    calls = []

    @keep_last
    def text(*paths: Path) -> str:
        calls.append(paths)
        return "".join(path.read_text() for path in paths)

    one, two = tmp_path / "1", tmp_path / "2"
    one.write_text("a")
    two.write_text("b")
    assert [text(one, two), text(one, two)] == ["ab", "ab"]
    assert len(calls) == 1
    two.write_text("c")
    os.utime(two, ns=(1, 1))
    assert text(one, two) == "ac"
    assert [text(one), text(one, two)] == ["a", "ac"]
    assert len(calls) == 4


def test_threads_build_once(tmp_path: Path) -> None:
    calls = []

    @keep_last
    def slow(path: Path) -> int:
        calls.append(path)
        time.sleep(0.05)
        return len(calls)

    file = tmp_path / "x"
    file.touch()
    threads = [threading.Thread(target=slow, args=(file,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
