"""RICH, PROX and EgoBody: layout and truth, by the descriptions of the datasets and with the plain libraries alone."""

from __future__ import annotations

import csv
import json
import pickle
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harmonize.bodies import BodyBatch
from harmonize.miniatures import MINIATURES

SAME_MM = 0.02
SHAPES = {
    "betas": (1, 10),
    "global_orient": (1, 3),
    "transl": (1, 3),
    "body_pose": (1, 63),
    "left_hand_pose": (1, 12),
    "right_hand_pose": (1, 12),
    "jaw_pose": (1, 3),
    "leye_pose": (1, 3),
    "reye_pose": (1, 3),
    "expression": (1, 10),
}
SMPL_SHAPES = {"transl": (1, 3), "global_orient": (1, 3), "betas": (1, 10), "body_pose": (1, 69)}


def mesh_of(standin: Any, fit: dict[str, Any], gender: str) -> np.ndarray:
    """The mesh in the pickle's frame: hands by the first 12 rows of the model file's own components, plus its mean."""
    if fit["body_pose"].shape == (1, 69):
        assert {key: fit[key].shape for key in SMPL_SHAPES} == SMPL_SHAPES
        kind = "smpl"
        pose = np.concatenate([fit["global_orient"], fit["body_pose"]], 1)
    else:
        assert {key: fit[key].shape for key in SHAPES} == SHAPES
        kind = "smplx"
        model = np.load(standin.root / "smplx" / f"SMPLX_{gender.upper()}.npz")
        hands = [
            fit[f"{side}_hand_pose"] @ model[f"hands_components{side[0]}"][:12] + model[f"hands_mean{side[0]}"]
            for side in ("left", "right")
        ]
        names = ("global_orient", "body_pose", "jaw_pose", "leye_pose", "reye_pose")
        pose = np.concatenate([*[fit[name] for name in names], *hands], 1)
    batch = BodyBatch(
        pose_aa=pose.reshape(1, -1, 3).astype(np.float32),
        betas=fit["betas"],
        transl_m=fit["transl"],
        expression=fit.get("expression"),
    )
    return np.asarray(standin.get(kind, gender).vertices(batch)[0], np.float64)


def assert_same(mesh: np.ndarray, person: Any) -> None:
    assert 1000 * np.abs(mesh - person.vertices_cam_m).max() < SAME_MM, person.identity


def numbers(xml: str, name: str) -> np.ndarray:
    found = re.search(rf"<{name} .*?<data>(.*?)</data>", xml, re.DOTALL)
    assert found is not None
    return np.array(found.group(1).split(), float)


@pytest.mark.parametrize("name", ["egobody_egoset", "egobody_mvset", "prox", "rich"])
def test_one_seed_gives_one_miniature(name: str, miniature: Any, tmp_path: Path) -> None:
    root, truth = miniature(name)
    again = MINIATURES[name](tmp_path)
    files = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert sum((root / file).stat().st_size for file in files) < 4e6
    assert [file for file in files if (root / file).read_bytes() != (tmp_path / file).read_bytes()] == []
    assert [person.identity for person in truth.people] == [person.identity for person in again.people]
    kept = Counter(person.form for person in truth.people if person.is_kept)
    assert max(kept.values()) <= 12


