"""UBody scenes, hand-made from their description, and one published person."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawLayoutError
from harmonize.readers.ubody import Ubody, video_name

TRAIN = "Interview_S1_Trim1/Interview_S1_Trim1"
TEST = "Interview_S2_Trim3/Interview_S2_Trim3"


def annotation(annotation_id: int, **changes: Any) -> dict[str, Any]:
    points = np.column_stack([np.linspace(200, 400, 21), np.linspace(100, 300, 21), np.ones(21)])
    record = {
        "id": annotation_id,
        "image_id": 1,
        "bbox": [100.0, 50.0, 500.0, 600.0],
        "iscrowd": 0,
        "num_keypoints": 9,
        "valid_label": 2,
        "keypoints": points[:17].ravel().tolist(),
        "foot_kpts": [300.0, 3000.0, 1] * 6,
        "face_kpts": [310.0, 90.0, 0.5] * 34 + [330.0, 130.0, 0.5] * 34,
        "lefthand_kpts": points.ravel().tolist(),
        "righthand_kpts": [0.0, 0.0, 0] * 21,
        "face_box": [0.0, 0.0, 900.0, 900.0],
        "lefthand_box": [0.0, 0.0, 900.0, 900.0],
        "righthand_box": [0.0, 0.0, 0.0, 0.0],
        "face_valid": True,
        "lefthand_valid": True,
        "righthand_valid": False,
        "leftfoot_valid": False,
        "rightfoot_valid": False,
    }
    return record | changes


def fit() -> dict[str, Any]:
    sizes = (("root_pose", 3), ("body_pose", 63), ("lhand_pose", 45), ("rhand_pose", 45), ("jaw_pose", 3))
    params = {key: [0.1] * size for key, size in (*sizes, ("shape", 10), ("expr", 10))}
    return {"smplx_param": params | {"trans": [0, 0, 40]}, "cam_param": {"focal": [3e4, 3e4], "princpt": [605, 359]}}


def write(root: Path, annotations: list[dict[str, Any]], fits: dict[str, Any], names: dict[int, str]) -> Ubody:
    scene = root / "annotations/Interview"
    scene.mkdir(parents=True, exist_ok=True)
    (root / "annotations/notes.txt").touch()
    (root / "splits").mkdir(exist_ok=True)
    np.save(root / "splits/intra_scene_test_list.npy", np.array(["Interview_S2"]))
    images = [{"id": key, "file_name": name, "width": 1280, "height": 720} for key, name in names.items()]
    keypoints = {"images": images, "annotations": annotations}
    (scene / "keypoint_annotation.json").write_text(json.dumps(keypoints))
    (scene / "smplx_annotation.json").write_text(json.dumps(fits))
    return Ubody(root)


def read(reader: Ubody, split: str) -> list[Annotation | Reject]:
    return [person for unit in reader.units(split) for person in reader.read(split, unit)]


def test_video_name_is_cut_at_trim() -> None:
    assert video_name("Interview_S2_Trim3/Interview_S2_Trim3/000016.png") == "Interview_S2"
    assert video_name("Movie_S1/clip7/000016.png") == "clip7"


def test_split_is_by_listed_video(tmp_path: Path) -> None:
    names = {1: f"{TRAIN}/000001.png", 2: f"/{TEST}/000001.png"}
    reader = write(tmp_path, [annotation(10), annotation(11, image_id=2)], {"10": fit(), "11": fit()}, names)
    [train], [test] = read(reader, "train"), read(reader, "test")
    assert train.provenance.person == "10"
    assert test.provenance.person == "11"
    assert test.provenance.image_path == f"images/Interview/{TEST}/000001.png", "the leading slash is cut"
    assert test.provenance.sequence == f"Interview/{TEST}"
    assert test.provenance.frame == "000001"


def test_object_array_as_split_list(tmp_path: Path) -> None:
    reader = write(tmp_path, [annotation(10)], {"10": fit()}, {1: f"{TEST}/000001.png"})
    np.save(tmp_path / "splits/intra_scene_test_list.npy", np.array(["Interview_S2", "x"], object), allow_pickle=True)
    assert len(read(reader, "test")) == 1


def test_fit_and_flags(tmp_path: Path) -> None:
    [person] = read(write(tmp_path, [annotation(10)], {"10": fit()}, {1: f"{TRAIN}/000001.png"}), "train")
    assert isinstance(person, Annotation)
    assert person.body is not None
    assert person.body.hands == "relative"
    assert not person.body.is_transl_metric
    assert not person.body.has_eyes
    assert (person.body.has_left_hand, person.body.has_right_hand) == (True, False)
    assert not person.camera.is_calibrated
    assert person.provenance.source_file == "annotations/Interview/keypoint_annotation.json"


def test_points_beyond_the_picture_are_not_labels_and_boxes_come_from_points(tmp_path: Path) -> None:
    [person] = read(write(tmp_path, [annotation(10)], {"10": fit()}, {1: f"{TRAIN}/000001.png"}), "train")
    assert isinstance(person, Annotation)
    [points] = person.keypoints2d
    assert points.origin == "detected"
    assert points.values[17:23, 2].max() == 0
    assert points.values[23:91, 2].min() == 0.5
    np.testing.assert_allclose(person.boxes.left_hand_xywh_px, [200, 100, 200, 200, 1])
    np.testing.assert_allclose(person.boxes.face_xywh_px, [310, 90, 20, 40, 1])
    assert person.boxes.right_hand_xywh_px[4] == 0


def test_the_datasets_own_filters_are_rejects(tmp_path: Path) -> None:
    people = [
        annotation(1, iscrowd=1),
        annotation(2, num_keypoints=0),
        annotation(3, bbox=[1300.0, 0.0, 50.0, 50.0]),
        annotation(4, valid_label=0),
        annotation(5),
        annotation(6, face_kpts=[1.0]),
        annotation(7, image_id=77),
        annotation(8),
    ]
    broken = fit()
    del broken["cam_param"]
    fits = {str(i): fit() for i in range(1, 8) if i != 5} | {"8": broken}
    results = read(write(tmp_path, people, fits, {1: f"{TRAIN}/000001.png"}), "train")
    assert [r.reason for r in results if isinstance(r, Reject)] == [
        "crowd",
        "no-keypoints",
        "empty-box",
        "invalid-label",
        "no-fit",
        "malformed",
        "malformed",
        "malformed",
    ]


def test_a_scene_without_fits_is_named(tmp_path: Path) -> None:
    reader = write(tmp_path, [annotation(10)], {}, {1: f"{TRAIN}/000001.png"})
    (tmp_path / "annotations/Interview/smplx_annotation.json").unlink()
    with pytest.raises(RawLayoutError, match=r"annotations/Interview/smplx_annotation\.json"):
        reader.units("train")


@pytest.mark.skipif("EHPS_SAMPLES" not in os.environ, reason="needs real samples: set EHPS_SAMPLES")
def test_published_person(tmp_path: Path) -> None:
    """mmpose's sample merges both files: it is put back into the official form, its camera serving as cam_param."""
    sample = json.loads((Path(os.environ["EHPS_SAMPLES"]) / "ubody/annotations/ubody3d_train_sample.json").read_text())
    [record], [image] = sample["annotations"], sample["images"]
    flat = np.column_stack([record["keypoints"], record["keypoints_valid"]])[:17]
    official = record | {"keypoints": flat.ravel().tolist()}
    scene = tmp_path / "annotations/Magic_show"
    scene.mkdir(parents=True)
    (tmp_path / "splits").mkdir()
    np.save(tmp_path / "splits/intra_scene_test_list.npy", np.array(["Magic_show_S2"]))
    (scene / "keypoint_annotation.json").write_text(json.dumps({"images": [image], "annotations": [official]}))
    (scene / "smplx_annotation.json").write_text("{}")
    [rejected] = read(Ubody(tmp_path), "train")
    assert isinstance(rejected, Reject)
    assert rejected.reason == "no-fit"
    assert rejected.provenance.sequence == "Magic_show/Magic_show_S1_Trim1/Magic_show_S1_Trim1", "scene not repeated"
    entry = fit() | {"cam_param": record["camera_param"]}
    (scene / "smplx_annotation.json").write_text(json.dumps({str(record["id"]): entry}))
    [person] = read(Ubody(tmp_path), "train")
    assert isinstance(person, Annotation)
    assert person.image_size_px == (1280, 720)
    np.testing.assert_allclose(person.camera.focal_px, 34553.93, rtol=1e-6)
    [points] = person.keypoints2d
    known = points.values[points.values[:, 2] > 0]
    assert (known[:, 1] < 720).all()
    assert (points.values[91:133, 2] > 0).sum() >= 40
    assert person.boxes.left_hand_xywh_px[3] < 600
