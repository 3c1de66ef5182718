"""Progress without a terminal: lines with count, rate and time left."""

from __future__ import annotations

import pytest

from pipelines import progress
from pipelines.progress import Meter


@pytest.mark.parametrize(
    ("total", "done", "elapsed_s", "line"),
    [
        (51_000, 1_000, 10.0, "pw3d/train: 1,000 of about 51,000 people, 100.0 a second, 8:20 left"),
        (0, 30, 4.0, "pw3d/train: 30 people, 7.5 a second"),
        (10, 0, 5.0, "pw3d/train: 0 of about 10 people, 0.0 a second"),
        (10, 12, 5.0, "pw3d/train: 12 of about 10 people, 2.4 a second"),
    ],
)
def test_a_line_says_done_rate_and_time_left(total: int, done: int, elapsed_s: float, line: str) -> None:
    meter = Meter("pw3d/train", total, "people")
    meter.reach(done)
    assert meter.line(elapsed_s) == line


def test_a_log_gets_a_line_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Meter("verify", 100, "samples") as meter:
        for _ in range(25):
            now[0] += 1.0
            meter.add(2)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "verify: 20 of about 100 samples, 2.0 a second, 0:40 left",
        "verify: 40 of about 100 samples, 2.0 a second, 0:30 left",
    ]


def test_work_that_is_gone_on_with_counts_only_its_own_time() -> None:
    meter = Meter("train", 100, "updates", done=60)
    meter.reach(70)
    meter.say("loss 3.2")
    assert meter.line(5.0) == "train: 70 of about 100 updates, 2.0 a second, 0:15 left, loss 3.2"
