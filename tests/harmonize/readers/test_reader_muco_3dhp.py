"""MuCo-3DHP: hand-made records from the dataset's description."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.muco_3dhp import Muco3dhp

FOCAL, CENTRE = [1500.0, 1502.0], [510.0, 514.0]
JOINTS_MM = np.random.default_rng(0).uniform([-600, -900, 3000], [600, 900, 3600], (21, 3)).round(3)
JOINTS_PX = JOINTS_MM[:, :2] / JOINTS_MM[:, 2:] * FOCAL + CENTRE


def annotation(annotation_id: int, image_id: int = 7, **changes: Any) -> dict[str, Any]:
    return {
        "id": annotation_id,
        "image_id": image_id,
        "bbox": [200.0, 100.0, 600.0, 800.0],
        "keypoints_img": JOINTS_PX.tolist(),
        "keypoints_cam": JOINTS_MM.tolist(),
        "keypoints_vis": [True] * 21,
    } | changes


def fit(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        "pose": rng.normal(size=72).tolist(),
        "shape": [4.5, *rng.normal(size=9).tolist()],
        "trans": [0.1, 0.2, 3.3],
    } | changes


def write(root: Path, people: list[dict[str, Any]], fits: dict[str, Any], folder: str = "", **image: Any) -> Muco3dhp:
    picture = {
        "id": 7,
        "file_name": "unaugmented_set/000012.jpg",
        "width": 1024,
        "height": 1024,
        "f": FOCAL,
        "c": CENTRE,
        "R": np.eye(3).tolist(),
        "T": [0, 0, 0],
    }
    (root / folder / "unaugmented_set").mkdir(parents=True, exist_ok=True)
    content = {"images": [picture | image], "annotations": people}
    (root / folder / "MuCo-3DHP.json").write_text(json.dumps(content))
    (root / folder / "smpl_param.json").write_text(json.dumps(fits))
    return Muco3dhp(root)


def read(reader: Muco3dhp) -> list[Annotation | Reject]:
    return [person for unit in reader.units("train") for person in reader.read("train", unit)]


def test_a_person_with_a_fit(tmp_path: Path) -> None:
    [person] = read(write(tmp_path, [annotation(31)], {"31": fit()}))
    assert isinstance(person, Annotation)
    source = person.provenance
    assert (source.sequence, source.frame, source.person) == ("unaugmented_set", "000012", "31")
    assert person.image.path == "unaugmented_set/000012.jpg"
    assert source.label_origin == "fit"
    body = person.body
    assert body is not None
    assert (body.model, body.gender, body.hands, body.is_transl_metric) == ("smpl", "neutral", "absent", True)
    assert body.pose_aa.shape == (24, 3)
    assert body.to_cam is None, "the comment of a reader says world, the numbers are of the camera"
    np.testing.assert_allclose(body.pose_aa.ravel(), fit()["pose"], rtol=1e-6)
    np.testing.assert_allclose(body.betas, fit()["shape"], rtol=1e-6)
    assert body.transl_m is not None
    np.testing.assert_allclose(body.transl_m, [0.1, 0.2, 3.3], rtol=1e-6)
    assert person.camera.is_calibrated
    np.testing.assert_allclose(person.camera.focal_px, FOCAL)
    np.testing.assert_allclose(person.camera.principal_point_px, CENTRE)
    np.testing.assert_allclose(person.boxes.person_xywh_px, [200, 100, 600, 800, 1])


def test_joints_are_millimetres_in_the_file_and_metres_here(tmp_path: Path) -> None:
    visible = [True] * 21
    visible[14] = False
    [person] = read(write(tmp_path, [annotation(31, keypoints_vis=visible)], {}))
    assert isinstance(person, Annotation)
    assert person.keypoints3d is not None
    assert person.keypoints3d.origin == "measured"
    joints = dict(zip(person.keypoints3d.names, person.keypoints3d.values.tolist(), strict=True))
    np.testing.assert_allclose(joints["right_elbow"], [*JOINTS_MM[3] / 1000, 1], rtol=1e-6)
    np.testing.assert_allclose(joints["left_toe_3dhp"], [*JOINTS_MM[20] / 1000, 1], rtol=1e-6)
    [points] = person.keypoints2d
    at = points.names.index("pelvis_extra")
    assert points.values[at, 2] == 0, "hidden in the picture, yet measured"
    assert joints["pelvis_extra"][3] == 1
    assert points.values[points.names.index("neck_extra"), 2] == 1
    np.testing.assert_allclose(points.values[at, :2], JOINTS_PX[14], rtol=1e-6)


def test_people_without_a_usable_fit_keep_their_measured_joints(tmp_path: Path) -> None:
    """Many ids have no entry, some entries hold NaN, written as Python does."""
    fits = {"2": fit(trans=[math.nan, 0.0, 1.0]), "3": fit()}
    people = read(write(tmp_path, [annotation(1), annotation(2), annotation(3)], fits))
    assert "NaN" in (tmp_path / "smpl_param.json").read_text()
    bodies = [person.body for person in people if isinstance(person, Annotation)]
    assert [body is not None for body in bodies] == [False, False, True]
    assert [person.provenance.label_origin for person in people] == ["multi-view", "multi-view", "fit"]


def test_unusable_people_are_rejects_with_reasons(tmp_path: Path) -> None:
    people = [
        annotation(1, keypoints_vis=[False] * 21),
        annotation(2, bbox=[1500, 0, 10, 10]),
        annotation(3, keypoints_cam=JOINTS_MM.tolist()[:20]),
        annotation(4),
        annotation(5, image_id=99),
        annotation(6, keypoints_img=(2 * JOINTS_PX).tolist()),
    ]
    results = read(write(tmp_path, people, {"4": fit(pose=[0.0] * 69)}))
    found = [(one.provenance.person, one.reason) for one in results if isinstance(one, Reject)]
    assert found == [
        ("1", "not-visible"),
        ("2", "empty-box"),
        ("3", "malformed"),
        ("4", "malformed"),
        ("6", "projection"),
        ("5", "malformed"),
    ]


def test_intrinsics_of_the_uncomposited_size_are_noticed(tmp_path: Path) -> None:
    twice = write(tmp_path, [annotation(1)], {}, f=[2 * x for x in FOCAL], c=[2 * x for x in CENTRE])
    [person] = read(twice)
    assert isinstance(person, Reject)
    assert person.reason == "projection"
    assert person.numbers["error_px"] > 100


@pytest.mark.parametrize("folder", ["MuCo/data", "MuCo"])
def test_folders_as_others_keep_them(tmp_path: Path, folder: str) -> None:
    [person] = read(write(tmp_path, [annotation(1)], {}, folder))
    assert person.provenance.image_path == f"{folder}/unaugmented_set/000012.jpg"


def test_pictures_under_images(tmp_path: Path) -> None:
    reader = write(tmp_path, [annotation(1)], {}, "MuCo")
    (tmp_path / "MuCo/images").mkdir()
    (tmp_path / "MuCo/unaugmented_set").rename(tmp_path / "MuCo/images/unaugmented_set")
    assert read(reader)[0].provenance.image_path == "MuCo/images/unaugmented_set/000012.jpg"


def test_wrong_roots_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match=r"MuCo-3DHP\.json"):
        Muco3dhp(tmp_path).units("train")
    reader = write(tmp_path, [annotation(1)], {})
    (tmp_path / "smpl_param.json").unlink()
    with pytest.raises(RawLayoutError, match=r"smpl_param\.json"):
        reader.units("train")
    (tmp_path / "smpl_param.json").write_text('{"1": {"pose": [0')
    with pytest.raises(RawFileError, match=r"smpl_param\.json"):
        reader.units("train")
