"""People as records, the store that holds them, and the values that a family finds for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from small_store import person, write_shard

from catalogs.attributes import engine, files
from catalogs.attributes.family import Family
from harmonize.annotation import Reject
from harmonize.record import NUM_JOINTS, Instance

PARTS = ("image", "camera", "body", "keypoints", "boxes", "provenance", "source_body")
FOCAL_PX, CENTRE_PX = (500.0, 400.0), (320.0, 200.0)
SIZE_PX = (640, 480)


def record(number: int = 0, **changes: Any) -> Instance:
    """A person of a 640 x 480 picture that is stored whole; changes are fields of any part, `betas=...`."""
    instance = person("d", "train", number)
    parts = {name: getattr(instance, name) for name in PARTS}
    base: dict[str, Any] = {
        **dict(zip(("width_px", "height_px"), SIZE_PX, strict=True)),
        **dict(zip(("source_width_px", "source_height_px"), SIZE_PX, strict=True)),
        "focal_px": FOCAL_PX,
        "principal_point_px": CENTRE_PX,
        "has_pixels": False,
        "is_transl_metric": True,
        "image_path": f"{number}.jpg",
    }
    for name, value in (base | changes).items():
        [owner] = [part for part, held in parts.items() if held is not None and hasattr(held, name)]
        old = getattr(parts[owner], name)
        new = np.asarray(value, np.float32) if isinstance(old, np.ndarray) else value
        parts[owner] = replace(parts[owner], **{name: new})
    return replace(instance, **parts)


def joints3d(*points_m: Sequence[float]) -> Any:
    """(144, 4): the first joints at these places, the others unknown."""
    values = np.zeros((NUM_JOINTS, 4), np.float32)
    for at, point in enumerate(points_m):
        values[at] = (*point, 1)
    return values


def at_pixel(x: float, y: float, depth_m: float = 3.0) -> tuple[float, float, float]:
    """The point that the camera of `record`, an ideal lens, sees at a pixel of the whole picture."""
    return (x - CENTRE_PX[0]) / FOCAL_PX[0] * depth_m, (y - CENTRE_PX[1]) / FOCAL_PX[1] * depth_m, depth_m


def joints2d(points: dict[int, tuple[float, float, float]]) -> Any:
    """(144, 3): x, y, confidence of some joints, by number."""
    values = np.zeros((NUM_JOINTS, 3), np.float32)
    for at, point in points.items():
        values[at] = point
    return values


def values(
    store: Path, family: Family, *shards: Sequence[Instance], rejects: Sequence[Reject] = ()
) -> list[dict[str, Any]]:
    """What a family says of each person, in order; the rejects are those of the last shard."""
    names = [
        write_shard(store, shard, number=number, rejects=rejects if number == len(shards) - 1 else ())
        for number, shard in enumerate(shards)
    ]
    for job in engine.plan(store, family).pending:
        engine.run(job)
    folder = files.folder_of(store / "d" / "train", family.name)
    found: list[dict[str, Any]] = []
    for name in names:
        found += files.read_attributes(folder, name).to_pylist()
    assert [row["key"] for row in found] == [one.key for shard in shards for one in shard]
    return found
