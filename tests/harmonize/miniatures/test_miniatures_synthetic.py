"""GTA-Human II and SynBody: files, keys and shapes of their releases, and parameters that give the truth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.bodies import BodyBatch
from harmonize.miniatures import MINIATURES

SAME_MM = 0.02
GTA_FIT = {"betas": 10, "global_orient": 3, "transl": 3, "left_hand_pose": 24, "right_hand_pose": 24}


def smplx_mesh(model: Any, rows: list[Any], betas: Any, transl: Any, expression: Any) -> np.ndarray:
    """rows: global, body, jaw, left eye, right eye, left hand, right hand, absolute."""
    batch = BodyBatch(
        pose_aa=np.concatenate([np.reshape(row, (-1, 3)) for row in rows])[None],
        betas=np.reshape(betas, (1, -1)),
        transl_m=np.reshape(transl, (1, 3)),
        expression=np.reshape(expression, (1, 10)),
    )
    return np.asarray(model.vertices(batch)[0], np.float64)


def assert_same(mesh: np.ndarray, person: Any) -> None:
    assert 1000 * np.abs(mesh - person.vertices_cam_m).max() < SAME_MM, person.identity


def gta_file(root: Path, person: Any) -> Path:
    if person.form == "release":
        return root / "annotations" / person.sequence / f"{person.person}.npz"
    kind = person.image_path.split("/")[0].removeprefix("images_")
    return root / f"annotations_{kind}_smplx" / f"{person.sequence}_{person.person}.npz"


def test_gta_human2_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("gta_human2")
    model = standin.get("smplx", "neutral")
    body_lengths, hidden = set(), 0
    focal = 1158.0337
    for person in truth.people:
        with np.load(gta_file(root, person)) as data:  # without pickles
            labels = dict(data.items())
        frame, num = int(person.frame), int(labels["num_frames"])
        assert labels["keypoints_2d"].shape == (num, 100, 3)
        assert labels["keypoints_3d"].shape == (num, 100, 4)
        assert labels["occ"].shape == labels["self_occ"].shape == (num, 100)
        assert labels["bbox_xywh"].shape == (num, 4)
        assert labels["fov"].item() == 50.0
        assert labels["daytime"].shape == (3,)
        np.testing.assert_allclose(person.focal_px, focal, atol=1e-3)
        np.testing.assert_allclose(person.principal_point_px, (960, 540))
        x, y, z = labels["keypoints_3d"][frame, :, :3].T
        pixels = np.stack([focal * x / z + 960, focal * y / z + 540], 1)
        np.testing.assert_allclose(pixels, labels["keypoints_2d"][frame, :, :2], atol=1e-2)
        assert np.isnan(pixels).any() == (person.note == "nan-joints" and frame == num - 1)
        hidden += labels["occ"][frame].mean() >= 0.5
        for row, joint in (
            (14, "pelvis"),
            (4, "right_shoulder"),
            (21, "left_ankle"),
            (99, "nose"),
            (57, "left_middle_1"),
        ):
            there = person.joints_cam_m[person.joint_names.index(joint)]
            assert np.linalg.norm(labels["keypoints_3d"][frame, row, :3] - there) < 0.06
        assert labels["is_valid_smplx"].item() == person.has_body == ("body_pose" in labels)
        if not person.has_body:
            assert not set(GTA_FIT) & set(labels)
            continue
        assert {key: labels[key].shape for key in GTA_FIT} == {key: (num, size) for key, size in GTA_FIT.items()}
        body_lengths.add(labels["body_pose"].shape[1])
        hands = [
            labels[f"{side}_hand_pose"][frame] @ model.hand_components[k, :24]
            for k, side in enumerate(("left", "right"))
        ]
        rows = [labels["global_orient"][frame], labels["body_pose"][frame, :63], np.zeros((3, 3)), *hands]
        mesh = smplx_mesh(model, rows, labels["betas"][frame], labels["transl"][frame], np.zeros(10))
        assert_same(mesh, person)
        relative = [hand + model.hand_mean_aa[k].ravel() for k, hand in enumerate(hands)]
        wrong = smplx_mesh(model, [*rows[:3], *relative], labels["betas"][frame], labels["transl"][frame], np.zeros(10))
        assert 1000 * np.abs(wrong - mesh).max() > 5, "the hands are absolute"
    assert body_lengths == {63, 69}
    assert hidden >= 1
    assert {person.form for person in truth.people} == {"release", "internal"}
    hints = Counter(person.reject_hint for person in truth.people)
    assert hints.keys() == {"", "no-fit", "image-missing", "outside", "nan-joints"}
    for person in truth.people:
        assert (root / person.image_path).exists() == (person.reject_hint != "image-missing")
        assert len(person.sequence) == len("seq_00087011")


def rows_of(values: Any, num_frames: int, frame: int) -> Any:
    """The row of a frame counted from 1, of arrays that may begin with the T-pose's row or hold one row for all."""
    if len(values) == 1:
        return values[0]
    return values[len(values) - num_frames :][frame - 1]


