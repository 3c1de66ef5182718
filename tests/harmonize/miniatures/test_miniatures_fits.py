"""Layouts of the miniatures whose bodies were fitted to videos and stills: each file as the plain libraries open it.

Parameters are placed in the camera by the formulas of the datasets' own descriptions, so that nothing rests on a reader.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import av
import cdflib
import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyBatch
from harmonize.miniatures import MINIATURES

SAME_MM = 0.02
NAMES = ("h36m",)


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def mesh(model: Any, pose: Any, betas: Any, transl: Any) -> np.ndarray:
    """SMPL or SMPL-X vertices; hands of SMPL-X are the mean ones, as the `smplx` package shows them by default."""
    rows = np.zeros((model.num_joints, 3))
    given = np.reshape(pose, (-1, 3))
    rows[: len(given)] = given
    if model.kind == "smplx" and len(given) < 55:
        rows[25:] = model.hand_mean_aa.reshape(30, 3)
    batch = BodyBatch(pose_aa=rows[None], betas=np.reshape(betas, (1, -1)), transl_m=np.reshape(transl, (1, 3)))
    return np.asarray(model.vertices(batch)[0], np.float64)


def assert_same(vertices: np.ndarray, person: Any) -> None:
    assert 1000 * np.abs(vertices - person.vertices_cam_m).max() < SAME_MM, person.identity


def of_form(truth: Any, form: str) -> dict[tuple[str, ...], Any]:
    return {person.identity[1:]: person for person in truth.people if person.form == form}


def joint(person: Any, name: str) -> np.ndarray:
    return person.joints_cam_m[person.joint_names.index(name)]


def num_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_files(name: str, tmp_path: Path, standin: Any) -> None:
    hashes = []
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        MINIATURES[name](tmp_path / folder, seed=seed, models=standin)
        files = sorted(path for path in (tmp_path / folder).rglob("*") if path.is_file())
        hashes.append([(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files])
        assert sum(path.stat().st_size for path in files) < 4_000_000
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


def test_h36m_archives(miniature: Any) -> None:
    root, truth = miniature("h36m")
    people = of_form(truth, "cdf")
    tree = ElementTree.parse(root / "metadata.xml")
    rows = [[cell.text or "" for cell in row] for row in tree.find("mapping")]
    assert rows[0][:3] == ["Action", "subaction", "S1"]
    prefixes = {
        (f"S{k - 1}", int(row[0]), int(row[1])): row[k] for row in rows if row[0].isdigit() for k in range(2, 13)
    }
    numbers = np.array(tree.find("w0").text.strip("[]").split(), float)
    outside, inside = numbers[:264].reshape(4, 11, 6), numbers[264:].reshape(4, 9)
    ids = [item.text for item in tree.find("dbcameras/index2id")]
    seen = 0
    for (split, sequence, frame, _), person in people.items():
        subject, _, rest = sequence.partition("/")
        action, camera = rest.rsplit(".", 1)
        assert action in {prefixes[key] for key in prefixes if key[0] == subject and key[1] > 1}
        assert split == ("test" if subject in ("S9", "S11") else "train")
        poses = root / subject / "MyPoseFeatures"
        arrays = {
            kind: cdflib.CDF(str(poses / kind / f"{rest}.cdf")).varget("Pose")
            for kind in ("D2_Positions", "D3_Positions_mono", "D3_Positions_mono_universal")
        }
        world = cdflib.CDF(str(poses / "D3_Positions" / f"{action}.cdf")).varget("Pose")
        assert world.dtype == np.float32
        assert {kind: array.shape[2] for kind, array in arrays.items()} == {
            "D2_Positions": 64,
            "D3_Positions_mono": 96,
            "D3_Positions_mono_universal": 96,
        }
        mono = arrays["D3_Positions_mono"][0, int(frame)].reshape(32, 3)
        angles, centre_mm = np.split(outside[ids.index(camera), int(subject[1:]) - 1], 2)
        rotmat = Rotation.from_euler("XYZ", angles).as_matrix()
        np.testing.assert_allclose((world[0, int(frame)].reshape(32, 3) - centre_mm) @ rotmat.T, mono, atol=0.01)
        f, c, (k1, k2, k3), (p1, p2) = np.split(inside[ids.index(camera)], (2, 4, 7))
        x, y = (mono[:, :2] / mono[:, 2:]).T
        r2 = x**2 + y**2
        term = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + p1 * y + p2 * x
        pixels = np.stack([x * term + p2 * r2, y * term + p1 * r2], 1) * f + c
        np.testing.assert_allclose(arrays["D2_Positions"][0, int(frame)].reshape(32, 2), pixels, atol=0.01)
        knee = mono[2] / 1000 - rotmat @ ([0.2, 0, 0] if person.note else [0, 0, 0])
        np.testing.assert_allclose(knee, joint(person, "right_knee"), atol=1e-5)
        assert bool(person.note) == (sequence.startswith("S9/Greeting."))
        with h5py.File(root / subject / "MySegmentsMat/ground_truth_bb" / f"{rest}.mat") as file:
            mask = file[file["Masks"][int(frame), 0]][()].T
        assert mask.shape == person.image_size_px[::-1]
        assert set(np.unique(mask)) == {0, 1}
        if not person.note:
            assert mask[tuple(np.rint(person.joints_px[0]).astype(int)[::-1])] == 1
        video = root / subject / "Videos" / f"{rest}.mp4"
        if person.reject_hint:
            assert sequence == "S11/Directions.54138969"
            with pytest.raises(av.error.InvalidDataError):
                num_frames(video)
        else:
            assert num_frames(video) == world.shape[1] + 1
            seen += 1
    assert seen >= 12
    assert {person.image_size_px for key, person in people.items() if key[1].startswith("S7/")} == {(1000, 1002)}
    assert {person.image_size_px for person in people.values()} == {(1000, 1002), (1000, 1000)}
    assert (root / "S1/MyPoseFeatures/D3_Positions/_ALL 1.cdf").is_file()


@pytest.mark.parametrize("kind", ["smplx", "smpl"])
def test_h36m_parsed_release(kind: str, miniature: Any, standin: Any) -> None:
    root, truth = miniature("h36m")
    people = of_form(truth, "neuralannot" if kind == "smplx" else "neuralannot_smpl")
    model, met, unfitted = standin.get(kind, "neutral"), 0, 0
    for subject in (1, 5, 9, 11):
        stem = f"Human36M_subject{subject}"
        data, cameras, joints, fits = (
            load(root / f"annotations/{stem}_{part}.json")
            for part in ("data", "camera", "joint_3d", f"{kind.upper()}_NeuralAnnot")
        )
        assert [image["id"] for image in data["images"]] == list(range(len(data["images"])))
        images = {image["id"]: image for image in data["images"]}
        for annotation in data["annotations"]:
            image = images[annotation["image_id"]]
            folder, name = image["file_name"].split("/")
            person = people["test" if subject > 8 else "train", folder, name[-10:-4], "0"]
            met += 1
            assert int(person.frame) == image["frame_idx"] + 1
            assert (root / "images" / image["file_name"]).exists() == (person.reject_hint != "image-missing")
            assert (image["width"], image["height"]) == person.image_size_px
            camera = cameras[str(image["cam_idx"])]
            np.testing.assert_allclose(camera["f"], person.focal_px)
            keys = str(image["action_idx"]), str(image["subaction_idx"]), str(image["frame_idx"])
            rotmat, offset = np.array(camera["R"]), np.array(camera["t"]) / 1000
            place = rotmat @ ([0.2, 0, 0] if person.note else [0, 0, 0])
            world = np.array(joints[keys[0]][keys[1]][keys[2]]) / 1000
            assert world.shape == (17, 3)
            if kind == "smplx":
                np.testing.assert_allclose(
                    world[[2, 5]] @ rotmat.T + offset - place,
                    [joint(person, "right_knee"), joint(person, "left_knee")],
                    atol=1e-5,
                )
            left, top, width, height = annotation["bbox"]
            middle = np.array([left + width / 2, top + height / 2])
            assert person.note or np.abs(middle - person.joints_px[0]).max() < 0.6 * max(width, height)
            fit = fits[keys[0]][keys[1]].get(keys[2])
            assert (fit is None) == (person.reject_hint == "no-fit") == (not person.has_body)
            if fit is None:
                unfitted += 1
                continue
            pose = fit["pose"] if kind == "smpl" else fit["root_pose"] + fit["body_pose"]
            vertices = mesh(model, pose, fit["shape"], fit["trans"])
            assert_same(vertices @ rotmat.T + offset - place, person)
    assert met == len(people)
    assert unfitted
