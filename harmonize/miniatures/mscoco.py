"""MSCOCO in miniature: COCO-WholeBody jsons, NeuralAnnot SMPL-X and SMPL fits, EFT fits, jpg pictures.

The train pictures repeat a cycle of people that covers the cases a reader must tell apart: a full one whose fit has no
validity flags (and a hand point of v = 0.4), one without left hand, one with an SMPL fit alone, one with both (which
differ a little), one without fit, one without keypoints, a crowd, a box without area.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.keypoints import SMPLX_144, convention
from harmonize.miniatures.masks import run_lengths
from harmonize.miniatures.mscoco_eft import write_coco_eft
from harmonize.miniatures.neuralannot import smpl_fit, whole_fit
from harmonize.miniatures.points import Floats, part_box, wholebody_points
from harmonize.miniatures.scene import background, write_picture
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View, paint_views, true_person, twin, view
from harmonize.miniatures.world import random_person
from harmonize.record import BodyKind

SIZES = ((640, 480), (480, 640), (640, 425))
NOISE_PX = 0.6
_BODY_NAMES = [name.removesuffix("_extra") for name in convention("coco_17").names]
_PARTS = {"face": "face_kpts", "lefthand": "lefthand_kpts", "righthand": "righthand_kpts"}


@dataclass(frozen=True, slots=True)
class _Case:
    """One kind of annotation, drawn as `kind`. hint: why a reader must reject it, "" when it must keep it."""

    hint: str = ""
    kind: BodyKind = "smplx"
    has_fit: bool = True
    has_smpl: bool = False
    has_fit_flags: bool = False
    has_left_hand: bool = True


_CASES = (
    _Case(),
    _Case(has_fit_flags=True, has_left_hand=False),
    _Case(kind="smpl", has_fit=False, has_smpl=True),
    _Case(has_fit=False),
    _Case(hint="no-keypoints", has_fit=False),
    _Case(),
    _Case(hint="crowd", has_fit=False),
    _Case(has_fit_flags=True, has_smpl=True),
    _Case(hint="empty-box", has_fit=False),
)
_VAL_CASES = (_Case(has_fit=False), _Case(has_fit=False, has_left_hand=False))


def write_mscoco(root: Path, *, seed: int = 0, people: int = 18, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder MSCOCO) with `people` train annotations, two val ones, and EFT's."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 1])
    truth: list[TruePerson] = []
    fits: dict[str, Any] = {}
    smpl_fits: dict[str, Any] = {}
    cases = {"train": [_CASES[k % len(_CASES)] for k in range(people)], "val": list(_VAL_CASES)}
    next_id = 442619
    for split, queue in cases.items():
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        while queue:
            group, queue = queue[:2], queue[2:]
            number = 9 + 130 * len(images) + (500000 if split == "val" else 0)
            size = SIZES[len(images) % len(SIZES)]
            name = f"{number:012d}.jpg"
            shown = [_invent(rng, models, case, size, slot) for slot, case in enumerate(group)]
            picture = background(rng, size, size[1] * rng.uniform(0.4, 0.6))
            picture = paint_views(rng, models, shown, picture)
            write_picture(root / "images" / f"{split}2017" / name, picture)
            images.append(_image(number, name, split, size))
            for case, seen in zip(group, shown, strict=True):
                annotation = _annotation(rng, case, seen, next_id, number, size)
                annotations.append(annotation)
                if case.has_fit:
                    fits[str(next_id)] = whole_fit(models, seen)
                    if case.has_fit_flags:
                        parts = {"lhand": "lefthand", "rhand": "righthand", "face": "face"}
                        flags = {f"{short}_valid": annotation[f"{part}_valid"] for short, part in parts.items()}
                        fits[str(next_id)]["smplx_param"] |= flags
                smpl = seen
                if case.has_smpl:
                    smpl = twin(rng, models, seen, size) if case.has_fit else seen
                    smpl_fits[str(next_id)] = smpl_fit(smpl)
                truth += _true_people(case, seen, smpl, annotation, split, name, size)
                next_id += 37
        _write_json(root / "annotations" / f"coco_wholebody_{split}_v1.0.json", _container(images, annotations))
    _write_json(root / "annotations" / "MSCOCO_train_SMPLX_all_NeuralAnnot.json", fits)
    _write_json(root / "annotations" / "MSCOCO_train_SMPL_NeuralAnnot.json", smpl_fits)
    truth += write_coco_eft(root, rng, models)
    return Truth("mscoco", tuple(truth))


def _invent(rng: np.random.Generator, models: BodyModels, case: _Case, size: tuple[int, int], slot: int) -> View:
    width, height = size
    person = random_person(rng, case.kind, "neutral")
    middle = width * ((0.3, 0.72)[slot] + rng.uniform(-0.04, 0.04))
    top, tall = height * rng.uniform(0.04, 0.2), height * rng.uniform(0.72, 0.95)  # some feet leave the picture
    return view(rng, models, person, size, middle, top, tall)


def _image(number: int, name: str, split: str, size: tuple[int, int]) -> dict[str, Any]:
    return {
        "license": 4,
        "file_name": name,
        "coco_url": f"http://images.cocodataset.org/{split}2017/{name}",
        "height": size[1],
        "width": size[0],
        "date_captured": "2013-11-19 21:22:42",
        "flickr_url": "",
        "id": number,
    }


def _annotation(
    rng: np.random.Generator, case: _Case, seen: View, number: int, image_id: int, size: tuple[int, int]
) -> dict[str, Any]:
    points = wholebody_points(rng, SMPLX_144, _smplx_px(seen), size, NOISE_PX)
    box = seen.box_xywh
    polygon = [[box[0], box[1], box[0] + box[2], box[1], box[0] + box[2], box[1] + box[3], box[0], box[1] + box[3]]]
    if case.kind == "smpl":  # the wrists, which the lists of the hands begin with, are no hands
        points["lefthand_kpts"][:] = points["righthand_kpts"][:] = 0.0
    if not case.has_left_hand:
        points["lefthand_kpts"][:] = 0.0
    elif points["lefthand_kpts"][:, 2].any():
        points["lefthand_kpts"][:, 2] = np.minimum(points["lefthand_kpts"][:, 2], 1.0)
        points["lefthand_kpts"][5, 2] *= 0.4  # v is a float where a model assisted the annotators
    if case.hint in ("no-keypoints", "crowd"):
        points = {name: np.zeros_like(values) for name, values in points.items()}
    hidden = rng.random(17) < 0.15
    points["keypoints"][hidden, 2] = np.minimum(points["keypoints"][hidden, 2], 1.0)
    for name in ("keypoints", "foot_kpts"):
        points[name] = np.rint(points[name])
    annotation: dict[str, Any] = {
        "segmentation": _rle(box, size) if case.hint == "crowd" else np.round(polygon, 2).tolist(),
        "num_keypoints": int((points["keypoints"][:, 2] > 0).sum()),
        "area": round(float(box[2] * box[3]), 5),
        "iscrowd": int(case.hint == "crowd"),
        "keypoints": points["keypoints"].astype(int).ravel().tolist(),
        "image_id": image_id,
        "bbox": [*box[:2].tolist(), 0.0, 0.0] if case.hint == "empty-box" else box.tolist(),
        "category_id": 1,
        "id": number,
        "foot_kpts": points["foot_kpts"].astype(int).ravel().tolist(),
        "foot_valid": bool(points["foot_kpts"][:, 2].any()),
    }
    for part, name in _PARTS.items():
        annotation[name] = points[name].ravel().tolist()
        annotation[f"{part}_box"] = part_box(points[name]).tolist()
        annotation[f"{part}_valid"] = bool(points[name][:, 2].any())
    return annotation


def _smplx_px(seen: View) -> Floats:
    """(144, 2): NaN, which is nowhere in the picture, for the hands and faces that an SMPL person does not have."""
    at = {name: row for row, name in enumerate(seen.joint_names)}
    return np.array([seen.joints_px[at[name]] if name in at else (np.nan, np.nan) for name in SMPLX_144])


def _rle(box_xywh: Floats, size: tuple[int, int]) -> dict[str, Any]:
    mask = np.zeros(size[::-1], bool)
    x, y, width, height = box_xywh.astype(int)
    mask[y : y + height, x : x + width] = True
    return {"counts": run_lengths(mask), "size": [size[1], size[0]]}


def _true_people(
    case: _Case, seen: View, smpl: View, annotation: dict[str, Any], split: str, name: str, size: tuple[int, int]
) -> Iterator[TruePerson]:
    """The person with the SMPL-X fit, and with the SMPL fit."""
    parts = {"has_left_hand": "lefthand", "has_right_hand": "righthand", "has_face": "face"}
    for form, shown, has_fit in (("neuralannot", seen, case.has_fit), ("neuralannot_smpl", smpl, case.has_smpl)):
        is_whole = has_fit and form == "neuralannot"
        yield true_person(
            shown,
            reject_hint=case.hint,
            form=form,
            split=split,
            sequence="",
            frame=name.removesuffix(".jpg"),
            person=str(annotation["id"]),
            image_path=f"images/{split}2017/{name}",
            image_size_px=size,
            has_body=has_fit,
            has_camera=has_fit,
            **{flag: is_whole and annotation[f"{part}_valid"] for flag, part in parts.items()},
        )


def _container(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "info": {"description": "COCO-WholeBody", "version": "1.0"},
        "licenses": [{"id": 4, "name": "Attribution License"}],
        "categories": [{"supercategory": "person", "id": 1, "name": "person", "keypoints": _BODY_NAMES}],
        "images": images,
        "annotations": annotations,
    }


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
