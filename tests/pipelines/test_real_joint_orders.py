"""Real tables of joints against ours: names and order of SMPL-X and OpenPose, and regressors on a real body."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.evidence import matching_rows
from harmonize.geometry.rotations import is_rotation
from harmonize.keypoints import SMPLX_144, convention
from harmonize.raw.jsons import load_json
from harmonize.raw.npz import load_npy
from harmonize.raw.pickles import load_pickle

MAX_OTHER_DEFINITION_M = 0.08
"""Regressors put a limb's joint within centimetres of the model's own (shoulders are the farthest)."""


@pytest.fixture
def predicted(samples: Path) -> tuple[Any, Any]:
    """Vertices (10475, 3) and joints (144, 3) of one body of AGORA's evaluation, metres."""
    content = load_pickle(samples / "agora/predictions/smplx_verts_personId_0.pkl")
    return content["verts"].astype(float), content["allSmplJoints3d"].astype(float)


def test_joints_of_smplx_have_the_order_of_its_makers(samples: Path) -> None:
    table = load_json(samples / "joint_regressors/smplx_openpose25.json")
    renamed = {"left_eye_smplx": "left_eyeball", "right_eye_smplx": "right_eyeball"}
    renamed |= {f"nose{k}": f"nosebridge_{k}" for k in range(1, 5)}
    theirs = [renamed.get(name, name).replace("_", "") for name in table["smplx_keypoint_names"]]
    assert theirs == [name.replace("_", "") for name in SMPLX_144]
    # Body and hands of OpenPose; the outline of the face comes last there, not first.
    at_smplx = dict(zip(table["openpose_idxs"], table["smplx_idxs"], strict=True))
    ours = [name.removesuffix("_openpose") for name in convention("openpose_137").names]
    assert [SMPLX_144[at_smplx[row]] for row in range(67)] == ours[:67]


@pytest.mark.parametrize(
    ("file", "name"),
    [("J_regressor_h36m_smplx.npy", "h36m_mmpose_17"), ("J_regressor_body25_smplx.txt", "openpose_25")],
)
def test_regressed_joints_come_in_the_order_of_the_convention(
    file: str, name: str, samples: Path, predicted: tuple[Any, Any]
) -> None:
    vertices, joints = predicted
    path = samples / "joint_regressors" / file
    if path.suffix == ".npy":
        regressor = load_npy(path)
    else:
        regressor = np.zeros((118, 10475))
        for row, column, weight in np.loadtxt(path):
            regressor[int(row), int(column)] += weight
    points = (regressor @ vertices)[: len(convention(name).names)]
    rows, at = matching_rows(convention(name).names, SMPLX_144)
    assert len(rows) >= 10
    distances = np.linalg.norm(points[rows] - joints[at], axis=1)
    assert distances.max() < MAX_OTHER_DEFINITION_M
    # Points on the skin (nose, eyes, ears, feet) are vertices in both, and those are the same ones.
    assert distances[at >= 55].max(initial=0.0) < 1e-5
    for k, row in enumerate(rows):
        side, _, rest = convention(name).names[row].partition("_")
        if side in ("left", "right"):
            twin = convention(name).names.index(f"{'right' if side == 'left' else 'left'}_{rest}")
            assert np.linalg.norm(points[twin] - joints[at[k]]) > 1.2 * distances[k], "left is not right"


def test_predictions_of_agora_hold_rotation_matrices(samples: Path) -> None:
    """The format of submissions, which no reader takes for labels."""
    params = load_pickle(samples / "agora/predictions/smplx_param_rm_personId_0.pkl")["params"]
    for key, number in (("global_orient", 1), ("body_pose", 21), ("left_hand_pose", 15), ("right_hand_pose", 15)):
        matrices = params[key].reshape(number, 3, 3)
        assert all(is_rotation(matrix.astype(float)) for matrix in matrices)
