"""DNA-Rendering, both camera groups: SMC files and the RenBody tree, as h5py and numpy open them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from harmonize.bodies import BodyBatch
from harmonize.miniatures import MINIATURES

NAMES = ("dna_rendering", "dna_rendering_hires")


def mesh_and_joints(model: Any, fullpose: Any, betas: Any, expression: Any, transl: Any) -> tuple[Any, Any]:
    """World; fullpose (55, 3) with hands relative to the mean hand."""
    pose = np.array(fullpose, np.float64)
    pose[25:] += model.hand_mean_aa.reshape(30, 3)
    batch = BodyBatch(pose_aa=pose[None], betas=betas[None], transl_m=transl[None], expression=expression[None])
    return model.vertices(batch)[0].astype(np.float64), model.joints(batch)[0].astype(np.float64)


def assert_seen(person: Any, points: tuple[Any, Any], parameters: Any) -> None:
    """The world's points through K, D and the inverse of RT are the person's."""
    to_camera = np.linalg.inv(parameters["RT"][()])
    vertices, joints = (each @ to_camera[:3, :3].T + to_camera[:3, 3] for each in points)
    assert 1000 * np.abs(vertices - person.vertices_cam_m).max() < 0.02, person.identity
    x, y = (joints[:, :2] / joints[:, 2:]).T
    if "D" in parameters:
        k1, k2, p1, p2, k3 = parameters["D"][()]
        r2 = x * x + y * y
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        x, y = (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )
    pixels = np.stack([x, y, np.ones_like(x)], 1) @ parameters["K"][()].T
    np.testing.assert_allclose(pixels[:127, :2], person.joints_px[:127], atol=0.02)
    straight = joints[:, :2] / joints[:, 2:] * person.focal_px + person.principal_point_px
    assert ("D" in parameters) == (np.abs(straight - person.joints_px)[:127].max() > 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_smc(name: str, miniature: Any, standin: Any) -> None:
    root, truth = miniature(name)
    rows, genders, flat = set(), set(), 0
    for person in [person for person in truth.people if person.form == "smc"]:
        performance, camera = person.sequence.split("/")
        assert (int(camera) >= 48) == name.endswith("hires")
        path, _, member = person.image_path.partition("!")
        assert (root / path).name == f"{performance}.smc"
        main = h5py.File(root / path)
        annotations = h5py.File(root / path.replace("_main/", "_annotations/").replace(".smc", "_annots.smc"))
        with main, annotations:
            assert {"actor_id", "performance_id", "age", "gender", "height", "weight"} <= set(main.attrs)
            assert main.attrs["gender"] == person.gender
            genders.add(person.gender)
            for group in ("Camera_5mp", "Camera_12mp"):
                assert set(main[group].attrs) == {"num_device", "num_frame", "resolution"}
            assert member == f"Camera_{'12' if int(camera) >= 48 else '5'}mp/{int(camera)}/color/{int(person.frame)}"
            stored = main[member]
            assert stored.dtype == np.uint8
            assert stored.ndim == 1
            mask = annotations[f"Mask/{int(camera)}/mask/{int(person.frame)}"]
            silhouette = np.asarray(Image.open(io.BytesIO(mask[()].tobytes()))).max(2) > 127
            assert silhouette.shape == person.image_size_px[::-1]
            assert 0.02 < silhouette.mean() < 0.5
            fit, frame = annotations["SMPLx"], int(person.frame)
            num = len(fit["fullpose"])
            assert fit["fullpose"].shape == (num, 55, 3)
            rows.add((num, len(fit["betas"]), len(fit["expression"])))
            has_face = frame < len(fit["expression"])
            assert person.has_face == has_face
            expression = fit["expression"][frame] if has_face else np.zeros(10)
            betas = fit["betas"][frame] if len(fit["betas"]) > 1 else fit["betas"][0]
            model = standin.get("smplx", person.gender)
            points = mesh_and_joints(model, fit["fullpose"][frame], betas, expression, fit["transl"][frame])
            assert fit["scale"][()] != 1
            parameters = annotations[f"Camera_Parameter/{int(camera):02d}"]
            assert set(parameters) == {"K", "D", "RT", "Color_Calibration"}
            assert_seen(person, points, parameters)
            assert points[0][:, 1].max() > points[1][0, 1] > points[0][:, 1].min(), "y is down"
            measured = annotations["Keypoints_3D/keypoints3d"]
            assert measured.shape == (num, 144, 4)
            gap = np.linalg.norm(measured[frame, :, :3] - points[1], axis=1)
            assert np.median(gap) < 0.02
            same = np.linalg.norm(measured[frame, 22, :3] - measured[frame, 23, :3])
            flat += same < 0.0005
            detected = annotations[f"Keypoints_2D/{int(camera):02d}"]
            assert detected.shape == (num, 131, 3)
    assert any(expression < num for num, _, expression in rows)
    assert any(betas == 1 < num for num, betas, _ in rows)
    assert genders == {"male", "female"}
    assert flat


@pytest.mark.parametrize("name", NAMES)
def test_renbody(name: str, miniature: Any, standin: Any) -> None:
    root, truth = miniature(name)
    root = root / "renbody"
    lists = {split: (root / f"new_{split}_230207.txt").read_text().splitlines() for split in ("train", "test")}
    extra, bent = 0, set()
    for person in [person for person in truth.people if person.form == "renbody"]:
        sequence, _, camera = person.sequence.rpartition("/")
        assert sequence in lists[person.split]
        fit = np.load(root / "smpl" / sequence / "smplx_xrmocap" / "human_data_smplx.npz")
        measured = np.load(root / "smpl" / sequence / "smplx_xrmocap" / "human_data_optimized_keypoints3d.npz")
        frame, num = int(person.frame), len(fit["transl"])
        assert str(fit["gender"]) == person.gender
        shapes = {"betas": (10,), "body_pose": (21, 3), "left_hand_pose": (15, 3), "expression": (10,)}
        assert {key: fit[key].shape[1:] for key in shapes} == shapes
        assert measured["keypoints3d"].shape == (num, 190, 3)
        assert measured["keypoints3d_mask"].sum() == 131
        parts = [
            "global_orient",
            "body_pose",
            "jaw_pose",
            "leye_pose",
            "reye_pose",
            "left_hand_pose",
            "right_hand_pose",
        ]
        fullpose = np.concatenate([fit[part][frame].reshape(-1, 3) for part in parts])
        model = standin.get("smplx", person.gender)
        points = mesh_and_joints(model, fullpose, fit["betas"][frame], fit["expression"][frame], fit["transl"][frame])
        cameras = np.load(root / "image" / sequence / ".." / "annots.npy", allow_pickle=True).item()["cams"]
        assert {int(each) >= 48 for each in cameras} == {True, False}
        assert_seen(person, points, {key: np.array(value) for key, value in cameras[camera].items()})
        bent.add("D" in cameras[camera])
        pictures = list((root / "image" / sequence / "image" / camera).glob("*.jpg"))
        extra += len(pictures) - num
    assert extra > 0
    assert bent == {True, False}


def test_it_is_the_same_again_for_a_seed_and_grows_on_request(tmp_path: Path, miniature: Any, standin: Any) -> None:
    usual, _ = miniature("dna_rendering")
    truth = MINIATURES["dna_rendering"](tmp_path, people=18, models=standin)
    assert len(truth.people) == 18
    for path in usual.rglob("dna_rendering_*/*.smc"):
        assert (tmp_path / path.relative_to(usual)).read_bytes() == path.read_bytes()
