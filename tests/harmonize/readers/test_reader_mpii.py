"""MPII: the parsed json with NeuralAnnot fits, and the official MATLAB file; hand-made from the description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.mpii import Mpii

FITS = "annotations/MPII_train_SMPLX_NeuralAnnot.json"
MAT = "mpii_human_pose_v1_u12_1.mat"


def annotation(annotation_id: int, image_id: int = 1, **changes: Any) -> dict[str, Any]:
    points = [[10 + i, 20 + i, 1] for i in range(16)]
    points[3] = [0, 0, 0]
    points[4] = [14, 24, 2]
    box = [8.5, 18.0, 40.0, 20.0]
    keypoints = np.ravel(points).tolist()
    return {"id": annotation_id, "image_id": image_id, "bbox": box, "keypoints": keypoints} | changes


def fit(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    sizes = {"root_pose": 3, "body_pose": 63, "shape": 10, "trans": 3}
    params = {key: rng.normal(size=size).round(4).tolist() for key, size in sizes.items()}
    return {"smplx_param": params | changes, "cam_param": {"focal": [20000.5, 20001.5], "princpt": [23.0, 22.0]}}


def write(root: Path, people: list[dict[str, Any]], fits: dict[str, Any], fit_name: str = FITS) -> Path:
    (root / "annotations").mkdir(exist_ok=True, parents=True)
    images = [
        {"id": i, "file_name": f"images/{i:09d}.jpg", "width": 64, "height": 48}
        for i in sorted({person["image_id"] for person in people})
    ]
    (root / "annotations/train.json").write_text(json.dumps({"images": images, "annotations": people}))
    (root / fit_name).write_text(json.dumps(fits))
    return root


def read(reader: Mpii) -> list[Annotation | Reject]:
    return [person for unit in reader.units("train") for person in reader.read("train", unit)]


def test_everyone_of_a_picture_survives_with_and_without_a_fit(tmp_path: Path) -> None:
    """The mmhuman3d converter keeps the last of a picture and fails for who has no fit."""
    people = [annotation(1), annotation(2), annotation(3, image_id=2)]
    found = read(Mpii(write(tmp_path, people, {"1": fit(), "3": fit()})))
    assert [(one.provenance.frame, one.provenance.person) for one in found] == [
        ("000000001", "1"),
        ("000000001", "2"),
        ("000000002", "3"),
    ]
    bodies = [one.body for one in found if isinstance(one, Annotation)]
    assert [body is not None for body in bodies] == [True, False, True]
    assert [one.provenance.label_origin for one in found] == ["neuralannot", "", "neuralannot"]
    assert found[0].provenance.image_path == "images/000000001.jpg"


def test_the_body_has_no_hands_and_says_which_joints_it_cannot_know(tmp_path: Path) -> None:
    [person] = read(Mpii(write(tmp_path, [annotation(1)], {"1": fit()})))
    assert isinstance(person, Annotation)
    body, params = person.body, fit()["smplx_param"]
    assert body is not None
    assert (body.model, body.gender, body.hands) == ("smplx", "neutral", "absent")
    assert body.pose_aa.shape == (55, 3)
    np.testing.assert_allclose(body.pose_aa[0], params["root_pose"], rtol=1e-6)
    np.testing.assert_allclose(body.pose_aa[1:22].ravel(), params["body_pose"], rtol=1e-6)
    assert not body.pose_aa[22:].any()
    np.testing.assert_allclose(np.asarray(body.transl_m), params["trans"], rtol=1e-6)
    np.testing.assert_allclose(body.betas, params["shape"], rtol=1e-6)
    assert not any((body.has_left_hand, body.has_right_hand, body.has_jaw, body.has_eyes, body.has_expression))
    assert set(body.unknown_joints) == {"left_wrist", "right_wrist", "left_ankle", "right_ankle"}
    assert not body.is_transl_metric
    assert not person.camera.is_calibrated
    np.testing.assert_allclose(person.camera.principal_point_px, [23, 22])


def test_points_by_name_and_a_two_weighs_no_more_than_a_one(tmp_path: Path) -> None:
    [person] = read(Mpii(write(tmp_path, [annotation(1)], {})))
    assert isinstance(person, Annotation)
    [points] = person.keypoints2d
    value = dict(zip(points.names, points.values.tolist(), strict=True))
    assert value["left_knee"] == [14, 24, 1]
    assert value["left_hip_extra"][2] == 0
    assert value["headtop"] == [19, 29, 1]
    assert {"pelvis_extra", "thorax_extra", "neck_extra"} < set(points.names)
    assert not {"pelvis", "neck", "head"} & set(points.names)


def test_the_smpl_fits_are_a_form_of_their_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    params = {key: rng.normal(size=size).tolist() for key, size in {"pose": 72, "shape": 10, "trans": 3}.items()}
    entry = {"smpl_param": params, "cam_param": fit()["cam_param"]}
    write(tmp_path, [annotation(1)], {"1": entry}, "annotations/MPII_train_SMPL_NeuralAnnot.json")
    [person] = read(Mpii(tmp_path, form="neuralannot_smpl"))
    assert isinstance(person, Annotation)
    assert person.body is not None
    assert person.body.model == "smpl"
    np.testing.assert_allclose(person.body.pose_aa.ravel(), params["pose"], rtol=1e-6)
    with pytest.raises(RawLayoutError, match="SMPLX"):
        Mpii(tmp_path).units("train")


def test_both_forms_at_once_do_not_mix(tmp_path: Path) -> None:
    write(tmp_path, [annotation(1)], {"1": fit()})
    write(tmp_path, [annotation(1)], {}, "annotations/MPII_train_SMPL_NeuralAnnot.json")
    smplx, smpl = (read(Mpii(tmp_path, form=form))[0] for form in ("neuralannot", "neuralannot_smpl"))
    assert isinstance(smplx, Annotation)
    assert isinstance(smpl, Annotation)
    assert smplx.body is not None
    assert smpl.body is None


def test_the_folder_as_others_keep_it(tmp_path: Path) -> None:
    write(tmp_path / "MPII/data", [annotation(1)], {})
    (tmp_path / "MPII/data/images").mkdir()
    assert read(Mpii(tmp_path))[0].provenance.image_path == "MPII/data/images/000000001.jpg"


def test_unusable_people_are_rejects(tmp_path: Path) -> None:
    people = [annotation(1, bbox=[70, 0, 5, 5]), annotation(2, keypoints=[0] * 48), annotation(3)]
    found = read(Mpii(write(tmp_path, people, {"3": fit(body_pose=[0.0] * 62)})))
    assert [one.reason for one in found if isinstance(one, Reject)] == ["empty-box", "no-keypoints", "malformed"]
    wrong = write(tmp_path, [annotation(1)], {})
    (wrong / FITS).write_text("[")
    with pytest.raises(RawFileError, match=r"MPII_train_SMPLX"):
        Mpii(wrong).units("train")


# --- the official file ------------------------------------------------------------------------------------------------


def point(joint: int, **more: Any) -> dict[str, Any]:
    return {"x": 11.0 + joint, "y": 21.5 + joint, "id": joint, **more}


def save(root: Path, images: list[dict[str, Any]], is_train: list[int]) -> Mpii:
    (root / "images").mkdir(exist_ok=True)
    savemat(root / MAT, {"RELEASE": {"annolist": images, "img_train": np.array(is_train, np.uint8)}})
    return Mpii(root, form="mat")


def image(name: str, rects: Any) -> dict[str, Any]:
    return {"image": {"name": name}, "annorect": rects, "vidx": 1}


def test_people_of_the_official_file(tmp_path: Path) -> None:
    rects = [
        {"x1": 1.0, "annopoints": {"point": [point(0), point(9, is_visible="0"), point(12, is_visible=[])]}},
        {"x1": 2.0, "annopoints": np.zeros((0, 0))},
        {"x1": 3.0, "annopoints": {"point": point(6, is_visible=1)}},
    ]
    alone = {"scale": 3.0, "objpos": {"x": 5.0, "y": 6.0}, "annopoints": {"point": [point(1), point(2)]}}
    images = [
        image("015601864.jpg", rects),
        image("test.jpg", {"scale": 1.0}),
        image("2.jpg", alone),
        image("3.jpg", np.zeros((0, 0))),
    ]
    found = read(save(tmp_path, images, [1, 0, 1, 1]))
    assert [(one.provenance.frame, one.provenance.person) for one in found] == [
        ("015601864", "0"),
        ("015601864", "1"),
        ("015601864", "2"),
        ("2", "0"),
    ]
    first, second, third, last = found
    assert isinstance(first, Annotation)
    assert isinstance(second, Reject)
    assert second.reason == "no-keypoints"
    assert isinstance(third, Annotation)
    assert isinstance(last, Annotation)
    assert first.body is None
    assert first.image_size_px is None
    assert first.image.path == "images/015601864.jpg"
    assert first.boxes.person_xywh_px[4] == 0, "scale and objpos are no box"
    [points] = first.keypoints2d
    value = dict(zip(points.names, points.values.tolist(), strict=True))
    assert value["right_ankle"] == [10.0, 20.5, 1], "points count from 1"
    assert value["headtop"] == [19.0, 29.5, 1], "hidden, and labelled"
    assert value["right_shoulder"][2] == 1, "is_visible may be empty"
    assert value["left_wrist"] == [0, 0, 0]


def test_a_malformed_person_costs_that_person_alone(tmp_path: Path) -> None:
    rects = [{"annopoints": {"point": [point(16)]}}, {"annopoints": {"point": [point(1), point(2)]}}]
    wrong, sound = read(save(tmp_path, [image("1.jpg", rects)], [1]))
    assert isinstance(wrong, Reject)
    assert wrong.reason == "malformed"
    assert isinstance(sound, Annotation)


def test_a_wrong_or_damaged_official_file(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match=MAT):
        Mpii(tmp_path, form="mat").units("train")
    for content in ({"RELEASE": {"annolist": [image("1.jpg", [])]}}, {"x": 1}):
        savemat(tmp_path / MAT, content)
        with pytest.raises(RawFileError, match=MAT):
            Mpii(tmp_path, form="mat").units("train")
    (tmp_path / MAT).write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(RawFileError, match=MAT):
        Mpii(tmp_path, form="mat").units("train")
