"""Progress of long work on stderr: a live bar on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

LOG_EVERY_S = 10.0


class Meter:
    """Counts what is done; thread-safe.

        with Meter("pw3d/train", total=51_000, unit="people") as meter:
            meter.add(1)

    total: how many are expected, about; 0 when nobody can tell, and then no time left is shown. done: how many were
    done before, by work that is gone on with.
    """

    def __init__(self, title: str, total: int, unit: str, done: int = 0) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = self._before = done
        self._note = ""
        self._lock = threading.Lock()
        self._start = self._last_line = time.monotonic()
        console = Console(stderr=True)
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(unit))
            self._bar = Progress(*columns, TimeRemainingColumn(), console=console)
            self._row = self._bar.add_task(title, total=total or None, completed=done)

    def add(self, number: int) -> None:
        """Count `number` more as done."""
        with self._lock:
            self._reach(self.done + number)

    def reach(self, done: int) -> None:
        """Say how many are done by now."""
        with self._lock:
            self._reach(done)

    def say(self, note: str) -> None:
        """What is to be read beside the numbers from now on."""
        with self._lock:
            self._note = note
            if self._bar is not None:
                self._bar.update(self._row, description=f"{self.title}  {note}")

    def _reach(self, done: int) -> None:
        self.done = done
        if self._bar is not None:
            self._bar.update(self._row, completed=done)
        elif time.monotonic() - self._last_line >= LOG_EVERY_S:
            self._last_line = time.monotonic()
            print(self.line(self._last_line - self._start), file=sys.stderr, flush=True)

    def line(self, elapsed_s: float) -> str:
        """One line for a log: done, rate, time left."""
        rate = (self.done - self._before) / elapsed_s if elapsed_s > 0 else 0.0
        text = f"{self.title}: {self.done:,}"
        if self.total:
            text += f" of about {self.total:,}"
        text += f" {self.unit}, {rate:,.1f} a second"
        if self.total > self.done and rate > 0:
            minutes, seconds = divmod(round((self.total - self.done) / rate), 60)
            text += f", {minutes}:{seconds:02d} left"
        return f"{text}, {self._note}" if self._note else text

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0.0:,.1f} {self.unit}/s")
