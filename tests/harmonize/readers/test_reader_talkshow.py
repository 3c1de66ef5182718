"""TalkSHOW's clips, hand-made from their description, and a real one."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.readers.talkshow import RELEASE, Talkshow

SPEAKER, VIDEO, CLIP = "seth", "A Couple Things-pVAD70eSWA8.webm", "5046-00_01_23-00_01_27"


def labels(num: int = 3, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    sizes = {"transl": 3, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "body_pose_axis": 63, "expression": 100}
    sizes |= {"left_hand_pose": 12, "right_hand_pose": 12, "pose_embedding": 32}
    content: dict[str, Any] = {key: rng.normal(size=(num, size)).astype(np.float32) for key, size in sizes.items()}
    content |= {
        "width": 1280,
        "height": 720,
        "center": [640.0, 360.0],
        "focal_length": np.array(5000, np.float32),
        "camera_transl": np.array([-0.27, -0.71, 6.2], np.float32),
        "batch_size": num,
        "betas": rng.normal(size=(1, 300)).astype(np.float32),
        "global_orient": rng.normal(size=(num, 1, 3)).astype(np.float32),
    }
    return content | changes


def write(root: Path, content: Any, inside: str = f"train/{CLIP}/{CLIP}.pkl", *, video: str = VIDEO) -> Talkshow:
    path = root / RELEASE / SPEAKER / video / inside
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, 2))
    return Talkshow(root)


def read(reader: Talkshow, split: str = "train") -> list[Annotation | Reject]:
    return [item for unit in reader.units(split) for item in reader.read(split, unit)]


def kept(reader: Talkshow, split: str = "train") -> list[Annotation]:
    items = read(reader, split)
    people = [item for item in items if isinstance(item, Annotation)]
    assert len(people) == len(items)
    return people


def test_the_camera_moves_the_body_by_two_negated_numbers(tmp_path: Path) -> None:
    content = labels()
    for row, person in enumerate(kept(write(tmp_path, content))):
        assert person.body is not None
        assert person.body.to_cam is not None
        np.testing.assert_array_equal(person.body.to_cam.rotmat, np.eye(3))
        np.testing.assert_allclose(person.body.to_cam.transl_m, [0.27, 0.71, 6.2], atol=1e-6)
        np.testing.assert_array_equal(person.body.transl_m, content["transl"][row])
        np.testing.assert_array_equal(person.body.pose_aa[0], content["global_orient"][row, 0])
        np.testing.assert_array_equal(person.camera.focal_px, [5000, 5000])
        assert not person.camera.is_calibrated
        assert not person.body.is_transl_metric
        assert person.image_size_px == (1280, 720)


def test_hands_are_twelve_components_each_and_the_right_one_is_the_right_one(tmp_path: Path) -> None:
    content = labels()
    for row, person in enumerate(kept(write(tmp_path, content))):
        body = person.body
        assert body is not None
        assert body.hands == "relative"
        assert not body.pose_aa[25:].any()
        for stored, found in (("left_hand_pose", body.left_hand_pca), ("right_hand_pose", body.right_hand_pca)):
            assert found is not None
            np.testing.assert_array_equal(found, content[stored][row])


def test_ten_of_the_shape_and_of_the_expression_are_taken(tmp_path: Path) -> None:
    content = labels()
    person = kept(write(tmp_path, content))[1]
    assert person.body is not None
    assert person.body.expression is not None
    np.testing.assert_array_equal(person.body.betas, content["betas"][0, :10])
    np.testing.assert_array_equal(person.body.expression, content["expression"][1, :10])
    order = ("jaw_pose", "leye_pose", "reye_pose")
    np.testing.assert_array_equal(person.body.pose_aa[22:25], [content[key][1] for key in order])


def test_legs_are_unknown_and_stay_as_stored(tmp_path: Path) -> None:
    content = labels()
    person = kept(write(tmp_path, content))[0]
    assert person.body is not None
    expected = {f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle", "foot")}
    assert set(person.body.unknown_joints) == expected
    np.testing.assert_array_equal(person.body.pose_aa[1:22].ravel(), content["body_pose_axis"][0])
    assert person.provenance.label_origin == "fit"


def test_shapes_of_the_readme_and_a_list_around_it_are_read_too(tmp_path: Path) -> None:
    content = labels()
    flat = content | {
        "betas": content["betas"][0],
        "global_orient": content["global_orient"][:, 0],
        "body_pose_axis": content["body_pose_axis"].reshape(3, 21, 3),
    }
    first = kept(write(tmp_path / "a", content))
    second = kept(write(tmp_path / "b", [flat]))
    for one, other in zip(first, second, strict=True):
        assert one.body is not None
        assert other.body is not None
        np.testing.assert_array_equal(one.body.pose_aa, other.body.pose_aa)
        np.testing.assert_array_equal(one.body.betas, other.body.betas)


def test_frames_are_counted_from_one_and_the_video_from_zero(tmp_path: Path) -> None:
    reader = write(tmp_path, labels())
    first = kept(reader)[0]
    assert (first.provenance.sequence, first.provenance.frame) == (f"{SPEAKER}/{VIDEO}/{CLIP}", "000001")
    folder = f"frames/{SPEAKER}/{VIDEO.replace(' ', '_')}/{CLIP}"
    assert first.image.path == f"{folder}/000001.jpg", "spaces are written as _"
    video = tmp_path / f"videos/{SPEAKER}/{VIDEO}"
    video.parent.mkdir(parents=True)
    video.touch()
    second = kept(reader)[1]
    assert second.image.path == f"videos/{SPEAKER}/{VIDEO}"
    assert second.image.video is not None
    assert (second.image.video.index, second.image.video.num_frames) == (1, 3)
    assert (second.image.video.fps, second.image.video.start_s) == (30.0, 83.0)
    (tmp_path / folder).mkdir(parents=True)
    for frame in (1, 2, 3):
        (tmp_path / folder / f"{frame:06d}.jpg").touch()
    assert kept(reader)[1].image.path == f"{folder}/000002.jpg", "extracted frames come first"


def test_another_number_of_frames_than_labels_rejects_the_clip(tmp_path: Path) -> None:
    reader = write(tmp_path, labels())
    folder = tmp_path / f"frames/{SPEAKER}/{VIDEO.replace(' ', '_')}/{CLIP}"
    folder.mkdir(parents=True)
    for frame in (1, 2, 3, 4):
        (folder / f"{frame:06d}.jpg").touch()
    items = read(reader)
    assert len(items) == 3
    for item in items:
        assert isinstance(item, Reject)
        assert (item.reason, item.numbers) == ("frame-count", {"expected": 3.0, "found": 4.0})


def test_a_frame_without_numbers_costs_itself_alone(tmp_path: Path) -> None:
    content = labels()
    content["left_hand_pose"][1, 3] = np.nan
    first, second, third = read(write(tmp_path, content))
    assert isinstance(first, Annotation)
    assert isinstance(third, Annotation)
    assert isinstance(second, Reject)
    assert (second.reason, second.numbers) == ("not-finite", {"num_not_finite": 1.0})


def test_splits_by_folder(tmp_path: Path) -> None:
    write(tmp_path, labels(1), f"train/{CLIP}/{CLIP}.pkl")
    write(tmp_path, labels(2), "val/7-00_00_01-00_00_11/7-00_00_01-00_00_11.pkl")
    reader = write(tmp_path, labels(3), "test/8-00_00_01-00_00_11.pkl")
    assert [len(kept(reader, split)) for split in ("train", "val", "test")] == [1, 2, 3]
    assert not (tmp_path / "train_val_test.json").exists()


@pytest.mark.parametrize("inside", [f"{CLIP}/{CLIP}.pkl", f"{CLIP}.pkl"])
def test_splits_by_the_published_list(tmp_path: Path, inside: str) -> None:
    write(tmp_path, labels(1), "6-00_00_01-00_00_02.pkl")
    reader = write(tmp_path, labels(2), inside)
    with pytest.raises(RawLayoutError, match=r"train_val_test\.json"):
        reader.units("train")
    listed = {"train": [], "val": [f"{SPEAKER}/{VIDEO.replace(' ', '_')}/{CLIP}"], "test": []}
    (tmp_path / "train_val_test.json").write_text(json.dumps(listed))
    assert [len(kept(reader, split)) for split in ("train", "val", "test")] == [0, 2, 0]


def test_a_failed_file_is_an_error_and_not_the_clip_before(tmp_path: Path) -> None:
    write(tmp_path, labels())
    reader = write(tmp_path, labels(), "train/9-00_00_01-00_00_02/9-00_00_01-00_00_02.pkl")
    first, second = reader.units("train")
    (tmp_path / second.files[0]).write_bytes(b"broken")
    assert len(list(reader.read("train", first))) == 3
    with pytest.raises(RawFileError, match="9-00_00_01"):
        list(reader.read("train", second))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"left_hand_pose": np.zeros((3, 45))}, "left_hand_pose"),
        ({"transl": np.zeros((2, 3))}, "transl"),
        ({"focal_length": "long"}, "focal_length"),
        ({"width": 0}, "width"),
        ({"betas": np.zeros((1, 5))}, "10 betas"),
        ({"expression": np.zeros((3, 5))}, "10 betas"),
        ({"camera_transl": np.zeros(2)}, "camera_transl"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(RawFileError, match=rf"{CLIP}\.pkl.*{expected}"):
        read(write(tmp_path, labels(**changes)))
    with pytest.raises(RawFileError, match="expected a dictionary"):
        read(write(tmp_path, 3))


def test_a_wrong_root_is_told_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match=f"{RELEASE}/<speaker>/<video>/<clip>/<clip>.pkl"):
        Talkshow(tmp_path).units("train")


def test_a_real_clip(tmp_path: Path, samples: Path, standin: Any) -> None:
    from harmonize.convert import Converted, convert

    path = tmp_path / RELEASE / SPEAKER / VIDEO / "train" / CLIP / f"{CLIP}.pkl"
    path.parent.mkdir(parents=True)
    shutil.copy(samples / "talkshow/show_all.pkl", path)
    people = kept(Talkshow(tmp_path))
    assert len(people) == 300
    assert people[0].image_size_px == (1280, 720)
    for result in convert(people[::60], standin):
        assert isinstance(result, Converted)
        instance = result.instance
        assert 5 < instance.body.transl_m[2] < 8
        x, y, width, height, confidence = instance.boxes.person_xywh_px
        assert confidence == 1
        assert width > 200
        assert height > 300, "the speaker fills the picture"
        assert y + height == pytest.approx(720, abs=120), "and is cut at its lower border"
        assert x >= 0
        assert x + width <= 1280
        assert instance.body.known_body_joints.sum() == 13
        assert not instance.body.is_transl_metric
