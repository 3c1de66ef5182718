"""Losses that must not be trained on: those that are no numbers, and those far above what was usual."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from harmonize.errors import DataError

WINDOW, LEAST = 200, 20
"""Losses whose median is what is usual, and how many of them it takes to say so."""
BAD_BATCH = "bad_batch.json"
_NAMED = 5


class Guard:
    """Compares each loss with the median of the last ones. factor: how far above it stops a run, None for any."""

    def __init__(self, factor: float | None, before: Iterable[float] = ()) -> None:
        self.factor = factor
        self.losses: deque[float] = deque(before, maxlen=WINDOW)

    def objection(self, loss: float, grad_norm: float | None) -> str | None:
        """What is wrong with an update before it is made; None where nothing is, and then the loss counts as usual.

        grad_norm: None where it may be infinite, as under loss scaling.
        """
        if not math.isfinite(loss):
            return f"expected a finite loss, found {loss}"
        if grad_norm is not None and not math.isfinite(grad_norm):
            return f"expected a finite gradient, found norm {grad_norm} at loss {loss:.4g}"
        if self.factor is not None and len(self.losses) >= LEAST:
            usual = median(self.losses)
            if loss > self.factor * usual:
                return f"expected at most {self.factor:g} times the usual loss of {usual:.4g}, found {loss:.4g}"
        self.losses.append(loss)
        return None


def bad_batch(
    run: Path, objection: str, done: int, blamed: Sequence[tuple[float, str]], last_checkpoint: Path | None
) -> DataError:
    """The error that stops a run, after its samples were written to `bad_batch.json`.

    blamed: (loss, key) of every sample of the batch.
    """
    worst = sorted(blamed, key=lambda one: one[0] if math.isfinite(one[0]) else math.inf, reverse=True)
    document = {
        "update": done + 1,
        "problem": objection,
        "samples": [{"key": key, "loss": loss if math.isfinite(loss) else str(loss)} for loss, key in worst],
    }
    file = run / BAD_BATCH
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    names = ", ".join(f"{key} ({loss:.4g})" for loss, key in worst[:_NAMED])
    more = f" and {len(worst) - _NAMED} more in {file}" if len(worst) > _NAMED else ""
    kept = f"weights of update {done} were not changed" if last_checkpoint is None else f"{last_checkpoint} is kept"
    return DataError(
        f"train: update {done + 1}: {objection}; samples of the batch, worst first: {names}{more}; {kept}",
        fix="look at the worst: ehps view STORE KEY; leave broken samples out of the selection, or lower optim.lr",
        samples=[key for _, key in worst],
        update=done + 1,
    )
