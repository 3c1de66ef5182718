"""How a summary grows: by blocks of rows, and by merging summaries of parts. Both give the same, in any order.

Means and scatters are merged by the parallel formula of Chan, Golub & LeVeque (1979, "Updating formulae and a pairwise
algorithm for computing sample variances"); embeddings and counts add up. The sample is that of the smallest hashes of
(seed, key), bottom-k sampling: uniform, without replacement, and the same whatever the order, because it depends on the
keys alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.fitted import Space
from benchmark.summary import Floats, Summary, check_same_space
from harmonize.errors import UsageError

SEED = 0
BLOCK_ROWS = 2048
"""Rows are taken up so many at a time, wherever a stream is cut: sums are then made in the same order."""

Hashes = npt.NDArray[np.uint64]


def key_hashes(keys: Sequence[str], seed: int = SEED) -> Hashes:
    """(N,) hashes of (seed, key): 64 bits of BLAKE2b."""
    salt = seed.to_bytes(8, "little")
    digests = b"".join([blake2b(key.encode(), digest_size=8, key=salt).digest() for key in keys])
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def smallest(hashes: Hashes, keys: Sequence[str], limit: int) -> npt.NDArray[np.intp]:
    """Which rows have the `limit` smallest hashes, in their order; equal hashes in the order of their keys."""
    if len(hashes) > limit:
        near = np.flatnonzero(hashes <= np.partition(hashes, limit - 1)[limit - 1])
    else:
        near = np.arange(len(hashes))
    order = sorted(near.tolist(), key=lambda row: (int(hashes[row]), keys[row]))
    return np.array(order[:limit], np.intp)


def summarise(
    space: Space,
    raw: npt.NDArray[Any],
    cells: npt.NDArray[Any] | None,
    keys: Sequence[str],
    hashes: Hashes | None = None,
) -> Summary:
    """The summary of rows that are in memory. raw (N, r): a row with NaN has no value; cells (N,): NaN likewise.

    hashes: those of the keys, where they are known already.

    Raises:
        UsageError: the rows are not of the width or in the cells of the space.
    """
    gathering = Gathering(space)
    gathering.add(raw, cells, keys, key_hashes(keys) if hashes is None else hashes)
    return gathering.summary()


def merge(space: Space, first: Summary, second: Summary) -> Summary:
    """The summary of the rows of both, which must have no key in common.

    Raises:
        UsageError: they are of other spaces, or of other versions of it.
    """
    check_same_space(first, second, "merge")
    if first.space != space.version:
        raise UsageError(
            f"merge: expected summaries in {space.version}, found {first.space}", fix="use their own space"
        )
    num = first.num + second.num
    share = second.num / max(num, 1)
    shift = second.mean - first.mean
    keys = (*first.sample_keys, *second.sample_keys)
    chosen = smallest(key_hashes(keys), keys, space.sample_limit)
    return Summary(
        space=first.space,
        num=num,
        mean=first.mean + shift * share,
        scatter=first.scatter + second.scatter + np.outer(shift, shift) * (first.num * share),
        embedding=first.embedding * (1 - share) + second.embedding * share,
        cells=first.cells + second.cells,
        sample=np.concatenate([first.sample, second.sample])[chosen],
        sample_keys=tuple(keys[row] for row in chosen),
        num_missing=first.num_missing + second.num_missing,
    )


class Gathering:
    """The summary of one source in one space while its rows stream by. Memory: that of a summary and of one block."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._sum = _moments(space, np.zeros((0, space.num_dimensions)), np.zeros(0, np.intp), 0)
        self._waiting = _Rows(self._sum.sample, np.zeros(0, np.intp), [], np.zeros(0, np.uint64))
        self._sample = np.zeros((0, space.num_dimensions))
        self._keys: list[str] = []
        self._hashes: Hashes = np.zeros(0, np.uint64)

    def add(self, raw: npt.NDArray[Any], cells: npt.NDArray[Any] | None, keys: Sequence[str], hashes: Hashes) -> None:
        """Take up rows; arguments as for `summarise`.

        Raises:
            UsageError: as for `summarise`.
        """
        known = _known(self._space, raw, cells, keys, hashes)
        self._sum = replace(self._sum, num_missing=self._sum.num_missing + len(keys) - len(known.keys))
        rows = self._waiting.then(known)
        start = 0
        while len(rows.keys) - start >= BLOCK_ROWS:
            self._take(rows.part(start, start + BLOCK_ROWS))
            start += BLOCK_ROWS
        rest = rows.part(start, len(rows.keys))
        # A copy: a view would keep the whole batch in memory until the source's next one.
        self._waiting = _Rows(rest.points.copy(), rest.cells.copy(), rest.keys, rest.hashes.copy())

    def summary(self) -> Summary:
        """Of all rows so far."""
        self._take(self._waiting)
        self._waiting = self._waiting.part(0, 0)
        return replace(self._sum, sample=self._sample, sample_keys=tuple(self._keys))

    def _take(self, rows: _Rows) -> None:
        self._sum = merge(self._space, self._sum, _moments(self._space, rows.points, rows.cells, 0))
        limit = self._space.sample_limit
        # Once the sample is full, hardly a row gets into it.
        is_full = len(self._hashes) == limit
        near = np.flatnonzero(rows.hashes <= self._hashes[-1]) if is_full else np.arange(len(rows.keys))
        keys = [*self._keys, *(rows.keys[row] for row in near.tolist())]
        hashes = np.concatenate([self._hashes, rows.hashes[near]])
        chosen = smallest(hashes, keys, limit)
        self._sample = np.concatenate([self._sample, rows.points[near]])[chosen]
        self._keys, self._hashes = [keys[row] for row in chosen.tolist()], hashes[chosen]


