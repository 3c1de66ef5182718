"""HumanData files of several ages and converters, hand-made from the format's description, and real old ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, NamedPoints, Reject
from harmonize.errors import RawFileError
from harmonize.keypoints import convention
from harmonize.readers import humandata
from harmonize.readers.humandata import HumanData
from harmonize.readers.humandata_pictures import foreign_prefix

NUM = 3
MASK = np.zeros(190, np.uint8)
MASK[[0, 1, 2, 12, 55, 60, 153]] = 1


def smplx(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    params: dict[str, Any] = {
        key: rng.normal(size=(NUM, 3)) for key in ("global_orient", "jaw_pose", "leye_pose", "reye_pose")
    }
    params |= {"body_pose": rng.normal(size=(NUM, 21, 3)), "betas": rng.normal(size=(NUM, 10))}
    params |= {key: rng.normal(size=(NUM, 15, 3)) for key in ("left_hand_pose", "right_hand_pose")}
    params |= {"expression": rng.normal(size=(NUM, 10)), "transl": rng.normal((0, 0, 5), size=(NUM, 3))}
    return {key: values.astype(np.float32) for key, values in params.items()} | changes


def content(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(4)
    points2d = rng.uniform(100, 200, (NUM, 190, 3))
    points2d[:, :, 2] = 1
    points3d = rng.uniform(4, 6, (NUM, 190, 4))
    points3d[:, :, 3] = 1
    meta = {
        "height": [480] * NUM,
        "width": [640] * NUM,
        "focal_length": [[900.0, 901.0]] * NUM,
        "principal_point": [[320.0, 240.0]] * NUM,
        "gender": ["m", "female", "neutral"],
    }
    data = {
        "image_path": np.array([f"seq_1/frame_{row:03d}.jpg" for row in range(NUM)]),
        "bbox_xywh": np.tile([90.0, 90.0, 120.0, 120.0, 1.0], (NUM, 1)),
        "lhand_bbox_xywh": np.tile([100.0, 100.0, 20.0, 20.0, 0.0], (NUM, 1)),
        "smplx": smplx(),
        "keypoints2d_smplx": points2d * MASK[:, None],
        "keypoints2d_smplx_mask": MASK,
        "keypoints3d_smplx": points3d * MASK[:, None],
        "keypoints3d_smplx_mask": MASK,
        "meta": meta,
        "misc": {"flat_hand_mean": False, "bbox_body_scale": 1.0},
        "config": "rich_train",
        "__data_len__": -1,
        "__keypoints_compressed__": False,
    }
    return data | changes


def write(root: Path, data: dict[str, Any], name: str = "rich_train_0.npz", dataset: str = "rich") -> HumanData:
    np.savez(
        root / name,
        **{key: np.array(value, object) if isinstance(value, dict) else value for key, value in data.items()},
    )
    return HumanData(root, dataset=dataset)


def read(reader: HumanData, split: str = "train") -> list[Annotation | Reject]:
    return [person for unit in reader.units(split) for person in reader.read(split, unit)]


def people(reader: HumanData, split: str = "train") -> list[Annotation]:
    results = read(reader, split)
    assert all(isinstance(result, Annotation) for result in results)
    return [result for result in results if isinstance(result, Annotation)]


def points_of(person: Annotation) -> NamedPoints:
    [points] = person.keypoints2d
    return points


def test_rows_carry_parameters_camera_points_and_names(tmp_path: Path) -> None:
    data = content()
    result = people(write(tmp_path, data))[1]
    assert result.provenance.sequence == "rich_train_0/seq_1"
    assert (result.provenance.frame, result.provenance.person) == ("frame_001", "1")
    assert result.image_size_px == (640, 480)
    np.testing.assert_allclose(result.camera.focal_px, [900, 901])
    body, params = result.body, data["smplx"]
    assert body is not None
    assert (body.model, body.gender, body.hands) == ("smplx", "female", "relative")
    order = ("global_orient", "body_pose", "jaw_pose", "leye_pose", "reye_pose", "left_hand_pose", "right_hand_pose")
    np.testing.assert_array_equal(body.pose_aa, np.concatenate([params[key][1].reshape(-1, 3) for key in order]))
    np.testing.assert_array_equal(body.transl_m, params["transl"][1])
    assert body.has_left_hand
    assert body.has_eyes
    assert body.has_expression
    assert body.is_transl_metric
    points = points_of(result)
    assert points.names == tuple(np.array(convention("human_data_190").names)[MASK == 1])
    assert points.names[-1] == "nose_openpose"
    np.testing.assert_allclose(points.values, data["keypoints2d_smplx"][1][MASK == 1], rtol=1e-6)
    assert points.origin == "projected"
    assert points.is_exact
    assert result.keypoints3d is not None
    assert result.keypoints3d.values.shape == (7, 4)
    np.testing.assert_allclose(result.boxes.person_xywh_px, [90, 90, 120, 120, 1])
    assert result.boxes.left_hand_xywh_px[4] == 0, "confidence 0: no hand box"


@pytest.mark.parametrize("flag", [True, None])
def test_compressed_points_go_back_to_their_names(tmp_path: Path, flag: bool | None) -> None:
    data = content()
    full = points_of(people(write(tmp_path, data))[0])
    for key in ("keypoints2d_smplx", "keypoints3d_smplx"):
        data[key] = data[key][:, MASK == 1]
    del data["__keypoints_compressed__"]
    if flag is not None:
        data["__keypoints_compressed__"] = flag
    packed = points_of(people(write(tmp_path, data))[0])
    assert packed.names == full.names
    np.testing.assert_array_equal(packed.values, full.values)


def test_flat_shapes_empty_eyes_and_four_column_boxes(tmp_path: Path) -> None:
    data = content(bbox_xywh=np.tile([90.0, 90.0, 120.0, 120.0], (NUM, 1)))
    expected = people(write(tmp_path, content()))[0]
    data["smplx"] = smplx(leye_pose=np.zeros((0, 3)), reye_pose=np.zeros((0, 3)))
    data["smplx"]["body_pose"] = data["smplx"]["body_pose"].reshape(NUM, 63)
    data["smplx"]["left_hand_pose"] = data["smplx"]["left_hand_pose"].reshape(NUM, 45)
    result = people(write(tmp_path, data))[0]
    assert result.body is not None
    assert expected.body is not None
    np.testing.assert_array_equal(result.body.pose_aa[1:23], expected.body.pose_aa[1:23])
    np.testing.assert_array_equal(result.body.pose_aa[23:25], 0)
    assert not result.body.has_eyes
    np.testing.assert_array_equal(result.boxes.person_xywh_px, expected.boxes.person_xywh_px)


@pytest.mark.parametrize(
    ("misc", "inside", "name", "dataset", "hands"),
    [
        ({"flat_hand_mean": True}, None, "rich_train_0.npz", "rich", "absolute"),
        ({"flat_hand_mean": False}, True, "rich_train_0.npz", "rich", "relative"),
        ({}, True, "bedlam_train.npz", "bedlam", "absolute"),
        ({}, None, "rich_train_0.npz", "rich", "relative"),
        ({}, None, "gta_human2multiple_230406_04000_0.npz", "gta_human2", "absolute"),
        ({}, None, "FIT3D_train_230511_1504_0.npz", "fit3d", "absolute"),
        ({"flat_hand_mean": False}, None, "fit3d_train_0.npz", "fit3d", "relative"),
        ({}, None, "p1_train.npz", "arctic", "absolute"),
    ],
)
def test_hand_mean_is_looked_up_in_order(
    tmp_path: Path, misc: dict[str, Any], inside: bool | None, name: str, dataset: str, hands: str
) -> None:
    params = smplx() if inside is None else smplx(flat_hand_mean=np.full(NUM, inside))
    reader = write(tmp_path, content(misc=misc, smplx=params, config=""), name, dataset)
    body = people(reader, reader.splits[0])[0].body
    assert body is not None
    assert body.hands == hands


def test_bedlam_is_neutral_with_eleven_betas_whatever_meta_says(tmp_path: Path) -> None:
    params = smplx(betas=np.ones((NUM, 11)), betas_neutral=np.ones((NUM, 11)), expression=np.zeros((NUM, 10)))
    person = people(write(tmp_path, content(smplx=params), "bedlam_train.npz", "bedlam"))[0]
    assert points_of(person).is_exact
    body = person.body
    assert body is not None
    assert body.gender == "neutral"
    assert len(body.betas) == 11
    assert not body.has_expression, "zero in every row: not modelled"


def test_neutral_refit_beside_gendered_betas(tmp_path: Path) -> None:
    params = smplx(betas_neutral=np.full((NUM, 10), 0.5))
    male, female, neutral = people(write(tmp_path, content(smplx=params)))
    for person, gender in ((male, "male"), (female, "female")):
        assert person.body is not None
        assert person.body.gender == gender
        assert person.body.neutral_betas is not None
        np.testing.assert_array_equal(person.body.neutral_betas, 0.5)
        np.testing.assert_array_equal(person.body.betas, params["betas"][0 if gender == "male" else 1])
    assert neutral.body is not None
    assert neutral.body.neutral_betas is None
    meta = content()["meta"]
    del meta["gender"]
    unknown = people(write(tmp_path, content(smplx=params, meta=meta)))[0]
    assert unknown.body is not None
    assert unknown.body.gender == "neutral"
    np.testing.assert_array_equal(unknown.body.betas, 0.5)
    assert not points_of(unknown).is_exact, "the points come from the gendered body"


def test_agora_points_are_not_exact_and_its_children_keep_their_weight(tmp_path: Path) -> None:
    params = smplx(betas_extra=np.array([[0.0], [0.3], [0.4]]), betas_neutral=np.ones((NUM, 10)))
    meta = content()["meta"] | {"annot_valid": [True, True, False]}
    del meta["width"]
    misc = {"image_size": (3840, 2160)}
    data = content(smplx=params, meta=meta, misc=misc)
    adult, girl, invalid = read(write(tmp_path, data, "agora_train_3840_231031_1.npz", "agora"))
    assert isinstance(adult, Annotation)
    assert isinstance(girl, Annotation)
    assert isinstance(invalid, Reject)
    assert invalid.reason == "invalid-label"
    assert adult.image_size_px == (3840, 2160), "AGORA's is width, height"
    assert not points_of(adult).is_exact
    assert girl.keypoints2d == (), "made with the neutral adult"
    assert girl.keypoints3d is None
    assert adult.body is not None
    assert girl.body is not None
    assert (adult.body.gender, adult.body.kid_weight) == ("male", 0.0)
    assert (girl.body.gender, girl.body.kid_weight, girl.body.neutral_betas) == ("neutral", pytest.approx(0.3), None)


def test_smpl_has_no_hands_and_smplx_wins_over_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    smpl = {
        "global_orient": rng.normal(size=(NUM, 3)),
        "body_pose": rng.normal(size=(NUM, 69)),
        "betas": rng.normal(size=(NUM, 10)),
        "transl": rng.normal(size=(NUM, 3)),
    }
    data = content(smpl=smpl)
    both = people(write(tmp_path, data))[0].body
    assert both is not None
    assert both.model == "smplx"
    del data["smplx"]
    alone = people(write(tmp_path, data))[0].body
    assert alone is not None
    assert (alone.model, alone.hands, alone.has_left_hand) == ("smpl", "absent", False)
    assert alone.pose_aa.shape == (24, 3)


def test_smplh_is_52_joints(tmp_path: Path) -> None:
    params = smplx()
    for key in ("jaw_pose", "leye_pose", "reye_pose", "expression"):
        del params[key]
    data = content(smplh=params)
    del data["smplx"]
    body = people(write(tmp_path, data))[0].body
    assert body is not None
    assert (body.model, body.hands, body.has_jaw) == ("smplh", "relative", False)
    np.testing.assert_array_equal(body.pose_aa[22:37], params["left_hand_pose"][0])


def test_validity_per_row_and_declared_but_unfilled_lists(tmp_path: Path) -> None:
    meta = content()["meta"] | {"lefthand_valid": [True, False, True], "face_valid": []}
    first, second, _ = people(write(tmp_path, content(meta=meta)))
    assert first.body is not None
    assert second.body is not None
    assert (first.body.has_left_hand, second.body.has_left_hand, second.body.has_right_hand) == (True, False, True)
    assert second.body.has_jaw


def test_wrong_boxes_are_dropped_and_their_people_kept(tmp_path: Path) -> None:
    boxes = np.array([[90.0, 140.0, 312.0, 28.0, 1], [300.0, 300.0, 50.0, 50.0, 1], [90.0, 90.0, -5.0, 20.0, 1]])
    results = people(write(tmp_path, content(bbox_xywh=boxes)))
    assert [float(person.boxes.person_xywh_px[4]) for person in results] == [0, 0, 0]
    assert all(person.boxes.person_origin == "none" for person in results)


def test_declared_padding_is_taken_off(tmp_path: Path) -> None:
    misc = {"flat_hand_mean": False, "bbox_body_scale": 1.2}
    person = people(write(tmp_path, content(misc=misc)))[0]
    np.testing.assert_allclose(person.boxes.person_xywh_px, [100, 100, 100, 100, 1])


@pytest.mark.parametrize("aligned", ["by-misc", "by-depth"])
def test_points_around_the_pelvis_are_no_camera_points(tmp_path: Path, aligned: str) -> None:
    data = content()
    if aligned == "by-misc":
        data["misc"] = {"kps3d_root_aligned": True}
    else:
        data["keypoints3d_smplx"] = data["keypoints3d_smplx"] - [0, 0, 5, 0]
    assert all(person.keypoints3d is None for person in people(write(tmp_path, data)))


def test_image_size_of_misc_is_not_trusted(tmp_path: Path) -> None:
    meta = content()["meta"]
    del meta["height"]
    person = people(write(tmp_path, content(meta=meta, misc={"image_size": (480, 640)})))[0]
    assert person.image_size_px is None
    behave = write(tmp_path, content(meta=meta, misc={"image_size": (1536, 2048)}), "behave_train_1.npz", "behave")
    assert people(behave)[0].image_size_px == (2048, 1536), "its pictures lie, whatever misc says"


def test_constant_camera_of_misc(tmp_path: Path) -> None:
    misc = {"focal_length": 1500.0, "principal_point": (320, 240), "smplx_source": "neural_annot"}
    person = people(write(tmp_path, content(meta={}, misc=misc)))[0]
    np.testing.assert_allclose(person.camera.focal_px, 1500)
    np.testing.assert_allclose(person.camera.principal_point_px, [320, 240])
    assert not person.camera.is_calibrated
    assert person.provenance.label_origin == "neuralannot"
    assert person.body is not None
    assert not person.body.is_transl_metric


def test_a_body_without_translation_keeps_its_pose(tmp_path: Path) -> None:
    params = smplx()
    del params["transl"]
    results = read(write(tmp_path, content(smplx=params)))
    assert len(results) == NUM
    for result in results:
        assert isinstance(result, Annotation)
        assert result.body is not None
        assert result.body.transl_m is None


def test_row_filters_of_ubody(tmp_path: Path) -> None:
    meta = content()["meta"] | {"iscrowd": [1, 0, 0], "num_keypoints": [5, 0, 5], "valid_label": [2, 2, 0]}
    results = read(write(tmp_path, content(meta=meta)))
    assert [result.reason for result in results if isinstance(result, Reject)] == [
        "crowd",
        "no-keypoints",
        "invalid-label",
    ]


def test_a_size_that_no_picture_has_rejects_its_row_alone(tmp_path: Path) -> None:
    meta = content()["meta"] | {"height": [480.0, np.nan, 480.0]}
    first, wrong, last = read(write(tmp_path, content(meta=meta)))
    assert isinstance(first, Annotation)
    assert isinstance(last, Annotation)
    assert isinstance(wrong, Reject)
    assert wrong.reason == "malformed"
    assert "meta: field 'height'" in wrong.detail


@pytest.mark.parametrize("paths", [np.zeros(0, "U1"), np.array("a.jpg"), np.full((NUM, 2), "a.jpg")])
def test_a_file_without_one_path_a_row_is_an_error(tmp_path: Path, paths: np.ndarray) -> None:
    with pytest.raises(RawFileError, match=r"rich_train_0\.npz: field 'image_path': expected one path a row"):
        write(tmp_path, content(image_path=paths)).units("train")


def test_units_are_row_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(humandata, "ROWS_PER_UNIT", 2)
    write(tmp_path, content(), "rich_test_1.npz")
    reader = write(tmp_path, content(), "rich_train_1.npz")
    assert reader.splits == ("train", "test"), "those that are at hand"
    units = reader.units("train")
    assert [(unit.files, unit.num_hint) for unit in units] == [(("rich_train_1.npz",), 2), (("rich_train_1.npz",), 1)]
    rows = [person.provenance.person for unit in units for person in reader.read("train", unit)]
    assert rows == ["0", "1", "2"]


def test_absolute_paths_lose_what_belongs_to_another_machine(tmp_path: Path) -> None:
    paths = ["/mnt/lustre/share/h36m/S7/images/a.jpg", "/mnt/lustre/share/h36m/S9/images/b.jpg"]
    assert foreign_prefix(["S7/images/a.jpg"], tmp_path, "h36m") == ""
    assert foreign_prefix(paths, tmp_path, "h36m") == "/mnt/lustre/share/h36m/"
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").touch()
    assert foreign_prefix(paths, tmp_path, "h36m") == "/mnt/lustre/share/h36m/S7/"
    assert foreign_prefix(["/data/x/a.jpg"], tmp_path, "coco") == "/"
    for path, folder in (("/data//images/a.jpg", "/"), (f"/{'x' * 300}/b.jpg", "h36m"), ("C:/x/b.jpg", "C:")):
        assert path.startswith(foreign_prefix([path], tmp_path, folder))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"smplx": {"body_pose": np.zeros((NUM, 63)), "betas": np.zeros((NUM, 10))}}, r"smplx\.global_orient"),
        ({"smplx": smplx(body_pose=np.zeros((NUM, 24, 3)))}, r"smplx\.body_pose"),
        ({"smplx": smplx(transl=np.zeros((NUM, 4)))}, r"smplx\.transl"),
        ({"smplx": smplx(betas_neutral=np.zeros((NUM, 3)))}, r"smplx\.betas_neutral"),
        ({"smplx": smplx(betas=[[1.0], [1.0, 2.0], [3.0]])}, r"smplx\.betas"),
        ({"misc": {"bbox_body_scale": "wide"}}, "bbox_body_scale"),
        ({"meta": {"gender": 5}}, r"meta\.gender"),
        ({"bbox_xywh": np.zeros((NUM, 3))}, "bbox_xywh"),
        ({"keypoints2d_smplx": np.zeros((NUM, 50, 3))}, "keypoints2d_smplx"),
    ],
)
def test_other_shapes_are_one_error(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(RawFileError, match=rf"rich_train_0\.npz: .*{expected}"):
        read(write(tmp_path, content(**changes)))


def test_a_file_without_pictures_is_no_humandata(tmp_path: Path) -> None:
    np.savez(tmp_path / "rich_train.npz", a=np.zeros(3))
    with pytest.raises(RawFileError, match=r"rich_train\.npz: field 'image_path': expected, found a"):
        HumanData(tmp_path, dataset="rich").units("train")
