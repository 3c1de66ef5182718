"""COCO-WholeBody annotations and NeuralAnnot fits: hand-made files from the dataset's description, and real ones."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers import coco_people
from harmonize.readers.mscoco import Mscoco

FIT = "annotations/MSCOCO_train_SMPLX_all_NeuralAnnot.json"


def annotation(annotation_id: int, **changes: Any) -> dict[str, Any]:
    body = [[10 + i, 5 + i, 2] for i in range(17)]
    body[3] = [13, 8, 1]  # labelled but hidden
    body[4] = [0, 0, 0]
    record = {
        "id": annotation_id,
        "image_id": 1,
        "category_id": 1,
        "bbox": [8, 4, 30, 36],
        "iscrowd": 0,
        "num_keypoints": 16,
        "keypoints": np.ravel(body).tolist(),
        "foot_kpts": [20, 40, 2] * 6,
        "face_kpts": [20, 8, 1.0] * 68,
        "lefthand_kpts": [30, 20, 0.4] * 21,
        "righthand_kpts": [12, 20, 1] * 21,
        "face_box": [18, 6, 4, 5],
        "lefthand_box": [28, 18, 4, 4],
        "righthand_box": [10, 18, 4, 4],
        "face_valid": True,
        "lefthand_valid": True,
        "righthand_valid": True,
        "foot_valid": True,
    }
    return record | changes


def fit(**flags: bool) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    sizes = {
        "root_pose": 3,
        "body_pose": 63,
        "lhand_pose": 45,
        "rhand_pose": 45,
        "jaw_pose": 3,
        "shape": 10,
        "expr": 10,
        "trans": 3,
    }
    params: dict[str, Any] = {key: rng.normal(size=size).round(4).tolist() for key, size in sizes.items()}
    return {"smplx_param": params | flags, "cam_param": {"focal": [20000.5, 20001.5], "princpt": [23.0, 22.0]}}


def write(
    root: Path, annotations: list[dict[str, Any]], fits: dict[str, Any] | None = None, fit_name: str = FIT
) -> Mscoco:
    images = [
        {"id": image_id, "file_name": f"{image_id:012d}.jpg", "width": 64, "height": 48}
        for image_id in sorted({a["image_id"] for a in annotations if a["image_id"] != 99})
    ]
    (root / "annotations").mkdir(exist_ok=True)
    path = root / "annotations/coco_wholebody_train_v1.0.json"
    # `annotations` before `images`: the order of the two is nowhere promised.
    path.write_text(json.dumps({"info": {}, "annotations": annotations, "images": images}))
    if fits is not None:
        (root / fit_name).write_text(json.dumps(fits))
    return Mscoco(root)


def read(reader: Mscoco, split: str = "train") -> list[Annotation | Reject]:
    return [person for unit in reader.units(split) for person in reader.read(split, unit)]


def test_labels_and_fit_are_joined_by_string_id(tmp_path: Path) -> None:
    [person] = read(write(tmp_path, [annotation(442619)], {"442619": fit()}))
    assert isinstance(person, Annotation)
    assert person.provenance.frame == "000000000001"
    assert (person.provenance.sequence, person.provenance.person) == ("", "442619")
    assert person.provenance.label_origin == "neuralannot"
    assert person.image.path == "images/train2017/000000000001.jpg"
    assert person.image.orientation == 1
    assert person.image_size_px == (64, 48)
    np.testing.assert_allclose(person.boxes.person_xywh_px, [8, 4, 30, 36, 1])
    np.testing.assert_allclose(person.boxes.left_hand_xywh_px, [28, 18, 4, 4, 1])
    body, params = person.body, fit()["smplx_param"]
    assert body is not None
    assert (body.model, body.gender, body.hands, body.is_transl_metric) == ("smplx", "neutral", "relative", False)
    assert body.pose_aa.shape == (55, 3)
    np.testing.assert_allclose(body.pose_aa[0], params["root_pose"], rtol=1e-6)
    np.testing.assert_allclose(body.pose_aa[1:22].ravel(), params["body_pose"], rtol=1e-6)
    np.testing.assert_allclose(body.pose_aa[22], params["jaw_pose"], rtol=1e-6)
    np.testing.assert_array_equal(body.pose_aa[23:25], 0)
    np.testing.assert_allclose(body.pose_aa[25:40].ravel(), params["lhand_pose"], rtol=1e-6)
    np.testing.assert_allclose(body.pose_aa[40:].ravel(), params["rhand_pose"], rtol=1e-6)
    assert not body.has_eyes
    assert body.has_jaw
    assert body.has_expression
    np.testing.assert_allclose(person.camera.focal_px, [20000.5, 20001.5])
    np.testing.assert_allclose(person.camera.principal_point_px, [23, 22])
    assert not person.camera.is_calibrated


def test_points_are_in_convention_order_with_their_confidence(tmp_path: Path) -> None:
    [person] = read(write(tmp_path, [annotation(1)]))
    assert isinstance(person, Annotation)
    [points] = person.keypoints2d
    value = dict(zip(points.names, points.values.tolist(), strict=True))
    assert value["nose"] == [10, 5, 1]
    assert value["left_ear"] == [13, 8, 1], "hidden but labelled counts"
    assert value["right_ear"] == [0, 0, 0]
    # body, feet, FACE, left hand, right hand: the converter that swaps face and hands fails here
    assert value["left_bigtoe"] == [20, 40, 1]
    assert value["contour_middle"] == [20, 8, 1]
    assert value["left_thumb_1"] == pytest.approx([30, 20, 0.4]), "float v stays"
    assert value["right_pinky"] == [12, 20, 1]
    assert "left_hip_extra" in value, "annotated hips are not the model's"
    assert points.origin == "annotated"


def test_validity_comes_from_the_fit_else_from_the_labels(tmp_path: Path) -> None:
    zeros = {"lefthand_valid": False, "lefthand_kpts": [0] * 63, "lefthand_box": [0, 0, 0, 0]}
    people = [annotation(1, **zeros), annotation(2, **zeros), annotation(3)]
    flags = {"lhand_valid": True, "rhand_valid": False, "face_valid": False}
    silent, spoken, without = read(write(tmp_path, people, {"1": fit(), "2": fit(**flags)}))
    assert isinstance(silent, Annotation)
    assert isinstance(spoken, Annotation)
    assert isinstance(without, Annotation)
    assert silent.body is not None
    assert spoken.body is not None
    assert (silent.body.has_left_hand, silent.body.has_right_hand, silent.body.has_jaw) == (False, True, True)
    assert (spoken.body.has_left_hand, spoken.body.has_right_hand, spoken.body.has_jaw) == (True, False, False)
    assert silent.boxes.left_hand_xywh_px[4] == 0
    assert without.body is None
    assert without.provenance.label_origin == ""
    assert not without.camera.has_intrinsics


def test_points_of_an_invalid_part_are_not_labels(tmp_path: Path) -> None:
    [person] = read(write(tmp_path, [annotation(1, righthand_valid=False)]))
    assert isinstance(person, Annotation)
    [points] = person.keypoints2d
    assert points.values[112:133, 2].max() == 0
    assert points.values[91:112, 2].min() > 0


def test_unusable_people_are_rejects_with_reasons(tmp_path: Path) -> None:
    people = [
        annotation(1, iscrowd=1, segmentation={"counts": [1], "size": [48, 64]}),
        annotation(2, num_keypoints=0),
        annotation(3, bbox=[70, 4, 10, 10]),
        annotation(4, bbox=[8, 4, 0, 10]),
        annotation(5, keypoints=[1, 2, 3]),
        annotation(6),
        annotation(7, image_id=99),
    ]
    broken = fit()
    broken["smplx_param"]["body_pose"] = [0.0] * 62
    results = read(write(tmp_path, people, {"6": broken}))
    assert all(isinstance(result, Reject) for result in results)
    reasons = [result.reason for result in results if isinstance(result, Reject)]
    assert reasons == ["crowd", "no-keypoints", "empty-box", "empty-box", "malformed", "malformed", "malformed"]
    assert [result.provenance.person for result in results] == ["1", "2", "3", "4", "5", "6", "7"]
    details = [result.detail for result in results if isinstance(result, Reject)]
    assert "keypoints" in details[4]
    assert "body_pose" in details[5]
    assert "99" in details[6]


def test_units_split_images_and_their_hints_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco_people, "PICTURES_PER_UNIT", 2)
    people = [annotation(10 * image + k, image_id=image) for image in (5, 3, 4, 2, 1) for k in range(2)]
    reader = write(tmp_path, people)
    units = reader.units("train")
    assert [unit.num_hint for unit in units] == [4, 4, 2]
    assert [len(list(reader.read("train", unit))) for unit in units] == [4, 4, 2]
    ids = [person.provenance.person for unit in reversed(units) for person in Mscoco(tmp_path).read("train", unit)]
    assert sorted(ids) == sorted(str(person["id"]) for person in people)
    first = [person.provenance.person for person in reader.read("train", units[0])]
    assert first == ["10", "11", "20", "21"]


def test_the_second_fit_file_serves_when_it_is_alone(tmp_path: Path) -> None:
    reader = write(tmp_path, [annotation(1)], {"1": fit()}, "annotations/MSCOCO_train_SMPLX.json")
    assert reader.units("train")[0].files[1] == "annotations/MSCOCO_train_SMPLX.json"
    (tmp_path / FIT).write_text("{}")
    assert Mscoco(tmp_path).units("train")[0].files[1] == FIT


def test_pictures_may_lie_right_under_the_root(tmp_path: Path) -> None:
    (tmp_path / "train2017").mkdir()
    [person] = read(write(tmp_path, [annotation(1)]))
    assert person.provenance.image_path == "train2017/000000000001.jpg"


def test_a_truncated_file_is_one_error_that_names_it(tmp_path: Path) -> None:
    write(tmp_path, [annotation(1)])
    path = tmp_path / "annotations/coco_wholebody_train_v1.0.json"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(RawFileError, match=r"coco_wholebody_train_v1\.0\.json"):
        Mscoco(tmp_path).units("train")


# --- other fits of the same people ------------------------------------------------------------------------------------

SMPL_FIT = "annotations/MSCOCO_train_SMPL_NeuralAnnot.json"


def smpl_fit() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    params = {
        key: rng.normal(size=size).round(4).tolist() for key, size in {"pose": 72, "shape": 10, "trans": 3}.items()
    }
    return {"smpl_param": params, "cam_param": {"focal": [30000.5, 30001.5], "princpt": [21.0, 20.0]}}


def test_smpl_fits_are_a_form_of_their_own(tmp_path: Path) -> None:
    write(tmp_path, [annotation(1), annotation(2)], {"1": fit(), "2": fit()})
    with pytest.raises(RawLayoutError, match="SMPL_NeuralAnnot"):
        Mscoco(tmp_path, form="neuralannot_smpl").units("train")
    (tmp_path / SMPL_FIT).write_text(json.dumps({"1": smpl_fit()}))
    first, second = read(Mscoco(tmp_path, form="neuralannot_smpl"))
    assert isinstance(first, Annotation)
    assert isinstance(second, Annotation)
    assert first.body is not None
    assert (first.body.model, first.body.hands) == ("smpl", "absent")
    np.testing.assert_allclose(first.body.pose_aa.ravel(), smpl_fit()["smpl_param"]["pose"], rtol=1e-6)
    np.testing.assert_allclose(first.camera.focal_px, [30000.5, 30001.5])
    assert len(first.keypoints2d[0].values) == 133
    assert second.body is None, "it has an SMPL-X fit, which is of another optimisation"
    default = read(Mscoco(tmp_path))[0]
    assert isinstance(default, Annotation)
    assert default.body is not None
    assert default.body.model == "smplx"


def eft(name: str = "COCO_train2014_000000000009.jpg", **changes: Any) -> dict[str, Any]:
    return {
        "parm_pose": np.tile(np.eye(3), (24, 1, 1)).tolist(),
        "parm_shape": [0.1] * 10,
        "parm_cam": [0.9, 0.05, 0.1],
        "bbox_scale": 0.3,
        "bbox_center": [40, 30],
        "gt_keypoint_2d": np.ones((49, 3)).tolist(),
        "smpltype": "smpl",
        "annotId": 442619,
        "imageName": name,
    } | changes


def write_eft(root: Path, name: str, fits: list[dict[str, Any]]) -> Mscoco:
    (root / "eft_fit").mkdir(exist_ok=True)
    (root / "eft_fit" / name).write_text(json.dumps({"ver": 0.1, "data": fits}))
    return Mscoco(root, form="eft")


def test_eft_fits_name_pictures_of_2014_and_people_by_annotation(tmp_path: Path) -> None:
    reader = write_eft(
        tmp_path, "COCO2014-All-ver01.json", [eft(), eft(annotId=0), eft("train2014/COCO_train2014_x.jpg")]
    )
    first, second, third = read(reader)
    assert isinstance(first, Annotation)
    assert (first.provenance.frame, first.provenance.person) == ("COCO_train2014_000000000009", "442619")
    assert first.image.path == "images/train2014/COCO_train2014_000000000009.jpg"
    assert first.provenance.label_origin == "eft"
    assert first.body is not None
    assert first.body.model == "smpl"
    assert "left_ear" in first.keypoints2d[0].names
    assert second.provenance.person == "row-1", "0 stands for no id"
    assert third.provenance.image_path == "images/train2014/COCO_train2014_x.jpg"


def test_pictures_of_2017_serve_fits_of_2014(tmp_path: Path) -> None:
    reader = write_eft(tmp_path, "COCO2014-Val-ver10.json", [eft("COCO_val2014_000000000009.jpg")])
    for folder in ("images/val2017", "train2017"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "000000000009.jpg").touch()
        [person] = read(reader, "val")
        assert person.provenance.image_path == f"{folder}/000000000009.jpg"
        assert person.provenance.frame == "COCO_val2014_000000000009"


def test_the_larger_eft_file_is_preferred(tmp_path: Path) -> None:
    reader = write_eft(tmp_path, "COCO2014-Part-ver01.json", [eft()])
    assert reader.units("train")[0].files == ("eft_fit/COCO2014-Part-ver01.json",)
    reader = write_eft(tmp_path, "COCO2014-All-ver01.json", [eft()])
    assert reader.units("train")[0].files == ("eft_fit/COCO2014-All-ver01.json",)
    with pytest.raises(RawLayoutError, match="COCO2014-Val-ver10"):
        reader.units("val")


@pytest.mark.skipif("EHPS_SAMPLES" not in os.environ, reason="needs real samples: set EHPS_SAMPLES")
def test_real_people(tmp_path: Path) -> None:
    samples = Path(os.environ["EHPS_SAMPLES"]) / "coco"
    shutil.copytree(samples / "annotations", tmp_path / "annotations")
    shutil.copytree(samples / "val2017", tmp_path / "images/val2017")
    results = read(Mscoco(tmp_path), "val")
    assert [(r.provenance.frame, r.provenance.person) for r in results] == [
        ("000000000785", "442619"),
        ("000000040083", "198196"),
        ("000000040083", "230195"),
        ("000000040083", "1202706"),
    ]
    *people, empty = results
    assert isinstance(empty, Reject)
    assert empty.reason == "no-keypoints"
    for person in people:
        assert isinstance(person, Annotation)
        assert person.body is None
        assert (tmp_path / person.image.path).is_file()
        [points] = person.keypoints2d
        known = points.values[points.values[:, 2] > 0]
        assert len(known) >= 14
        assert (known[:, :2] >= 0).all()
        assert person.image_size_px is not None
        assert (known[:, :2] <= person.image_size_px).all()
    skier = people[0]
    assert isinstance(skier, Annotation)
    assert skier.image_size_px == (640, 425)
    [points] = skier.keypoints2d
    assert points.values[0].tolist() == [367, 81, 1]
    assert points.values[91:112, 2].max() == 0, "its left hand is not valid"
    assert skier.boxes.left_hand_xywh_px[4] == 0
    assert skier.boxes.right_hand_xywh_px[4] == 1
