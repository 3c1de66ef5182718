"""Where batches come from: what was drawn, and how to read it. Local, remote and streamed stores look alike here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from catalogs.selection import Selection
from harmonize.shards.read import Sample
from train.data.members import Members
from train.data.schedule import Draws, Ints, Schedule, State


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


class Feed(ABC):
    """Batches of a selection, for ever.

    schedule: how many batches of what size an epoch has, and which member each draw is of. is_exact: whether the
    samples are those of the schedule, too, so that repeat caps and numbers of distinct samples hold.
    """

    members: Members
    schedule: Schedule
    is_exact: bool

    @property
    def selection(self) -> Selection:
        """What is drawn from."""
        return self.schedule.selection

    @property
    def is_standin(self) -> bool:
        """Whether the bodies are stand-ins."""
        return self.members.is_standin

    @abstractmethod
    def batches(self, state: State, rank: int = 0, world_size: int = 1) -> Iterator[Drawn]:
        """What remains after `state`, as one process sees it.

        Raises (when called):
            UsageError: see `Schedule.batches`.
        """


class Indexed(Feed):
    """Samples in the order of the schedule, each read by its place: exact, and resumable to the sample."""

    def __init__(self, members: Members, schedule: Schedule) -> None:
        self.members = members
        self.schedule = schedule
        self.is_exact = True

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
