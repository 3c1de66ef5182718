"""Pictures a second for image statistics and image features, by size of the picture, batch and workers. Run by
`make bench`.

Pictures are made-up JPEGs with the detail of photographs (quality 90, 4:2:0), decoded by simplejpeg (libjpeg-turbo),
which reduces large ones while it decodes. Each worker is a process that computes on one thread. `cpu ms` is the
processor time a picture takes, which says more than the rate on a machine that does other things too.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
from bench_crop import photograph

from catalogs.attributes import image_statistics
from catalogs.attributes.family import Rows, Scope
from catalogs.attributes.features import DEFAULT, embed, family

SIZES = ((320, 320), (600, 600), (1920, 1080))
BATCHES = (1, 16, 64)
NUM_PICTURES = 64


def bench_features(num_pictures: int = NUM_PICTURES) -> list[dict[str, Any]]:
    """One row a measurement: what, picture, batch, workers, device, pictures a second, processor ms a picture."""
    cases: list[tuple[Any, tuple[int, int], int, int]] = [(_statistics, size, 0, 1) for size in SIZES]
    cases += [(_statistics, SIZES[1], 0, 2)]
    cases += [(_features, SIZES[1], batch, 1) for batch in BATCHES]
    cases += [(_features, size, 16, 1) for size in (SIZES[0], SIZES[2])]
    cases += [(_features, SIZES[1], 16, 2)]
    return [_row(*case, num_pictures) for case in cases]


def _row(measure: Any, size: tuple[int, int], batch: int, workers: int, num_pictures: int) -> dict[str, Any]:
    """Over all workers, each with pictures of its own, once all have started and warmed up."""
    context = multiprocessing.get_context("spawn")
    data = photograph(*size)
    with context.Manager() as manager, ProcessPoolExecutor(workers, mp_context=context) as pool:
        barrier = manager.Barrier(workers)
        spans = [pool.submit(measure, data, batch, num_pictures, barrier) for _ in range(workers)]
        starts, ends, processor_s = zip(*(span.result() for span in spans), strict=True)
    return {
        "what": "statistics" if measure is _statistics else DEFAULT,
        "picture": f"{size[0]}x{size[1]}",
        "batch": batch or "",
        "workers": workers,
        "device": "cpu" if measure is _statistics else _device(),
        "pictures/s": round(workers * num_pictures / (max(ends) - min(starts))),
        "cpu ms": round(sum(processor_s) / workers / num_pictures * 1e3, 1),
    }


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _statistics(data: bytes, batch: int, num_pictures: int, barrier: Any) -> tuple[float, float, float]:
    table = pa.table({"key": ["k"] * num_pictures, "picture_method": ["copied"] * num_pictures})

    def pictures() -> Iterator[tuple[int, bytes, str]]:
        return ((number, data, "jpg") for number in range(num_pictures))

    def run() -> None:
        image_statistics.compute(Rows(shard="s", table=table, open_pictures=pictures), None)

    image_statistics.statistics(data, "jpg")
    return _timed(run, barrier)


def _features(data: bytes, batch: int, num_pictures: int, barrier: Any) -> tuple[float, float, float]:
    work = family(batch=batch).prepare(Scope(store=Path(), body_models=None, shards={})).value
    embed(work, [("p", data, "jpg")] * batch)
    return _timed(lambda: embed(work, [("p", data, "jpg")] * num_pictures), barrier)


def _timed(run: Callable[[], Any], barrier: Any) -> tuple[float, float, float]:
    """When it began and ended by the clock that all processes share, and its processor seconds."""
    barrier.wait()
    start, processor = time.time(), time.process_time()
    run()
    return start, time.time(), time.process_time() - processor


def main() -> None:
    rows = bench_features()
    widths = [max(len(name), *(len(str(row[name])) for row in rows)) + 2 for name in rows[0]]
    for values in (list(rows[0]), *(list(row.values()) for row in rows)):
        print("".join(f"{value!s:>{width}}" for value, width in zip(values, widths, strict=True)))


if __name__ == "__main__":
    main()
