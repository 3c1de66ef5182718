"""PROX's layout, hand-made from its description."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.openpose import PARTS
from harmonize.readers.prox import Prox

RECORDING = "N3OpenArea_00157_01"
FRAMES = ("s001_frame_00001__00.00.00.029", "s001_frame_00002__00.00.00.059")
SIZES = {
    **{"betas": 10, "global_orient": 3, "transl": 3, "body_pose": 63, "left_hand_pose": 12, "right_hand_pose": 12},
    **{"jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "expression": 10},
}


def fit(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    values = {key: rng.normal(size=(1, size)).astype(np.float32) for key, size in SIZES.items()}
    return values | {
        "transl": np.array([[0.1, 0.5, 3.0]], np.float32),
        "pose_embedding": np.zeros((1, 32), np.float32),
        "camera_rotation": np.eye(3, dtype=np.float32)[None],
        "camera_translation": np.full((1, 3), 9.0, np.float32),
    }


def detection(x: float, y: float) -> dict[str, Any]:
    return {key: [x, y, 0.9] * count for key, count in PARTS.items()}


def points(path: Path, *people: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"people": people}))


def write(
    root: Path, recording: str = RECORDING, *, fits: str = "prox_qualitative_dataset/PROXD", pictures: bool = True
) -> Prox:
    base = "prox_qualitative_dataset/" if fits.startswith("prox") else ""
    for seed, frame in enumerate(FRAMES):
        path = root / fits / recording / "results" / frame / "000.pkl"
        path.parent.mkdir(parents=True)
        path.write_bytes(pickle.dumps(fit(seed), 2))
        if pictures:
            picture = root / base / "recordings" / recording / "Color" / f"{frame}.jpg"
            picture.parent.mkdir(parents=True, exist_ok=True)
            picture.write_bytes(b"picture")
    return Prox(root)


def read(reader: Prox, split: str = "qualitative") -> list[Annotation | Reject]:
    return [person for unit in reader.units(split) for person in reader.read(split, unit)]


def annotations(reader: Prox, split: str = "qualitative") -> list[Annotation]:
    people = read(reader, split)
    assert all(isinstance(person, Annotation) for person in people), people
    return [person for person in people if isinstance(person, Annotation)]


@pytest.mark.parametrize(
    "fits",
    [
        *("prox_qualitative_dataset/PROXD", "prox_qualitative_dataset/fittings/PROXD"),
        *("prox_qualitative_dataset/fittings", "PROXD", "fittings/other"),
    ],
)
def test_fits_are_found_where_the_downloads_put_them(tmp_path: Path, fits: str) -> None:
    people = annotations(write(tmp_path, fits=fits))
    assert [person.provenance.frame for person in people] == list(FRAMES), "names with dots are kept whole"
    assert {person.provenance.sequence for person in people} == {RECORDING}
    assert {person.provenance.person for person in people} == {"0"}
    assert all((tmp_path / person.image.path).is_file() for person in people)


def test_pictures_are_mirrored_and_parameters_are_not(tmp_path: Path) -> None:
    person = annotations(write(tmp_path))[0]
    assert person.image.orientation == 2
    assert person.image_size_px == (1920, 1080)
    np.testing.assert_allclose(person.camera.focal_px, [1060.53, 1060.38])
    np.testing.assert_allclose(person.camera.principal_point_px, [951.30, 536.77])
    body = person.body
    assert body is not None
    assert body.to_cam is None, "camera_rotation and camera_translation are left over from the optimisation"
    np.testing.assert_allclose(body.transl_m, [0.1, 0.5, 3.0], rtol=1e-6)
    np.testing.assert_array_equal(body.pose_aa[0], fit(0)["global_orient"][0])
    assert (body.hands, person.provenance.label_origin) == ("relative", "fit")
    assert not person.camera.has_extrinsics


@pytest.mark.parametrize(
    ("recording", "gender"),
    [
        ("MPH11_00162_01", "female"),
        ("MPH11_03452_01", "female"),
        ("MPH11_00159_02", "female"),
        ("BasementSittingBooth_03403_01", "female"),
        ("MPH11_00157_01", "male"),
        ("MPH11_01620_162", "male"),
    ],
)
def test_gender_is_the_second_part_of_the_name_as_a_number(tmp_path: Path, recording: str, gender: str) -> None:
    for person in annotations(write(tmp_path, recording)):
        assert person.body is not None
        assert person.body.gender == gender
        assert person.provenance.subject == recording.split("_")[1]


def test_a_recording_without_a_subject_is_rejected(tmp_path: Path) -> None:
    assert [p.reason for p in read(write(tmp_path, "test")) if isinstance(p, Reject)] == ["malformed"] * 2


def test_the_detection_at_the_fitted_pelvis_is_taken(tmp_path: Path) -> None:
    reader = write(tmp_path)
    folder = tmp_path / "prox_qualitative_dataset/keypoints" / RECORDING
    points(folder / f"{FRAMES[0]}_keypoints.json", detection(200, 300), detection(980, 600), detection(1700, 500))
    points(folder / f"{FRAMES[1]}_keypoints.json", detection(200, 300))
    first, second = annotations(reader)
    [named] = first.keypoints2d
    assert named.values[0, 0] == 980
    assert named.origin == "detected"
    assert second.keypoints2d == (), "somebody else, two metres away"
    [unit] = reader.units("qualitative")
    assert len(unit.files) == 4


def test_nobody_detected_keeps_the_body(tmp_path: Path) -> None:
    reader = write(tmp_path)
    points(tmp_path / "prox_qualitative_dataset/keypoints" / RECORDING / f"{FRAMES[0]}_keypoints.json")
    assert [person.keypoints2d for person in annotations(reader)] == [(), ()]


def test_a_missing_picture_is_a_reject_only_where_others_are_at_hand(tmp_path: Path) -> None:
    reader = write(tmp_path)
    (tmp_path / "prox_qualitative_dataset/recordings" / RECORDING / "Color" / f"{FRAMES[0]}.jpg").unlink()
    assert [getattr(person, "reason", "") for person in read(reader)] == ["image-missing", ""]


def test_annotations_alone(tmp_path: Path) -> None:
    assert len(annotations(write(tmp_path, pictures=False))) == 2


def quantitative(root: Path) -> tuple[Prox, np.ndarray, np.ndarray]:
    base, (to_scene, from_cam) = root / "prox_quantitative_dataset", (np.eye(4), np.eye(4))
    to_scene[:3] = [[0, -1, 0, 0.5], [1, 0, 0, 0.25], [0, 0, 1, -1]]
    from_cam[:3] = [[1, 0, 0, 0.1], [0, 0, -1, 0.2], [0, 1, 0, 2.0]]
    path = base / "fittings/mosh/vicon_03301_01/results" / FRAMES[0] / "000.pkl"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(fit(), 2))
    (base / "cam2world").mkdir()
    (base / "cam2world/vicon.json").write_text(json.dumps(from_cam.tolist()))
    (base / "vicon2scene.json").write_text(json.dumps(to_scene.tolist()))
    return Prox(root), to_scene, from_cam


def test_mosh_bodies_go_from_vicon_over_the_scene_to_the_camera(tmp_path: Path) -> None:
    reader, to_scene, from_cam = quantitative(tmp_path)
    [person] = annotations(reader, "quantitative")
    body, expected = person.body, np.linalg.inv(from_cam) @ to_scene
    assert body is not None
    assert body.to_cam is not None
    np.testing.assert_allclose(body.to_cam.rotmat, expected[:3, :3], atol=1e-12)
    np.testing.assert_allclose(body.to_cam.transl_m, expected[:3, 3], atol=1e-12)
    np.testing.assert_allclose(person.camera.world_to_cam_transl_m, np.linalg.inv(from_cam)[:3, 3], atol=1e-6)
    assert (body.gender, person.provenance.label_origin) == ("male", "capture")
    assert person.provenance.sequence == "vicon_03301_01"


@pytest.mark.parametrize("matrix", [{"trans": 1}, [[1, 2], [3, 4]], (2 * np.eye(4)).tolist(), "x"])
def test_a_matrix_that_is_no_motion_is_one_error(tmp_path: Path, matrix: Any) -> None:
    reader, _, _ = quantitative(tmp_path)
    (tmp_path / "prox_quantitative_dataset/vicon2scene.json").write_text(json.dumps(matrix))
    with pytest.raises(RawFileError, match=r"vicon2scene\.json"):
        read(reader, "quantitative")


def test_mosh_bodies_are_not_qualitative_ones(tmp_path: Path) -> None:
    quantitative(tmp_path)
    (tmp_path / "prox_quantitative_dataset").rename(tmp_path / "plain")
    reader = Prox(tmp_path / "plain")
    assert len(annotations(reader, "quantitative")) == 1
    with pytest.raises(RawLayoutError, match="PROXD"):
        reader.units("qualitative")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    for split, expected in (("qualitative", "PROXD/<recording>/results"), ("quantitative", "fittings/mosh")):
        with pytest.raises(RawLayoutError, match=expected):
            Prox(tmp_path).units(split)
    reader, _, _ = quantitative(tmp_path)
    (tmp_path / "prox_quantitative_dataset/cam2world/vicon.json").unlink()
    with pytest.raises(RawLayoutError, match=r"cam2world/vicon\.json"):
        reader.units("quantitative")


def test_damaged_points_are_one_error(tmp_path: Path) -> None:
    reader = write(tmp_path)
    points(tmp_path / "prox_qualitative_dataset/keypoints" / RECORDING / f"{FRAMES[0]}_keypoints.json", {"a": 1})
    with pytest.raises(RawFileError, match="_keypoints"):
        read(reader)
