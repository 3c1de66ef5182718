"""Poses against rotations composed by scipy, a drawn world, meshes that touch, and joints that bend the wrong way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from posed_rows import rows_of, standin_rest, values_of
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from small_store import person, write_shard

from catalogs import store as catalog
from catalogs.attributes import engine, files
from catalogs.attributes.kinematics import BODY_JOINTS
from catalogs.attributes.pose import FAMILY
from catalogs.attributes.pose_contact import CONTACT_M
from harmonize.bodies import BodyBatch, BodyModels
from harmonize.miniatures.world import random_person

Values = dict[str, np.ndarray]


def posed(num: int = 1, **values: Any) -> Values:
    return values_of(FAMILY, rows_of(FAMILY, num, **values), standin_rest().value)


def pose_with(**joints_deg: tuple[float, float, float]) -> np.ndarray:
    """body_pose (21, 3) in radians with these rotation vectors in degrees, unbent elsewhere."""
    pose = np.zeros((21, 3))
    for name, degrees in joints_deg.items():
        pose[BODY_JOINTS.index(name)] = np.radians(degrees)
    return pose


# Angles


def test_angles_are_those_of_the_rotations() -> None:
    pose = np.random.default_rng(0).normal(0, 1.5, (50, 21, 3))
    found = posed(50, body_body_pose_aa=pose)
    expected = np.degrees(Rotation.from_rotvec(pose.reshape(-1, 3)).magnitude()).reshape(50, 21)
    for joint, name in enumerate(BODY_JOINTS):
        assert np.abs(found[f"{name}_deg"] - expected[:, joint]).max() < 0.01
    assert np.abs(found["rest_distance_deg"] - expected.mean(axis=1)).max() < 0.01


@pytest.mark.parametrize(
    ("joint", "axis", "bone"),
    [
        ("left_knee", 0, (0, -1, 0)),
        ("right_knee", 2, (0, -1, 0)),
        ("left_elbow", 1, (1, 0, 0)),
        ("right_elbow", 2, (1, 0, 0)),
    ],
)
@pytest.mark.parametrize("bend_deg", [0.0, 0.01, 35.0, 90.0, 160.0])
def test_flexion_is_the_bend_whatever_the_twist(joint: str, axis: int, bone: tuple[int, ...], bend_deg: float) -> None:
    bend = np.zeros(3)
    bend[axis] = np.radians(bend_deg)
    for twist_deg in (0, 40, 120):
        turn = Rotation.from_rotvec(bend) * Rotation.from_rotvec(np.radians(twist_deg) * np.array(bone))
        pose = np.zeros((21, 3))
        pose[BODY_JOINTS.index(joint)] = turn.as_rotvec()
        assert posed(body_body_pose_aa=pose)[f"{joint}_flexion_deg"] == pytest.approx(bend_deg, abs=0.01)


def test_flexions_are_those_of_the_macros(tmp_path: Path) -> None:
    write_shard(tmp_path, [person("pw3d", "train", i) for i in range(40)])
    engine.run(engine.plan(tmp_path, FAMILY).pending[0])
    table = files.read_attributes(files.folder_of(tmp_path / "pw3d" / "train", "pose"), "pw3d-train-000000")
    with catalog.open(tmp_path) as con:
        rows = catalog.query(
            con,
            "SELECT knee_flexion_deg(joint_aa(body_body_pose_aa, 3)), "
            "elbow_flexion_deg(joint_aa(body_body_pose_aa, 18)), "
            "aa_angle_deg(joint_aa(body_body_pose_aa, 14)) FROM records ORDER BY key",
        ).rows
    names = ("left_knee_flexion_deg", "right_elbow_flexion_deg", "head_deg")
    found = np.stack([table.column(name).to_numpy() for name in names], axis=1)
    assert np.abs(found - np.array(rows)).max() < 1e-3


def test_unknown_joints_are_null_and_count_in_no_mean() -> None:
    pose = pose_with(left_ankle=(60, 0, 0), head=(0, 20, 0), left_knee=(30, 0, 0))
    known = np.ones((3, 21))
    known[1, [BODY_JOINTS.index("left_ankle"), BODY_JOINTS.index("left_knee")]] = 0
    known[2] = 0
    found = posed(3, body_body_pose_aa=pose, body_known_body_joints=known)
    assert found["left_ankle_deg"] == pytest.approx([60, np.nan, np.nan], abs=1e-3, nan_ok=True)
    assert found["left_knee_flexion_deg"] == pytest.approx([30, np.nan, np.nan], abs=1e-3, nan_ok=True)
    assert found["rest_distance_deg"] == pytest.approx([110 / 21, 20 / 19, np.nan], abs=1e-3, nan_ok=True)
    assert np.isnan(found["plausibility"]).tolist() == [False, False, True]
    assert np.isnan(found["num_joints_beyond_limits"]).tolist() == [False, False, True]
    assert np.isnan(found["self_contact"]).tolist() == [False, False, True]


def test_without_a_body_only_hands_and_face_are_told() -> None:
    found = posed(1, body_has_body=False)
    told = {name for name, values in found.items() if not np.isnan(values).any()}
    assert told == {"left_hand_articulation_deg", "right_hand_articulation_deg", "expression_norm", "jaw_deg"}
    flags = ("body_has_left_hand", "body_has_right_hand", "body_has_expression", "body_has_jaw")
    nothing = posed(1, body_has_body=False, **dict.fromkeys(flags, False))
    assert all(np.isnan(values).all() for values in nothing.values())


# A drawn world


def test_a_drawn_world_has_the_distribution_it_was_drawn_from() -> None:
    """Joint angles of many people of the synthetic world, whose bounds are known."""
    rng = np.random.default_rng(0)
    drawn = np.stack([random_person(rng, "smplx", "neutral").pose_aa for _ in range(1500)])
    found = posed(len(drawn), body_body_pose_aa=drawn[:, 1:22])
    true = np.degrees(Rotation.from_rotvec(drawn[:, 1:22].reshape(-1, 3)).magnitude()).reshape(-1, 21)
    for joint, name in enumerate(BODY_JOINTS):
        assert found[f"{name}_deg"].mean() == pytest.approx(true[:, joint].mean(), abs=1e-3)
        assert found[f"{name}_deg"].std() == pytest.approx(true[:, joint].std(), abs=1e-3)
    # Knees bend evenly between 0.05 and 0.9 rad about x and hardly about anything else.
    low, high = np.degrees([0.05, 0.9])
    for side in ("left", "right"):
        flexion = found[f"{side}_knee_flexion_deg"]
        assert flexion.mean() == pytest.approx((low + high) / 2, abs=1.5)
        assert flexion.std() == pytest.approx((high - low) / np.sqrt(12), abs=1.0)
    assert found["plausibility"].min() == 1
    assert found["num_joints_beyond_limits"].max() == 0


# Plausibility


@pytest.mark.parametrize(
    ("joint", "possible", "impossible"),
    [
        ("left_knee", (120, 0, 0), (-60, 0, 0)),
        ("right_knee", (120, 0, 0), (-60, 0, 0)),
        ("left_elbow", (0, -140, 0), (0, 60, 0)),
        ("right_elbow", (0, 140, 0), (0, -60, 0)),
        ("left_hip", (-110, 0, 0), (80, 0, 0)),
        ("left_hip", (0, 0, 50), (0, 0, -80)),
        ("right_hip", (0, 0, -50), (0, 0, 80)),
        ("left_ankle", (45, 0, 0), (-70, 0, 0)),
        ("left_shoulder", (0, 0, -90), (0, 0, 150)),
        ("left_shoulder", (0, -120, 0), (0, 90, 0)),
        ("right_shoulder", (0, 120, 0), (0, -90, 0)),
        ("left_wrist", (0, 0, -75), (0, 70, 0)),
        ("head", (0, 70, 0), (0, 120, 0)),
        ("spine2", (60, 0, 0), (-70, 0, 0)),
    ],
)
def test_limits_tell_the_possible_from_the_impossible(joint: str, possible: Any, impossible: Any) -> None:
    pose = np.stack([pose_with(**{joint: degrees}) for degrees in (possible, impossible)])
    found = posed(2, body_body_pose_aa=pose)
    assert found["num_joints_beyond_limits"].tolist() == [0, 1]
    assert found["plausibility"][0] == 1
    assert 20 / 21 - 1e-6 <= found["plausibility"][1] < 1


def test_plausibility_falls_with_the_excess_down_to_nothing() -> None:
    # A knee may be over-extended by 10 degrees and 15 of tolerance; 45 more are absurd.
    bends = np.array([-25, -34, -70, -120])
    found = posed(4, body_body_pose_aa=np.stack([pose_with(left_knee=(bend, 0, 0)) for bend in bends]))
    assert found["plausibility"] == pytest.approx([1, 1 - 9 / 45 / 21, 20 / 21, 20 / 21], abs=1e-4)
    everything = np.tile(np.radians([100.0, 100.0, 100.0]), (21, 1))
    assert posed(body_body_pose_aa=everything)["plausibility"] < 0.3


def test_whole_turns_do_not_matter() -> None:
    pose = pose_with(left_hip=(-60, 0, 0), head=(0, 30, 10))
    norms = np.linalg.norm(pose, axis=1, keepdims=True)
    further = pose * (1 + 2 * np.pi / np.where(norms > 0, norms, 1))
    once, twice = posed(body_body_pose_aa=pose), posed(body_body_pose_aa=further)
    for name, values in once.items():
        assert twice[name] == pytest.approx(values, abs=2e-3, nan_ok=True), name


@pytest.mark.parametrize("how", ["transposed", "mirrored", "degrees"])
def test_wrong_conventions_are_implausible(how: str) -> None:
    """Plausibility is a check too: people read by a wrong convention bend the wrong way."""
    rng = np.random.default_rng(1)
    pose = np.stack([random_person(rng, "smplx", "neutral").pose_aa[1:22] for _ in range(200)])
    broken = {"transposed": -pose, "mirrored": pose * (1, -1, -1), "degrees": np.degrees(pose)}[how]
    assert posed(200, body_body_pose_aa=pose)["plausibility"].mean() == 1
    assert np.mean(posed(200, body_body_pose_aa=broken)["num_joints_beyond_limits"] > 0) > 0.5


# Self-contact


def test_hands_on_the_head_touch_it_and_stretched_arms_touch_nothing() -> None:
    on_head = pose_with(
        left_shoulder=(0, 0, 50), right_shoulder=(0, 0, -50), left_elbow=(0, 0, 125), right_elbow=(0, 0, -125)
    )
    clasped = pose_with(
        left_shoulder=(0, -65, 0), right_shoulder=(0, 65, 0), left_elbow=(0, -68, 0), right_elbow=(0, 68, 0)
    )
    found = posed(3, body_body_pose_aa=np.stack([pose_with(), on_head, clasped]))
    assert found["self_contact"].tolist() == [0, 1, 1]
    assert found["self_contact_distance_m"][0] > 0.3
    assert (found["self_contact_distance_m"] < CONTACT_M).tolist() == [False, True, True]


def test_distances_agree_with_the_mesh(standin: BodyModels) -> None:
    """Against the gap between the hands' vertices and those of the parts, on arms that move about the body."""
    rng = np.random.default_rng(5)
    num = 60
    pose = np.stack([random_person(rng, "smplx", "neutral").pose_aa[1:22] for _ in range(num)])
    for name, sign in (("left", 1), ("right", -1)):
        pose[:, BODY_JOINTS.index(f"{name}_shoulder")] = rng.uniform((-0.6, -1.2, -1.4), (0.6, 0.2, 0.6), (num, 3))
        pose[:, BODY_JOINTS.index(f"{name}_elbow")] = rng.uniform((-0.2, -2.2, -0.2), (0.2, -0.2, 0.2), (num, 3))
        pose[:, BODY_JOINTS.index(f"{name}_shoulder"), 1:] *= sign
        pose[:, BODY_JOINTS.index(f"{name}_elbow"), 1:] *= sign
    found = posed(num, body_body_pose_aa=pose, body_has_betas=False)["self_contact_distance_m"]
    model = standin.get("smplx", "neutral")
    whole = np.zeros((num, 55, 3), np.float32)
    whole[:, 1:22] = pose
    meshes = model.vertices(
        BodyBatch(pose_aa=whole, betas=np.zeros((num, 10)), transl_m=np.zeros((num, 3), np.float32))
    )
    owner = model.weights.numpy().argmax(axis=1)
    hands = [np.isin(owner, [wrist, *range(25 + 15 * side, 40 + 15 * side)]) for side, wrist in enumerate((20, 21))]
    others = np.isin(owner, [0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 22])
    true = []
    for mesh in meshes:
        left, right, rest = mesh[hands[0]], mesh[hands[1]], cKDTree(mesh[others])
        true.append(min(rest.query(left)[0].min(), rest.query(right)[0].min(), cKDTree(left).query(right)[0].min()))
    error = np.abs(np.maximum(found, 0) - true)
    assert np.median(error) < 0.03
    assert np.quantile(error, 0.9) < 0.07
    assert np.corrcoef(found, true)[0, 1] > 0.9


