"""HumanData in miniature: every file has the container's keys, its body gives the truth, its traps are there.

The files are opened with numpy alone. What a file does not say (whether hands hold the mean hand) is written out here.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from open_picture import open_picture

from harmonize.bodies import BodyBatch
from harmonize.keypoints import convention
from harmonize.miniatures import MINIATURES, write_humandata
from harmonize.miniatures.humandata import SETS
from harmonize.render import rasterise

NAMES = tuple(sorted(SETS))
EVERY = convention("human_data_190").names
UNRECORDED_ABSOLUTE = ("arctic", "chi3d", "fit3d", "gta_human2", "humansc3d")
LISTED = {  # one file of each dataset, in its page's words
    "agora": "agora_train_3840_231031_*",
    "arctic": "p1_val",
    "bedlam": "bedlam_train",
    "behave": "behave_test_230516_090_downsampled",
    "chi3d": "CHI3D_train_230511_1492_1",
    "crowdpose": "crowdpose_neural_annot_train_new",
    "dna_rendering": "renbody_test_230525_78_1",
    "dna_rendering_hires": "renbody_train_highrescam_230517_399_1_fix_betas",
    "egobody_egoset": "egobody_egocentric_test_230425_043_fix_betas",
    "egobody_mvset": "egobody_kinect_train_230503_065_fix_betas",
    "ehf": "ehf_val_230807_100",
    "fit3d": "FIT3D_train_230511_1504_5",
    "gta_human2": "gta_human2multiple_230406_04000_0",
    "h36m": "h36m_neural_val_230811_*_subject11",
    "humansc3d": "HumanSC3D_train_230605_2752_2",
    "instavariety": "insta_variety_neural_annot_train",
    "lspet": "eft_lspet",
    "mpi_inf_3dhp": "mpi_inf_3dhp_neural_annot_part3",
    "mpii": "mpii_neural_train_230814_*",
    "mscoco": "mscoco_neural_train_230818_*",
    "mtp": "mtp_smplx_train",
    "muco_3dhp": "muco3dhp_train",
    "ochuman": "eft_ochuman",
    "posetrack": "eft_posetrack",
    "prox": "prox_train_smplx_new",
    "pw3d": "pw3d_neural_val_230821_*",
    "rich": "rich_train_fix_betas",
    "spec": "spec_test_smpl",
    "ssp3d": "ssp3d_230525_311",
    "synbody": "synbody_train_230521_04000_fix_betas",
    "talkshow": "talkshow_smplx_chemistry",
    "ubody": "ubody_intra_train_240409_*_1",
    "up3d": "up3d_trainval",
}


def opened(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=True) as file:
        return {key: value.item() if value.dtype == object and not value.ndim else value for key, value in file.items()}


def files(miniature: Any, name: str) -> list[tuple[str, dict[str, Any], list[Any]]]:
    """Name, content and true people of each HumanData file."""
    root, truth = miniature(name, "humandata")
    found = []
    for file in SETS[name].files:
        path = next(root.rglob(f"{file.stem}.npz"))
        people = [p for p in truth.people if p.sequence.split("/")[0] == file.stem and p.split == file.split]
        found.append((file.stem, opened(path), people))
    return found


def content(miniature: Any, name: str, token: str) -> dict[str, Any]:
    return next(content for stem, content, _ in files(miniature, name) if token in stem)


def test_every_dataset_has_its_files(miniature: Any) -> None:
    assert set(SETS) == set(MINIATURES) == set(LISTED)
    for name, pattern in LISTED.items():
        assert list(miniature(name, "humandata")[0].rglob(f"{pattern}.npz")), name


@pytest.mark.parametrize("name", NAMES)
def test_the_container(name: str, miniature: Any) -> None:
    for stem, stored, people in files(miniature, name):
        rows = len(people)
        assert {"__key_strict__", "__data_len__", "__keypoints_compressed__", "config"} <= set(stored)
        assert stored["image_path"].dtype.kind == "U"
        assert len(stored["image_path"]) - rows == int(stem == "renbody_train_230525_399_4")
        assert stored["bbox_xywh"].shape == (rows, 4 if name == "bedlam" else 5)
        for key in stored:
            if key.startswith("keypoints") and f"{key}_mask" in stored and f"{key}_original" != key:
                mask = stored[f"{key}_mask"]
                assert mask.shape == (190,)
                if (name, key) == ("egobody_egoset", "keypoints3d_original"):
                    assert len(stored[key]) != rows
                    continue
                columns = int(mask.sum()) if stored["__keypoints_compressed__"] else 190
                depth = 4 if "3d" in key or key == "keypoints2d_ubody" else 3
                assert stored[key].shape == (rows, columns, depth)
        for name_of_image, person in zip(stored["image_path"], people, strict=False):
            folder = person.sequence.removeprefix(stem).lstrip("/")
            assert name_of_image.lstrip("/").rpartition(".")[0] == f"{folder}/{person.frame}".lstrip("/")


@pytest.mark.parametrize("name", NAMES)
def test_pictures_and_people(name: str, miniature: Any) -> None:
    root, truth = miniature(name, "humandata")
    assert truth.dataset == name
    assert 4 <= len(truth.people) <= 12
    assert len({person.identity for person in truth.people}) == len(truth.people)
    assert {person.form for person in truth.people} == {"humandata"}
    assert sum(path.stat().st_size for path in root.rglob("*.*")) < 2e6
    for person in truth.people:
        assert person.is_kept == (not person.reject_hint)
        assert person.vertices_cam_m[:, 2].min() > 0.5
        picture = open_picture(root, person.image_path)
        assert picture.size in (person.image_size_px, person.image_size_px[::-1])
        head, pelvis = (person.joints_px[person.joint_names.index(joint)] for joint in ("head", "pelvis"))
        assert head[1] < pelvis[1]
        assert (pelvis > 0).all()
        assert (pelvis < person.image_size_px).all()


def pose_of(kind: str, stored: dict[str, Any], row: int, mean: np.ndarray) -> np.ndarray:
    def rotations(entry: str, count: int) -> np.ndarray:
        return np.reshape(stored[entry][row], (count, 3)) if len(stored.get(entry, ())) else np.zeros((count, 3))

    body = [rotations("global_orient", 1), rotations("body_pose", 23 if kind == "smpl" else 21)]
    if kind == "smpl":
        return np.concatenate(body)
    has_hands = "left_hand_pose" in stored
    hands = [rotations(f"{side}_hand_pose", 15) + mean[k] for k, side in enumerate(("left", "right"))]
    hands = hands if has_hands else list(mean)
    head = [rotations(entry, 1) for entry in ("jaw_pose", "leye_pose", "reye_pose")] if kind == "smplx" else []
    return np.concatenate([*body, *head, *hands])


def is_absolute(name: str, stored: dict[str, Any], parameters: dict[str, Any]) -> bool:
    if "flat_hand_mean" in parameters:
        return bool(parameters["flat_hand_mean"][0])
    if "flat_hand_mean" in (stored.get("misc") or {}):
        return bool(stored["misc"]["flat_hand_mean"])
    return name in UNRECORDED_ABSOLUTE


@pytest.mark.parametrize("name", NAMES)
def test_the_parameters_give_the_truth(name: str, miniature: Any, standin: Any) -> None:
    for _, stored, people in files(miniature, name):
        kinds = [kind for kind in ("smplx", "smplh", "smpl") if kind in stored]
        assert [person.has_body for person in people] == [bool(kinds)] * len(people)
        for row, person in enumerate(people if kinds else []):
            (kind,), parameters = kinds, stored[kinds[0]]
            assert kind == person.kind
            model = standin.get(kind, person.gender)
            mean = model.hand_mean_aa if kind != "smpl" else np.zeros((2, 15, 3))
            added = np.zeros((2, 15, 3)) if is_absolute(name, stored, parameters) else mean
            has_hands = "left_hand_pose" in parameters
            pose = pose_of(kind, parameters, row, added if has_hands else mean)
            betas = parameters["betas"][row]
            expression = np.zeros(10) if "expression" not in parameters else parameters["expression"][row][:10]
            kid = np.array([parameters["betas_extra"][row, 0]]) if "betas_extra" in parameters else None
            batch = BodyBatch(
                pose_aa=pose[None].astype(np.float32),
                betas=betas[None].astype(np.float32),
                transl_m=np.zeros((1, 3), np.float32),
                expression=expression[None].astype(np.float32) if kind == "smplx" else None,
                kid_weight=kid.astype(np.float32) if kid is not None and kid[0] else None,
            )
            mesh = np.asarray(model.vertices(batch)[0], np.float64)
            if "transl" in parameters:
                np.testing.assert_allclose(mesh + parameters["transl"][row], person.vertices_cam_m, atol=2e-5)
            elif name != "mtp":  # whose orientations are those of the world
                shift = person.vertices_cam_m.mean(0) - mesh.mean(0)
                np.testing.assert_allclose(mesh + shift, person.vertices_cam_m, atol=2e-5)


EXACT = ("keypoints2d_smplx", "keypoints3d_smplx", "keypoints2d_smpl", "keypoints3d_smpl")


def restored(stored: dict[str, Any], key: str) -> np.ndarray:
    values, mask = stored[key], stored[f"{key}_mask"]
    if not stored["__keypoints_compressed__"]:
        return np.asarray(values)
    whole = np.zeros((len(values), 190, values.shape[2]))
    whole[:, mask == 1] = values
    return whole


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("agora", "talkshow")])
def test_model_points_are_the_joints_of_the_truth(name: str, miniature: Any) -> None:
    for _, stored, people in files(miniature, name):
        for key in (key for key in EXACT if key in stored):
            whole = restored(stored, key)
            for row, person in enumerate(people):
                true = person.joints_cam_m if "3d" in key else person.joints_px
                at = [EVERY.index(joint) for joint in person.joint_names]
                np.testing.assert_allclose(whole[row, at, : true.shape[1]], true, atol=1e-6)


def test_the_pictures_show_the_people(miniature: Any, standin: Any) -> None:
    """Edges along the outlines of the true meshes, more than beside them."""
    for name in NAMES:
        if not SETS[name].is_drawn:
            continue
        root, truth = miniature(name, "humandata")
        there, shifted = [], []
        for person in [p for p in truth.people if p.reject_hint != "image-missing"][:4]:
            pixels = np.asarray(open_picture(root, person.image_path).convert("L"), float)
            if pixels.shape != person.image_size_px[::-1]:
                pixels = np.rot90(pixels, -1)  # a portrait stored lying comes upright by a quarter turn clockwise
            gradient = np.maximum(np.abs(np.diff(pixels, axis=0))[:, :-1], np.abs(np.diff(pixels, axis=1))[:-1])
            seen = rasterise(
                person.vertices_cam_m,
                standin.get(person.kind, person.gender).faces,
                person.focal_px,
                person.principal_point_px,
                person.image_size_px,
            )
            body = (seen.face >= 0)[:-1, :-1]
            outline = body & ~(np.roll(body, 1, 0) & np.roll(body, -1, 0) & np.roll(body, 1, 1) & np.roll(body, -1, 1))
            there.append(gradient[outline].mean())
            shifted.append(gradient[np.roll(outline, (6, 6), (0, 1))].mean())
        assert np.mean(there) > 1.7 * np.mean(shifted), name


# --- traps ------------------------------------------------------------------------------------------------------------


def test_what_files_leave_out(miniature: Any) -> None:
    gta = content(miniature, "gta_human2", "0")
    assert not {"meta", "misc"} & set(gta)
    assert gta["bbox_xywh"][0, 4] == 0.0
    assert "jaw_pose" not in content(miniature, "ehf", "ehf")["smplx"]
    assert content(miniature, "ehf", "ehf")["meta"] == {}
    for name in ("spec", "up3d", "muco_3dhp", "lspet", "ochuman", "posetrack"):
        assert "transl" not in content(miniature, name, "")["smpl"]
    for name, token in (("prox", ""), ("spec", ""), ("crowdpose", "neural"), ("mpi_inf_3dhp", "part3")):
        assert "focal_length" not in content(miniature, name, token).get("meta", {})
    for name in ("h36m", "mpii", "mpi_inf_3dhp"):
        assert set(content(miniature, name, "")["smplx"]) == {"betas", "transl", "global_orient", "body_pose"}
    without_size = ("chi3d", "egobody_egoset", "egobody_mvset", "instavariety", "ssp3d", "synbody", "behave")
    assert not [name for name in without_size if "height" in content(miniature, name, "").get("meta", {})]


def test_shapes_and_spellings(miniature: Any) -> None:
    talkshow = content(miniature, "talkshow", "seth")
    assert talkshow["smplx"]["body_pose"].shape == (2, 63)
    assert talkshow["smplx"]["left_hand_pose"].shape == (2, 45)
    assert talkshow["smplx"]["expression"].shape == (2, 100)
    assert talkshow["meta"]["focal_length"].shape == (2,)
    assert talkshow["misc"]["kps3d_root_aligned"]
    assert "bbox_soruce" in talkshow["misc"]
    assert content(miniature, "pw3d", "train")["smpl"]["body_pose"].shape == (2, 69)
    assert content(miniature, "behave", "train")["smplh"]["left_hand_pose"].shape == (3, 15, 3)
    bedlam = content(miniature, "bedlam", "")["smplx"]
    assert bedlam["betas"].shape == (4, 11)
    assert bedlam["flat_hand_mean"].all()
    assert "princpt" in content(miniature, "mtp", "smplx")["meta"]
    for name, token in (("rich", "train"), ("dna_rendering_hires", ""), ("synbody", ""), ("egobody_mvset", "")):
        refit = content(miniature, name, token)["smplx"]
        assert 0.0 < np.abs(refit["betas_neutral"] - refit["betas"]).max() < 10.0
    assert "betas_neutral" not in content(miniature, "dna_rendering", "train")["smplx"]
    ubody = content(miniature, "ubody", "intra_train")
    assert len(ubody["smplx"]["leye_pose"]) == 0
    assert ubody["meta"]["valid_label"][-1] == 0
    assert ubody["keypoints2d_smplx_trunc_mask"].shape == (3, 190, 1)
    assert content(miniature, "mscoco", "")["meta"]["face_valid"] == []
    for name, key in (("crowdpose", "keypoints2d"), ("instavariety", "keypoints2d"), ("behave", "keypoints3d")):
        assert key in content(miniature, name, "")
    assert isinstance(content(miniature, "muco_3dhp", "")["cam_param"][0], dict)


def test_paths_that_do_not_lead_straight_to_a_picture(miniature: Any) -> None:
    root, truth = miniature("bedlam", "humandata")
    lying = [p for p in truth.people if "_closeup" in p.image_path]
    assert [open_picture(root, p.image_path).size for p in lying] == [(320, 180)]
    assert not any("closeup" in name for name in content(miniature, "bedlam", "")["image_path"])
    assert all(name.startswith("/") for name in content(miniature, "mpi_inf_3dhp", "part1")["image_path"])
    assert all(name.startswith("CHI3D/") for name in content(miniature, "chi3d", "")["image_path"])
    behave = miniature("behave", "humandata")[0]
    assert len(list(behave.rglob("k1.color.jpg"))) == 2
    names = content(miniature, "chi3d", "_0")["image_path"]
    assert list(names[: len(names) // 2]) == list(names[len(names) // 2 :]), "two people, one block each"


def test_keypoints_that_are_wrong(miniature: Any) -> None:
    def gap(name: str, token: str, key: str, at: slice, row: int = 0, scale: float = 1.0) -> float:
        """Largest distance of points of a file from the joints of the same names."""
        _, stored, people = next(found for found in files(miniature, name) if token in found[0])
        person, whole = people[row], restored(stored, key)
        true = person.joints_cam_m if "3d" in key else person.joints_px
        return float(np.abs(whole[row, at, : true.shape[1]] / scale - true[at]).max())

    assert gap("agora", "train", "keypoints3d_smplx", slice(22)) > 0.003, "of another gender's model"
    assert gap("agora", "train", "keypoints3d_smplx", slice(22), row=1) > 0.05, "not of a kid's"
    assert gap("talkshow", "", "keypoints2d_smplx", slice(22)) < 1e-6
    assert gap("talkshow", "", "keypoints2d_smplx", slice(25, 55)) > 0.2, "without the mean hand"
    assert gap("talkshow", "", "keypoints3d_smplx", slice(1)) > 1.0, "about the pelvis"
    assert 0.001 < gap("behave", "train", "keypoints3d", slice(22)) < 0.5
    left_knee = slice(4, 5)
    assert gap("h36m", "train", "keypoints3d_original", left_knee, scale=1000.0) > 0.02, "legs swapped"
    imar = content(miniature, "fit3d", "_0")
    assert restored(imar, "keypoints2d_original")[0, EVERY.index("nose_openpose"), 2] == 1.0
    ego = content(miniature, "egobody_egoset", "train")
    assert ego["keypoints3d_original"].max() > 100.0


def test_what_else_lies_beside_the_files(miniature: Any) -> None:
    talkshow = miniature("talkshow", "humandata")[0]
    assert not zipfile.is_zipfile(next(talkshow.rglob("*_path.npz")))
    cache = next(miniature("dna_rendering", "humandata")[0].rglob("cache/*.npz"))
    assert "data_strategy" in opened(cache)
    assert "features" in opened(next(miniature("instavariety", "humandata")[0].rglob("vibe*.npz")))


def test_one_seed_is_one_miniature(tmp_path: Path, standin: Any) -> None:
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_humandata(tmp_path / folder, dataset="mscoco", seed=seed, models=standin)
    made = {
        folder: {
            path.relative_to(tmp_path / folder): path.read_bytes()
            for path in sorted((tmp_path / folder).rglob("*.jpg"))
        }
        for folder in "abc"
    }
    assert made["a"] == made["b"] != made["c"]
    a, b = (opened(next((tmp_path / folder).glob("*.npz"))) for folder in "ab")
    np.testing.assert_array_equal(a["smplx"]["body_pose"], b["smplx"]["body_pose"])
    np.testing.assert_array_equal(a["keypoints2d_original"], b["keypoints2d_original"])


@pytest.mark.parametrize("name", ["agora", "bedlam", "chi3d", "muco_3dhp"])
def test_as_many_people_as_asked_for(name: str, tmp_path: Path, standin: Any) -> None:
    truth = write_humandata(tmp_path, dataset=name, people=15, models=standin)
    assert 15 <= len(truth.people) <= 24
    assert len({person.identity for person in truth.people}) == len(truth.people)
    assert all((tmp_path / person.image_path).is_file() for person in truth.people)
