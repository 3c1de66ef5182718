"""CrowdPose: hand-made records from the dataset's description, and its real val file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.crowdpose import Crowdpose

FITS = "CrowdPose_train_SMPL_NeuralAnnot.json"


def annotation(annotation_id: int, image_id: int = 100016, **changes: Any) -> dict[str, Any]:
    points = [[10 + i, 20 + i, 2] for i in range(14)]
    points[5] = [15, 25, 1]
    points[6] = [0, 0, 0]
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": 1,
        "bbox": [8.5, 18.0, 40.0, 20.0],
        "iscrowd": 0,
        "num_keypoints": 13,
        "keypoints": np.ravel(points).tolist(),
    } | changes


def fit(seed: int = 0, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    sizes = {"pose": 72, "shape": 10, "trans": 3}
    params = {key: rng.normal(size=size).round(4).tolist() for key, size in sizes.items()}
    camera = {"focal": [20000.5, 20001.5], "princpt": [23.0, 22.0]}
    return {"smpl_param": params | changes, "cam_param": camera, "fit_err": 2.5}


def write(
    root: Path,
    people: list[dict[str, Any]],
    fits: dict[str, Any] | None,
    split: str = "train",
    size: tuple[int, int] = (64, 48),
) -> Crowdpose:
    ids = sorted({person["image_id"] for person in people} - {99})
    images = [{"id": i, "file_name": f"{i}.jpg", "width": size[0], "height": size[1], "crowdIndex": 2.1} for i in ids]
    (root / f"crowdpose_{split}.json").write_text(json.dumps({"images": images, "annotations": people}))
    if fits is not None:
        (root / FITS).write_text(json.dumps(fits))
    return Crowdpose(root)


def read(reader: Crowdpose, split: str = "train") -> list[Annotation | Reject]:
    return [person for unit in reader.units(split) for person in reader.read(split, unit)]


def test_labels_and_fit_are_joined_by_string_id(tmp_path: Path) -> None:
    [person] = read(write(tmp_path, [annotation(7)], {"7": fit()}))
    assert isinstance(person, Annotation)
    source = person.provenance
    assert (source.sequence, source.frame, source.person) == ("", "100016", "7")
    assert person.image.path == "images/100016.jpg"
    assert source.label_origin == "neuralannot"
    body, params = person.body, fit()["smpl_param"]
    assert body is not None
    assert (body.model, body.gender, body.hands, body.is_transl_metric) == ("smpl", "neutral", "absent", False)
    np.testing.assert_allclose(body.pose_aa.ravel(), params["pose"], rtol=1e-6)
    np.testing.assert_allclose(body.betas, params["shape"], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(body.transl_m), params["trans"], rtol=1e-6)
    assert set(body.unknown_joints) == {"left_wrist", "right_wrist", "left_ankle", "right_ankle"}
    assert not person.camera.is_calibrated
    np.testing.assert_allclose(person.camera.focal_px, [20000.5, 20001.5])
    np.testing.assert_allclose(person.boxes.person_xywh_px, [8.5, 18, 40, 20, 1])


def test_head_and_neck_are_surface_points_and_hidden_points_count(tmp_path: Path) -> None:
    [person] = read(write(tmp_path, [annotation(7)], {}))
    assert isinstance(person, Annotation)
    [points] = person.keypoints2d
    value = dict(zip(points.names, points.values.tolist(), strict=True))
    assert value["headtop"] == [22, 32, 1]
    assert value["neck_extra"] == [23, 33, 1]
    assert not {"head", "neck"} & set(points.names)
    assert value["right_wrist"] == [15, 25, 1], "v = 1 is hidden, and labelled"
    assert value["left_hip_extra"] == [0, 0, 0]
    assert person.body is None
    assert person.provenance.label_origin == ""


def test_unusable_people_are_rejects_with_reasons(tmp_path: Path) -> None:
    people = [
        annotation(1, iscrowd=1),
        annotation(2, keypoints=[0] * 42, num_keypoints=0),
        annotation(3, bbox=[8, 4, 0, 10]),
        annotation(4, keypoints=[1, 2, 3]),
        annotation(5),
        annotation(6, image_id=99),
    ]
    results = read(write(tmp_path, people, {"5": fit(pose=[0.0] * 66)}))
    reasons = {one.provenance.person: one.reason for one in results if isinstance(one, Reject)}
    expected = {"1": "crowd", "2": "no-keypoints", "3": "empty-box", "4": "malformed", "5": "malformed"}
    assert reasons == expected | {"6": "malformed"}


def test_a_fit_without_numbers_is_a_reject_of_that_person(tmp_path: Path) -> None:
    nan = float("nan")
    results = read(write(tmp_path, [annotation(1), annotation(2)], {"1": fit(trans=[nan, 0, 1]), "2": fit()}))
    assert [isinstance(one, Reject) for one in results] == [True, False]


def wide(count: int) -> list[dict[str, Any]]:
    """People at the right of pictures 64 wide and 48 high."""
    points = np.ravel([[60, 20 + i, 2] for i in range(14)]).tolist()
    return [annotation(i, image_id=100016 + i, keypoints=points) for i in range(count)]


def test_swapped_sizes_are_turned_in_the_files_that_have_them(tmp_path: Path) -> None:
    """The first release of train, trainval and test; val is right."""
    write(tmp_path, wide(20), {}, "train", size=(48, 64))
    write(tmp_path, wide(20), None, "val", size=(64, 48))
    for split in ("train", "val"):
        people = read(Crowdpose(tmp_path), split)
        assert {one.image_size_px for one in people if isinstance(one, Annotation)} == {(64, 48)}
        assert len(people) == 20


def test_a_file_that_does_not_decide_its_sizes_leaves_them_to_the_picture(tmp_path: Path) -> None:
    for size in ((64, 48), (48, 64)):
        people = read(write(tmp_path, [annotation(1), annotation(2)], {}, size=size))
        assert [one.image_size_px for one in people if isinstance(one, Annotation)] == [None, None]
    points = np.ravel([[100, 100, 2]] * 14).tolist()
    crowd = [annotation(i, image_id=i, keypoints=points) for i in range(30)]
    people = read(write(tmp_path, crowd, {}))
    assert [one.image_size_px for one in people if isinstance(one, Annotation)] == [None] * 30


def test_only_train_people_have_fits(tmp_path: Path) -> None:
    write(tmp_path, [annotation(1)], {"1": fit()}, "train")
    for split in ("trainval", "val", "test"):
        write(tmp_path, [annotation(1)], None, split)
    bodies = {}
    for split in Crowdpose.splits:
        [person] = read(Crowdpose(tmp_path), split)
        assert isinstance(person, Annotation)
        bodies[split] = person.body is not None
    assert bodies == {"train": True, "val": False, "trainval": True, "test": False}


def test_the_folders_of_other_code_bases(tmp_path: Path) -> None:
    write(tmp_path, [annotation(1)], {"1": fit()})
    (tmp_path / "annotations").mkdir()
    for name in ("crowdpose_train.json", FITS):
        (tmp_path / name).rename(tmp_path / "annotations" / name)
    assert Crowdpose(tmp_path).units("train")[0].files == ("annotations/crowdpose_train.json", f"annotations/{FITS}")
    (tmp_path / "annotations/crowdpose_train.json").rename(tmp_path / "annotations/mmpose_crowdpose_train.json")
    assert Crowdpose(tmp_path).units("train")[0].files[0] == "annotations/mmpose_crowdpose_train.json"


def test_wrong_roots_and_damaged_files(tmp_path: Path) -> None:
    reader = write(tmp_path, [annotation(1)], None)
    with pytest.raises(RawLayoutError, match=FITS):
        reader.units("train")
    with pytest.raises(RawLayoutError, match=r"crowdpose_test\.json"):
        reader.units("test")
    (tmp_path / FITS).write_text('{"1": ')
    with pytest.raises(RawFileError, match=FITS):
        reader.units("train")


def test_the_real_val_file(tmp_path: Path, samples: Path) -> None:
    shutil.copy(samples / "crowdpose/json/crowdpose_val.json", tmp_path)
    people = read(Crowdpose(tmp_path), "val")
    assert len(people) == 4097
    kept = [one for one in people if isinstance(one, Annotation)]
    assert {one.reason for one in people if isinstance(one, Reject)} == {"crowd", "no-keypoints"}
    assert len(kept) > 3000
    for one in kept:
        assert one.image_size_px is not None, "points decide that the stated sizes are right"
        [points] = one.keypoints2d
        known = points.values[points.values[:, 2] > 0]
        assert (known[:, :2] <= one.image_size_px).all()
    content = json.loads((tmp_path / "crowdpose_val.json").read_text())
    for image in content["images"]:
        image["width"], image["height"] = image["height"], image["width"]
    (tmp_path / "crowdpose_val.json").write_text(json.dumps(content))
    turned = [one for one in read(Crowdpose(tmp_path), "val") if isinstance(one, Annotation)]
    assert [one.image_size_px for one in turned] == [one.image_size_px for one in kept]