def test_rich_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("rich")
    genders = json.loads((root / "resource/gender.json").read_text())
    types = json.loads((root / "resource/imgext.json").read_text())
    assert {path.parts[-2] for path in root.glob("val_body/*/*/*.pkl")} == {"00310"}
    assert not (root / "bodies/val").exists()
    rows: dict[str, list[str]] = {}
    for split in ("train", "val", "test"):
        header, *lines = (root / f"resource/meta/{split}.txt").read_text().splitlines()
        assert header.startswith("sequence_name\tcapture_name\tscan_name\tid\tmoving_cam\tgender\t")
        for line in lines:
            row = dict(zip(header.split("\t"), line.split("\t"), strict=True))
            assert row["id"] in row["sequence_name"].split("_")[1:-1]
            assert row["gender"] == genders[str(int(row["id"]))]
            rows.setdefault(row["sequence_name"], []).append(row["view_id"])
    assert Counter(len(views) for views in rows.values()) == {2: 2, 1: 2}
    distortions, pictured = set(), set()
    for person in truth.people:
        sequence, _, camera = person.sequence.rpartition("/")
        view = int(camera.removeprefix("cam_"))
        scene = sequence.split("_")[0]
        assert view in map(int, rows[sequence][0].split(","))
        fit = root / f"bodies/{person.split}/{sequence}/{person.frame}/{person.person}.pkl"
        if person.split == "val":
            fit = root / f"val_body/{sequence}/{person.frame}/{person.person}.pkl"
        gender = genders[str(int(person.person))]
        assert gender == person.gender
        xml = (root / f"scan_calibration/{scene}/calibration/{view:03d}.xml").read_text()
        pose, lens = numbers(xml, "CameraMatrix").reshape(3, 4), numbers(xml, "Distortion")
        if view == 0:
            np.testing.assert_allclose(pose, np.eye(3, 4), atol=1e-12)
        mesh = mesh_of(standin, pickle.loads(fit.read_bytes()), gender)
        assert_same(mesh @ pose[:, :3].T + pose[:, 3], person)
        inner = numbers(xml, "Intrinsics")
        np.testing.assert_allclose(inner[[0, 4, 2, 5]], [*person.focal_px, *person.principal_point_px])
        np.testing.assert_allclose(lens, person.distortion[:5])
        distortions.add(len(lens))
        name = f"{sequence}/{camera}/{person.frame}_{view:02d}"
        above = "val" if person.split == "val" else f"images/{person.split}"
        assert person.image_path.rpartition(".")[0] == f"{above}/{name}"
        assert (root / person.image_path).exists() == (person.reject_hint != "image-missing")
        if person.is_kept:
            with Image.open(root / person.image_path) as picture:
                pictured.add((picture.format.lower(), types[scene], picture.size[0] > picture.size[1]))
    assert distortions == {5}
    assert {stored for stored, _, _ in pictured} == {"bmp", "png", "jpeg"}
    assert {"jpeg", "bmp"} in [{stored, stated} for stored, stated, _ in pictured], "a release beside the table"
    assert {is_wide for _, _, is_wide in pictured} == {True, False}
    assert not (root / "scan_calibration/Pavallion/calibration/002.xml").exists()
    assert list(root.glob("images/train/Pavallion_018_plankjack/cam_02/*.png"))
    assert [path.name for path in root.glob("bodies/train/ParkingLot1_004_005_*/00150/*")] == ["004.pkl"]
    assert len(list(root.glob("human_scene_contact/*/*/*/*.pkl"))) == 1


def test_prox_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("prox")
    women = {162, 3452, 159, 3403}
    focal, centre = (1060.53, 1060.38), (951.30, 536.77)
    seen, num_passed = Counter[str](), 0
    for person in truth.people:
        recording, scene = person.sequence, person.sequence.split("_")[0]
        folder = root / f"prox_{person.split}_dataset"
        fits = {"qualitative": "PROXD", "quantitative": "fittings/mosh"}[person.split]
        assert re.fullmatch(r"s001_frame_\d{5}__00\.00\.\d\d\.\d{3}", person.frame)
        data = (folder / fits / recording / "results" / person.frame / "000.pkl").read_bytes()
        assert data[:2] == b"\x80\x02"
        if person.split == "quantitative":
            with pytest.raises(UnicodeDecodeError):
                pickle.loads(data)
        fit = pickle.loads(data, encoding="latin1")
        gender = "female" if int(recording.split("_")[1]) in women else "male"
        assert gender == person.gender
        mesh = mesh_of(standin, fit, gender)
        cam2world = np.array(json.loads((folder / f"cam2world/{scene}.json").read_text()))
        if person.split == "quantitative":
            vicon2scene = np.array(json.loads((folder / "vicon2scene.json").read_text()))
            to_cam = np.linalg.inv(cam2world) @ vicon2scene
            mesh = mesh @ to_cam[:3, :3].T + to_cam[:3, 3]
        else:
            assert fit["pose_embedding"].shape == (1, 32)
            assert fit["camera_rotation"].shape == (1, 3, 3)
        assert_same(mesh, person)
        up = cam2world[:3, :3] @ (person.joints_cam_m[15] - person.joints_cam_m[0])
        assert up[2] > 0.4, "the scene's z points up"
        np.testing.assert_allclose([*person.focal_px, *person.principal_point_px], [*focal, *centre])
        assert person.image_path == f"{folder.name}/recordings/{recording}/Color/{person.frame}.jpg"
        assert (root / person.image_path).exists() == person.is_kept
        seen[gender] += 1
        path = folder / f"keypoints/{recording}/{person.frame}_keypoints.json"
        if not path.exists():
            seen["no file"] += 1
            continue
        people = json.loads(path.read_text())["people"]
        seen[f"{len(people)} found"] += 1
        if people:
            points = np.reshape([one["pose_keypoints_2d"] for one in people], (-1, 25, 3))
            assert len(people[0]["face_keypoints_2d"]) == 210
            assert len(people[0]["hand_left_keypoints_2d"]) == len(people[0]["hand_right_keypoints_2d"]) == 63
            named = [person.joint_names.index(f"{side}_wrist") for side in ("right", "left")]
            off = np.linalg.norm(points[:, [4, 7], :2] - person.joints_px[named], axis=2).min(1)
            assert (off < 15).tolist() == [False] * (len(people) - 1) + [True], "of the picture the right way round"
            num_passed += len(people) - 1
    assert seen == {
        "male": 8,
        "female": 5,
        "no file": 1,
        "0 found": 1,
        "1 found": 9,
        "2 found": 2,
    }
    assert num_passed == 2
    pictures = {(path.parts[-3], path.stem) for path in root.glob("*/recordings/*/Color/*.jpg")}
    fitted = {(path.parts[-4], path.parts[-2]) for path in root.rglob("000.pkl")}
    assert fitted == {(person.sequence, person.frame) for person in truth.people}
    assert [frame[:16] for _, frame in sorted(pictures ^ fitted)] == ["s001_frame_00002", "s001_frame_00003"]


