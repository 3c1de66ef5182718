"""OCHuman in miniature: the native json, its COCO-style twins with ids of their own, and EFT fits of train and test.

People overlap. Natively boxes are corners, and some people have no mask, or neither mask nor points; the twins hold
only those with both. Two fits sit in crops that were made from corners taken for x, y, width, height.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures.eft import PADDING, eft_entry, eft_points, eft_view, write_eft
from harmonize.miniatures.labels import annotated
from harmonize.miniatures.masks import outline, packed, run_lengths, silhouette
from harmonize.miniatures.points import Floats, tight_box
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View, photograph, true_person
from harmonize.miniatures.world import random_person

SIZES = ((480, 360), (360, 400))
NOISE_PX = 0.8
MISSING, VISIBLE, SELF_OCCLUDED, OTHERS_OCCLUDED = range(4)
TO_COCO = {MISSING: 0, VISIBLE: 2, SELF_OCCLUDED: 2, OTHERS_OCCLUDED: 1}
_NAMES = convention("ochuman_19").names
_COCO_NAMES = convention("coco_17").names


@dataclass(frozen=True, slots=True)
class _Case:
    """One kind of person. has_limbs: all limbs are labelled. is_shifted: the crop comes from misread corners."""

    has_points: bool = True
    has_mask: bool = True
    has_limbs: bool = True
    is_shifted: bool = False


_FULL, _BOX_ONLY = _Case(), _Case(has_points=False, has_mask=False)
_PICTURES: dict[str, tuple[tuple[_Case, ...], ...]] = {  # split of EFT: pictures
    "train": ((_FULL, _Case(has_mask=False), _BOX_ONLY), (_Case(has_limbs=False), _Case(is_shifted=True))),
    "test": ((_FULL, _Case(is_shifted=True)), (_FULL, _Case(has_limbs=False))),
}
_COCO_SPLITS = {"train": "val", "test": "test"}


@dataclass(frozen=True, slots=True)
class _Labelled:
    """A person as the files say. points (19, 3) with native codes; mask (H, W) of the whole person."""

    case: _Case
    seen: View
    points: Floats
    box_xywh: Floats
    mask: Any


def write_ochuman(root: Path, *, seed: int = 0, people: int = 9, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder OCHuman) with at least `people` native annotations."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 25])
    truth: list[TruePerson] = []
    native: list[dict[str, Any]] = []
    more = [(_FULL, _FULL)] * max(0, -(-(people - 9) // 2))
    for split, pictures in _PICTURES.items():
        entries: list[dict[str, Any]] = []
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for cases in (*pictures, *(more if split == "train" else ())):
            size = SIZES[len(native) % len(SIZES)]
            name = f"{1 + 3 * len(native):06d}.jpg"
            cast = _invent(rng, models, cases, size)
            photograph(rng, models, [person.seen for person in cast], size, root / "images" / name)
            native.append(_native(cast, name, size, len(native)))
            images.append({"file_name": name, "width": size[0], "height": size[1], "id": len(images) + 1})
            for row, person in enumerate(cast):
                names = {"native": str(row)}
                if person.case.has_points:
                    names["eft"] = str(len(entries))
                    points = eft_points(rng, person.seen, size, _eft_labels(person), NOISE_PX)
                    entries.append(eft_entry(rng, person.seen, points, name))
                if person.case.has_mask:
                    names["coco"] = str(len(annotations) + 1)
                    annotations.append(_coco(person, size, len(images), len(annotations) + 1))
                truth += _true_people(person, names, split, name, size)
        write_eft(root / "eft_fit" / f"OCHuman_{split}_ver10.json", "ochuman", entries)
        _write_coco(root / f"ochuman_coco_format_{_COCO_SPLITS[split]}_range_0.00_1.00.json", images, annotations)
    codes = {"missing": MISSING, "vis": VISIBLE, "self_occluded": SELF_OCCLUDED, "others_occluded": OTHERS_OCCLUDED}
    point_names = [{"headtop": "head", "neck_extra": "neck"}.get(name, name.removesuffix("_extra")) for name in _NAMES]
    content = {"keypoint_names": point_names, "keypoint_visible": codes, "images": native}
    (root / "ochuman.json").write_text(json.dumps(content))
    return Truth("ochuman", tuple(truth))


def _invent(
    rng: np.random.Generator, models: BodyModels, cases: Sequence[_Case], size: tuple[int, int]
) -> list[_Labelled]:
    """People so near each other that they overlap."""
    width, height = size
    cast = []
    for slot, case in enumerate(cases):
        middle = width * (0.34 + 0.32 * slot / max(1, len(cases) - 1) + rng.uniform(-0.03, 0.03))
        place = (middle, height * rng.uniform(0.05, 0.14), height * rng.uniform(0.65, 0.82))
        crop = None
        if case.is_shifted:
            x1, y1, x2, y2 = middle - place[2] / 5, place[1], middle + place[2] / 5, place[1] + place[2]
            crop = (round(x1 + x2 / 2, 1), round(y1 + y2 / 2, 1), PADDING * max(x2, y2))
        seen = eft_view(rng, models, random_person(rng, "smpl", "neutral"), place, crop)
        points = annotated(rng, seen, _NAMES, size, NOISE_PX)
        shown = points[:, 2] > 0
        points[shown, 2] = rng.choice([VISIBLE, SELF_OCCLUDED, OTHERS_OCCLUDED], shown.sum(), p=[0.6, 0.2, 0.2])
        if not case.has_limbs:
            points[[name in ("right_knee", "right_ankle", "left_ankle") for name in _NAMES]] = 0.0
        box = tight_box(seen.joints_px, size).round()
        cast.append(_Labelled(case, seen, points, box, silhouette(models, seen, size)))
    return cast


def _eft_labels(person: _Labelled) -> set[str]:
    return {name for name, code in zip(_NAMES, person.points[:, 2], strict=True) if code != MISSING}


def _native(cast: Sequence[_Labelled], name: str, size: tuple[int, int], number: int) -> dict[str, Any]:
    people = []
    for person in cast:
        x, y, width, height = person.box_xywh
        mask = outline(person.mask).tolist()
        segments = {"outer": [mask], "inner": [], "width": size[0], "height": size[1]}
        people.append(
            {
                "bbox": [x, y, x + width, y + height],
                "keypoints": np.round(person.points, 2).ravel().tolist() if person.case.has_points else None,
                "segms": segments if person.case.has_mask else None,
                "max_iou": 0.57,
                "links": [],
            }
        )
    return {
        "image_id": f"{number:04d}",
        "file_name": name,
        "width": size[0],
        "height": size[1],
        "annotations": people,
    }


def _coco(person: _Labelled, size: tuple[int, int], image_id: int, number: int) -> dict[str, Any]:
    keypoints = np.rint([person.points[_NAMES.index(name)] for name in _COCO_NAMES]).astype(int)
    keypoints[:, 2] = [TO_COCO[code] for code in keypoints[:, 2]]
    counts = run_lengths(person.mask)
    return {
        "area": float(np.prod(person.box_xywh[2:])),
        "image_id": image_id,
        "iscrowd": 0,
        "category_id": 1,
        "bbox": person.box_xywh.tolist(),
        "segmentation": {"size": [size[1], size[0]], "counts": packed(counts)},
        "num_keypoints": int((keypoints[:, 2] > 0).sum()),
        "keypoints": keypoints.ravel().tolist(),
        "id": number,
    }


def _write_coco(path: Path, images: Sequence[Any], annotations: Sequence[Any]) -> None:
    names = [name.removesuffix("_extra") for name in _COCO_NAMES]
    category = {"keypoints": names, "skeleton": [], "id": 1, "supercategory": "person", "name": "person"}
    content = {"categories": [category], "images": images, "annotations": annotations}
    path.write_text(json.dumps(content))


def _true_people(
    person: _Labelled, names: dict[str, str], split: str, name: str, size: tuple[int, int]
) -> list[TruePerson]:
    """The person in each form that has them, by the name that the form gives."""
    splits = {"eft": split, "coco": _COCO_SPLITS[split], "native": "all"}
    return [
        true_person(
            person.seen,
            reject_hint="" if person.case.has_points else "no-keypoints",
            form=form,
            split=splits[form],
            sequence="",
            frame=name.removesuffix(".jpg"),
            person=own_name,
            image_path=f"images/{name}",
            image_size_px=size,
            has_body=form == "eft",
            has_camera=form == "eft",
        )
        for form, own_name in names.items()
    ]
