"""SPEC-SYN and SPEC-MTP labels, hand-made from their description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harmonize.annotation import Annotation
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.spec import Spec

COUNT = 3


def labels(root: Path, file: str = "spec-syn/annotations/train.npz", **changes: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(6)
    intrinsics = np.tile(np.eye(3), (COUNT, 1, 1))
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = [900.0, 1200.0, 1500.0]
    intrinsics[:, :2, 2] = [960.0, 540.0]
    rows: dict[str, Any] = {
        "imgname": np.array([f"images/img_a_b_c_{n}.png" for n in range(COUNT)]),
        "center": rng.uniform(300, 800, (COUNT, 2)),
        "scale": rng.uniform(1, 3, COUNT),
        "pose": rng.normal(size=(COUNT, 72)) * 0.3,
        "pose_0yaw_inverseyz": np.full((COUNT, 72), 9.0),
        "shape": rng.normal(size=(COUNT, 10)),
        "part": rng.uniform(1, 900, (COUNT, 24, 3)),
        "openpose": rng.uniform(1, 900, (COUNT, 25, 3)),
        "openpose_gt": rng.uniform(1, 900, (COUNT, 25, 3)),
        "S": rng.normal(size=(COUNT, 24, 4)),
        "focal_length": np.full((COUNT, 1), 777.0),
        "cam_center": np.tile([960.0, 540.0], (COUNT, 1)),
        "cam_rotmat": Rotation.from_euler("xz", rng.normal(size=(COUNT, 2))).as_matrix(),
        "cam_trans": np.full((COUNT, 3), 5.0),
        "cam_int": intrinsics,
        "camcalib_f_pix": np.full(COUNT, 1.0),
    } | changes
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{key: value for key, value in rows.items() if value is not None})
    return rows


def people(root: Path, split: str = "train") -> list[Annotation]:
    reader = Spec(root)
    [unit] = reader.units(split)
    assert unit.num_hint == COUNT
    return [item for item in reader.read(split, unit) if isinstance(item, Annotation)]


@pytest.mark.parametrize(
    ("file", "base"), [("spec-syn/annotations/train.npz", "spec-syn/"), ("annotations/train.npz", "")]
)
def test_the_camera_turns_the_body_and_its_place_is_solved(tmp_path: Path, file: str, base: str) -> None:
    rows = labels(tmp_path, file)
    one = people(tmp_path)[1]
    body = one.body
    assert body is not None
    assert (body.model, body.gender, body.hands) == ("smpl", "neutral", "absent")
    np.testing.assert_array_equal(body.pose_aa.ravel(), rows["pose"][1], "not the pose without yaw of the 3DPW file")
    assert body.to_cam is not None
    np.testing.assert_array_equal(body.to_cam.rotmat, rows["cam_rotmat"][1])
    assert not body.to_cam.transl_m.any(), "cam_trans is of the scene"
    assert body.transl_m is None
    assert body.is_transl_solved
    np.testing.assert_array_equal(one.camera.focal_px, 1200)
    assert one.camera.is_calibrated
    assert not one.camera.has_extrinsics
    assert one.keypoints3d is None
    assert (one.provenance.sequence, one.provenance.frame, one.provenance.person) == ("images", "img_a_b_c_1", "1")
    assert (one.provenance.label_origin, one.image.path) == ("synthetic", f"{base}images/img_a_b_c_1.png")
    assert one.image_size_px == (1920, 1080)


def test_a_camera_that_is_none_rejects_its_person(tmp_path: Path) -> None:
    intrinsics = np.tile(np.eye(3), (COUNT, 1, 1))
    intrinsics[1, 0, 0] = np.nan
    labels(tmp_path, cam_int=intrinsics)
    reader = Spec(tmp_path)
    [unit] = reader.units("train")
    items = list(reader.read("train", unit))
    assert [getattr(item, "reason", "") for item in items] == ["", "malformed", ""]


def test_projected_points_come_before_the_others(tmp_path: Path) -> None:
    rows = labels(tmp_path)
    first, second = people(tmp_path)[0].keypoints2d
    assert (first.names[1], first.origin) == ("neck_openpose", "projected")
    np.testing.assert_array_equal(first.values[:, :2], rows["openpose_gt"][0, :, :2])
    assert first.values[0, 2] == 0, "the first point is the head, not the nose"
    assert second.names[0] == "right_ankle"
    np.testing.assert_array_equal(second.values[:, :2], rows["part"][0, :, :2])


def test_detections_serve_where_nothing_was_projected(tmp_path: Path) -> None:
    rows = labels(tmp_path, openpose_gt=None, part=None)
    [points] = people(tmp_path)[0].keypoints2d
    assert points.origin == "detected"
    np.testing.assert_array_equal(points.values[:, :2], rows["openpose"][0, :, :2])
    assert points.values[0, 2] == 1


@pytest.mark.parametrize("shape", [(COUNT,), (COUNT, 1), (COUNT, 2)])
def test_focal_lengths_of_three_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    labels(tmp_path, cam_int=None, focal_length=np.full(shape, 777.0))
    np.testing.assert_array_equal(people(tmp_path)[2].camera.focal_px, 777)


def test_the_other_pose_serves_where_it_is_alone(tmp_path: Path) -> None:
    labels(tmp_path, pose=None)
    body = people(tmp_path)[0].body
    assert body is not None
    np.testing.assert_array_equal(body.pose_aa, 9.0)


def test_spec_mtp_has_poses_in_the_camera(tmp_path: Path) -> None:
    poses = np.full((COUNT, 72), 0.25)
    labels(tmp_path, "spec-mtp/annotations/test.npz", pose_cam=poses)
    one = people(tmp_path, "mtp_test")[0]
    assert one.body is not None
    np.testing.assert_array_equal(one.body.pose_aa, 0.25)
    assert one.body.to_cam is None
    assert (one.provenance.label_origin, one.image_size_px) == ("fit", None)
    assert one.image.path == "spec-mtp/images/img_a_b_c_0.png"


def test_pose_cam_does_not_count_in_spec_syn(tmp_path: Path) -> None:
    rows = labels(tmp_path, "spec-syn/annotations/test.npz", pose_cam=np.full((COUNT, 72), 0.25))
    body = people(tmp_path, "test")[0].body
    assert body is not None
    np.testing.assert_array_equal(body.pose_aa.ravel(), rows["pose"][0])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cam_rotmat": None}, "expected cam_rotmat, found only"),
        ({"pose": None, "pose_0yaw_inverseyz": None}, "expected pose"),
        ({"shape": np.zeros((COUNT, 11))}, "shape"),
        ({"imgname": np.zeros(COUNT)}, "imgname"),
        ({"part": None, "openpose": None, "openpose_gt": None}, "at least one of them"),
        ({"cam_int": None, "focal_length": np.zeros((COUNT, 3))}, "focal_length"),
    ],
)
def test_arrays_that_do_not_fit_are_one_error(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    labels(tmp_path, **changes)
    with pytest.raises(RawFileError, match=rf"train\.npz.*{expected}"):
        people(tmp_path)


def test_a_wrong_root_is_told_in_the_datasets_words(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match=r"spec-syn/annotations/train\.npz or annotations/train\.npz"):
        people(tmp_path)
