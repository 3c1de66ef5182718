"""Which sample is drawn when: a pure function of (selection, epoch, batch size).

An epoch is one global list of batches. Every batch holds each member's share rounded down or up, every epoch exactly
the draws that the selection asks for, and no sample is drawn more often than the repeat cap allows. Nothing depends on
the number of processes or workers: rank r of W takes positions r, r + W, ... of each batch. The whole state is
`State(epoch, step)`.

Randomness is a hash (splitmix64) of seed, epoch and position, so that the order is the same on every machine and with
every version of numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalogs.selection import Selection
from harmonize.errors import UsageError

Ints = npt.NDArray[np.int64]
_PLACES, _REST, _PASSES, _TIES = range(4)  # separate streams of randomness


@dataclass(frozen=True, slots=True)
class State:
    """Where a run stands: `step` batches of `epoch` have been consumed."""

    epoch: int = 0
    step: int = 0


@dataclass(frozen=True, slots=True)
class Draws:
    """Some draws in order: positions (N,) in `selection.members`, and in the sorted sample keys of that member."""

    member: Ints
    sample: Ints


class Schedule:
    """The order in which a selection is drawn, in batches of `batch_size` over all processes.

    Raises:
        UsageError: batch_size is below 1 or larger than an epoch.
    """

    def __init__(self, selection: Selection, batch_size: int) -> None:
        if not 1 <= batch_size <= selection.draws_per_epoch:
            raise UsageError(
                f"schedule: batch_size: expected 1 to {selection.draws_per_epoch} (the draws of an epoch), "
                f"found {batch_size}",
                field="batch_size",
            )
        self.selection = selection
        self.batch_size = batch_size
        self.num_steps = -(-selection.draws_per_epoch // batch_size)

    def epoch(self, epoch: int) -> Draws:
        """All draws of an epoch; batch b is [b * batch_size : (b + 1) * batch_size], the last one may be shorter."""
        seed = self.selection.seed
        member = self._members_in_order(epoch)
        sample = np.empty_like(member)
        for i, entry in enumerate(self.selection.members):
            sample[member == i] = draw_samples(entry.num_available, entry.num_draws, (seed, i), epoch)
        return Draws(member, sample)

    def batches(self, state: State, rank: int = 0, world_size: int = 1) -> Iterator[tuple[State, Draws]]:
        """The batches that remain after `state`, for ever, as seen by one process; each with the state after it."""
        if not 0 <= rank < world_size:
            raise UsageError(f"schedule: expected a rank in [0, {world_size}), found {rank}", field="rank")
        epoch, step = state.epoch, state.step
        while True:
            draws = self.epoch(epoch)
            for at in range(step, self.num_steps):
                mine = slice(at * self.batch_size + rank, (at + 1) * self.batch_size, world_size)
                after = State(epoch, at + 1) if at + 1 < self.num_steps else State(epoch + 1, 0)
                yield after, Draws(draws.member[mine], draws.sample[mine])
            epoch, step = epoch + 1, 0

    def _members_in_order(self, epoch: int) -> Ints:
        """The member of each draw of an epoch, (draws_per_epoch,)."""
        seed, size = self.selection.seed, self.batch_size
        totals = np.array([member.num_draws for member in self.selection.members], np.int64)
        num_full, tail_size = divmod(self.selection.draws_per_epoch, size)
        tail = _split(totals[None], np.array([tail_size]), np.array([self.selection.draws_per_epoch]), (seed, epoch))[0]
        counts = split_evenly(totals - tail, num_full, (seed, epoch))
        order = np.repeat(np.tile(np.arange(len(totals)), num_full), counts.reshape(-1))
        order = np.concatenate([order, np.repeat(np.arange(len(totals)), tail)])
        # Shuffle inside each batch: sort by (batch, hash).
        batch = np.arange(len(order)) // size
        return order[np.lexsort((_hashes(len(order), _PLACES, seed, epoch), batch))]


def draw_samples(num_available: int, num_draws: int, stream: tuple[int, int], epoch: int) -> Ints:
    """Positions (num_draws,) of a member's samples in the order an epoch draws them.

    Whole passes over all samples come first, each shuffled anew. The rest of the epoch continues where the last epoch's
    rest ended on one fixed circle, so that over epochs all samples are drawn equally often.
    """
    num_passes, num_rest = divmod(num_draws, num_available)
    parts = [_shuffled(num_available, _PASSES, *stream, epoch, turn) for turn in range(num_passes)]
    circle = _shuffled(num_available, _REST, *stream)
    rest = circle[(epoch * num_rest + np.arange(num_rest)) % num_available]
    return np.concatenate([*parts, rest[_shuffled(num_rest, _REST, *stream, epoch)]])


def split_evenly(totals: Ints, num_batches: int, stream: tuple[int, int]) -> Ints:
    """Counts (num_batches, M) of M members per batch; columns add up to `totals`, each row to the same number.

    Every count is its column's total / num_batches, rounded down or up. Batches are halved again and again; a half gets
    its quota rounded, and a number between two integers stays between them, so errors do not build up.
    """
    counts, sizes = totals[None].copy(), np.array([num_batches], np.int64)
    level = 0
    while num_batches and sizes.max() > 1:
        level += 1
        left_sizes = (sizes + 1) // 2
        left = _split(counts, left_sizes, sizes, (*stream, level))
        counts = np.stack([left, counts - left], axis=1).reshape(-1, len(totals))
        sizes = np.stack([left_sizes, sizes - left_sizes], axis=1).reshape(-1)
        counts, sizes = counts[sizes > 0], sizes[sizes > 0]
    return counts if num_batches else counts[:0]


def _split(counts: Ints, part: Ints, whole: Ints, stream: tuple[int, ...]) -> Ints:
    """part / whole of each row of counts (N, M), by largest remainder; which member gets it on ties is random."""
    quota, remainder = np.divmod(counts * part[:, None], whole[:, None])
    # The row's quotas add up to an integer, so the remainders add up to a multiple of `whole`.
    num_up = remainder.sum(axis=1) // whole
    ties = _hashes(counts.size, _TIES, *stream).reshape(counts.shape)
    claims = np.lexsort((ties, -remainder), axis=1)
    rank = np.empty_like(claims)
    np.put_along_axis(rank, claims, np.arange(counts.shape[1])[None], axis=1)
    return np.asarray(quota + (rank < num_up[:, None]), np.int64)


def _shuffled(size: int, *stream: int) -> Ints:
    return np.argsort(_hashes(size, *stream), kind="stable")


def _hashes(size: int, *stream: int) -> npt.NDArray[np.uint64]:
    """`size` hashes of a stream of small integers: splitmix64 (Steele, Lea, Flood 2014), one round a word."""
    state = np.zeros(1, np.uint64)
    for word in (len(stream), *stream):
        state = _mix(state ^ np.uint64(word))
    return _mix(state + np.arange(size, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
