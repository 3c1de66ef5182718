"""Rows a second of what looks for near-duplicates and places samples on maps, as rows grow. Run by `make bench`.

python tests/bench/bench_redundancy.py              up to 40,000 vectors
python tests/bench/bench_redundancy.py --full       up to 400,000
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from catalogs.attributes.map_layout import place
from catalogs.attributes.near import Near, NearLimits, near_pairs
from catalogs.attributes.pose_runs import PoseLimits, repeats

WIDTH = 256
NUM_TRACKS, NUM_SAMPLES = 200, 6400


def vectors(num: int) -> Any:
    """Features in half precision, every fifth a noisy copy of an earlier one; a few directions hold most variance."""
    rng = np.random.default_rng(0)
    scale = np.exp(-np.arange(WIDTH) / (WIDTH / 6))
    values = rng.normal(size=(num, WIDTH)) * scale
    later = np.arange(num // 5, num, 5)
    values[later] = values[rng.integers(0, num // 5, len(later))] + rng.normal(0, 0.15, (len(later), WIDTH)) * scale
    return values.astype(np.float16)


def poses(num: int) -> None:
    """Slow random walks of skeletons, as many frames of each of `NUM_TRACKS` people."""
    rng = np.random.default_rng(0)
    steps = rng.normal(0, 0.004, (num, 66)).astype(np.float32)
    joints = steps.reshape(NUM_TRACKS, -1, 66).cumsum(axis=1).reshape(num, 66)
    track = np.repeat(np.arange(NUM_TRACKS), num // NUM_TRACKS)
    found = repeats(joints, np.zeros((num, 3)), track, np.arange(num), PoseLimits())
    assert 0 < len(found.rows) < num


def pairs(num: int, exact_limit: int) -> Near:
    """Near-duplicates among `vectors`."""
    return near_pairs(vectors(num), np.zeros(num, np.intp), NearLimits(exact_limit=exact_limit))


def placing(num: int) -> None:
    """Vectors placed among those of a map of 32 datasets."""
    values = vectors(num).astype(np.float32)
    samples = values[:NUM_SAMPLES]
    place(values, samples, samples[:, :2].astype(np.float64), "cosine", 15)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Measure near-duplicates and placing.")
    parser.add_argument("--full", action="store_true", help="ten times the rows")
    factor = 10 if parser.parse_args(arguments).full else 1
    steps: list[tuple[str, Callable[[int], object], tuple[int, ...]]] = [
        ("poses in time", poses, (10_000, 100_000)),
        ("embeddings, all pairs", lambda num: pairs(num, num), (5_000, 20_000)),
        ("embeddings, in cells", lambda num: pairs(num, num - 1), (20_000, 40_000)),
        ("places on a map", placing, (NUM_SAMPLES, 20_000)),
    ]
    print(f"near-duplicates ({WIDTH} numbers a vector)")
    print(f"{'':24}{'rows':>12}{'s':>8}{'rows/s':>12}")
    for name, step, sizes in steps:
        for size in sizes:
            num = size * factor
            start = time.perf_counter()
            step(num)
            seconds = time.perf_counter() - start
            print(f"{name:24}{num:12,}{seconds:8.1f}{num / seconds:12,.0f}")
    exact, cells = pairs(20_000, 20_000), pairs(20_000, 19_999)
    of_exact, of_cells = (set(zip(one.later.tolist(), one.earlier.tolist(), strict=True)) for one in (exact, cells))
    print(f"{len(of_exact & of_cells) / len(of_exact):.2%} of {len(of_exact):,} pairs are found in cells")


if __name__ == "__main__":
    main(sys.argv[1:])
