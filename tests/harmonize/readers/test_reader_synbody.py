"""SynBody's sequences, hand-made from their description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.synbody import Synbody

SEQUENCE = "20230113/Downtown/LS_0114_004551_088_CAM002"
NO_BUG, BUG = "smplx_withJoints_inCamSpace_noBUG", "smplx_withJoints_inCamSpace"
SMPLX = {"transl": 3, "global_orient": 3, "body_pose": 63, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3}
SMPLX |= {"left_hand_pose": 45, "right_hand_pose": 45, "expression": 10}
SMPL = {"transl": 3, "global_orient": 3, "body_pose": 69}


def params(num: int, sizes: dict[str, int] = SMPLX, betas: int = 1) -> dict[str, np.ndarray]:
    """Rows that tell their number: every value of row i is i + a fraction."""
    rng = np.random.default_rng(1)
    rows = {key: np.arange(num)[:, None] / 10 + rng.uniform(0.01, 0.02, (num, size)) for key, size in sizes.items()}
    return rows | {"betas": np.arange(betas)[:, None] + rng.normal(size=(betas, 10))}


def points(num: int, size: int) -> np.ndarray:
    return np.tile(np.arange(num)[:, None, None], (1, 144, size)).astype(float)


def write(
    root: Path,
    folder: str,
    num_pictures: int,
    *,
    person: str = "actor_0",
    model: str = "smplx",
    first: int = 1,
    gender: str = "female",
    **arrays: Any,
) -> None:
    path = root / SEQUENCE / folder / f"{person}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {model: arrays.pop("params"), "meta": {"gender": gender}}
    arrays |= {key: np.array(value, object) for key, value in content.items()}
    np.savez(path, **arrays)
    rgb = root / SEQUENCE / "rgb"
    rgb.mkdir(exist_ok=True)
    for frame in range(first, first + num_pictures):
        (rgb / f"{frame:04d}.jpeg").touch()


def read(root: Path, form: str = "smplx") -> list[Annotation]:
    reader = Synbody(root, form=form)
    items = [item for unit in reader.units("train") for item in reader.read("train", unit)]
    people = [item for item in items if isinstance(item, Annotation)]
    assert len(people) == len(items)
    return people


def transl(person: Annotation) -> np.ndarray:
    assert person.body is not None
    assert person.body.transl_m is not None
    return np.asarray(person.body.transl_m)


def test_parameters_are_gendered_with_relative_hands_in_the_camera(tmp_path: Path) -> None:
    stored = params(3)
    write(tmp_path, "smplx", 3, params=stored)
    people = read(tmp_path)
    assert [one.provenance.frame for one in people] == ["0001", "0002", "0003"]
    for row, one in enumerate(people):
        body = one.body
        assert body is not None
        assert (body.model, body.gender, body.hands, body.to_cam) == ("smplx", "female", "relative", None)
        order = (
            "global_orient",
            "body_pose",
            "jaw_pose",
            "leye_pose",
            "reye_pose",
            "left_hand_pose",
            "right_hand_pose",
        )
        np.testing.assert_array_equal(body.pose_aa.ravel(), np.concatenate([stored[key][row] for key in order]))
        np.testing.assert_array_equal(body.betas, stored["betas"][0])
        assert body.has_expression
        assert one.image.path == f"{SEQUENCE}/rgb/{row + 1:04d}.jpeg"
        assert (one.provenance.sequence, one.provenance.person) == (SEQUENCE, "actor_0")


def test_the_focal_length_is_640(tmp_path: Path) -> None:
    write(tmp_path, "smplx", 1, params=params(1))
    [person] = read(tmp_path)
    np.testing.assert_array_equal(person.camera.focal_px, [640, 640])
    np.testing.assert_array_equal(person.camera.principal_point_px, [640, 360])


def test_a_first_upload_still_has_the_t_pose_row(tmp_path: Path) -> None:
    stored = params(4)
    write(tmp_path, "smplx", 3, params=stored)
    people = read(tmp_path)
    assert len(people) == 3
    for row, one in enumerate(people):
        np.testing.assert_array_equal(transl(one), stored["transl"][row + 1])


def test_the_t_pose_picture_is_left_out(tmp_path: Path) -> None:
    for num_rows, shift in ((4, 1), (3, 0)):
        root = tmp_path / str(num_rows)
        stored = params(num_rows, betas=num_rows)
        write(root, NO_BUG, 4, first=0, params=stored)
        people = read(root, "internal")
        assert [one.provenance.frame for one in people] == ["0001", "0002", "0003"]
        for row, one in enumerate(people):
            np.testing.assert_array_equal(transl(one), stored["transl"][row + shift])
            assert one.body is not None
            np.testing.assert_array_equal(one.body.betas, stored["betas"][row + shift])


@pytest.mark.parametrize("num_rows", [3, 4])
@pytest.mark.parametrize("num_points", [3, 4])
def test_joints_are_aligned_by_their_own_length(tmp_path: Path, num_rows: int, num_points: int) -> None:
    write(
        tmp_path,
        NO_BUG,
        4,
        first=0,
        params=params(num_rows),
        keypoints2d=points(num_points, 2),
        keypoints3d=points(num_points, 3),
    )
    for row, one in enumerate(read(tmp_path, "internal")):
        [points2d] = one.keypoints2d
        assert one.keypoints3d is not None
        assert points2d.values[0, 0] == one.keypoints3d.values[0, 0] == row + num_points - 3
        assert points2d.is_exact
        assert len(points2d.values) == 127


def test_without_pictures_a_row_at_rest_is_the_t_pose(tmp_path: Path) -> None:
    stored = params(4)
    write(tmp_path / "a", "smplx", 0, params=stored)
    assert len(read(tmp_path / "a")) == 4
    stored["body_pose"][0] = 0
    write(tmp_path / "b", "smplx", 0, params=stored)
    people = read(tmp_path / "b")
    assert [one.provenance.frame for one in people] == ["0001", "0002", "0003"]
    np.testing.assert_array_equal(transl(people[0]), stored["transl"][1])


def test_folders_without_the_bug_are_preferred(tmp_path: Path) -> None:
    write(tmp_path, BUG, 2, params=params(2), keypoints3d=points(2, 3))
    [first, _] = read(tmp_path, "internal")
    assert first.keypoints3d is not None
    assert not first.keypoints3d.is_exact
    write(tmp_path, NO_BUG, 2, params=params(2))
    assert [one.provenance.source_file.split("/")[-2] for one in read(tmp_path, "internal")] == [NO_BUG] * 2


def test_smpl_has_no_hands(tmp_path: Path) -> None:
    stored = params(2, SMPL)
    write(tmp_path, "smpl", 2, params=stored, model="smpl", gender="male")
    person = read(tmp_path, "smpl")[1]
    assert person.body is not None
    assert (person.body.model, person.body.gender, person.body.hands) == ("smpl", "male", "absent")
    assert person.body.pose_aa.shape == (24, 3)
    np.testing.assert_array_equal(person.body.pose_aa[1:].ravel(), stored["body_pose"][1])
    assert not person.body.has_left_hand
    assert person.body.expression is None


def test_people_share_the_frames_of_a_sequence(tmp_path: Path) -> None:
    write(tmp_path / "synbody_v1_0", "smplx", 2, params=params(2), person="b")
    write(tmp_path / "synbody_v1_0", "smplx", 2, params=params(2), person="a")
    people = read(tmp_path)
    assert [(one.provenance.frame, one.provenance.person) for one in people] == [
        ("0001", "a"),
        ("0001", "b"),
        ("0002", "a"),
        ("0002", "b"),
    ]
    assert {one.provenance.sequence for one in people} == {SEQUENCE}, "the folder of the release is not part of it"
    assert people[0].image.path == f"synbody_v1_0/{SEQUENCE}/rgb/0001.jpeg"


def test_a_wrong_root_or_form_is_told_what_is_missing(tmp_path: Path) -> None:
    write(tmp_path, "smplx", 1, params=params(1))
    for form, folder in (("smpl", "/smpl/"), ("internal", NO_BUG)):
        with pytest.raises(RawLayoutError, match=folder):
            Synbody(tmp_path, form=form).units("train")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"params": params(2)}, "3 frames, found 2"),
        ({"params": params(3) | {"expression": np.zeros((2, 10))}}, "expression"),
        ({"params": params(3), "gender": "robot"}, "gender"),
        ({"params": params(3), "keypoints2d": np.zeros((3, 127, 2))}, "keypoints2d"),
        ({"params": 3.0}, "smplx"),
        ({"params": params(3), "model": "smplh"}, "expected smplx"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    write(tmp_path, "smplx", 3, **changes)
    with pytest.raises(RawFileError, match=rf"(?s)actor_0\.npz.*{expected}"):
        read(tmp_path)
