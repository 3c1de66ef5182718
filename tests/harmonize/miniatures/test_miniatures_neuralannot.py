"""Miniatures with NeuralAnnot fits: files as the pages draw them, with their traps, and fits that give the truth."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

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


@pytest.mark.parametrize("name", ["crowdpose"])
def test_the_same_again_for_its_seed(name: str, tmp_path: Path, standin: Any) -> None:
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        MINIATURES[name](tmp_path / folder, seed=seed, models=standin)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert sum((tmp_path / "a" / file).stat().st_size for file in files) < 4e6
    for file in files:
        content = [(tmp_path / folder / file).read_bytes() for folder in "abc"]
        assert content[0] == content[1] != content[2], file


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
