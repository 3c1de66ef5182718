"""MPII in miniature: the parsed json with NeuralAnnot's SMPL-X and SMPL fits, and the official .mat of its pictures.

Some people have a fit of one kind, one of both kinds (two optimisations that differ a little), one of none. The .mat
counts pixels from 1 and holds what the json lacks: a person without points, a picture without people, a test picture
without annotations, points whose visibility is a number, a character, or missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.keypoints import convention
from harmonize.miniatures.labels import annotated, points_px
from harmonize.miniatures.mat5 import cells, structs, write_mat5
from harmonize.miniatures.neuralannot import body_fit, body_only, smpl_fit
from harmonize.miniatures.points import Floats, padded, tight_box
from harmonize.miniatures.scene import background, write_picture
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View, photograph, side_by_side, true_person, twin
from harmonize.miniatures.world import random_person
from harmonize.record import BodyKind

SIZES = ((640, 360), (480, 360))
NOISE_PX = 0.6
MAT = "mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat"
_NAMES = convention("mpii_16").names


@dataclass(frozen=True, slots=True)
class _Case:
    """One kind of person, drawn as `kind`. has_points: in the .mat."""

    kind: BodyKind = "smplx"
    has_smplx: bool = True
    has_smpl: bool = False
    has_points: bool = True


@dataclass(frozen=True, slots=True)
class _Labelled:
    """A person as the files say."""

    case: _Case
    seen: View
    points: Floats
    number: int


_SMPLX, _BOTH, _NONE = _Case(), _Case(has_smpl=True), _Case(has_smplx=False)
_SMPL = _Case(kind="smpl", has_smplx=False, has_smpl=True)
_PICTURES = (
    ("000001163", (_SMPLX, _BOTH)),
    ("000003072", (_NONE,)),
    ("015601864", (_SMPL, _SMPL, _Case(kind="smpl", has_smplx=False, has_smpl=True, has_points=False))),
    ("024617048", (_SMPLX, _SMPLX)),
    ("041018113", (_SMPL,)),
)
_EMPTY, _TEST = "052475643", "060111501"


def write_mpii(root: Path, *, seed: int = 0, people: int = 9, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder MPII/data) with at least `people` annotations in the json."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 23])
    more = [(f"07{number:07d}", (_SMPLX, _SMPL)) for number in range(max(0, -(-(people - 9) // 2)))]
    truth: list[TruePerson] = []
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    fits: dict[str, dict[str, Any]] = {"SMPLX": {}, "SMPL": {}}
    listed: list[dict[str, Any]] = []
    for at, (stem, cases) in enumerate((*_PICTURES, *more)):
        size = SIZES[at % len(SIZES)]
        cast = [random_person(rng, case.kind, "neutral") for case in cases]
        cast = [body_only(models, person) if person.kind == "smplx" else person for person in cast]
        shown = side_by_side(rng, models, cast, size)
        photograph(rng, models, shown, size, root / "images" / f"{stem}.jpg")
        image_id = 2 * at
        images.append({"id": image_id, "file_name": f"images/{stem}.jpg", "width": size[0], "height": size[1]})
        labelled = [
            _Labelled(case, seen, _points(rng, seen, size), len(annotations) + slot)
            for slot, (case, seen) in enumerate(zip(cases, shown, strict=True))
        ]
        annotations += [_annotation(person, image_id) for person in labelled]
        listed.append(_listed(f"{stem}.jpg", [_annorect(person) for person in labelled]))
        for slot, person in enumerate(labelled):
            number, smpl = str(person.number), person.seen
            if person.case.has_smplx:
                fits["SMPLX"][number] = body_fit(person.seen)
            if person.case.has_smpl:
                smpl = twin(rng, models, person.seen, size) if person.case.has_smplx else person.seen
                fits["SMPL"][number] = smpl_fit(smpl)
            truth += _true_people(person, smpl, slot, stem, size)
    for stem in (_EMPTY, _TEST):
        write_picture(root / "images" / f"{stem}.jpg", background(rng, SIZES[1], SIZES[1][1] / 2))
    _write_json(root / "annotations" / "train.json", {"images": images, "annotations": annotations})
    for kind, entries in fits.items():
        _write_json(root / "annotations" / f"MPII_train_{kind}_NeuralAnnot.json", entries)
    _write_release(root / MAT, listed)
    return Truth("mpii", tuple(truth))


def _true_people(person: _Labelled, smpl: View, slot: int, stem: str, size: tuple[int, int]) -> Iterator[TruePerson]:
    """The person in each of the three forms."""
    case = person.case
    for form, seen, has_body in (
        ("neuralannot", person.seen, case.has_smplx),
        ("neuralannot_smpl", smpl, case.has_smpl),
        ("mat", person.seen, False),
    ):
        yield true_person(
            seen,
            reject_hint="no-keypoints" if form == "mat" and not case.has_points else "",
            form=form,
            split="train",
            sequence="",
            frame=stem,
            person=str(slot if form == "mat" else person.number),
            image_path=f"images/{stem}.jpg",
            image_size_px=size,
            has_body=has_body,
            has_camera=has_body,
        )


def _points(rng: np.random.Generator, seen: View, size: tuple[int, int]) -> Floats:
    """(16, 3) x, y, v with v 0 or 1: MPII's json says labelled or not."""
    points = annotated(rng, seen, _NAMES, size, NOISE_PX)
    points[rng.integers(16)] = 0.0
    points[:, 2] = points[:, 2] > 0
    return points


