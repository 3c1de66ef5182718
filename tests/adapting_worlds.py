"""A tiny trained dual network, and people whose points are the same in a store, a COCO-WholeBody file and a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from small_store import HEIGHT_PX, WIDTH_PX, jpeg, person
from small_training import select, small_config, small_store

from harmonize.keypoints import SMPLX_144, convention
from harmonize.record import Instance
from train.loop import train
from train.meta.config import DualConfig

WHOLE_BODY = convention("coco_wholebody_133").names
_COCO = (
    ("keypoints", 0, 17),
    ("foot_kpts", 17, 23),
    ("face_kpts", 23, 91),
    ("lefthand_kpts", 91, 112),
    ("righthand_kpts", 112, 133),
)


def trained(folder: Path, models: Any, **changes: Any) -> Path:
    """A run of a few updates; dual unless `changes` say otherwise."""
    store = folder / "train"
    store.mkdir()
    small_store(store)
    values = {"steps": 3, "dual": DualConfig(order="first", head_rate=1e-3)} | changes
    train(store, select(store), folder / "run", small_config(**values), models)
    return folder / "run"


def whole_body(instance: Instance) -> np.ndarray:
    """The 133 points (133, 3) of a made-up person; hips have no place of their own and stay unknown."""
    place = {name: at for at, name in enumerate(SMPLX_144)}
    points = np.zeros((133, 3))
    for row, name in enumerate(WHOLE_BODY):
        if name in place:
            points[row] = instance.keypoints.joints2d_px[place[name]]
    return points


def only_whole_body(instance: Instance) -> Instance:
    """The same person in a store, with no more points than a detector finds."""
    known = np.isin(SMPLX_144, WHOLE_BODY)
    points = np.where(known[:, None], instance.keypoints.joints2d_px, 0).astype(np.float32)
    return replace(instance, keypoints=replace(instance.keypoints, joints2d_px=points, joints2d_origin="detected"))


def parts_of(points: np.ndarray) -> dict[str, list[float]]:
    """Points (133, 3) as the five lists of COCO-WholeBody."""
    return {name: points[low:high].ravel().tolist() for name, low, high in _COCO}


def write_coco(folder: Path, people: Sequence[Instance], **changes: Any) -> Path:
    """Pictures of people and a file of annotations for them."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number, one in enumerate(people):
        name = f"{number:04d}.jpg"
        (folder / "pictures" / name).write_bytes(jpeg(one))
        images.append({"id": number, "file_name": name, "width": WIDTH_PX, "height": HEIGHT_PX})
        annotations.append({"id": 100 + number, "image_id": number, **parts_of(whole_body(one)), **changes})
    path = folder / "people.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def some_people(num: int = 5) -> list[Instance]:
    return [person("ehf", "test", number) for number in range(num)]
