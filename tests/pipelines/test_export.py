"""Exported files hold what the store holds, and other projects' readers find it where they look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from catalogs import store as catalog
from harmonize.annotation import Annotation
from harmonize.bodies import BodyModels
from harmonize.convert import Converted, convert
from harmonize.errors import UsageError
from harmonize.geometry.cameras import project_with
from harmonize.keypoints import SMPLX_144
from harmonize.readers import HUMANDATA, open_reader
from harmonize.shards.read import open_store
from pipelines.export import export_store

SMPLER_X_BODY = [0, 1, 2, 4, 5, 7, 8, 12, 16, 17, 18, 19, 20, 21, 60, 61, 62, 63, 64, 65, 59, 58, 57, 56, 55]
"""The first 25 of the 137 joints that SMPLer-X's loader picks by index (data/humandata.py, SMPLX_137_MAPPING)."""


@pytest.fixture(scope="module")
def exported(store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[Path, int]]]:
    out = tmp_path_factory.mktemp("export")
    return out, export(store, out, to="humandata")


def export(store: Path, out: Path, **changes: Any) -> list[tuple[Path, int]]:
    options = {"dataset": None, "where": "true", "pictures": "stored", "body_models": None, **changes}
    return export_store(store, out, **options)


def loaded(path: Path) -> dict[str, Any]:
    """As SMPLer-X opens it."""
    with np.load(path, allow_pickle=True) as content:
        return {key: content[key] for key in content.files}


def expanded(content: dict[str, Any], key: str) -> Any:
    full = np.zeros((len(content["image_path"]), 190, content[key].shape[-1]))
    full[:, np.where(content[f"{key}_mask"] == 1)[0]] = content[key]
    return full


def test_everyone_with_a_body_is_in_exactly_one_file(store: Path, exported: Any) -> None:
    out, files = exported
    keys = [key for path, _ in files for key in loaded(path)["meta"].item()["ehps_key"]]
    with catalog.open(store) as con:
        expected = {row[0] for row in catalog.query(con, "SELECT key FROM instances WHERE body_has_body").rows}
    assert sorted(keys) == sorted(expected)
    assert sum(count for _, count in files) == len(keys)
    assert all((out / path).is_file() for file, _ in files for path in loaded(file)["image_path"])


def test_a_key_that_is_there_holds_for_every_row(store: Path, exported: Any) -> None:
    opened = open_store(store)
    for path, _ in exported[1]:
        content = loaded(path)
        params = content["smplx"].item()
        bodies = [opened.sample(key).instance.body for key in content["meta"].item()["ehps_key"]]
        assert all(body.has_left_hand and body.has_right_hand for body in bodies) == ("left_hand_pose" in params)
        assert all(body.has_expression and body.has_jaw for body in bodies) == ("expression" in params)
        assert all(body.has_transl for body in bodies) == ("transl" in params)
        assert all(params["betas"][i].any() == body.has_betas for i, body in enumerate(bodies))


def test_smpler_x_finds_the_joints_and_the_box_it_expects(store: Path, exported: Any) -> None:
    opened = open_store(store)
    num_seen = 0
    for path, _ in exported[1]:
        content = loaded(path)
        order = ("keypoints2d", "keypoints2d_smplx", "keypoints2d_smpl", "keypoints2d_original")
        key = next(key for key in order if key in content)
        points = expanded(content, key)[:, SMPLER_X_BODY, :2]
        meta = content["meta"].item()
        for row, name in enumerate(meta["ehps_key"]):
            instance = opened.sample(name).instance
            with Image.open(exported[0] / content["image_path"][row]) as picture:
                assert picture.size == (meta["width"][row], meta["height"][row])
            if key == "keypoints2d_smplx":
                pixels = project_with(instance.camera, instance.keypoints.joints3d_cam_m[SMPLER_X_BODY, :3])
                known = instance.keypoints.joints3d_cam_m[SMPLER_X_BODY, 3] > 0
                np.testing.assert_allclose(points[row][known], pixels[known], atol=1e-3)
                num_seen += 1
            x, y, width, height = content["bbox_xywh"][row, :4]
            own = instance.boxes.person_xywh_px
            np.testing.assert_allclose([width, height], own[2:4] * 1.2, rtol=1e-5)
            np.testing.assert_allclose([x + width / 2, y + height / 2], own[:2] + own[2:4] / 2, rtol=1e-4, atol=1e-2)
    assert num_seen > 0