def test_synbody_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("synbody")
    folders = {"smplx": ("smplx",), "smpl": ("smpl",)}
    folders["internal"] = ("smplx_withJoints_inCamSpace_noBUG", "smplx_withJoints_inCamSpace")
    alignments, shapes, genders, cameras = Counter(), set(), set(), set()
    for person in truth.people:
        sequence = root / person.sequence
        pictures = sorted(path.name for path in (sequence / "rgb").iterdir())
        is_older = person.form == "internal"
        assert pictures[0] == ("0000.jpeg" if is_older else "0001.jpeg")
        assert (sequence / "seq_data.json").exists() == is_older
        num_frames = len(pictures) - is_older
        folder = next(sequence / name for name in folders[person.form] if (sequence / name).exists())
        data = np.load(folder / f"{person.person}.npz", allow_pickle=True)
        kind, frame = person.kind, int(person.frame)
        assert set(data) == {kind, "meta"} | ({"keypoints2d", "keypoints3d"} if is_older else set())
        fit, gender = data[kind].item(), data["meta"].item()["gender"]
        assert gender == person.gender
        genders.add(gender)
        cameras.add(person.sequence)
        lengths = {len(values) for name, values in fit.items() if name != "betas"}
        assert len(lengths) == 1
        shapes.add(len(fit["betas"]) == 1)
        points = len(data["keypoints2d"]) - num_frames if is_older else 0
        alignments[person.form, lengths.pop() - num_frames, points] += 1
        now = {name: rows_of(values, num_frames, frame) for name, values in fit.items()}
        model = standin.get(kind, gender)
        if kind == "smpl":
            batch = BodyBatch(
                pose_aa=np.concatenate([now["global_orient"], now["body_pose"]]).reshape(1, 24, 3),
                betas=now["betas"][None],
                transl_m=now["transl"][None],
            )
            assert_same(model.vertices(batch)[0], person)
            continue
        hands = [
            now[f"{side}_hand_pose"].reshape(15, 3) + model.hand_mean_aa[k] for k, side in enumerate(("left", "right"))
        ]
        head = [now[name] for name in ("global_orient", "body_pose", "jaw_pose", "leye_pose", "reye_pose")]
        assert_same(smplx_mesh(model, [*head, *hands], now["betas"], now["transl"], now["expression"]), person)
        if is_older:
            seen = data["keypoints3d"][len(data["keypoints3d"]) - num_frames :][frame - 1]
            np.testing.assert_allclose(seen, person.joints_cam_m, atol=1e-4)
            pixels = data["keypoints2d"][len(data["keypoints2d"]) - num_frames :][frame - 1]
            np.testing.assert_allclose(seen[:, :2] / seen[:, 2:] * 640 + (640, 360), pixels, atol=0.05)
    assert {key[0] for key in alignments} == {"smplx", "smpl", "internal"}
    assert {("smplx", 0, 0), ("smplx", 1, 0)} <= set(alignments), "with and without the T-pose's row"
    assert {("internal", 1, 1), ("internal", 0, 0), ("internal", 0, 1)} == {k for k in alignments if k[0] == "internal"}
    assert shapes == {True, False}
    assert genders == {"male", "female"}
    assert len({name.split("_CAM")[0] for name in cameras}) < len(cameras), "one sequence, two cameras"
    assert len({person.reject_hint for person in truth.people}) == 2


def test_synbody_keeps_wrong_values_in_the_folder_of_the_bug(miniature: Any) -> None:
    root, _ = miniature("synbody")
    preferred = list(root.rglob("smplx_withJoints_inCamSpace_noBUG/*.npz"))
    assert preferred
    for path in preferred:
        other = np.load(path.parent.parent / "smplx_withJoints_inCamSpace" / path.name, allow_pickle=True)
        ours = np.load(path, allow_pickle=True)
        assert np.abs(ours["smplx"].item()["transl"] - other["smplx"].item()["transl"]).min() > 0.2


@pytest.mark.parametrize("name", ["gta_human2", "synbody"])
def test_they_are_the_same_again_for_a_seed_and_grow_on_request(
    name: str, tmp_path: Path, miniature: Any, standin: Any
) -> None:
    usual_root, usual_truth = miniature(name)
    truth = MINIATURES[name](tmp_path, people=len(usual_truth.people) + 1, models=standin)
    assert len(truth.people) > len(usual_truth.people)
    for path in usual_root.rglob("*.*"):
        assert (tmp_path / path.relative_to(usual_root)).read_bytes() == path.read_bytes()
