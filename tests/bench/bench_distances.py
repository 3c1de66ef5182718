"""What it costs to summarise a catalog in all spaces and to compare its sources, as rows grow. Run by `make bench`.

    python tests/bench/bench_distances.py            10,000 and 100,000 rows of 40 sources
    python tests/bench/bench_distances.py --full     up to 1,000,000 rows

Rows are drawn in memory and go through the same blocks, hashes and merges as those of a store; a store adds the time of
reading Parquet. Memory is the peak of what Python and numpy hold, one drawn batch among it.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmark.distances import METRICS
from benchmark.distances.table import table
from benchmark.fitted import Space, fit
from benchmark.gathering import Gathering, key_hashes
from benchmark.spaces import KINDS, Kind, feature_kind
from benchmark.summaries import BATCH_ROWS, Summaries

NUM_SOURCES = 40
FEATURES = feature_kind("features_made_up")
FEATURE_WIDTH = 1280


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Measure summaries and distances as rows grow.")
    parser.add_argument("--full", action="store_true", help="ten times the rows")
    sizes = (10_000, 100_000, *((1_000_000,) if parser.parse_args(arguments).full else ()))
    kinds = [*KINDS.values(), FEATURES]
    spaces = {kind.name: fit(kind, kind.vectors(columns(kind, 2000, 0)), {}) for kind in kinds}
    print(f"{'summaries':28}{'rows':>12}{'s':>8}{'rows/s':>12}{'peak MB':>10}")
    for size in sizes:
        summaries = gathered(kinds, spaces, size)
    sources = [f"set{number:02d}/train" for number in range(NUM_SOURCES)]
    print(f"\n{'distances':28}{'pairs':>12}{'s':>8}{'ms/pair':>12}")
    for name in METRICS:
        start = time.perf_counter()
        cells = table(summaries, sources, sources[:7], [name])
        seconds = time.perf_counter() - start
        print(f"{name:28}{len(cells):12,}{seconds:8.1f}{1e3 * seconds / len(cells):12.2f}")


def gathered(kinds: Sequence[Kind], spaces: dict[str, Space], size: int) -> Summaries:
    """Summaries of `size` rows, space by space; prints what each costs. Tracing memory takes most of the time that it
    is on: what is timed is gathered a second time for it."""
    by_space: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        by_space[kind.name], seconds = gather(kind, spaces[kind.name], size)
        tracemalloc.start()
        gather(kind, spaces[kind.name], size)
        peak_mb = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        print(f"{kind.name:28}{size:12,}{seconds:8.2f}{size / seconds:12,.0f}{peak_mb:10.0f}")
    return Summaries(spaces=spaces, by_space=by_space)


def gather(kind: Kind, space: Space, size: int) -> tuple[dict[str, Any], float]:
    """Summaries by source, and the seconds that they took without drawing the rows."""
    gatherings = [Gathering(space) for _ in range(NUM_SOURCES)]
    seconds = 0.0
    for number, start in enumerate(range(0, size, BATCH_ROWS)):
        num = min(BATCH_ROWS, size - start)
        values, keys = columns(kind, num, start), [f"set-train-{row:08d}-0" for row in range(start, start + num)]
        begin = time.perf_counter()
        cells = None if kind.cells is None else kind.cells(values)
        gatherings[number % NUM_SOURCES].add(kind.vectors(values), cells, keys, key_hashes(keys))
        seconds += time.perf_counter() - begin
    return {f"set{i:02d}/train": one.summary() for i, one in enumerate(gatherings)}, seconds


def columns(kind: Kind, num: int, seed: int) -> dict[str, Any]:
    """Values of a kind's columns."""
    rng = np.random.default_rng(seed)
    vectors = {"pose_space_components": 16, "vector": FEATURE_WIDTH}
    counts = {"orientation_cell", "pose_space_cluster"}
    return {
        name: rng.normal(size=(num, vectors[name])).astype(np.float32)
        if name in vectors
        else rng.integers(0, 60, num).astype(np.float64)
        if name in counts
        else rng.uniform(0.1, 60, num)
        for name in kind.columns
    }


if __name__ == "__main__":
    main(sys.argv[1:])
