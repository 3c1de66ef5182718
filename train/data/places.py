"""Where the samples of a member lie, in a few arrays: some 170 bytes a sample, so that millions fit beside a model."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from harmonize.errors import StoreError
from harmonize.shards.index import MEMBERS
from harmonize.shards.tars import BLOCK, Member, padded

_HEX = np.full(256, 255, np.uint8)
_HEX[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


class Keys(Sequence[str]):
    """Sorted sample keys, in one block of memory instead of an object each."""

    def __init__(self, array: Any) -> None:
        self.array = array  # pa.StringArray

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Keys: ...
    def __getitem__(self, at: int | slice) -> str | Keys:
        if isinstance(at, slice):
            return Keys(self.array[at])
        return str(self.array[at].as_py())

    def position(self, key: str) -> int | None:
        """Where a key is; None when it is not there."""
        at = bisect_left(self, key)
        return at if at < len(self) and self[at] == key else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """N samples by key. shard: (N,) positions in the selection's shards. offset: (N,) bytes into the tar. sizes: (N, 3)
    bytes of the members npy, json and picture, -1 for one that is not there; digests: (N, 3, 32) their SHA-256.
    extension: (N,) positions in `extensions`, of the picture."""

    keys: Keys
    shard: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint8]
    extension: npt.NDArray[np.int32]
    extensions: tuple[str, ...]

    def of(self, at: int) -> tuple[int, int, int, dict[str, Member]]:
        """Position of the shard, offset, size, and members by extension in the order of the tar, of one sample."""
        offset = end = int(self.offset[at])
        members = {}
        for name, size, digest in zip(MEMBERS, self.sizes[at].tolist(), self.digests[at], strict=True):
            if size >= 0:
                extension = self.extensions[self.extension[at]] if name == "picture" else name
                members[extension] = Member(offset=end + BLOCK, size=size, sha256=digest.tobytes().hex())
                end += BLOCK + padded(size)
        return int(self.shard[at]), offset, end - offset, members


def places_in(table: Any, shard: int, name: str) -> Places:
    """The places in a shard's table of PLACE_COLUMNS, in its order. shard: its position; name: for messages.

    Raises:
        StoreError: its offsets and sizes cannot be those of a tar, or a hash is not one.
    """
    _check(table, name)
    extension = table.column("picture_extension").combine_chunks().dictionary_encode()
    return Places(
        keys=Keys(table.column("key").combine_chunks()),
        shard=np.full(table.num_rows, shard, np.int32),
        offset=table.column("sample_offset").to_numpy(),
        sizes=_sizes(table),
        digests=np.stack([_digests(table.column(f"{member}_sha256")) for member in MEMBERS], axis=1),
        extension=extension.indices.to_numpy(),
        extensions=tuple(extension.dictionary.to_pylist()),
    )


def by_key(parts: Sequence[Places]) -> Places:
    """All samples of some shards, sorted by key."""
    keys = pa.concat_arrays([part.keys.array for part in parts])
    rows = pc.sort_indices(keys)
    order = rows.to_numpy()
    extensions = tuple(sorted({extension for part in parts for extension in part.extensions}))
    codes = [np.array([extensions.index(one) for one in part.extensions], np.int32) for part in parts]
    return Places(
        keys=Keys(keys.take(rows)),
        shard=np.concatenate([part.shard for part in parts])[order],
        offset=np.concatenate([part.offset for part in parts])[order],
        sizes=np.concatenate([part.sizes for part in parts])[order],
        digests=np.concatenate([part.digests for part in parts])[order],
        extension=np.concatenate([code[part.extension] for code, part in zip(codes, parts, strict=True)])[order],
        extensions=extensions,
    )


def _sizes(table: Any) -> npt.NDArray[np.int64]:
    """(N, 3) bytes of the members, -1 where a row has none."""
    sizes = [
        np.where(table.column(f"{name}_offset").to_numpy() == 0, -1, table.column(f"{name}_size").to_numpy())
        for name in MEMBERS
    ]
    return np.stack(sizes, axis=1)


def _check(table: Any, name: str) -> None:
    """Members lie one behind the other; only their sizes are kept."""
    end = table.column("sample_offset").to_numpy().copy()
    total = end + table.column("sample_size").to_numpy()
    is_sound = np.ones(len(end), bool)
    for member, size in zip(MEMBERS, _sizes(table).T, strict=True):
        is_there = size >= 0
        is_sound &= ~is_there | (table.column(f"{member}_offset").to_numpy() == end + BLOCK)
        is_sound &= is_there | (member == "picture")
        end += np.where(is_there, BLOCK + -(-size // BLOCK) * BLOCK, 0)
        texts = table.column(f"{member}_sha256")
        is_hash = pc.match_substring_regex(texts, "^[0-9a-f]{64}$").to_numpy()
        is_sound &= ~is_there | is_hash
    is_sound &= end == total
    if not is_sound.all():
        key = table.column("key")[int(np.argmin(is_sound))].as_py()
        raise StoreError(
            f"shard {name}: sample {key}: the index says of it what no tar can hold",
            fix="run `ehps verify` on the store, then `ehps ingest` again for this split",
            shard=name,
            sample=key,
        )


def _digests(texts: Any) -> npt.NDArray[np.uint8]:
    """(N, 32) bytes of hexadecimal SHA-256; zeros for an empty text."""
    filled = pc.if_else(pc.equal(texts, ""), "0" * 64, texts)
    flat = b"".join(chunk.buffers()[2].to_pybytes()[: 64 * len(chunk)] for chunk in filled.chunks if len(chunk))
    nibbles = _HEX[np.frombuffer(flat, np.uint8)].reshape(-1, 32, 2)
    return np.asarray(nibbles[..., 0] << 4 | nibbles[..., 1], np.uint8)
