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

from catalogs.selection import Selection
from harmonize.shards.read import Sample, open_store
from train.data.augment import NONE, Augment, changes_of, occlude, recolour
from train.data.batch import Batch
from train.data.chance import Chance, chance_of
from train.data.crops import CropSize, crop_maps, cut_crop, person_boxes
from train.data.detector import NO_ERRORS, Detector, detect
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
        augment: Augment = NONE,
        detector: Detector = NO_ERRORS,
        num_threads: int = 0,
        read: Callable[[str], Sample] | None = None,
    ) -> None:
        self.schedule = Schedule(selection, batch_size)
        self.members: Members = bind(store, selection)
        self.size, self.augment, self.detector = size, augment, detector
        self.num_threads = num_threads
        self._read = open_store(store).sample if read is None else read

    def batches(self, state: State, rank: int = 0, world_size: int = 1) -> Generator[tuple[State, Batch]]:
        """What remains after `state`, as one process sees it; each batch with the state after it.

        Raises (while iterating):
            StoreError: a shard or a sample of it is gone or was altered. RawFileError: a picture does not decode.
            DataError: a sample has no person box. UsageError: a sample has no picture.
        """
        planned = (self._plan(*step) for step in self.schedule.batches(state, rank, world_size))
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

    def _plan(self, after: State, draws: Draws) -> _Work:
        keys = self.members.keys
        return _Work(
            after=after,
            keys=[keys[i][at] for i, at in zip(draws.member.tolist(), draws.sample.tolist(), strict=True)],
            rows=allocate(len(draws.member), self.size),
            chance=chance_of(self.schedule.selection.seed, draws.epoch, draws.position),
        )

    def _fill(self, work: _Work, piece: slice) -> list[tuple[str, str]]:
        """Write the rows of a piece; returns their sources as the records say them."""
        samples = [self._read(key) for key in work.keys[piece]]
        rows, chance = work.rows[piece], work.chance[piece]
        instances = [sample.instance for sample in samples]
        changes = changes_of(self.augment, chance)
        maps = crop_maps(person_boxes(samples), self.size, changes.turn, changes.zoom, changes.shift)
        for sample, one, out in zip(samples, maps, rows.crop, strict=True):
            cut_crop(sample, one, out)
        recolour(changes, rows.crop)
        occlude(self.augment, rows.crop, chance)
        write_targets(rows, instances, maps, changes.spin, changes.is_mirrored)
        rows.observed_px[:] = detect(self.detector, rows.keypoints_px, chance)
        return [(one.provenance.dataset, one.provenance.split) for one in instances]
