"""How a summary grows: by blocks of rows, and by merging summaries of parts. Both give the same, in any order.

Within a stream, sums are exact, so that no order of rows and no cut into batches changes a bit: points are multiples of
2^-22 (`Space.points`), of which 8 million below 256 add up in double precision without rounding. So do the products of
a coarse part (multiples of 2^-7) and the rest, of which scatters are made; embeddings are rounded to 2^-30. Larger
numbers or more rows of one source are added with the usual rounding.

Summaries are merged to about 1e-15: means and scatters by the parallel formula of Chan, Golub & LeVeque (1979,
"Updating formulae and a pairwise algorithm for computing sample variances"); embeddings and counts add up. The sample
is that of the smallest hashes of (seed, key), bottom-k sampling: uniform, without replacement, and the same whatever
the order, because it depends on the keys alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.fitted import Space
from benchmark.summary import Floats, Summary, check_same_space
from harmonize.errors import UsageError

SEED = 0
BLOCK_ROWS = 2048
"""Rows are embedded so many at a time."""

_COARSE = 2.0**-7
_EMBEDDING_GRID = 2.0**-30

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
    """The summary of one source in one space while its rows stream by. Memory: about that of a summary."""

    def __init__(self, space: Space) -> None:
        size = space.num_dimensions
        self._space, self._version = space, space.version
        self._num = self._num_missing = 0
        self._total = np.zeros(size)
        self._products = np.zeros((3, size, size))
        self._embedding = np.zeros(2 * len(space.frequencies))
        self._cells = np.zeros(space.num_cells, np.int64)
        self._sample = np.zeros((0, size))
        self._keys: list[str] = []
        self._hashes: Hashes = np.zeros(0, np.uint64)

    def add(self, raw: npt.NDArray[Any], cells: npt.NDArray[Any] | None, keys: Sequence[str], hashes: Hashes) -> None:
        """Take up rows; arguments as for `summarise`.

        Raises:
            UsageError: as for `summarise`.
        """
        raw, numbers = _checked(self._space, raw, cells, keys)
        known = np.flatnonzero(np.isfinite(raw).all(axis=1) & np.isfinite(numbers))
        points, hashes = self._space.points(raw[known]), hashes[known]
        self._num += len(known)
        self._num_missing += len(raw) - len(known)
        self._total += points.sum(axis=0)
        coarse = np.rint(points / _COARSE) * _COARSE
        fine = points - coarse
        self._products += [coarse.T @ coarse, coarse.T @ fine, fine.T @ fine]
        for start in range(0, len(points), BLOCK_ROWS):
            embedded = self._space.embedded(points[start : start + BLOCK_ROWS])
            embedded /= np.float32(_EMBEDDING_GRID)
            self._embedding += np.rint(embedded, out=embedded).sum(axis=0, dtype=np.float64)
        if self._space.num_cells:
            self._cells += np.bincount(numbers[known].astype(np.intp), minlength=self._space.num_cells)
        self._choose(points, hashes, keys, known)

    def summary(self) -> Summary:
        """Of all rows so far."""
        mean = self._total / max(self._num, 1)
        coarse, mixed, fine = self._products
        return Summary(
            space=self._version,
            num=self._num,
            mean=mean,
            scatter=coarse + (mixed + mixed.T) + fine - self._num * np.outer(mean, mean),
            embedding=self._embedding * (_EMBEDDING_GRID / max(self._num, 1)),
            cells=self._cells.copy(),
            sample=self._sample,
            sample_keys=tuple(self._keys),
            num_missing=self._num_missing,
        )

    def _choose(self, points: Floats, hashes: Hashes, keys: Sequence[str], known: npt.NDArray[np.intp]) -> None:
        """Take into the sample what has one of the smallest hashes so far: hardly a row, once it is full."""
        limit = self._space.sample_limit
        is_full = len(self._hashes) == limit
        near = np.flatnonzero(hashes <= self._hashes[-1]) if is_full else np.arange(len(known))
        names = [*self._keys, *(keys[row] for row in known[near].tolist())]
        joined = np.concatenate([self._hashes, hashes[near]])
        chosen = smallest(joined, names, limit)
        self._sample = np.concatenate([self._sample, points[near]])[chosen]
        self._keys, self._hashes = [names[row] for row in chosen.tolist()], joined[chosen]


def _checked(
    space: Space, raw: npt.NDArray[Any], cells: npt.NDArray[Any] | None, keys: Sequence[str]
) -> tuple[Floats, Floats]:
    """Raw numbers (N, r) and cells (N,), zeros where the space has none."""
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
    return raw, numbers
