"""Fit3D, CHI3D and HumanSC3D: one format, hand-made from its description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.geometry.cameras import project_with
from harmonize.keypoints import convention
from harmonize.readers.base import Reader
from harmonize.readers.chi3d import Chi3d
from harmonize.readers.fit3d import Fit3d
from harmonize.readers.humansc3d import Humansc3d
from harmonize.readers.imar import JOINTS_25

SUBJECT, CAMERA, ACTION = "s03", "50591643", "Hug 6"
PARTS = {
    "global_orient": 1,
    "body_pose": 21,
    "jaw_pose": 1,
    "leye_pose": 1,
    "reye_pose": 1,
    "left_hand_pose": 15,
    "right_hand_pose": 15,
}
LENS = {"f": [[1145.0, 1143.0]], "c": [[448.5, 455.2]], "k": [[-0.2, 0.24, -0.002]], "p": [[-0.004, 0.009]]}
R = Rotation.from_euler("xyz", [100, 20, 5], degrees=True).as_matrix()
CENTRE = np.array([0.5, -4.0, 1.6])


def pose(*leading: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Axis-angles of a person or two, below pi."""
    rng = np.random.default_rng(seed)
    return {key: rng.uniform(-1, 1, (*leading, count, 3)) for key, count in PARTS.items()}


