"""AGORA's frames, fits and camera rules, hand-made from their description."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.agora import Agora
from harmonize.readers.agora_cameras import scan_to_cam, scene_camera

NAME = "ag_trainset_3dpeople_bfh_archviz_5_10_cam02_00000.png"
HDRI = "ag_trainset_renderpeople_bfh_hdri_50mm_5_10_00001.png"
ADULT = "smplx_gt/trainset_3dpeople_adults_bfh/10004_w_Amaya_0_0.obj"
BODY_ONLY = "smplx_gt/trainset_renderpeople_adults_body/rp_x_0_0.obj"
KID = "smplx_gt/trainset_axyz_kids_bfh/k1_0_0.obj"


def fit(seed: int, num_betas: int = 10) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = {"transl": 3, "global_orient": 3, "body_pose": 63, "left_hand_pose": 45, "right_hand_pose": 45}
    sizes |= {"jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "expression": 10, "betas": num_betas}
    return {key: rng.normal(size=(1, size)).astype(np.float32) for key, size in sizes.items()}


def person(path: str = ADULT, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    entry = {
        "X": 250.0,
        "Y": -40.0,
        "Z": 3.0,
        "Yaw": 25.0,
        "gender": "female",
        "kid": False,
        "occlusion": 10.0,
        "isValid": True,
        "gt_path_smplx": path,
        "gt_joints_2d": rng.uniform(0, 2000, (127, 2)),
        "gt_joints_3d": rng.normal(size=(127, 3)),
    }
    return entry | changes


def write(
    root: Path,
    people: list[dict[str, Any]],
    *,
    name: str = NAME,
    frame: str = "SMPLX/train_0_withjv.pkl",
    drop: tuple[str, ...] = (),
) -> Agora:
    row: dict[str, Any] = {key: [entry[key] for entry in people] for key in people[0] if key not in drop}
    row |= {"imgPath": name, "camX": 100.0, "camY": 50.0, "camZ": 30.0, "camYaw": 15.0}
    path = root / frame
    path.parent.mkdir(exist_ok=True)
    pd.DataFrame([row]).to_pickle(path)
    for seed, fit_path in enumerate((ADULT, BODY_ONLY, KID)):
        target = (root / fit_path).with_suffix(".pkl")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(pickle.dumps(fit(seed, 11 if fit_path == KID else 10)))
    return Agora(root)


def read(reader: Agora, split: str = "train") -> list[Annotation | Reject]:
    return [result for unit in reader.units(split) for result in reader.read(split, unit)]


def one(results: list[Annotation | Reject]) -> Annotation:
    [result] = results
    assert isinstance(result, Annotation)
    return result


def step_by_step(points: np.ndarray, camera: dict[str, Any], position_cm: list[float], yaw_deg: float) -> np.ndarray:
    """The published projection, one step after the other, with scipy's rotations."""
    unreal_to_opencv = np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0]])
    turned = Rotation.from_euler("y", yaw_deg - 90, degrees=True).apply(points * [1, -1, -1])
    world = turned + unreal_to_opencv @ np.array(position_cm) / 100
    eye = unreal_to_opencv @ np.array(camera["at_cm"]) / 100 + camera.get("ground_m", np.zeros(3))
    seen = Rotation.from_euler("y", -camera["yaw"], degrees=True).apply(world - eye)
    return Rotation.from_euler("x", camera["pitch"], degrees=True).apply(seen)


RULES = {
    HDRI: {"f": 50, "at_cm": [0, 0, 170], "yaw": 0, "pitch": 0},
    "ag_x_archviz_5_10_cam00_1.png": {"f": 18, "at_cm": [400, -275, 265], "yaw": 135, "pitch": 30},
    "ag_x_archviz_5_10_cam01_1.png": {"f": 18, "at_cm": [400, 225, 265], "yaw": -135, "pitch": 30},
    NAME: {"f": 18, "at_cm": [-490, 170, 265], "yaw": -45, "pitch": 30},
    "ag_x_archviz_5_10_cam03_1.png": {"f": 18, "at_cm": [-490, -275, 265], "yaw": 45, "pitch": 30},
    "ag2_trainset_3dpeople_5_10_00002.png": {"f": 28, "at_cm": [0, 0, 170], "yaw": 0, "pitch": 15},
    "ag_x_construction_5_10_00003.png": {
        "f": 28,
        "at_cm": [100, 50, 30],
        "yaw": 15,
        "pitch": 0,
        "ground_m": np.array([0, -1.7, 0]),
    },
    "ag2_hdri_cam01_00004.png": {"f": 50, "at_cm": [0, 0, 170], "yaw": 0, "pitch": 0},
}


