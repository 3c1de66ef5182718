"""Miniatures with EFT fits: their files as the pages draw them, with their traps, and fits that give the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat
from scipy.spatial.transform import Rotation

from harmonize.bodies import BodyBatch
from harmonize.keypoints import convention
from harmonize.miniatures import MINIATURES
from harmonize.miniatures.masks import packed, run_lengths

SPIN = convention("spin_49").names


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def assert_eft(standin: Any, entry: dict[str, Any], person: Any) -> None:
    """The page's own formulas: weak perspective in a square crop, and the pinhole that stands for it."""
    rotations = np.array(entry["parm_pose"])
    assert rotations.shape == (24, 3, 3)
    drift = np.abs(rotations @ np.swapaxes(rotations, 1, 2) - np.eye(3)).max()
    assert 1e-6 < drift < 1e-3, "a network's matrices are rotations only about"
    batch = BodyBatch(
        pose_aa=Rotation.from_matrix(rotations).as_rotvec()[None],
        betas=np.array([entry["parm_shape"]]),
        transl_m=np.zeros((1, 3)),
    )
    model = standin.get("smpl", "neutral")
    (s, tx, ty), centre = entry["parm_cam"], np.array(entry["bbox_center"])
    side = 200 * entry["bbox_scale"]
    shift = np.array([tx / s, ty / s, 2 * 5000 * side / 224 / (s * side)])
    assert 1000 * np.abs(model.vertices(batch)[0] + shift - person.vertices_cam_m).max() < 0.5
    joints = model.joints(batch)[0]
    weak = centre - side / 2 + side / 2 * (s * joints[:, :2] + (tx, ty) + 1)
    assert np.linalg.norm(weak - person.joints_px, axis=1).max() < 4
    points = np.array(entry["gt_keypoint_2d"])
    assert points.shape == (49, 3)
    assert set(points[:, 2]) <= {0.0, 1.0}
    for name, (x, y, v) in zip(SPIN, points, strict=True):
        if v and name in person.joint_names:
            assert np.hypot(*(person.joints_px[person.joint_names.index(name)] - (x, y))) < 5
    assert len(entry["joint_validity_openpose18"]) == 18
    assert entry["smpltype"] == "smpl"


def eft_people(truth: Any, split: str) -> list[Any]:
    return [person for person in truth.people if (person.form, person.split) == ("eft", split)]


@pytest.mark.parametrize("name", ["lspet", "ochuman", "posetrack"])
def test_the_same_again_for_its_seed(name: str, tmp_path: Path, standin: Any) -> None:
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        MINIATURES[name](tmp_path / folder, seed=seed, models=standin)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert sum((tmp_path / "a" / file).stat().st_size for file in files) < 4e6
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    assert all((tmp_path / "a" / file).read_bytes() != (tmp_path / "c" / file).read_bytes() for file in files)


def test_posetrack_fits(miniature: Any, standin: Any) -> None:
    root, truth = miniature("posetrack")
    parsed = load(root / "eft_fit/PoseTrack_ver01.json")
    assert set(parsed) == {"ver", "data", "meta"}
    people = eft_people(truth, "train")
    names = {path.name for path in (root / "images/train").rglob("*.jpg")}
    assert len(names) < len(list((root / "images/train").rglob("*.jpg"))), "sequences name their frames alike"
    subjects = set()
    for row, (entry, person) in enumerate(zip(parsed["data"], people, strict=True)):
        assert person.person == str(row)
        assert_eft(standin, entry, person)
        points = np.array(entry["gt_keypoint_2d"])
        assert not points[:25].any()
        assert points[25:37, 2].all(), "EFT takes people with all limbs"
        assert not points[-2:].any(), "ears are never labelled"
        is_bare = "/" not in entry["imageName"]
        subject = entry.get("subjectId", "")
        subjects.add((is_bare, subject.count("/")))
        assert person.is_kept == (not is_bare or bool(subject))
        if person.is_kept:
            folder = subject.rpartition("-")[0].split("/")[-1] if is_bare else entry["imageName"].split("/")[0]
            assert person.sequence == folder
            assert person.image_path.endswith(f"{folder}/{Path(entry['imageName']).name}")
    assert {(True, 0), (True, 2), (False, 0)} <= subjects
    assert [person.reject_hint for person in people].count("ambiguous-picture") == 1


