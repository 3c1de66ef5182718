"""Skeletons against the body model's own joints, and against the joints that a store's records carry."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from posed_rows import rows_of, standin_rest, values_of
from scipy.spatial.transform import Rotation

from catalogs.attributes.kinematics import BODY_JOINTS
from catalogs.attributes.skeleton import FAMILY
from harmonize.bodies import BodyBatch, BodyModels

NUM = 64


@pytest.fixture(scope="module")
def people() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "body_body_pose_aa": rng.normal(0, 0.8, (NUM, 21, 3)).astype(np.float32),
        "body_betas": rng.normal(0, 1.5, (NUM, 10)).astype(np.float32),
        "body_expression": rng.normal(0, 1.5, (NUM, 10)).astype(np.float32),
    }


def skeletons(**values: Any) -> tuple[np.ndarray, np.ndarray]:
    found = values_of(FAMILY, rows_of(FAMILY, NUM, **values), standin_rest().value)
    return found["joints_m"].reshape(NUM, 22, 3), found["has_feet"]


def model_joints(standin: BodyModels, pose: np.ndarray, betas: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """The 22 joints with the pelvis at 0, of an upright body in its own axes."""
    whole = np.zeros((NUM, 55, 3), np.float32)
    whole[:, 1:22] = pose
    joints = standin.get("smplx", "neutral").joints(
        BodyBatch(pose_aa=whole, betas=betas, transl_m=np.zeros((NUM, 3), np.float32), expression=expression)
    )[:, :22]
    return np.asarray(joints - joints[:, :1], np.float64)


def test_joints_are_those_of_the_body_model(people: dict[str, np.ndarray], standin: BodyModels) -> None:
    found, has_feet = skeletons(**people)
    expected = model_joints(standin, *people.values())
    assert 1000 * np.abs(found - expected).max() < 0.01
    assert (has_feet == 1).all()


def test_unknown_shape_is_the_mean_shape(people: dict[str, np.ndarray], standin: BodyModels) -> None:
    found, _ = skeletons(**people, body_has_betas=np.arange(NUM) % 2 == 0)
    betas = np.where(np.arange(NUM)[:, None] % 2 == 0, people["body_betas"], 0)
    expected = model_joints(standin, people["body_body_pose_aa"], betas, people["body_expression"])
    assert 1000 * np.abs(found - expected).max() < 0.01


def test_the_rest_pose_stands_upright_and_faces_the_front() -> None:
    found, _ = skeletons()
    at = dict(zip(("pelvis", *BODY_JOINTS), found[0], strict=True))
    assert at["left_wrist"][0] > 0.5
    assert at["right_wrist"][0] < -0.5
    assert at["head"][1] > 0.5
    assert at["left_ankle"][1] < -0.7
    assert at["left_foot"][2] > at["left_ankle"][2] + 0.1


@pytest.mark.parametrize("how", ["transposed", "mirrored", "degrees", "left for right"])
def test_wrong_conventions_are_seen(how: str, people: dict[str, np.ndarray], standin: BodyModels) -> None:
    pose = people["body_body_pose_aa"]
    broken = {
        "transposed": -pose,
        "mirrored": pose * (1, -1, -1),
        "degrees": np.degrees(pose),
        "left for right": pose[:, [1, 0, 2, 4, 3, 5, 7, 6, 8, 10, 9, 11, 13, 12, 14, 16, 15, 18, 17, 20, 19]],
    }[how]
    found, _ = skeletons(**{**people, "body_body_pose_aa": broken})
    expected = model_joints(standin, *people.values())
    assert np.median(np.linalg.norm(found - expected, axis=2).max(axis=1)) > 0.2


def test_what_hangs_on_unknown_joints_has_no_place(people: dict[str, np.ndarray]) -> None:
    known = np.ones((NUM, 21))
    known[0, BODY_JOINTS.index("left_knee")] = 0
    known[1, BODY_JOINTS.index("right_ankle")] = 0
    for leaf in ("left_wrist", "head", "left_foot"):
        known[2, BODY_JOINTS.index(leaf)] = 0
    found, has_feet = skeletons(**people, body_known_body_joints=known, body_has_body=np.arange(NUM) != 3)
    assert np.isnan(found).all(axis=(1, 2)).tolist() == [True, False, False, True] + [False] * (NUM - 4)
    assert np.isnan(has_feet[[0, 3]]).all()
    assert has_feet[[1, 2, 4]].tolist() == [0, 1, 1]


def test_workers_get_the_rest_body_by_pickle() -> None:
    prepared = standin_rest()
    sent = pickle.loads(pickle.dumps(prepared))
    assert np.array_equal(sent.value.joints_per_beta_m, prepared.value.joints_per_beta_m)
    assert sent.facts == prepared.facts
    assert len(sent.facts["body_model"]) == 64


def test_global_orientation_does_not_matter() -> None:
    assert "body_global_orient_aa" not in FAMILY.reads


def test_own_joints_of_a_record_are_the_skeleton_turned_back(
    standin: BodyModels, people: dict[str, np.ndarray]
) -> None:
    """As a record holds them: joints of the body in camera axes, anywhere before the camera."""
    rng = np.random.default_rng(1)
    turns = Rotation.random(NUM, random_state=2)
    whole = np.zeros((NUM, 55, 3), np.float32)
    whole[:, 0], whole[:, 1:22] = turns.as_rotvec(), people["body_body_pose_aa"]
    transl = rng.uniform((-1, -1, 2), (1, 1, 6), (NUM, 3)).astype(np.float32)
    batch = BodyBatch(pose_aa=whole, betas=people["body_betas"], transl_m=transl, expression=people["body_expression"])
    joints = standin.get("smplx", "neutral").joints(batch)[:, :22].astype(float)
    turned_back = np.einsum("nji,nkj->nki", turns.as_matrix(), joints - joints[:, :1])
    found, _ = skeletons(**people)
    assert 1000 * np.abs(found - turned_back).max() < 0.1
