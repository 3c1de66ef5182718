"""The synthetic world: people differ, stand on the ground, and are the same again for the same seed."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harmonize.miniatures import MINIATURES, python2
from harmonize.miniatures.points import is_inside, padded, tight_box
from harmonize.miniatures.scene import Wall, background, hidden_percent, write_picture
from harmonize.miniatures.virtual import view, virtual_camera
from harmonize.miniatures.world import (
    StageCamera,
    joints_of,
    moved,
    project,
    random_person,
    relative_hands_of,
    rest_pelvis_of,
    stand,
    vertices_of,
)
from harmonize.render import Mesh

KINDS = ("smpl", "smplh", "smplx")


@pytest.mark.parametrize("kind", KINDS)
def test_people_are_posed_differ_and_repeat(kind: Any) -> None:
    first, again, other = (random_person(np.random.default_rng(seed), kind, "male") for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.pose_aa, again.pose_aa)
    assert not np.allclose(first.pose_aa, other.pose_aa)
    assert (np.linalg.norm(first.pose_aa[1:], axis=1) > 0).sum() >= len(first.pose_aa) - 3
    assert np.abs(first.betas).min() > 0
    if kind != "smpl":
        left, right = first.hands_aa()
        assert np.abs(left - right * [1, -1, -1]).max() > 0.1, "the hands mirror each other"


def test_relative_hands_lack_the_mean_hand(standin: Any) -> None:
    person = random_person(np.random.default_rng(0), "smplx", "neutral")
    mean = standin.get("smplx", "neutral").hand_mean_aa
    np.testing.assert_allclose(relative_hands_of(standin, person) + mean, person.hands_aa())
    assert np.abs(mean).max() > 0.1
    with pytest.raises(ValueError, match="no fingers"):
        relative_hands_of(standin, random_person(np.random.default_rng(0), "smpl", "male"))


@pytest.mark.parametrize(("kind", "gender"), [("smpl", "female"), ("smplx", "male")])
def test_moved_parameters_give_the_moved_mesh(standin: Any, kind: Any, gender: Any) -> None:
    rng = np.random.default_rng(3)
    person = replace(random_person(rng, kind, gender), transl_m=rng.normal(size=3))
    rotmat, offset = Rotation.from_rotvec(rng.normal(size=3)).as_matrix(), rng.normal(size=3)
    wanted = vertices_of(standin, person) @ rotmat.T + offset
    got = vertices_of(standin, moved(standin, person, rotmat, offset))
    assert np.abs(wanted - got).max() < 1e-5
    careless = replace(moved(standin, person, rotmat, offset), transl_m=rotmat @ person.transl_m + offset)
    assert np.abs(wanted - vertices_of(standin, careless)).max() > 0.05


def test_people_stand_on_the_ground_and_are_upright_in_the_picture(standin: Any) -> None:
    person = random_person(np.random.default_rng(5), "smplx", "female")
    standing = stand(standin, person, 0.4, -5.0, 0.3)
    vertices = vertices_of(standin, standing)
    assert vertices[:, 1].min() == pytest.approx(0.0, abs=1e-5)
    pelvis = standing.transl_m + rest_pelvis_of(standin, standing)
    np.testing.assert_allclose(pelvis[[0, 2]], (0.4, -5.0), atol=1e-6)
    camera = StageCamera(
        focal_px=np.full(2, 500.0), principal_point_px=np.array([320.0, 240.0]), size=(640, 480), pitch_rad=0.1
    )
    joints = joints_of(standin, standing) @ camera.rotmat.T + camera.transl_m
    pixels = project(joints, camera.focal_px, camera.principal_point_px)
    names = standin.get("smplx", "female").joint_names
    row = {name: pixels[at] for at, name in enumerate(names)}
    assert row["head"][1] < row["pelvis"][1] < row["left_ankle"][1]
    assert row["left_shoulder"][0] > row["right_shoulder"][0], "who faces the camera has the left on its right"
    far = np.array([[0.0, 0.0, -1e6]]) @ camera.rotmat.T + camera.transl_m
    assert project(far, camera.focal_px, camera.principal_point_px)[0, 1] == pytest.approx(camera.horizon_px(), abs=0.1)


def test_virtual_camera_is_that_of_a_published_sample() -> None:
    box = np.array([74.55498504638672, 8.571063995361328, 1062.4967727661133, 701.8491630554199])
    focal, centre = virtual_camera(box, (1280, 720))
    np.testing.assert_allclose(focal, 34553.93, atol=0.01)
    np.testing.assert_allclose(centre, (605.3033, 358.9956), atol=1e-3)


def test_a_view_fills_the_place_asked_for(standin: Any) -> None:
    rng = np.random.default_rng(6)
    seen = view(rng, standin, random_person(rng, "smplx", "neutral"), (640, 480), 200.0, 40.0, 400.0)
    pixels = project(seen.vertices_cam_m, seen.focal_px, seen.principal_point_px)
    box = tight_box(pixels)
    np.testing.assert_allclose(box, seen.box_xywh, atol=0.1)
    assert box[1] == pytest.approx(40.0, abs=2.0)
    assert box[3] == pytest.approx(400.0, abs=4.0)
    assert seen.focal_px[0] > 5000
    assert not seen.person.pose_aa[23:25].any()


def test_occlusion_is_the_hidden_share_of_the_silhouette() -> None:
    focal, centre, size = np.full(2, 100.0), np.array([50.0, 50.0]), (101, 101)
    far = Wall(-0.4, 0.4, -0.4, 0.4, 2.0).mesh()
    half = Wall(-0.2, 0.0, -0.2, 0.2, 1.0).mesh()
    assert hidden_percent([far, half], focal, centre, size) == pytest.approx([50.0, 0.0], abs=2.0)
    outside = Mesh(far.vertices_cam_m + np.array([9.0, 0.0, 0.0]), far.faces)
    assert hidden_percent([outside], focal, centre, size) == [100.0]


def test_points_and_boxes() -> None:
    points = np.array([[0.0, 0.0], [99.0, 49.0], [100.0, 10.0], [-0.5, 3.0]])
    assert is_inside(points, (100, 50)).tolist() == [True, True, False, False]
    np.testing.assert_allclose(tight_box(points, (100, 50)), (0, 0, 99, 49))
    np.testing.assert_allclose(padded(np.array([10.0, 10.0, 20.0, 40.0]), 1.5), (5, 0, 30, 60))


def test_pictures_are_written_as_their_names_say(tmp_path: Path) -> None:
    picture = background(np.random.default_rng(0), (64, 48), 20.0)
    assert picture.shape == (48, 64, 3)
    assert picture.std() > 5
    write_picture(tmp_path / "a" / "b.jpg", picture)
    write_picture(tmp_path / "a" / "b.png", picture)
    assert (tmp_path / "a" / "b.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert (tmp_path / "a" / "b.png").read_bytes()[:4] == b"\x89PNG"


def test_python2_pickles_hold_byte_strings_and_old_paths() -> None:
    value = {
        "name": "café",
        "many": [1, 2.5, True, None, "x" * 300],
        "array": np.arange(6.0).reshape(2, 3),
        "ids": np.arange(3),
    }
    data = python2.dumps(value)
    assert b"numpy.core.multiarray" in data
    assert b"U\x04caf\xe9" in data
    back = pickle.loads(data, encoding="latin1")
    assert back["name"] == "café"
    assert back["many"] == value["many"]
    np.testing.assert_array_equal(back["array"], value["array"])
    assert back["ids"].dtype == np.int64
    with pytest.raises(UnicodeDecodeError):
        pickle.loads(data)
    with pytest.raises(TypeError, match="set"):
        python2.dumps({1, 2})


def test_a_miniature_is_the_same_again_for_its_seed(tmp_path: Path, standin: Any) -> None:
    hashes = []
    for folder, seed in (("a", 7), ("b", 7), ("c", 8)):
        MINIATURES["mscoco"](tmp_path / folder, seed=seed, people=4, models=standin)
        files = sorted(path for path in (tmp_path / folder).rglob("*") if path.is_file())
        hashes.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    assert hashes[0] == hashes[1]
    assert not set(hashes[0]) & set(hashes[2])
