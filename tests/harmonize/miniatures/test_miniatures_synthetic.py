"""GTA-Human II and SynBody: files, keys and shapes of their releases, and parameters that give the truth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from harmonize.bodies import BodyBatch

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