@pytest.mark.parametrize("name", sorted(RULES))
def test_camera_rules_reproduce_the_published_projection(name: str) -> None:
    camera = scene_camera(name, (100.0, 50.0, 30.0), 15.0)
    assert camera.focal_mm == RULES[name]["f"]
    transform = scan_to_cam(camera, (250.0, -40.0, 3.0), 25.0)
    points = np.random.default_rng(0).normal(size=(10, 3))
    expected = step_by_step(points, RULES[name], [250.0, -40.0, 3.0], 25.0)
    np.testing.assert_allclose(points @ transform.rotmat.T + transform.transl_m, expected, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(transform.rotmat), 1.0)


def test_a_folder_name_selects_no_camera() -> None:
    assert scene_camera("hdri_cam00/ag_x_construction_00003.png", (1.0, 2.0, 3.0), 4.0).focal_mm == 28
    assert scene_camera(f"hdri/{NAME}", (1.0, 2.0, 3.0), 4.0).focal_mm == 18


def test_fit_is_taken_over_in_the_scans_frame(tmp_path: Path) -> None:
    result = one(read(write(tmp_path, [person()])))
    body, params = result.body, fit(0)
    assert body is not None
    assert (body.model, body.gender, body.hands, body.kid_weight) == ("smplx", "female", "relative", 0.0)
    order = ("global_orient", "body_pose", "jaw_pose", "leye_pose", "reye_pose", "left_hand_pose", "right_hand_pose")
    np.testing.assert_array_equal(body.pose_aa.ravel(), np.concatenate([params[key][0] for key in order]))
    np.testing.assert_array_equal(body.betas, params["betas"][0])
    np.testing.assert_array_equal(body.transl_m, params["transl"][0])
    assert body.expression is not None
    np.testing.assert_array_equal(body.expression, params["expression"][0])
    assert body.to_cam is not None
    expected = step_by_step(np.zeros((1, 3)), RULES[NAME], [250.0, -40.0, 3.0], 25.0)[0]
    np.testing.assert_allclose(body.to_cam.transl_m, expected)
    assert body.neutral_betas is None
    assert body.has_left_hand
    assert body.has_expression
    assert (result.provenance.frame, result.provenance.person) == (Path(NAME).stem, "0")
    assert result.provenance.subject == "10004_w_Amaya_0_0"
    assert result.provenance.label_origin == "synthetic"


def test_joints_are_exact_and_scale_with_the_pictures_that_are_there(tmp_path: Path) -> None:
    entry = person()
    full = one(read(write(tmp_path, [entry])))
    assert full.image_size_px == (3840, 2160)
    np.testing.assert_allclose(full.camera.focal_px, 1920)
    np.testing.assert_allclose(full.camera.principal_point_px, [1920, 1080])
    small_file = tmp_path / "train_0" / NAME.replace(".png", "_1280x720.png")
    small_file.parent.mkdir()
    small_file.touch()
    small = one(read(Agora(tmp_path)))
    assert small.image.path == str(small_file.relative_to(tmp_path))
    assert small.image_size_px == (1280, 720)
    np.testing.assert_allclose(small.camera.focal_px, 640)
    assert small.provenance.frame == Path(NAME).stem, "the plain name identifies the picture at any size"
    for result, factor in ((full, 1), (small, 3)):
        [points] = result.keypoints2d
        np.testing.assert_allclose(points.values[:, :2], entry["gt_joints_2d"] / factor)
        assert points.is_exact
        assert result.keypoints3d is not None
        assert result.keypoints3d.is_exact
        np.testing.assert_array_equal(result.keypoints3d.values[:, :3], entry["gt_joints_3d"])
    full_file = tmp_path / "images/train" / NAME
    full_file.parent.mkdir(parents=True)
    full_file.touch()
    both = one(read(Agora(tmp_path)))
    assert both.image.path == f"images/train/{NAME}"
    assert both.image_size_px == (3840, 2160)


def test_invalid_people_are_rejected_with_their_occlusion(tmp_path: Path) -> None:
    first, second = read(write(tmp_path, [person(isValid=False, occlusion=95.5), person()]))
    assert isinstance(first, Reject)
    assert first.reason == "occluded"
    assert first.numbers == {"occlusion_percent": 95.5}
    assert second.provenance.person == "1", "numbered by the position in the row's lists"


@pytest.mark.parametrize(("gender", "model"), [("female", "neutral"), ("male", "male"), ("neutral", "neutral")])
def test_children_use_the_kid_weight_and_girls_the_neutral_model(tmp_path: Path, gender: str, model: str) -> None:
    body = one(read(write(tmp_path, [person(KID, kid=True, gender=gender)]))).body
    assert body is not None
    assert body.gender == model
    assert len(body.betas) == 10
    assert body.kid_weight == pytest.approx(float(fit(2, 11)["betas"][0, 10]))


