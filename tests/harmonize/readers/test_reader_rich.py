"""RICH's layout, hand-made from its description."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.rich import Rich

PAIR = "ParkingLot1_004_005_greetingchattingeating1"
SOLO = "Pavallion_003_yoga1"


def fit(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    sizes = {
        **{"betas": 10, "global_orient": 3, "transl": 3, "body_pose": 63, "left_hand_pose": 12, "right_hand_pose": 12},
        **{"jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "expression": 10},
    }
    return {key: rng.normal(size=(1, size)).astype(np.float32) for key, size in sizes.items()}


def calibration(number: int, distortion: str = "-0.1 0.02") -> str:
    angle = 0.3 * number
    rotation = [
        np.cos(angle),
        0,
        np.sin(angle),
        0.1,
        0,
        1,
        0,
        0.2,
        -np.sin(angle),
        0,
        np.cos(angle),
        3.0 * (number > 0),
    ]
    matrices = {
        "CameraMatrix": " ".join(map(str, rotation)),
        "Intrinsics": "2000 0 1500 0 2001 2000 0 0 1",
        "Distortion": distortion,
    }
    body = "".join(f'<{k} type_id="opencv-matrix"><dt>d</dt><data>{v}</data></{k}>' for k, v in matrices.items())
    return f'<?xml version="1.0"?><opencv_storage>{body}</opencv_storage>'


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"picture")


def write(root: Path, *, bodies: str = "bodies/train", images: str = "images/train", pictures: bool = True) -> Rich:
    for at, (sequence, subjects) in enumerate({PAIR: ("004", "005"), SOLO: ("003",)}.items()):
        folder = root / "scan_calibration" / sequence.split("_")[0] / "calibration"
        folder.mkdir(parents=True)
        for number in (0, 1):
            (folder / f"{number:03d}.xml").write_text(calibration(number))
        for frame in ("00150", "00151"):
            for subject in subjects:
                path = root / bodies / sequence / frame / f"{subject}.pkl"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(pickle.dumps(fit(at)))
            if pictures:
                for number in (0, 1, 10):
                    extension = "png" if sequence == SOLO else "jpeg"
                    touch(root / images / sequence / f"cam_{number:02d}" / f"{frame}_{number:02d}.{extension}")
    (root / "resource").mkdir()
    (root / "resource/gender.json").write_text(json.dumps({"3": "male", "4": "female", "5": "male", "0": "male"}))
    return Rich(root)


def read(reader: Rich, split: str = "train") -> list[Annotation | Reject]:
    return [person for unit in reader.units(split) for person in reader.read(split, unit)]


def annotations(reader: Rich) -> list[Annotation]:
    return [person for person in read(reader) if isinstance(person, Annotation)]


@pytest.mark.parametrize(("bodies", "images"), [("bodies/train", "images/train"), ("train_body", "train")])
def test_both_layouts_give_one_person_a_subject_camera_and_frame(tmp_path: Path, bodies: str, images: str) -> None:
    people = annotations(write(tmp_path, bodies=bodies, images=images))
    identities = {(p.provenance.sequence, p.provenance.frame, p.provenance.person) for p in people}
    assert len(people) == len(identities) == 2 * 2 * 3, "the uncalibrated camera 10 has no people"
    assert (f"{PAIR}/cam_01", "00151", "005") in identities
    assert all((tmp_path / p.image.path).is_file() for p in people)
    assert {Path(p.image.path).suffix for p in people} == {".png", ".jpeg"}
    assert all(p.image_size_px is None for p in people), "cameras differ, so each picture is asked"


def test_gender_is_the_subjects_without_leading_zeros(tmp_path: Path) -> None:
    genders = {p.provenance.person: p.body.gender for p in annotations(write(tmp_path)) if p.body}
    assert genders == {"003": "male", "004": "female", "005": "male"}


def test_subject_zero_is_a_subject(tmp_path: Path) -> None:
    reader = write(tmp_path)
    (tmp_path / "bodies/train" / SOLO / "00150/003.pkl").rename(tmp_path / "bodies/train" / SOLO / "00150/000.pkl")
    assert {p.provenance.person for p in annotations(reader)} == {"000", "003", "004", "005"}


def test_an_unknown_subject_is_a_reject(tmp_path: Path) -> None:
    reader = write(tmp_path)
    (tmp_path / "bodies/train" / SOLO / "00150/003.pkl").rename(tmp_path / "bodies/train" / SOLO / "00150/099.pkl")
    rejects = [p for p in read(reader) if isinstance(p, Reject)]
    assert {r.reason for r in rejects} == {"malformed"}
    assert "099" in rejects[0].detail


def test_parameters_stay_and_the_camera_is_stated(tmp_path: Path) -> None:
    person = next(p for p in annotations(write(tmp_path)) if p.provenance.sequence == f"{SOLO}/cam_01")
    body, stored = person.body, fit(1)
    assert body is not None
    assert body.to_cam is not None
    assert (body.model, body.hands, body.left_hand_pca.shape) == ("smplx", "relative", (12,))  # type: ignore[union-attr]
    np.testing.assert_array_equal(body.pose_aa[0], stored["global_orient"][0])
    np.testing.assert_array_equal(body.pose_aa[1:22].ravel(), stored["body_pose"][0])
    np.testing.assert_array_equal(body.pose_aa[23], stored["leye_pose"][0])
    np.testing.assert_array_equal(body.transl_m, stored["transl"][0])
    assert not body.pose_aa[25:].any(), "fingers come from the components"
    np.testing.assert_allclose(body.to_cam.rotmat[0], [np.cos(0.3), 0, np.sin(0.3)], atol=1e-6)
    np.testing.assert_allclose(body.to_cam.transl_m, [0.1, 0.2, 3.0], atol=1e-6)
    np.testing.assert_array_equal(person.camera.world_to_cam_rotmat, body.to_cam.rotmat)
    np.testing.assert_allclose(person.camera.focal_px, [2000, 2001])
    np.testing.assert_allclose(person.camera.principal_point_px, [1500, 2000])
    np.testing.assert_allclose(person.camera.distortion[:4], [-0.1, 0.02, 0, 0], atol=1e-7)


def test_a_hand_or_face_that_is_exactly_zero_was_never_fitted(tmp_path: Path) -> None:
    reader = write(tmp_path)
    values = fit() | {key: np.zeros((1, 12)) for key in ("left_hand_pose",)} | {"expression": np.zeros((1, 10))}
    (tmp_path / "bodies/train" / SOLO / "00150/003.pkl").write_bytes(pickle.dumps(values))
    body = next(
        p.body for p in annotations(reader) if p.provenance.sequence.startswith(SOLO) and p.provenance.frame == "00150"
    )
    assert body is not None
    assert (body.has_left_hand, body.has_right_hand, body.has_jaw, body.has_expression) == (False, True, True, False)


def test_a_missing_picture_is_a_reject_and_a_missing_camera_is_none(tmp_path: Path) -> None:
    reader = write(tmp_path)
    (tmp_path / "images/train" / SOLO / "cam_01/00150_01.png").unlink()
    for path in (tmp_path / "images/train" / PAIR / "cam_00").iterdir():
        path.unlink()
    (tmp_path / "images/train" / PAIR / "cam_00").rmdir()
    people = read(reader)
    [reject] = [p for p in people if isinstance(p, Reject)]
    assert (reject.reason, reject.provenance.sequence, reject.provenance.frame) == (
        *("image-missing", f"{SOLO}/cam_01"),
        "00150",
    )
    assert f"{PAIR}/cam_00" not in {p.provenance.sequence for p in people}


def test_without_pictures_every_calibrated_camera_counts(tmp_path: Path) -> None:
    people = annotations(write(tmp_path, pictures=False))
    assert len(people) == 12
    assert {Path(p.image.path).suffix for p in people if SOLO in p.image.path} == {".png"}
    assert {Path(p.image.path).suffix for p in people if PAIR in p.image.path} == {".bmp"}


@pytest.mark.parametrize("distortion", ["", "1 2 3 4 5 6", "a b"])
def test_lens_coefficients(tmp_path: Path, distortion: str) -> None:
    reader = write(tmp_path)
    (tmp_path / "scan_calibration/Pavallion/calibration/001.xml").write_text(calibration(1, distortion))
    if not distortion:
        assert len(annotations(reader)) == 12, "no coefficients: no distortion"
        return
    with pytest.raises(RawFileError, match=r"001\.xml"):
        read(reader)


@pytest.mark.parametrize("text", ["[]", '{"3": "m"}'])
def test_another_gender_file_is_one_error(tmp_path: Path, text: str) -> None:
    reader = write(tmp_path)
    (tmp_path / "resource/gender.json").write_text(text)
    with pytest.raises(RawFileError, match=r"gender\.json"):
        read(reader)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match="bodies/train or train_body"):
        Rich(tmp_path).units("train")
    (tmp_path / "bodies/train/BBQ_001_juggle").mkdir(parents=True)
    with pytest.raises(RawLayoutError, match=r"gender\.json"):
        Rich(tmp_path).units("train")
    (tmp_path / "gender.json").write_text('{"1": "male"}')
    with pytest.raises(RawLayoutError, match="scan_calibration/BBQ/calibration"):
        Rich(tmp_path).units("train")
    (tmp_path / "scan_calibration/BBQ/calibration").mkdir(parents=True)
    with pytest.raises(RawLayoutError, match=r"000\.xml"):
        Rich(tmp_path).units("train")
    (tmp_path / "scan_calibration/BBQ/calibration/000.xml").write_text(calibration(0))
    with pytest.raises(RawLayoutError, match=r"<subject>\.pkl"):
        Rich(tmp_path).units("train")


@pytest.mark.parametrize(
    "change",
    [{"body_pose": np.zeros((1, 69))}, {"left_hand_pose": np.zeros((1, 46))}, {"betas": None}, {"transl": "x"}],
)
def test_wrong_parameters_are_rejects(tmp_path: Path, change: dict[str, Any]) -> None:
    reader = write(tmp_path)
    (tmp_path / "bodies/train" / SOLO / "00150/003.pkl").write_bytes(pickle.dumps(fit() | change))
    rejects = [p for p in read(reader) if isinstance(p, Reject)]
    assert [r.reason for r in rejects] == ["malformed", "malformed"]
    assert next(iter(change)) in rejects[0].detail


def test_a_fit_that_is_no_dictionary_is_one_error(tmp_path: Path) -> None:
    reader = write(tmp_path)
    (tmp_path / "bodies/train" / SOLO / "00150/003.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(RawFileError, match=r"003\.pkl.*dictionary"):
        read(reader)
