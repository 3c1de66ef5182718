"""AGORA's SMPL fits: torch tensors, keys of the transfer tool, one neutral model for everyone."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.agora import Agora

NAME = "ag_trainset_3dpeople_bfh_archviz_5_10_cam02_00000.png"
ADULT = "smpl_gt/trainset_3dpeople_adults_bfh/10004_w_Amaya_0_0.obj"
KID = "smpl_gt/trainset_axyz_kids_bfh/k1_0_0.obj"
SIZES = {"root_pose": 3, "body_pose": 69, "translation": 3}


def fit(seed: int, num_betas: int = 10) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {key: rng.normal(size=(1, size)) for key, size in (SIZES | {"betas": num_betas}).items()}


def person(path: str = ADULT, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    entry = {"X": 250.0, "Y": -40.0, "Z": 3.0, "Yaw": 25.0, "gender": "female", "kid": False, "occlusion": 10.0}
    entry |= {"isValid": True, "gt_path_smpl": path, "gt_path_smplx": path.replace("smpl_gt", "smplx_gt")}
    entry |= {"gt_joints_2d": rng.uniform(0, 2000, (45, 2)), "gt_joints_3d": rng.normal(size=(45, 3))}
    return entry | changes


def write(root: Path, people: list[dict[str, Any]], frame: str = "SMPL/train_0_withjv.pkl") -> Agora:
    row: dict[str, Any] = {key: [entry[key] for entry in people] for key in people[0]}
    row |= {"imgPath": NAME, "camX": 100.0, "camY": 50.0, "camZ": 30.0, "camYaw": 15.0}
    (root / frame).parent.mkdir(exist_ok=True)
    pd.DataFrame([row]).to_pickle(root / frame)
    write_fit(root, ADULT, fit(0))
    write_fit(root, KID, fit(1, 11))
    return Agora(root, form="smpl")


def write_fit(root: Path, path: str, values: dict[str, np.ndarray]) -> None:
    target = (root / path).with_suffix(".pkl")
    target.parent.mkdir(parents=True, exist_ok=True)
    tensors = {key: torch.tensor(value, requires_grad=key == "body_pose") for key, value in values.items()}
    target.write_bytes(pickle.dumps(tensors))


def read(reader: Agora) -> list[Annotation | Reject]:
    return [result for unit in reader.units("train") for result in reader.read("train", unit)]


def one(results: list[Annotation | Reject]) -> Annotation:
    [result] = results
    assert isinstance(result, Annotation)
    return result


def test_tensors_of_the_transfer_tool_are_a_neutral_smpl_body(tmp_path: Path) -> None:
    entry, params = person(), fit(0)
    result = one(read(write(tmp_path, [entry])))
    body = result.body
    assert body is not None
    assert (body.model, body.gender, body.hands, body.kid_weight) == ("smpl", "neutral", "absent", 0.0)
    assert body.pose_aa.shape == (24, 3)
    np.testing.assert_array_equal(
        body.pose_aa.ravel(), np.concatenate([params["root_pose"], params["body_pose"]], 1)[0]
    )
    np.testing.assert_array_equal(body.transl_m, params["translation"][0])
    np.testing.assert_array_equal(body.betas, params["betas"][0])
    parts = (body.has_left_hand, body.has_right_hand, body.has_jaw, body.has_eyes, body.has_expression)
    assert parts == (False,) * 5
    assert body.neutral_betas is None, "betas of SMPL-X are none of SMPL"
    assert body.to_cam is not None
    assert result.provenance.subject == "10004_w_Amaya_0_0"
    [points] = result.keypoints2d
    assert result.keypoints3d is not None
    assert points.names == result.keypoints3d.names
    assert (len(points.names), points.names[0], points.is_exact) == (45, "pelvis", True)
    np.testing.assert_allclose(points.values[:, :2], entry["gt_joints_2d"])


def test_the_body_stands_where_that_of_the_other_form_stands(tmp_path: Path) -> None:
    smpl = one(read(write(tmp_path, [person()])))
    entry = person(gt_joints_2d=np.zeros((127, 2)), gt_joints_3d=np.zeros((127, 3)))
    write(tmp_path, [entry], "SMPLX/train_0_withjv.pkl")
    sizes = {"transl": 3, "global_orient": 3, "body_pose": 63, "left_hand_pose": 45, "right_hand_pose": 45}
    sizes |= {"jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "expression": 10, "betas": 10}
    write_fit(tmp_path, entry["gt_path_smplx"], {key: np.ones((1, size)) for key, size in sizes.items()})
    smplx = one(read(Agora(tmp_path)))
    assert smpl.body is not None
    assert smplx.body is not None
    assert smpl.body.to_cam is not None
    assert smplx.body.to_cam is not None
    np.testing.assert_array_equal(smpl.body.to_cam.rotmat, smplx.body.to_cam.rotmat)
    np.testing.assert_array_equal(smpl.body.to_cam.transl_m, smplx.body.to_cam.transl_m)
    assert smpl.provenance.frame == smplx.provenance.frame
    assert smpl.provenance.person == smplx.provenance.person


def test_names_of_the_model_are_accepted_too(tmp_path: Path) -> None:
    reader = write(tmp_path, [person()])
    params = fit(3)
    renamed = {"global_orient": params["root_pose"], "transl": params["translation"]}
    write_fit(tmp_path, ADULT, renamed | {key: params[key] for key in ("body_pose", "betas")})
    body = one(read(reader)).body
    assert body is not None
    np.testing.assert_array_equal(body.transl_m, params["translation"][0])


def test_children_have_a_kid_weight_and_adults_an_eleventh_beta_that_is_none(tmp_path: Path) -> None:
    results = read(write(tmp_path, [person(KID, kid=True, gender="male"), person(KID), person(ADULT, kid=True)]))
    child, adult, lost = results
    assert isinstance(child, Annotation)
    assert isinstance(adult, Annotation)
    assert child.body is not None
    assert adult.body is not None
    assert child.body.gender == "neutral"
    assert child.body.kid_weight == pytest.approx(float(fit(1, 11)["betas"][0, 10]))
    assert (len(child.body.betas), len(adult.body.betas), adult.body.kid_weight) == (10, 10, 0.0)
    assert isinstance(lost, Reject)
    assert "expected 11" in lost.detail


def test_units_need_the_files_of_this_form_alone(tmp_path: Path) -> None:
    reader = write(tmp_path, [person()])
    write(tmp_path, [person()], "SMPLX/train_0_withjv.pkl")
    [unit] = reader.units("train")
    assert unit.files == (
        "SMPL/train_0_withjv.pkl",
        str(Path(ADULT).with_suffix(".pkl")),
        str(Path(KID).with_suffix(".pkl")),
    )
    with pytest.raises(RawLayoutError, match="smplx_gt"):
        Agora(tmp_path).units("train")


def test_cam_frames_serve_without_joints(tmp_path: Path) -> None:
    entry = person()
    del entry["gt_joints_2d"], entry["gt_joints_3d"]
    result = one(read(write(tmp_path, [entry], "Cam/train_0.pkl")))
    assert (result.keypoints2d, result.keypoints3d) == ((), None)
    assert result.body is not None


def test_what_is_missing_or_of_another_size_is_named(tmp_path: Path) -> None:
    entry = person()
    del entry["gt_path_smpl"]
    with pytest.raises(RawFileError, match="expected gt_path_smpl"):
        read(write(tmp_path, [entry]))
    [lost] = read(write(tmp_path, [person(gt_joints_2d=np.zeros((127, 2)))]))
    assert isinstance(lost, Reject)
    assert "gt_joints_2d" in lost.detail
    reader = write(tmp_path, [person()])
    write_fit(tmp_path, ADULT, fit(0) | {"body_pose": np.zeros((1, 63))})
    [lost] = read(reader)
    assert isinstance(lost, Reject)
    assert "body_pose" in lost.detail
    (tmp_path / ADULT).with_suffix(".pkl").unlink()
    with pytest.raises(RawLayoutError, match=r"extract smpl_gt\.zip"):
        read(Agora(tmp_path, form="smpl"))
