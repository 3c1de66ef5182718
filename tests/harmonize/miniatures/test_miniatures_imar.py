"""Fit3D, CHI3D and HumanSC3D: files, keys and shapes as the laboratory's tools read them, and its own formulas."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyBatch
from harmonize.miniatures import MINIATURES

NAMES = ("chi3d", "fit3d", "humansc3d")
CAMERAS = ("50591643", "58860488", "60457274", "65906101")
SMPLX_SHAPES = {
    "transl": (3,),
    "global_orient": (1, 3, 3),
    "body_pose": (21, 3, 3),
    "left_hand_pose": (15, 3, 3),
    "right_hand_pose": (15, 3, 3),
    "jaw_pose": (1, 3, 3),
    "leye_pose": (1, 3, 3),
    "reye_pose": (1, 3, 3),
    "betas": (10,),
    "expression": (10,),
}
ORDER = ("global_orient", "body_pose", "jaw_pose", "leye_pose", "reye_pose", "left_hand_pose", "right_hand_pose")


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def meshes(standin: Any, smplx: dict[str, np.ndarray], frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and joints of one frame in the world: rotation matrices, no mean hand added."""
    rotmats = np.concatenate([smplx[key][frame] for key in ORDER])
    batch = BodyBatch(
        pose_aa=Rotation.from_matrix(rotmats).as_rotvec()[None],
        betas=smplx["betas"][[frame]],
        transl_m=smplx["transl"][[frame]],
        expression=smplx["expression"][[frame]],
    )
    model = standin.get("smplx", "neutral")
    return model.vertices(batch)[0].astype(np.float64), model.joints(batch)[0].astype(np.float64)


def project_as_the_tools(points: np.ndarray, camera: dict[str, Any]) -> np.ndarray:
    """Row form, as the laboratory's code writes it."""
    f, c, k, p = (np.array(camera["intrinsics_w_distortion"][key]) for key in "fckp")
    x = points[:, :2] / points[:, 2:]
    r2 = (x * x).sum(1)
    radial = 1 + (k * np.stack([r2, r2**2, r2**3], 1)).sum(1)
    swapped = p[:, [1, 0]]
    bent = x * (radial + (swapped * x).sum(1))[:, None] + r2[:, None] * swapped
    return f * bent + c


def project_as_opencv(points: np.ndarray, camera: dict[str, Any]) -> np.ndarray:
    """With (k1, k2, p1, p2, k3) as if they were OpenCV's."""
    f, c, k, p = (np.array(camera["intrinsics_w_distortion"][key])[0] for key in "fckp")
    x, y = (points[:, :2] / points[:, 2:]).T
    r2 = x * x + y * y
    radial = 1 + k[0] * r2 + k[1] * r2**2 + k[2] * r2**3
    bent_x = x * radial + 2 * p[0] * x * y + p[1] * (r2 + 2 * x * x)
    bent_y = y * radial + p[0] * (r2 + 2 * y * y) + 2 * p[1] * x * y
    return f * np.stack([bent_x, bent_y], 1) + c


