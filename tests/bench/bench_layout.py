"""Microseconds to encode and decode the annotation of one sample. Run by `make bench`."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from harmonize.layout import VECTOR_SIZE, decode, encode
from harmonize.record import Body, Boxes, Camera, Image, Instance, Keypoints, Provenance, SourceBody

LIMIT_US = 50.0


def instance() -> Instance:
    """A full record: every part present, the number of extra keypoints that COCO-WholeBody leaves over."""
    return Instance(
        key="mscoco-train-000000000785-1",
        image=Image(width_px=640, height_px=480, has_pixels=True),
        camera=Camera(has_intrinsics=True),
        body=Body(has_body=True, has_betas=True),
        source_body=SourceBody(model="smplx", num_joints=55, num_betas=10),
        keypoints=Keypoints(extra_names=tuple(f"extra_{i}" for i in range(8))),
        boxes=Boxes(person_origin="dataset"),
        provenance=Provenance(dataset="mscoco", split="train", frame="000000000785", person="1"),
    )


def best_us(call: Callable[[], object], *, calls: int = 2000, repeats: int = 7) -> float:
    """Microseconds a call takes, the best of several rounds: what the code costs when the machine is not busy."""
    rounds = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        rounds.append((time.perf_counter() - start) / calls * 1e6)
    return float(np.min(rounds))


def main() -> None:
    sample = instance()
    vector, strings = encode(sample)
    print(f"annotation of one sample ({VECTOR_SIZE} float32)")
    print(f"{'':10}{'us':>8}{'limit':>8}")
    for name, call in (("encode", lambda: encode(sample)), ("decode", lambda: decode(vector, strings))):
        print(f"{name:10}{best_us(call):8.1f}{LIMIT_US:8.0f}")


if __name__ == "__main__":
    main()
