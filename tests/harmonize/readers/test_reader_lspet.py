"""LSPET: EFT fits, and joints.mat whose columns follow the order of file names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.keypoints import convention
from harmonize.readers import lspet
from harmonize.readers.lspet import Lspet

NAMES = ("im00001.png", "im00002.png", "im00004.png")


def read(reader: Lspet, split: str = "train") -> list[Annotation | Reject]:
    return [person for unit in reader.units(split) for person in reader.read(split, unit)]


def fit(name: str) -> dict[str, Any]:
    points = np.ones((49, 3))
    return {
        "parm_pose": np.tile(np.eye(3), (24, 1, 1)).tolist(),
        "parm_shape": [0.1] * 10,
        "parm_cam": [0.9, 0.05, 0.1],
        "bbox_scale": 0.3,
        "bbox_center": [40, 30],
        "gt_keypoint_2d": points.tolist(),
        "smpltype": "smpl",
        "imageName": name,
    }


def fits(root: Path, name: str, people: list[str]) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text(json.dumps({"data": [fit(person) for person in people]}))


def test_fits_name_their_pictures(tmp_path: Path) -> None:
    fits(tmp_path, "eft_fit/LSPet_train_ver10.json", ["im00004.png"])
    fits(tmp_path, "eft_fit/LSPet_test_ver10.json", ["im00001.png", "im00002.png"])
    [train] = read(Lspet(tmp_path))
    assert isinstance(train, Annotation)
    assert (train.provenance.frame, train.provenance.person) == ("im00004", "0")
    assert train.image.path == "im00004.png"
    assert train.provenance.label_origin == "eft"
    assert train.body is not None
    np.testing.assert_allclose(train.boxes.person_xywh_px, [15, 5, 50, 50, 1])
    annotated, detected = train.keypoints2d
    assert (annotated.origin, detected.origin) == ("annotated", "detected")
    assert annotated.names[:14] == convention("lsp_14").names
    test = read(Lspet(tmp_path), "test")
    assert [(one.provenance.frame, one.provenance.person) for one in test] == [("im00001", "0"), ("im00002", "0")]


def test_the_outdated_file_serves_when_it_is_alone(tmp_path: Path) -> None:
    fits(tmp_path, "LSPet_fit/LSPet_ver01.json", ["im00001.png"])
    assert Lspet(tmp_path).units("train")[0].files == ("LSPet_fit/LSPet_ver01.json",)
    fits(tmp_path, "eft_fit/LSPet_train_ver10.json", ["im00001.png"])
    assert Lspet(tmp_path).units("train")[0].files == ("eft_fit/LSPet_train_ver10.json",)


@pytest.mark.parametrize("folder", ["LSPET", "hr-lspet"])
def test_fits_beside_the_pictures_folder(tmp_path: Path, folder: str) -> None:
    fits(tmp_path, "eft_fit/LSPet_train_ver10.json", ["im00004.png"])
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "im00004.png").touch()
    assert read(Lspet(tmp_path))[0].provenance.image_path == f"{folder}/im00004.png"


def joints() -> np.ndarray:
    values = np.zeros((14, 3, 3))
    values[:, 0, :] = np.arange(14)[:, None] + [10, 20, 40]
    values[:, 1, :] = np.arange(14)[:, None] + 5
    values[:, 2, :] = 1
    values[3, :, 0] = (0, 0, 1)  # missing, yet flagged visible
    values[4, 2, 0] = 0
    values[:, 0, 1] += 500  # beyond the picture
    return values


def column(root: Path, values: np.ndarray, names: tuple[str, ...] = NAMES, folder: str = "") -> Lspet:
    (root / folder).mkdir(exist_ok=True)
    savemat(root / folder / "joints.mat", {"joints": values})
    for name in names:
        (root / folder / name).touch()
    return Lspet(root, form="joints")


def test_columns_follow_the_order_of_names_not_their_numbers(tmp_path: Path) -> None:
    people = read(column(tmp_path, joints()))
    assert [one.provenance.frame for one in people] == ["im00001", "im00002", "im00004"]
    assert [one.provenance.source_row for one in people] == [f"joints(:,:,{i})" for i in (1, 2, 3)]
    for one, x in zip(people, (10, 520, 40), strict=True):
        assert isinstance(one, Annotation)
        assert one.keypoints2d[0].values[0].tolist() == [x, 5, 1], "nobody is dropped for a joint beyond the picture"
        assert one.body is None
        assert one.provenance.person == "0"


def test_points_at_zero_and_hidden_ones_are_no_labels(tmp_path: Path) -> None:
    person = read(column(tmp_path, joints()))[0]
    assert isinstance(person, Annotation)
    [points] = person.keypoints2d
    value = dict(zip(points.names, points.values.tolist(), strict=True))
    assert value["left_hip_extra"] == [0, 0, 0]
    assert value["left_knee"] == [0, 0, 0]
    assert value["headtop"] == [23, 18, 1]
    assert value["neck_extra"] == [22, 17, 1]


def test_another_number_of_pictures_names_nobody(tmp_path: Path) -> None:
    reader = column(tmp_path, joints(), NAMES[:2])
    with pytest.raises(RawLayoutError, match=r"expected 3 pictures .* found 2"):
        reader.units("train")


def test_without_pictures_only_a_set_without_gaps_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = column(tmp_path, joints(), ())
    with pytest.raises(RawLayoutError, match=r"found 0"):
        reader.units("train")
    monkeypatch.setattr(lspet, "NUM_WITHOUT_GAPS", 3)
    assert [one.provenance.frame for one in read(reader)] == ["im00001", "im00002", "im00003"]


def test_the_low_resolution_original(tmp_path: Path) -> None:
    names = ("images/im00001.jpg", "images/im00002.jpg", "images/im00003.jpg")
    (tmp_path / "images").mkdir()
    assert [one.provenance.image_path for one in read(column(tmp_path, joints(), names))] == list(names)


def test_a_single_column_and_someone_without_points(tmp_path: Path) -> None:
    [person] = read(column(tmp_path, np.zeros((14, 3, 1)), NAMES[:1]))
    assert isinstance(person, Reject)
    assert person.reason == "no-keypoints"


def test_damaged_files_and_those_of_the_other_dataset(tmp_path: Path) -> None:
    for content in ({"joints": np.zeros((3, 14, 3))}, {"points": np.zeros((14, 3, 3))}):
        savemat(tmp_path / "joints.mat", content)
        with pytest.raises(RawFileError, match=r"joints\.mat"):
            Lspet(tmp_path, form="joints").units("train")
    with pytest.raises(RawLayoutError, match="LSPet_train_ver10"):
        Lspet(tmp_path).units("train")
