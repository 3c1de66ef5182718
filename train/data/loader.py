"""Batches of a selection: samples read, decoded, cropped, and written into a few large tensors.

    selection -> Feed (which samples, and how to read them) -> augmentation -> crop and targets -> Batch

Threads work on pieces of batches ahead of the caller, each in rows of its own; reading, decoding and warping leave the
interpreter to the others. Order and content of the batches do not depend on the number of threads or processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from catalogs.selection import Selection
from train.data.augment import NONE, Augment, changes_of, occlude, recolour
from train.data.batch import Batch
from train.data.cache import Cache
from train.data.chance import Chance, chance_of
from train.data.crops import CropSize, crop_maps, cut_crop, person_boxes
from train.data.detector import NO_ERRORS, Detector, detect
from train.data.feed import Drawn
from train.data.members import Members
from train.data.opening import open_feed
from train.data.records import records_of
from train.data.schedule import Schedule, State, Subset
from train.data.targets import Rows, allocate, write_targets

Sources = list[tuple[str, str]]

BATCHES_AHEAD = 2
PIECE = 16
"""Samples whose labels are worked out together: enough that the cost of a call does not count."""


@dataclass(frozen=True, slots=True)
class _Work:
    """A batch on its way: its pieces are filled in any order."""

    drawn: Drawn
    rows: Rows
    chance: Chance

    def pieces(self) -> list[slice]:
        num = len(self.drawn.keys)
        return [slice(at, min(at + PIECE, num)) for at in range(0, num, PIECE)]


class Loader:
    """The batches of a selection over a store, for ever.

    store: a folder, or a URL with a `cache` of its bytes. size, augment, detector: what is made of a sample.
    num_threads: threads that read and decode; 0 does it in the caller's thread. subset: see `Schedule`. is_streamed:
    see `train.data.streaming`.

    Raises:
        StoreError, UsageError: the selection does not belong to the store (see `train.data.members.bind`), or the
            batch size is impossible (see `Schedule`).
    """

    def __init__(
        self,
        store: Path | str,
        selection: Selection,
        *,
        batch_size: int,
        size: CropSize,
        augment: Augment = NONE,
        detector: Detector = NO_ERRORS,
        num_threads: int = 0,
        subset: Subset = "redrawn",
        cache: Cache | None = None,
        is_streamed: bool = False,
    ) -> None:
        self.feed = open_feed(
            store, selection, batch_size=batch_size, subset=subset, cache=cache, is_streamed=is_streamed
        )
        self.size, self.augment, self.detector = size, augment, detector
        self.num_threads = num_threads

    @property
    def schedule(self) -> Schedule:
        """Which sample is drawn when."""
        return self.feed.schedule

    @property
    def members(self) -> Members:
        """The samples of the selection in the store."""
        return self.feed.members

    def batches(self, state: State, rank: int = 0, world_size: int = 1) -> Generator[tuple[State, Batch]]:
        """What remains after `state`, as one process sees it; each batch with the state after it.

        Raises (while iterating):
            StoreError: a shard or a sample of it is gone or was altered. RawFileError: a picture does not decode.
            DataError: a sample has no person box. UsageError: a sample has no picture, or the rank is impossible.
        """
        planned = (self._plan(drawn) for drawn in self.feed.batches(state, rank, world_size))
        if not self.num_threads:
            for work in planned:
                yield _finished(work, [self._fill(work, piece) for piece in work.pieces()])
            return
        with ThreadPoolExecutor(self.num_threads, thread_name_prefix="loader") as pool:
            ahead: deque[tuple[_Work, list[Future[Sources]]]] = deque()
            try:
                while True:
                    for work in islice(planned, BATCHES_AHEAD + 1 - len(ahead)):
                        ahead.append((work, [pool.submit(self._fill, work, piece) for piece in work.pieces()]))
                    work, futures = ahead.popleft()
                    yield _finished(work, [future.result() for future in futures])
            finally:
                pool.shutdown(cancel_futures=True)

    def _plan(self, drawn: Drawn) -> _Work:
        return _Work(
            drawn=drawn,
            rows=allocate(len(drawn.keys), self.size),
            chance=chance_of(self.feed.selection.seed, drawn.epoch, drawn.position),
        )

    def _fill(self, work: _Work, piece: slice) -> Sources:
        """Write the rows of a piece; returns their sources as the records say them."""
        samples = [work.drawn.read(i) for i in range(piece.start, piece.stop)]
        rows, chance = work.rows[piece], work.chance[piece]
        changes = changes_of(self.augment, chance)
        maps = crop_maps(person_boxes(samples), self.size, changes.turn, changes.zoom, changes.shift)
        for sample, one, out in zip(samples, maps, rows.crop, strict=True):
            cut_crop(sample, one, out)
        recolour(changes, rows.crop)
        occlude(self.augment, rows.crop, chance)
        write_targets(rows, records_of(samples), maps, changes.spin, changes.is_mirrored)
        rows.observed_px[:] = detect(self.detector, rows.keypoints_px, chance)
        return [(sample.strings["dataset"], sample.strings["split"]) for sample in samples]


def _finished(work: _Work, sources: list[Sources]) -> tuple[State, Batch]:
    flat = [source for piece in sources for source in piece]
    return work.drawn.after, work.rows.batch(work.drawn.keys, flat)
