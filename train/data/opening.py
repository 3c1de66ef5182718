"""From a store and a selection to what a run is fed with."""

from __future__ import annotations

from pathlib import Path

from catalogs.selection import Selection
from train.data.cache import Cache
from train.data.feed import Feed, Indexed
from train.data.members import bind
from train.data.schedule import Schedule, Subset
from train.data.streaming import Streamed


def open_feed(
    store: Path | str,
    selection: Selection,
    *,
    batch_size: int,
    subset: Subset = "redrawn",
    cache: Cache | None = None,
    is_streamed: bool = False,
) -> Feed:
    """A selection over a store: a folder, or a URL such as s3://bucket/store.

    batch_size: over all processes. cache: needed for a URL. is_streamed: pass over whole shards instead of reading
    samples by index; see `train.data.streaming` for what that cannot promise.

    Raises:
        StoreError, UsageError: see `train.data.members.bind` and `Schedule`.
    """
    schedule = Schedule(selection, batch_size, subset)
    members = bind(store, selection, cache)
    return Streamed(members, schedule) if is_streamed else Indexed(members, schedule)
