"""Each miniature has the files, keys, shapes and dtypes of its official layout, and its parameters give its truth.

The files are opened with the plain libraries of their formats, and placed in the camera by the formulas of the
datasets' own descriptions, so that this does not rest on any reader.
"""

from __future__ import annotations

import io
import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from open_picture import open_picture
from PIL import Image
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyBatch
from harmonize.miniatures import MINIATURES, Truth
from harmonize.miniatures.lenses import bent
from harmonize.miniatures.points import is_inside
from harmonize.render import rasterise

SAME_MM = 0.02
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP"}
WHOLEBODY = {"keypoints": 51, "foot_kpts": 18, "face_kpts": 204, "lefthand_kpts": 63, "righthand_kpts": 63}
CAMERA_COLUMNS = "name,x,y,z,yaw,pitch,roll,focal_length,sensor_width,sensor_height,hfov"
FOCAL_MM = {"hdri": (50, 0), "cam00": (18, 30), "cam02": (18, 30), "ag2": (28, 15), "forest": (28, 0)}
"""Part of AGORA's picture names: focal length in mm, and pitch."""
SMPLX_PARAMETERS = {
    "root_pose": 3,
    "body_pose": 63,
    "lhand_pose": 45,
    "rhand_pose": 45,
    "jaw_pose": 3,
    "shape": 10,
    "expr": 10,
    "trans": 3,
}


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def smplx_mesh(model: Any, rows: list[Any], betas: Any, transl: Any, expression: Any, kid: float = 0.0) -> np.ndarray:
    """rows: global, body, jaw, left eye, right eye, left hand, right hand, absolute."""
    pose = np.concatenate([np.asarray(row, np.float32).reshape(-1, 3) for row in rows])
    batch = BodyBatch(
        pose_aa=pose[None],
        betas=np.asarray(betas, np.float32)[None],
        transl_m=np.asarray(transl, np.float32)[None],
        expression=np.asarray(expression, np.float32)[None],
        kid_weight=np.array([kid], np.float32) if kid else None,
    )
    return np.asarray(model.vertices(batch)[0], np.float64)


def neuralannot_mesh(standin: Any, fit: dict[str, Any]) -> np.ndarray:
    model, p = standin.get("smplx", "neutral"), fit["smplx_param"]
    left, right = (
        np.reshape(p[key], (15, 3)) + model.hand_mean_aa[k] for k, key in enumerate(("lhand_pose", "rhand_pose"))
    )
    eyes = np.zeros((2, 3))
    rows = [p["root_pose"], p["body_pose"], p["jaw_pose"], eyes, left, right]
    return smplx_mesh(model, rows, p["shape"], p["trans"], p["expr"])


def assert_same(mesh: np.ndarray, person: Any) -> None:
    assert 1000 * np.abs(mesh - person.vertices_cam_m).max() < SAME_MM, person.identity


@pytest.mark.parametrize("name", sorted(MINIATURES))
def test_truth_is_consistent_and_in_the_picture(name: str, miniature: Any) -> None:
    root, truth = miniature(name)
    assert truth.dataset == name
    assert 8 <= len(truth.people) <= 100
    assert len({person.identity for person in truth.people}) == len(truth.people)
    shares = []
    for person in truth.people:
        assert person.is_kept == (not person.reject_hint)
        assert person.joints_cam_m.shape == (len(person.joint_names), 3)
        is_egocentric = "egocentric" in person.note
        assert is_egocentric or person.vertices_cam_m[:, 2].min() > 0.5
        seen = bent(person.joints_cam_m, person.distortion)
        pixels = seen[:, :2] / seen[:, 2:] * person.focal_px + person.principal_point_px
        has_picture = np.isfinite(person.joints_px).all(1)  # of an egocentric body, those beyond the lens have none
        assert has_picture.mean() > (0.2 if is_egocentric else 0.999)
        np.testing.assert_allclose(pixels[has_picture], person.joints_px[has_picture], atol=1e-6)
        if person.reject_hint not in ("image-missing", "video-short"):
            picture = open_picture(root, person.image_path)
            assert sorted(picture.size) == sorted(person.image_size_px)
            suffix = Path(person.image_path).suffix.lower()
            assert suffix not in FORMATS or picture.format == FORMATS[suffix]
        if person.is_kept and not is_egocentric:
            head = person.joints_px[person.joint_names.index("head")]
            pelvis = person.joints_px[person.joint_names.index("pelvis")]
            assert head[1] < pelvis[1], "upside down"
            shares.append(is_inside(person.joints_px, person.image_size_px).mean())
    assert np.mean(shares) > 0.8
    assert min(shares) > 0.4