def test_an_eleventh_beta_of_an_adult_is_no_kid_weight(tmp_path: Path) -> None:
    body = one(read(write(tmp_path, [person(KID, kid=False)]))).body
    assert body is not None
    assert (len(body.betas), body.kid_weight, body.gender) == (10, 0.0, "female")


def test_a_child_without_kid_weight_is_rejected(tmp_path: Path) -> None:
    [result] = read(write(tmp_path, [person(ADULT, kid=True)]))
    assert isinstance(result, Reject)
    assert "11" in result.detail


def test_body_only_scans_have_no_known_hands_or_face(tmp_path: Path) -> None:
    body = one(read(write(tmp_path, [person(BODY_ONLY)]))).body
    assert body is not None
    flags = (body.has_left_hand, body.has_right_hand, body.has_jaw, body.has_eyes, body.has_expression)
    assert flags == (False,) * 5
    assert body.hands == "relative", "the mesh still needs the mean"


def test_neutral_refit_gives_betas_to_adults_alone(tmp_path: Path) -> None:
    write(tmp_path, [person(), person(KID, kid=True, gender="male")])
    refit = (tmp_path / ADULT.replace("smplx_gt", "smplx_gt_neutral_gender")).with_suffix(".pkl")
    refit.parent.mkdir(parents=True)
    refit.write_bytes(pickle.dumps(fit(9)))
    reader = Agora(tmp_path)
    [unit] = reader.units("train")
    assert str(refit.relative_to(tmp_path)) in unit.files
    adult, child = reader.read("train", unit)
    assert isinstance(adult, Annotation)
    assert isinstance(child, Annotation)
    assert adult.body is not None
    assert child.body is not None
    assert adult.body.neutral_betas is not None
    np.testing.assert_array_equal(adult.body.neutral_betas, fit(9)["betas"][0])
    assert adult.body.gender == "female"
    assert child.body.neutral_betas is None


def test_a_list_too_short_for_the_row_loses_nobody(tmp_path: Path) -> None:
    reader = write(tmp_path, [person(), person(KID)])
    path = tmp_path / "SMPLX/train_0_withjv.pkl"
    frame = pd.read_pickle(path)
    for column in ("isValid", "gt_path_smplx", "Yaw"):
        short = frame.copy()
        short[column] = [frame[column][0][:1]]
        short.to_pickle(path)
        kept, lost = read(reader)
        assert isinstance(kept, Annotation)
        assert isinstance(lost, Reject)
        assert (lost.reason, lost.provenance.person) == ("malformed", "1")
        assert column in lost.detail


def test_cam_frames_serve_without_joints(tmp_path: Path) -> None:
    reader = write(tmp_path, [person()], frame="Cam/train_0.pkl", drop=("gt_joints_2d", "gt_joints_3d"))
    result = one(read(reader))
    assert result.keypoints2d == ()
    assert result.keypoints3d is None
    assert result.body is not None


def test_frames_come_in_numeric_order_and_by_split(tmp_path: Path) -> None:
    for number in (10, 2):
        write(tmp_path, [person()], frame=f"SMPLX/train_{number}_withjv.pkl")
    write(tmp_path, [person()], frame="SMPLX/validation_0_withjv.pkl")
    assert [unit.id for unit in Agora(tmp_path).units("train")] == ["train_2_withjv", "train_10_withjv"]
    assert [unit.id for unit in Agora(tmp_path).units("validation")] == ["validation_0_withjv"]


def test_bad_rows_are_rejects_and_bad_files_are_errors(tmp_path: Path) -> None:
    entries = [person(gt_joints_2d=np.zeros((45, 2))), person(Yaw="east"), person(gender="robot")]
    results = read(write(tmp_path, entries))
    assert [result.reason for result in results if isinstance(result, Reject)] == ["malformed"] * 3
    with pytest.raises(RawFileError, match=r"\.\."):
        read(write(tmp_path, [person("smplx_gt/../../secret.obj")]))
    with pytest.raises(RawLayoutError, match=r"nobody_0_0\.pkl"):
        read(write(tmp_path, [person("smplx_gt/trainset_3dpeople_adults_bfh/nobody_0_0.obj")]))
    with pytest.raises(RawFileError, match="expected isValid"):
        read(write(tmp_path, [person()], drop=("isValid",)))


def test_a_frame_that_is_no_frame_is_one_error(tmp_path: Path) -> None:
    reader = write(tmp_path, [person()])
    (tmp_path / "SMPLX/train_0_withjv.pkl").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(RawFileError, match=r"train_0_withjv\.pkl: expected imgPath"):
        read(reader)
