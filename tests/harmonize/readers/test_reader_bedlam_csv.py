"""BEDLAM's full release (scenes, cameras, motions), hand-made from its description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.bedlam import Bedlam

JOB = "20221010_3_1000_batch01hand"
CLOSEUP = "20221011_1_250_batch01hand_closeup_suburb_a"
WIDE_CLOSEUP = "20221017_1_250_batch01hand_closeup_suburb_a"
HEADER = "Index,Type,Body,X,Y,Z,Yaw,Pitch,Roll,Comment"
CAMERA_HEADER = "name,x,y,z,yaw,pitch,roll,focal_length,sensor_width,sensor_height,hfov"
CAMERA = {"x": 5.058579, "y": -9.743741, "z": 168.953232, "yaw": 1.468127, "pitch": -2.905068, "roll": 2.813995}
BODY = {"X": 650.5, "Y": -42.0, "Z": 1.5, "Yaw": 211.0}
FRAMES = 6


def body_row(name: str = "rp_aaron_posed_002_1034", start: int = 2, **changes: Any) -> str:
    at = BODY | changes
    values = ",".join(str(at[key]) for key in ("X", "Y", "Z", "Yaw"))
    return f"1,Body,{name},{values},0.0,0.0,start_frame={start};texture_body=skin_m;texture_clothing=texture_02"


def camera_row(frame: int, sequence: str = "seq_000000", **changes: Any) -> str:
    at = CAMERA | {"focal": 36.905 + frame} | changes
    values = ",".join(str(at[key]) for key in ("x", "y", "z", "yaw", "pitch", "roll", "focal"))
    return f"{sequence}_{frame:04d}.png,{values},36,20.25,52"


def motion(seed: int = 0, num_rows: int = 10, num_betas: int = 11) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    arrays = {"poses": rng.normal(size=(num_rows, 165)), "trans": rng.normal(size=(num_rows, 3))}
    named = {"gender": np.array("neutral"), "gender_sub": np.array("m"), "motion_info": np.array("walk")}
    return arrays | named | {"betas": rng.normal(size=num_betas)}


def write_motion(root: Path, body: str, arrays: dict[str, Any]) -> None:
    subject, _, number = body.rpartition("_")
    path = root / "neutral_ground_truth_motioninfo" / subject / number / "motion_seq.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def write(
    root: Path,
    bodies: list[str] | None = None,
    cameras: list[str] | None = None,
    job: str = JOB,
) -> Bedlam:
    lines = [HEADER, "0,Comment,None,0,0,0,0,0,0,bodies_min=3;bodies_max=3"]
    lines += [f"0,Group,None,0.0,0.0,170.0,0.0,0.0,0.0,sequence_name=seq_000000;frames={FRAMES};hdri=a.hdr"]
    lines += [body_row()] if bodies is None else bodies
    folder = root / job
    (folder / "ground_truth/camera").mkdir(parents=True, exist_ok=True)
    (folder / "be_seq.csv").write_text("\n".join(lines) + "\n")
    shots = [camera_row(frame) for frame in range(FRAMES)] if cameras is None else cameras
    (folder / "ground_truth/camera/seq_000000_camera.csv").write_text("\n".join([CAMERA_HEADER, *shots]) + "\n")
    write_motion(root, "rp_aaron_posed_002_1034", motion())
    return Bedlam(root, form="csv")


def read(reader: Bedlam) -> list[Annotation | Reject]:
    return [item for unit in reader.units("train") for item in reader.read("train", unit)]


def kept(reader: Bedlam) -> list[Annotation]:
    return [item for item in read(reader) if isinstance(item, Annotation)]


def published(points: np.ndarray, roll_offset: float) -> np.ndarray:
    """The way of the official label script: world rotation of the body without the camera's yaw, then pitch and roll,
    and the offset between body and camera turned by all three."""
    body_yaw, yaw, pitch = BODY["Yaw"], -CAMERA["yaw"], -CAMERA["pitch"]
    roll = -CAMERA["roll"] + roll_offset
    tilt = Rotation.from_euler("z", roll, degrees=True) * Rotation.from_euler("x", pitch, degrees=True)
    turned = Rotation.from_euler("y", body_yaw - 90 + yaw, degrees=True).apply(points * [1, -1, -1])
    gap_cm = np.array([BODY[key] - CAMERA[key.lower()] for key in ("X", "Y", "Z")])
    gap_m = np.array([gap_cm[1], -gap_cm[2], gap_cm[0]]) / 100
    offset = (tilt * Rotation.from_euler("y", yaw, degrees=True)).apply(gap_m)
    return np.asarray(tilt.apply(turned) + offset)


@pytest.mark.parametrize(("job", "roll_offset"), [(JOB, 0.0), (CLOSEUP, 90.0), (WIDE_CLOSEUP, 0.0)])
def test_bodies_go_the_published_way_to_the_camera(tmp_path: Path, job: str, roll_offset: float) -> None:
    person = kept(write(tmp_path, job=job))[0]
    assert person.body is not None
    to_cam = person.body.to_cam
    assert to_cam is not None
    points = np.random.default_rng(3).normal(size=(10, 3))
    found = points @ to_cam.rotmat.T + to_cam.transl_m
    np.testing.assert_allclose(found, published(points, roll_offset), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(to_cam.rotmat), 1.0)


def test_closeups_are_turned_but_one(tmp_path: Path) -> None:
    turned, wide = kept(write(tmp_path / "a", job=CLOSEUP))[0], kept(write(tmp_path / "b", job=WIDE_CLOSEUP))[0]
    assert (turned.image.orientation, turned.image_size_px) == (6, (720, 1280))
    np.testing.assert_array_equal(turned.camera.principal_point_px, [360, 640])
    assert (wide.image.orientation, wide.image_size_px) == (1, (1280, 720))
    np.testing.assert_allclose(turned.camera.focal_px, 36.905 / 36 * 1280, rtol=1e-6)
    np.testing.assert_array_equal(turned.camera.focal_px, wide.camera.focal_px)


def test_turning_the_picture_turns_the_points(tmp_path: Path) -> None:
    """The wide and the turned camera see the same: x, y of the wide picture are -y, x of the one turned clockwise."""
    ways = []
    for number, job in enumerate((CLOSEUP, WIDE_CLOSEUP)):
        body = kept(write(tmp_path / str(number), job=job))[0].body
        assert body is not None
        assert body.to_cam is not None
        ways.append(body.to_cam.transl_m)
    turned, wide = ways
    np.testing.assert_allclose(turned, [-wide[1], wide[0], wide[2]], atol=1e-12)


def test_every_frame_has_its_row_camera_and_identifiers(tmp_path: Path) -> None:
    people, stored = kept(write(tmp_path)), motion()
    assert [person.provenance.frame for person in people] == [f"{frame:04d}" for frame in range(FRAMES)]
    for frame, person in enumerate(people):
        body, source = person.body, person.provenance
        assert body is not None
        assert (body.model, body.gender, body.hands) == ("smplx", "neutral", "absolute")
        np.testing.assert_array_equal(body.pose_aa.ravel(), stored["poses"][frame + 2])
        np.testing.assert_array_equal(body.transl_m, stored["trans"][frame + 2])
        np.testing.assert_array_equal(body.betas, stored["betas"])
        assert (body.has_left_hand, body.has_jaw, body.has_eyes, body.has_expression) == (True, True, True, False)
        np.testing.assert_allclose(person.camera.focal_px, (36.905 + frame) / 36 * 1280, rtol=1e-6)
        assert (source.sequence, source.person, source.subject) == (f"{JOB}/seq_000000", "0", "rp_aaron_posed_002")
        assert person.image.path == f"{JOB}/png/seq_000000/seq_000000_{frame:04d}.png"
        assert source.image_path == person.image.name


def test_the_camera_is_one_for_all_people_of_a_picture(tmp_path: Path) -> None:
    write_motion(tmp_path, "rp_b_7", motion(5))
    first, second, *_ = kept(write(tmp_path, [body_row(), body_row("rp_b_7", X=700.0)]))
    assert (first.provenance.person, second.provenance.person) == ("0", "1")
    assert first.provenance.frame == second.provenance.frame
    assert first.camera.has_extrinsics
    np.testing.assert_array_equal(first.camera.world_to_cam_transl_m, second.camera.world_to_cam_transl_m)
    at_m = np.array([CAMERA["y"], -CAMERA["z"], CAMERA["x"]]) / 100
    camera = first.camera
    np.testing.assert_allclose(camera.world_to_cam_rotmat @ at_m + camera.world_to_cam_transl_m, 0, atol=1e-6)


def test_frames_are_those_of_the_names(tmp_path: Path) -> None:
    """Every fifth picture, or one lost: a row of the camera file is no row of the motion."""
    people = kept(write(tmp_path, cameras=[camera_row(frame) for frame in (0, 5, 7)]))
    assert [person.provenance.frame for person in people] == ["0000", "0005", "0007"]
    for person, row in zip(people, (2, 7, 9), strict=True):
        assert person.body is not None
        np.testing.assert_array_equal(person.body.pose_aa.ravel(), motion()["poses"][row])


def test_a_motion_that_ends_early_loses_nobody_silently(tmp_path: Path) -> None:
    items = read(write(tmp_path, [body_row(start=7)]))
    assert [isinstance(item, Annotation) for item in items] == [True] * 3 + [False] * 3
    last = items[-1]
    assert isinstance(last, Reject)
    assert (last.reason, last.numbers) == ("no-fit", {"row": 12, "num_rows": 10})


def test_movies_serve_where_there_are_no_pictures_and_are_upright(tmp_path: Path) -> None:
    reader = write(tmp_path, job=CLOSEUP)
    movie = tmp_path / CLOSEUP / "mp4/seq_000000.mp4"
    movie.parent.mkdir()
    movie.touch()
    person = kept(reader)[4]
    assert (person.image.path, person.image.orientation) == (f"{CLOSEUP}/mp4/seq_000000.mp4", 1)
    assert person.image.video is not None
    assert (person.image.video.index, person.image.video.num_frames) == (4, FRAMES)
    assert person.image_size_px == (720, 1280)
    picture = tmp_path / CLOSEUP / "png/seq_000000/seq_000000_0004.png"
    picture.parent.mkdir(parents=True)
    picture.touch()
    assert kept(reader)[4].image.path.endswith("_0004.png")


def test_units_are_sequences_with_their_files(tmp_path: Path) -> None:
    write_motion(tmp_path, "rp_b_7", motion(5))
    group = "0,Group,None,0,0,0,0,0,0,sequence_name=seq_000001;frames=4"
    reader = write(tmp_path, [body_row(), body_row(), group, body_row("rp_b_7")])
    camera = tmp_path / JOB / "ground_truth/camera/seq_000001_camera.csv"
    with pytest.raises(RawLayoutError, match=r"seq_000001_camera\.csv"):
        reader.units("train")
    camera.write_text("\n".join([CAMERA_HEADER, camera_row(0, "seq_000001")]) + "\n")
    first, second = reader.units("train")
    assert (first.id, first.num_hint) == (f"{JOB}/seq_000000", 2 * FRAMES)
    assert (second.id, second.num_hint) == (f"{JOB}/seq_000001", 4)
    assert second.files == (
        f"{JOB}/be_seq.csv",
        f"{JOB}/ground_truth/camera/seq_000001_camera.csv",
        "neutral_ground_truth_motioninfo/rp_b/7/motion_seq.npz",
    )
    assert len(first.files) == 3, "a motion that two bodies have is one file"


def test_the_folders_of_the_official_scripts_serve_too(tmp_path: Path) -> None:
    write(tmp_path / "images")
    (tmp_path / "smplx_gt").mkdir()
    (tmp_path / "images/neutral_ground_truth_motioninfo").rename(tmp_path / "smplx_gt/neutral_ground_truth")
    person = kept(Bedlam(tmp_path, form="csv"))[0]
    assert person.provenance.sequence == f"{JOB}/seq_000000"
    assert person.image.path == f"images/{JOB}/png/seq_000000/seq_000000_0000.png"


@pytest.mark.parametrize(
    ("bodies", "expected"),
    [
        ([body_row("../../secret_1")], "Body"),
        ([body_row("nounderscore")], "Body"),
        ([body_row(X="east")], "'X'"),
        ([body_row(Yaw="nan")], "'Yaw'"),
        ([body_row().replace("start_frame=2", "start_frame=-2")], "start_frame"),
        (["0,Group,None,0,0,0,0,0,0,sequence_name=seq_000000"], "each once"),
        (["0,Group,None,0,0,0,0,0,0,sequence_name=../seq_000000"], "sequence_name"),
        (["1,Body,a_1,0,0"], "5 values"),
    ],
)
def test_wrong_scenes_are_one_error(tmp_path: Path, bodies: list[str], expected: str) -> None:
    with pytest.raises(RawFileError, match=rf"be_seq\.csv.*{expected}"):
        read(write(tmp_path, bodies))


@pytest.mark.parametrize(
    ("cameras", "expected"),
    [
        ([], "name"),
        ([camera_row(0), camera_row(0)], "each once"),
        ([camera_row(0, "seq_000009")], "seq_000000_<frame>"),
        ([camera_row(0, focal=0)], "focal_length"),
        ([camera_row(0, yaw="inf")], "yaw"),
        ([camera_row(0)[:-14]], "values in line 2"),
    ],
)
def test_wrong_cameras_are_one_error(tmp_path: Path, cameras: list[str], expected: str) -> None:
    with pytest.raises(RawFileError, match=rf"seq_000000_camera\.csv.*{expected}"):
        read(write(tmp_path, cameras=cameras))


def test_a_cut_table_shows_even_inside_its_last_value(tmp_path: Path) -> None:
    for name in ("be_seq.csv", "ground_truth/camera/seq_000000_camera.csv"):
        reader = write(tmp_path)
        path = tmp_path / JOB / name
        path.write_bytes(path.read_bytes()[:-2])
        with pytest.raises(RawFileError, match=rf"{path.name}.*truncated"):
            read(reader)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"poses": np.zeros((10, 72))}, "poses"),
        ({"trans": np.zeros((9, 3))}, "trans"),
        ({"betas": np.zeros(16)}, "locked heads"),
    ],
)
def test_motions_of_other_models_are_refused(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    reader = write(tmp_path)
    write_motion(tmp_path, "rp_aaron_posed_002_1034", motion() | changes)
    with pytest.raises(RawFileError, match=rf"motion_seq\.npz.*{expected}"):
        read(reader)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match=r"<job>/be_seq\.csv"):
        Bedlam(tmp_path, form="csv").units("train")
    reader = write(tmp_path, [body_row("rp_gone_3")])
    with pytest.raises(RawLayoutError, match=r"rp_gone/3/motion_seq\.npz"):
        reader.units("train")