def test_posetrack_sequences(miniature: Any) -> None:
    root, truth = miniature("posetrack")
    people = {(person.split, person.person): person for person in truth.people if person.form == "posetrack18"}
    names = convention("posetrack_17").names
    unlabelled = lacking = 0
    for path in sorted(root.glob("posetrack_data/annotations/*/*.json")):
        parsed = load(path)
        images = {image["id"]: image for image in parsed["images"]}
        for image in images.values():
            assert not {"width", "height"} & set(image)
            assert (root / image["file_name"]).is_file()
            assert image["file_name"].split("/")[2] == path.stem
            unlabelled += not image["is_labeled"]
        for annotation in parsed["annotations"]:
            image = images[annotation["image_id"]]
            assert image["is_labeled"]
            person = people.pop((path.parent.name, str(annotation["id"])))
            assert person.image_path == image["file_name"]
            assert (person.sequence, person.frame) == (path.stem, Path(image["file_name"]).stem)
            assert not person.has_body
            lacking += ("bbox" not in annotation) + ("keypoints" not in annotation)
            assert person.is_kept == ("keypoints" in annotation)
            for name, (x, y, v) in zip(names, np.reshape(annotation.get("keypoints", []), (-1, 3)), strict=False):
                assert v in (0, 1)
                assert not v or "ear" not in name
                if v and name in person.joint_names:
                    assert np.hypot(*(person.joints_px[person.joint_names.index(name)] - (x, y))) < 5
    assert not people
    assert unlabelled == lacking == 2


def test_ochuman_fits(miniature: Any, standin: Any) -> None:
    root, truth = miniature("ochuman")
    labels = set(convention("ochuman_19").names)
    shifted = 0
    for split in ("train", "test"):
        parsed = load(root / f"eft_fit/OCHuman_{split}_ver10.json")
        for row, (entry, person) in enumerate(zip(parsed["data"], eft_people(truth, split), strict=True)):
            assert person.person == str(row)
            assert person.image_path == f"images/{entry['imageName']}"
            assert_eft(standin, entry, person)
            points = np.array(entry["gt_keypoint_2d"])
            assert not points[:25].any()
            assert points[25:37, 2].sum() >= 6
            assert {name for name, (_, _, v) in zip(SPIN, points, strict=True) if v} <= labels
            middle = (person.joints_px.min(0) + person.joints_px.max(0)) / 2
            shifted += bool(np.linalg.norm(middle - entry["bbox_center"]) > 60)
    assert shifted == 2


def test_ochuman_natively_and_as_coco(miniature: Any) -> None:
    root, truth = miniature("ochuman")
    native = load(root / "ochuman.json")
    assert native["keypoint_visible"] == {"missing": 0, "vis": 1, "self_occluded": 2, "others_occluded": 3}
    assert native["keypoint_names"][12:14] == ["head", "neck"]
    by_picture = {image["file_name"]: image for image in native["images"]}
    people = [person for person in truth.people if person.form == "native"]
    found = [(image, row, one) for image in native["images"] for row, one in enumerate(image["annotations"])]
    for (image, row, one), person in zip(found, people, strict=True):
        assert (person.split, person.frame, person.person) == ("all", image["file_name"][:-4], str(row))
        x1, y1, x2, y2 = one["bbox"]
        assert 0 <= x1 < x2 < image["width"]
        assert 0 <= y1 < y2 < image["height"]
        assert person.is_kept == (one["keypoints"] is not None)
        assert one["keypoints"] is None or len(one["keypoints"]) == 57
    kinds = {(one["keypoints"] is None, one["segms"] is None) for _, _, one in found}
    assert kinds == {(False, False), (False, True), (True, True)}
    assert {int(v) for _, _, one in found for v in (one["keypoints"] or [])[2::3]} == {0, 1, 2, 3}
    at = [native["keypoint_names"].index(name.removesuffix("_extra")) for name in convention("coco_17").names]
    for split in ("val", "test"):
        parsed = load(root / f"ochuman_coco_format_{split}_range_0.00_1.00.json")
        images = {image["id"]: image for image in parsed["images"]}
        assert min(images) == 1
        twins = [person for person in truth.people if (person.form, person.split) == ("coco", split)]
        for number, (annotation, person) in enumerate(zip(parsed["annotations"], twins, strict=True), start=1):
            assert annotation["id"] == number
            assert person.person == str(number)
            image = by_picture[images[annotation["image_id"]]["file_name"]]
            x, y, width, height = annotation["bbox"]
            corners = [x, y, x + width, y + height]
            one = next(one for one in image["annotations"] if one["bbox"] == corners)
            codes = np.reshape(one["keypoints"], (19, 3))[at, 2]
            assert [{0: 0, 1: 2, 2: 2, 3: 1}[code] for code in codes] == annotation["keypoints"][2::3]
            assert annotation["segmentation"]["size"] == [image["height"], image["width"]]
            assert isinstance(annotation["segmentation"]["counts"], str)


