"""Points of other projects' files: what they mean, and that nothing in them can do harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapting_worlds import WHOLE_BODY, parts_of

from harmonize.errors import RawFileError, UsageError
from harmonize.keypoints import SMPLX_144
from harmonize.readers import openpose
from train.data.detections import Detected, Refused, coco_people, openpose_people, to_joints

PLACE = {name: at for at, name in enumerate(SMPLX_144)}


def whole_body(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(1, 500, (133, 2)), rng.uniform(0.3, 1, 133)])


def annotation(number: int = 1, image_id: int = 1, **changes: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image_id, **parts_of(whole_body(number))} | changes


def read(folder: Path, *annotations: Any, images: Any = ({"id": 1, "file_name": "a/b.jpg"},)) -> list[Any]:
    path = folder / "people.json"
    path.write_text(json.dumps({"images": list(images), "annotations": list(annotations)}))
    return list(coco_people(path))


def test_an_annotation_has_its_133_points_by_name(tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "a/b.jpg", "width": 640, "height": 480}
    first, second = read(tmp_path, annotation(7), annotation(8), images=[image])
    assert (first.key, first.picture, first.person, first.size_px) == ("a/b-7", "a/b.jpg", "7", (640, 480))
    assert (second.key, first.names) == ("a/b-8", WHOLE_BODY)
    np.testing.assert_allclose(first.points, whole_body(7))


def test_visibility_is_cut_to_a_confidence_and_parts_called_invalid_are_unknown(tmp_path: Path) -> None:
    points = whole_body()
    points[:17, 2] = 2
    record = annotation() | parts_of(points) | {"face_valid": False, "lefthand_valid": True, "foot_kpts": None}
    del record["righthand_kpts"]
    (found,) = read(tmp_path, record)
    assert (found.points[:17, 2] == 1).all()
    assert (found.points[91:112, 2] > 0).all()
    for unknown in (slice(17, 23), slice(23, 91), slice(112, 133)):
        assert not found.points[unknown].any()


def test_results_are_numbered_in_their_picture_and_may_hold_all_points_in_one_list(tmp_path: Path) -> None:
    whole = whole_body(3)
    results = [
        {"image_id": 785, "score": 0.9, "keypoints": whole.ravel().tolist()},
        {"image_id": "video/1.png", "score": 0.9, "keypoints": whole.tolist()},
        {"image_id": 785, "score": 0.8, **parts_of(whole)},
    ]
    path = tmp_path / "results.json"
    path.write_text(" " + json.dumps(results))
    found = list(coco_people(path))
    assert [one.key for one in found] == ["000000000785-0", "video/1-0", "000000000785-1"]
    assert [one.picture for one in found[:2]] == ["000000000785.jpg", "video/1.png"]
    for one in found:
        np.testing.assert_allclose(one.points, whole)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"keypoints": [1.0] * 50}, "keypoints"),
        ({"keypoints": "51 numbers"}, "keypoints"),
        ({"keypoints": [[1, 2, 1]] * 16 + [[1]]}, "keypoints"),
        ({"face_kpts": [1.0] * 9}, "face_kpts"),
        ({"keypoints": [float("nan"), 1.0, 1.0] * 17}, "finite"),
        ({"keypoints": [1.0, 1.0, float("nan")] * 17}, "finite"),
        ({"keypoints": [float("inf"), 1.0, 1.0] * 17}, "finite"),
        ({"keypoints": [1e30, 1.0, 1.0] * 17}, "places within"),
        ({"keypoints": ["x"] * 51}, "keypoints"),
        ({"face_valid": "yes"}, "face_valid"),
        ({"image_id": 99}, "an id of `images`"),
        ({"image_id": "one"}, "image_id"),
        ({"id": None}, "id"),
    ],
)
def test_what_is_wrong_with_one_person_refuses_that_person(changes: Any, says: str, tmp_path: Path) -> None:
    good, bad = read(tmp_path, annotation(1), annotation(2, **changes))
    assert isinstance(good, Detected)
    assert isinstance(bad, Refused)
    assert (bad.reason, says in bad.detail) == ("malformed", True), bad.detail


def test_a_person_who_is_no_record_and_a_crowd_are_refused(tmp_path: Path) -> None:
    found = read(tmp_path, [1, 2], annotation(5, iscrowd=1), annotation(6))
    assert [getattr(one, "reason", "") for one in found] == ["malformed", "crowd", ""]
    assert found[1].key == "a/b-5"


def test_points_that_were_not_found_may_lie_anywhere(tmp_path: Path) -> None:
    points = whole_body().tolist()
    points[3] = [float("nan"), float("inf"), 0.0]
    (found,) = read(tmp_path, annotation() | parts_of(np.array(points)))
    assert found.points[3].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("{", "JSON"),
        ("[", "JSON"),
        ("[]", "empty one"),
        ("{}", "found neither"),
        ('{"annotations": 3}', "found neither"),
        ('{"images": [{"id": 1}], "annotations": []}', "file_name"),
        ('{"annotations": ' + "[" * 5000, "nested deeper"),
    ],
)
def test_what_is_wrong_with_a_whole_file_is_an_error(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "people.json"
    path.write_text(text)
    with pytest.raises(RawFileError, match=says):
        list(coco_people(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RawFileError, match="nothing"):
        list(coco_people(tmp_path / "nothing.json"))
    with pytest.raises(UsageError, match="NAME_keypoints"):
        list(openpose_people(tmp_path))


def openpose_person(points: np.ndarray) -> dict[str, list[float]]:
    """137 points in the order of `openpose.names` as OpenPose writes them."""
    starts = np.cumsum([0, *openpose.PARTS.values()])
    return {
        name: points[low:high].ravel().tolist()
        for name, low, high in zip(openpose.PARTS, starts, starts[1:], strict=False)
    }


def test_a_folder_of_openpose_has_the_people_of_each_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    points = np.column_stack([rng.uniform(1, 500, (137, 2)), rng.uniform(0.3, 1, 137)])
    nobody = {name: [] for name in openpose.PARTS}
    two = {"people": [openpose_person(points), nobody, {"pose_keypoints_2d": [1.0] * 7}]}
    (tmp_path / "b.c_keypoints.json").write_text(json.dumps(two))
    (tmp_path / "a_keypoints.json").write_text('{"people": []}')
    (tmp_path / "d_keypoints.json").write_text('{"people": ')
    (tmp_path / "e_keypoints.json").write_text('{"persons": []}')
    found, empty, wrong, broken, other = openpose_people(tmp_path)
    assert (found.key, found.picture, found.has_ending, found.names) == ("b.c-0", "b.c", False, openpose.names())
    np.testing.assert_allclose(found.points, points)
    assert not empty.points.any()
    assert [(one.key, one.reason) for one in (wrong, broken, other)] == [
        ("b.c-2", "malformed"),
        ("d", "malformed"),
        ("e", "malformed"),
    ]
    joints = to_joints(found.names, found.points)
    row = {name: at for at, name in enumerate(found.names)}
    for name in ("left_knee", "nose", "right_wrist", "left_bigtoe"):
        np.testing.assert_array_equal(joints[PLACE[name]], points[row[f"{name}_openpose"]])
    for name in ("left_index_2", "right_mouth_1"):
        np.testing.assert_array_equal(joints[PLACE[name]], points[row[name]])
    for name in ("left_hip", "right_hip", "neck", "pelvis", "head"):
        assert not joints[PLACE[name]].any()


def test_a_point_of_the_datasets_own_counts_before_a_detectors() -> None:
    names = ("left_knee", "left_knee_openpose", "right_knee_openpose", "right_knee", "left_hip_extra")
    points = [[1, 1, 0.5], [2, 2, 1], [3, 3, 1], [0, 0, 0], [5, 5, 1]]
    joints = to_joints(names, points)
    assert joints[PLACE["left_knee"]].tolist() == [1, 1, 0.5]
    assert joints[PLACE["right_knee"]].tolist() == [3, 3, 1]
    assert np.count_nonzero(joints[:, 2]) == 2
