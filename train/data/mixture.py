"""The mixture that was trained on, counted from the samples themselves, against the one that was asked for.

Each process counts its own part of every batch, in two numbers a sample: draws in this epoch, and whether it was ever
drawn. They are added up over processes where the mixture is looked at, and go into checkpoints so that a resumed run's
counts are those of an uninterrupted one, on however many processes it goes on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmonize.errors import DataError
from harmonize.whole import write_whole
from train.data.feed import Feed
from train.data.schedule import State

Counts = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
AddUp = Callable[[Counts], Counts]
"""The sum of a vector over all processes; every process calls it at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Realised:
    """One source over a run. requested: its draws by weight. num_distinct: samples drawn at least once. max_repeats:
    most draws of one sample in an epoch."""

    dataset: str
    split: str
    requested: float
    num_draws: int
    num_distinct: int
    max_repeats: int


def alone(counts: Counts) -> Counts:
    """`AddUp` of a run with one process."""
    return counts


class Tally:
    """What one process counts of a run of `feed`; a drift from the selection is an error.

    found: `arrays` of a checkpoint, where a run goes on. rank: of this process.
    """

    def __init__(self, feed: Feed, found: Mapping[str, npt.NDArray[Any]] | None = None, rank: int = 0) -> None:
        self._feed = feed
        selection, sizes = feed.selection, [len(keys) for keys in feed.members.keys]
        self._keys = feed.members.keys
        self._member = {(member.dataset, member.split): i for i, member in enumerate(selection.members)}
        self._starts = np.cumsum([0, *sizes])
        self._epoch = np.zeros(self._starts[-1], np.int32)
        self._seen = np.zeros(self._starts[-1], np.bool_)
        self._draws_before = np.zeros(len(sizes), np.int64)
        self._max_repeats = np.zeros(len(sizes), np.int64)
        if found is None:
            return
        if len(found["epoch"]) != len(self._epoch) or len(found["draws_before"]) != len(sizes):
            raise DataError(
                f"mixture: expected counts of {len(self._epoch)} samples of {len(sizes)} members in the checkpoint, "
                f"found {len(found['epoch'])} of {len(found['draws_before'])}",
                fix="resume with the selection the run was started with",
            )
        self._draws_before[:], self._max_repeats[:] = found["draws_before"], found["max_repeats"]
        if rank == 0:  # these are added up over processes
            self._epoch[:], self._seen[:] = found["epoch"], found["seen"]

    def add(self, keys: Sequence[str], sources: Sequence[tuple[str, str]]) -> None:
        """Count this process's part of a batch.

        Raises:
            DataError: a sample is of no member, or came more often in this epoch than the repeat cap allows.
        """
        rows = [self._row(key, source) for key, source in zip(keys, sources, strict=True)]
        np.add.at(self._epoch, rows, 1)
        self._seen[rows] = True
        cap = self._feed.selection.repeat_cap
        if cap is not None and self._feed.is_exact and (most := self._epoch[rows].max(initial=0)) > cap:
            key, source = keys[int(self._epoch[rows].argmax())], sources[int(self._epoch[rows].argmax())]
            raise _drift("/".join(source), f"at most {cap} draws of a sample in an epoch", f"{most} of {key}")

    def realised(self, state: State, add_up: AddUp = alone) -> tuple[Realised, ...]:
        """What was counted up to `state`, in the order of the members: at intervals, and at the end of every epoch.

        Raises:
            DataError: the draws are not as many as there must have been by now, or not the mixture that was asked for.
        """
        epoch, seen = self._added_up(add_up)
        draws, repeats = self._by_member(epoch)
        distinct = np.add.reduceat(seen, self._starts[:-1])
        self._check(state, draws, np.add.reduceat(epoch > 0, self._starts[:-1], dtype=np.int64), repeats)
        np.maximum(self._max_repeats, repeats, out=self._max_repeats)
        total = self._draws_before + draws
        if state.step == 0:
            self._draws_before = total
            self._epoch[:] = 0
        return tuple(
            Realised(
                dataset=member.dataset,
                split=member.split,
                requested=float(total.sum() * member.weight),
                num_draws=int(total[i]),
                num_distinct=int(distinct[i]),
                max_repeats=int(self._max_repeats[i]),
            )
            for i, member in enumerate(self._feed.selection.members)
        )

    def arrays(self, add_up: AddUp = alone) -> dict[str, npt.NDArray[Any]]:
        """All that was counted, over all processes, for a checkpoint: five bytes a sample."""
        epoch, seen = self._added_up(add_up)
        most = np.maximum(self._max_repeats, self._by_member(epoch)[1])
        return {"epoch": epoch, "seen": seen, "draws_before": self._draws_before.copy(), "max_repeats": most}

    def _row(self, key: str, source: tuple[str, str]) -> int:
        i = self._member.get(source)
        at = None if i is None else self._keys[i].position(key)
        if i is None or at is None:
            raise _drift("/".join(source), "no draws, it is not in the selection", f"sample {key}")
        return int(self._starts[i]) + at

    def _added_up(self, add_up: AddUp) -> tuple[Counts, npt.NDArray[np.bool_]]:
        both = add_up(np.concatenate([self._epoch, self._seen.astype(np.int32)]))
        return both[: len(self._epoch)], both[len(self._epoch) :] > 0

    def _by_member(self, epoch: Counts) -> tuple[Longs, Longs]:
        starts = self._starts[:-1]
        return np.add.reduceat(epoch, starts, dtype=np.int64), np.maximum.reduceat(epoch, starts).astype(np.int64)

    def _check(
        self,
        state: State,
        draws: Longs,
        distinct: Longs,
        repeats: Longs,
    ) -> None:
        feed, selection = self._feed, self._feed.selection
        per_epoch = selection.draws_per_epoch
        is_end = state.step == 0
        expected = per_epoch if is_end else state.step * feed.schedule.batch_size
        if int(draws.sum()) != expected:
            raise DataError(
                f"mixture: expected {expected} draws in the epoch by {state}, over all processes, "
                f"found {int(draws.sum())}",
                fix="resume from a checkpoint of this run; samples were lost or counted twice",
            )
        # The schedule halves an epoch again and again, each half within rounding: a beginning is a sum of such pieces.
        slack = 0.0 if is_end else 2 + 2 * math.log2(feed.schedule.num_steps)
        cap = selection.repeat_cap
        for i, member in enumerate(selection.members):
            quota = member.num_draws * expected / per_epoch
            if abs(draws[i] - quota) > slack:
                raise _drift(member.name, f"{quota:.1f} of {expected} draws", str(draws[i]))
            if not feed.is_exact:
                continue
            if cap is not None and repeats[i] > cap:
                raise _drift(member.name, f"at most {cap} draws of a sample in an epoch", str(repeats[i]))
            if is_end and distinct[i] != member.num_distinct:
                raise _drift(member.name, f"{member.num_distinct} samples in an epoch", str(distinct[i]))


class MixtureLog:
    """`mixture.jsonl` of a run folder: a line for each source each time, for one process to write.

    state: where the run goes on; what was written for later is forgotten.

    Raises:
        DataError: the file is not such a log.
    """

    def __init__(self, path: Path, state: State) -> None:
        self.path = path
        kept = [line for line in _lines(path) if _place(line, path) <= (state.epoch, state.step)]
        write_whole(path, "".join(kept).encode())

    def write(self, state: State, realised: Sequence[Realised]) -> None:
        """Add what was counted up to `state`."""
        lines = [json.dumps({**asdict(state), **asdict(one)}) + "\n" for one in realised]
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))


def _lines(path: Path) -> list[str]:
    """The whole lines of a log; a process that was killed while writing leaves a part of one at the end."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _place(line: str, path: Path) -> tuple[int, int]:
    try:
        content = json.loads(line)
        return int(content["epoch"]), int(content["step"])
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path}: expected lines with epoch and step, found {line.strip()[:60]!r}", fix="move the file away"
        ) from error


def _drift(name: str, expected: str, found: str) -> DataError:
    return DataError(f"mixture: {name}: expected {expected}, found {found}", source=name)