def test_packed_run_lengths() -> None:
    """From the third on a count is less the one two before; 5 bits a character, the sixth says that more follow."""
    mask = np.zeros((4, 3), bool)
    mask[1:3, 1] = True
    assert run_lengths(mask) == [5, 2, 5]
    assert packed([5, 2, 5]) == "525"
    assert packed([5, 2, 5, 2]) == "5250"
    assert packed([100, 7]) == "T37"
    assert packed([9, 20, 9, 10]) == "9d09F"


def test_lspet_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("lspet")
    files = sorted(path.name for path in root.glob("*.png"))
    assert files[:3] == ["im00001.png", "im00002.png", "im00004.png"], "numbers have gaps"
    joints = loadmat(root / "joints.mat")["joints"]
    assert joints.shape == (14, 3, len(files))
    assert joints.dtype == np.float64
    people = [person for person in truth.people if person.form == "joints"]
    cut = 0
    for column, (file, person) in enumerate(zip(files, people, strict=True)):
        assert person.image_path == file
        for name, (x, y, visible) in zip(convention("lsp_14").names, joints[:, :, column], strict=True):
            if visible and name in person.joint_names:
                assert np.hypot(*(person.joints_px[person.joint_names.index(name)] - (x, y))) < 5
        hidden = joints[joints[:, 2, column] == 0, :2, column]
        assert len(hidden) == 2
        assert (hidden == 0).all(1).sum() == 1
        cut += bool((joints[:, :2, column] > person.image_size_px).any())
    assert cut == 1
    detected = []
    for split in ("train", "test"):
        parsed = load(root / f"eft_fit/LSPet_{split}_ver10.json")
        for entry, person in zip(parsed["data"], eft_people(truth, split), strict=True):
            assert entry["imageName"] == person.image_path
            assert_eft(standin, entry, person)
            points = np.array(entry["gt_keypoint_2d"])
            assert points[25:39, 2].sum() >= 12
            assert not points[39:].any()
            detected.append(bool(points[:25].any()))
    assert any(detected)
    assert not all(detected)


def test_mscoco_fits(miniature: Any, standin: Any) -> None:
    root, truth = miniature("mscoco")
    everyone, part, val = (
        load(root / f"eft_fit/COCO2014-{name}.json")["data"] for name in ("All-ver01", "Part-ver01", "Val-ver10")
    )
    assert 0 < len(part) < len(everyone)
    assert all(entry in everyone for entry in part)
    for split, entries in (("train", everyone), ("val", val)):
        for entry, person in zip(entries, eft_people(truth, split), strict=True):
            assert_eft(standin, entry, person)
            assert person.person == str(entry["annotId"])
            assert f"{person.frame}.jpg" == entry["imageName"]
            assert entry["imageName"].startswith(f"COCO_{split}2014_")
            assert (root / person.image_path).is_file()
    is_renamed = [
        entry["imageName"] not in person.image_path
        for entry, person in zip(everyone, eft_people(truth, "train"), strict=True)
    ]
    assert sum(is_renamed) == 2
