"""BEHAVE's layout, hand-made from its description."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.behave import Behave

SEQUENCE, OTHER = "Date01_Sub01_backpack_back", "Date03_Sub06_chairwood_sit"
FRAMES = ("t0003.000", "t0004.000")
PARTS = {"body_joints": 25, "left_hand_joints": 21, "right_hand_joints": 21, "face_joints": 70}


def fit(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    return {"pose": rng.normal(size=156), "betas": rng.normal(size=10), "trans": np.array([0.1, 0.2, 2.5])} | changes


def local_to_world(kinect: int) -> tuple[np.ndarray, np.ndarray]:
    angle = 0.4 * (kinect - 1)
    rotation = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return rotation, np.array([kinect - 1.0, 0, 0.5 * (kinect - 1)])


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_fit(root: Path, frame: str, values: Any, sequence: str = SEQUENCE, folder: str = "fit02") -> Path:
    path = root / "sequences" / sequence / frame / "person" / folder / "person_fit.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(values))
    return path


def write(root: Path, *, kinects: Any = (0, 1, 2, 3), pictures: bool = True) -> Behave:
    write_json(root / "split.json", {"train": [SEQUENCE, "Date02_Sub02_notathand"], "test": [OTHER]})
    for date in ("Date01", "Date03"):
        for kinect in range(4):
            rotation, translation = local_to_world(kinect)
            pose = {"rotation": rotation.ravel().tolist(), "translation": translation.tolist()}
            write_json(root / f"calibs/{date}/config/{kinect}/config.json", pose)
    for kinect in range(4):
        opencv = [970 + kinect, 971, 1020, 770, 0.5, -2.5, 0.001, 0.002, 1.5, 0.4, -2.4, 1.4]
        color = {"fx": 970 + kinect, "fy": 971, "cx": 1020, "cy": 770, "width": 2048, "height": 1536, "opencv": opencv}
        write_json(root / f"calibs/intrinsics/{kinect}/calibration.json", {"color": color, "depth": {}, "codx": 0})
    for sequence, gender in ((SEQUENCE, "male"), (OTHER, "female")):
        info = {"gender": gender, "config": "../../calibs/Date01/config", "cat": "x", "kinects": kinects}
        write_json(
            root / "sequences" / sequence / "info.json",
            {k: v for k, v in info.items() if v is not None},
        )
        for frame in FRAMES:
            folder = root / "sequences" / sequence / frame
            write_fit(root, frame, fit(), sequence)
            for kinect in range(4) if pictures else ():
                (folder / f"k{kinect}.color.jpg").write_bytes(b"picture")
                (folder / f"k{kinect}.person_mask.png").write_bytes(b"mask")
    return Behave(root)


def read(reader: Behave, split: str = "train") -> list[Annotation | Reject]:
    return [person for unit in reader.units(split) for person in reader.read(split, unit)]


def annotations(reader: Behave, split: str = "train") -> list[Annotation]:
    people = read(reader, split)
    assert all(isinstance(person, Annotation) for person in people), people
    return [person for person in people if isinstance(person, Annotation)]


def identity(person: Annotation | Reject) -> tuple[str, str, str]:
    return person.provenance.sequence, person.provenance.frame, person.provenance.person


def test_one_person_a_kinect_and_frame_of_the_sequences_at_hand(tmp_path: Path) -> None:
    reader = write(tmp_path)
    people = annotations(reader)
    assert {identity(p) for p in people} == {(f"{SEQUENCE}/k{k}", frame, "0") for k in range(4) for frame in FRAMES}
    assert all((tmp_path / p.image.path).is_file() for p in people)
    assert {p.provenance.subject for p in people} == {"Sub01"}
    assert [p.body.gender for p in annotations(reader, "test") if p.body] == ["female"] * 8


def test_world_is_kinect_1_and_poses_are_inverted_once(tmp_path: Path) -> None:
    for person in annotations(write(tmp_path)):
        kinect = int(person.provenance.sequence[-1])
        rotation, translation = local_to_world(kinect)
        body, camera = person.body, person.camera
        assert body is not None
        assert body.to_cam is not None
        np.testing.assert_allclose(body.to_cam.rotmat, rotation.T, atol=1e-12)
        np.testing.assert_allclose(body.to_cam.transl_m, -rotation.T @ translation, atol=1e-12)
        np.testing.assert_allclose(camera.world_to_cam_transl_m, -rotation.T @ translation, atol=1e-6)
        if kinect == 1:
            np.testing.assert_allclose(body.to_cam.rotmat, np.eye(3), atol=1e-12)
        assert (body.model, body.gender, body.hands) == ("smplh", "male", "absolute")
        np.testing.assert_array_equal(body.pose_aa.ravel(), fit()["pose"])
        np.testing.assert_array_equal(body.transl_m, fit()["trans"])
        assert body.has_left_hand
        assert not body.has_jaw
        np.testing.assert_allclose(camera.focal_px, [970 + kinect, 971])
        expected = [0.5, -2.5, 0.001, 0.002, 1.5, 0.4, -2.4, 1.4, 0, 0, 0, 0]
        np.testing.assert_allclose(camera.distortion, expected, rtol=1e-6)
        assert person.image_size_px == (2048, 1536), "width before height"
        assert person.image.path.endswith(f"k{kinect}.color.jpg"), "the distorted picture of the download"


@pytest.mark.parametrize(("kinects", "expected"), [(None, "012"), ([0, 2], "02"), ([1, 3], "13")])
def test_kinects_are_those_that_info_names(tmp_path: Path, kinects: Any, expected: str) -> None:
    people = annotations(write(tmp_path, kinects=kinects))
    assert sorted({p.provenance.sequence[-1] for p in people}) == list(expected)


def test_detections_and_triangulated_joints(tmp_path: Path) -> None:
    reader = write(tmp_path)
    folder = tmp_path / "sequences" / SEQUENCE / FRAMES[0]
    flat = {key: [100.0, 200.0, 0.7] * count for key, count in PARTS.items()}
    write_json(folder / "k2.color.json", flat | {"face_joints": [0.0] * 210})
    write_json(folder / "k3.color.json", {key: [0.0] * (3 * count) for key, count in PARTS.items()})
    write_json(folder / "person/person_J3d.json", {"body_joints3d": [1.0, 2.0, 3.0, 0.5] * 24 + [0.0] * 4})
    found = {p.provenance.sequence[-2:]: p for p in annotations(reader) if p.provenance.frame == FRAMES[0]}
    assert [len(found[view].keypoints2d) for view in ("k0", "k1", "k2", "k3")] == [0, 0, 1, 0]
    [points] = found["k2"].keypoints2d
    assert points.values.shape == (137, 3)
    assert not points.values[67:, 2].any()
    for view, person in found.items():
        rotation, translation = local_to_world(int(view[-1]))
        joints = person.keypoints3d
        assert joints is not None
        np.testing.assert_allclose(joints.values[0, :3], rotation.T @ ([1, 2, 3] - translation), atol=1e-9)
        assert joints.values[0, 3] == 0.5
        assert not joints.values[24].any()


def test_a_frame_without_an_accepted_fit_is_a_reject(tmp_path: Path) -> None:
    reader = write(tmp_path)
    write_fit(tmp_path, FRAMES[0], fit(), folder="fit01")
    (tmp_path / "sequences" / SEQUENCE / FRAMES[0] / "person/fit02/person_fit.pkl").unlink()
    rejects = [p for p in read(reader) if isinstance(p, Reject)]
    assert {(r.reason, r.provenance.frame) for r in rejects} == {("no-fit", FRAMES[0])}
    assert len(rejects) == 4


def test_extracted_frames_are_not_of_the_1_fps_release(tmp_path: Path) -> None:
    reader = write(tmp_path)
    folder = tmp_path / "sequences" / SEQUENCE / "t0003.033"
    folder.mkdir()
    (folder / "k1.color.jpg").write_bytes(b"picture")
    assert {p.provenance.frame for p in annotations(reader)} == set(FRAMES)


def test_missing_pictures_are_rejects_only_where_others_are_at_hand(tmp_path: Path) -> None:
    reader = write(tmp_path)
    (tmp_path / "sequences" / SEQUENCE / FRAMES[1] / "k3.color.jpg").unlink()
    rejects = [p for p in read(reader) if isinstance(p, Reject)]
    assert [(r.reason, *identity(r)[:2]) for r in rejects] == [("image-missing", f"{SEQUENCE}/k3", FRAMES[1])]


def test_annotations_alone(tmp_path: Path) -> None:
    assert len(annotations(write(tmp_path, pictures=False))) == 8


def write30(root: Path, sequence: str = SEQUENCE, **changes: Any) -> Behave:
    folder = root / "behave-30fps-params-v1" / sequence
    folder.mkdir(parents=True)
    rows = {
        "poses": np.arange(3)[:, None] + np.zeros((3, 156)),
        "betas": np.ones((3, 10)),
        "trans": np.arange(3)[:, None] + np.zeros((3, 3)),
        "frame_times": np.array(["t0003.000", "t0003.033", "t0004.000"]),
    }
    np.savez(folder / "smpl_fit_all.npz", **(rows | changes))
    return Behave(root, form="30fps")


def test_the_30_fps_form_has_a_row_a_frame(tmp_path: Path) -> None:
    write(tmp_path, pictures=False)
    people = annotations(write30(tmp_path))
    assert [p.provenance.frame for p in people if p.provenance.sequence.endswith("k1")] == [
        *("t0003.000", "t0003.033", "t0004.000"),
    ]
    assert len(people) == 12
    for person in people:
        assert person.body is not None
        assert person.body.transl_m is not None
        assert str(int(person.body.transl_m[0])) == person.provenance.source_row
        assert person.body.gender == "male"


def test_at_30_fps_only_extracted_pictures_count_where_there_are_any(tmp_path: Path) -> None:
    write(tmp_path)
    found = {p.provenance.frame: getattr(p, "reason", "") for p in read(write30(tmp_path))}
    assert found == {"t0003.000": "", "t0003.033": "image-missing", "t0004.000": ""}


def test_a_sequence_cut_in_two_stays_in_its_split(tmp_path: Path) -> None:
    write(tmp_path)
    write30(tmp_path, f"{SEQUENCE}_part2")
    write_json(tmp_path / "behave-30fps-params-v1" / f"{SEQUENCE}_part2" / "info.json", {"gender": "female"})
    reader = Behave(tmp_path, form="30fps")
    assert [unit.id for unit in reader.units("train")] == [f"{SEQUENCE}_part2"]
    with pytest.raises(RawLayoutError, match="behave-30fps-params-v1"):
        reader.units("test")
    people = annotations(reader)
    assert {p.body.gender for p in people if p.body} == {"female"}, "the info beside the parameters comes first"
    assert len(people) == 9, "three Kinects where info names none"


@pytest.mark.parametrize(
    "change",
    [
        {"poses": np.zeros((3, 72))},
        {"trans": np.zeros((2, 3))},
        {"frame_times": np.array([3.0, 3.1, 3.2])},
        {"frame_times": np.array(["t0003.000"] * 3)},
        {"frame_times": np.array(["../x", "t0003.033", "t0004.000"])},
    ],
)
def test_other_tables_are_one_error(tmp_path: Path, change: dict[str, Any]) -> None:
    write(tmp_path)
    with pytest.raises(RawFileError, match=r"smpl_fit_all\.npz"):
        read(write30(tmp_path, **change))


@pytest.mark.parametrize(
    ("file", "value"),
    [
        ("split.json", {"train": ["../escape"]}),
        ("split.json", {"train": 3}),
        (f"sequences/{SEQUENCE}/info.json", {"gender": "m"}),
        (f"sequences/{SEQUENCE}/info.json", {"gender": "male", "kinects": ["../1"]}),
        ("calibs/Date01/config/2/config.json", {"rotation": [0] * 9, "translation": [0, 0, 0]}),
        ("calibs/intrinsics/2/calibration.json", {"color": {"fx": 1}}),
        (f"sequences/{SEQUENCE}/{FRAMES[0]}/k0.color.json", {"people": []}),
        (f"sequences/{SEQUENCE}/{FRAMES[0]}/person/person_J3d.json", {"body_joints3d": [1, 2]}),
    ],
)
def test_damaged_files_are_one_error(tmp_path: Path, file: str, value: Any) -> None:
    reader = write(tmp_path)
    write_json(tmp_path / file, value)
    with pytest.raises(RawFileError, match=Path(file).name):
        read(reader)


@pytest.mark.parametrize("change", [{"pose": np.zeros(72)}, {"betas": "x"}, {"trans": np.zeros(4)}])
def test_wrong_parameters_are_rejects(tmp_path: Path, change: dict[str, Any]) -> None:
    reader = write(tmp_path)
    write_fit(tmp_path, FRAMES[0], fit(**change))
    rejects = [p for p in read(reader) if isinstance(p, Reject)]
    assert [r.reason for r in rejects] == ["malformed"] * 4


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match=r"split\.json"):
        Behave(tmp_path).units("train")
    write_json(tmp_path / "split.json", {"train": [SEQUENCE], "test": []})
    with pytest.raises(RawLayoutError, match="sequences/<sequence"):
        Behave(tmp_path).units("train")
    (tmp_path / "sequences" / SEQUENCE).mkdir(parents=True)
    with pytest.raises(RawLayoutError, match=r"info\.json"):
        Behave(tmp_path).units("train")
    write_json(tmp_path / "sequences" / SEQUENCE / "info.json", {"gender": "male"})
    with pytest.raises(RawLayoutError, match="calibs/intrinsics/0"):
        Behave(tmp_path).units("train")


def test_real_detections_have_this_form(samples: Path) -> None:
    from harmonize.raw.jsons import load_json
    from harmonize.readers.behave import DETECTION_PARTS
    from harmonize.readers.openpose import points_of

    points = points_of(load_json(samples / "behave/sequences_like/000000117377/k1.color.json"), DETECTION_PARTS)
    assert points is not None
    assert points.values.shape == (137, 3)
    found = points.values[points.values[:, 2] > 0]
    assert len(found) > 10
    assert (found[:, :2] >= 0).all()
    assert (found[:, 0] <= 640).all()
    assert (found[:, 1] <= 519).all()
