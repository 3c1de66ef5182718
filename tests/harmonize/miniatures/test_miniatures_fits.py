"""Layouts of the miniatures whose bodies were fitted to videos and stills: each file as the plain libraries open it.

Parameters are placed in the camera by the formulas of the datasets' own descriptions: nothing rests on a reader.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import av
import cdflib
import h5py
import joblib
import numpy as np
import pytest
import torch
from open_picture import open_picture, tfrecord_examples
from scipy.io import loadmat
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyBatch
from harmonize.miniatures import MINIATURES

SAME_MM = 0.02
NAMES = ("h36m", "instavariety", "mpi_inf_3dhp", "mtp", "spec", "ssp3d", "up3d")


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


def test_3dhp_archives(miniature: Any) -> None:
    root, truth = miniature("mpi_inf_3dhp")
    people = of_form(truth, "official")
    for folder in ("S1/Seq1", "S6/Seq2"):
        annot = loadmat(root / folder / "annot.mat")
        lines = (root / folder / "camera.calibration").read_text().split("\n")
        assert {annot[key].shape for key in ("annot2", "annot3", "univ_annot3")} == {(14, 1)}
        for number in range(14):
            intrinsic, extrinsic = (lines[7 * number + row] for row in (5, 6))
            assert intrinsic.startswith("  intrinsic ")
            assert intrinsic.endswith(" ")
            assert "e" not in extrinsic.replace("extrinsic", "")
            inside, outside = (np.array(line.split()[1:], float).reshape(4, 4) for line in (intrinsic, extrinsic))
            assert 2000 < np.linalg.norm(outside[:3, 3]) < 9000
            joints, pixels = annot["annot3"][number, 0], annot["annot2"][number, 0]
            assert joints.shape[1:] == (84,)
            assert pixels.shape[1:] == (56,)
            assert not np.allclose(joints, annot["univ_annot3"][number, 0], atol=10)
            for frame, (row3, row2) in enumerate(
                zip(joints.reshape(-1, 28, 3), pixels.reshape(-1, 28, 2), strict=True)
            ):
                person = people["train", f"{folder}/video_{number}", f"{frame:06d}", "0"]
                homogeneous = row3 @ inside[:3, :3].T
                np.testing.assert_allclose(homogeneous[:, :2] / homogeneous[:, 2:], row2, atol=1e-3)
                for row, name in ((19, "left_knee"), (24, "right_knee"), (10, "left_elbow"), (4, "pelvis")):
                    np.testing.assert_allclose(row3[row] / 1000, joint(person, name), atol=1e-6)
                video = root / folder / "imageSequence" / f"video_{number}.avi"
                assert (person.reject_hint == "video-short") == (video.exists() and frame >= num_frames(video))
                is_there = (root / person.image_path.partition("#")[0]).exists()
                assert is_there == (person.reject_hint != "image-missing")
    stored = {person.image_path for person in people.values() if person.is_kept}
    assert {"S1/Seq1/video_1/000001.jpg", "S1/Seq1/imageFrames/video_4/frame_000002.jpg"} < stored
    assert "S1/Seq1/imageSequence/video_8.avi#1" in stored


def test_3dhp_test_set(miniature: Any) -> None:
    root, truth = miniature("mpi_inf_3dhp")
    people = of_form(truth, "official")
    hints = []
    for name in ("TS1", "TS5"):
        with h5py.File(root / "mpi_inf_3dhp_test_set" / name / "annot_data.mat") as file:
            pixels, joints, valid = (np.array(file[key]) for key in ("annot2", "annot3", "valid_frame"))
            assert file["activity_annotation"].shape == valid.shape == (len(valid), 1)
        assert pixels.shape == (len(valid), 1, 17, 2)
        assert joints.shape == (len(valid), 1, 17, 3)
        for frame in range(len(valid)):
            person = people["test", name, f"{frame + 1:06d}", "0"]
            assert person.image_path.endswith(f"/img_{frame + 1:06d}.jpg")
            assert bool(valid[frame, 0]) == person.is_kept
            hints.append(person.reject_hint)
            np.testing.assert_allclose(joints[frame, 0, 12] / 1000, joint(person, "left_knee"), atol=1e-6)
            flat = joints[frame, 0, :, :2] / joints[frame, 0, :, 2:] * person.focal_px + person.principal_point_px
            np.testing.assert_allclose(flat, pixels[frame, 0], atol=1e-6)
            assert (person.distortion is not None) == (name == "TS5")
            assert person.image_size_px == ((1920, 1080) if name == "TS5" else (2048, 2048))
    assert set(hints) == {"", "invalid"}


@pytest.mark.parametrize("kind", ["smplx", "smpl"])
def test_3dhp_parsed_release(kind: str, miniature: Any, standin: Any) -> None:
    root, truth = miniature("mpi_inf_3dhp")
    people = of_form(truth, "neuralannot" if kind == "smplx" else "neuralannot_smpl")
    stem = root / "data/MPI-INF-3DHP"
    data, cameras, joints, fits = (
        load(Path(f"{stem}_{part}.json")) for part in ("1k", "camera_1k", "joint_3d", f"{kind.upper()}_NeuralAnnot")
    )
    images = {image["id"]: image for image in data["images"]}
    assert len(data["annotations"]) == len(people)
    for annotation in data["annotations"]:
        image = images[annotation["image_id"]]
        subject, sequence, number, frame = (str(image[f"{key}_idx"]) for key in ("subject", "seq", "cam", "frame"))
        person = people["train", f"S{subject}/Seq{sequence}/video_{number}", f"{int(frame):06d}", "0"]
        path = f"data/images_1k/S{subject}/Seq{sequence}/imageSequence/{image['file_name']}"
        assert person.image_path == path
        assert (root / path).is_file()
        camera = cameras[subject][sequence][number]
        np.testing.assert_allclose(camera["princpt"], person.principal_point_px)
        rotmat, offset = np.array(camera["R"]), np.array(camera["t"]) / 1000
        world = np.array(joints[subject][sequence][frame])
        assert world.shape == (17, 3)
        if kind == "smplx":
            np.testing.assert_allclose(rotmat @ world[9] / 1000 + offset, joint(person, "right_knee"), atol=1e-5)
        fit = fits[subject][sequence].get(frame)
        assert (fit is None) == (person.reject_hint == "no-fit")
        if fit is not None:
            pose = fit["pose"] if kind == "smpl" else fit["root_pose"] + fit["body_pose"]
            vertices = mesh(standin.get(kind, "neutral"), pose, fit["shape"], fit["trans"])
            assert_same(vertices @ rotmat.T + offset, person)
    assert any(person.reject_hint == "no-fit" for person in people.values())


def test_up3d_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("up3d")
    listed = {name: (root / f"{name}.txt").read_text().split("\n") for name in ("train", "val", "trainval", "test")}
    assert all(lines[-1] == "" for lines in listed.values())
    ids = {name: [line.removeprefix("/")[:5] for line in lines if line] for name, lines in listed.items()}
    assert sorted(ids["trainval"]) == sorted(ids["train"] + ids["val"])
    assert all(line.startswith("/") for line in listed["train"] if line)
    assert not any(line.startswith("/") for line in listed["test"])
    model, shapes, turned, off_centre, uneven = standin.get("smpl", "neutral"), set(), 0, 0, 0
    for person in truth.people:
        assert person.frame in ids[person.split]
        stem = root / person.frame
        with pytest.raises(UnicodeDecodeError):
            pickle.loads(Path(f"{stem}_body.pkl").read_bytes())
        body = pickle.loads(Path(f"{stem}_body.pkl").read_bytes(), encoding="latin1")
        assert {key: np.shape(value) for key, value in body.items()} == {
            "pose": (72,),
            "betas": (10,),
            "trans": (3,),
            "rt": (3,),
            "t": (3,),
            "f": (),
        }
        turn = Rotation.from_rotvec(body["rt"]).as_matrix()
        turned += bool(body["rt"].any())
        vertices = mesh(model, body["pose"], body["betas"], body["trans"]) @ turn.T + body["t"]
        assert_same(vertices, person)
        height, width, y0, y1, x0, x1 = map(int, Path(f"{stem}_fit_crop_info.txt").read_text().split())
        scale = np.mean([height / (y1 - y0), width / (x1 - x0)])
        uneven += height * (x1 - x0) != width * (y1 - y0)
        on_crop = vertices[:, :2] / vertices[:, 2:] * body["f"] + [width / 2, height / 2]
        on_picture = on_crop / scale + [x0, y0]
        np.testing.assert_allclose(person.focal_px, body["f"] / scale)
        np.testing.assert_allclose(person.principal_point_px, [width / 2 / scale + x0, height / 2 / scale + y0])
        off_centre += np.abs(person.principal_point_px - np.array(person.image_size_px) / 2).max() > 5
        light = np.asarray(open_picture(root, f"{person.frame}_render_light.png"))
        rows, columns = np.nonzero((light < 255).any(2))
        low, high = on_picture.min(0), on_picture.max(0)
        assert np.abs(np.array([columns.min(), rows.min(), columns.max(), rows.max()]) - [*low, *high]).max() < 3
        assert x0 < columns.mean() < x1
        points = np.load(f"{stem}_joints.npy")
        shapes.add(points.shape)
        assert np.abs(points[:2, 4] - person.joints_px[person.joint_names.index("left_knee")]).max() < 8
    assert shapes == {(3, 14), (2, 14)}
    assert turned
    assert off_centre
    assert uneven


def test_ssp3d_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("ssp3d")
    labels = np.load(root / "labels.npz")
    assert {key: labels[key].shape[1:] for key in labels} == {
        "fnames": (),
        "shapes": (10,),
        "poses": (72,),
        "genders": (),
        "joints2D": (17, 3),
        "cam_trans": (3,),
        "bbox_centres": (2,),
        "bbox_whs": (),
    }
    assert {labels[key].dtype for key in labels if key not in ("fnames", "genders")} == {np.dtype(np.float32)}
    assert set(labels["genders"]) == {"m", "f"}
    people = {person.frame: person for person in truth.people}
    betas: dict[str, np.ndarray] = {}
    far = 0
    for row, name in enumerate(labels["fnames"]):
        person = people[Path(name).stem]
        assert person.sequence == name.split("_frame_")[0]
        group = betas.setdefault(person.sequence, labels["shapes"][row])
        np.testing.assert_array_equal(group, labels["shapes"][row])
        model = standin.get("smpl", {"m": "male", "f": "female"}[labels["genders"][row]])
        vertices = mesh(model, labels["poses"][row], labels["shapes"][row], labels["cam_trans"][row])
        assert_same(vertices, person)
        pixels = 5000 * vertices[:, :2] / vertices[:, 2:] + 256
        y, x = labels["bbox_centres"][row]
        np.testing.assert_allclose((pixels.min(0) + pixels.max(0)) / 2, (x, y), atol=1)
        far += abs(x - y) > 30
        mask = np.asarray(open_picture(root, f"silhouettes/{name}"))
        assert mask.shape == (512, 512)
        assert open_picture(root, f"images/{name}").size == (512, 512)
        rows, columns = np.nonzero(mask)
        assert abs(columns.min() - pixels[:, 0].min()) < 3
        assert abs(rows.max() - pixels[:, 1].max()) < 3
    assert len(betas) >= 2
    assert far >= len(people) // 3, "a box read as (column, row) would not show"


def test_spec_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("spec")
    model, focal_shapes, scenes = standin.get("smpl", "neutral"), [], 0
    for split, path in (
        ("train", "spec-syn/annotations/train.npz"),
        ("test", "spec-syn/annotations/test.npz"),
        ("mtp_test", "spec-mtp/annotations/test.npz"),
    ):
        labels = np.load(root / path)
        people = {person.person: person for person in truth.people if person.split == split}
        count = len(labels["imgname"])
        assert len(people) == count
        focal_shapes.append(labels["focal_length"].shape[1:])
        assert ("pose" in labels) == (split != "test")
        assert ("pose_0yaw_inverseyz" in labels) == (split != "mtp_test")
        assert {key: labels[key].shape for key in ("openpose_gt", "part", "S", "cam_rotmat", "cam_int")} == {
            "openpose_gt": (count, 25, 3),
            "part": (count, 24, 3),
            "S": (count, 24, 4),
            "cam_rotmat": (count, 3, 3),
            "cam_int": (count, 3, 3),
        }
        for row in range(count):
            person = people[str(row)]
            assert person.image_path == f"{path.split('/')[0]}/{labels['imgname'][row]}"
            if split != "mtp_test":
                assert person.image_size_px == (1920, 1080)
            pose = labels["pose" if split == "train" else "pose_0yaw_inverseyz" if split == "test" else "pose_cam"][row]
            rotmat = np.eye(3) if split == "mtp_test" else labels["cam_rotmat"][row]
            pitch, roll = labels["cam_pitch"][row], labels["cam_roll"][row]
            built = Rotation.from_euler("z", roll) * Rotation.from_euler("x", pitch)
            np.testing.assert_allclose(built.as_matrix(), labels["cam_rotmat"][row], atol=1e-6)
            turned = pose.reshape(24, 3).astype(float)
            turned[0] = (Rotation.from_matrix(rotmat) * Rotation.from_rotvec(turned[0])).as_rotvec()
            vertices = mesh(model, turned, labels["shape"][row], np.zeros(3))
            transl = (person.vertices_cam_m - vertices).mean(0)
            assert_same(vertices + transl, person)
            scenes += np.abs(transl - labels["cam_trans"][row]).max() > 0.5
            assert not np.allclose(labels["camcalib_f_pix"][row], person.focal_px)
            if person.is_kept:
                at = [person.joint_names.index(name) for name in ("neck", "right_wrist", "left_hip", "left_ankle")]
                points = labels["openpose_gt"][row][[1, 4, 12, 14], :2]
                np.testing.assert_allclose(points, person.joints_px[at], atol=1e-3)
        shown = set(labels["imgname"])
        for name in shown:
            rows = labels["imgname"] == name
            assert len(np.unique(labels["cam_trans"][rows], axis=0)) == 1
    assert focal_shapes == [(), (1,), (2,)]
    assert scenes > 8
    assert {person.reject_hint for person in truth.people} == {"", "no-transl"}


class OnCpu(pickle.Unpickler):
    """Opens the project's own pickles; what lay on a GPU comes to the CPU."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return lambda data: torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
        return super().find_class(module, name)