def _annotation(person: _Labelled, image_id: int) -> dict[str, Any]:
    return {
        "id": person.number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "area": float(np.prod(person.seen.box_xywh[2:])),
        "bbox": person.seen.box_xywh.tolist(),
        "keypoints": person.points.ravel().tolist(),
        "num_keypoints": int(person.points[:, 2].sum()),
    }


def _annorect(person: _Labelled) -> dict[str, Any]:
    """A person of the .mat, in pixels counted from 1; the joints that are not labelled have no point."""
    head = padded(tight_box(points_px(person.seen, ("headtop", "neck_extra"))), 1.2) + np.array([1, 1, 0, 0])
    x, y, width, height = person.seen.box_xywh
    annorect: dict[str, Any] = {
        **dict(zip(("x1", "y1"), head[:2].round(), strict=True)),
        **dict(zip(("x2", "y2"), (head[:2] + head[2:]).round(), strict=True)),
        "scale": height / 200.0,
        "objpos": structs([{"x": round(x + width / 2 + 1), "y": round(y + height / 2 + 1)}]),
    }
    if person.case.has_points:
        visible: list[Any] = [1.0, "1", "0", 0.0, None]  # the last is missing
        points: list[dict[str, Any]] = []
        for joint, (px, py, v) in enumerate(person.points):
            if v > 0:
                point = {"x": px + 1, "y": py + 1, "id": float(joint), "is_visible": visible[joint % len(visible)]}
                points.append({key: value for key, value in point.items() if value is not None})
        annorect["annopoints"] = structs([{"point": structs(points)}])
    return annorect


def _listed(file_name: str, annorects: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "image": structs([{"name": file_name}]),
        "annorect": structs(annorects) if annorects else np.zeros((0, 0)),
        "frame_sec": 11.0,
        "vidx": 1.0,
    }


def _write_release(path: Path, listed: list[dict[str, Any]]) -> None:
    """RELEASE, with a train picture without people and a test picture, which says where people are and no more."""
    hidden = {"scale": 2.4, "objpos": structs([{"x": 200.0, "y": 180.0}])}
    listed = [*listed, _listed(f"{_EMPTY}.jpg", []), _listed(f"{_TEST}.jpg", [hidden])]
    is_train = np.ones((1, len(listed)))
    is_train[0, -1] = 0.0
    activity = {"cat_name": "sports", "act_name": "curling", "act_id": 1.0}
    release = {
        "annolist": structs(listed),
        "img_train": is_train,
        "version": "12",
        "single_person": cells([*[1.0] * (len(listed) - 2), *[np.zeros((0, 0))] * 2]),
        "act": structs([activity] * len(listed)).T,
        "video_list": cells(["_0rFyHD_e3s"]),
    }
    write_mat5(path, {"RELEASE": structs([release])})


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
