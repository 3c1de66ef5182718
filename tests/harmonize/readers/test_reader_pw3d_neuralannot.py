"""NeuralAnnot's SMPL-X fits of 3DPW, beside the json edition whose people they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.pw3d import Pw3d

PEOPLE = "3DPW_test.json"
FITS = "3DPW_test_SMPLX_NeuralAnnot.json"


def fit(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    sizes = {"root_pose": 3, "body_pose": 63, "shape": 10, "trans": 3}
    return {key: rng.normal(size=size).tolist() for key, size in sizes.items()}


def person(number: int, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    smpl = {"shape": [0.0] * 10, "pose": [0.1] * 72, "trans": [9.0, 9.0, 9.0], "gender": "female"}
    return {
        "id": number,
        "image_id": 7,
        "person_id": number % 2,
        "joint_cam": rng.normal(size=(24, 3)).tolist(),
        "joint_img": rng.normal(size=(24, 2)).tolist(),
        "openpose_result": rng.uniform(size=(18, 3)).tolist(),
        "bbox": [100.0, 200.0, 120.0, 240.0],
        "smpl_param": smpl,
    } | changes


def write(root: Path, people: list[dict[str, Any]], fits: Any, folder: str = "") -> Pw3d:
    lens = {"focal": [1969.0, 1970.0], "princpt": [540.0, 960.0]}
    image = {"id": 7, "file_name": "image_00012.jpg", "sequence": "walk_00", "frame_idx": 12, "cam_param": lens}
    image |= {"width": 1080, "height": 1920}
    (root / folder).mkdir(exist_ok=True)
    (root / folder / PEOPLE).write_text(json.dumps({"images": [image], "annotations": people}))
    (root / folder / FITS).write_text(json.dumps(fits))
    return Pw3d(root, form="neuralannot")


def read(reader: Pw3d) -> list[Annotation | Reject]:
    return [result for unit in reader.units("test") for result in reader.read("test", unit)]


def kept(result: Annotation | Reject) -> Annotation:
    assert isinstance(result, Annotation)
    return result


@pytest.mark.parametrize("folder", ["", "data"])
def test_fits_go_to_people_by_annotation_id(tmp_path: Path, folder: str) -> None:
    fits = {"32": fit(1), "31": fit(0)}
    reader = write(tmp_path, [person(31), person(32)], fits, folder)
    [unit] = reader.units("test")
    assert unit.files == tuple(str(Path(folder) / name) for name in (PEOPLE, FITS))
    for number, result in zip((31, 32), map(kept, reader.read("test", unit)), strict=True):
        body, wanted = result.body, fits[str(number)]
        assert body is not None
        assert (body.model, body.gender, body.hands) == ("smplx", "neutral", "absent")
        flags = (body.has_left_hand, body.has_right_hand, body.has_jaw, body.has_expression, body.has_eyes)
        assert flags == (False,) * 5
        given = np.concatenate([wanted["root_pose"], wanted["body_pose"]])
        np.testing.assert_allclose(body.pose_aa.ravel(), [*given, *[0.0] * 99], rtol=1e-6)
        np.testing.assert_allclose(body.betas, wanted["shape"], rtol=1e-6)
        assert body.transl_m is not None
        np.testing.assert_allclose(body.transl_m, wanted["trans"], rtol=1e-6)


def test_the_camera_is_the_images_and_depth_is_metric(tmp_path: Path) -> None:
    [result] = map(kept, read(write(tmp_path, [person(31)], {"31": fit(0)})))
    body = result.body
    assert body is not None
    assert body.is_transl_metric
    assert body.to_cam is None
    assert body.pelvis_cam_m is None, "only the SMPL parameters of the json edition carry a wrong pelvis"
    assert set(body.unknown_joints) == {"left_ankle", "right_ankle", "left_wrist", "right_wrist"}
    np.testing.assert_allclose(result.camera.focal_px, [1969, 1970])
    np.testing.assert_allclose(result.camera.principal_point_px, [540, 960])
    assert result.camera.is_calibrated
    source = result.provenance
    assert (source.sequence, source.frame, source.person) == ("walk_00", "00012", "1")
    assert source.label_origin == "neuralannot"


def test_identifiers_points_and_boxes_are_those_of_the_json_form(tmp_path: Path) -> None:
    reader = write(tmp_path, [person(31), person(32)], {"31": fit(0)})
    for ours, theirs in zip(map(kept, read(reader)), map(kept, read(Pw3d(tmp_path, form="json"))), strict=True):
        assert ours.provenance.frame == theirs.provenance.frame
        assert ours.provenance.person == theirs.provenance.person
        assert ours.image == theirs.image
        np.testing.assert_array_equal(ours.boxes.person_xywh_px, theirs.boxes.person_xywh_px)
        assert ours.keypoints3d is not None
        assert theirs.keypoints3d is not None
        np.testing.assert_array_equal(ours.keypoints3d.values, theirs.keypoints3d.values)
        assert len(ours.keypoints2d) == len(theirs.keypoints2d) == 2


def test_people_without_a_fit_keep_their_points(tmp_path: Path) -> None:
    with_fit, without = map(kept, read(write(tmp_path, [person(31), person(32)], {"31": fit(0)})))
    assert with_fit.body is not None
    assert without.body is None, "the SMPL body of the json edition is another label"
    assert without.keypoints3d is not None


def test_a_wrong_fit_rejects_its_person_alone(tmp_path: Path) -> None:
    fits = {"31": fit(0) | {"body_pose": [0.0] * 69}, "32": fit(1) | {"trans": [0, 0, float("nan")]}, "33": 5}
    lost = read(write(tmp_path, [person(31), person(32), person(33)], fits))
    assert [item.reason for item in lost if isinstance(item, Reject)] == ["malformed"] * 3
    assert [FITS in item.detail for item in lost if isinstance(item, Reject)] == [True] * 3
    [fine] = read(write(tmp_path, [person(31, smpl_param={"pose": "x"})], {"31": fit(0)}))
    assert kept(fine).body is not None, "SMPL parameters are not needed here"


def test_fits_are_of_the_first_edition(tmp_path: Path) -> None:
    write(tmp_path, [person(31)], {"31": fit(0)})
    (tmp_path / PEOPLE).rename(tmp_path / "3DPW_latest_test.json")
    with pytest.raises(RawLayoutError, match=r"expected 3DPW_test\.json"):
        Pw3d(tmp_path, form="neuralannot").units("test")
    (tmp_path / "3DPW_latest_test.json").rename(tmp_path / PEOPLE)
    (tmp_path / FITS).unlink()
    with pytest.raises(RawLayoutError, match=FITS):
        Pw3d(tmp_path, form="neuralannot").units("test")


def test_a_cut_file_of_fits_is_one_error(tmp_path: Path) -> None:
    reader = write(tmp_path, [person(31)], {"31": fit(0)})
    whole = (tmp_path / FITS).read_text()
    (tmp_path / FITS).write_text(whole[:-40])
    with pytest.raises(RawFileError, match=FITS):
        read(reader)
