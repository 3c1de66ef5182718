"""The EFT json: its weak-perspective camera, its rotations and its points, apart from any dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harmonize.annotation import Annotation, ImageSource, Reject
from harmonize.errors import RawFileError
from harmonize.geometry.cameras import project_with
from harmonize.readers import eft
from harmonize.readers.eft import eft_annotation, eft_units, read_eft, rows_of
from harmonize.record import Provenance

RNG = np.random.default_rng(3)
TURNS = Rotation.from_rotvec(RNG.normal(0, 0.4, (24, 3)))


def fit(**changes: Any) -> dict[str, Any]:
    points = np.zeros((49, 3))
    points[25:] = np.column_stack([RNG.uniform(0, 60, (24, 2)), np.ones(24)])
    return {
        "parm_pose": TURNS.as_matrix().tolist(),
        "parm_shape": [0.5, *[0.1] * 9],
        "parm_cam": [0.9, 0.05, 0.1],
        "bbox_scale": 0.3,
        "bbox_center": [40.0, 30.0],
        "gt_keypoint_2d": points.tolist(),
        "joint_validity_openpose18": [1] * 18,
        "smpltype": "smpl",
        "annotId": 0,
        "imageName": "a.jpg",
    } | changes


def read(root: Path, fits: list[Any], **options: Any) -> list[Annotation | Reject]:
    path = root / "fits.json"
    path.write_text(json.dumps({"ver": 0.1, "data": fits, "meta": {}}))
    rows = read_eft(path)
    provenance, image = Provenance(), ImageSource(path="a.jpg", orientation=1)
    return [eft_annotation(row, provenance, image, **options) for row in rows]


def one(root: Path, entry: Any, **options: Any) -> Annotation:
    [found] = read(root, [entry], **options)
    assert isinstance(found, Annotation)
    return found


@pytest.mark.parametrize(("scale", "side"), [(0.9, 0.3), (0.4, 3.0), (1.0, 1.1)])
def test_the_pinhole_is_the_weak_perspective_within_a_pixel(tmp_path: Path, scale: float, side: float) -> None:
    """The formula of the format, for points as far from the pelvis as a body reaches."""
    person = one(tmp_path, fit(parm_cam=[scale, 0.05, -0.1], bbox_scale=side))
    assert person.body is not None
    assert person.body.transl_m is not None
    points = RNG.uniform([-0.6, -1.0, -0.3], [0.6, 0.8, 0.3], (200, 3))
    square = 200 * side
    corner = np.array([40.0, 30.0]) - square / 2
    expected = corner + square / 2 * (scale * points[:, :2] + [0.05, -0.1] + 1)
    found = project_with(person.camera, points + person.body.transl_m)
    assert np.linalg.norm(found - expected, axis=1).max() < max(1.0, 0.005 * square)
    np.testing.assert_allclose(person.camera.focal_px, 5000 * square / 224)
    np.testing.assert_allclose(person.camera.principal_point_px, [40, 30])
    assert not person.camera.is_calibrated
    assert not person.body.is_transl_metric


def test_rotation_matrices_become_axis_angle_and_are_made_orthogonal(tmp_path: Path) -> None:
    drifted = TURNS.as_matrix() * (1 + RNG.normal(0, 1e-4, (24, 3, 3)))
    body = one(tmp_path, fit(parm_pose=drifted.tolist())).body
    assert body is not None
    assert body.pose_aa.shape == (24, 3)
    np.testing.assert_allclose(body.pose_aa, TURNS.as_rotvec(), atol=1e-3)
    assert (body.model, body.gender, body.hands) == ("smpl", "neutral", "absent")
    assert body.transl_m is not None
    np.testing.assert_allclose(body.transl_m, [0.05 / 0.9, 0.1 / 0.9, 10000 / (224 * 0.9)])


def test_the_box_is_that_of_the_annotation_without_the_margin_of_the_crop(tmp_path: Path) -> None:
    np.testing.assert_allclose(one(tmp_path, fit()).boxes.person_xywh_px, [15, 5, 50, 50, 1])
    assert one(tmp_path, fit(), has_box=False).boxes.person_xywh_px[4] == 0


def test_annotated_points_come_first_and_empty_detections_not_at_all(tmp_path: Path) -> None:
    [annotated] = one(tmp_path, fit()).keypoints2d
    assert annotated.origin == "annotated"
    assert annotated.names[:2] == ("right_ankle", "right_knee")
    assert annotated.names[12:14] == ("neck_extra", "headtop")
    assert len(annotated.values) == 24
    [without_ears] = one(tmp_path, fit(), has_ears=False).keypoints2d
    assert len(without_ears.values) == 22
    assert not any(name.endswith("_ear") for name in without_ears.names)
    points = np.ones((49, 3))
    first, second = one(tmp_path, fit(gt_keypoint_2d=points.tolist())).keypoints2d
    assert (first.origin, second.origin) == ("annotated", "detected")
    assert second.names[0] == "nose_openpose"


def test_unusable_fits_are_rejects_with_reasons(tmp_path: Path) -> None:
    nan = TURNS.as_matrix()
    nan[3] = np.nan
    mirrored = TURNS.as_matrix()
    mirrored[0, 0] *= -1
    entries = [
        fit(parm_pose=nan.tolist()),
        fit(parm_pose=mirrored.tolist()),
        fit(parm_pose=(2 * TURNS.as_matrix()).tolist()),
        fit(parm_cam=[0.0, 0.0, 0.0]),
        fit(bbox_scale=-1),
        fit(smpltype="smplx"),
        fit(parm_shape=[1.0]),
        fit(imageName=None),
        {},
    ]
    found = read(tmp_path, entries)
    reasons = [item.reason for item in found if isinstance(item, Reject)]
    assert reasons == ["not-finite", "not-a-rotation", "not-a-rotation", *["malformed"] * 6]


def test_points_that_are_no_numbers_are_no_labels(tmp_path: Path) -> None:
    points = np.ones((49, 3))
    points[30, 0] = np.nan
    annotated, _ = one(tmp_path, fit(gt_keypoint_2d=points.tolist())).keypoints2d
    assert annotated.values[5].tolist() == [0, 0, 0]
    assert annotated.values[6].tolist() == [1, 1, 1]


def test_units_are_runs_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eft, "ROWS_PER_UNIT", 2)
    path = tmp_path / "fits.json"
    path.write_text(json.dumps({"data": [fit(imageName=f"{i}.jpg") for i in range(5)]}))
    rows = read_eft(path)
    units = eft_units(len(rows), "fits.json")
    assert [unit.num_hint for unit in units] == [2, 2, 1]
    found = [(row, item.image_name) for unit in units for row, item in rows_of(rows, unit)]
    assert found == [(i, f"{i}.jpg") for i in range(5)]


def test_a_file_without_fits_is_an_error_that_names_it(tmp_path: Path) -> None:
    for content in ('{"ver": 0.1, "data": []}', '{"ver": 0.1', "[]"):
        (tmp_path / "fits.json").write_text(content)
        with pytest.raises(RawFileError, match=r"fits\.json"):
            read_eft(tmp_path / "fits.json")
