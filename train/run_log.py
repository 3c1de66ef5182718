"""What a run says while it goes: a row each interval in losses.csv and in TensorBoard's files.

Rows that a run wrote after the checkpoint it is resumed from are dropped: those updates are made again.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmonize.whole import whole_file
from train.update import TOTAL

LOSSES, VALIDATION, TENSORBOARD = "losses.csv", "validation.jsonl", "tensorboard"
_RATES = ("learning_rate", "grad_norm", "samples_per_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Some updates up to `step`: mean losses by name, "total" first, and mean gradient norm before clipping; the last
    learning rate; samples of all processes a second."""

    step: int
    losses: Mapping[str, float]
    learning_rate: float
    grad_norm: float
    samples_per_s: float


class Averages:
    """Collects the updates of an interval."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._num = self._samples = 0
        self._sums: dict[str, float] = {}

    def add(self, losses: Mapping[str, float], grad_norm: float, num_samples: int) -> None:
        """Count an update."""
        self._num += 1
        self._samples += num_samples
        for name, value in [*losses.items(), ("grad_norm", grad_norm)]:
            self._sums[name] = self._sums.get(name, 0.0) + value

    def take(self, step: int, learning_rate: float) -> Interval:
        """The interval that ends with this update; the next one starts."""
        means = {name: value / self._num for name, value in self._sums.items()}
        grad_norm = means.pop("grad_norm")
        seconds = time.monotonic() - self._start
        found = Interval(
            step=step,
            losses=means,
            learning_rate=learning_rate,
            grad_norm=grad_norm,
            samples_per_s=self._samples / max(seconds, 1e-9),
        )
        self.__init__()  # type: ignore[misc]
        return found


class RunLog:
    """Writes the rows of a run that stands at update `done`; use as a context."""

    def __init__(self, run: Path, done: int, on_interval: Callable[[Interval], None]) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.run, self.on_interval = run, on_interval
        self.rows = [row for row in read_losses(run) if row["step"] <= done]
        self._write_all()
        _keep_lines(run / VALIDATION, done)
        self._board = SummaryWriter(str(run / TENSORBOARD), purge_step=done + 1 if done else None)

    def add(self, interval: Interval) -> None:
        """Write an interval's row."""
        row: dict[str, float] = {
            "step": interval.step,
            **interval.losses,
            **{name: getattr(interval, name) for name in _RATES},
        }
        is_first = not self.rows
        self.rows.append(row)
        with (self.run / LOSSES).open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_first:
                writer.writerow(row)
            writer.writerow(row.values())
        for name, value in interval.losses.items():
            self._board.add_scalar(f"loss/{name}", value, interval.step)
        for name in _RATES:
            self._board.add_scalar(f"run/{name}", row[name], interval.step)
        self.on_interval(interval)

    def add_validation(self, step: int, found: Mapping[str, float]) -> None:
        """Write what was measured after an update."""
        with (self.run / VALIDATION).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **found}) + "\n")
        for name, value in found.items():
            self._board.add_scalar(f"validation/{name}", value, step)

    def _write_all(self) -> None:
        with whole_file(self.run / LOSSES) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            for i, row in enumerate(self.rows):
                if i == 0:
                    writer.writerow(row)
                writer.writerow(row.values())

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *error: Any) -> None:
        self._board.close()


def read_losses(run: Path) -> list[dict[str, float]]:
    """The rows of losses.csv: step, losses by name ("total" first), learning_rate, grad_norm, samples_per_s."""
    path = run / LOSSES
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: float(value) if name != "step" else int(value) for name, value in row.items()}
            for row in csv.DictReader(file)
        ]


def losses_by_name(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """Columns of the losses alone, "total" first."""
    names = [name for name in (rows[0] if rows else {TOTAL: 0.0}) if name not in ("step", *_RATES)]
    return {name: [row[name] for row in rows] for name in names}


def _keep_lines(path: Path, done: int) -> None:
    if path.is_file():
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if json.loads(line)["step"] <= done]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