def recordings(root: Path) -> dict[str, dict[str, str]]:
    """Rows of data_info_release.csv by recording, with the split of data_splits.csv."""
    with (root / "data_splits.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["train", "val", "test"]
    assert rows[1]["val"] == rows[1]["test"] == "" != rows[1]["train"], "the columns differ in length"
    splits = {name: split for row in rows for split, name in row.items() if name}
    with (root / "data_info_release.csv").open() as file:
        table = {row["recording_name"]: row for row in csv.DictReader(file)}
    names = ["scene_name", "body_idx_0", "body_idx_1", "start_frame", "end_frame", "body_idx_fpv", "recording_name"]
    assert list(next(iter(table.values()))) == names
    assert set(table) == set(splits)
    return {name: row | {"split": splits[name]} for name, row in table.items()}


def egobody_mesh(root: Path, standin: Any, person: Any, row: dict[str, str], role: str, frame: str) -> np.ndarray:
    """The mesh in the master Kinect's frame."""
    index, gender = row["body_idx_fpv"].split()
    assert row[f"body_idx_{index}"] == row["body_idx_fpv"]
    if role == "camera_wearer":
        index, gender = row[f"body_idx_{1 - int(index)}"].split()
    folder = root / f"{person.form}_{role}_{person.split}/{row['recording_name']}/body_idx_{index}"
    fit = pickle.loads((folder / f"results/{frame}/000.pkl").read_bytes())
    assert fit["gender"] == gender == person.gender
    assert person.kind == person.form
    return mesh_of(standin, fit, gender)


def transform(root: Path, recording: str, name: str) -> np.ndarray:
    return np.array(json.loads((root / f"calibrations/{recording}/cal_trans/{name}.json").read_text())["trans"])


def test_egobody_mvset_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("egobody_mvset")
    table = recordings(root)
    codes = {"sub_1": 11, "sub_2": 13, "sub_3": 14, "sub_4": 15}
    num_missing = 0
    for person in truth.people:
        recording, view = person.sequence.split("/")
        row = table[recording]
        assert row["split"] == person.split
        assert int(row["start_frame"]) <= int(person.frame.removeprefix("frame_")) <= int(row["end_frame"])
        mesh = egobody_mesh(root, standin, person, row, person.person, person.frame)
        if view != "master":
            to_master = transform(root, recording, f"kinect_{codes[view]}to12_color")
            mesh = (mesh - to_master[:3, 3]) @ to_master[:3, :3]
        assert_same(mesh, person)
        color = json.loads((root / f"kinect_cam_params/kinect_{view}/Color.json").read_text())
        np.testing.assert_allclose([*color["f"], *color["c"]], [*person.focal_px, *person.principal_point_px])
        np.testing.assert_allclose(color["k"], person.distortion[:8])
        assert np.diag(color["camera_mtx"]).tolist() == [*color["f"], 1.0]
        up = (person.joints_cam_m[15] - person.joints_cam_m[0]) @ (
            np.eye(3) if view == "master" else to_master[:3, :3]
        ).T
        to_world = transform(root, recording, f"kinect12_to_world/{row['scene_name']}")
        assert (to_world[:3, :3] @ up)[2] > 0.4, "the scene's z points up"
        assert person.image_path == f"kinect_color/{recording}/{view}/{person.frame}.jpg"
        assert (root / person.image_path).exists() == person.is_kept
        num_missing += not person.is_kept
    assert num_missing > 8
    num_views = {name: len({p.sequence for p in truth.people if p.sequence.startswith(name)}) for name in table}
    assert {name[:14]: count for name, count in num_views.items()} == {"recording_2021": 3, "recording_2022": 5}
    assert {person.person for person in truth.people} == {"interactee", "camera_wearer"}
    straight = [p for p in truth.people if np.allclose(p.joints_px, p.joints_cam_m[:, :2] / p.joints_cam_m[:, 2:])]
    assert not straight
    early = [path for path in root.glob("kinect_color/*/*/*.jpg") if path.stem == "frame_01880"]
    assert len(early) == 1


def test_egobody_egoset_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("egobody_egoset")
    table, focal = recordings(root), set()
    for person in truth.people:
        row = table[person.sequence]
        assert row["split"] == person.split
        stamp, _, frame = person.frame.partition("_")
        assert re.fullmatch(r"\d{18}", stamp)
        assert re.fullmatch(r"frame_\d{5}", frame)
        (folder,) = (root / "egocentric_color" / person.sequence).iterdir()
        assert person.image_path == f"egocentric_color/{person.sequence}/{folder.name}/PV/{person.frame}.jpg"
        first, *lines = (folder / f"{folder.name}_pv.txt").read_text().splitlines()
        cx, cy, width, height = map(float, first.split(","))
        assert (width, height) == person.image_size_px
        cameras = {line.split(",")[0]: np.array(line.split(",")[1:], float) for line in lines}
        keypoints, valid = (np.load(folder / f"{name}.npz") for name in ("keypoints", "valid_frame"))
        assert keypoints["keypoints"].shape == (len(keypoints["imgname"]), 25, 3)
        assert valid["valid"].dtype == bool
        assert sorted(valid["imgname"][valid["valid"]]) == sorted(keypoints["imgname"])
        faults = {
            "no-detection": person.image_path not in keypoints["imgname"],
            "image-missing": not (root / person.image_path).exists(),
            "no-camera": stamp not in cameras or not np.linalg.det(cameras[stamp][2:].reshape(4, 4)),
            "no-fit": not list(root.glob(f"smpl*_interactee_*/{person.sequence}/*/results/{frame}/000.pkl")),
        }
        assert [fault for fault, holds in faults.items() if holds] == (
            [person.reject_hint] if person.reject_hint else []
        )
        if not person.is_kept:
            continue
        pv2world = cameras[stamp][2:].reshape(4, 4)
        to_kinect = transform(root, person.sequence, "holo_to_kinect12")
        to_cam = np.diag([1.0, -1.0, -1.0, 1.0]) @ np.linalg.inv(pv2world) @ np.linalg.inv(to_kinect)
        mesh = egobody_mesh(root, standin, person, row, "interactee", frame)
        assert_same(mesh @ to_cam[:3, :3].T + to_cam[:3, 3], person)
        inner = [*cameras[stamp][:2], cx, cy]
        np.testing.assert_allclose(inner, [*person.focal_px, *person.principal_point_px])
        focal.add(inner[0])
        at = list(keypoints["imgname"]).index(person.image_path)
        nose = person.joints_px[person.joint_names.index("nose")]
        found = keypoints["keypoints"][at]
        assert found[0, 2] == 0 or np.linalg.norm(found[0, :2] - nose) < 8
        assert (np.abs(found[found[:, 2] > 0, :2] - keypoints["center"][at]) < 101 * keypoints["scale"][at]).all()
        assert keypoints["gender"][at] == person.gender
    assert len(focal) >= 4, "the focal length changes with the frame"
    assert {person.reject_hint for person in truth.people} == {"", *faults}
    listed = {person.image_path for person in truth.people}
    outside = [str(path.relative_to(root)) for path in root.glob("egocentric_color/*/*/PV/*.jpg")]
    frames = [int(path[-9:-4]) for path in outside if path not in listed]
    ranges = [(int(row["start_frame"]), int(row["end_frame"])) for row in table.values()]
    assert len(frames) == 2
    assert not any(first <= frame <= last for frame in frames for first, last in ranges)
    assert len(list(root.glob("smplx_*/*/*/results/*/000.pkl"))) == len(listed), "one fit without any picture"
