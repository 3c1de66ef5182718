"""Batches of a selection: samples read by one `pread` each, decoded, cropped, and stacked, in the schedule's order.

    selection -> Schedule (which keys) -> Store.sample (bytes, record) -> crop and target -> Batch

Threads read and decode ahead; the order and the content of the batches do not depend on their number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from catalogs.selection import Selection
from harmonize.errors import UsageError
from harmonize.shards.decode import decode_rgb
from harmonize.shards.read import open_store
from train.data.crops import CropSize, Pixels, Target, target, to_crop, warp
from train.data.members import Members, bind
from train.data.schedule import Draws, Schedule, State

BATCHES_AHEAD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """B samples. Shapes and units as in `train.data.crops.Target`; flags are (B,) booleans, has_rotation (B, 22).

    crop: (B, 3, height, width) uint8. keys, sources: what was read, from the samples' own records.
    """

    crop: Tensor
    rotmat: Tensor
    betas: Tensor
    weak_camera: Tensor
    has_rotation: Tensor
    has_betas: Tensor
    has_camera: Tensor
    keys: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]

    def to(self, device: str) -> Batch:
        """The same batch with its tensors on a device."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        moved = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
        return Batch(**{**values, **moved})


@dataclass(frozen=True, slots=True)
class _Example:
    pixels: Pixels
    target: Target
    key: str
    source: tuple[str, str]


class Loader:
    """The batches of a selection over a store, for ever.

    num_threads: threads that read and decode; 0 does it in the caller's thread.

    Raises:
        StoreError, UsageError: the selection does not belong to the store (see `train.data.members.bind`), or the
            batch size is impossible (see `Schedule`).
    """

    def __init__(
        self, store: Path, selection: Selection, *, batch_size: int, size: CropSize, num_threads: int = 0
    ) -> None:
        self.schedule = Schedule(selection, batch_size)
        self.members: Members = bind(store, selection)
        self.size = size
        self.num_threads = num_threads
        self._store = open_store(store)

    def batches(self, state: State, rank: int = 0, world_size: int = 1) -> Generator[tuple[State, Batch]]:
        """What remains after `state`, as one process sees it; each batch with the state after it.

        Raises (while iterating):
            StoreError: a sample was altered. RawFileError: a picture does not decode.
            DataError: a sample has no person box. UsageError: a sample has no picture.
        """
        planned = self.schedule.batches(state, rank, world_size)
        if not self.num_threads:
            for after, draws in planned:
                yield after, stack([self._example(key) for key in self._keys(draws)])
            return
        with ThreadPoolExecutor(self.num_threads, thread_name_prefix="loader") as pool:
            ahead: deque[tuple[State, list[Future[_Example]]]] = deque()
            try:
                while True:
                    for after, draws in islice(planned, BATCHES_AHEAD + 1 - len(ahead)):
                        ahead.append((after, [pool.submit(self._example, key) for key in self._keys(draws)]))
                    after, futures = ahead.popleft()
                    yield after, stack([future.result() for future in futures])
            finally:
                pool.shutdown(cancel_futures=True)

    def _keys(self, draws: Draws) -> list[str]:
        keys = self.members.keys
        return [keys[i][at] for i, at in zip(draws.member.tolist(), draws.sample.tolist(), strict=True)]

    def _example(self, key: str) -> _Example:
        sample = self._store.sample(key)
        instance = sample.instance
        if sample.picture is None:
            raise UsageError(
                f"{key}: expected a picture, found annotations only", fix="ingest again with --images crop or full"
            )
        crop = to_crop(instance, self.size)
        pixels = decode_rgb(sample.picture, sample.extension, key)
        return _Example(
            pixels=warp(pixels, crop, self.size),
            target=target(instance, crop, self.size),
            key=instance.key,
            source=(instance.provenance.dataset, instance.provenance.split),
        )


def stack(examples: list[_Example]) -> Batch:
    """One batch of examples, in their order."""
    targets = [example.target for example in examples]

    def floats(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(one, name) for one in targets]))

    def flags(name: str) -> Tensor:
        return torch.from_numpy(np.array([getattr(one, name) for one in targets], bool))

    return Batch(
        crop=torch.from_numpy(np.stack([example.pixels for example in examples])).permute(0, 3, 1, 2),
        rotmat=floats("rotmat"),
        betas=floats("betas"),
        weak_camera=floats("weak_camera"),
        has_rotation=flags("has_rotation"),
        has_betas=flags("has_betas"),
        has_camera=flags("has_camera"),
        keys=tuple(example.key for example in examples),
        sources=tuple(example.source for example in examples),
    )
