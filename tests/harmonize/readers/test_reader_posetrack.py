"""PoseTrack: EFT fits with their two ways to name a picture, and the official sequence files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.posetrack import Posetrack

FITS = "eft_fit/PoseTrack_ver01.json"
SEQUENCE = "000001_bonn_train"


def fit(name: str, **changes: Any) -> dict[str, Any]:
    points = np.zeros((49, 3))
    points[25:] = [5, 6, 1]
    return {
        "parm_pose": np.tile(np.eye(3), (24, 1, 1)).tolist(),
        "parm_shape": [0.1] * 10,
        "parm_cam": [0.9, 0.05, 0.1],
        "bbox_scale": 0.3,
        "bbox_center": [40, 30],
        "gt_keypoint_2d": points.tolist(),
        "smpltype": "smpl",
        "imageName": name,
    } | changes


def fitted(root: Path, fits: list[dict[str, Any]], file: str = FITS) -> list[Annotation | Reject]:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(json.dumps({"ver": 0.1, "data": fits}))
    reader = Posetrack(root)
    return [person for unit in reader.units("train") for person in reader.read("train", unit)]


def test_sequence_and_frame_in_the_name(tmp_path: Path) -> None:
    for name in (f"{SEQUENCE}/000005.jpg", f"images/train/{SEQUENCE}/000005.jpg"):
        [person] = fitted(tmp_path, [fit(name)])
        assert isinstance(person, Annotation)
        source = person.provenance
        assert (source.sequence, source.frame, source.person) == (SEQUENCE, "000005", "0")
        assert person.image.path == f"images/train/{SEQUENCE}/000005.jpg"
        assert source.label_origin == "eft"
        assert person.body is not None


def test_base_names_need_a_subject_that_names_the_folder(tmp_path: Path) -> None:
    subjects = [f"{SEQUENCE}-id003", f"images/train/{SEQUENCE}-id003", "", "id003", "somebody"]
    people = fitted(tmp_path, [fit("000005.jpg", subjectId=subject) for subject in subjects] + [fit("000005.jpg")])
    sequences = [one.provenance.sequence for one in people]
    assert sequences == [SEQUENCE, SEQUENCE, "", "", "", ""]
    assert [one.reason for one in people if isinstance(one, Reject)] == ["ambiguous-picture"] * 4
    assert [one.provenance.person for one in people] == [str(row) for row in range(6)]
    assert len({one.provenance.source_row for one in people}) == 6


def test_ears_are_placeholders(tmp_path: Path) -> None:
    [person] = fitted(tmp_path, [fit(f"{SEQUENCE}/000005.jpg")])
    assert isinstance(person, Annotation)
    [points] = person.keypoints2d
    assert not any("ear" in name.split("_") for name in points.names)
    assert {"neck_extra", "headtop", "nose"} < set(points.names)


def test_roots(tmp_path: Path) -> None:
    (tmp_path / "PoseTrack/data/images").mkdir(parents=True)
    [person] = fitted(tmp_path, [fit(f"{SEQUENCE}/000005.jpg")])
    assert person.provenance.image_path == f"PoseTrack/data/images/train/{SEQUENCE}/000005.jpg"
    (tmp_path / FITS).unlink()
    with pytest.raises(RawLayoutError, match=r"PoseTrack_ver01\.json"):
        Posetrack(tmp_path).units("train")
    with pytest.raises(RawLayoutError, match="annotations/val"):
        Posetrack(tmp_path, form="posetrack18").units("val")


# --- the official files -----------------------------------------------------------------------------------------------


def label(person_id: int, image_id: int, **changes: Any) -> dict[str, Any]:
    keypoints = np.ravel([[10 + i, 20 + i, 1] for i in range(17)]).tolist()
    bbox = [8.5, 18.0, 40.0, 20.0]
    record = {"id": person_id, "image_id": image_id, "track_id": 0, "bbox": bbox, "keypoints": keypoints, "scores": []}
    return {key: value for key, value in (record | changes).items() if value is not None}


def official(root: Path, people: list[dict[str, Any]], split: str = "val", sequence: str = SEQUENCE) -> Path:
    images = [
        {"id": i, "frame_id": i, "file_name": f"images/{split}/{sequence}/{i:06d}.jpg", "is_labeled": i == 0}
        for i in range(2)
    ]
    folder = root / "posetrack_data/annotations" / split
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{sequence}.json"
    path.write_text(json.dumps({"images": images, "annotations": people, "categories": []}))
    return path


def labelled(root: Path, split: str = "val") -> list[Annotation | Reject]:
    reader = Posetrack(root, form="posetrack18")
    return [person for unit in reader.units(split) for person in reader.read(split, unit)]


def test_people_of_a_sequence(tmp_path: Path) -> None:
    official(tmp_path, [label(100, 0), label(101, 0, bbox=None), label(102, 0, keypoints=None)])
    first, second, third = labelled(tmp_path)
    assert isinstance(first, Annotation)
    assert isinstance(second, Annotation)
    assert isinstance(third, Reject)
    assert third.reason == "no-keypoints"
    source = first.provenance
    assert (source.sequence, source.frame, source.person) == (SEQUENCE, "000000", "100")
    assert source.image_path == f"images/val/{SEQUENCE}/000000.jpg"
    assert source.label_origin == ""
    assert first.body is None
    assert first.image_size_px is None, "the format has no sizes"
    assert first.boxes.person_xywh_px[4] == 1
    assert second.boxes.person_xywh_px[4] == 0
    [points] = first.keypoints2d
    value = dict(zip(points.names, points.values.tolist(), strict=True))
    assert value["nose"] == [10, 20, 1]
    assert value["head_bottom_pt"] == [11, 21, 1]
    assert value["headtop"] == [12, 22, 1]
    assert value["left_shoulder"] == [15, 25, 1], "not the order of COCO"
    assert value["left_ear"] == value["right_ear"] == [0, 0, 0]


def test_each_sequence_is_a_unit_and_may_be_unlabelled(tmp_path: Path) -> None:
    official(tmp_path, [label(100, 0)], sequence="b_val")
    official(tmp_path, [], sequence="a_val")
    reader = Posetrack(tmp_path, form="posetrack18")
    assert list(reader.splits) == ["train", "val"]
    assert [unit.id for unit in reader.units("val")] == ["a_val", "b_val"]
    assert len(labelled(tmp_path)) == 1


def test_a_damaged_sequence_is_one_error_that_names_it(tmp_path: Path) -> None:
    path = official(tmp_path, [label(100, 0)])
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RawFileError, match=SEQUENCE):
        labelled(tmp_path)


def test_real_people(tmp_path: Path, samples: Path) -> None:
    shutil.copytree(samples / "posetrack18/annotations", tmp_path / "annotations")
    shutil.copytree(samples / "posetrack18/images", tmp_path / "images")
    people = labelled(tmp_path)
    assert len(people) == 12
    for one in people:
        if isinstance(one, Reject):
            assert one.reason == "no-keypoints"
            continue
        assert one.image_size_px == (1920, 1080)
        assert (tmp_path / one.image.path).is_file()
        [points] = one.keypoints2d
        known = points.values[points.values[:, 2] > 0]
        assert len(known) >= 3
        assert (known[:, :2] > -30).all(), "a head may reach beyond the picture"
        assert (known[:, :2] < (1950, 1110)).all()
    assert {one.provenance.sequence for one in people} == {"003418_mpii_test", "012834_mpii_test"}