@pytest.mark.parametrize("name", sorted(MINIATURES))
def test_the_picture_shows_people_where_the_truth_says(name: str, miniature: Any, standin: Any) -> None:
    """The picture has edges along the outlines of the true meshes, and not where mirrored or shifted ones would be."""
    root, truth = miniature(name)
    there, mirrored, shifted = [], [], []
    people = [person for person in truth.people if person.is_kept]
    for person in people[:: max(1, len(people) // 8)]:
        pixels = np.asarray(open_picture(root, person.image_path).convert("L"), float)
        if pixels.shape != person.image_size_px[::-1]:
            pixels = np.rot90(pixels, -1)  # lying portrait pictures come upright by a quarter turn clockwise
        if "mirrored" in person.note:
            pixels = pixels[:, ::-1]
        gradient = np.maximum(np.abs(np.diff(pixels, axis=0))[:, :-1], np.abs(np.diff(pixels, axis=1))[:-1])
        faces = standin.get(person.kind, person.gender).faces
        mesh = bent(person.vertices_cam_m, person.distortion)
        seen = rasterise(mesh, faces, person.focal_px, person.principal_point_px, person.image_size_px)
        body = (seen.face >= 0)[:-1, :-1]
        outline = body & ~(np.roll(body, 1, 0) & np.roll(body, -1, 0) & np.roll(body, 1, 1) & np.roll(body, -1, 1))
        there.append(gradient[outline].mean())
        mirrored.append(gradient[:, ::-1][outline].mean())
        shifted.append(gradient[np.roll(outline, (6, 6), (0, 1))].mean())
    assert np.mean(there) > 2 * np.mean(mirrored)
    assert np.mean(there) > 2 * np.mean(shifted)


def test_mscoco_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("mscoco")
    train, val = (load(root / f"annotations/coco_wholebody_{split}_v1.0.json") for split in ("train", "val"))
    fits = load(root / "annotations/MSCOCO_train_SMPLX_all_NeuralAnnot.json")
    assert set(train) == {"info", "licenses", "images", "annotations", "categories"}
    by_id = {annotation["id"]: annotation for annotation in train["annotations"]}
    for annotation in train["annotations"] + val["annotations"]:
        assert {key: len(annotation[key]) for key in WHOLEBODY} == WHOLEBODY
        assert len(annotation["bbox"]) == 4
        assert all(isinstance(annotation[f"{part}_valid"], bool) for part in ("face", "lefthand", "righthand", "foot"))
        assert all(isinstance(value, int) for value in annotation["keypoints"])
    crowd = [annotation for annotation in by_id.values() if annotation["iscrowd"]]
    assert crowd
    assert sum(crowd[0]["segmentation"]["counts"]) == np.prod(crowd[0]["segmentation"]["size"])
    assert any(a["num_keypoints"] == 0 and not a["iscrowd"] for a in by_id.values())
    assert any(0 < v < 1 for a in by_id.values() for v in a["lefthand_kpts"][2::3])
    assert any("lhand_valid" in fit["smplx_param"] for fit in fits.values())
    assert any("lhand_valid" not in fit["smplx_param"] for fit in fits.values())
    assert Counter(person.reject_hint for person in truth.people).keys() == {"", "crowd", "no-keypoints", "empty-box"}
    for person in truth.people:
        if person.form != "neuralannot":
            continue
        assert person.has_body == (person.person in fits)
        if person.has_body:
            fit = fits[person.person]
            lengths = {k: len(v) for k, v in fit["smplx_param"].items() if not k.endswith("_valid")}
            assert lengths == SMPLX_PARAMETERS
            assert fit["cam_param"]["focal"][0] > 5000
            assert 10 < fit["smplx_param"]["trans"][2] < 200
            assert_same(neuralannot_mesh(standin, fit), person)
            labelled = np.reshape(by_id[int(person.person)]["keypoints"], (17, 3))
            nose = person.joints_px[person.joint_names.index("nose")]
            assert not labelled[0, 2] or np.abs(labelled[0, :2] - nose).max() < 4


def test_pw3d_pickles(miniature: Any, standin: Any) -> None:
    root, truth = miniature("pw3d")
    lengths = set()
    for path in root.glob("sequenceFiles/*/*.pkl"):
        with pytest.raises(UnicodeDecodeError):
            pickle.loads(path.read_bytes())
        data = pickle.loads(path.read_bytes(), encoding="latin1")
        frames, tracks = len(data["img_frame_ids"]), len(data["genders"])
        assert data["cam_poses"].shape == (frames, 4, 4)
        assert data["cam_intrinsics"].shape == (3, 3)
        assert data["sequence"] == path.stem
        for key, shape in (
            ("poses", (frames, 72)),
            ("trans", (frames, 3)),
            ("jointPositions", (frames, 72)),
            ("poses2d", (frames, 3, 18)),
            ("campose_valid", (frames,)),
        ):
            assert [values.shape for values in data[key]] == [shape] * tracks
        lengths |= {len(betas) for betas in data["betas"]}
        for person in truth.people:
            if (person.form, person.sequence) != ("pickle", path.stem):
                continue
            track, frame = int(person.person), int(person.frame)
            model = standin.get("smpl", {"m": "male", "f": "female"}[data["genders"][track]])
            batch = BodyBatch(
                pose_aa=data["poses"][track][[frame]].reshape(1, 24, 3),
                betas=data["betas"][track][None, :10],
                transl_m=data["trans"][track][[frame]],
            )
            to_cam = data["cam_poses"][frame]
            assert_same(model.vertices(batch)[0] @ to_cam[:3, :3].T + to_cam[:3, 3], person)
            detected = data["poses2d"][track][frame].T
            nose = person.joints_px[person.joint_names.index("nose")]
            assert not detected[0, 2] or np.abs(detected[0, :2] - nose).max() < 5
    assert lengths == {10, 300}
    assert {person.image_size_px for person in truth.people} == {(640, 360), (360, 640)}
    hints = Counter(person.reject_hint for person in truth.people if person.form == "pickle")
    assert hints["camera-misaligned"] >= 1
    assert hints["no-detection"] >= 1


def test_pw3d_jsons(miniature: Any, standin: Any) -> None:
    root, truth = miniature("pw3d")
    people = iter([person for person in truth.people if person.form == "json"])
    next_id, notes = 0, 0
    for split in ("train", "validation", "test"):
        parsed = load(root / f"3DPW_{split}.json")
        assert all(("file_name" in image) == (split != "validation") for image in parsed["images"])
        for annotation in parsed["annotations"]:
            person = next(people)
            assert annotation["id"] == next_id
            next_id += 1
            p = annotation["smpl_param"]
            batch = BodyBatch(
                pose_aa=np.reshape(p["pose"], (1, 24, 3)),
                betas=np.array([p["shape"]]),
                transl_m=np.array([p["trans"]]),
            )
            model = standin.get("smpl", p["gender"])
            pelvis_gap = np.array(annotation["joint_cam"][0]) - model.joints(batch)[0, 0]
            assert (1000 * np.abs(pelvis_gap).max() > 0.5) == bool(person.note)
            assert_same(model.vertices(batch)[0] + pelvis_gap, person)
            notes += bool(person.note)
    assert notes == next_id // 2
    assert next(people, None) is None


def test_pw3d_neuralannot(miniature: Any, standin: Any) -> None:
    root, truth = miniature("pw3d")
    model = standin.get("smplx", "neutral")
    people = {person.identity[1:]: person for person in truth.people if person.form == "neuralannot"}
    num_missing = 0
    for split in ("train", "validation", "test"):
        parsed, fits = load(root / f"3DPW_{split}.json"), load(root / f"3DPW_{split}_SMPLX_NeuralAnnot.json")
        images = {image["id"]: image for image in parsed["images"]}
        assert set(fits) <= {str(annotation["id"]) for annotation in parsed["annotations"]}
        for annotation in parsed["annotations"]:
            image = images[annotation["image_id"]]
            frame = f"{image['frame_idx']:05d}"
            person = people.pop((split, image["sequence"], frame, str(annotation["person_id"])))
            assert (person.kind, person.gender) == ("smplx", "neutral")
            fit = fits.get(str(annotation["id"]))
            assert person.is_kept
            assert (fit is not None) == person.has_body
            num_missing += fit is None
            if fit is None:
                continue
            assert {k: len(v) for k, v in fit.items()} == {"root_pose": 3, "body_pose": 63, "shape": 10, "trans": 3}
            rows = [fit["root_pose"], fit["body_pose"], np.zeros((3, 3)), model.hand_mean_aa.reshape(30, 3)]
            assert_same(smplx_mesh(model, rows, fit["shape"], fit["trans"], np.zeros(10)), person)
            hip = person.joints_px[person.joint_names.index("left_hip")]
            assert np.abs(hip - annotation["joint_img"][1]).max() < 10
    assert not people
    assert num_missing == 1


def test_agora_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("agora")
    seen, worst = set(), []
    people = {(*person.identity[3:], person.split): person for person in truth.people if person.form == "smplx"}
    for path in sorted((root / "SMPLX").glob("*_withjv.pkl")):
        table = pd.read_pickle(path)
        plain = pd.read_pickle(root / "Cam" / path.name.replace("_withjv", ""))
        assert set(table.columns) - set(plain.columns) == {"gt_joints_2d", "gt_joints_3d", "gt_verts"}
        assert {dtype.name for dtype in table.dtypes} == {"object"}
        for _, row in table.iterrows():
            token = next(token for token in FOCAL_MM if token in row["imgPath"])
            seen.add(token)
            for number in range(len(row["X"])):
                person = people[row["imgPath"].removesuffix(".png"), str(number), path.name.split("_")[0]]
                assert row["isValid"][number] is (row["occlusion"][number] <= 90) is person.is_kept
                kid, gender = row["kid"][number], row["gender"][number]
                assert person.gender == ("neutral" if kid and gender == "female" else gender)
                assert np.shape(row["gt_joints_2d"][number]) == (127, 2)
                np.testing.assert_allclose(row["gt_joints_2d"][number] / 3, person.joints_px[:127], atol=1e-6)
                mesh, transl = agora_mesh(root, standin, row, number, person.gender, *FOCAL_MM[token])
                assert_same(mesh, person)
                refit, _ = agora_mesh(
                    root, standin, row, number, "neutral", *FOCAL_MM[token], "smplx_gt_neutral_gender"
                )
                worst.append(1000 * np.linalg.norm(refit - mesh, axis=1).mean())
                assert transl.shape == (1, 3)
    assert seen == set(FOCAL_MM)
    assert 0.0 < max(worst) < 15.0
    assert {person.reject_hint for person in truth.people} == {"", "invalid"}


def test_agora_smpl(miniature: Any, standin: Any) -> None:
    root, truth = miniature("agora")
    people = {(*person.identity[3:], person.split): person for person in truth.people if person.form == "smpl"}
    num_betas = set()
    for path in sorted((root / "SMPL").glob("*_withjv.pkl")):
        table, other = pd.read_pickle(path), pd.read_pickle(root / "SMPLX" / path.name)
        for (_, row), (_, same) in zip(table.iterrows(), other.iterrows(), strict=True):
            assert list(row.index) == list(same.index)
            assert row["imgPath"] == same["imgPath"]
            token = next(token for token in FOCAL_MM if token in row["imgPath"])
            for number in range(len(row["X"])):
                person = people.pop((row["imgPath"].removesuffix(".png"), str(number), path.name.split("_")[0]))
                assert (person.kind, person.gender) == ("smpl", "neutral")
                data = (root / row["gt_path_smpl"][number].replace(".obj", ".pkl")).read_bytes()
                assert (b"cuda:0" in data) == bool(number % 2)
                fit = {key: tensor.numpy() for key, tensor in torch_pickle(data).items()}
                kid = row["kid"][number]
                num_betas.add((kid, fit["betas"].shape[1]))
                batch = BodyBatch(
                    pose_aa=np.concatenate([fit["root_pose"], fit["body_pose"]], 1).reshape(1, 24, 3),
                    betas=fit["betas"][:, :10],
                    transl_m=fit["translation"],
                    kid_weight=fit["betas"][:, 10] if kid else None,
                )
                local = np.asarray(standin.get("smpl", "neutral").vertices(batch)[0], np.float64)
                mesh = agora_placed(row, number, local, FOCAL_MM[token][1])
                assert_same(mesh, person)
                np.testing.assert_allclose(row["gt_verts"][number], mesh, atol=1e-4)
                assert np.shape(row["gt_joints_3d"][number]) == (45, 3)
                np.testing.assert_allclose(row["gt_joints_2d"][number] / 3, person.joints_px, atol=1e-6)
    assert not people
    assert num_betas == {(True, 11), (False, 10), (False, 11)}


def torch_pickle(data: bytes) -> Any:
    """What `torch.load` makes of a plain pickle of tensors on a machine without their GPU."""

    class OnCpu(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) == ("torch.storage", "_load_from_bytes"):
                return lambda stored: torch.load(io.BytesIO(stored), map_location="cpu", weights_only=False)
            return super().find_class(module, name)

    return OnCpu(io.BytesIO(data)).load()


def agora_mesh(
    root: Path, standin: Any, row: Any, number: int, gender: Any, f_mm: float, pitch: float, family: str = "smplx_gt"
) -> tuple[np.ndarray, np.ndarray]:
    """The mesh in the camera by the formula x_cam = A x_local + b of AGORA's projection code."""
    stated = row["gt_path_smplx"][number].replace("smplx_gt", family).replace(".obj", ".pkl")
    fit = pickle.loads((root / stated).read_bytes())
    model = standin.get("smplx", gender)
    kid = row["kid"][number]
    assert fit["betas"].shape[1] in ((11,) if kid else (10, 11))
    hands = [
        fit[f"{side}_hand_pose"].reshape(15, 3) + model.hand_mean_aa[k] for k, side in enumerate(("left", "right"))
    ]
    head = [fit[name] for name in ("global_orient", "body_pose", "jaw_pose", "leye_pose", "reye_pose")]
    weight = float(fit["betas"][0, 10]) if kid else 0.0
    local = smplx_mesh(model, [*head, *hands], fit["betas"][0, :10], fit["transl"][0], fit["expression"][0], weight)
    return agora_placed(row, number, local, pitch), fit["transl"]


def agora_placed(row: Any, number: int, local: np.ndarray, pitch: float) -> np.ndarray:
    """Points of a scan's own frame, in the camera."""
    name = row["imgPath"]
    if "cam00" in name:
        position, yaw, ground = (400, -275, 265), 135, 0.0
    elif "cam02" in name:
        position, yaw, ground = (-490, 170, 265), -45, 0.0
    elif "forest" in name:
        position, yaw, ground = (row["camX"], row["camY"], row["camZ"]), row["camYaw"], -1.7
    else:
        position, yaw, ground = (0, 0, 170), 0, 0.0
    x, y, z = position
    camera = np.array([y, -z, x]) / 100 + (0, ground, 0)
    place = np.array([row["Y"][number], -row["Z"][number], row["X"][number]]) / 100
    to_cam = Rotation.from_euler("x", pitch, degrees=True) * Rotation.from_euler("y", -yaw, degrees=True)
    turn = to_cam * Rotation.from_euler("y", row["Yaw"][number] - 90, degrees=True)
    return np.asarray(local @ np.diag([1.0, -1, -1]) @ turn.as_matrix().T + to_cam.apply(place - camera))


def test_bedlam_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("bedlam")
    model = standin.get("smplx", "neutral")
    shapes = {
        "center": (2,),
        "scale": (),
        "pose_cam": (165,),
        "pose_world": (165,),
        "shape": (11,),
        "trans_cam": (3,),
        "trans_world": (3,),
        "gtkps": (127, 3),
        "cam_int": (3, 3),
        "cam_ext": (4, 4),
        "proj_verts": (437, 3),
        "imgname": (),
        "gender": (),
    }
    people = {(person.sequence, person.person): person for person in truth.people if person.form == "npz"}
    offsets, portraits = [], 0
    for path in (root / "all_npz_12_training").glob("*.npz"):
        data = np.load(path)
        assert {key: data[key].shape[1:] for key in shapes} == shapes
        assert {str(gender) for gender in data["gender"]} <= {"m", "f"}
        assert len(set(data["imgname"])) < len(data["imgname"]) or "closeup" in path.stem
        for row in range(len(data["imgname"])):
            person = people[f"{path.stem}/{data['imgname'][row].split('/')[0]}", str(row)]
            pose, moved = data["pose_cam"][row], data["trans_cam"][row] + data["cam_ext"][row, :3, 3]
            mesh = smplx_mesh(model, [pose], data["shape"][row], moved, np.zeros(10))
            assert_same(mesh, person)
            world = smplx_mesh(
                model, [data["pose_world"][row]], data["shape"][row], data["trans_world"][row], np.zeros(10)
            )
            assert_same(world @ data["cam_ext"][row, :3, :3].T + data["cam_ext"][row, :3, 3], person)
            np.testing.assert_allclose(data["gtkps"][row, :, :2], person.joints_px[:127], atol=0.01)
            assert (data["gtkps"][row, :, 2] == 1).all()
            is_portrait = data["cam_int"][row, 0, 2] == 360
            assert is_portrait == (person.image_size_px == (720, 1280))
            portraits += is_portrait
            offsets.append(tuple(data["cam_ext"][row, :3, 3]))
            with Image.open(root / person.image_path) as picture:
                assert picture.size == (1280, 720)
    assert len(set(offsets)) == len(offsets), "the camera offset is each person's own"
    assert portraits >= 1
    labels = {path.stem for path in (root / "all_npz_12_training").iterdir()}
    pictures = {path.name for path in (root / "training_images").iterdir()}
    assert len(labels - pictures) == len(pictures - labels) == 1, "one job is spelled in two ways"


def test_bedlam_raw_release(miniature: Any, standin: Any) -> None:
    root, truth = miniature("bedlam")
    people = {person.identity[2:]: person for person in truth.people if person.form == "csv"}
    starts, hints, sizes, videos = set(), Counter[str](), Counter[tuple[int, int]](), 0
    for table in root.glob("*/be_seq.csv"):
        job = table.parent
        rows = pd.read_csv(table)
        assert ",".join(rows.columns) == "Index,Type,Body,X,Y,Z,Yaw,Pitch,Roll,Comment"
        assert list(rows["Type"])[:2] == ["Comment", "Group"]
        for _, row in rows.iterrows():
            stated = dict(part.split("=") for part in row["Comment"].split(";"))
            if row["Type"] == "Group":
                sequence, body = stated["sequence_name"], 0
                cameras = pd.read_csv(job / f"ground_truth/camera/{sequence}_camera.csv")
                assert ",".join(cameras.columns) == CAMERA_COLUMNS
                assert len(cameras) == int(stated["frames"])
                continue
            if row["Type"] == "Comment":
                continue
            subject, _, motion = row["Body"].rpartition("_")
            data = np.load(root / "neutral_ground_truth_motioninfo" / subject / motion / "motion_seq.npz")
            assert (data["poses"].shape[1:], data["trans"].shape[1:], data["betas"].shape) == ((165,), (3,), (11,))
            assert str(data["gender"]) == "neutral"
            assert str(data["gender_sub"]) in ("f", "m")
            start = int(stated["start_frame"])
            starts.add((row["Body"], start))
            assert start > 0
            assert start + len(cameras) <= len(data["poses"])
            for frame, camera in cameras.iterrows():
                person = people.pop((f"{job.name}/{sequence}", f"{frame:04d}", str(body)))
                assert camera["name"] == f"{sequence}_{frame:04d}.png"
                pose, betas, transl = data["poses"][start + frame], data["betas"], data["trans"][start + frame]
                local = smplx_mesh(standin.get("smplx", "neutral"), [pose], betas, transl, np.zeros(10))
                is_portrait = person.image_size_px == (720, 1280)
                mesh, focal = bedlam_placed(local, row, camera, is_portrait)
                assert_same(mesh, person)
                np.testing.assert_allclose(focal, person.focal_px)
                picture = open_picture(root, person.image_path)
                assert picture.size == (1280, 720)
                videos += "#" in person.image_path
                hints[person.reject_hint] += 1
                sizes[person.image_size_px] += 1
                inside = is_inside(person.joints_px[:22], person.image_size_px).sum()
                assert inside == 0 if person.reject_hint else inside >= 12
            body += 1
    assert not people
    assert len({body for body, _ in starts}) < len(starts), "a motion is used from two frames on"
    assert hints.keys() == {"", "outside"}
    assert len(sizes) == 2
    assert videos >= 1
    portraits = {p.sequence for p in truth.people if p.form == "csv" and p.image_size_px == (720, 1280)}
    named = {p.sequence for p in truth.people if p.form == "csv" and "closeup" in p.sequence}
    assert portraits < named, "a job's name does not tell how its pictures lie"


def bedlam_placed(local: np.ndarray, row: Any, camera: Any, is_portrait: bool) -> tuple[np.ndarray, np.ndarray]:
    """Points of a motion's frame in the camera, and the focal length in pixels, by the formulas of BEDLAM's own
    processing; portraits are turned by 90 degrees about the optical axis."""

    def cv(unreal: Any) -> np.ndarray:
        return np.roll(np.array(unreal, float) / 100, 2) * (1, -1, 1)

    def turn(axis: str, angle: float) -> np.ndarray:
        return np.asarray(Rotation.from_euler(axis, angle, degrees=True).as_matrix())

    tilt = turn("z", -camera["roll"] + 90 * is_portrait) @ turn("x", -camera["pitch"])
    body = turn("y", row["Yaw"] - 90 - camera["yaw"]) @ np.diag([1.0, -1.0, -1.0])
    away = cv([row[axis] for axis in "XYZ"]) - cv([camera[axis] for axis in "xyz"])
    size, sensor = np.array([1280, 720]), np.array([camera["sensor_width"], camera["sensor_height"]])
    placed = local @ (tilt @ body).T + tilt @ turn("y", -camera["yaw"]) @ away
    return placed, camera["focal_length"] / sensor * size


def test_ubody_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("ubody")
    listed = np.load(root / "splits/intra_scene_test_list.npy")
    assert listed.dtype.kind == "U"
    assert "Interview_S2" in listed
    assert np.load(root / "splits/inter_scene_test_list.npy").dtype.kind == "U"
    hints = Counter((person.split, person.reject_hint) for person in truth.people)
    assert {hint for _, hint in hints} == {"", "image-missing", "invalid", "no-fit"}
    slashes = 0
    for scene in ("Interview", "Movie"):
        keypoints = load(root / f"annotations/{scene}/keypoint_annotation.json")
        fits = load(root / f"annotations/{scene}/smplx_annotation.json")
        images = {image["id"]: image for image in keypoints["images"]}
        people = {p.person: p for p in truth.people if p.sequence.startswith(f"{scene}/")}
        for annotation in keypoints["annotations"]:
            person, name = people[str(annotation["id"])], images[annotation["image_id"]]["file_name"]
            slashes += name.startswith("/")
            assert {key: len(annotation[key]) for key in WHOLEBODY} == WHOLEBODY
            video = name.split("/")[-2]
            is_test = (video.split("_Trim")[0] if "Trim" in video else video) in listed
            assert person.split == ("test" if is_test else "train")
            assert person.image_path == f"images/{scene}/{name.lstrip('/')}"
            assert (root / person.image_path).exists() == (person.reject_hint != "image-missing")
            assert (annotation["valid_label"] == 0) == (person.reject_hint == "invalid")
            assert (str(annotation["id"]) in fits) == (person.reject_hint != "no-fit")
            if str(annotation["id"]) in fits:
                assert_same(neuralannot_mesh(standin, fits[str(annotation["id"])]), person)
        assert any(not annotation["face_valid"] for annotation in keypoints["annotations"])
    assert slashes >= 2


def test_more_people_on_request(tmp_path: Path, standin: Any) -> None:
    for name, kept in (("mscoco", 24), ("pw3d", 32)):
        truth = MINIATURES[name](tmp_path / name, people=kept, models=standin)
        assert isinstance(truth, Truth)
        assert len([p for p in truth.people if p.form != "json" and p.split != "val"]) >= kept


def test_registry_is_sorted() -> None:
    assert list(MINIATURES) == sorted(MINIATURES)