def fit(poses: dict[str, np.ndarray], seed: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    leading = poses["global_orient"].shape[:-2]
    content = {
        key: Rotation.from_rotvec(aa.reshape(-1, 3)).as_matrix().reshape(*aa.shape, 3).tolist()
        for key, aa in poses.items()
    }
    return content | {
        key: rng.normal(size=(*leading, n)).tolist() for key, n in (("transl", 3), ("betas", 10), ("expression", 10))
    }


def write(root: Path, content: dict[str, Any], joints: np.ndarray, *, camera: dict[str, Any] | None = None) -> None:
    camera = camera or {
        "extrinsics": {"R": R.tolist(), "T": [CENTRE.tolist()]},
        "intrinsics_w_distortion": LENS,
        "intrinsics_wo_distortion": {"f": [1100.0, 1100.0], "c": [450.0, 450.0]},
    }
    for folder, value in (
        ("smplx", content),
        ("joints3d_25", {"joints3d_25": joints.tolist()}),
        (f"camera_parameters/{CAMERA}", camera),
    ):
        path = root / "train" / SUBJECT / folder / f"{ACTION}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))


def read(reader: Reader) -> list[Annotation | Reject]:
    return [item for unit in reader.units("train") for item in reader.read("train", unit)]


def kept(reader: Reader) -> list[Annotation]:
    items = read(reader)
    people = [item for item in items if isinstance(item, Annotation)]
    assert len(people) == len(items)
    return people


def test_rotation_matrices_become_axis_angles_and_stay_absolute(tmp_path: Path) -> None:
    poses = pose(3)
    content = fit(poses)
    write(tmp_path, content, np.zeros((3, 25, 3)))
    people = kept(Fit3d(tmp_path))
    assert len(people) == 3
    for frame, person in enumerate(people):
        body = person.body
        assert body is not None
        assert (body.model, body.gender, body.hands) == ("smplx", "neutral", "absolute")
        np.testing.assert_allclose(body.pose_aa, np.concatenate([aa[frame] for aa in poses.values()]), atol=1e-9)
        for key, value in (("betas", body.betas), ("transl", body.transl_m), ("expression", body.expression)):
            np.testing.assert_array_equal(value, content[key][frame])
        source = person.provenance
        assert (source.sequence, source.frame) == (f"{SUBJECT}/{CAMERA}/{ACTION}", f"{frame:05d}")
        assert (source.person, source.label_origin) == ("0", "capture")


def test_the_translation_of_a_camera_is_its_centre(tmp_path: Path) -> None:
    joints = np.random.default_rng(2).normal(size=(1, 25, 3))
    write(tmp_path, fit(pose(1)), joints)
    [person] = kept(Humansc3d(tmp_path))
    assert person.body is not None
    assert person.body.to_cam is not None
    expected = (joints[0] - CENTRE) @ R.T
    for rotmat, offset in (
        (person.body.to_cam.rotmat, person.body.to_cam.transl_m),
        (person.camera.world_to_cam_rotmat, person.camera.world_to_cam_transl_m),
    ):
        np.testing.assert_allclose(joints[0] @ rotmat.T + offset, expected, atol=1e-5)
    assert person.keypoints3d is not None
    assert person.keypoints3d.origin == "measured"
    np.testing.assert_allclose(person.keypoints3d.values[:, :3], expected, atol=1e-12)


def test_the_lens_is_the_toolboxs_own_not_opencvs_and_not_a_pinhole(tmp_path: Path) -> None:
    write(tmp_path, fit(pose(1)), np.zeros((1, 25, 3)))
    [person] = kept(Fit3d(tmp_path))
    points = np.random.default_rng(3).uniform([-1, -1, 3], [1, 1, 5], (20, 3))
    rays = points[:, :2] / points[:, 2:]
    radius2 = (rays**2).sum(axis=1, keepdims=True)
    k1, k2, k3 = LENS["k"][0]
    swapped = np.array(LENS["p"][0])[::-1]
    factor = 1 + k1 * radius2 + k2 * radius2**2 + k3 * radius2**3 + (rays @ swapped)[:, None]
    expected = (rays * factor + radius2 * swapped) * LENS["f"][0] + LENS["c"][0]
    np.testing.assert_allclose(project_with(person.camera, points), expected, atol=1e-3)
    assert person.camera.is_calibrated
    assert person.image_size_px == (900, 900)


def test_the_25_joints_are_not_openposes(tmp_path: Path) -> None:
    assert len(JOINTS_25) == 25
    assert JOINTS_25[:4] == ("pelvis_extra", "left_hip_extra", "left_knee", "left_ankle")
    assert JOINTS_25[4:7] == ("right_hip_extra", "right_knee", "right_ankle")
    assert JOINTS_25[17:] != convention("openpose_25").names[17:]
    joints = np.zeros((1, 25, 3))
    joints[0, 3] = np.nan
    write(tmp_path, fit(pose(1)), joints)
    [person] = kept(Fit3d(tmp_path))
    assert person.keypoints3d is not None
    assert person.keypoints3d.names == JOINTS_25
    np.testing.assert_array_equal(person.keypoints3d.values[3], 0)
    assert person.keypoints3d.values[:, 3].sum() == 24


def test_two_people_share_every_frame_of_chi3d(tmp_path: Path) -> None:
    poses = pose(2, 3)
    write(tmp_path, fit(poses), np.zeros((2, 3, 25, 3)))
    people = kept(Chi3d(tmp_path))
    assert [(one.provenance.frame, one.provenance.person) for one in people[:4]] == [
        ("00000", "0"),
        ("00000", "1"),
        ("00001", "0"),
        ("00001", "1"),
    ]
    assert [one.provenance.label_origin for one in people[:2]] == ["capture", "multi-view"]
    for number, one in enumerate(people):
        assert one.body is not None
        np.testing.assert_allclose(one.body.pose_aa[0], poses["global_orient"][number % 2, number // 2, 0], atol=1e-9)


def test_an_old_download_of_chi3d_has_the_marked_person_alone(tmp_path: Path) -> None:
    write(tmp_path, fit(pose(3)), np.zeros((3, 25, 3)))
    assert [one.provenance.person for one in kept(Chi3d(tmp_path))] == ["0"] * 3


@pytest.mark.parametrize("reader", [Fit3d, Humansc3d])
def test_a_second_person_is_no_fit3d(tmp_path: Path, reader: type[Reader]) -> None:
    write(tmp_path, fit(pose(2, 3)), np.zeros((2, 3, 25, 3)))
    with pytest.raises(RawFileError, match=r"Hug 6\.json.*at most 1 people"):
        read(reader(tmp_path))


def test_frames_of_the_video_count_as_many_as_joints(tmp_path: Path) -> None:
    write(tmp_path, fit(pose(2)), np.zeros((2, 25, 3)))
    first, second = kept(Fit3d(tmp_path))
    assert second.image.path == f"train/{SUBJECT}/videos/{CAMERA}/{ACTION}.mp4"
    assert second.image.video is not None
    assert (second.image.video.index, second.image.video.num_frames) == (1, 2)
    assert second.provenance.image_path == second.image.name != first.image.name
    extracted = tmp_path / f"train/{SUBJECT}/frames/{CAMERA}/{ACTION}/0001.jpg"
    extracted.parent.mkdir(parents=True)
    extracted.touch()
    (tmp_path / second.image.path).parent.mkdir(parents=True)
    (tmp_path / second.image.path).touch()
    first, second = kept(Fit3d(tmp_path))
    assert first.image.video is not None, "this frame was not extracted"
    assert (tmp_path / second.image.path, second.image.video) == (extracted, None)


def test_a_root_above_or_with_test_in_its_name_is_read_too(tmp_path: Path) -> None:
    root = tmp_path / "test_of_train"
    write(root / "fit3d", fit(pose(1)), np.zeros((1, 25, 3)))
    (root / "fit3d/test/s02/videos").mkdir(parents=True)
    [person] = kept(Fit3d(root))
    assert person.provenance.source_file.startswith("fit3d/train/s03/smplx/")
    assert person.image.path.startswith("fit3d/train/s03/videos/")


def test_a_wrong_root_is_told_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match="fit3d: expected train or fit3d/train"):
        Fit3d(tmp_path).units("train")
    (tmp_path / "train").mkdir()
    with pytest.raises(RawLayoutError, match=r"train/<subject>/smplx/<action>\.json"):
        Fit3d(tmp_path).units("train")
    for folder in ("joints3d_25", "camera_parameters"):
        write(tmp_path, fit(pose(1)), np.zeros((1, 25, 3)))
        for file in (tmp_path / "train" / SUBJECT / folder).rglob("*.json"):
            file.unlink()
        with pytest.raises(RawLayoutError, match=folder):
            Fit3d(tmp_path).units("train")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("transl", np.zeros((3, 3)).tolist(), "transl"),
        ("body_pose", np.zeros((2, 24, 3, 3)).tolist(), "body_pose"),
        ("betas", [["a"] * 10] * 2, "betas"),
        ("left_hand_pose", None, "left_hand_pose"),
    ],
)
def test_other_shapes_are_refused(tmp_path: Path, key: str, value: Any, expected: str) -> None:
    write(tmp_path, fit(pose(2)) | {key: value}, np.zeros((2, 25, 3)))
    with pytest.raises(RawFileError, match=rf"smplx/Hug 6\.json.*{expected}"):
        read(Fit3d(tmp_path))


def test_a_bad_matrix_costs_its_own_frame(tmp_path: Path) -> None:
    content = fit(pose(4))
    content["body_pose"][1][4] = np.diag([1.0, 1.0, -1.0]).tolist()
    content["jaw_pose"][2][0] = np.full((3, 3), np.nan).tolist()
    content["global_orient"][3][0] = (2 * np.eye(3)).tolist()
    write(tmp_path, content, np.zeros((4, 25, 3)))
    first, *others = read(Fit3d(tmp_path))
    assert isinstance(first, Annotation)
    assert [one.reason for one in others if isinstance(one, Reject)] == [
        "not-a-rotation",
        "not-finite",
        "not-a-rotation",
    ]


def test_a_camera_without_its_lens_is_named(tmp_path: Path) -> None:
    write(tmp_path, fit(pose(1)), np.zeros((1, 25, 3)), camera={"extrinsics": {"R": R.tolist(), "T": [[0, 0, 0]]}})
    with pytest.raises(RawFileError, match=rf"{CAMERA}/Hug 6\.json: field 'intrinsics_w_distortion'"):
        read(Fit3d(tmp_path))