@dataclass(frozen=True, slots=True)
class _Rows:
    """points (N, d), cells (N,) with zeros where the space has none, keys, hashes (N,)."""

    points: Floats
    cells: npt.NDArray[np.intp]
    keys: list[str]
    hashes: Hashes

    def part(self, start: int, stop: int) -> _Rows:
        return _Rows(self.points[start:stop], self.cells[start:stop], self.keys[start:stop], self.hashes[start:stop])

    def then(self, rows: _Rows) -> _Rows:
        if not self.keys:
            return rows
        return _Rows(
            np.concatenate([self.points, rows.points]),
            np.concatenate([self.cells, rows.cells]),
            [*self.keys, *rows.keys],
            np.concatenate([self.hashes, rows.hashes]),
        )


def _moments(space: Space, points: Floats, cells: npt.NDArray[np.intp], num_missing: int) -> Summary:
    """A summary of points (N, d) without a sample."""
    mean = points.mean(axis=0) if len(points) else np.zeros(space.num_dimensions)
    apart = points - mean
    embedding = space.embedded(points).sum(axis=0, dtype=np.float64) / max(len(points), 1)
    return Summary(
        space=space.version,
        num=len(points),
        mean=mean,
        scatter=apart.T @ apart,
        embedding=embedding,
        cells=np.bincount(cells, minlength=space.num_cells).astype(np.int64) if space.num_cells else _NO_CELLS,
        sample=np.zeros((0, space.num_dimensions)),
        sample_keys=(),
        num_missing=num_missing,
    )


_NO_CELLS = np.zeros(0, np.int64)


def _known(
    space: Space, raw: npt.NDArray[Any], cells: npt.NDArray[Any] | None, keys: Sequence[str], hashes: Hashes
) -> _Rows:
    """The rows that have a value."""
    raw = np.asarray(raw, np.float64)
    if raw.ndim != 2 or raw.shape[1] != len(space.centre):
        raise UsageError(
            f"{space.version}: expected rows of {len(space.centre)} numbers, found {raw.shape}",
            fix="summarise with a space that was fitted to these attributes",
        )
    numbers = np.zeros(len(raw)) if not space.num_cells or cells is None else np.asarray(cells, np.float64)
    outside = np.flatnonzero(np.isfinite(numbers) & ~((numbers >= 0) & (numbers < max(space.num_cells, 1))))
    if len(outside):
        raise UsageError(
            f"{space.version}: expected cells below {space.num_cells}, found {numbers[outside[0]]:g} of "
            f"{keys[int(outside[0])]}",
            fix="describe the store again",
        )
    at = np.flatnonzero(np.isfinite(raw).all(axis=1) & np.isfinite(numbers))
    return _Rows(space.points(raw[at]), numbers[at].astype(np.intp), [keys[row] for row in at.tolist()], hashes[at])
