"""BEHAVE, ARCTIC and EHF: layout and truth, by the descriptions of the datasets and with the plain libraries alone."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harmonize.bodies import BodyBatch
from harmonize.miniatures import MINIATURES

SAME_MM = 0.02


def assert_same(mesh: np.ndarray, person: Any) -> None:
    assert 1000 * np.abs(mesh - person.vertices_cam_m).max() < SAME_MM, person.identity


@pytest.mark.parametrize("name", ["arctic", "behave", "ehf"])
def test_one_seed_gives_one_miniature(name: str, miniature: Any, tmp_path: Path) -> None:
    root, truth = miniature(name)
    again = MINIATURES[name](tmp_path)
    files = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert sum((root / file).stat().st_size for file in files) < 4e6
    assert [file for file in files if (root / file).read_bytes() != (tmp_path / file).read_bytes()] == []
    assert [person.identity for person in truth.people] == [person.identity for person in again.people]


def smplh_mesh(standin: Any, gender: str, pose: Any, betas: Any, trans: Any) -> np.ndarray:
    """Hands as stored, no mean added."""
    batch = BodyBatch(pose_aa=np.reshape(pose, (1, 52, 3)), betas=betas[None], transl_m=trans[None])
    return np.asarray(standin.get("smplh", gender).vertices(batch)[0], np.float64)


def test_behave_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("behave")
    splits = json.loads((root / "split.json").read_text())
    assert set(splits) == {"train", "test"}
    kinects: dict[str, list[int]] = {}
    missing = Counter[str]()
    for person in truth.people:
        sequence, _, camera = person.sequence.rpartition("/k")
        info = json.loads((root / f"sequences/{sequence}/info.json").read_text())
        assert set(info) == {"config", "intrinsic", "empty", "cat", "gender", "kinects", "beta"}
        assert info["config"].startswith("../../")
        assert info["gender"] == person.gender
        assert int(camera) in info["kinects"]
        kinects[sequence] = info["kinects"]
        assert sequence in splits[person.split]
        frame = root / f"sequences/{sequence}/{person.frame}"
        assert person.image_path == str((frame / f"k{camera}.color.jpg").relative_to(root))
        if person.reject_hint != "no-fit":
            assert (root / person.image_path).exists() == person.is_kept
        if person.form == "30fps":
            fast = np.load(root / f"behave-30fps-params-v1/{sequence}/smpl_fit_all.npz")
            assert fast["poses"].shape == (len(fast["frame_times"]), 156)
            at = fast["frame_times"].tolist().index(person.frame)
            fit = {"pose": fast["poses"][at], "betas": fast["betas"][at], "trans": fast["trans"][at]}
        else:
            assert person.frame.endswith(".000")
            path = frame / "person/fit02/person_fit.pkl"
            assert path.exists() == (person.reject_hint != "no-fit")
            if not path.exists():
                missing["no-fit"] += 1
                assert (frame / "person/fit01/person_fit.pkl").exists()
                continue
            fit = pickle.loads(path.read_bytes())
            points = np.reshape(json.loads((frame / "person/person_J3d.json").read_text())["body_joints3d"], (25, 4))
            assert (points[:, 3] > 0).all()
        assert {key: value.shape for key, value in fit.items()} == {"pose": (156,), "betas": (10,), "trans": (3,)}
        config = root / f"calibs/{sequence.split('_')[0]}/config/{camera}/config.json"
        to_world = json.loads(config.read_text())
        rotmat, offset = np.reshape(to_world["rotation"], (3, 3)), np.array(to_world["translation"])
        if camera == "1":
            np.testing.assert_allclose([*rotmat.ravel(), *offset], [*np.eye(3).ravel(), 0, 0, 0], atol=1e-12)
        mesh = smplh_mesh(standin, person.gender, fit["pose"], fit["betas"], fit["trans"])
        assert_same((mesh - offset) @ rotmat, person)
        inner = json.loads((root / f"calibs/intrinsics/{camera}/calibration.json").read_text())["color"]
        np.testing.assert_allclose(inner["opencv"][:4], [*person.focal_px, *person.principal_point_px])
        np.testing.assert_allclose(inner["opencv"][4:], person.distortion[:8])
        assert inner["opencv"] == [
            inner[key] for key in ["fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"]
        ]
        assert (inner["width"], inner["height"]) == person.image_size_px
        found = frame / f"k{camera}.color.json"
        if found.exists():
            parts = json.loads(found.read_text())
            assert {part: len(values) for part, values in parts.items()} == {
                "body_joints": 75,
                "left_hand_joints": 63,
                "right_hand_joints": 63,
                "face_joints": 210,
            }
            wrist = np.reshape(parts["left_hand_joints"], (21, 3))[0]
            assert wrist[2] == 0 or np.linalg.norm(wrist[:2] - person.joints_px[20]) < 8, "on the bent picture"
        elif person.form == "frames":
            missing["detections"] += 1
    assert set(map(tuple, kinects.values())) == {(0, 1, 2, 3), (0, 2, 3)}
    assert missing == {"no-fit": 4, "detections": 1}
    assert {person.frame for person in truth.people if person.form == "30fps"} == {
        "t0003.000",
        "t0003.033",
        "t0003.067",
    }
    assert list(root.glob("sequences/*_chairwood_*/t0003.000/chair/fit01/chair_fit.pkl"))


def test_arctic_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("arctic")
    misc = json.loads((root / "meta/misc.json").read_text())
    women = {"s01", "s02", "s05", "s08", "s09"}
    protocols = {p: json.loads((root / f"splits_json/protocol_{p}.json").read_text()) for p in ("p1", "p2")}
    assert {*protocols["p1"]} == {*protocols["p2"]} == {"train", "val", "test"}
    assert not [one for one in protocols["p1"]["test"] if (root / f"raw_seqs/{one}.smplx.npy").exists()]
    rest: dict[str, np.ndarray] = {}
    shown = Counter[str]()
    for person in truth.people:
        sequence, _, view = person.sequence.rpartition("/")
        subject, number = sequence.split("/")[0], int(person.frame)
        protocol, _, split = person.split.partition("_")
        assert (protocol == "p2") == (view == "0")
        assert sequence in protocols[protocol][split]
        entry = misc[subject]
        assert entry["gender"] == person.gender == ("female" if subject in women else "male")
        assert np.shape(entry["world2cam"]) == (8, 4, 4)
        assert np.shape(entry["intris_mat"]) == (8, 3, 3)
        assert entry["image_size"][int(view)] == list(person.image_size_px)
        if subject not in rest:
            lines = (root / f"meta/subject_vtemplates/{subject}.obj").read_text().splitlines()
            rest[subject] = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
            assert rest[subject].shape == (10475, 3)
        body = np.load(root / f"raw_seqs/{sequence}.smplx.npy", allow_pickle=True).item()
        count = len(body["transl"])
        assert {key: value.shape for key, value in body.items()} == {
            "transl": (count, 3),
            "global_orient": (count, 3),
            "body_pose": (count, 63),
            "jaw_pose": (count, 3),
            "leye_pose": (count, 3),
            "reye_pose": (count, 3),
            "left_hand_pose": (count, 45),
            "right_hand_pose": (count, 45),
        }
        assert 10 <= number <= count - 11
        row = number - entry["ioi_offset"]
        order = (
            "global_orient",
            "body_pose",
            "jaw_pose",
            "leye_pose",
            "reye_pose",
            "left_hand_pose",
            "right_hand_pose",
        )
        batch = BodyBatch(
            pose_aa=np.concatenate([body[key][row] for key in order]).reshape(1, 55, 3),
            betas=np.zeros((1, 10)),
            transl_m=body["transl"][[row]],
        )
        model = standin.subject("smplx", person.gender, rest[subject])
        mesh = np.asarray(model.vertices(batch)[0], np.float64)
        ego = np.load(root / f"raw_seqs/{sequence}.egocam.dist.npy", allow_pickle=True).item()
        if view == "0":
            rotmat, offset, inner = ego["R_k_cam_np"][row], ego["T_k_cam_np"][row, :, 0], ego["intrinsics"]
            assert ego["R_k_cam_np"].shape == (count, 3, 3)
            np.testing.assert_allclose(person.distortion, [*ego["dist8"], 0, 0, 0, 0])
            assert (person.joints_cam_m[:22, 2] <= 0).sum() >= 4
            assert np.isnan(person.joints_px[person.joints_cam_m[:, 2] <= 0]).all()
            assert person.note
        else:
            to_cam = np.array(entry["world2cam"][int(view) - 1])
            rotmat, offset, inner = to_cam[:3, :3], to_cam[:3, 3], np.array(entry["intris_mat"][int(view) - 1])
            assert person.distortion is None
        assert_same(mesh @ rotmat.T + offset, person)
        np.testing.assert_allclose(inner[[0, 1, 0, 1], [0, 1, 2, 2]], [*person.focal_px, *person.principal_point_px])
        path, _, member = person.image_path.partition("!")
        if member:
            assert (path, member) == (f"images_zips/{sequence}.zip", f"{view}/{person.frame}.jpg")
            with zipfile.ZipFile(root / path) as archive:
                has_picture = member in archive.namelist()
                assert not has_picture or Image.open(io.BytesIO(archive.read(member))).size == person.image_size_px
        else:
            assert path == f"images/{sequence}/{view}/{person.frame}.jpg"
            has_picture = (root / path).exists()
        assert has_picture == person.is_kept
        shown["zip" if member else "folder"] += has_picture
    assert shown["zip"] >= 3
    assert shown["folder"] >= 8
    assert len({entry["ioi_offset"] for entry in misc.values()}) == 2
    assert all(entry["ioi_offset"] for entry in misc.values())
    black = root / "images/s01/box_grab_01/1/00001.jpg"
    assert not np.asarray(Image.open(black)).any()
    meshes = list(rest.values())
    rests = [standin.get("smplx", misc[subject]["gender"]).template.numpy() for subject in rest]
    assert all(np.abs(mesh - plain).max() > 0.005 for mesh, plain in zip(meshes, rests, strict=True))


def read_ply(path: Path) -> tuple[np.ndarray, int]:
    """Vertices, and the number of faces."""
    head, _, body = path.read_bytes().partition(b"end_header\n")
    lines = head.decode().splitlines()
    assert lines[0] == "ply"
    counts = {line.split()[1]: int(line.split()[2]) for line in lines if line.startswith("element")}
    size = counts["vertex"]
    if lines[1] == "format ascii 1.0":
        return np.array([line.split() for line in body.decode().splitlines()[:size]], float), counts.get("face", 0)
    assert lines[1] == "format binary_little_endian 1.0"
    assert len(body) == 12 * size + 13 * counts.get("face", 0)
    return np.frombuffer(body, "<f4", 3 * size).reshape(-1, 3).astype(float), counts.get("face", 0)


def test_ehf_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("ehf")
    rotmat = np.array(
        [
            [0.99924469, -0.00488005, 0.03855168],
            [-0.01071995, -0.98820433, 0.15276545],
            [0.03735144, -0.15306333, -0.98751025],
        ]
    )
    coco = json.loads((root / "EHF.json").read_text())
    pictures = {image["file_name"].split("_")[0]: image for image in coco["images"]}
    boxes = {annotation["image_id"]: annotation for annotation in coco["annotations"]}
    seen = Counter[str]()
    for person in truth.people:
        mesh, num_faces = read_ply(root / f"{person.frame}_align.ply")
        assert mesh.shape == (10475, 3)
        assert num_faces in (0, len(standin.get("smplx", "neutral").faces))
        assert np.ptp(mesh[:, 1]) > 1.2, "the scanner's y points up"
        in_camera = mesh @ rotmat.T + (-0.03609917, 0.43416458, 2.37101226)
        assert_same(in_camera, person)
        assert 1.7 < in_camera[:, 2].mean() < 2.9
        inner = [1498.22426237, 1498.22426237, 790.263706, 578.90334]
        np.testing.assert_allclose([*person.focal_px, *person.principal_point_px], inner)
        image = pictures[person.frame]
        assert image["file_name"] == person.image_path
        assert (image["width"], image["height"]) == person.image_size_px == (1600, 1200)
        assert all(len(boxes[image["id"]][f"{part}_bbox"]) == 4 for part in ("body", "lefthand", "righthand", "face"))
        people = json.loads((root / f"{person.frame}_2Djnt.json").read_text())["people"]
        seen[f"{len(people)} found"] += 1
        seen[person.image_path[-3:]] += 1
        seen["faces"] += bool(num_faces)
        for one in people:
            lengths = {key: len(values) for key, values in one.items()}
            assert lengths == {
                "pose_keypoints_2d": 75,
                "face_keypoints_2d": 210,
                "hand_left_keypoints_2d": 63,
                "hand_right_keypoints_2d": 63,
            }
            wrist = np.array(one["hand_left_keypoints_2d"][:3])
            assert wrist[2] == 0 or np.linalg.norm(wrist[:2] - person.joints_px[20]) < 15
    assert seen == {"1 found": 8, "0 found": 1, "jpg": 8, "png": 1, "faces": 1}
    assert {person.frame for person in truth.people} >= {"01", "99", "100"}
