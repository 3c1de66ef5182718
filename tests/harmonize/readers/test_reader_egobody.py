"""EgoBody's layout, hand-made from its description: pictures of the Kinects, and of the HoloLens."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.base import Reader
from harmonize.readers.egobody_egoset import EgobodyEgoset
from harmonize.readers.egobody_mvset import EgobodyMvset

OLD, NEW = "recording_20210907_S02_S01_01", "recording_20220225_S27_S26_01"
VIEWS = {OLD: ("master", "sub_1", "sub_2"), NEW: ("master", "sub_1", "sub_2", "sub_3", "sub_4")}
LABELS = {"sub_1": "11", "sub_2": "13", "sub_3": "14", "sub_4": "15"}
FRAMES = (1887, 1888, 1889, 1890)  # the table covers the two in the middle
DATE = "2021-09-07-155421"
SIZES = {
    **{"betas": 10, "global_orient": 3, "transl": 3, "body_pose": 63, "left_hand_pose": 12, "right_hand_pose": 12},
    **{"jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "expression": 10},
}


def fit(form: str = "smplx", **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    sizes = SIZES if form == "smplx" else {"betas": 10, "global_orient": 3, "transl": 3, "body_pose": 69}
    values: dict[str, Any] = {key: rng.normal(size=(1, size)).astype(np.float32) for key, size in sizes.items()}
    values |= {"camera_translation": np.ones((1, 3), np.float32)} if form == "smplx" else {}
    return values | changes


def motion(angle: float, *transl: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = transl
    return matrix


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_fit(root: Path, folder: str, recording: str, body: int, frame: int, values: dict[str, Any]) -> Path:
    path = root / folder / recording / f"body_idx_{body}" / "results" / f"frame_{frame:05d}" / "000.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(values))
    return path


def write(root: Path, *, level: str = "cal_trans/") -> None:
    """Two recordings: body 1, male, is the interactee of the old one, body 0, female, that of the new one."""
    root.joinpath("data_splits.csv").write_text(f"train,val,test\n{OLD},,\n{NEW},,\n")
    root.joinpath("data_info_release.csv").write_text(
        "scene_name,body_idx_0,body_idx_1,start_frame,end_frame,body_idx_fpv,recording_name\n"
        f"seminar_g110,0 female,1 male,1888,1889,1 male,{OLD}\n"
        f"cab_e,0 female,1 male,1888,1889,0 female,{NEW}\n"
    )
    for recording, interactee, scene in ((OLD, 1, "seminar_g110"), (NEW, 0, "cab_e")):
        folder = root / "calibrations" / recording
        for number, view in enumerate(VIEWS[recording][1:], 1):
            write_json(
                folder / f"{level}kinect_{LABELS[view]}to12_color.json",
                {"trans": motion(number, number, 0, 0).tolist()},
            )
        write_json(folder / f"{level}kinect12_to_world/{scene}.json", {"trans": motion(0.5, 0, 1, 0).tolist()})
        write_json(folder / f"{level}holo_to_kinect12.json", {"trans": motion(0.2, 0.1, 0.2, 0.3).tolist()})
        for form in ("smplx", "smpl"):
            for role, body in (("interactee", interactee), ("camera_wearer", 1 - interactee)):
                for frame in FRAMES:
                    write_fit(root, f"{form}_{role}_train", recording, body, frame, fit(form))
    for view in VIEWS[NEW]:
        lens = {"f": [900, 901], "c": [950, 540], "camera_mtx": [[900, 0, 950], [0, 901, 540], [0, 0, 1]]}
        write_json(root / f"kinect_cam_params/kinect_{view}/Color.json", lens | {"k": [0.1 * i for i in range(8)]})


def write_pictures(root: Path) -> None:
    for recording, views in VIEWS.items():
        for view in views:
            folder = root / "kinect_color" / recording / view
            folder.mkdir(parents=True)
            for frame in FRAMES:
                (folder / f"frame_{frame:05d}.jpg").write_bytes(b"picture")


def stamp(frame: int) -> str:
    return str(132755000000000000 + frame)


def picture(frame: int) -> str:
    return f"{stamp(frame)}_frame_{frame:05d}.jpg"


def write_film(root: Path, recording: str, *, pv2world: dict[int, np.ndarray] | None = None, **changes: Any) -> Path:
    folder = root / "egocentric_color" / recording / DATE
    (folder / "PV").mkdir(parents=True)
    names = np.array([f"egocentric_color/{recording}/{DATE}/PV/{picture(frame)}" for frame in FRAMES])
    for frame in FRAMES:
        (folder / "PV" / picture(frame)).write_bytes(b"picture")
    lines = ["955.5,540.5,1920,1080"]
    for frame in FRAMES:
        matrix = (pv2world or {}).get(frame, motion(0.01 * (frame - 1888), 0, 0, 1))
        lines.append(",".join([stamp(frame), str(1400 + frame), str(1401 + frame), *map(str, matrix.ravel())]))
    (folder / f"{DATE}_pv.txt").write_text("\n".join(lines) + "\n")
    points = np.full((4, 25, 3), 0.5)
    points[:, 0, 0] = FRAMES
    kept = {"imgname": names, "keypoints": points, "center": np.zeros((4, 2)), "gender": np.array(["x"] * 4)}
    np.savez(folder / "keypoints.npz", **(kept | changes))
    np.savez(folder / "valid_frame.npz", imgname=names, valid=np.ones(4, bool))
    return folder


def read(reader: Reader, split: str = "train") -> list[Annotation | Reject]:
    return [person for unit in reader.units(split) for person in reader.read(split, unit)]


def annotations(reader: Reader) -> list[Annotation]:
    people = read(reader)
    assert all(isinstance(person, Annotation) for person in people), people
    return [person for person in people if isinstance(person, Annotation)]


def identity(person: Annotation | Reject) -> tuple[str, str, str]:
    source = person.provenance
    return source.sequence, source.frame, source.person


# --- multi-view set ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["cal_trans/", ""])
def test_both_people_in_every_view_within_the_interval(tmp_path: Path, level: str) -> None:
    write(tmp_path, level=level)
    write_pictures(tmp_path)
    people = annotations(EgobodyMvset(tmp_path))
    assert {identity(person) for person in people} == {
        (f"{recording}/{view}", f"frame_{frame:05d}", role)
        for recording, views in VIEWS.items()
        for view in views
        for frame in (1888, 1889)
        for role in ("interactee", "camera_wearer")
    }
    assert len(people) == (3 + 5) * 2 * 2
    assert all((tmp_path / person.image.path).is_file() for person in people)


def test_gender_and_subject_follow_the_role(tmp_path: Path) -> None:
    write(tmp_path)
    found = {
        (person.provenance.sequence.split("/")[0], person.provenance.person): (
            *(person.body.gender if person.body else "", person.provenance.subject),
        )
        for person in annotations(EgobodyMvset(tmp_path))
    }
    assert found == {
        (OLD, "interactee"): ("male", "S01"),
        (OLD, "camera_wearer"): ("female", "S02"),
        (NEW, "interactee"): ("female", "S26"),
        (NEW, "camera_wearer"): ("male", "S27"),
    }


def test_parameters_of_the_master_are_moved_to_each_view(tmp_path: Path) -> None:
    write(tmp_path)
    for person in annotations(EgobodyMvset(tmp_path)):
        recording, view = person.provenance.sequence.split("/")
        number = VIEWS[recording].index(view)
        expected = np.linalg.inv(motion(number, number, 0, 0)) if number else np.eye(4)
        body, camera = person.body, person.camera
        assert body is not None
        assert body.to_cam is not None
        np.testing.assert_array_equal(body.transl_m, fit()["transl"][0])
        np.testing.assert_allclose(body.to_cam.rotmat, expected[:3, :3], atol=1e-12)
        np.testing.assert_allclose(body.to_cam.transl_m, expected[:3, 3], atol=1e-12)
        world_to_cam = expected @ np.linalg.inv(motion(0.5, 0, 1, 0))
        np.testing.assert_allclose(camera.world_to_cam_transl_m, world_to_cam[:3, 3], atol=1e-6)
        np.testing.assert_allclose(camera.distortion, [0.1 * i for i in range(8)] + [0] * 4, rtol=1e-6)
        np.testing.assert_allclose(camera.focal_px, [900, 901])
        assert person.image.orientation is None, "not mirrored"


def test_the_wearers_face_is_hidden(tmp_path: Path) -> None:
    write(tmp_path)
    for person in annotations(EgobodyMvset(tmp_path)):
        body, is_seen = person.body, person.provenance.person == "interactee"
        assert body is not None
        assert (body.has_jaw, body.has_eyes, body.has_expression) == (is_seen,) * 3
        assert body.has_left_hand


def test_the_smpl_form_has_no_hands(tmp_path: Path) -> None:
    write(tmp_path)
    people = annotations(EgobodyMvset(tmp_path, form="smpl"))
    assert len(people) == 32
    assert all(p.body is not None and (p.body.model, p.body.hands) == ("smpl", "absent") for p in people)
    assert people[0].body is not None
    assert people[0].body.pose_aa.shape == (24, 3)


def test_missing_pictures_and_partners_are_rejects(tmp_path: Path) -> None:
    write(tmp_path)
    write_pictures(tmp_path)
    (tmp_path / "kinect_color" / NEW / "sub_3/frame_01888.jpg").unlink()
    (tmp_path / f"smplx_camera_wearer_train/{OLD}/body_idx_0/results/frame_01889/000.pkl").unlink()
    rejects = [p for p in read(EgobodyMvset(tmp_path)) if isinstance(p, Reject)]
    reasons = {(r.reason, r.provenance.sequence, r.provenance.frame, r.provenance.person) for r in rejects}
    assert reasons == {
        *(("image-missing", f"{NEW}/sub_3", "frame_01888", role) for role in ("interactee", "camera_wearer")),
        *(("partner-missing", f"{OLD}/{view}", "frame_01889", "interactee") for view in VIEWS[OLD]),
    }


def test_a_release_without_wearers_keeps_the_interactees(tmp_path: Path) -> None:
    write(tmp_path)
    for path in (tmp_path / "smplx_camera_wearer_train").glob("*/*/results/*/000.pkl"):
        path.unlink()
        path.parent.rmdir()
    for path in sorted((tmp_path / "smplx_camera_wearer_train").rglob("*"), reverse=True):
        path.rmdir()
    assert {p.provenance.person for p in annotations(EgobodyMvset(tmp_path))} == {"interactee"}


def test_views_without_a_folder_of_pictures_do_not_count(tmp_path: Path) -> None:
    write(tmp_path)
    write_pictures(tmp_path)
    for path in (tmp_path / "kinect_color" / NEW / "sub_4").iterdir():
        path.unlink()
    (tmp_path / "kinect_color" / NEW / "sub_4").rmdir()
    assert f"{NEW}/sub_4" not in {p.provenance.sequence for p in annotations(EgobodyMvset(tmp_path))}


def test_a_gender_that_contradicts_the_table_is_a_reject(tmp_path: Path) -> None:
    write(tmp_path)
    write_fit(tmp_path, "smplx_interactee_train", OLD, 1, 1888, fit(gender="female"))
    write_fit(tmp_path, "smplx_interactee_train", OLD, 1, 1889, fit(gender="male"))
    rejects = [p for p in read(EgobodyMvset(tmp_path)) if isinstance(p, Reject)]
    assert {(r.reason, r.provenance.frame) for r in rejects} == {("malformed", "frame_01888")}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("data_splits.csv", f"train,val,test\n{OLD[:-1]},,\n"),
        ("data_splits.csv", f"train,val,test\n{OLD},\n"),
        ("data_splits.csv", "val,test\n,\n"),
        ("data_splits.csv", "train,val,test\nrecording_20210907_S05_S01_01,,\n"),
        ("data_info_release.csv", "recording_name\nx\n"),
        (
            "data_info_release.csv",
            "scene_name,body_idx_0,body_idx_1,start_frame,end_frame,body_idx_fpv,recording_name\n"
            f"s,0 female,1 male,1,2,1 female,{OLD}\n",
        ),
        (f"calibrations/{OLD}/cal_trans/kinect_11to12_color.json", '{"trans": [[1]]}'),
        (f"calibrations/{OLD}/cal_trans/kinect_11to12_color.json", json.dumps({"trans": (2 * np.eye(4)).tolist()})),
        ("kinect_cam_params/kinect_master/Color.json", '{"camera_mtx": [[1,0,0],[0,1,0],[0,0,1]], "k": [1, 2, 3]}'),
    ],
)
def test_damaged_tables_are_one_error(tmp_path: Path, file: str, text: str) -> None:
    write(tmp_path)
    (tmp_path / file).write_text(text)
    with pytest.raises(RawFileError, match=Path(file).stem.split("_")[0]):
        read(EgobodyMvset(tmp_path))


@pytest.mark.parametrize("cls", [EgobodyMvset, EgobodyEgoset])
def test_what_is_missing_is_named(tmp_path: Path, cls: type[Reader]) -> None:
    with pytest.raises(RawLayoutError, match=r"data_splits\.csv"):
        cls(tmp_path).units("train")
    write(tmp_path)
    with pytest.raises(RawLayoutError, match="smplx_interactee_val"):
        cls(tmp_path).units("val")
    (tmp_path / f"calibrations/{OLD}/cal_trans/holo_to_kinect12.json").unlink()
    (tmp_path / "kinect_cam_params/kinect_master/Color.json").unlink()
    with pytest.raises(RawLayoutError, match=r"Color\.json|holo_to_kinect12\.json"):
        cls(tmp_path).units("train")


# --- egocentric set ---------------------------------------------------------------------------------------------------


def test_the_hololens_camera_is_turned_to_opencv(tmp_path: Path) -> None:
    write(tmp_path)
    write_film(tmp_path, OLD)
    write_film(tmp_path, NEW)
    people = annotations(EgobodyEgoset(tmp_path))
    assert [identity(p) for p in people] == [
        (recording, Path(picture(frame)).stem, "0") for recording in (OLD, NEW) for frame in (1888, 1889)
    ]
    for person, frame in zip(people, (1888, 1889) * 2, strict=True):
        body, camera = person.body, person.camera
        assert body is not None
        assert body.to_cam is not None
        holo, pv = motion(0.2, 0.1, 0.2, 0.3), motion(0.01 * (frame - 1888), 0, 0, 1)
        expected = np.diag([1, -1, -1, 1]) @ np.linalg.inv(pv) @ np.linalg.inv(holo)
        np.testing.assert_allclose(body.to_cam.rotmat, expected[:3, :3], atol=1e-12)
        np.testing.assert_allclose(body.to_cam.transl_m, expected[:3, 3], atol=1e-12)
        np.testing.assert_allclose(camera.focal_px, [1400 + frame, 1401 + frame])  # of this frame, not of the first
        np.testing.assert_allclose(camera.principal_point_px, [955.5, 540.5])
        world = expected @ np.linalg.inv(motion(0.5, 0, 1, 0))
        np.testing.assert_allclose(camera.world_to_cam_transl_m, world[:3, 3], atol=1e-6)
        [points] = person.keypoints2d
        assert points.values[0, 0] == frame, "detections are joined by picture"
        assert points.names[0] == "nose_openpose"
        assert person.image_size_px == (1920, 1080)
    assert [p.body.gender for p in people if p.body] == ["male", "male", "female", "female"]


def test_unusable_frames_are_rejects_with_a_reason(tmp_path: Path) -> None:
    write(tmp_path)
    folder = write_film(tmp_path, OLD, pv2world={1888: np.zeros((4, 4))})
    write_film(tmp_path, NEW)
    lines = (tmp_path / f"egocentric_color/{NEW}/{DATE}/{DATE}_pv.txt").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(stamp(1888))]
    (tmp_path / f"egocentric_color/{NEW}/{DATE}/{DATE}_pv.txt").write_text("\n".join(kept) + "\n")
    (folder / "PV" / picture(1889)).unlink()
    (tmp_path / f"smplx_interactee_train/{NEW}/body_idx_0/results/frame_01889/000.pkl").unlink()
    found = {
        (p.provenance.sequence, p.provenance.frame[-5:]): getattr(p, "reason", "")
        for p in read(EgobodyEgoset(tmp_path))
    }
    assert found == {
        (OLD, "01888"): "no-camera",
        (OLD, "01889"): "image-missing",
        (NEW, "01888"): "no-camera",
        (NEW, "01889"): "no-fit",
    }


def test_pictures_without_the_interactee_are_rejects(tmp_path: Path) -> None:
    write(tmp_path)
    names = np.array([picture(frame) for frame in (1889, 1890)])
    folder = write_film(tmp_path, OLD, imgname=names, keypoints=np.ones((2, 25, 3)))
    write_film(tmp_path, NEW)
    np.savez(
        folder / "valid_frame.npz", imgname=np.array([picture(f) for f in FRAMES]), valid=np.array([1, 0, 1, 1], bool)
    )
    found = {identity(p)[:2]: getattr(p, "reason", "") for p in read(EgobodyEgoset(tmp_path)) if identity(p)[0] == OLD}
    assert found == {(OLD, Path(picture(1888)).stem): "not-visible", (OLD, Path(picture(1889)).stem): ""}


def test_timestamps_stay_text(tmp_path: Path) -> None:
    """Neighbours differ in the 18th digit, which float64 does not hold."""
    write(tmp_path)
    write_film(tmp_path, OLD)
    write_film(tmp_path, NEW)
    focal = [person.camera.focal_px[0] for person in annotations(EgobodyEgoset(tmp_path))]
    assert float(stamp(1888)) == float(stamp(1889))
    assert len(set(focal[:2])) == 2


@pytest.mark.parametrize(
    "text",
    ["", "1,2,3\n", "1,2,3,4", "955,540,1920,1080\n1,2,3\n", "955,540,0,1080\n", "955,540,1920.5,1080\n", "a,b,c,d\n"],
)
def test_a_damaged_camera_file_is_one_error(tmp_path: Path, text: str) -> None:
    write(tmp_path)
    folder = write_film(tmp_path, OLD)
    write_film(tmp_path, NEW)
    (folder / f"{DATE}_pv.txt").write_text(text)
    with pytest.raises(RawFileError, match=r"_pv\.txt"):
        read(EgobodyEgoset(tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        {"keypoints": np.zeros((4, 24, 3))},
        {"keypoints": np.zeros((3, 25, 3))},
        {"imgname": np.zeros(4)},
        {"imgname": np.array(["a.jpg"] * 4)},
        {"imgname": np.array([["a"]])},
    ],
)
def test_damaged_detections_are_one_error(tmp_path: Path, change: dict[str, Any]) -> None:
    write(tmp_path)
    write_film(tmp_path, OLD, **change)
    write_film(tmp_path, NEW)
    with pytest.raises(RawFileError, match=r"keypoints\.npz"):
        read(EgobodyEgoset(tmp_path))
