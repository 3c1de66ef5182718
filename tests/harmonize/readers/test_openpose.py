"""OpenPose files: parts that were not run, people that were not found, and who of several is meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.errors import RawFileError
from harmonize.keypoints import to_smplx
from harmonize.readers.fields import MalformedRecord
from harmonize.readers.openpose import PARTS, body_points, names, nearest, people_of, points_of


def person(at: float = 100.0, confidence: float = 0.5) -> dict[str, Any]:
    return {key: [at, at + 1, confidence] * count for key, count in PARTS.items()}


def write(path: Path, people: list[Any]) -> Path:
    path.write_text(json.dumps({"version": 1.3, "people": people}))
    return path


def test_137_names_map_without_repeating() -> None:
    joints, extra, _ = to_smplx(names(), np.ones((137, 3)))
    assert len(set(names())) == 137
    assert len(extra) == 27, "25 body points and the roots of the hands are detections, not joints of the model"
    assert joints[:, 2].sum() == 40 + 68
    assert names()[25] == "left_hand_root_openpose"
    assert names()[26] == "left_thumb_1"
    assert names()[46] == "right_hand_root_openpose"


def test_parts_that_were_not_run_have_no_confidence(tmp_path: Path) -> None:
    record = person() | {"hand_left_keypoints_2d": []}
    del record["face_keypoints_2d"]
    [points] = people_of(write(tmp_path / "a.json", [record]))
    np.testing.assert_array_equal(points.values[:25], np.tile([100, 101, 0.5], (25, 1)))
    assert not points.values[25:46].any()
    assert points.values[46:67, 2].all()
    assert not points.values[67:].any()


def test_nobody_and_people_without_points_are_nobody(tmp_path: Path) -> None:
    assert people_of(write(tmp_path / "a.json", [])) == []
    assert people_of(write(tmp_path / "b.json", [person(0, 0)])) == []
    assert body_points(np.zeros((25, 3))) is None


def test_the_person_is_found_by_place_not_by_order(tmp_path: Path) -> None:
    people = people_of(write(tmp_path / "a.json", [person(500), person(100), person(900)]))
    chosen = nearest(people, (110, 90))
    assert chosen is not None
    assert chosen.values[0, 0] == 100
    assert nearest([], (0, 0)) is None
    assert nearest(people, (110, 90), within_px=10) is None, "somebody else"
    hands_only = points_of(person(100) | {"pose_keypoints_2d": [0.0] * 75})
    assert hands_only is not None
    assert nearest([hands_only, people[0]], (100, 100)) is people[0]


@pytest.mark.parametrize(
    "people",
    [None, 3, [3], [{}], [{"pose_keypoints_2d": [1, 2]}], [{"pose_keypoints_2d": [1, []]}], [person() | {"x": 1}, "x"]],
)
def test_other_contents_are_one_error(tmp_path: Path, people: Any) -> None:
    with pytest.raises(RawFileError, match=r"a\.json"):
        people_of(write(tmp_path / "a.json", people))


def test_a_record_of_another_kind_is_malformed() -> None:
    for record in (None, [], {"keypoints": []}):
        with pytest.raises(MalformedRecord):
            points_of(record)
