"""EFT's fits of COCO 2014: pictures under their names of 2014, one of them at hand only under its name of 2017.

`Part` repeats people of `All`; annotId names the annotation, not the picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures.eft import eft_entry, eft_points, eft_view, write_eft
from harmonize.miniatures.truth import TruePerson
from harmonize.miniatures.virtual import photograph, true_person
from harmonize.miniatures.world import random_person

SIZE = (480, 360)
NOISE_PX = 0.8
_FILES = {"train": "COCO2014-All-ver01.json", "val": "COCO2014-Val-ver10.json"}
_PART = "COCO2014-Part-ver01.json"
_PICTURES = {"train": ((1140, "train2014"), (1271, "train2014"), (1530, "train2017")), "val": ((500532, "val2014"),)}
_LABELLED = frozenset(convention("coco_17").names)
_PER_PICTURE = 2


def write_coco_eft(root: Path, rng: np.random.Generator, models: BodyModels) -> list[TruePerson]:
    """Writes the three files and their pictures under root."""
    truth: list[TruePerson] = []
    next_id = 183126
    for split, pictures in _PICTURES.items():
        entries: list[dict[str, Any]] = []
        for number, folder in pictures:
            name = f"COCO_{split}2014_{number:012d}.jpg"
            path = f"images/{folder}/" + (name if folder.endswith("2014") else f"{number:012d}.jpg")
            shown = []
            for slot in range(_PER_PICTURE):
                middle = SIZE[0] * ((slot + 0.5) / _PER_PICTURE + rng.uniform(-0.03, 0.03))
                place = (middle, SIZE[1] * rng.uniform(0.06, 0.14), SIZE[1] * rng.uniform(0.65, 0.8))
                shown.append(eft_view(rng, models, random_person(rng, "smpl", "neutral"), place))
            photograph(rng, models, shown, SIZE, root / path)
            for seen in shown:
                points = eft_points(rng, seen, SIZE, _LABELLED, NOISE_PX)
                entries.append(eft_entry(rng, seen, points, name, annotId=next_id))
                person = true_person(
                    seen,
                    form="eft",
                    split=split,
                    sequence="",
                    frame=name.removesuffix(".jpg"),
                    person=str(next_id),
                    image_path=path,
                    image_size_px=SIZE,
                )
                truth.append(person)
                next_id += 41
        write_eft(root / "eft_fit" / _FILES[split], f"coco_{split}", entries)
        if split == "train":
            write_eft(root / "eft_fit" / _PART, "coco_train", entries[::2])
    return truth
