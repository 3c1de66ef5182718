"""What the HumanData files of single datasets do not say, or say wrongly: each is known, and none is believed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation, RawBody
from harmonize.errors import RawLayoutError, UsageError
from harmonize.geometry.cameras import project_with
from harmonize.keypoints import convention
from harmonize.raw.npz import npz_blocks
from harmonize.readers import READERS, humandata_columns, humandata_file, open_reader
from harmonize.readers.humandata import HumanData
from harmonize.readers.humandata_sets import SETS

NUM = 4
NAMES = convention("human_data_190").names


def mask(*names: str) -> Any:
    found = np.zeros(190, np.uint8)
    found[[NAMES.index(name) for name in names]] = 1
    return found


def points(num_values: int, *, low: float = 100.0, high: float = 200.0) -> Any:
    values = np.random.default_rng(3).uniform(low, high, (NUM, 190, num_values))
    values[..., -1] = 1
    return values


def params(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    found = {"global_orient": (3,), "body_pose": (21, 3), "betas": (10,), "transl": (3,)}
    found |= {"left_hand_pose": (15, 3), "right_hand_pose": (15, 3)}
    made: dict[str, Any] = {key: rng.normal(size=(NUM, *shape)).astype(np.float32) for key, shape in found.items()}
    return made | changes


def smpl(**changes: Any) -> dict[str, Any]:
    made = params(body_pose=np.random.default_rng(6).normal(size=(NUM, 23, 3)).astype(np.float32))
    return {key: made[key] for key in ("global_orient", "body_pose", "betas")} | changes


def opened(root: Path, dataset: str, name: str, **content: Any) -> HumanData:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content.setdefault("image_path", np.array([f"a/{row:03d}.jpg" for row in range(NUM)]))
    content.setdefault("bbox_xywh", np.tile([90.0, 90.0, 120.0, 120.0, 1.0], (NUM, 1)))
    np.savez(path, **{key: np.array(one, object) if isinstance(one, dict) else one for key, one in content.items()})
    reader = open_reader(dataset, root, "humandata")
    assert isinstance(reader, HumanData)
    return reader


def people(reader: HumanData, split: str = "train") -> list[Annotation]:
    found = [one for unit in reader.units(split) for one in reader.read(split, unit)]
    assert all(isinstance(one, Annotation) for one in found)
    return [one for one in found if isinstance(one, Annotation)]


def body_of(person: Annotation) -> RawBody:
    assert person.body is not None
    return person.body


def test_every_split_of_every_dataset_names_its_files_when_they_are_missing(tmp_path: Path) -> None:
    for name, facts in SETS.items():
        for split, builds in facts.files.items():
            with pytest.raises(RawLayoutError) as caught:
                HumanData(tmp_path, dataset=name).units(split)
            assert all(build in str(caught.value) for build in builds), name
        with pytest.raises(UsageError, match="unknown split"):
            HumanData(tmp_path, dataset=name).units("holdout")


def test_splits_are_those_of_the_official_reader_where_they_are_the_same() -> None:
    own = {"dna_rendering", "dna_rendering_hires", "h36m", "prox", "ubody", "mpi_inf_3dhp", "posetrack"}
    for name in set(SETS) - own:
        reader = READERS[name]
        known = {*reader.splits, *(split for splits in reader.form_splits.values() for split in splits)}
        assert set(SETS[name].splits) <= known, name


def test_only_the_best_build_at_hand_is_read(tmp_path: Path) -> None:
    opened(tmp_path, "lspet", "lspet_train.npz")
    assert [unit.files for unit in HumanData(tmp_path, dataset="lspet").units("train")] == [("lspet_train.npz",)]
    reader = opened(tmp_path, "lspet", "preprocessed_datasets/eft_lspet.npz", smpl=smpl())
    assert [unit.files for unit in reader.units("train")] == [("preprocessed_datasets/eft_lspet.npz",)]
    assert people(reader)[0].provenance.sequence == "eft_lspet/a"
    assert people(reader)[0].provenance.label_origin == "eft"
    assert people(reader)[0].provenance.licence == READERS["lspet"].licence


def test_the_two_camera_kinds_of_dna_rendering_are_two_datasets(tmp_path: Path) -> None:
    opened(tmp_path, "dna_rendering", "renbody_train_230525_399_0.npz")
    opened(tmp_path, "dna_rendering", "renbody_train_highrescam_230517_399_0_fix_betas.npz")
    for name, word in (("dna_rendering", "230525"), ("dna_rendering_hires", "highrescam")):
        [unit] = HumanData(tmp_path, dataset=name).units("train")
        assert word in unit.files[0]


def test_a_picture_name_too_many_is_nobody(tmp_path: Path) -> None:
    names = np.array([f"a/{row:03d}.jpg" for row in range(NUM + 2)])
    meta = {"gender": ["male"] * NUM, "height": [100] * (NUM + 1), "width": [100] * NUM}
    reader = opened(
        tmp_path, "dna_rendering", "renbody_train_230525_399_4.npz", image_path=names, smplx=params(), meta=meta
    )
    assert [person.provenance.person for person in people(reader)] == ["0", "1", "2", "3"]
    assert {body_of(person).gender for person in people(reader)} == {"male"}
    assert people(reader)[0].image_size_px == (100, 100)


@pytest.mark.parametrize("folder", ["", "FIT3D/"])
def test_pictures_lie_with_or_without_the_folder_of_smpler_x(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder / "a").mkdir(parents=True)
    (tmp_path / folder / "a/002.jpg").touch()
    person = people(opened(tmp_path, "fit3d", "FIT3D_train_230511_1504_0.npz", smplx=params()))[2]
    assert person.image.path == person.provenance.image_path == f"{folder}a/002.jpg"
    assert person.provenance.sequence == "FIT3D_train_230511_1504_0/a"


def test_imar_points_under_names_of_other_points_are_left(tmp_path: Path) -> None:
    content = {
        "keypoints2d_original": points(3),
        "keypoints2d_original_mask": mask("nose_openpose", "neck_openpose"),
        "keypoints3d_original": points(4, low=3, high=5),
        "keypoints3d_original_mask": mask("nose_openpose", "neck_openpose"),
    }
    person = people(opened(tmp_path, "chi3d", "CHI3D_train_230605_1492_0.npz", smplx=params(), **content))[0]
    assert (person.keypoints2d, person.keypoints3d) == ((), None)
    assert body_of(person).hands == "absolute"
    assert person.image_size_px == (900, 900)


def test_gta_has_one_camera(tmp_path: Path) -> None:
    person = people(opened(tmp_path, "gta_human2", "gta_human2multiple_230406_04000_0.npz", smplx=params()))[0]
    np.testing.assert_allclose(person.camera.focal_px, 1158.0337)
    np.testing.assert_allclose(person.camera.principal_point_px, (960, 540))
    assert person.camera.is_calibrated
    assert person.provenance.label_origin == "synthetic"
    np.testing.assert_allclose(person.boxes.person_xywh_px, [100, 100, 100, 100, 1])


def test_synbody_has_the_focal_length_of_its_file_not_that_of_smpler_x(tmp_path: Path) -> None:
    misc = {"focal_length": (640, 640), "principal_point": (640, 360), "flat_hand_mean": False}
    person = people(opened(tmp_path, "synbody", "synbody_train_230521_04000_fix_betas.npz", smplx=params(), misc=misc))[
        0
    ]
    np.testing.assert_allclose(person.camera.focal_px, 640)
    assert person.image_size_px == (1280, 720)


def test_talkshow_keeps_both_hands_and_no_finger_points_nor_legs(tmp_path: Path) -> None:
    given = params(
        body_pose=params()["body_pose"].reshape(NUM, 63),
        left_hand_pose=params()["left_hand_pose"].reshape(NUM, 45),
        right_hand_pose=params()["right_hand_pose"].reshape(NUM, 45),
        expression=np.ones((NUM, 100), np.float32),
    )
    names = ("nose", "left_wrist", "left_thumb", "right_index_1")
    content = {"keypoints2d_smplx": points(3), "keypoints2d_smplx_mask": mask(*names)}
    content |= {"keypoints3d_smplx": points(4, low=3, high=5), "keypoints3d_smplx_mask": mask(*names)}
    meta = {"focal_length": np.full(NUM, 5000.0), "principal_point": np.full((NUM, 2), 300.0), "gender": []}
    misc = {"kps3d_root_aligned": True}
    (tmp_path / "talkshow_smplx_chemistry_path.npz").write_bytes(b"PK\3\4 broken")
    reader = opened(tmp_path, "talkshow", "talkshow_smplx_seth.npz", smplx=given, meta=meta, misc=misc, **content)
    assert [unit.files for unit in reader.units("train")] == [("talkshow_smplx_seth.npz",)]
    person = people(reader)[1]
    body = body_of(person)
    np.testing.assert_array_equal(body.pose_aa[25:40], params()["left_hand_pose"][1])
    np.testing.assert_array_equal(body.pose_aa[40:55], params()["right_hand_pose"][1])
    assert body.expression is not None
    assert len(body.expression) == 10
    assert set(body.unknown_joints) == {f"{s}_{j}" for s in ("left", "right") for j in ("hip", "knee", "ankle", "foot")}
    assert body.hands == "relative"
    assert set(person.keypoints2d[0].names) == {"nose", "left_wrist"}
    assert not person.keypoints2d[0].is_exact
    assert person.keypoints3d is None
    np.testing.assert_array_equal(person.camera.focal_px, 5000)
    assert not body.is_transl_metric


def test_eft_is_placed_as_its_own_weak_perspective_camera_says(tmp_path: Path) -> None:
    pred_cam = np.array([[0.9, 0.05, 0.1], [0.8, -0.1, 0.2], [0.0, 0.0, 0.0], [1.1, 0.0, 0.0]])
    square = np.array([[40.0, 30.0, 300.0, 300.0, 1.0]] * NUM)
    meta = {"height": [480] * NUM, "width": [640] * NUM, "pred_cam": pred_cam}
    reader = opened(tmp_path, "ochuman", "eft_ochuman.npz", smpl=smpl(), meta=meta, bbox_xywh_vis=square)
    for person, (scale, tx, ty) in list(zip(people(reader), pred_cam, strict=True))[:2]:
        body = body_of(person)
        assert body.transl_m is not None
        x = np.array([[0.2, -0.7, 0.0]])  # of SMPL without translation
        found = project_with(person.camera, x + body.transl_m)[0]
        expected = [40 + 150 * (scale * 0.2 + tx + 1), 30 + 150 * (scale * -0.7 + ty + 1)]
        np.testing.assert_allclose(found, expected, atol=1e-3)
        assert not person.camera.is_calibrated
        assert not body.is_transl_metric
    assert not np.isfinite(body_of(people(reader)[2]).transl_m).any(), "a scale of 0 is no camera"


def test_muco_has_a_camera_a_row_and_no_place(tmp_path: Path) -> None:
    cameras = [
        {"K": np.array([[1500.0 + row, 0, 500], [0, 1501, 510], [0, 0, 1]]), "R": np.eye(3), "T": np.zeros(3)}
        for row in range(NUM)
    ]
    listed = np.empty(NUM, object)
    listed[:] = cameras
    person = people(opened(tmp_path, "muco_3dhp", "muco3dhp_train.npz", smpl=smpl(), cam_param=listed))[3]
    np.testing.assert_allclose(person.camera.focal_px, [1503, 1501])
    np.testing.assert_allclose(person.camera.principal_point_px, [500, 510])
    assert body_of(person).transl_m is None
    assert person.image_size_px == (1024, 1024)


def test_mtp_bodies_outside_the_camera_frame_are_left_out(tmp_path: Path) -> None:
    content = {"keypoints2d": points(3), "keypoints2d_mask": mask("nose_openpose")}
    assert people(opened(tmp_path, "mtp", "mtp_val.npz", smpl=smpl(), **content), "val")[0].body is None
    person = people(opened(tmp_path, "mtp", "mtp_smplx_train.npz", smplx=params(), **content))[0]
    assert body_of(person).model == "smplx"
    assert person.keypoints2d[0].origin == "detected"


def test_crowdpose_points_have_their_own_names(tmp_path: Path) -> None:
    names = ("left_hip", "head", "neck", "left_knee")
    content = {"keypoints2d": points(3), "keypoints2d_mask": mask(*names)}
    reader = opened(tmp_path, "crowdpose", "crowdpose_neural_annot_train_new.npz", smpl=smpl(), **content)
    person = people(reader)[0]
    assert set(person.keypoints2d[0].names) == {"left_hip_extra", "headtop", "neck_extra", "left_knee"}
    assert person.provenance.label_origin == "neuralannot"
    assert set(body_of(person).unknown_joints) == {"left_ankle", "right_ankle", "left_wrist", "right_wrist"}


def test_another_build_of_3dpw_is_another_origin(tmp_path: Path) -> None:
    assert (
        people(opened(tmp_path / "a", "pw3d", "pw3d_train_240116_024.npz", smpl=smpl()))[0].provenance.label_origin
        == "imu"
    )
    given = {key: params()[key] for key in ("global_orient", "body_pose", "betas", "transl")}
    meta = {"focal_length": np.full((NUM, 2), 9000.0), "principal_point": np.full((NUM, 2), 300.0)}
    misc = {"smplx_source": "neural_annot", "cam_param_type": "prespective"}
    other = people(opened(tmp_path / "b", "pw3d", "pw3d_neural_train_230821_1.npz", smplx=given, meta=meta, misc=misc))[
        0
    ]
    assert other.provenance.label_origin == "neuralannot"
    assert not other.camera.is_calibrated
    assert not body_of(other).is_transl_metric


def test_raw_close_ups_of_bedlam_are_turned(tmp_path: Path) -> None:
    folder = tmp_path / "BEDLAM/20221011_1_250_batch01hand_closeup_suburb_b_6fps/png/seq_000000"
    folder.mkdir(parents=True)
    job = "20221011_1_250_batch01hand_suburb_b_6fps"
    paths = [f"{job}/png/seq_000000/{row}.png" for row in range(NUM)]
    reader = opened(tmp_path, "bedlam", "bedlam_train.npz", smplx=params(), image_path=np.array(paths))
    (folder / "1.png").touch()
    image = people(reader)[1].image
    assert (image.path, image.orientation) == (f"{(folder / '1.png').relative_to(tmp_path).as_posix()}", 6)
    copied = tmp_path / "BEDLAM" / paths[1]
    copied.parent.mkdir(parents=True)
    copied.touch()
    image = people(reader)[1].image
    assert (image.path, image.orientation) == (f"BEDLAM/{paths[1]}", 1)


def test_a_large_file_is_spooled_to_the_same_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHPS_CACHE", str(tmp_path / "cache"))
    content = {"keypoints2d_smplx": points(3), "keypoints2d_smplx_mask": mask("nose", "left_wrist", "right_knee")}
    content |= {
        "keypoints3d_smplx": points(4, low=3, high=5)[:, :3],
        "keypoints3d_smplx_mask": mask("nose", "jaw", "neck"),
    }
    meta = {"gender": ["male", "female", None, "f"], "height": [480] * NUM, "width": [640] * NUM}
    paths = np.array(["a.jpg", "b/long/name/of/a/picture.jpg", "c\\d.jpg", "e.jpg"])
    content |= {"smplx": params(), "meta": meta, "image_path": paths}
    in_memory = people(opened(tmp_path / "one", "rich", "rich_train_1.npz", **content))
    monkeypatch.setattr(humandata_columns, "MAX_BYTES_IN_MEMORY", 0)
    monkeypatch.setattr(humandata_file, "npz_blocks", partial(npz_blocks, block_bytes=64))  # a row at a time
    spooled = people(opened(tmp_path / "two", "rich", "rich_train_1.npz", **content))
    assert len(list((tmp_path / "cache/humandata").iterdir())) == 2, "a folder and its lock"
    for one, other in zip(in_memory, spooled, strict=True):
        assert one.provenance == other.provenance
        assert body_of(one).gender == body_of(other).gender
        np.testing.assert_array_equal(body_of(one).pose_aa, body_of(other).pose_aa)
        np.testing.assert_array_equal(one.keypoints2d[0].values, other.keypoints2d[0].values)
        assert one.keypoints3d is not None
        assert other.keypoints3d is not None
        np.testing.assert_array_equal(one.keypoints3d.values, other.keypoints3d.values)
        np.testing.assert_array_equal(one.boxes.person_xywh_px, other.boxes.person_xywh_px)


def test_spools_least_recently_used_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(humandata_columns, "MAX_BYTES_IN_MEMORY", 0)
    monkeypatch.setattr(humandata_columns, "MAX_SPOOL_BYTES", 1)
    first = opened(tmp_path / "one", "rich", "rich_train_1.npz", smplx=params())
    before = people(first)
    people(opened(tmp_path / "two", "rich", "rich_train_1.npz", smplx=params()))
    spools = [path for path in (tmp_path / "cache/humandata").iterdir() if path.is_dir()]
    assert len(spools) == 1
    np.testing.assert_array_equal(body_of(people(first)[0]).pose_aa, body_of(before[0]).pose_aa)
