"""SSP-3D's labels.npz, hand-made from its description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.ssp3d import Ssp3d

NAMES = ("clipA_clip_1_person_0_frame_1.png", "clipA_clip_1_person_0_frame_2.png")


def labels(root: Path, **changes: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    rows: dict[str, Any] = {
        "fnames": np.array(NAMES),
        "shapes": rng.normal(size=(2, 10)),
        "poses": rng.normal(size=(2, 72)) * 0.3,
        "genders": np.array(["m", "f"]),
        "joints2D": np.concatenate([rng.uniform(100, 400, (2, 17, 2)), rng.uniform(0, 1.5, (2, 17, 1))], axis=-1),
        "cam_trans": np.array([[0.1, -0.2, 45.0], [0.0, 0.3, 55.0]]),
        "bbox_centres": np.array([[300.0, 200.0], [256.0, 256.0]]),
        "bbox_whs": np.array([180.0, 200.0]),
    } | changes
    root.mkdir(exist_ok=True)
    np.savez(root / "labels.npz", **{key: value for key, value in rows.items() if value is not None})
    return rows


def people(root: Path) -> list[Annotation | Reject]:
    reader = Ssp3d(root)
    [unit] = reader.units("all")
    assert unit.num_hint == 2
    return list(reader.read("all", unit))


def first(root: Path) -> Annotation:
    one = people(root)[0]
    assert isinstance(one, Annotation)
    return one


@pytest.mark.parametrize("folder", ["", "ssp_3d"])
def test_gendered_fits_in_the_camera(tmp_path: Path, folder: str) -> None:
    rows = labels(tmp_path / folder)
    one, other = people(tmp_path)
    assert isinstance(one, Annotation)
    assert isinstance(other, Annotation)
    assert one.body is not None
    assert other.body is not None
    assert (one.body.model, one.body.gender, other.body.gender) == ("smpl", "male", "female")
    np.testing.assert_array_equal(one.body.pose_aa.ravel(), rows["poses"][0])
    np.testing.assert_array_equal(one.body.transl_m, [0.1, -0.2, 45.0])
    assert one.body.to_cam is None
    assert not one.body.is_transl_metric
    assert (one.provenance.sequence, one.provenance.frame) == ("clipA_clip_1_person_0", NAMES[0][:-4])
    assert one.image.path == f"{folder}/images/{NAMES[0]}".lstrip("/")
    np.testing.assert_array_equal(one.camera.focal_px, 5000)
    np.testing.assert_array_equal(one.camera.principal_point_px, 256)
    assert not one.camera.is_calibrated
    assert one.image_size_px == (512, 512)


def test_centres_of_boxes_are_row_before_column(tmp_path: Path) -> None:
    labels(tmp_path)
    np.testing.assert_allclose(first(tmp_path).boxes.person_xywh_px, [110, 210, 180, 180, 1])


def test_points_of_coco_with_a_confidence_up_to_one(tmp_path: Path) -> None:
    rows = labels(tmp_path)
    [points] = first(tmp_path).keypoints2d
    assert points.names[0] == "nose"
    np.testing.assert_array_equal(points.values[:, :2], rows["joints2D"][0, :, :2])
    np.testing.assert_array_equal(points.values[:, 2], np.minimum(rows["joints2D"][0, :, 2], 1))


def test_names_and_genders_as_bytes(tmp_path: Path) -> None:
    labels(tmp_path, fnames=np.array(NAMES, "S"), genders=np.array([b"f", b"m"]))
    one = first(tmp_path)
    assert one.body is not None
    assert (one.body.gender, one.image.path) == ("female", f"images/{NAMES[0]}")


def test_an_unknown_gender_rejects_its_person(tmp_path: Path) -> None:
    labels(tmp_path, genders=np.array(["m", "x"]))
    kept, wrong = people(tmp_path)
    assert isinstance(kept, Annotation)
    assert isinstance(wrong, Reject)
    assert (wrong.reason, wrong.provenance.source_row) == ("malformed", "1")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cam_trans": None}, "expected cam_trans, found only"),
        ({"poses": np.zeros((2, 69))}, "poses"),
        ({"shapes": np.zeros((1, 10))}, "shapes"),
        ({"genders": np.array(["m"])}, "genders"),
        ({"fnames": np.arange(2)}, "fnames"),
    ],
)
def test_arrays_that_do_not_fit_are_one_error(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    labels(tmp_path, **changes)
    with pytest.raises(RawFileError, match=rf"labels\.npz.*{expected}"):
        people(tmp_path)


def test_a_wrong_root_is_told_in_the_datasets_words(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match=r"ssp_3d/labels\.npz or labels\.npz"):
        people(tmp_path)
