"""PoseTrack18 in miniature: EFT fits of train, the official json of each sequence, frames named alike in all sequences.

EFT names most pictures with their sequence. Some bare names are resolved by the folder of the subject, one is not. The
official jsons state no sizes; they have unlabelled frames, and in val a person without points and one without a box.
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
from harmonize.miniatures.eft import LSP, NAMES, eft_entry, eft_points, eft_view, write_eft
from harmonize.miniatures.labels import points_px
from harmonize.miniatures.points import Floats, tight_box
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View, photograph, true_person
from harmonize.miniatures.world import random_person

SIZE = (640, 360)
NOISE_PX = 0.8
_POINTS = convention("posetrack_17").names
_LABELLED = LSP | {"nose"}
_SLOTS = {"head_bottom_pt": "neck_extra"}
"""PoseTrack's point: the slot of EFT that it goes to, where the names differ."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One kind of person. image_name: how EFT names the picture, after the sequence and the frame."""

    image_name: str = "{sequence}/{frame}.jpg"
    subject: str = ""
    hint: str = ""
    has_points: bool = True
    has_box: bool = True


_BARE = "{frame}.jpg"
_PREFIXED = _Case(image_name=_BARE, subject="images/train/{sequence}-id001")
_NAMED = _Case(image_name=_BARE, subject="{sequence}-id000")
_UNKNOWN = _Case(image_name=_BARE, hint="ambiguous-picture")
_FRAMES: dict[tuple[str, str], dict[int, tuple[_Case, ...]]] = {
    ("train", "000001_bonn_train"): {0: (_Case(), _PREFIXED), 1: (), 5: (_Case(), _Case(subject="{sequence}-id001"))},
    ("train", "005177_mpii_train"): {0: (_NAMED, _UNKNOWN), 4: (_Case(), _Case())},
    ("val", "003418_mpii_test"): {0: (_Case(), _Case(has_points=False), _Case(has_box=False)), 2: ()},
}


def write_posetrack(root: Path, *, seed: int = 0, people: int = 8, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder PoseTrack/data) with at least `people` fits."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 24])
    truth: list[TruePerson] = []
    entries: list[dict[str, Any]] = []
    more = {10 + number: (_Case(), _Case()) for number in range(max(0, -(-(people - 8) // 2)))}
    for (split, sequence), frames in _FRAMES.items():
        images, annotations = [], []
        for number, cases in (frames | (more if sequence == "000001_bonn_train" else {})).items():
            frame = f"{number:06d}"
            path = f"images/{split}/{sequence}/{frame}.jpg"
            shown = _invent(rng, models, len(cases))
            photograph(rng, models, shown, SIZE, root / path)
            images.append(_image(path, sequence, number, max(frames) + 20, is_labelled=bool(cases)))
            for track, (case, seen) in enumerate(zip(cases, shown, strict=True)):
                points = eft_points(rng, seen, SIZE, _LABELLED, NOISE_PX)
                annotations.append(_annotation(case, seen, points, images[-1]["id"], track))
                stated: dict[str, Any] = {"image_path": path, "image_size_px": SIZE, "split": split, "frame": frame}
                person = true_person(
                    seen,
                    reject_hint="" if case.has_points else "no-keypoints",
                    form="posetrack18",
                    sequence=sequence,
                    person=str(annotations[-1]["id"]),
                    has_body=False,
                    has_camera=False,
                    **stated,
                )
                truth.append(person)
                if split != "train":
                    continue
                person = true_person(
                    seen,
                    reject_hint=case.hint,
                    form="eft",
                    sequence="" if case.hint else sequence,
                    person=str(len(entries)),
                    **stated,
                )
                truth.append(person)
                names = {"sequence": sequence, "frame": frame}
                optional = {"subjectId": case.subject.format(**names)} if case.subject else {}
                entries.append(eft_entry(rng, seen, points, case.image_name.format(**names), **optional))
        _write_sequence(root / "posetrack_data" / "annotations" / split / f"{sequence}.json", images, annotations)
    write_eft(root / "eft_fit" / "PoseTrack_ver01.json", "posetrack", entries)
    return Truth("posetrack", tuple(truth))


def _invent(rng: np.random.Generator, models: BodyModels, count: int) -> list[View]:
    """People who are whole in the picture, as EFT asks for all limbs."""
    width, height = SIZE
    shown = []
    for slot in range(count):
        middle = width * ((slot + 0.5) / count + rng.uniform(-0.03, 0.03))
        outline = (middle, height * rng.uniform(0.06, 0.14), height * rng.uniform(0.65, 0.8))
        shown.append(eft_view(rng, models, random_person(rng, "smpl", "neutral"), outline))
    return shown


def _image(path: str, sequence: str, number: int, num_frames: int, *, is_labelled: bool) -> dict[str, Any]:
    video = sequence.split("_")[0]
    image_id = int(f"1{video}{number:04d}")
    return {
        "has_no_densepose": True,
        "is_labeled": is_labelled,
        "file_name": path,
        "nframes": num_frames,
        "frame_id": image_id,
        "vid_id": video,
        "ignore_regions_x": [[600, 639, 639, 600]] if is_labelled else [],
        "ignore_regions_y": [[0, 0, 40, 40]] if is_labelled else [],
        "id": image_id,
    }


def _annotation(case: _Case, seen: View, points: Floats, image_id: int, track: int) -> dict[str, Any]:
    """The ears are places that nobody fills; v is 0 or 1."""
    keypoints = np.zeros((len(_POINTS), 3))
    for row, name in enumerate(_POINTS):
        slot = _SLOTS.get(name, name)
        if slot in _LABELLED:
            keypoints[row] = points[NAMES.index(slot)]
    head = tight_box(points_px(seen, ("headtop", "head_bottom_pt", "left_ear", "right_ear")))
    annotation: dict[str, Any] = {
        "bbox_head": head.round().astype(int).tolist(),
        "track_id": track,
        "image_id": image_id,
        "scores": [],
        "category_id": 1,
        "id": 100 * image_id + track,
    }
    if case.has_points:
        annotation["keypoints"] = keypoints.ravel().tolist()
    if case.has_box:
        annotation["bbox"] = tight_box(seen.joints_px, SIZE).tolist()
    return annotation


def _write_sequence(path: Path, images: Sequence[Any], annotations: Sequence[Any]) -> None:
    names = {"head_bottom_pt": "head_bottom", "headtop": "head_top"}
    category = {
        "supercategory": "person",
        "id": 1,
        "name": "person",
        "keypoints": [names.get(name, name.removesuffix("_extra")) for name in _POINTS],
        "skeleton": [],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
