"""Which points of an atlas get a picture, and how a picture is made small."""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from catalogs.atlas.data import Atlas
from harmonize.errors import RecordError
from harmonize.geometry.crops import crop_window
from harmonize.record import Instance

SIDE_PX = 176
"""Longer side of a picture in the atlas."""
CONTEXT = 1.4
"""Side of the window around a person, as a multiple of the box's longer side."""
QUALITY = 78

Picture = npt.NDArray[np.uint8]


def chosen(atlas: Atlas, num_pictures: int) -> list[int]:
    """Numbers of the points that get a picture: at most so many a dataset, by a hash of their keys."""
    of_dataset: dict[str, list[int]] = defaultdict(list)
    for point, (dataset, _, _) in enumerate(atlas.keys):
        of_dataset[dataset].append(point)
    picked: list[int] = []
    for points in of_dataset.values():
        points.sort(key=lambda point: hashlib.sha256(atlas.keys[point][2].encode()).digest())
        picked += points[:num_pictures]
    return sorted(picked)


def small(picture: Picture, instance: Instance) -> tuple[Picture, Instance]:
    """The part of a stored picture around its person, SIDE_PX long, and the instance with the camera of that part.

    A pixel's centre lies at whole numbers, so position x becomes (x + 0.5 - left) * scale - 0.5.
    """
    from PIL import Image

    left, top, width, height = _window(picture, instance)
    scale = SIDE_PX / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    part = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS, box=(left, top, left + width, top + height))
    scales = np.array([size[0] / width, size[1] / height], np.float32)
    corner = np.array([left, top], np.float32)
    camera = replace(
        instance.camera,
        focal_px=instance.camera.focal_px * scales,
        principal_point_px=((instance.camera.principal_point_px + 0.5 - corner) * scales - 0.5).astype(np.float32),
    )
    return np.asarray(part), replace(instance, camera=camera)


def to_webp(picture: Picture) -> bytes:
    """The file of a picture; same pixels, same bytes."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "WEBP", quality=QUALITY, method=4)
    return file.getvalue()


def _window(picture: Picture, instance: Instance) -> tuple[int, int, int, int]:
    height, width = picture.shape[:2]
    box: Any = instance.boxes.person_xywh_px
    if box[4] > 0:
        try:
            return crop_window(box, (width, height), CONTEXT)
        except RecordError:
            pass  # a box outside of its picture: show all there is
    return 0, 0, width, height
