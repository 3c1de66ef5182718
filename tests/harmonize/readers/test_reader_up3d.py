"""UP-3D people, hand-made from the description: a fit in an enlarged crop, joints in rows."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.up3d import Up3d

RNG = np.random.default_rng(8)


def write(
    root: Path,
    one: str = "00001",
    *,
    crop: str = "120 120 10 50 20 60\n",
    joints: np.ndarray | None = None,
    lines: str | None = None,
    **changes: Any,
) -> dict[str, Any]:
    fit = {
        "pose": RNG.normal(size=72) * 0.2,
        "betas": RNG.normal(size=10),
        "trans": np.array([0.1, 0.2, 0.3]),
        "rt": np.zeros(3),
        "t": np.array([0.0, 0.1, 30.0]),
        "f": 5000.0,
    } | changes
    root.mkdir(exist_ok=True)
    (root / f"{one}_body.pkl").write_bytes(pickle.dumps(fit, protocol=2))
    np.save(root / f"{one}_joints.npy", points() if joints is None else joints)
    (root / f"{one}_fit_crop_info.txt").write_text(crop)
    (root / "trainval.txt").write_text(f"/{one}_image.png\n\n" if lines is None else lines)
    return fit


def points() -> np.ndarray:
    rows = np.vstack([RNG.uniform(20, 60, 14), RNG.uniform(10, 50, 14), np.ones(14)])
    rows[2, 5] = 0
    return rows


def people(root: Path) -> list[Annotation | Reject]:
    reader = Up3d(root)
    return [item for unit in reader.units("trainval") for item in reader.read("trainval", unit)]


def only(root: Path) -> Annotation:
    [one] = people(root)
    assert isinstance(one, Annotation), one
    return one


def test_the_camera_of_the_crop_is_moved_to_the_picture(tmp_path: Path) -> None:
    write(tmp_path)
    one = only(tmp_path)
    np.testing.assert_allclose(one.camera.focal_px, 5000 / 3)
    np.testing.assert_allclose(one.camera.principal_point_px, [40, 30], err_msg="the crop's centre, not the picture's")
    assert not one.camera.is_calibrated
    write(tmp_path, crop="480 640 0 480 0 640")
    np.testing.assert_allclose(only(tmp_path).camera.principal_point_px, [320, 240])


def test_the_fit_is_neutral_smpl_moved_by_rt_and_t(tmp_path: Path) -> None:
    fit = write(tmp_path, rt=np.array([0.3, -0.2, 0.1]))
    one = only(tmp_path)
    assert (one.provenance.frame, one.provenance.person, one.provenance.sequence) == ("00001", "0", "")
    assert one.provenance.label_origin == "fit"
    body = one.body
    assert body is not None
    assert (body.model, body.gender, body.hands, body.is_transl_metric) == ("smpl", "neutral", "absent", False)
    np.testing.assert_array_equal(body.pose_aa.ravel(), fit["pose"])
    np.testing.assert_array_equal(body.transl_m, fit["trans"])
    assert body.to_cam is not None
    np.testing.assert_allclose(body.to_cam.rotmat, Rotation.from_rotvec([0.3, -0.2, 0.1]).as_matrix())
    np.testing.assert_array_equal(body.to_cam.transl_m, fit["t"])


def test_joints_are_rows(tmp_path: Path) -> None:
    rows = points()
    write(tmp_path, joints=rows)
    [found] = only(tmp_path).keypoints2d
    np.testing.assert_array_equal(found.values, rows.T)
    assert found.names[:3] == ("right_ankle", "right_knee", "right_hip_extra")
    assert found.values[5, 2] == 0


def test_two_rows_of_joints_count_where_they_are_positive(tmp_path: Path) -> None:
    rows = points()[:2]
    rows[:, 3] = 0
    write(tmp_path, joints=rows)
    [found] = only(tmp_path).keypoints2d
    np.testing.assert_array_equal(found.values[:, 2], [1, 1, 1, 0, *[1] * 10])


@pytest.mark.parametrize("lines", ["00001_image.png\n", "/00001_image.png", "\n/00001_image.png\r\n\n"])
def test_lists_with_and_without_the_slash(tmp_path: Path, lines: str) -> None:
    write(tmp_path, lines=lines)
    one = only(tmp_path)
    assert (one.provenance.frame, one.image.path) == ("00001", "00001_image.png")


def test_the_folder_of_the_archive_may_be_there(tmp_path: Path) -> None:
    write(tmp_path / "up-3d")
    assert only(tmp_path).image.path == "up-3d/00001_image.png"


def test_people_without_a_fit_or_joints(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "00001_joints.npy").unlink()
    assert only(tmp_path).keypoints2d == ()
    (tmp_path / "00001_body.pkl").unlink()
    [reject] = people(tmp_path)
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.detail) == ("no-fit", "00001_body.pkl: not there")


@pytest.mark.parametrize(
    "crop",
    ["", "120 120 10 50 20", "120 120 50 10 20 60", "a b c d e f", "120 120 10 50 20 6", "1e9 1e9 0 1 0 1", "\xff"],
)
def test_a_damaged_crop_is_one_error(tmp_path: Path, crop: str) -> None:
    write(tmp_path, crop=crop)
    with pytest.raises(RawFileError, match="00001_fit_crop_info"):
        people(tmp_path)


@pytest.mark.parametrize("lines", ["/00001_image.p", "/", "/1_image.png\n", "/../00001_image.png\n", "\n"])
def test_a_damaged_list_is_one_error(tmp_path: Path, lines: str) -> None:
    write(tmp_path, lines=lines)
    with pytest.raises(RawFileError, match=r"trainval\.txt"):
        people(tmp_path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pose": np.zeros(69)}, "pose"),
        ({"f": 0.0}, "'f'"),
        ({"t": None}, "'t'"),
        ({"betas": np.zeros(300)}, "betas"),
        ({"joints": np.zeros((14, 3))}, "joints"),
    ],
)
def test_wrong_values_reject_their_person(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    write(tmp_path, **changes)
    [reject] = people(tmp_path)
    assert isinstance(reject, Reject)
    assert reject.reason == "malformed"
    assert expected in reject.detail


def test_a_wrong_root_is_told_in_the_datasets_words(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match=r"up-3d/trainval\.txt or trainval\.txt"):
        people(tmp_path)
