"""GTA-Human II's files, hand-made from their description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.keypoints import convention
from harmonize.readers.gta_human2 import GtaHuman2

SEQUENCE, PERSON = "seq_00087011", "154131"


def labels(num: int = 2, *, is_valid: bool = True, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    points_m = rng.uniform([-1, -1, 4], [1, 1, 6], (num, 100, 3))
    points_px = points_m[..., :2] / points_m[..., 2:] * 1158.0337 + [960, 540]
    ones = np.ones((num, 100, 1))
    arrays: dict[str, Any] = {
        "is_male": np.array(True),
        "ped_action": np.array("walk"),
        "fov": np.array(50.0),
        "keypoints_2d": np.concatenate([points_px, ones], axis=2),
        "keypoints_3d": np.concatenate([points_m, ones], axis=2),
        "occ": np.zeros((num, 100), bool),
        "self_occ": np.ones((num, 100), bool),
        "num_frames": np.array(num),
        "daytime": np.array([12, 30, 0]),
        "bbox_xywh": np.tile([100.0, 200.0, 300.0, 400.0], (num, 1)),
        "is_valid_smplx": np.array(is_valid),
    }
    if is_valid:
        sizes = {"betas": 10, "body_pose": 63, "global_orient": 3, "transl": 3}
        sizes |= {"left_hand_pose": 24, "right_hand_pose": 24}
        arrays |= {key: rng.normal(size=(num, size)) for key, size in sizes.items()}
    return arrays | changes


def write(root: Path, arrays: dict[str, Any], person: str = PERSON) -> GtaHuman2:
    folder = root / "annotations" / SEQUENCE
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{person}.npz", **arrays)
    return GtaHuman2(root)


def read(reader: GtaHuman2) -> list[Annotation]:
    items = [item for unit in reader.units("train") for item in reader.read("train", unit)]
    people = [item for item in items if isinstance(item, Annotation)]
    assert len(people) == len(items)
    return people


def test_hands_are_components_without_the_mean_and_the_face_is_unknown(tmp_path: Path) -> None:
    arrays = labels()
    for frame, person in enumerate(read(write(tmp_path, arrays))):
        body = person.body
        assert body is not None
        assert (body.model, body.gender, body.hands) == ("smplx", "neutral", "absolute"), "whatever is_male says"
        for stored, found in (
            ("left_hand_pose", body.left_hand_pca),
            ("right_hand_pose", body.right_hand_pca),
            ("betas", body.betas),
            ("transl", body.transl_m),
            ("global_orient", body.pose_aa[0]),
            ("body_pose", body.pose_aa[1:22].ravel()),
        ):
            assert found is not None
            np.testing.assert_array_equal(found, arrays[stored][frame])
        assert not body.pose_aa[22:].any()
        assert (body.has_left_hand, body.has_right_hand) == (True, True)
        assert (body.has_jaw, body.has_eyes, body.has_expression) == (False, False, False)
        assert body.to_cam is None
        assert person.image.path == f"images/{SEQUENCE}/{frame:08d}.jpeg"
        assert (person.provenance.sequence, person.provenance.person) == (SEQUENCE, PERSON)


def test_the_camera_is_the_games(tmp_path: Path) -> None:
    person = read(write(tmp_path, labels()))[0]
    np.testing.assert_allclose(person.camera.focal_px, 540 / np.tan(np.deg2rad(25)), rtol=1e-6)
    np.testing.assert_array_equal(person.camera.principal_point_px, [960, 540])
    assert person.image_size_px == (1920, 1080)


def test_of_69_pose_numbers_the_first_63_count(tmp_path: Path) -> None:
    pose = np.random.default_rng(2).normal(size=(2, 69))
    person = read(write(tmp_path, labels(body_pose=pose)))[1]
    assert person.body is not None
    np.testing.assert_array_equal(person.body.pose_aa[1:22].ravel(), pose[1, :63])
    with pytest.raises(RawFileError, match=r"body_pose.*\(2, 63\)"):
        read(write(tmp_path, labels(body_pose=pose[:, :66])))


def test_people_without_a_fit_keep_their_points(tmp_path: Path) -> None:
    person = read(write(tmp_path, labels(is_valid=False)))[0]
    assert person.body is None
    assert person.keypoints3d is not None
    assert person.boxes.person_xywh_px[4] == 1


def test_boxes_are_cut_to_the_picture_and_touching_its_border_is_no_fault(tmp_path: Path) -> None:
    boxes = np.array([[-50.0, 100, 200, 300], [1280.0, 800, 100, 500]])
    first, second = read(write(tmp_path, labels(bbox_xywh=boxes)))
    np.testing.assert_array_equal(first.boxes.person_xywh_px, [0, 100, 150, 300, 1])
    np.testing.assert_array_equal(second.boxes.person_xywh_px, [1280, 800, 100, 280, 1])


def test_a_joint_that_is_no_number_is_unlabelled(tmp_path: Path) -> None:
    arrays = labels()
    arrays["keypoints_2d"][1, 7] = np.nan
    arrays["keypoints_3d"][1, 7] = np.nan
    first, second = read(write(tmp_path, arrays))
    assert first.keypoints2d[0].values[:, 2].all()
    np.testing.assert_array_equal(second.keypoints2d[0].values[7], 0)
    assert second.keypoints3d is not None
    np.testing.assert_array_equal(second.keypoints3d.values[7], 0)
    assert second.body is not None


def test_3d_points_count_only_where_they_are_in_the_camera_frame(tmp_path: Path) -> None:
    arrays = labels()
    person = read(write(tmp_path, arrays))[0]
    assert person.keypoints3d is not None
    np.testing.assert_array_equal(person.keypoints3d.values, arrays["keypoints_3d"][0])
    arrays["keypoints_3d"][..., :2] += 500.0
    assert read(write(tmp_path, arrays))[0].keypoints3d is None


def test_names_of_the_games_skeleton() -> None:
    names = convention("gta_100").names
    expected = {1: "head", 2: "neck", 4: "right_shoulder", 9: "left_elbow", 14: "pelvis", 21: "left_ankle"}
    expected |= {24: "left_foot", 49: "right_foot", 56: "left_index_1", 83: "right_pinky_1", 99: "nose"}
    assert {at: names[at] for at in expected} == expected
    assert not any(name.startswith("spine") and not name.endswith("_gta") for name in names)


def test_people_of_a_sequence_come_frame_by_frame(tmp_path: Path) -> None:
    write(tmp_path, labels(3), "000002")
    people = read(write(tmp_path, labels(2), "000001"))
    assert [(one.provenance.frame[-1], one.provenance.person[-1]) for one in people] == [
        ("0", "1"),
        ("0", "2"),
        ("1", "1"),
        ("1", "2"),
        ("2", "2"),
    ]


def test_the_internal_layout_has_other_folders(tmp_path: Path) -> None:
    folder = tmp_path / "annotations_multiple_smplx"
    folder.mkdir()
    np.savez(folder / f"{SEQUENCE}_{PERSON}.npz", **labels(1))
    [person] = read(GtaHuman2(tmp_path, form="internal"))
    assert person.image.path == f"images_multiple/{SEQUENCE}/00000000.jpeg"
    assert (person.provenance.sequence, person.provenance.person) == (SEQUENCE, PERSON)
    with pytest.raises(RawLayoutError, match="expected annotations"):
        GtaHuman2(tmp_path).units("train")


def test_the_folder_of_the_release_may_be_inside_the_root(tmp_path: Path) -> None:
    write(tmp_path / "gta-human_v2_release", labels(1))
    [person] = read(GtaHuman2(tmp_path))
    assert person.image.path == f"gta-human_v2_release/images/{SEQUENCE}/00000000.jpeg"


def test_the_first_gta_human_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / f"{SEQUENCE}.pkl").touch()
    with pytest.raises(RawLayoutError, match=r"GTA-Human \(1\)"):
        GtaHuman2(tmp_path).units("train")
    with pytest.raises(RawLayoutError, match="annotations_multiple_smplx"):
        GtaHuman2(tmp_path, form="internal").units("train")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"transl": np.zeros((1, 3))}, "transl"),
        ({"left_hand_pose": np.zeros((2, 45))}, "left_hand_pose"),
        ({"keypoints_2d": np.zeros((2, 25, 3))}, "keypoints_2d"),
        ({"is_valid_smplx": np.array("yes")}, "is_valid_smplx"),
        ({"bbox_xywh": np.array(3.0)}, "bbox_xywh"),
    ],
)
def test_other_shapes_are_refused(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(RawFileError, match=rf"{PERSON}\.npz.*{expected}"):
        read(write(tmp_path, labels(**changes)))


def test_a_missing_parameter_is_named(tmp_path: Path) -> None:
    arrays = labels()
    del arrays["global_orient"]
    with pytest.raises(RawFileError, match="expected global_orient"):
        read(write(tmp_path, arrays))
