"""InstaVariety in its four forms, hand-made from their descriptions."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import h5py
import joblib
import numpy as np
import pytest

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError, UsageError
from harmonize.raw.archives import open_archive
from harmonize.raw.tfrecords import crc32c
from harmonize.readers.instavariety import Instavariety
from harmonize.readers.instavariety_files import tfrecord_member

RNG = np.random.default_rng(92)
COUNT = 3
NAMES = ("right_heel_openpose", "right_knee_openpose", "right_hip_openpose")


def people(root: Path, split: str = "train", form: str | None = None) -> list[Annotation | Reject]:
    reader = Instavariety(root, form=form)
    return [item for unit in reader.units(split) for item in reader.read(split, unit)]


def kept(items: list[Annotation | Reject]) -> list[Annotation]:
    assert all(isinstance(item, Annotation) for item in items), items
    return [item for item in items if isinstance(item, Annotation)]


# --- the joblib table -------------------------------------------------------------------------------------------------


def fit() -> dict[str, Any]:
    params = {"pose": RNG.normal(size=72).tolist(), "shape": RNG.normal(size=10).tolist(), "trans": [0.1, 0.2, 40.0]}
    return {"smpl_param": params, "cam_param": {"focal": [5000.0, 5001.0], "princpt": [112.0, 113.0]}}


def release(
    root: Path, base: str = "", *, fits: dict[str, Any] | None = None, **changes: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    columns = {
        "ann_id": np.array([0, 7, 2]),
        "file_name": [f"clip/{n:06d}.jpg" for n in range(COUNT)],
        "img_shape": np.array([[224, 200]] * COUNT),
        "bbox": [np.array([10.0, 20.0, 100.0, 150.0])] * COUNT,
        "joints2D": RNG.uniform(0, 1, (COUNT, 25, 3)),
        "features": RNG.normal(size=(COUNT, 2048)),
    } | changes
    folder = root / base / "annotations"
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump({key: value for key, value in columns.items() if value is not None}, folder / "insta_train_db.pt")
    entries = {"0": fit(), "7": fit(), "99": fit()} if fits is None else fits
    (folder / "InstaVariety_train_SMPL_NeuralAnnot.json").write_text(json.dumps(entries))
    return columns, entries


@pytest.mark.parametrize("base", ["", "data/"])
def test_rows_and_fits_are_joined_by_id(tmp_path: Path, base: str) -> None:
    columns, fits = release(tmp_path, base)
    first, second, third = kept(people(tmp_path))
    assert [one.provenance.person for one in (first, second, third)] == ["0", "7", "2"]
    assert (second.provenance.sequence, second.provenance.frame) == ("clip", "000001")
    assert second.image.path == f"{base}images/clip/000001.jpg"
    assert second.image_size_px == (200, 224), "img_shape is height before width"
    body = second.body
    assert body is not None
    np.testing.assert_allclose(body.pose_aa.ravel(), fits["7"]["smpl_param"]["pose"], rtol=1e-6)
    assert (body.model, body.gender, body.hands, body.is_transl_metric) == ("smpl", "neutral", "absent", False)
    assert set(body.unknown_joints) == {"left_ankle", "right_ankle", "left_wrist", "right_wrist"}
    np.testing.assert_array_equal(second.camera.focal_px, [5000, 5001])
    assert not second.camera.is_calibrated
    np.testing.assert_array_equal(second.boxes.person_xywh_px, [10, 20, 100, 150, 1])
    assert (third.body, third.provenance.label_origin) == (None, ""), "an id without a fit keeps its points"
    [points] = third.keypoints2d
    assert points.names[:3] == NAMES
    np.testing.assert_allclose(points.values, columns["joints2D"][2])


@pytest.mark.parametrize("key", ["joints2d", "keypoints_of_another_name"])
def test_the_points_column_is_known_by_its_shape(tmp_path: Path, key: str) -> None:
    release(tmp_path, joints2D=None, **{key: np.ones((COUNT, 25, 2))})
    [points] = kept(people(tmp_path))[0].keypoints2d
    assert points.values[:, 2].all()


def test_without_points_a_person_needs_a_fit(tmp_path: Path) -> None:
    release(tmp_path, joints2D=None)
    first, _, third = people(tmp_path)
    assert isinstance(first, Annotation)
    assert first.keypoints2d == ()
    assert isinstance(third, Reject)
    assert third.reason == "no-fit"


def test_a_damaged_fit_rejects_its_person(tmp_path: Path) -> None:
    wrong = fit()
    wrong["smpl_param"]["pose"] = [0.0] * 69
    release(tmp_path, fits={"0": wrong, "7": fit()})
    first, second, _ = people(tmp_path)
    assert isinstance(first, Reject)
    assert (first.reason, "pose" in first.detail) == ("malformed", True)
    assert isinstance(second, Annotation)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"bbox": None}, "expected bbox, found only"),
        ({"bbox": np.zeros((2, 4))}, "bbox"),
        ({"ann_id": [0, 0, 1]}, "ann_id"),
        ({"file_name": ["a.jpg"]}, "file_name"),
        ({"img_shape": [[1], [2], [3]]}, "img_shape"),
    ],
)
def test_columns_that_do_not_fit_are_one_error(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    release(tmp_path, **changes)
    with pytest.raises(RawFileError, match=rf"insta_train_db\.pt.*{expected}"):
        people(tmp_path)


def test_a_wrong_root_is_told_in_the_datasets_words(tmp_path: Path) -> None:
    for form, expected in (
        ("neuralannot", r"annotations/insta_train_db\.pt"),
        ("tfrecord", "insta_variety/train"),
        ("vibe", r"insta_train_db\.h5"),
        ("tracks", "InstaVariety_tracks"),
    ):
        with pytest.raises(RawLayoutError, match=expected):
            people(tmp_path, form=form)
    with pytest.raises(UsageError, match="unknown split"):
        people(tmp_path, "test")


# --- tubes ------------------------------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def message(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def feature(value: Any) -> bytes:
    if isinstance(value, list):
        return message(1, b"".join(message(1, entry) for entry in value))
    if value.dtype.kind == "f":
        return message(2, message(1, value.astype("<f4").tobytes()))
    return message(3, message(1, b"".join(varint(int(entry)) for entry in value.ravel())))


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def tfrecord(path: Path, *tubes: dict[str, Any]) -> None:
    content = b""
    for tube in tubes:
        entries = (message(1, message(1, key.encode()) + message(2, feature(value))) for key, value in tube.items())
        data = message(1, b"".join(entries))
        length = struct.pack("<Q", len(data))
        content += length + masked(length) + data + masked(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def tube(**changes: Any) -> dict[str, Any]:
    values = {
        "meta/N": np.array([2]),
        "image/xys": np.arange(2 * 2 * 14, dtype=np.float32).reshape(2, 2, 14),
        "image/visibilities": np.ones((2, 14), int),
        "image/face_pts": np.full((2, 3, 5), 0.5, np.float32),
        "image/toe_pts": np.full((2, 3, 6), 0.25, np.float32),
        "image/heightwidths": np.array([[300, 280], [300, 280]]),
        "image/encoded": [b"first", b"second"],
    } | changes
    return {key: value for key, value in values.items() if value is not None}


def test_tubes_hold_rows_of_x_and_rows_of_y(tmp_path: Path) -> None:
    tfrecord(tmp_path / "insta_variety/train/part_00.tfrecord", tube(), tube())
    found = kept(people(tmp_path, form="tfrecord"))
    assert [(one.provenance.sequence, one.provenance.frame) for one in found] == [
        ("part_00/0", "0"),
        ("part_00/0", "1"),
        ("part_00/1", "0"),
        ("part_00/1", "1"),
    ]
    one = found[1]
    [points] = one.keypoints2d
    assert points.names[:3] == NAMES
    np.testing.assert_array_equal(points.values[0], [28, 42, 1])
    np.testing.assert_array_equal(points.values[14], [0.5, 0.5, 0.5])
    np.testing.assert_array_equal(points.values[24], [0.25, 0.25, 0.25])
    assert (one.body, one.image_size_px) == (None, (280, 300))
    assert one.image.name == "insta_variety/train/part_00.tfrecord!0/1"


def test_pictures_lie_in_the_record(tmp_path: Path) -> None:
    tfrecord(tmp_path / "insta_variety/train/part_00.tfrecord", tube(), tube(**{"image/encoded": [b"third"]}))
    image = kept(people(tmp_path, form="tfrecord"))[1].image
    archive = open_archive(tmp_path / image.path)
    assert archive.read(image.member, 100) == b"second"
    assert archive.read("1/0", 100) == b"third"
    assert [archive.read(name, 100) for name in ("1/1", "2/0", "../0", "")] == [None] * 4
    with pytest.raises(RawFileError, match="at most 3"):
        archive.read("0/0", 3)


@pytest.mark.parametrize("key", ["image/phi", "image/phis"])
def test_with_features_coordinates_are_normalised(tmp_path: Path, key: str) -> None:
    xys = np.full((2, 2, 14), -1.0, np.float32)
    xys[1] = 0.5
    tfrecord(tmp_path / "train/a.tfrecord", tube(**{"image/xys": xys, key: np.zeros(4, np.float32)}))
    first, second = kept(people(tmp_path, form="tfrecord"))
    np.testing.assert_array_equal(first.keypoints2d[0].values[0], [0, 0, 1])
    np.testing.assert_array_equal(second.keypoints2d[0].values[0], [168, 168, 1])
    np.testing.assert_array_equal(second.keypoints2d[0].values[14], [168, 168, 0.5])
    assert second.image_size_px == (224, 224)


def test_toes_of_either_name_or_none(tmp_path: Path) -> None:
    toes = np.full((2, 3, 6), 0.75, np.float32)
    tfrecord(
        tmp_path / "train/a.tfrecord",
        tube(**{"image/toe_pts": None, "image/toes_pts": toes}),
        tube(**{"image/toe_pts": None}),
    )
    found = kept(people(tmp_path, form="tfrecord"))
    assert [one.keypoints2d[0].values[20, 2] for one in found] == [0.75, 0.75, 0, 0]


@pytest.mark.parametrize("key", ["meta/N", "image/xys", "image/visibilities", "image/face_pts"])
def test_a_tube_without_a_list_is_one_error(tmp_path: Path, key: str) -> None:
    tfrecord(tmp_path / "train/a.tfrecord", tube(**{key: None}))
    with pytest.raises(RawFileError, match=rf"a\.tfrecord: field '{key}'"):
        people(tmp_path, form="tfrecord")


def test_the_test_split_of_tubes(tmp_path: Path) -> None:
    tfrecord(tmp_path / "insta_variety/test/tag_video.tfrecord", tube())
    assert len(kept(people(tmp_path, "test", "tfrecord"))) == 2


# --- VIBE -------------------------------------------------------------------------------------------------------------


def vibe(root: Path, **changes: Any) -> np.ndarray:
    points = RNG.uniform(0, 224, (COUNT, 25, 3))
    columns = {
        "vid_name": np.array([b"/data2/tf_datasets/insta/train/part_00.tfrecord-12"] * 2 + [b"other"]),
        "frame_id": np.array([0, 1, 0]),
        "joints2D": points,
        "features": np.zeros((COUNT, 4)),
    } | changes
    with h5py.File(root / "insta_train_db.h5", "w") as file:
        for key, value in columns.items():
            if value is not None:
                file[key] = value
    return points


def test_vibe_rows_point_into_the_tubes(tmp_path: Path) -> None:
    points = vibe(tmp_path)
    _, second, third = kept(people(tmp_path, form="vibe"))
    assert second.provenance.sequence == "/data2/tf_datasets/insta/train/part_00.tfrecord-12"
    assert (second.provenance.frame, second.provenance.person) == ("1", "0")
    assert second.image.name == "insta_variety/train/part_00.tfrecord!12/1"
    assert third.image.name == "other/0"
    assert second.image_size_px == (224, 224)
    np.testing.assert_array_equal(second.keypoints2d[0].values[:, :2], points[1, :, :2])
    assert second.keypoints2d[0].names[:3] == NAMES


@pytest.mark.parametrize(
    "changes",
    [
        {"vid_name": None},
        {"vid_name": np.arange(COUNT)},
        {"frame_id": np.full(COUNT, 0.5)},
        {"joints2D": np.zeros((3, 24, 3))},
    ],
)
def test_columns_of_vibe_that_do_not_fit(tmp_path: Path, changes: dict[str, Any]) -> None:
    vibe(tmp_path, **changes)
    with pytest.raises(RawFileError, match=r"insta_train_db\.h5"):
        people(tmp_path, form="vibe")


def test_names_of_tubes() -> None:
    assert tfrecord_member("a/b c.tfrecord-3") == ("b c.tfrecord", 3)
    assert tfrecord_member("a.tfrecord") is None
    assert tfrecord_member("a.tfrecord-x") is None


# --- tracks -----------------------------------------------------------------------------------------------------------


def track(root: Path, split: str = "train", **changes: Any) -> None:
    point = {"x": 30.0, "y": 40.0, "logits": 0.7, "probability": None}
    record = {
        "frame": 4,
        "imloc": "frame0005.jpg",
        "track_id": 9,
        "bbox": {"xmin": 10.0, "ymin": 20.0, "xmax": 60.0, "ymax": 100.0},
        "R Heel": point,
        "L Ankle": point | {"x": 31.0},
        "Hip": point,
    } | changes
    path = root / "InstaVariety_tracks/dance/4411_n/0/0004.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))
    (root / f"insta_variety_{split}.txt").write_text("dance/4411_n\n")


@pytest.mark.parametrize("split", ["train", "test"])
def test_tracks_of_a_listed_video(tmp_path: Path, split: str) -> None:
    track(tmp_path, split)
    [one] = kept(people(tmp_path, split, "tracks"))
    assert (one.provenance.sequence, one.provenance.frame) == ("dance/4411_n/0", "4")
    assert one.image.path == "frames_raw/dance/4411_n/frame0005.jpg", "its own name, counted from 1"
    np.testing.assert_array_equal(one.boxes.person_xywh_px, [10, 20, 50, 80, 1])
    values = dict(zip(one.keypoints2d[0].names, one.keypoints2d[0].values.tolist(), strict=True))
    assert values["right_heel_openpose"] == [30, 40, 0.7]
    assert values["left_ankle_openpose"] == [31, 40, 0.7]
    assert values["headtop"][2] == 0


@pytest.mark.parametrize("changes", [{"frame": None}, {"bbox": [1, 2, 3, 4]}, {"R Heel": {"x": 1}}, {"imloc": 3}])
def test_wrong_values_reject_their_frame(tmp_path: Path, changes: dict[str, Any]) -> None:
    track(tmp_path, **changes)
    [reject] = people(tmp_path, form="tracks")
    assert isinstance(reject, Reject)
    assert reject.reason == "malformed"


def test_listed_videos_without_tracks_are_passed_over(tmp_path: Path) -> None:
    track(tmp_path)
    (tmp_path / "insta_variety_train.txt").write_text("dance/other\ndance/4411_n")
    assert len(kept(people(tmp_path, form="tracks"))) == 1


@pytest.mark.parametrize("lines", ["", "dance\n", "dance/../x\n", "../dance\n", "dance/other\n"])
def test_lists_that_are_none(tmp_path: Path, lines: str) -> None:
    track(tmp_path)
    (tmp_path / "insta_variety_train.txt").write_text(lines)
    with pytest.raises(RawFileError, match=r"insta_variety_train\.txt"):
        people(tmp_path, form="tracks")
