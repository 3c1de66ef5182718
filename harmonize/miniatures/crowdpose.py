"""CrowdPose in miniature: four COCO-style jsons without areas and masks, NeuralAnnot SMPL fits, one folder of pictures.

Width and height of the pictures are swapped in all jsons but val's, as in the first release. The train people cover a
full one, partly labelled ones, one without fit, one without points and a crowd; `fit_err` lies on both sides of 5.
trainval lists the people of train and val again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures.labels import annotated
from harmonize.miniatures.neuralannot import smpl_fit
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View, photograph, side_by_side, true_person
from harmonize.miniatures.world import random_person

SIZES = ((480, 360), (360, 480), (480, 320))
SWAPPED = ("train", "trainval", "test")
NOISE_PX = 0.6
_NAMES = convention("crowdpose_14").names


@dataclass(frozen=True, slots=True)
class _Case:
    """One kind of annotation. hint: why a reader may reject it, "" when it must keep it. is_whole: no point is left
    out that lies in the picture."""

    hint: str = ""
    has_fit: bool = False
    is_whole: bool = False


_FIT = _Case(has_fit=True)
_PICTURES = {
    "train": (
        (_Case(has_fit=True, is_whole=True), _FIT, _Case(hint="no-keypoints")),
        (_FIT, _Case(), _FIT),
        (_FIT, _Case(hint="crowd"), _FIT),
    ),
    "val": ((_Case(is_whole=True), _Case(hint="no-keypoints")),),
    "test": ((_Case(), _Case(is_whole=True)),),
}


def write_crowdpose(root: Path, *, seed: int = 0, people: int = 9, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder CrowdPose) with at least `people` train annotations."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 22])
    truth: list[TruePerson] = []
    fits: dict[str, Any] = {}
    parsed: dict[str, dict[str, list[Any]]] = {}
    more = [(_FIT, _FIT, _FIT)] * max(0, -(-(people - 9) // 3))
    next_id, next_picture = 100016, 100000
    for split, pictures in _PICTURES.items():
        images, annotations = [], []
        for cases in (*pictures, *(more if split == "train" else ())):
            size = SIZES[next_picture % len(SIZES)]
            shown = side_by_side(rng, models, [random_person(rng, "smpl", "neutral") for _ in cases], size)
            name = f"{next_picture}.jpg"
            photograph(rng, models, shown, size, root / "images" / name)
            images.append(_image(rng, next_picture, name, size))
            for case, seen in zip(cases, shown, strict=True):
                annotations.append(_annotation(rng, case, seen, next_id, next_picture, size))
                if case.has_fit:
                    fits[str(next_id)] = smpl_fit(seen) | {"fit_err": 2.0 + 1.5 * (len(fits) % 4)}
                person = true_person(
                    seen,
                    reject_hint=case.hint,
                    split=split,
                    sequence="",
                    frame=str(next_picture),
                    person=str(next_id),
                    image_path=f"images/{name}",
                    image_size_px=size,
                    has_body=case.has_fit,
                    has_camera=case.has_fit,
                )
                truth.append(person)
                next_id += 1
            next_picture += 1
        parsed[split] = {"images": images, "annotations": annotations}
    parsed["trainval"] = {key: parsed["train"][key] + parsed["val"][key] for key in ("images", "annotations")}
    truth += [replace(person, split="trainval") for person in truth if person.split in ("train", "val")]
    for split, content in parsed.items():
        images = [_swapped(image) if split in SWAPPED else image for image in content["images"]]
        container = {**content, "images": images, "categories": [_category()]}
        (root / f"crowdpose_{split}.json").write_text(json.dumps(container))
    (root / "CrowdPose_train_SMPL_NeuralAnnot.json").write_text(json.dumps(fits))
    return Truth("crowdpose", tuple(truth))


def _image(rng: np.random.Generator, number: int, name: str, size: tuple[int, int]) -> dict[str, Any]:
    return {
        "file_name": name,
        "id": number,
        "height": size[1],
        "width": size[0],
        "crowdIndex": round(float(rng.uniform(0.0, 1.0)), 2),
    }


def _swapped(image: dict[str, Any]) -> dict[str, Any]:
    return {**image, "height": image["width"], "width": image["height"]}


def _annotation(
    rng: np.random.Generator, case: _Case, seen: View, number: int, image_id: int, size: tuple[int, int]
) -> dict[str, Any]:
    points = annotated(rng, seen, _NAMES, size, NOISE_PX, hidden_share=0.3)
    if not case.is_whole:
        points[rng.integers(4)] = 0.0  # a shoulder or an elbow
    if case.hint:
        points[:] = 0.0
    keypoints = np.rint(points).astype(int)
    return {
        "num_keypoints": int((keypoints[:, 2] > 0).sum()),
        "iscrowd": int(case.hint == "crowd"),
        "keypoints": keypoints.ravel().tolist(),
        "image_id": image_id,
        "bbox": seen.box_xywh.tolist(),
        "category_id": 1,
        "id": number,
    }


def _category() -> dict[str, Any]:
    """The skeleton is COCO's and does not fit the 14 points; so it is in the release."""
    names = [{"headtop": "head", "neck_extra": "neck"}.get(name, name.removesuffix("_extra")) for name in _NAMES]
    skeleton = [[16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9]]
    return {"supercategory": "person", "id": 1, "name": "person", "keypoints": names, "skeleton": skeleton}
