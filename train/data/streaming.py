"""Plain sequential reading of a selection's shards, through the `webdataset` library: for object stores that serve
whole files well and small ranges badly.

What stays as with reading by index: every batch holds each member's share rounded down or up, because the schedule
still says which member each draw is of; only chosen samples are drawn; each is checked against the index's hashes.

What cannot be promised: which sample of a member comes when. Each process passes over shards of its own (or, where a
member has fewer shards than there are processes, over all of them, keeping every so-manieth sample) in an order of
their own, through a buffer that shuffles. Samples of a shard come near each other; repeats in an epoch differ between
samples, so a repeat cap may be exceeded; what is drawn depends on the number of processes; and a resumed run goes on
with other samples than the interrupted one would have. The realised mixture is counted all the same.
"""

from __future__ import annotations

import hashlib
import random
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from webdataset.filters import _shuffle as shuffle_in_buffer
from webdataset.tariterators import group_by_keys, tar_file_expander

from harmonize.errors import EhpsError, StoreError, UsageError
from harmonize.shards.read import Sample, sample_of
from train.data.feed import Drawn, Feed
from train.data.files import Shard
from train.data.members import Members, check_record
from train.data.schedule import Draws, Schedule, State

BUFFER_SAMPLES = 4096
"""Samples that a process holds to draw from, shared by the members as the mixture is: some 250 MB."""

MIN_BUFFER_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class _Stored:
    """The files of one sample as they came out of a tar, by extension."""

    key: str
    at: int
    shard: Shard
    contents: dict[str, bytes]


class Streamed(Feed):
    """Samples as they come out of shards that are read from their beginning. num_buffered: see BUFFER_SAMPLES."""

    def __init__(self, members: Members, schedule: Schedule, num_buffered: int = BUFFER_SAMPLES) -> None:
        self.members = members
        self.schedule = schedule
        self.is_exact = False
        self.num_buffered = num_buffered

    def batches(self, state: State, rank: int = 0, world_size: int = 1) -> Iterator[Drawn]:
        planned = self.schedule.batches(state, rank, world_size)
        streams = [self._stream(i, state, rank, world_size) for i in range(len(self.members.places))]

        for_each = ((after, draws, [next(streams[i]) for i in draws.member.tolist()]) for after, draws in planned)
        return (self._drawn(after, draws, found) for after, draws, found in for_each)

    def _drawn(self, after: State, draws: Draws, found: list[_Stored]) -> Drawn:
        return Drawn(
            after=after,
            epoch=draws.epoch,
            position=draws.position,
            keys=tuple(stored.key for stored in found),
            read=lambda i: self._sample(int(draws.member[i]), found[i]),
        )

    def _stream(self, member: int, state: State, rank: int, world_size: int) -> Iterator[_Stored]:
        """The samples of a member for one process, for ever."""
        selection = self.selection
        seed = f"{selection.seed} {member} {state.epoch} {state.step} {rank} {world_size}"
        entry = selection.members[member]
        size = max(MIN_BUFFER_SAMPLES, round(self.num_buffered * entry.num_draws / selection.draws_per_epoch))
        # More than one pass in the buffer would turn passes into draws with replacement.
        size = max(1, min(size, entry.num_available // world_size))
        passes = self._passes(member, state, rank, world_size)
        stream: Iterator[_Stored] = shuffle_in_buffer(passes, bufsize=size, initial=size, rng=random.Random(seed))
        return stream

    def _passes(self, member: int, state: State, rank: int, world_size: int) -> Iterator[_Stored]:
        places = self.members.places[member]
        numbers = np.unique(places.shard).tolist()
        # Without this, a process that got no shard of a small member could not draw it.
        by_sample = len(numbers) < world_size
        count = 0
        # The same order of shards in all processes, which take turns: seeded without the rank.
        order = random.Random(f"{self.selection.seed} {member} {state.epoch} {state.step}")
        while True:
            order.shuffle(numbers)
            for number in numbers if by_sample else numbers[rank::world_size]:
                for stored in self._shard(member, number):
                    count += 1
                    if not by_sample or count % world_size == rank:
                        yield stored

    def _shard(self, member: int, number: int) -> Iterator[_Stored]:
        """The chosen samples of one shard, in its order.

        Raises:
            StoreError: it is missing, cut off, or lacks samples. UsageError: it cannot be reached.
        """
        shard, places = self.members.shards[number], self.members.places[member]
        missing = {places.keys[at] for at in np.flatnonzero(places.shard == number).tolist()}
        for found in self._files_by_sample(shard):
            key = found.pop("__key__")
            at = places.keys.position(key)
            if at is not None:
                missing.discard(key)
                contents = {name: content for name, content in found.items() if not name.startswith("__")}
                yield _Stored(key, at, shard, contents)
        if missing:
            raise _altered(self._tar(shard), f"{len(missing)} of its samples are not in it, {min(missing)} first")

    def _files_by_sample(self, shard: Shard) -> Iterator[dict[str, Any]]:
        tar = self._tar(shard)
        with self.members.files.stream(shard) as stream:
            try:
                yield from group_by_keys(tar_file_expander([{"url": tar, "stream": stream}]), lcase=False)
            except (tarfile.TarError, EOFError, ValueError) as error:
                raise _altered(tar, f"expected {shard.tar_bytes} bytes of a tar, found {error.args[0]}") from error
            except EhpsError:
                raise
            except Exception as error:  # each of the backends has error classes of its own
                raise UsageError(
                    f"{tar}: cannot be reached: {type(error).__name__}: {error.args[0] if error.args else ''}",
                    fix="check the network, then resume from the last checkpoint",
                ) from error

    def _sample(self, member: int, stored: _Stored) -> Sample:
        tar = self._tar(stored.shard)
        _, _, _, expected = self.members.places[member].of(stored.at)
        if expected.keys() != stored.contents.keys():
            raise _altered(tar, f"sample {stored.key}: expected {sorted(expected)}, found {sorted(stored.contents)}")
        for extension, content in stored.contents.items():
            if hashlib.sha256(content).hexdigest() != expected[extension].sha256:
                raise _altered(
                    tar, f"sample {stored.key}: {extension}: its content is not what the index says (sha256)"
                )
        sample = sample_of(stored.contents)
        check_record(sample, stored.key, self.selection.members[member].name, tar)
        return sample

    def _tar(self, shard: Shard) -> str:
        return f"{self.members.files.root}/{shard.tar}"


def _altered(tar: str, problem: str) -> StoreError:
    return StoreError(
        f"{tar}: {problem}",
        fix="run `ehps verify` on the store, then copy the shard again or `ehps ingest` this split again",
        path=tar,
    )
