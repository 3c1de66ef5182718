"""MTP fits and detections, hand-made from their description; the fits hold torch tensors as the release's do."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.mtp import Mtp

STEM, SUBSET = "0012_agora_s07_W42", "agora"
ROTMAT = Rotation.from_euler("zyx", [0.1, 3.0, 0.2]).as_matrix()
TRANSL_M = np.array([0.3, -0.1, 9.0])
HEIGHT, WIDTH = 1000, 640


def fit(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    values = {
        "betas": rng.normal(size=(1, 10)),
        "global_orient": rng.normal(size=(1, 3)),
        "body_pose": rng.normal(size=(1, 63)) * 0.2,
        "left_hand_pose": rng.normal(size=(1, 12)),
        "right_hand_pose": rng.normal(size=(1, 12)),
        "jaw_pose": np.zeros((1, 3)),
        "leye_pose": np.zeros((1, 3)),
        "reye_pose": np.zeros((1, 3)),
        "expression": np.zeros((1, 10)),
        "transl": np.zeros((1, 3)),
        "camera_translation": TRANSL_M[None],
        "camera_rotation": ROTMAT[None],
        "camera_focal_length_x": np.array([[2200.0]]),
        "camera_focal_length_y": np.array([[2210.0]]),
        "camera_center": torch.tensor([[160.0, 250.0]]),
        "focal_length_x": torch.nn.Parameter(torch.tensor([[2200.0]])),
        "focal_length_y": torch.nn.Parameter(torch.tensor([[2210.0]])),
        "vertices": rng.normal(size=(50, 3)) * 0.3,
    } | changes
    return {key: value for key, value in values.items() if value is not None}


def person(x: float, y: float, confidence: float = 0.8) -> dict[str, list[float]]:
    point = [x, y, confidence]
    return {
        "pose_keypoints_2d": point * 25,
        "face_keypoints_2d": point * 70,
        "hand_left_keypoints_2d": point * 21,
        "hand_right_keypoints_2d": point * 21,
    }


def release(
    root: Path, *, people: list[Any] | None = None, picture: bool = True, gender: str = "female", **changes: Any
) -> dict[str, Any]:
    written = fit(**changes)
    smpl = {"pose": np.linspace(-1, 1, 72), "betas": np.arange(10.0)}
    for kind, content in (("smplx", written), ("smpl", smpl)):
        path = root / f"smplify-xmc/{kind}/params/{SUBSET}/{STEM}.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(content, protocol=2))
    points = root / f"keypoints/openpose/{SUBSET}/{STEM}.json"
    points.parent.mkdir(parents=True, exist_ok=True)
    points.write_text(json.dumps({"people": [person(300, 500)] if people is None else people}))
    if picture:
        (root / f"images/{SUBSET}").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / f"images/{SUBSET}/{STEM}.png")
    (root / "subject_meta.json").write_text(
        json.dumps({STEM: {"SubjectGender": gender, "SubjectHeightMeter": 1.7, "SubjectWeightKg": 60.0}})
    )
    (root / "train_val_split.json").write_text(json.dumps({"train": [STEM], "val": [STEM]}))
    return written


def read(root: Path, form: str = "smplx") -> Annotation | Reject:
    reader = Mtp(root, form=form)
    [unit] = reader.units("train")
    [one] = reader.read("train", unit)
    return one


def kept(root: Path, form: str = "smplx") -> Annotation:
    one = read(root, form)
    assert isinstance(one, Annotation), one
    return one


def test_a_fit_of_tensors_and_parameters(tmp_path: Path) -> None:
    given = release(tmp_path)
    one = kept(tmp_path)
    body = one.body
    assert body is not None
    assert (body.model, body.gender, body.hands) == ("smplx", "female", "relative")
    np.testing.assert_array_equal(body.pose_aa[0], given["global_orient"][0])
    np.testing.assert_array_equal(body.pose_aa[1:22].ravel(), given["body_pose"][0])
    assert not body.pose_aa[25:].any(), "fingers are components"
    np.testing.assert_array_equal(body.left_hand_pca, given["left_hand_pose"][0])
    np.testing.assert_array_equal(body.right_hand_pca, given["right_hand_pose"][0])
    assert body.has_left_hand
    assert body.has_right_hand
    assert not any((body.has_jaw, body.has_eyes, body.has_expression, body.is_transl_metric))
    assert body.to_cam is not None
    np.testing.assert_array_equal(body.to_cam.rotmat, ROTMAT)
    np.testing.assert_array_equal(body.to_cam.transl_m, TRANSL_M)
    assert (one.provenance.sequence, one.provenance.frame, one.provenance.subject) == (SUBSET, STEM, "W42")
    assert one.provenance.label_origin == "fit"


def test_the_camera_is_that_of_a_picture_of_500_rows(tmp_path: Path) -> None:
    release(tmp_path)
    one = kept(tmp_path)
    np.testing.assert_allclose(one.camera.focal_px, [4400, 4420])
    np.testing.assert_allclose(one.camera.principal_point_px, [320, 500])
    assert not one.camera.is_calibrated
    assert one.image_size_px == (WIDTH, HEIGHT)


def test_exif_turns_the_picture_and_its_height(tmp_path: Path) -> None:
    release(tmp_path, picture=False)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / f"images/{SUBSET}").mkdir(parents=True)
    Image.new("RGB", (HEIGHT, WIDTH)).save(tmp_path / f"images/{SUBSET}/{STEM}.jpg", exif=exif)
    one = kept(tmp_path)
    np.testing.assert_allclose(one.camera.focal_px, [4400, 4420])
    assert one.image.orientation is None
    assert one.image_size_px == (WIDTH, HEIGHT)


def test_without_a_picture_there_are_no_intrinsics(tmp_path: Path) -> None:
    release(tmp_path, picture=False)
    one = kept(tmp_path)
    assert not one.camera.has_intrinsics
    assert one.body is not None
    assert one.body.transl_m is not None
    assert one.image.path.endswith(f"{STEM}.png")


def test_the_person_around_the_fit_is_taken(tmp_path: Path) -> None:
    release(tmp_path)
    centre = kept(tmp_path).camera.principal_point_px + kept(tmp_path).camera.focal_px * TRANSL_M[:2] / TRANSL_M[2]
    people = [person(50, 60, 1.0), person(*centre, 0.3), {}]
    people[2] = person(0, 0, 0)
    release(tmp_path, people=people)
    [points] = kept(tmp_path).keypoints2d
    np.testing.assert_allclose(points.values[:25, :2], np.tile(centre, (25, 1)))
    assert len(points.names) == 137
    assert points.origin == "detected"


def test_nobody_detected_is_no_reason_to_drop_a_fit(tmp_path: Path) -> None:
    release(tmp_path, people=[])
    assert kept(tmp_path).keypoints2d == ()
    (tmp_path / f"keypoints/openpose/{SUBSET}/{STEM}.json").unlink()
    assert kept(tmp_path).keypoints2d == ()


def test_several_people_and_nothing_to_choose_by(tmp_path: Path) -> None:
    release(tmp_path, people=[person(50, 60), person(300, 500)], vertices=None)
    assert kept(tmp_path).keypoints2d == ()


def test_smpl_files_take_the_camera_of_the_smplx_fit(tmp_path: Path) -> None:
    release(tmp_path)
    one = kept(tmp_path, "smpl")
    body = one.body
    assert body is not None
    assert (body.model, body.gender, body.hands) == ("smpl", "neutral", "absent")
    np.testing.assert_array_equal(body.pose_aa.ravel(), np.linspace(-1, 1, 72))
    assert body.to_cam is not None
    np.testing.assert_array_equal(body.to_cam.rotmat, ROTMAT)
    assert not body.to_cam.transl_m.any()
    assert (body.transl_m, body.is_transl_solved) == (None, True)
    np.testing.assert_allclose(one.camera.focal_px, [4400, 4420])
    (tmp_path / f"smplify-xmc/smplx/params/{SUBSET}/{STEM}.pkl").unlink()
    reject = read(tmp_path, "smpl")
    assert isinstance(reject, Reject)
    assert reject.reason == "no-fit"


def test_entries_that_are_only_reported_may_be_missing(tmp_path: Path) -> None:
    release(tmp_path, jaw_pose=None, leye_pose=None, reye_pose=None, expression=None, transl=None)
    body = kept(tmp_path).body
    assert body is not None
    assert body.transl_m is not None
    assert not body.transl_m.any()
    release(tmp_path, camera_focal_length_x=None, camera_focal_length_y=None)
    np.testing.assert_allclose(kept(tmp_path).camera.focal_px, [4400, 4420])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gender": "x"}, "SubjectGender"),
        ({"camera_center": np.array([[160.0, 512.0]])}, "camera_center"),
        ({"body_pose": np.zeros((1, 69))}, "body_pose"),
        ({"left_hand_pose": np.zeros((1, 46))}, "hand"),
        ({"camera_rotation": None}, "camera_rotation"),
    ],
)
def test_wrong_values_reject_their_person(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    release(tmp_path, **changes)
    reject = read(tmp_path)
    assert isinstance(reject, Reject)
    assert reject.reason == "malformed"
    assert expected in reject.detail


@pytest.mark.parametrize("stem", ["a_b_c", "a_.._c_d", "a_b/x_c_d", "../x_b_c_d", "x" * 300 + "_b_c_d"])
def test_names_that_are_none_are_rejected(tmp_path: Path, stem: str) -> None:
    release(tmp_path)
    (tmp_path / "train_val_split.json").write_text(json.dumps({"train": [stem]}))
    reject = read(tmp_path)
    assert isinstance(reject, Reject)
    assert reject.reason == "malformed"


def test_a_hostile_fit_is_refused(tmp_path: Path) -> None:
    release(tmp_path)
    path = tmp_path / f"smplify-xmc/smplx/params/{SUBSET}/{STEM}.pkl"
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(RawFileError, match=rf"{STEM}\.pkl"):
        read(tmp_path)


def test_a_wrong_root_is_told_in_the_datasets_words(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match=r"train_val_split\.json or mtp/train_val_split\.json"):
        read(tmp_path)
    (tmp_path / "train_val_split.json").write_text('{"train": ["a_b_c_d"]}')
    with pytest.raises(RawLayoutError, match=r"subject_meta\.json"):
        read(tmp_path)
    with pytest.raises(RawLayoutError, match="smplify-xmc/smpl/params"):
        read(tmp_path, "smpl")
    (tmp_path / "train_val_split.json").write_text('{"train": [1]}')
    with pytest.raises(RawFileError, match="names of pictures"):
        read(tmp_path)
