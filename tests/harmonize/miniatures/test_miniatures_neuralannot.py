"""Miniatures with NeuralAnnot fits: files as the pages draw them, with their traps, and fits that give the truth."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from harmonize.bodies import BodyBatch
from harmonize.keypoints import convention
from harmonize.miniatures import MINIATURES

SAME_MM = 0.02


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def assert_smpl_fit(standin: Any, fit: dict[str, Any], person: Any) -> None:
    parameters = fit["smpl_param"]
    assert {key: len(values) for key, values in parameters.items()} == {"pose": 72, "shape": 10, "trans": 3}
    batch = BodyBatch(
        pose_aa=np.reshape(parameters["pose"], (1, 24, 3)),
        betas=np.array([parameters["shape"]]),
        transl_m=np.array([parameters["trans"]]),
    )
    assert_fit(standin.get("smpl", "neutral").vertices(batch)[0], fit, person)


def assert_body_fit(standin: Any, fit: dict[str, Any], person: Any) -> None:
    """SMPL-X without hands and face: the mesh has the mean hands."""
    model, parameters = standin.get("smplx", "neutral"), fit["smplx_param"]
    lengths = {"root_pose": 3, "body_pose": 63, "shape": 10, "trans": 3}
    assert {key: len(values) for key, values in parameters.items()} == lengths
    pose = np.zeros((1, 55, 3))
    pose[0, 0], pose[0, 1:22] = parameters["root_pose"], np.reshape(parameters["body_pose"], (21, 3))
    pose[0, 25:] = np.reshape(model.hand_mean_aa, (30, 3))
    batch = BodyBatch(pose_aa=pose, betas=np.array([parameters["shape"]]), transl_m=np.array([parameters["trans"]]))
    assert_fit(model.vertices(batch)[0], fit, person)


def assert_fit(mesh: Any, fit: dict[str, Any], person: Any) -> None:
    assert 1000 * np.abs(mesh - person.vertices_cam_m).max() < SAME_MM, person.identity
    np.testing.assert_allclose(fit["cam_param"]["focal"], person.focal_px)
    np.testing.assert_allclose(fit["cam_param"]["princpt"], person.principal_point_px)
    assert person.focal_px[0] > 1000
    assert 10 < person.vertices_cam_m[:, 2].mean() < 200
    assert not person.is_transl_metric


def assert_labelled(keypoints: Any, names: tuple[str, ...], person: Any, limit_px: float) -> None:
    """The labelled points lie at the true joints of the same names."""
    for name, (x, y, v) in zip(names, np.reshape(keypoints, (-1, 3)), strict=True):
        if v > 0 and name in person.joint_names:
            assert np.hypot(*(person.joints_px[person.joint_names.index(name)] - (x, y))) < limit_px


@pytest.mark.parametrize("name", ["crowdpose", "mpii"])
def test_the_same_again_for_its_seed(name: str, tmp_path: Path, standin: Any) -> None:
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        MINIATURES[name](tmp_path / folder, seed=seed, models=standin)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert sum((tmp_path / "a" / file).stat().st_size for file in files) < 4e6
    for file in files:
        content = [(tmp_path / folder / file).read_bytes() for folder in "abc"]
        assert content[0] == content[1], file
    assert all((tmp_path / "a" / file).read_bytes() != (tmp_path / "c" / file).read_bytes() for file in files)


def test_crowdpose_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("crowdpose")
    fits = load(root / "CrowdPose_train_SMPL_NeuralAnnot.json")
    names = convention("crowdpose_14").names
    keys = {"num_keypoints", "iscrowd", "keypoints", "image_id", "bbox", "category_id", "id"}
    for split in ("train", "val", "trainval", "test"):
        parsed = load(root / f"crowdpose_{split}.json")
        assert set(parsed) == {"images", "annotations", "categories"}
        for image in parsed["images"]:
            assert image["file_name"] == f"{image['id']}.jpg"
            stated = (image["width"], image["height"])
            assert stated[0] != stated[1]
            assert size_of(root / "images" / image["file_name"]) == (stated if split == "val" else stated[::-1])
        people = [person for person in truth.people if person.split == split]
        for annotation, person in zip(parsed["annotations"], people, strict=True):
            assert set(annotation) == keys
            assert person.person == str(annotation["id"])
            assert person.frame == str(annotation["image_id"])
            assert all(isinstance(value, int) for value in annotation["keypoints"])
            assert_labelled(annotation["keypoints"], names, person, 5.0)
            assert (person.reject_hint == "crowd") == bool(annotation["iscrowd"])
            assert bool(person.reject_hint) == (annotation["num_keypoints"] == 0)
            assert person.has_body == (person.person in fits)
            if person.has_body:
                assert_smpl_fit(standin, fits[person.person], person)
        counts = Counter(annotation["num_keypoints"] for annotation in parsed["annotations"])
        assert any(0 < count < 14 for count in counts)
    errors = [fit["fit_err"] for fit in fits.values()]
    assert min(errors) < 5.0 < max(errors)
    trainval = {person.person for person in truth.people if person.split == "trainval"}
    assert trainval == {person.person for person in truth.people if person.split in ("train", "val")}


def test_mpii_jsons(miniature: Any, standin: Any) -> None:
    root, truth = miniature("mpii")
    parsed = load(root / "annotations/train.json")
    names = convention("mpii_16").names
    images = {image["id"]: image for image in parsed["images"]}
    per_image = Counter(annotation["image_id"] for annotation in parsed["annotations"])
    assert max(per_image.values()) > 1
    for image in images.values():
        assert size_of(root / image["file_name"]) == (image["width"], image["height"])
    have: dict[str, set[str]] = {}
    for form, kind in (("neuralannot", "SMPLX"), ("neuralannot_smpl", "SMPL")):
        fits = load(root / f"annotations/MPII_train_{kind}_NeuralAnnot.json")
        have[kind] = set(fits)
        people = [person for person in truth.people if person.form == form]
        for annotation, person in zip(parsed["annotations"], people, strict=True):
            assert person.person == str(annotation["id"])
            assert person.image_path == images[annotation["image_id"]]["file_name"]
            assert {0.0, 1.0} == set(annotation["keypoints"][2::3])
            assert_labelled(annotation["keypoints"], names, person, 25.0 if person.person in have["SMPLX"] else 4.0)
            assert person.has_body == (person.person in fits)
            if person.has_body:
                (assert_body_fit if kind == "SMPLX" else assert_smpl_fit)(standin, fits[person.person], person)
    assert have["SMPLX"] - have["SMPL"]
    assert have["SMPL"] - have["SMPLX"]
    assert have["SMPL"] & have["SMPLX"], "two fits of one person"
    assert {str(annotation["id"]) for annotation in parsed["annotations"]} - have["SMPL"] - have["SMPLX"]


def test_mpii_mat(miniature: Any) -> None:
    root, truth = miniature("mpii")
    path = root / "mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat"
    release = loadmat(path, struct_as_record=False, squeeze_me=True)["RELEASE"]
    names = convention("mpii_16").names
    people = {(person.frame, person.person): person for person in truth.people if person.form == "mat"}
    assert len(release.annolist) == len(release.img_train) == len(release.single_person) == len(release.act)
    visible: set[Any] = set()
    rows = []
    for listed, is_train in zip(release.annolist, release.img_train, strict=True):
        assert (root / "images" / listed.image.name).is_file()
        annorects = np.atleast_1d(listed.annorect)
        rows.append(len(annorects) if is_train else -1)
        for row, annorect in enumerate(annorects):
            if not is_train:
                assert not hasattr(annorect, "annopoints")
                continue
            person = people.pop((Path(listed.image.name).stem, str(row)))
            assert person.is_kept == hasattr(annorect.annopoints, "point")
            height = np.ptp(person.joints_px[:, 1])
            assert 0.8 < annorect.scale * 200 / height < 1.4
            for point in np.atleast_1d(annorect.annopoints.point) if person.is_kept else ():
                name = names[int(point.id)]
                visible.add(str(point.is_visible))
                if name in person.joint_names:
                    joint = person.joints_px[person.joint_names.index(name)]
                    assert np.hypot(point.x - 1 - joint[0], point.y - 1 - joint[1]) < 4
    assert not people
    assert {-1, 0, 1, 2, 3} == set(rows)
    assert visible == {"0", "0.0", "1", "1.0", "[]"}


def test_mscoco_smpl_fits(miniature: Any, standin: Any) -> None:
    root, truth = miniature("mscoco")
    smpl, smplx = (load(root / f"annotations/MSCOCO_train_{name}_NeuralAnnot.json") for name in ("SMPL", "SMPLX_all"))
    names = [name for name in convention("coco_17").names if not name.endswith("_hip_extra")]
    assert set(smpl) - set(smplx)
    assert set(smpl) & set(smplx), "two fits of one person"
    by_id = {
        str(annotation["id"]): annotation
        for split in ("train", "val")
        for annotation in load(root / f"annotations/coco_wholebody_{split}_v1.0.json")["annotations"]
    }
    people = [person for person in truth.people if person.form == "neuralannot_smpl"]
    assert {person.person for person in people} == set(by_id)
    for person in people:
        assert person.has_body == (person.person in smpl)
        if not person.has_body:
            continue
        assert_smpl_fit(standin, smpl[person.person], person)
        annotation = by_id[person.person]
        points = np.reshape(annotation["keypoints"], (17, 3))
        points = points[[convention("coco_17").names.index(name) for name in names]]
        assert_labelled(points, tuple(names), person, 25.0 if person.person in smplx else 5.0)
        if person.person not in smplx:
            assert not any(annotation["lefthand_kpts"] + annotation["righthand_kpts"] + annotation["face_kpts"])
            assert not annotation["face_valid"]