def test_a_hand_is_judged_by_the_parts_whose_place_is_known() -> None:
    known = np.ones((3, 21))
    known[1, [BODY_JOINTS.index(name) for name in ("left_hip", "right_hip", "left_knee", "right_knee")]] = 0
    known[2, [BODY_JOINTS.index(name) for name in ("left_wrist", "right_wrist")]] = 0
    found = posed(3, body_known_body_joints=known)["self_contact_distance_m"]
    assert found[0] == pytest.approx(found[1])
    assert np.isnan(found[2])


# Hands and face


def test_the_relaxed_hand_is_the_mean_hand_and_not_the_flat_one() -> None:
    relaxed = standin_rest().value.hand_mean_aa
    found = posed(body_left_hand_pose_aa=relaxed[0], body_right_hand_pose_aa=relaxed[1])
    assert found["left_hand_articulation_deg"] == pytest.approx(0, abs=1e-3)
    assert found["right_hand_articulation_deg"] == pytest.approx(0, abs=1e-3)
    flat = np.degrees(np.linalg.norm(relaxed, axis=2).mean(axis=1))
    found = posed()
    assert [found["left_hand_articulation_deg"][0], found["right_hand_articulation_deg"][0]] == pytest.approx(
        flat, abs=1e-3
    )
    swapped = posed(body_left_hand_pose_aa=relaxed[1], body_right_hand_pose_aa=relaxed[0])
    assert swapped["left_hand_articulation_deg"] > 10


def test_articulation_is_the_mean_angle_between_rotations() -> None:
    relaxed = standin_rest().value.hand_mean_aa
    hands = np.random.default_rng(3).normal(0, 1.0, (30, 15, 3))
    apart = Rotation.from_rotvec(np.tile(relaxed[0], (30, 1))).inv() * Rotation.from_rotvec(hands.reshape(-1, 3))
    expected = np.degrees(apart.magnitude()).reshape(30, 15).mean(axis=1)
    found = posed(30, body_left_hand_pose_aa=hands)["left_hand_articulation_deg"]
    assert np.abs(found - expected).max() < 0.01


def test_face_is_measured_in_degrees_and_units_of_expression() -> None:
    found = posed(body_expression=[3, 0, 4, 0, 0, 0, 0, 0, 0, 0], body_jaw_pose_aa=[np.radians(20), 0, 0])
    assert found["expression_norm"] == pytest.approx(5)
    assert found["jaw_deg"] == pytest.approx(20, abs=1e-4)
