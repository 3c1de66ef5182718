"""People per second that one core ingests, and where the time goes. Run by `make bench`.

Miniatures are too small to time and slow to draw, so a reader reads its miniature over and over, under new names of
people; pictures are read, hashed and cut each time. libjpeg (transform, decode for the check), PNG decoding, hashing
and fsync are timed where they are called; they are what no change of ours can make faster.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import simplejpeg
import torch

import harmonize.shards.decode
import harmonize.shards.jpeg
import harmonize.shards.people
from harmonize.annotation import Annotation, Reject
from harmonize.miniatures import MINIATURES
from harmonize.readers import READERS
from harmonize.readers.base import Unit
from harmonize.shards.plan import IngestJob, IngestOptions, make_plan
from harmonize.shards.write import run_task

NUM_PEOPLE = 400
CASES = {"mscoco": "no fit", "agora": "gendered SMPL-X", "pw3d": "gendered SMPL"}
KINDS = ("bodies", "libjpeg", "png", "hashing", "fsync")


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

    @contextmanager
    def running(self) -> Iterator[None]:
        """Everything that ingest does meanwhile is counted."""
        places: tuple[tuple[str, Any, str], ...] = (
            ("bodies", harmonize.shards.people, "convert"),
            ("libjpeg", harmonize.shards.jpeg, "_transform"),
            ("libjpeg", simplejpeg, "decode_jpeg"),
            ("libjpeg", simplejpeg, "encode_jpeg"),
            ("png", harmonize.shards.decode, "_decode_with_pillow"),
            ("hashing", hashlib, "file_digest"),
            ("fsync", os, "fsync"),
        )
        with ExitStack() as stack:
            for kind, owner, name in places:
                stack.enter_context(mock.patch.object(owner, name, self.timed(kind, getattr(owner, name))))
            stack.enter_context(mock.patch.object(hashlib, "sha256", self.hasher()))
            yield


def repeating(name: str, times: int) -> type:
    """The reader of a dataset, reading each unit `times` times."""

    class Repeating(READERS[name]):  # type: ignore[misc]
        def read(self, split: str, unit: Unit) -> Iterator[Annotation | Reject]:
            for turn in range(times):
                for item in super().read(split, unit):
                    provenance = replace(item.provenance, person=f"{item.provenance.person}_{turn}")
                    yield replace(item, provenance=provenance)

    return Repeating


def measure(name: str, folder: Path) -> dict[str, float]:
    """Milliseconds a person, in all and by kind of work, on one core."""
    truth = MINIATURES[name](folder / "raw")
    times = max(1, round(NUM_PEOPLE / len(truth.people)))
    options = IngestOptions(max_reject_share=1.0)
    job = IngestJob(
        reader=name, root=folder / "raw", split="train", store=folder / "store", body_models="standin", options=options
    )
    # Held pictures would be read once, and not once a turn.
    with (
        mock.patch.dict(READERS, {name: repeating(name, times)}),
        mock.patch("harmonize.shards.pictures.HELD_BYTES", 0),
    ):
        plan = make_plan(job)
        run_task(job, plan, plan.tasks[0])  # loads models and whatever else is made once
        clock = Clock()
        with clock.running():
            start = time.perf_counter()
            results = [run_task(job, plan, task) for task in plan.tasks]
            total_s = time.perf_counter() - start
    num_people = sum(result.num_samples + result.num_rejects for result in results)
    parts = {kind: clock.seconds[kind] for kind in KINDS}
    parts["rest"] = total_s - sum(parts.values())
    return {"people": num_people, "total": total_s * 1e3 / num_people} | {
        kind: seconds * 1e3 / num_people for kind, seconds in parts.items()
    }


def main() -> None:
    torch.set_num_threads(1)
    print("ingest on one core (crops; stand-in bodies; warm file cache), milliseconds a person")
    kinds = ("total", *KINDS, "rest")
    print(f"{'':10}{'bodies are':18}{'people':>8}{'people/s':>10}" + "".join(f"{kind:>9}" for kind in kinds))
    for name, what in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            row = measure(name, Path(folder))
        shown = "".join(f"{row[kind]:9.2f}" for kind in kinds)
        print(f"{name:10}{what:18}{row['people']:8.0f}{1e3 / row['total']:10.1f}{shown}")


if __name__ == "__main__":
    main()
