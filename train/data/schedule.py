"""Which sample is drawn when: a pure function of (selection, epoch, batch size).

An epoch is one global list of batches, shuffled over all shards. Every batch holds each member's share rounded down or
up, every epoch exactly the draws that the selection asks for, and no sample is drawn more often than the repeat cap
allows. Nothing depends on the number of processes or workers: rank r of W takes positions r, r + W, ... of each batch.
The whole state is `State(epoch, step)`.

Randomness is a hash (splitmix64) of seed, epoch and position, so that the order is the same on every machine and with
every version of numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from catalogs.selection import Selection
from harmonize.errors import UsageError

Ints = npt.NDArray[np.int64]
Subset = Literal["redrawn", "fixed"]
"""Which samples an epoch draws of a member that has more than it needs: others in each epoch, until all were drawn, or
the same in every epoch, as SMPLer-X does (data/dataset.py: one shuffle, of which only the first part is ever used)."""

_PLACES, _REST, _PASSES, _TIES = range(4)  # separate streams of randomness


@dataclass(frozen=True, slots=True)
class State:
    """Where a run stands: `step` batches of `epoch` have been consumed."""

    epoch: int = 0
    step: int = 0


@dataclass(frozen=True, slots=True)
class Draws:
    """Some draws of an epoch in order.

    position: (N,) numbers of the draws in the epoch, over all processes: what chance in augmentation is seeded from.
    member, sample: (N,) positions in `selection.members`, and in the sorted sample keys of that member.
    """

    epoch: int
    position: Ints
    member: Ints
    sample: Ints


class Schedule:
    """The order in which a selection is drawn, in batches of `batch_size` over all processes.

    subset: see `Subset`; the order is shuffled anew in each epoch either way.

    Raises:
        UsageError: batch_size is below 1 or larger than an epoch, or there is no such subset.
    """

    def __init__(self, selection: Selection, batch_size: int, subset: Subset = "redrawn") -> None:
        if not 1 <= batch_size <= selection.draws_per_epoch:
            raise UsageError(
                f"schedule: batch_size: expected 1 to {selection.draws_per_epoch} (the draws of an epoch), "
                f"found {batch_size}",
                field="batch_size",
            )
        if subset not in get_args(Subset):
            raise UsageError(
                f"schedule: subset: expected {' or '.join(get_args(Subset))}, found {subset!r}", field="subset"
            )
        self.selection = selection
        self.batch_size = batch_size
        self.subset = subset
        self.num_steps = -(-selection.draws_per_epoch // batch_size)

    def epoch(self, epoch: int) -> Draws:
        """All draws of an epoch; batch b is [b * batch_size : (b + 1) * batch_size], the last one may be shorter."""
        member = self._members_in_order(epoch)
        sample = np.empty_like(member)
        for i in range(len(self.selection.members)):
            sample[member == i] = self.samples_of(i, epoch)
        return Draws(epoch=epoch, position=np.arange(len(member)), member=member, sample=sample)

    def samples_of(self, member: int, epoch: int) -> Ints:
        """Positions (num_draws,) of the samples that an epoch draws of one member, in the order it draws them."""
        entry = self.selection.members[member]
        rest_epoch = 0 if self.subset == "fixed" and entry.num_draws < entry.num_available else epoch
        stream = (self.selection.seed, member)
        return draw_samples(entry.num_available, entry.num_draws, stream, epoch, rest_epoch)

    def batches(self, state: State, rank: int = 0, world_size: int = 1) -> Iterator[tuple[State, Draws]]:
        """The batches that remain after `state`, for ever, as seen by one process; each with the state after it.

        Raises (when called):
            UsageError: the rank or the state is impossible, or the last batch of an epoch has no sample for some rank.
        """
        check_state(state, self.num_steps, rank, world_size)
        self._check_last(world_size)
        return self._batches(state, rank, world_size)

    def _batches(self, state: State, rank: int, world_size: int) -> Iterator[tuple[State, Draws]]:
        epoch, step = state.epoch, state.step
        while True:
            draws = self.epoch(epoch)
            for at in range(step, self.num_steps):
                mine = slice(at * self.batch_size + rank, (at + 1) * self.batch_size, world_size)
                after = state_after(epoch, at, self.num_steps)
                yield after, Draws(epoch, draws.position[mine], draws.member[mine], draws.sample[mine])
            epoch, step = epoch + 1, 0

    def _check_last(self, world_size: int) -> None:
        """An empty batch on one rank would leave the others waiting for its gradients."""
        draws, size = self.selection.draws_per_epoch, self.batch_size
        if world_size <= _last(draws, size):
            return
        possible = (less for less in range(size, world_size - 1, -1) if world_size <= _last(draws, less))
        better = next(possible, None)
        raise UsageError(
            f"schedule: expected at least one sample for each of {world_size} processes in every batch, found "
            f"{_last(draws, size)} in the last batch of {draws} draws in batches of {size}",
            fix="use fewer processes" if better is None else f"use batch_size {better}, or fewer processes",
            field="batch_size",
        )

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


def check_state(state: State, num_steps: int, rank: int, world_size: int) -> None:
    """Raises UsageError for a place that no run of `num_steps` steps an epoch can be at, or a rank there is not."""
    if not 0 <= rank < world_size:
        raise UsageError(f"schedule: expected a rank in [0, {world_size}), found {rank}", field="rank")
    if state.epoch < 0 or not 0 <= state.step < num_steps:
        raise UsageError(
            f"schedule: expected a step in [0, {num_steps}), found {state}",
            fix="resume with the selection and the batch size the run was started with",
            field="state",
        )


def state_after(epoch: int, step: int, num_steps: int) -> State:
    """The state once batch `step` of an epoch of `num_steps` is consumed."""
    return State(epoch, step + 1) if step + 1 < num_steps else State(epoch + 1, 0)


def _last(num_draws: int, batch_size: int) -> int:
    return batch_size - -num_draws % batch_size


def draw_samples(num_available: int, num_draws: int, stream: tuple[int, int], epoch: int, rest_epoch: int) -> Ints:
    """Positions (num_draws,) of a member's samples in the order an epoch draws them.

    Whole passes over all samples come first, each shuffled anew. What is left of the epoch is a piece of one fixed
    circle of all samples: the one that follows after `rest_epoch` such pieces. With rest_epoch = epoch all samples are
    drawn equally often over epochs.
    """
    num_passes, num_rest = divmod(num_draws, num_available)
    parts = [_shuffled(num_available, _PASSES, *stream, epoch, turn) for turn in range(num_passes)]
    circle = _shuffled(num_available, _REST, *stream)
    rest = circle[(rest_epoch * num_rest + np.arange(num_rest)) % num_available]
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
