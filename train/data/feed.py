"""Where batches come from: what was drawn, and how to read it. Local, remote and streamed stores look alike here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from catalogs.selection import Selection
from harmonize.shards.read import Sample
from train.data.cache import Cache
from train.data.members import Members, bind
from train.data.schedule import Draws, Ints, Schedule, State, Subset


@dataclass(frozen=True, slots=True)
class Drawn:
    """One process's part of a global batch: N draws.

    after: the state once this batch is consumed. position: (N,) numbers of the draws in `epoch` over all processes.
    read(i) gives the i-th sample, from any thread; it raises what `Members.sample` does.
    """

    after: State
    epoch: int
    position: Ints
    keys: tuple[str, ...]
    read: Callable[[int], Sample]


class Feed(Protocol):
    """Batches of a selection, for ever. is_standin: whether the bodies are stand-ins. num_steps: batches an epoch."""

    selection: Selection
    is_standin: bool
    num_steps: int

    def batches(self, state: State, rank: int = 0, world_size: int = 1) -> Iterator[Drawn]:
        """What remains after `state`, as one process sees it.

        Raises (when called):
            UsageError: see `Schedule.batches`.
        """
        ...


class Indexed:
    """Samples in the order of the schedule, each read by its place: exact, and resumable to the sample."""

    def __init__(self, members: Members, schedule: Schedule) -> None:
        self.members = members
        self.schedule = schedule
        self.selection = schedule.selection
        self.is_standin = members.is_standin
        self.num_steps = schedule.num_steps

    def batches(self, state: State, rank: int = 0, world_size: int = 1) -> Iterator[Drawn]:
        return (self._drawn(after, draws) for after, draws in self.schedule.batches(state, rank, world_size))

    def _drawn(self, after: State, draws: Draws) -> Drawn:
        places = list(zip(draws.member.tolist(), draws.sample.tolist(), strict=True))
        keys = self.members.keys
        return Drawn(
            after=after,
            epoch=draws.epoch,
            position=np.asarray(draws.position),
            keys=tuple(keys[member][at] for member, at in places),
            read=lambda i: self.members.sample(*places[i]),
        )


def open_feed(
    store: Path | str,
    selection: Selection,
    *,
    batch_size: int,
    subset: Subset = "redrawn",
    cache: Cache | None = None,
) -> Indexed:
    """A selection over a store, which may be a URL (then `cache` is needed), by index.

    Raises:
        StoreError, UsageError: see `train.data.members.bind` and `Schedule`.
    """
    schedule = Schedule(selection, batch_size, subset)
    return Indexed(bind(store, selection, cache), schedule)
