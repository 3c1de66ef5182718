"""UBody in miniature: two json files a scene, png frames, split lists.

Upper bodies, most of them cut off by the picture's edge. Among the train people of each scene one lacks its frame, one
is rejected by its label, one lacks its fit and one has no valid face; some file names start with a slash. Annotation
ids start again in each scene.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyModels
from harmonize.keypoints import SMPLX_144
from harmonize.miniatures.neuralannot import whole_fit
from harmonize.miniatures.points import padded, part_box, wholebody_points
from harmonize.miniatures.scene import background, write_picture
from harmonize.miniatures.truth import TruePerson, Truth
from harmonize.miniatures.virtual import View, paint_views, true_person, view
from harmonize.miniatures.world import random_person

SIZE = (640, 360)
NOISE_PX = 0.6
_HAND_PADDING = 1.0 / 0.65
_VIDEOS = {  # scene: (video, the name that the intra-scene test list has for it, or "" for a train video)
    "Interview": (("Interview_S1_Trim1", ""), ("Interview_S2_Trim1", "Interview_S2")),
    "Movie": (("Movie_S1_Trim2", ""), ("Movie_clip7", "Movie_clip7")),
}
_INTER_TEST = ("Movie_S1", "Movie_clip7")


@dataclass(frozen=True, slots=True)
class _Case:
    """One kind of annotation. hint: why a reader must reject it, "" when it must keep it."""

    hint: str = ""
    has_slash: bool = False
    has_face: bool = True
    has_second: bool = False


_TRAIN_CASES = (
    _Case(has_slash=True),
    _Case(has_second=True),
    _Case(has_face=False),
    _Case(hint="image-missing"),
    _Case(hint="invalid"),
    _Case(hint="no-fit"),
)
_TEST_CASES = (_Case(), _Case(has_slash=True, has_second=True))


def write_ubody(root: Path, *, seed: int = 0, people: int = 20, models: BodyModels | None = None) -> Truth:
    """Writes the layout under root (the folder UBody) with at least `people` annotations."""
    models = models or BodyModels.open("standin")
    rng = np.random.default_rng([seed, 5])
    truth: list[TruePerson] = []
    more = max(0, -(-(people - 20) // len(_VIDEOS)))
    for scene, videos in _VIDEOS.items():
        keypoints: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
        fits: dict[str, Any] = {}
        for video, listed in videos:
            cases = _TEST_CASES if listed else (*_TRAIN_CASES, *[_Case()] * more)
            for number, case in enumerate(cases, start=1):
                image_id = len(keypoints["images"])
                frame = f"{video}/{video}/{number:06d}.png"  # relative to images/<scene>
                keypoints["images"].append(
                    {"id": image_id, "file_name": "/" * case.has_slash + frame, "height": SIZE[1], "width": SIZE[0]}
                )
                shown = list(_invent(rng, models, 2 if case.has_second else 1))
                if case.hint != "image-missing":
                    behind = background(rng, SIZE, SIZE[1] * rng.uniform(0.6, 1.1))
                    write_picture(root / "images" / scene / frame, paint_views(rng, models, shown, behind))
                for seen in shown:
                    number_of = len(keypoints["annotations"])
                    annotation = _annotation(rng, case, seen, number_of, image_id)
                    keypoints["annotations"].append(annotation)
                    if case.hint != "no-fit":
                        fits[str(number_of)] = whole_fit(models, seen)
                    truth.append(_true_person(case, seen, annotation, scene, frame, "test" if listed else "train"))
        folder = root / "annotations" / scene
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "keypoint_annotation.json").write_text(json.dumps(keypoints))
        (folder / "smplx_annotation.json").write_text(json.dumps(fits))
    (root / "splits").mkdir(parents=True, exist_ok=True)
    intra = [listed for videos in _VIDEOS.values() for _, listed in videos if listed]
    np.save(root / "splits" / "intra_scene_test_list.npy", np.array(intra))
    np.save(root / "splits" / "inter_scene_test_list.npy", np.array(_INTER_TEST))
    return Truth("ubody", tuple(truth))


def _invent(rng: np.random.Generator, models: BodyModels, count: int) -> Iterator[View]:
    width, height = SIZE
    for slot in range(count):
        middle = width * ((slot + 0.5) / count + rng.uniform(-0.05, 0.05))
        top, tall = height * rng.uniform(0.03, 0.12), height * rng.uniform(1.5, 2.1)  # the legs are out of the picture
        yield view(rng, models, random_person(rng, "smplx", "neutral"), SIZE, middle, top, tall)


def _annotation(rng: np.random.Generator, case: _Case, seen: View, number: int, image_id: int) -> dict[str, Any]:
    points = wholebody_points(rng, SMPLX_144, seen.joints_px, SIZE, NOISE_PX)
    if not case.has_face:
        points["face_kpts"][:] = 0.0
    scores = {name: np.where(xyv[:, 2] > 0, rng.uniform(0.5, 0.95, len(xyv)), 0.1) for name, xyv in points.items()}
    for name in points.keys() - {"keypoints"}:
        points[name][:, 2] = points[name][:, 2] > 0
    feet = points["foot_kpts"][:, 2] > 0
    box = seen.box_xywh
    annotation: dict[str, Any] = {
        "id": number,
        "image_id": image_id,
        "person_id": 0,
        "bbox": box.tolist(),
        "center": (box[:2] + box[2:] / 2).tolist(),
        "scale": (box[2:] * 1.25 / 200.0).tolist(),
        "segmentation": [[]],
        "area": 0,
        "iscrowd": 0,
        "category_id": 1,
        "score": 1,
        "num_keypoints": int((points["keypoints"][:, 2] > 0).sum()),
        "full_body": False,
        "valid_label": 0 if case.hint == "invalid" else 2,
        "face_box": part_box(points["face_kpts"]).tolist(),
        "face_valid": bool(points["face_kpts"][:, 2].any()),
        "leftfoot_valid": bool(feet[:3].any()),
        "rightfoot_valid": bool(feet[3:].any()),
    }
    for hand in ("lefthand", "righthand"):
        annotation[f"{hand}_valid"] = bool(points[f"{hand}_kpts"][:, 2].any())
        annotation[f"{hand}_box"] = padded(part_box(points[f"{hand}_kpts"]), _HAND_PADDING).tolist()
        annotation[f"{hand}_update"] = True
    for name, values in points.items():
        annotation[name] = values.ravel().tolist()
        annotation[f"{name}_score"] = scores[name].tolist()
    return annotation


def _true_person(case: _Case, seen: View, annotation: dict[str, Any], scene: str, frame: str, split: str) -> TruePerson:
    folder, _, name = frame.rpartition("/")
    return true_person(
        seen,
        reject_hint=case.hint,
        split=split,
        sequence=f"{scene}/{folder}",
        frame=name.removesuffix(".png"),
        person=str(annotation["id"]),
        image_path=f"images/{scene}/{frame}",
        image_size_px=SIZE,
        has_body=case.hint != "no-fit",
        has_camera=case.hint != "no-fit",
        has_left_hand=annotation["lefthand_valid"],
        has_right_hand=annotation["righthand_valid"],
        has_face=annotation["face_valid"],
    )