def test_hands_are_relative_to_the_mean_hand(store: Path, exported: Any) -> None:
    mean = BodyModels.open("standin").get("smplx", "neutral").hand_mean_aa
    opened, num_hands = open_store(store), 0
    for path, _ in exported[1]:
        content = loaded(path)
        assert content["misc"].item()["flat_hand_mean"] is False
        params = content["smplx"].item()
        for row, name in enumerate(content["meta"].item()["ehps_key"]):
            if "left_hand_pose" in params:
                body = opened.sample(name).instance.body
                np.testing.assert_allclose(params["left_hand_pose"][row] + mean[0], body.left_hand_pose_aa, atol=1e-6)
                np.testing.assert_allclose(params["right_hand_pose"][row] + mean[1], body.right_hand_pose_aa, atol=1e-6)
                num_hands += 1
    assert num_hands > 0


def test_a_record_survives_the_way_out_and_back(store: Path, exported: Any) -> None:
    out, files = exported
    models, opened = BodyModels.open("standin"), open_store(store)
    annotations = [
        item
        for name in ("mscoco", "pw3d")
        for reader in (open_reader(name, out, HUMANDATA),)
        for split in reader.splits
        for unit in reader.units(split)
        for item in reader.read(split, unit)
        if isinstance(item, Annotation)
    ]
    assert len(annotations) == sum(count for _, count in files)
    for annotation, result in zip(annotations, convert(annotations, models), strict=True):
        assert isinstance(result, Converted)
        before = opened.sample(Path(annotation.image.path).stem).instance
        after = result.instance
        for name in ("global_orient_aa", "body_pose_aa", "betas", "transl_m"):
            np.testing.assert_allclose(getattr(after.body, name), getattr(before.body, name), atol=2e-6, err_msg=name)
        if before.body.has_left_hand and before.body.has_right_hand:
            np.testing.assert_allclose(after.body.left_hand_pose_aa, before.body.left_hand_pose_aa, atol=2e-6)
        np.testing.assert_allclose(after.camera.focal_px, before.camera.focal_px)
        np.testing.assert_allclose(after.boxes.person_xywh_px, before.boxes.person_xywh_px, atol=1e-3)
        known = (before.keypoints.joints3d_cam_m[:, 3] > 0) & (after.keypoints.joints3d_cam_m[:, 3] > 0)
        np.testing.assert_allclose(
            after.keypoints.joints3d_cam_m[known], before.keypoints.joints3d_cam_m[known], atol=1e-5
        )


def test_coco_json_holds_points_by_name_and_parameters(store: Path, tmp_path: Path) -> None:
    files = export(store, tmp_path, to="coco", dataset="mscoco")
    opened = open_store(store)
    num_points = 0
    for path, count in files:
        document = json.loads(path.read_text())
        assert len(document["annotations"]) == count
        images = {image["id"]: image for image in document["images"]}
        for annotation in document["annotations"]:
            instance = opened.sample(annotation["ehps_key"]).instance
            assert (tmp_path / images[annotation["image_id"]]["file_name"]).is_file()
            wrist = np.array(annotation["keypoints"]).reshape(17, 3)[9]
            own = instance.keypoints.joints2d_px[SMPLX_144.index("left_wrist")]
            assert (wrist[2] == 2) == (own[2] > 0)
            if own[2] > 0:
                np.testing.assert_allclose(wrist[:2], own[:2], atol=1e-3)
                num_points += 1
            assert ("smplx_param" in annotation) == instance.body.has_body
    assert num_points > 0


def test_source_pictures_are_named_and_pixels_counted_in_them(store: Path, tmp_path: Path) -> None:
    ((path, _),) = export(
        store,
        tmp_path,
        to="coco",
        dataset="mscoco",
        where="split = 'train' AND image_orientation = 1",
        pictures="source",
    )
    annotation = json.loads(path.read_text())["annotations"][0]
    instance = open_store(store).sample(annotation["ehps_key"]).instance
    offset = [instance.image.crop_x_px, instance.image.crop_y_px]
    np.testing.assert_allclose(np.array(annotation["bbox"][:2]) - offset, instance.boxes.person_xywh_px[:2], atol=1e-3)
    assert not (tmp_path / "images").exists()


def test_nothing_to_export_is_said(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no sample fulfils"):
        export(store, tmp_path, to="coco", where="false")