@pytest.mark.parametrize("name", NAMES)
def test_layout(name: str, miniature: Any) -> None:
    root, truth = miniature(name)
    info = load(root / ("humansc3d_info.json" if name == "humansc3d" else "info.json"))
    metadata = {
        "fit3d": "rep_ann.json",
        "chi3d": "interaction_contact_signature.json",
        "humansc3d": "self_contact_signature.json",
    }[name]
    people = {person.sequence for person in truth.people}
    for subject in info["train_subj_names"]:
        folder = root / "train" / subject
        actions = info["subj_to_act"][subject]
        assert set(load(folder / metadata)) == set(actions)
        for action in actions:
            assert {f"{subject}/{camera}/{action}" for camera in CAMERAS} <= people
            for kind in ("joints3d_25", "gpp", "smplx"):
                assert (folder / kind / f"{action}.json").exists()
            for camera in CAMERAS:
                stated = load(folder / "camera_parameters" / camera / f"{action}.json")
                assert np.shape(stated["extrinsics"]["R"]) == (3, 3)
                assert np.shape(stated["extrinsics"]["T"]) == (1, 3)
                lens = {key: np.shape(value) for key, value in stated["intrinsics_w_distortion"].items()}
                assert lens == {"f": (1, 2), "c": (1, 2), "k": (1, 3), "p": (1, 2)}
                ideal = {key: np.shape(value) for key, value in stated["intrinsics_wo_distortion"].items()}
                assert ideal == {"f": (2,), "c": (2,)}
    withheld = set(info["subj_to_act"]) - set(info["train_subj_names"])
    assert {path.name for path in (root / "test").iterdir()} == withheld
    assert not list((root / "test").rglob("smplx"))
    assert any(" " in person.sequence for person in truth.people)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_give_the_truth(name: str, miniature: Any, standin: Any) -> None:
    root, truth = miniature(name)
    opencv_gaps, ideal_gaps = [], []
    for person in truth.people:
        subject, camera_name, action = person.sequence.split("/")
        folder = root / "train" / subject
        smplx = {key: np.array(value) for key, value in load(folder / "smplx" / f"{action}.json").items()}
        joints_25 = np.array(load(folder / "joints3d_25" / f"{action}.json")["joints3d_25"])
        has_people_axis = name == "chi3d" and person.note != "old-release"
        assert joints_25.ndim == (4 if has_people_axis else 3)
        if has_people_axis:
            assert {len(value) for value in smplx.values()} == {2}
            smplx = {key: value[int(person.person)] for key, value in smplx.items()}
            joints_25 = joints_25[int(person.person)]
        assert {key: value.shape[1:] for key, value in smplx.items()} == SMPLX_SHAPES
        assert {len(value) for value in smplx.values()} == {len(joints_25)}
        camera = load(folder / "camera_parameters" / camera_name / f"{action}.json")
        rotmat, centre = np.array(camera["extrinsics"]["R"]), np.array(camera["extrinsics"]["T"])
        vertices, joints = ((points - centre) @ rotmat.T for points in meshes(standin, smplx, int(person.frame)))
        assert 1000 * np.abs(vertices - person.vertices_cam_m).max() < 0.02
        pixels = project_as_the_tools(joints, camera)
        np.testing.assert_allclose(pixels[:127], person.joints_px[:127], atol=0.01)
        opencv_gaps.append(np.abs(project_as_opencv(joints, camera) - pixels).max())
        ideal = camera["intrinsics_wo_distortion"]
        near = joints[:, :2] / joints[:, 2:] * ideal["f"] + ideal["c"]
        ideal_gaps.append(np.abs(near - pixels).max())
        seen = (joints_25[int(person.frame)] - centre) @ rotmat.T
        names = person.joint_names
        for row, joint in ((0, "pelvis"), (3, "left_ankle"), (13, "left_wrist"), (16, "right_wrist")):
            assert np.linalg.norm(seen[row] - person.joints_cam_m[names.index(joint)]) < 0.03
        assert joints_25[int(person.frame), 10, 2] > joints_25[int(person.frame), 0, 2] + 0.4, "z is up"
    assert max(opencv_gaps) > 0.3, "the lens is not OpenCV's"
    assert max(ideal_gaps) > 1.0


@pytest.mark.parametrize("name", NAMES)
def test_videos_are_longer_shorter_or_missing(name: str, miniature: Any) -> None:
    root, truth = miniature(name)
    num_frames: dict[str, int] = {}
    for person in truth.people:
        num_frames[person.sequence] = max(num_frames.get(person.sequence, 0), int(person.frame) + 1)
    found = Counter()
    hints = {person.sequence: person.reject_hint for person in truth.people}
    for sequence, annotated in num_frames.items():
        subject, camera, action = sequence.split("/")
        video = root / "train" / subject / "videos" / camera / f"{action}.mp4"
        if not video.exists():
            assert hints[sequence] == "image-missing"
            found["missing"] += 1
            continue
        with av.open(str(video)) as container:
            length = sum(1 for _ in container.decode(video=0))
            assert (container.streams.video[0].width, container.streams.video[0].height) == (900, 900)
        assert hints[sequence] == ("" if length >= annotated else "video-short")
        found["longer" if length > annotated else "shorter" if length < annotated else "equal"] += 1
    assert set(found) == {"missing", "longer", "shorter", "equal"}
    assert 4 <= sum(person.is_kept for person in truth.people) <= 12


def test_chi3d_has_two_people_and_an_old_action(miniature: Any) -> None:
    _, truth = miniature("chi3d")
    new = [person for person in truth.people if not person.note]
    assert {person.person for person in new} == {"0", "1"}
    assert {person.person for person in truth.people if person.note == "old-release"} == {"0"}


def test_they_are_the_same_again_for_a_seed_and_grow_on_request(tmp_path: Path, miniature: Any, standin: Any) -> None:
    first = MINIATURES["humansc3d"](tmp_path / "a", people=20, models=standin)
    assert len(first.people) >= 20
    MINIATURES["humansc3d"](tmp_path / "b", seed=1, models=standin)
    usual, larger, other = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("train/*/*/**/*.*") if path.is_file()}
        for root in (miniature("humansc3d")[0], tmp_path / "a", tmp_path / "b")
    )
    assert len(larger) > len(usual) == len(other) > 10
    assert all(larger[name] == data for name, data in usual.items())
    assert not any(other[name] == data for name, data in usual.items())
