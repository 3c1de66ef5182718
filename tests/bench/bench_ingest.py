"""People per second that one core ingests, reader by reader, and where the time goes. Run by `make bench`.

`reader`: the annotation files of a split parsed into annotations, nothing kept from the pass before. `annotations`:
the same, then converted, gated and encoded, without pictures. `whole path`: `ehps ingest` with crops, from raw files to
published shards.

The first two read miniatures of PEOPLE people whose pictures are left grey, as drawing them takes minutes; the third
reads small miniatures with drawn pictures over and over, under new names of people, and reads, hashes and cuts each
picture each time. libjpeg (transform, decode for the check), decoding of PNG and video, hashing and fsync are timed
where they are called: what they take together (`floor`) no change of ours can make faster. The first two count CPU
time, which other work on the machine leaves nearly alone, the third counts all time. Real files hold more
people than a miniature's, so what is spent once a file weighs more here: see the column of people a unit.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import simplejpeg
import torch

import harmonize.raw.videos
import harmonize.shards.decode
import harmonize.shards.jpeg
import harmonize.shards.people
from harmonize.annotation import Annotation, Reject
from harmonize.bodies import BodyModels
from harmonize.miniatures import MINIATURES
from harmonize.readers import READERS, open_reader
from harmonize.readers.base import Unit
from harmonize.shards.hashes import HashCache
from harmonize.shards.images import codecs
from harmonize.shards.people import make_people, read_units
from harmonize.shards.pictures import Pictures
from harmonize.shards.plan import IngestJob, IngestOptions, make_plan
from harmonize.shards.write import run_task

WORKERS = 2
PEOPLE = 64
FEWER_PEOPLE = {"egobody_egoset": 16, "ehf": 9}
"""EgoBody's head-mounted camera walks a step a frame, and would pass the person; a mesh of EHF is fitted, for half a
second."""
MEASURE_S = 0.5
PICTURED = 32
"""People of a measurement of the whole path, which then lasts a second."""
MOST_S = 10.0
"""About how long a measurement of the whole path may last; fewer people are enough then."""
KINDS = ("reader", "bodies", "decoding", "hashing", "fsync")
FLOOR = ("decoding", "hashing", "fsync")


class Clock:
    """Seconds spent in each of several kinds of work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def timed(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time counted."""

        def call(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds[kind] += time.perf_counter() - start

        return call

    def hasher(self) -> type:
        """`hashlib.sha256` with its time counted."""
        timed, sha256 = self.timed, hashlib.sha256

        class Hash:
            def __init__(self, data: bytes = b"") -> None:
                self._hash = timed("hashing", sha256)(data)
                self.update = timed("hashing", self._hash.update)
                self.digest, self.hexdigest = self._hash.digest, self._hash.hexdigest

        return Hash

    def repeating(self, name: str, times: int) -> type:
        """The reader of a dataset, reading each unit `times` times, with its time counted."""
        clock, cls = self, READERS[name]

        class Repeating(cls):  # type: ignore[valid-type, misc]
            def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
                people = clock.timed("reader", lambda: list(super(Repeating, self).read(split, unit)))
                for turn in range(times):
                    for item in people():
                        provenance = replace(item.provenance, person=f"{item.provenance.person}_{turn}")
                        yield replace(item, provenance=provenance)

        return Repeating

    @contextmanager
    def running(self) -> Iterator[None]:
        """Everything that ingest does meanwhile is counted."""
        places: tuple[tuple[str, Any, str], ...] = (
            ("bodies", harmonize.shards.people, "convert"),
            ("decoding", harmonize.shards.jpeg, "_transform"),
            ("decoding", simplejpeg, "decode_jpeg"),
            ("decoding", simplejpeg, "encode_jpeg"),
            ("decoding", harmonize.shards.decode, "_decode_with_pillow"),
            ("decoding", harmonize.raw.videos.Video, "frame"),
            ("hashing", hashlib, "file_digest"),
            ("fsync", os, "fsync"),
        )
        with ExitStack() as stack:
            for kind, owner, name in places:
                stack.enter_context(mock.patch.object(owner, name, self.timed(kind, getattr(owner, name))))
            stack.enter_context(mock.patch.object(hashlib, "sha256", self.hasher()))
            yield


def write_miniature(name: str, root: Path, *, is_drawn: bool) -> str:
    """Writes a miniature, drawn or large; returns the split of the default form that has the most people."""
    if is_drawn:
        truth = MINIATURES[name](root)
    else:
        with ExitStack() as stack:
            for module in [module for key, module in sys.modules.items() if key.startswith("harmonize.miniatures.")]:
                for drawing, plain in (("background", _grey), ("paint", _unpainted), ("hidden_percent", _unhidden)):
                    if hasattr(module, drawing):
                        stack.enter_context(mock.patch.object(module, drawing, plain))
            truth = MINIATURES[name](root, people=FEWER_PEOPLE.get(name, PEOPLE))
    splits = [person.split for person in truth.people if person.form in ("", READERS[name].forms[0])]
    return max(dict.fromkeys(splits), key=splits.count)


def _grey(_rng: Any, size: tuple[int, int], _horizon_px: float) -> Any:
    return np.full((size[1], size[0], 3), 128, np.uint8)


def _unpainted(_meshes: Any, _focal_px: Any, _principal_point_px: Any, behind: Any) -> Any:
    return behind


def _unhidden(meshes: Any, *_: Any) -> list[float]:
    return [0.0] * len(meshes)


def reader_alone(name: str, root: Path, split: str) -> dict[str, float]:
    """People and megabytes of annotation files a second, and people a unit."""
    units = open_reader(name, root).units(split)
    files = [root / file for file in dict.fromkeys(file for unit in units for file in unit.files)]
    size_mb = sum(file.stat().st_size for file in files) / 1e6

    def forget() -> None:
        # What a process keeps of a file it keeps until the file changes.
        for file in files:
            os.utime(file)

    def once() -> int:
        reader = open_reader(name, root)
        return sum(1 for unit in reader.units(split) for _ in reader.read(split, unit))

    num_people = once()
    seconds = _seconds_a_pass(once, forget)
    return {"people_per_s": num_people / seconds, "mb_per_s": size_mb / seconds, "unit": num_people / len(units)}


def annotations_alone(name: str, root: Path, split: str) -> float:
    """People a second that are read, converted, gated and encoded."""
    reader, models = open_reader(name, root), BodyModels.open("standin")
    options = IngestOptions(images="none", max_reject_share=1.0)

    def once() -> int:
        items = read_units(reader, split, reader.units(split), 1)
        return sum(len(portion) for portion in make_people(items, models, Pictures(root, HashCache()), options))

    return once() / _seconds_a_pass(once)


def _seconds_a_pass(work: Callable[[], object], before: Callable[[], None] = lambda: None) -> float:
    """Mean CPU time of as many passes as MEASURE_S takes; `before` is run before each and not counted."""
    spent, count = 0.0, 0
    while spent < MEASURE_S:
        before()
        start = time.process_time()
        work()
        spent, count = spent + time.process_time() - start, count + 1
    return spent / count


def whole_path(name: str, root: Path, store: Path, split: str) -> dict[str, Any]:
    """People a second from raw files to shards, shares of the time by kind of work, and the size of a picture."""
    reader = open_reader(name, root)
    people = [item for unit in reader.units(split) for item in reader.read(split, unit)]
    clock = Clock()
    options = IngestOptions(max_reject_share=1.0)
    job = IngestJob(reader=name, root=root, split=split, store=store, body_models="standin", options=options)
    _, once_s = _ingest(job)  # loads models and whatever else is made once
    times = max(1, min(-(-PICTURED // len(people)), int(MOST_S / once_s)))
    # Held pictures would be read once, and not once a turn.
    with (
        mock.patch.dict(READERS, {name: clock.repeating(name, times)}),
        mock.patch("harmonize.shards.pictures.HELD_BYTES", 0),
        clock.running(),
    ):
        num_people, total_s = _ingest(job)
    shares = {kind: clock.seconds[kind] / total_s for kind in KINDS}
    sizes = [item.image_size_px for item in people if isinstance(item, Annotation) and item.image_size_px]
    return {
        "picture": "x".join(map(str, max(sizes))) if sizes else "as filed",
        "people_per_s": num_people / total_s,
        **shares,
        "rest": 1.0 - sum(shares.values()),
        "floor": sum(shares[kind] for kind in FLOOR),
    }


def _ingest(job: IngestJob) -> tuple[int, float]:
    """Makes all shards, whether they are there or not; how many people that were, and the seconds without planning."""
    plan = make_plan(job)
    start = time.perf_counter()
    results = [run_task(job, plan, task) for task in plan.tasks]
    return sum(result.num_samples + result.num_rejects for result in results), time.perf_counter() - start


def main() -> None:
    torch.set_num_threads(1)
    versions = ", ".join(f"{name} {version}" for name, version in codecs().items())
    print(f"people a second on one core, default form of each reader; stand-in bodies; warm file cache; {versions}")
    print(f"{'':20}{'people':>7}{'reader':>9}{'':>9}{'anno-':>9}  whole path with crops, and shares of its time")
    shares = "".join(f"{kind:>9}" for kind in (*KINDS, "rest", "floor"))
    print(f"{'':20}{'/unit':>7}{'people/s':>9}{'MB/s':>9}{'tations':>9}{'picture':>11}{'people/s':>9}{shares}")
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(WORKERS, mp_context=spawn) as pool:
        roots = {(name, is_drawn): Path(folder, f"{name}-{is_drawn}") for name in READERS for is_drawn in (False, True)}
        made = {key: pool.submit(write_miniature, key[0], root, is_drawn=key[1]) for key, root in roots.items()}
        splits = {key: future.result() for key, future in made.items()}
        for name in READERS:
            large, small = (name, False), (name, True)
            alone = reader_alone(name, roots[large], splits[large])
            annotations = annotations_alone(name, roots[large], splits[large])
            whole = whole_path(name, roots[small], Path(folder, f"{name}-store"), splits[small])
            print(
                f"{name:20}{alone['unit']:7.0f}{alone['people_per_s']:9.0f}{alone['mb_per_s']:9.0f}{annotations:9.0f}"
                f"{whole['picture']:>11}{whole['people_per_s']:9.1f}"
                + "".join(f"{whole[kind]:9.0%}" for kind in (*KINDS, "rest", "floor")),
                flush=True,
            )


if __name__ == "__main__":
    main()
