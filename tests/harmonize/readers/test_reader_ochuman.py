"""OCHuman: EFT fits, the COCO-style files and its own file with corners and four visibilities."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.ochuman import Ochuman


def read(reader: Ochuman, split: str) -> list[Annotation | Reject]:
    return [person for unit in reader.units(split) for person in reader.read(split, unit)]


def fit(name: str) -> dict[str, Any]:
    points = np.zeros((49, 3))
    points[25:] = np.column_stack([np.arange(24) + 30, np.arange(24) + 50, np.ones(24)])
    return {
        "parm_pose": np.tile(np.eye(3), (24, 1, 1)).tolist(),
        "parm_shape": [0.1] * 10,
        "parm_cam": [0.9, 0.05, 0.1],
        "bbox_scale": 3.0,
        "bbox_center": [40, 30],
        "gt_keypoint_2d": points.tolist(),
        "smpltype": "smpl",
        "imageName": name,
    }


@pytest.mark.parametrize("folder", ["", "OCHuman"])
def test_fits(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder / "images").mkdir(parents=True)
    (tmp_path / "eft_fit").mkdir()
    for split, name in (("train", "000001.jpg"), ("test", "images/000002.jpg")):
        (tmp_path / f"eft_fit/OCHuman_{split}_ver10.json").write_text(json.dumps({"data": [fit(name)]}))
    reader = Ochuman(tmp_path)
    [train], [test] = read(reader, "train"), read(reader, "test")
    assert isinstance(train, Annotation)
    assert isinstance(test, Annotation)
    assert (train.provenance.frame, train.provenance.person) == ("000001", "0")
    assert train.image.path == str(Path(folder, "images/000001.jpg"))
    assert test.image.path == str(Path(folder, "images/000002.jpg"))
    assert train.provenance.label_origin == "eft"
    assert train.body is not None
    assert train.boxes.person_xywh_px[4] == 0, "corners taken for x, y, w, h made the crop"
    [points] = train.keypoints2d
    value = dict(zip(points.names, points.values.tolist(), strict=True))
    assert value["left_ear"] == [52, 72, 1], "ears are labelled here, in SPIN's order"


KEYPOINTS = [[10 + i, 20 + i, i % 4] for i in range(19)]


def native(root: Path, people: list[Any], folder: str = "") -> Ochuman:
    image = {"image_id": "000001", "file_name": "000001.jpg", "width": 64, "height": 48, "annotations": people}
    (root / folder).mkdir(exist_ok=True)
    (root / folder / "ochuman.json").write_text(json.dumps({"keypoint_names": [], "images": [image]}))
    return Ochuman(root, form="native")


def person(**changes: Any) -> dict[str, Any]:
    flat = np.ravel(KEYPOINTS).tolist()
    return {"bbox": [8, 18, 40, 47], "keypoints": flat, "segms": None, "max_iou": 0.5} | changes


def test_the_native_file_has_corners_and_people_with_a_box_alone(tmp_path: Path) -> None:
    both, box_alone, wrong = read(native(tmp_path, [person(), person(keypoints=None), person(keypoints=[1])]), "all")
    assert isinstance(both, Annotation)
    assert isinstance(box_alone, Reject)
    assert isinstance(wrong, Reject)
    assert (box_alone.reason, wrong.reason) == ("no-keypoints", "malformed")
    np.testing.assert_allclose(both.boxes.person_xywh_px, [8, 18, 32, 29, 1])
    assert (both.provenance.frame, both.provenance.person) == ("000001", "0")
    assert [one.provenance.person for one in (box_alone, wrong)] == ["1", "2"]
    assert both.image_size_px == (64, 48)
    assert both.body is None
    [points] = both.keypoints2d
    value = dict(zip(points.names, points.values.tolist(), strict=True))
    assert value["right_shoulder"][2] == 0, "0: missing"
    assert value["right_elbow"][2] == value["right_wrist"][2] == value["left_shoulder"][2] == 1, "1, 2, 3: labelled"
    assert value["headtop"][:2] == [22, 32]
    assert not {"head", "neck"} & set(points.names)


def test_both_editions_count_the_same_points(tmp_path: Path) -> None:
    """Natively 2 is self-occluded and 3 occluded by others; in the COCO edition these are 2 and 1."""
    renamed = {0: 0, 1: 2, 2: 2, 3: 1}
    coco_points = np.zeros((17, 3))
    for at, row in ((5, 3), (6, 0), (8, 1)):
        x, y, v = KEYPOINTS[row]
        coco_points[at] = (x, y, renamed[v])
    annotation = {
        "id": 1,
        "image_id": 1,
        "bbox": [8, 18, 32, 29],
        "iscrowd": 0,
        "keypoints": coco_points.ravel().tolist(),
        "segmentation": {"size": [48, 64], "counts": "abc"},
    }
    content = {
        "images": [{"id": 1, "file_name": "000001.jpg", "width": 64, "height": 48}],
        "annotations": [annotation],
    }
    (tmp_path / "ochuman_coco_format_val_range_0.00_1.00.json").write_text(json.dumps(content))
    [coco] = read(Ochuman(tmp_path, form="coco"), "val")
    [own] = read(native(tmp_path, [person()]), "all")
    assert isinstance(coco, Annotation)
    assert isinstance(own, Annotation)
    np.testing.assert_array_equal(coco.boxes.person_xywh_px, own.boxes.person_xywh_px)
    of_coco, of_own = (
        dict(zip(one.keypoints2d[0].names, one.keypoints2d[0].values[:, 2], strict=True)) for one in (coco, own)
    )
    for name in ("left_shoulder", "right_shoulder", "right_elbow"):
        assert of_coco[name] == of_own[name], name
    assert coco.provenance.person == "1"


def test_splits_and_wrong_roots(tmp_path: Path) -> None:
    assert Ochuman(tmp_path).splits == ("train", "test")
    assert list(Ochuman(tmp_path, form="coco").splits) == ["val", "test"]
    for form, split, name in (
        ("eft", "train", "OCHuman_train_ver10"),
        ("coco", "test", "ochuman_coco_format_test_range"),
        ("native", "all", r"ochuman\.json"),
    ):
        with pytest.raises(RawLayoutError, match=name):
            Ochuman(tmp_path, form=form).units(split)
    (tmp_path / "ochuman.json").write_text('{"images": []}')
    with pytest.raises(RawFileError, match=r"ochuman\.json"):
        Ochuman(tmp_path, form="native").units("all")


def test_real_people(tmp_path: Path, samples: Path) -> None:
    source = samples / "ochuman/ochuman_coco_format_sample.json"
    shutil.copy(source, tmp_path / "ochuman_coco_format_val_range_0.00_1.00.json")
    shutil.copytree(samples / "ochuman/images", tmp_path / "images")
    people = read(Ochuman(tmp_path, form="coco"), "val")
    assert [one.provenance.frame for one in people] == ["003799", "000817", "000817"]
    for one in people:
        assert isinstance(one, Annotation)
        assert (tmp_path / one.image.path).is_file()
        [points] = one.keypoints2d
        known = points.values[points.values[:, 2] > 0]
        assert len(known) >= 10
        assert one.image_size_px is not None
        assert (known[:, :2] <= one.image_size_px).all()
