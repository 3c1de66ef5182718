"""MuCo-3DHP in miniature: the parsed release as its page draws it, its traps, and parameters that give the truth."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harmonize.bodies import BodyBatch
from harmonize.miniatures.muco_3dhp import PELVIS, write_muco_3dhp

SAME_MM = 0.02


def test_muco_layout(miniature: Any, standin: Any) -> None:
    root, truth = miniature("muco_3dhp")
    parsed = json.loads((root / "MuCo-3DHP.json").read_text())
    fits = json.loads((root / "smpl_param.json").read_text())
    assert set(parsed) == {"images", "annotations"}
    images = {image["id"]: image for image in parsed["images"]}
    assert {image["file_name"].split("/")[0] for image in images.values()} == {"augmented_set", "unaugmented_set"}
    stems = Counter(Path(image["file_name"]).stem for image in images.values())
    assert max(stems.values()) == 2
    ids = {str(annotation["id"]) for annotation in parsed["annotations"]}
    assert ids - set(fits), "somebody without a fit"
    assert set(fits) - ids, "a fit of nobody"
    assert "NaN" in (root / "smpl_param.json").read_text()
    for annotation, person in zip(parsed["annotations"], truth.people, strict=True):
        image = images[annotation["image_id"]]
        with Image.open(root / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"]) == (1024, 1024)
        assert set(annotation) == {"id", "image_id", "bbox", "keypoints_img", "keypoints_cam", "keypoints_vis"}
        assert person.image_path == image["file_name"]
        assert person.person == str(annotation["id"])
        assert not np.allclose(image["R"], np.eye(3), atol=0.1)
        points = np.array(annotation["keypoints_cam"])
        pixels = points[:, :2] / points[:, 2:] * image["f"] + image["c"]
        np.testing.assert_allclose(pixels, annotation["keypoints_img"], atol=1e-6)
        assert len(annotation["keypoints_vis"]) == 21
        assert annotation["keypoints_vis"][PELVIS] == (person.reject_hint != "pelvis-hidden")
        pelvis = 1000 * person.joints_cam_m[person.joint_names.index("pelvis")]
        assert np.linalg.norm(points[PELVIS] - pelvis) < 50, "millimetres"
        assert person.has_body == (person.person in fits)
        if not person.has_body:
            continue
        fit = fits[person.person]
        assert {key: len(values) for key, values in fit.items()} == {"pose": 72, "shape": 10, "trans": 3}
        assert np.isfinite(fit["pose"]).all() == (person.reject_hint != "not-finite")
        if person.reject_hint != "not-finite":
            batch = BodyBatch(
                pose_aa=np.reshape(fit["pose"], (1, 24, 3)),
                betas=np.array([fit["shape"]]),
                transl_m=np.array([fit["trans"]]),
            )
            mesh = standin.get("smpl", "neutral").vertices(batch)[0]
            assert 1000 * np.abs(mesh - person.vertices_cam_m).max() < SAME_MM, person.identity
    assert any(max(np.abs(fit["shape"])) > 3 for fit in fits.values())
    assert any(not all(a["keypoints_vis"]) and a["keypoints_vis"][PELVIS] for a in parsed["annotations"])
    assert Counter(person.reject_hint for person in truth.people) == {"": 10, "pelvis-hidden": 1, "not-finite": 1}


def test_muco_is_the_same_again_for_its_seed(tmp_path: Path, standin: Any) -> None:
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_muco_3dhp(tmp_path / folder, seed=seed, models=standin)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == 6
    for file in files:
        content = [(tmp_path / folder / file).read_bytes() for folder in "abc"]
        assert content[0] == content[1] != content[2]
