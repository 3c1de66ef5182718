"""A selection bound to a store: which samples its members are, and proof that it was made from this store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from catalogs.selection import Selection, ShardRef
from harmonize.errors import StoreError, UsageError
from harmonize.shards.index import PLACE_COLUMNS
from harmonize.shards.names import INDEX, TAR
from harmonize.shards.read import Sample, sample_in
from train.data.cache import Cache
from train.data.files import Files, Folder, Shard
from train.data.places import Keys, Places, by_key, places_in
from train.data.remote import Remote, is_url

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """The samples of a selection. shards: in the order of `selection.shards`. places[i]: of `selection.members[i]`.
    is_standin: whether the bodies are stand-ins. proved[i]: (N,) the stamp of the tar (`Files.span`) in which a sample
    of the member had its hashes, 0 before; as long as the tar keeps it, the hashes are not worked out again."""

    selection: Selection
    files: Files
    shards: tuple[Shard, ...]
    places: tuple[Places, ...]
    is_standin: bool
    proved: tuple[npt.NDArray[np.int64], ...]

    @property
    def keys(self) -> tuple[Keys, ...]:
        """keys[i]: the sorted sample keys of `selection.members[i]`."""
        return tuple(places.keys for places in self.places)

    def sample(self, member: int, at: int) -> Sample:
        """The sample `keys[member][at]`, by one read; from any thread.

        Raises:
            StoreError: its shard is missing, it was altered, or its record is that of another sample.
            UsageError: a remote store cannot be reached.
        """
        key = self.places[member].keys[at]
        shard_at, offset, size, members = self.places[member].of(at)
        shard = self.shards[shard_at]
        tar = f"{self.files.root}/{shard.tar}"
        proved = self.proved[member]

        def parse(span: bytes, stamp: int) -> Sample:
            is_proved = proved[at] == stamp != 0 and len(span) == size
            sample = sample_in(span, key, offset, members, tar, is_proved=is_proved)
            proved[at] = stamp
            return sample

        sample = self.files.span(shard, offset, size, parse)
        check_record(sample, key, self.selection.members[member].name, tar)
        return sample


def check_record(sample: Sample, key: str, member: str, tar: str) -> None:
    """Raises StoreError when a record says that it is of another sample or source than it was drawn as."""
    strings = sample.strings
    found = (sample.key, f"{strings['dataset']}/{strings['split']}")
    if found != (key, member):
        raise StoreError(
            f"{tar}: expected the record of {key} of {member}, found that of {found[0]} of {found[1]}",
            fix="run `ehps verify` on the store, then `ehps ingest` again for this split",
            sample=key,
        )


def open_files(store: Path | str, cache: Cache | None = None) -> Files:
    """The files of a store: a folder, or a URL such as s3://bucket/store, read through `cache`.

    Raises:
        UsageError: no folder, no such kind of URL, or a URL without a cache.
    """
    if not is_url(store):
        return Folder(Path(store))
    if cache is None:
        raise UsageError(f"{store}: expected a cache for a remote store, found none", fix="name a folder for its cache")
    return Remote(str(store), cache)


def bind(store: Path | str, selection: Selection, cache: Cache | None = None) -> Members:
    """Find the samples of a selection. Shards that were added to the store later are left out.

    cache: for a store that is a URL, see `open_files`.

    Raises:
        StoreError: a shard of the selection is missing or was made from other inputs, or the samples are not as many as
            the selection says.
        UsageError: stand-in and licensed bodies would be mixed, a chosen sample is not in its shards, or the store
            cannot be reached.
    """
    files = open_files(store, cache)
    shards = find_shards(files, selection)
    parts: dict[str, list[Places]] = {}
    for shard, places in zip(shards, each(files, partial(_places, files), list(enumerate(shards))), strict=True):
        parts.setdefault(f"{shard.dataset}/{shard.split}", []).append(places)
    found = {source: by_key(parts.pop(source)) for source in list(parts)}
    if selection.sample_keys is not None:
        found = _chosen(files, selection.sample_keys, found)
    for member in selection.members:
        num_found = len(found[member.name].keys) if member.name in found else 0
        check_count(files, member.name, member.num_available, num_found)
    return Members(
        selection=selection,
        files=files,
        shards=shards,
        places=tuple(found[member.name] for member in selection.members),
        is_standin=any(shard.is_standin for shard in shards),
        proved=tuple(np.zeros(len(found[member.name].keys), np.int64) for member in selection.members),
    )


def find_shards(files: Files, selection: Selection) -> tuple[Shard, ...]:
    """The selection's shards, each as the selection knew it, and of one kind of bodies.

    Raises:
        StoreError, UsageError: as `bind` says of shards.
    """
    shards = tuple(each(files, partial(_shard, files), selection.shards))
    standin = [shard.name for shard in shards if shard.is_standin]
    if standin and len(standin) < len(shards):
        licensed = next(shard.name for shard in shards if not shard.is_standin)
        raise UsageError(
            f"{files.root}: stand-in bodies ({standin[0]}) and licensed bodies ({licensed}) must not be mixed in "
            "training",
            fix="ingest all datasets with the same body models, or select from one kind only",
        )
    return shards


def check_count(files: Files, member: str, expected: int, found: int) -> None:
    """Raises StoreError when a member has not as many samples as the selection says."""
    if found == expected:
        return
    none = "" if found else "; none of the selection's shards is of this dataset and split"
    raise StoreError(
        f"{files.root}: {member}: expected {expected} samples as in the selection, found {found}{none}",
        fix="make the selection again on this store, or run `ehps verify`",
    )


def each(files: Files, work: Callable[[S], T], items: Sequence[S]) -> list[T]:
    """`work` on each item, by as many threads as the files can serve; results in the order of the items."""
    with ThreadPoolExecutor(files.num_readers) as pool:
        return list(pool.map(work, items))


def _shard(files: Files, ref: ShardRef) -> Shard:
    manifest = files.manifest(ref)
    if manifest is None or manifest.plan_digest != ref.digest:
        found = "no such shard" if manifest is None else f"plan {manifest.plan_digest[:12]}"
        raise StoreError(
            f"{files.root}: shard {ref.shard}: expected plan {ref.digest[:12]} as in the selection, found {found}",
            fix="make the selection again on this store",
            shard=ref.shard,
        )
    return Shard(
        name=manifest.name,
        dataset=manifest.dataset,
        split=manifest.split,
        is_standin=manifest.is_standin,
        num_samples=manifest.num_samples,
        tar_bytes=manifest.files[TAR].size,
        tar_sha256=manifest.files[TAR].sha256,
        index_sha256=manifest.files[INDEX].sha256,
    )


def _places(files: Files, numbered: tuple[int, Shard]) -> Places:
    number, shard = numbered
    return places_in(files.places(shard).select(PLACE_COLUMNS), number, shard.name)


def _chosen(files: Files, sample_keys: Sequence[str], found: dict[str, Places]) -> dict[str, Places]:
    """The places of the chosen samples only."""
    chosen = pa.array(sample_keys, pa.string())
    all_keys = pa.chunked_array([places.keys.array for places in found.values()], pa.string())
    is_known = pc.is_in(chosen, value_set=all_keys).to_numpy(zero_copy_only=False)
    if not is_known.all():
        raise UsageError(
            f"{files.root}: {np.count_nonzero(~is_known)} chosen samples are not in the selection's shards, "
            f"{sample_keys[int(np.argmin(is_known))]} first",
            fix="make the selection again on this store",
        )
    is_chosen = pc.is_in(all_keys, value_set=chosen).combine_chunks().to_numpy(zero_copy_only=False)
    ends = np.cumsum([len(places.keys) for places in found.values()])[:-1]
    parts = np.split(is_chosen, ends)
    return {name: _only(places, part) for (name, places), part in zip(found.items(), parts, strict=True)}


def _only(places: Places, rows: Any) -> Places:
    return replace(
        places,
        keys=Keys(places.keys.array.filter(pa.array(rows))),
        shard=places.shard[rows],
        offset=places.offset[rows],
        sizes=places.sizes[rows],
        digests=places.digests[rows],
        extension=places.extension[rows],
    )
