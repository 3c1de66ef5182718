"""3DPW sequences as pickles and as the json edition, hand-made from their descriptions."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.base import Unit
from harmonize.readers.pw3d import Pw3d

FRAMES = 3


def rotation_x(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def sequence(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    cam_poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    for frame in range(FRAMES):
        cam_poses[frame, :3, :3] = rotation_x(np.pi + 0.1 * frame)
        cam_poses[frame, :3, 3] = [0.1, 0.2, 4 + frame]
    poses2d = rng.uniform(50, 500, (2, FRAMES, 3, 18))
    poses2d[:, :, 2] = 0.7
    poses2d[0, 1] = 0
    data = {
        "sequence": "downtown_test_00",
        "genders": ["f", "m"],
        "poses": [rng.normal(size=(FRAMES, 72)) for _ in range(2)],
        "betas": [rng.normal(size=10), np.concatenate([rng.normal(size=10), np.full(290, 0.01)])],
        "trans": [rng.normal(size=(FRAMES, 3)) for _ in range(2)],
        "jointPositions": [rng.normal(size=(FRAMES, 72)) for _ in range(2)],
        "poses2d": list(poses2d),
        "cam_intrinsics": np.array([[1969.0, 0, 540], [0, 1970.0, 960], [0, 0, 1]]),
        "cam_poses": cam_poses,
        "campose_valid": [np.array([1, 1, 0]), np.array([1, 1, 1])],
        "img_frame_ids": np.arange(FRAMES) * 2,
        "texture_maps": [],
    }
    return data | changes


def write(root: Path, data: dict[str, Any], folder: str = "sequenceFiles/test") -> tuple[Pw3d, Unit]:
    path = root / folder / "downtown_test_00.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(data, protocol=2))
    reader = Pw3d(root)
    [unit] = reader.units("test")
    return reader, unit


def test_people_come_frame_by_frame_in_the_datasets_numbers(tmp_path: Path) -> None:
    data = sequence()
    reader, unit = write(tmp_path, data)
    results = list(reader.read("test", unit))
    assert [(r.provenance.frame, r.provenance.person) for r in results] == [
        (f"{frame:05d}", person) for frame in range(FRAMES) for person in "01"
    ]
    person = results[3]
    assert isinstance(person, Annotation)
    assert person.provenance.sequence == "downtown_test_00"
    assert person.provenance.label_origin == "imu"
    assert person.image.path == "imageFiles/downtown_test_00/image_00001.jpg"
    body = person.body
    assert body is not None
    assert (body.model, body.gender, body.hands) == ("smpl", "male", "absent")
    flags = (body.has_left_hand, body.has_right_hand, body.has_jaw, body.has_expression, body.has_eyes)
    assert flags == (False,) * 5
    np.testing.assert_array_equal(body.pose_aa.ravel(), data["poses"][1][1])
    np.testing.assert_array_equal(body.transl_m, data["trans"][1][1])
    np.testing.assert_array_equal(body.betas, data["betas"][1][:10])
    assert body.to_cam is not None
    np.testing.assert_array_equal(body.to_cam.rotmat, data["cam_poses"][1][:3, :3])
    np.testing.assert_array_equal(body.to_cam.transl_m, [0.1, 0.2, 5])
    np.testing.assert_allclose(person.camera.focal_px, [1969, 1970])
    np.testing.assert_allclose(person.camera.principal_point_px, [540, 960])
    assert person.camera.is_calibrated
    assert person.camera.has_extrinsics


def test_misaligned_camera_is_a_reject(tmp_path: Path) -> None:
    reader, unit = write(tmp_path, sequence())
    results = list(reader.read("test", unit))
    rejected = [result for result in results if isinstance(result, Reject)]
    assert [(r.reason, r.provenance.frame, r.provenance.person) for r in rejected] == [
        ("camera-misaligned", "00002", "0")
    ]


def test_poses2d_are_channel_first_and_may_be_empty(tmp_path: Path) -> None:
    data = sequence()
    reader, unit = write(tmp_path, data)
    first, _, empty, *_ = reader.read("test", unit)
    assert isinstance(first, Annotation)
    assert isinstance(empty, Annotation)
    [points] = first.keypoints2d
    assert points.names[0] == "nose_openpose"
    assert points.origin == "detected"
    np.testing.assert_array_equal(points.values[2], data["poses2d"][0][0][:, 2])
    assert empty.keypoints2d == (), "no detection is no reason to drop a body"
    assert empty.body is not None


def test_joint_positions_are_moved_to_the_camera(tmp_path: Path) -> None:
    data = sequence()
    reader, unit = write(tmp_path, data)
    first, second, *_ = reader.read("test", unit)
    assert isinstance(first, Annotation)
    assert isinstance(second, Annotation)
    assert first.keypoints3d is not None
    assert second.keypoints3d is not None
    world = data["jointPositions"][0][0].reshape(24, 3)
    expected = [data["cam_poses"][0] @ [*joint, 1] for joint in world]
    np.testing.assert_allclose(first.keypoints3d.values[:, :3], np.array(expected)[:, :3], atol=1e-12)
    assert first.keypoints3d.names[22:] == ("left_hand", "right_hand")
    assert first.keypoints3d.is_exact
    assert not second.keypoints3d.is_exact, "300 betas made these joints, ten make others"


def test_nested_sequence_folder_is_accepted(tmp_path: Path) -> None:
    _, unit = write(tmp_path, sequence(), "sequenceFiles/sequenceFiles/test")
    assert unit.files == ("sequenceFiles/sequenceFiles/test/downtown_test_00.pkl",)


def test_hint_counts_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "imageFiles/downtown_test_00"
    folder.mkdir(parents=True)
    for frame in range(FRAMES):
        (folder / f"image_{frame:05d}.jpg").touch()
    _, unit = write(tmp_path, sequence())
    assert unit.num_hint == FRAMES


def test_official_folder_name_is_validation(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match="sequenceFiles/validation"):
        Pw3d(tmp_path).units("validation")
    (tmp_path / "sequenceFiles/validation").mkdir(parents=True)
    with pytest.raises(RawLayoutError, match=r"sequenceFiles/validation/<sequence>\.pkl"):
        Pw3d(tmp_path).units("validation")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"poses": [np.zeros((FRAMES, 72)), np.zeros((FRAMES, 71))]}, "poses"),
        ({"trans": [np.zeros((FRAMES, 3))]}, "expected, found none"),
        ({"genders": ["f", "x"]}, "gender"),
        ({"genders": []}, "genders"),
        ({"campose_valid": [np.ones(FRAMES), np.ones(FRAMES + 1)]}, "campose_valid"),
        ({"cam_intrinsics": None}, "cam_intrinsics"),
    ],
)
def test_inconsistent_sequence_is_one_error(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    reader, unit = write(tmp_path, sequence(**changes))
    with pytest.raises(RawFileError, match=rf"downtown_test_00\.pkl: .*{expected}"):
        list(reader.read("test", unit))


def test_missing_key_is_named(tmp_path: Path) -> None:
    data = sequence()
    del data["cam_poses"]
    reader, unit = write(tmp_path, data)
    with pytest.raises(RawFileError, match=r"expected cam_poses, found only"):
        list(reader.read("test", unit))


def write_json(root: Path, name: str = "3DPW_test.json", **image_changes: Any) -> Pw3d:
    rng = np.random.default_rng(5)
    cam_param = {"focal": [1969.0, 1970.0], "princpt": [540.0, 960.0]}
    image = {"id": 7, "file_name": "image_00012.jpg", "sequence": "walk_00", "frame_idx": 12, "width": 1080}
    image |= {"height": 1920, "cam_param": cam_param} | image_changes
    smpl = {
        "shape": rng.normal(size=10).tolist(),
        "pose": rng.normal(size=72).tolist(),
        "trans": [0.1, 0.2, 4.0],
        "gender": "female",
    }
    annotation = {
        "id": 31,
        "image_id": 7,
        "person_id": 1,
        "joint_cam": rng.normal(size=(24, 3)).tolist(),
        "joint_img": rng.normal(size=(24, 2)).tolist(),
        "fitted_joint_cam": rng.normal(size=(24, 3)).tolist(),
        "openpose_result": rng.uniform(size=(18, 3)).tolist(),
        "bbox": [100.0, 200.0, 120.0, 240.0],
        "smpl_param": smpl,
    }
    broken = annotation | {"id": 32, "person_id": 0, "smpl_param": smpl | {"pose": [0.0] * 69}}
    root.mkdir(exist_ok=True)
    (root / name).write_text(json.dumps({"images": [image], "annotations": [annotation, broken]}))
    return Pw3d(root, form="json")


@pytest.mark.parametrize("name", ["3DPW_test.json", "3DPW_latest_test.json"])
def test_json_form_is_in_the_camera_frame(tmp_path: Path, name: str) -> None:
    reader = write_json(tmp_path, name)
    [unit] = reader.units("test")
    assert (unit.id, unit.num_hint, unit.files) == ("walk_00", 2, (name,))
    person, broken = reader.read("test", unit)
    assert isinstance(person, Annotation)
    assert (person.provenance.sequence, person.provenance.frame, person.provenance.person) == ("walk_00", "00012", "1")
    assert person.provenance.source_row == "id=31"
    assert person.image.path == "imageFiles/walk_00/image_00012.jpg"
    assert person.image_size_px == (1080, 1920)
    assert person.body is not None
    assert person.body.to_cam is None
    assert person.body.gender == "female"
    np.testing.assert_array_equal(person.body.transl_m, [0.1, 0.2, 4.0])
    np.testing.assert_allclose(person.boxes.person_xywh_px, [110, 220, 100, 200, 1], rtol=1e-6)
    detected, projected = person.keypoints2d
    assert detected.names[0] == "nose_openpose"
    assert (projected.names[0], projected.origin, projected.is_exact) == ("pelvis", "projected", False)
    assert person.keypoints3d is not None
    np.testing.assert_array_equal(projected.values[:, 2] > 0, person.keypoints3d.values[:, 2] > 0)
    assert not person.keypoints3d.is_exact, "trans carries the neutral pelvis, joint_cam does not"
    assert isinstance(broken, Reject)
    assert broken.reason == "malformed"
    assert "pose" in broken.detail


@pytest.mark.parametrize(("key", "value"), [("joint_cam", "x"), ("bbox", None), ("openpose_result", [[1], [2, 3]])])
def test_json_person_with_a_wrong_value_is_rejected_alone(tmp_path: Path, key: str, value: Any) -> None:
    reader = write_json(tmp_path)
    content = json.loads((tmp_path / "3DPW_test.json").read_text())
    right = content["annotations"][0]
    content["annotations"] = [right, right | {key: value}]
    (tmp_path / "3DPW_test.json").write_text(json.dumps(content))
    [unit] = reader.units("test")
    kept, wrong = reader.read("test", unit)
    assert isinstance(kept, Annotation)
    assert isinstance(wrong, Reject)
    assert wrong.reason == "malformed"
    assert key in wrong.detail


def test_json_without_file_name_uses_the_frame_index(tmp_path: Path) -> None:
    reader = write_json(tmp_path)
    content = json.loads((tmp_path / "3DPW_test.json").read_text())
    del content["images"][0]["file_name"]
    (tmp_path / "3DPW_test.json").write_text(json.dumps(content))
    [unit] = reader.units("test")
    person = next(iter(reader.read("test", unit)))
    assert person.provenance.image_path == "imageFiles/walk_00/image_00012.jpg"
