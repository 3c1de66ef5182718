"""Batches of a selection: samples read by one `pread` each, decoded, cropped, and written into a few large tensors.

    selection -> Schedule (which keys) -> read (bytes, record) -> augmentation -> crop and targets -> Batch

Threads work on pieces of batches ahead of the caller, each in rows of its own; reading, decoding and warping leave the
interpreter to the others. Order and content of the batches do not depend on the number of threads or processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from catalogs.selection import Selection
from harmonize.shards.read import Sample, open_store
from train.data.batch import Batch
from train.data.chance import Chance, chance_of
from train.data.crops import CropSize, crop_maps, cut_crop, person_boxes
from train.data.members import Members, bind
from train.data.schedule import Draws, Schedule, State
from train.data.targets import Rows, allocate, write_targets

BATCHES_AHEAD = 2
PIECE = 16
"""Samples whose labels are worked out together: enough that the cost of a call does not count."""


@dataclass(frozen=True, slots=True)
class _Work:
    """A batch on its way: pieces finish in any order, each says its samples' sources."""

    after: State
    keys: list[str]
    rows: Rows
    chance: Chance

    def pieces(self) -> list[slice]:
        return [slice(at, at + PIECE) for at in range(0, len(self.keys), PIECE)]


class Loader:
    """The batches of a selection over a store, for ever.

    num_threads: threads that read and decode; 0 does it in the caller's thread. read: where samples come from, safe to
    call from threads; the store's own files unless said otherwise.

    Raises:
        StoreError, UsageError: the selection does not belong to the store (see `train.data.members.bind`), or the
            batch size is impossible (see `Schedule`).
    """

    def __init__(
        self,
        store: Path,
        selection: Selection,
        *,
        batch_size: int,
        size: CropSize,
        num_threads: int = 0,
        read: Callable[[str], Sample] | None = None,
    ) -> None:
        self.schedule = Schedule(selection, batch_size)
        self.members: Members = bind(store, selection)
        self.size = size
        self.num_threads = num_threads
        self._read = open_store(store).sample if read is None else read

    def batches(self, state: State, rank: int = 0, world_size: int = 1) -> Generator[tuple[State, Batch]]:
        """What remains after `state`, as one process sees it; each batch with the state after it.

        Raises (while iterating):
            StoreError: a shard or a sample of it is gone or was altered. RawFileError: a picture does not decode.
            DataError: a sample has no person box. UsageError: a sample has no picture.
        """
        planned = (self._plan(*step, rank, world_size) for step in self.schedule.batches(state, rank, world_size))
        if not self.num_threads:
            for work in planned:
                sources = [source for piece in work.pieces() for source in self._fill(work, piece)]
                yield work.after, work.rows.batch(work.keys, sources)
            return
        with ThreadPoolExecutor(self.num_threads, thread_name_prefix="loader") as pool:
            ahead: deque[tuple[_Work, list[Future[list[tuple[str, str]]]]]] = deque()
            try:
                while True:
                    for work in islice(planned, BATCHES_AHEAD + 1 - len(ahead)):
                        ahead.append((work, [pool.submit(self._fill, work, piece) for piece in work.pieces()]))
                    work, futures = ahead.popleft()
                    sources = [source for future in futures for source in future.result()]
                    yield work.after, work.rows.batch(work.keys, sources)
            finally:
                pool.shutdown(cancel_futures=True)

    def _plan(self, after: State, draws: Draws, rank: int, world_size: int) -> _Work:
        keys = self.members.keys
        # `after` is the state behind this batch; its own place is one step before.
        epoch, step = (after.epoch, after.step - 1) if after.step else (after.epoch - 1, self.schedule.num_steps - 1)
        positions = step * self.schedule.batch_size + rank + world_size * np.arange(len(draws.member))
        return _Work(
            after=after,
            keys=[keys[i][at] for i, at in zip(draws.member.tolist(), draws.sample.tolist(), strict=True)],
            rows=allocate(len(draws.member), self.size),
            chance=chance_of(self.schedule.selection.seed, epoch, positions),
        )

    def _fill(self, work: _Work, piece: slice) -> list[tuple[str, str]]:
        """Write the rows of a piece; returns their sources as the records say them."""
        samples = [self._read(key) for key in work.keys[piece]]
        rows = work.rows[piece]
        instances = [sample.instance for sample in samples]
        num = len(samples)
        maps = crop_maps(person_boxes(samples), self.size)
        for sample, one, out in zip(samples, maps, rows.crop, strict=True):
            cut_crop(sample, one, out)
        write_targets(rows, instances, maps, np.broadcast_to(np.eye(3), (num, 3, 3)), np.zeros(num, bool))
        rows.observed_px[:] = rows.keypoints_px
        return [(one.provenance.dataset, one.provenance.split) for one in instances]
