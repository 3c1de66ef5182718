"""A space with everything that was fitted to data: what two summaries must share to be compared.

    point       (raw numbers - centre) @ matrix.T: scales or principal components; rounded to 2.4e-7
    kernel      k(x, y) = mean over widths s of exp(-|x - y|^2 / (2 s^2)), s = 1/2, 1 and 2 times the median distance of
                two points of the pooled sample
    embedding   z(x) = (cos(Wx), sin(Wx)) / sqrt(number of rows of W), so that z(x) . z(y) estimates k(x, y) and |z| = 1
                (Rahimi & Recht 2007; of its two forms that of less variance for Gaussian kernels, Sutherland &
                Schneider 2015). The rows of W are drawn N(0, 1 / s^2)
    directions  random unit vectors for sliced distances

The version is a hash of all of it and of what made the attributes: facts such as the body model, the pose basis, the
backbone and its weights, and the code. Summaries of other versions refuse to be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.spaces import MAX_COMPONENTS, Kind
from benchmark.summary import Floats
from harmonize.errors import UsageError
from harmonize.shards.manifest import canonical

SAMPLE_LIMIT = 2000
"""Most points that a summary keeps."""

WIDTHS = (0.5, 1.0, 2.0)
FREQUENCIES_PER_WIDTH = 128
NUM_DIRECTIONS = 64
MAX_PAIRED_POINTS = 1000
"""The median distance is that of all pairs of so many points, spread evenly over the pooled sample."""

SEED = 20240611
GRID = 2.0**-22
"""Points are multiples of this, 2.4e-7: sums of them are then exact, and the same in whatever order rows arrive."""

_ROWS_IN_CACHE = 256
_MIN_SHARE = 1e-9
"""Components with a smaller share of the variance are rounding errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """centre (r,), matrix (d, r): from raw numbers to points. frequencies (F, d) of the embedding, of dimension 2F;
    directions (L, d); num_cells: 0 without cells; median: of the distances of the pooled sample, in the unit of points;
    sample_limit: most points that a summary keeps; facts: what made the attributes."""

    name: str
    centre: Floats
    matrix: Floats
    median: float
    frequencies: Floats
    directions: Floats
    num_cells: int
    sample_limit: int
    facts: Mapping[str, Any]

    @property
    def num_dimensions(self) -> int:
        return len(self.matrix)

    @property
    def version(self) -> str:
        """Name and hash: `Summary.space` of all summaries in this space."""
        digest = hashlib.sha256()
        for array in (self.centre, self.matrix, self.frequencies, self.directions):
            digest.update(repr(array.shape).encode() + np.ascontiguousarray(array, "<f8").tobytes())
        rest = [self.name, repr(self.median), self.num_cells, self.sample_limit, dict(self.facts)]
        digest.update(canonical({"rest": rest}))
        return f"{self.name}@{digest.hexdigest()[:12]}"

    def points(self, raw: npt.NDArray[Any]) -> Floats:
        """Points (N, d) from raw numbers (N, r), rounded to multiples of GRID."""
        return np.asarray(np.rint((raw - self.centre) @ self.matrix.T / GRID) * GRID)

    def embedded(self, points: Floats) -> npt.NDArray[np.float32]:
        """z of points (N, d): (N, 2F), whose mean over a source is its `Summary.embedding`.

        Phases are computed in double precision and brought into one turn; sine and cosine, which take most of the time,
        are then good to 1e-6 in single precision.
        """
        num = len(self.frequencies)
        turns = self.frequencies.T / (2 * np.pi)
        out = np.empty((len(points), 2 * num), np.float32)
        for start in range(0, len(points), _ROWS_IN_CACHE):
            rows = slice(start, start + _ROWS_IN_CACHE)
            phase = points[rows] @ turns
            phase -= np.rint(phase)
            angle = phase.astype(np.float32)
            angle *= np.float32(2 * np.pi)
            np.cos(angle, out=out[rows, :num])
            np.sin(angle, out=out[rows, num:])
        out *= np.float32(1 / np.sqrt(num))
        return out


def fit(kind: Kind, raw: npt.NDArray[Any], facts: Mapping[str, Any], *, sample_limit: int = SAMPLE_LIMIT) -> Space:
    """The space of a kind, fitted to a pooled sample (N, r) of raw numbers, which should weigh all sources alike.

    Raises:
        UsageError: fewer than two samples have a value.
    """
    raw = np.asarray(raw, np.float64)
    if len(raw) < 2:
        raise UsageError(
            f"space {kind.name}: expected at least 2 samples with {', '.join(kind.columns)}, found {len(raw)}",
            fix="ingest datasets that have them, or leave the space out",
        )
    centre, matrix = _affine(kind, raw)
    points = (raw - centre) @ matrix.T
    median = median_distance(points)
    rng = np.random.default_rng(SEED)
    normal = rng.standard_normal((len(WIDTHS), FREQUENCIES_PER_WIDTH, len(matrix)))
    frequencies = normal / (np.array(WIDTHS)[:, None, None] * median)
    # On a line all directions measure the same.
    directions = rng.standard_normal((NUM_DIRECTIONS, len(matrix))) if len(matrix) > 1 else np.ones((1, 1))
    return Space(
        name=kind.name,
        centre=centre,
        matrix=matrix,
        median=median,
        frequencies=frequencies.reshape(-1, len(matrix)),
        directions=directions / np.linalg.norm(directions, axis=1, keepdims=True),
        num_cells=kind.num_cells,
        sample_limit=sample_limit,
        facts=dict(facts),
    )


def median_distance(points: Floats) -> float:
    """Median distance of two different ones of points (N, d), over at most 499,500 pairs; 1 where all are the same."""
    chosen = points[np.linspace(0, len(points) - 1, min(len(points), MAX_PAIRED_POINTS)).astype(np.intp)]
    squared = squared_distances(chosen, chosen)[np.triu_indices(len(chosen), 1)]
    # Closer than rounding allows to tell is the same.
    apart = squared[squared > 1e-12 * max(float(squared.max(initial=0)), 1e-300)]
    return float(np.sqrt(np.median(apart))) if len(apart) else 1.0


def squared_distances(first: Floats, second: Floats) -> Floats:
    """(N, M) squared Euclidean distances of points (N, d) and (M, d); exact to about 1e-15 of their squared lengths."""
    middle = second.mean(axis=0)
    first, second = first - middle, second - middle
    squared = first @ second.T
    squared *= -2
    squared += np.einsum("nd,nd->n", first, first)[:, None]
    squared += np.einsum("md,md->m", second, second)
    return np.asarray(np.maximum(squared, 0, out=squared))


def _affine(kind: Kind, raw: Floats) -> tuple[Floats, Floats]:
    width = raw.shape[1]
    if kind.scaling == "as_is":
        return np.zeros(width), np.eye(width)
    centre = raw.mean(axis=0)
    if kind.scaling == "standard":
        spread = raw.std(axis=0)
        return centre, np.diag(1 / np.where(spread > 1e-12 * np.maximum(np.abs(centre), 1), spread, 1))
    _, strength, directions = np.linalg.svd(raw - centre, full_matrices=False)
    variance = strength**2
    num = int((variance > _MIN_SHARE * variance.sum()).sum())
    kept = directions[: max(1, min(num, MAX_COMPONENTS))]
    return centre, kept * np.sign(np.take_along_axis(kept, np.abs(kept).argmax(axis=1)[:, None], axis=1))