def test_mtp_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("mtp")
    splits, meta = load(root / "train_val_split.json"), load(root / "subject_meta.json")
    devices, choices, floored, hints = set(), set(), 0, set()
    for person in of_form(truth, "smplx").values():
        stem = person.frame
        _, subset, pose_id, _ = stem.split("_")
        assert stem in splits[person.split]
        assert subset == person.sequence
        assert (root / f"presented_pose/params/{subset}/{pose_id}.npz").is_file()
        assert (root / person.image_path).is_file() == (person.reject_hint != "image-missing")
        found = load(root / f"keypoints/openpose/{subset}/{stem}.json")["people"]
        assert (not found) == (person.reject_hint == "no-detection")
        knee = person.joints_px[person.joint_names.index("left_knee")]
        near = [
            np.abs(np.reshape(one["pose_keypoints_2d"], (25, 3))[13, :2] - knee).max() < 8
            for one in found
            if one["pose_keypoints_2d"][3 * 13 + 2] > 0
        ]
        choices |= {tuple(near)}
        hints.add(person.reject_hint)
        path = root / f"smplify-xmc/smplx/params/{subset}/{stem}.pkl"
        assert path.is_file() == (person.reject_hint != "no-fit")
        if not path.is_file():
            continue
        data = path.read_bytes()
        devices |= {device for device in (b"cuda:0", b"cpu") if device in data}
        fit = OnCpu(io.BytesIO(data)).load()
        assert isinstance(fit["focal_length_x"], torch.nn.Parameter)
        gender = meta[stem]["SubjectGender"]
        assert gender == person.gender
        model = standin.get("smplx", gender)
        assert not fit["transl"].any()
        hands = [
            fit[f"{side}_hand_pose"][0] @ model.hand_components[k][:12] + model.hand_mean_aa[k].ravel()
            for k, side in enumerate(("left", "right"))
        ]
        head = [fit[name][0] for name in ("jaw_pose", "leye_pose", "reye_pose")]
        rows = np.concatenate([fit["global_orient"][0], fit["body_pose"][0], *head, *hands])
        vertices = mesh(model, rows, fit["betas"][0], np.zeros(3))
        np.testing.assert_allclose(vertices, fit["vertices"], atol=1e-5)
        rotmat, offset = fit["camera_rotation"][0].astype(float), fit["camera_translation"][0].astype(float)
        assert_same(vertices @ rotmat.T + offset, person)
        pitch, yaw, roll = (
            Rotation.from_euler(axis, fit[f"camera_{name}"].item())
            for axis, name in zip("xyz", ("pitch", "yaw", "roll"), strict=True)
        )
        np.testing.assert_allclose((roll * yaw * pitch).as_matrix(), rotmat, atol=1e-5)
        centre = fit["camera_center"].numpy()[0]
        assert centre[1] == 250
        width, height = person.image_size_px
        assert centre[0] == (width * 500 // height) / 2
        floored += bool(width * 500 % height)
        np.testing.assert_allclose(centre * height / 500, person.principal_point_px)
        np.testing.assert_allclose(fit["focal_length_x"].item() * height / 500, person.focal_px[0], rtol=1e-6)
        copy = pickle.loads((root / f"smplify-xmc/smpl/params/{subset}/{stem}.pkl").read_bytes())
        assert {key: (value.shape, value.dtype.name) for key, value in copy.items()} == {
            "pose": ((72,), "float64"),
            "betas": ((10,), "float64"),
        }
        smpl = next(p for p in truth.people if p.form == "smpl" and p.frame == stem)
        unplaced = mesh(standin.get("smpl", "neutral"), copy["pose"], copy["betas"], np.zeros(3)) @ rotmat.T
        assert_same(unplaced + (smpl.vertices_cam_m - unplaced).mean(0), smpl)
    assert devices == {b"cuda:0", b"cpu"}
    assert (False, True) in choices, "nobody else comes first"
    assert hints == {"", "no-detection", "no-fit", "image-missing"}
    assert floored


def assert_points(points: np.ndarray, person: Any) -> None:
    """(25, 3): the heels come first, the ankles last."""
    for row, name in ((0, "right_heel"), (5, "left_heel"), (1, "right_knee"), (23, "left_ankle"), (24, "right_ankle")):
        if points[row, 2] > 0:
            true = person.joints_px[person.joint_names.index(name)]
            assert np.abs(points[row, :2] - true).max() < 8, (person.identity, name)


def test_instavariety_neuralannot(miniature: Any, standin: Any) -> None:
    root, truth = miniature("instavariety")
    people = {person.person: person for person in of_form(truth, "neuralannot").values()}
    table = joblib.load(root / "annotations/insta_train_db.pt")
    fits = load(root / "annotations/InstaVariety_train_SMPL_NeuralAnnot.json")
    assert len(table["ann_id"]) == len(people)
    for ann_id, name, shape, box, points in zip(*(table[key] for key in table), strict=True):
        person = people[str(ann_id)]
        assert person.image_path == f"images/{name}"
        assert person.frame == name[-10:-4]
        assert person.sequence == name[:-11]
        assert tuple(shape) == (224, 224) == person.image_size_px
        assert box.shape == (4,)
        assert_points(points, person)
        assert (str(ann_id) in fits) == person.has_body
        if person.has_body:
            fit, camera = fits[str(ann_id)]["smpl_param"], fits[str(ann_id)]["cam_param"]
            assert_same(mesh(standin.get("smpl", "neutral"), fit["pose"], fit["shape"], fit["trans"]), person)
            np.testing.assert_allclose(camera["focal"], person.focal_px)
            np.testing.assert_allclose(camera["princpt"], person.principal_point_px)
    assert {person.has_body for person in people.values()} == {True, False}


def test_instavariety_tfrecords_and_vibe(miniature: Any) -> None:
    root, truth = miniature("instavariety")
    people, spellings = of_form(truth, "tfrecord"), set()
    found, seen = {}, 0
    for split in ("train", "test"):
        (path,) = (root / "insta_variety" / split).glob("*.tfrecord")
        for number, tube in enumerate(tfrecord_examples(path)):
            (count,) = tube["meta/N"]
            spellings |= {name for name in tube if "phi" in name or "toe" in name}
            toes = tube.get("image/toe_pts", tube.get("image/toes_pts"))
            assert len(tube["image/filenames"]) > count == len(tube["image/encoded"])
            heads = np.concatenate(
                [np.reshape(tube["image/xys"], (count, 2, 14)), np.reshape(tube["image/visibilities"], (count, 1, 14))],
                1,
            )
            rest = np.reshape(tube["image/face_pts"], (count, 3, 5)), np.reshape(toes, (count, 3, 6))
            rows = np.concatenate([heads, *rest], 2).transpose(0, 2, 1)
            if any("phi" in name for name in tube):
                assert np.abs(rows[..., :2]).max() <= 1
                rows[..., :2] = (rows[..., :2] + 1) / 2 * 224
            for index in range(count):
                person = people[split, f"{path.stem}/{number}", str(index), "0"]
                assert_points(rows[index], person)
                assert person.image_size_px == ((224, 224) if split == "train" else (300, 300))
                found[person.image_path] = rows[index]
                seen += 1
    assert seen == len(people)
    assert spellings == {"image/phis", "image/phi", "image/toe_pts", "image/toes_pts"}

    with h5py.File(root / "insta_train_db.h5") as file:
        table = {name: file[name][()] for name in file}
    vibe = of_form(truth, "vibe")
    assert len(table["vid_name"]) == len(vibe)
    assert table["joints2D"].shape[1:] == (25, 3)
    assert table["features"].shape[1:] == (2048,)
    for name, index, points in zip(table["vid_name"], table["frame_id"], table["joints2D"], strict=True):
        person = vibe["train", name.decode(), str(index), "0"]
        assert_points(points, person)
        if person.is_kept:
            np.testing.assert_allclose(points, found[person.image_path], atol=1e-3)
        else:
            assert not (root / person.image_path.partition("!")[0]).exists()


def test_instavariety_tracks(miniature: Any) -> None:
    root, truth = miniature("instavariety")
    people = of_form(truth, "tracks")
    lists = {split: (root / f"insta_variety_{split}.txt").read_text().split("\n") for split in ("train", "test")}
    folders = {"/".join(path.parts[-4:-2]) for path in (root / "InstaVariety_tracks").glob("*/*/*/*.json")}
    assert set(lists["train"]) - folders, "every listed video is there"
    assert folders - set(lists["train"] + lists["test"]), "every video is listed"
    for (split, sequence, frame, _), person in people.items():
        tag, video, track = sequence.split("/")
        assert f"{tag}/{video}" in lists[split]
        entry = load(root / "InstaVariety_tracks" / sequence / f"{int(frame):06d}.json")
        assert entry["frame"] == int(frame)
        assert entry["imloc"] == f"frame{int(frame) + 1:06d}.jpg"
        assert entry["track_id"] == int(track)
        assert "Head" not in entry
        assert (root / person.image_path).is_file() == person.is_kept
        rows = np.zeros((25, 3))
        for row, name in ((0, "R Heel"), (5, "L Heel"), (1, "R Knee"), (23, "L Ankle"), (24, "R Ankle")):
            rows[row] = entry[name]["x"], entry[name]["y"], entry[name]["logits"] >= 0.1
        assert_points(rows, person)
    assert {split for split, *_ in people} == {"train", "test"}
