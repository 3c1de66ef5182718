"""BEDLAM's training labels, hand-made from their description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmonize.annotation import Annotation
from harmonize.errors import RawFileError
from harmonize.readers.bedlam import Bedlam

JOB = "20221010_3_1000_batch01hand_6fps"
LANDSCAPE = np.array([[1280.0, 0, 640], [0, 1280.0, 360], [0, 0, 1]])
PORTRAIT = np.array([[1280.0, 0, 360], [0, 1280.0, 640], [0, 0, 1]])


def labels(num: int = 2, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    cam_ext = np.tile(np.eye(4), (num, 1, 1))
    cam_ext[:, :3, 3] = np.arange(num)[:, None] + [0.1, 0.2, 5.0]
    arrays = {
        "imgname": np.array([f"seq_000003/seq_000003_{5 * i:04d}.png" for i in range(num)]),
        "center": np.tile([300.0, 200.0], (num, 1)),
        "scale": np.full(num, 0.6),
        "pose_cam": rng.normal(size=(num, 165)),
        "pose_world": rng.normal(size=(num, 165)),
        "shape": rng.normal(size=(num, 11)),
        "trans_cam": rng.normal(size=(num, 3)),
        "gtkps": np.concatenate([rng.uniform(0, 700, (num, 127, 2)), np.ones((num, 127, 1))], axis=2),
        "cam_int": np.tile(LANDSCAPE, (num, 1, 1)),
        "cam_ext": cam_ext,
        "gender": np.array(["m", "f"] * num)[:num],
        "proj_verts": rng.normal(size=(num, 437, 3)),
    }
    return arrays | changes


def write(root: Path, arrays: dict[str, Any], job: str = JOB) -> Bedlam:
    folder = root / "all_npz_12_training"
    folder.mkdir(exist_ok=True)
    np.savez(folder / f"{job}.npz", **arrays)
    return Bedlam(root)


def read(reader: Bedlam) -> list[Annotation]:
    results = [person for unit in reader.units("train") for person in reader.read("train", unit)]
    assert all(isinstance(person, Annotation) for person in results)
    return [person for person in results if isinstance(person, Annotation)]


def test_parameters_are_taken_over_and_only_the_translation_is_summed(tmp_path: Path) -> None:
    arrays = labels()
    people = read(write(tmp_path, arrays))
    for row, person in enumerate(people):
        body = person.body
        assert body is not None
        assert (body.model, body.gender, body.hands) == ("smplx", "neutral", "absolute"), "whatever `gender` says"
        assert body.to_cam is None
        np.testing.assert_array_equal(body.pose_aa.ravel(), arrays["pose_cam"][row])
        np.testing.assert_array_equal(body.betas, arrays["shape"][row])
        np.testing.assert_allclose(body.transl_m, arrays["trans_cam"][row] + arrays["cam_ext"][row, :3, 3])
        assert body.has_left_hand
        assert body.has_jaw
        assert not body.has_expression
        assert not person.camera.has_extrinsics, "cam_ext differs between the people of a picture"
    assert people[0].provenance.sequence == f"{JOB}/seq_000003"
    assert [person.provenance.frame for person in people] == ["0000", "0005"]
    assert [person.provenance.person for person in people] == ["0", "1"]
    assert people[0].image.path == f"training_images/{JOB}/png/seq_000003/seq_000003_0000.png"


def test_rotation_is_decided_by_the_principal_point_not_by_the_name(tmp_path: Path) -> None:
    closeup = "20221017_1_250_batch01hand_closeup_suburb_a_6fps"
    [upright] = read(write(tmp_path / "", labels(1), closeup))
    assert (upright.image.orientation, upright.image_size_px) == (1, (1280, 720))
    [turned] = read(write(tmp_path, labels(1, cam_int=PORTRAIT[None]), closeup))
    assert (turned.image.orientation, turned.image_size_px) == (6, (720, 1280))
    np.testing.assert_allclose(turned.camera.principal_point_px, [360, 640])


def test_box_is_the_square_without_its_padding(tmp_path: Path) -> None:
    [person] = read(write(tmp_path, labels(1)))
    np.testing.assert_allclose(person.boxes.person_xywh_px, [250, 150, 100, 100, 1], rtol=1e-5)


@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.parametrize("num_joints", [127, 144])
def test_points_have_confidence_one_whatever_the_third_column(tmp_path: Path, columns: int, num_joints: int) -> None:
    points = np.full((1, num_joints, columns), 0.25)
    [person] = read(write(tmp_path, labels(1, gtkps=points)))
    [named] = person.keypoints2d
    assert named.is_exact
    assert named.values.shape == (127, 3)
    np.testing.assert_array_equal(named.values, np.tile([0.25, 0.25, 1.0], (127, 1)))


def test_agora_labels_beside_the_jobs_are_left_out_and_rows_are_counted(tmp_path: Path) -> None:
    write(tmp_path, labels(), "agora-bfh")
    reader = write(tmp_path, labels(3))
    assert [(unit.id, unit.num_hint) for unit in reader.units("train")] == [(JOB, 3)]


def test_hyphen_and_underscore_of_the_job_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "training_images/20221020_3-8_250_highbmihand_zoom_highSchoolGym_a_6fps/png").mkdir(parents=True)
    [person] = read(write(tmp_path, labels(1), "20221020-3-8_250_highbmihand_zoom_highSchoolGym_a_6fps"))
    assert person.image.path.startswith("training_images/20221020_3-8_250_")


def test_an_underscore_label_finds_the_hyphen_folder(tmp_path: Path) -> None:
    (tmp_path / "training_images/20221020-3-8_250_highbmihand_zoom_highSchoolGym_a_6fps/png").mkdir(parents=True)
    [person] = read(write(tmp_path, labels(1), "20221020_3-8_250_highbmihand_zoom_highSchoolGym_a_6fps"))
    assert person.image.path.startswith("training_images/20221020-3-8_250_")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pose_cam": np.zeros((2, 72))}, "pose_cam.*all_npz_12_smpl_training holds SMPL"),
        ({"trans_cam": np.zeros((1, 3))}, "trans_cam"),
        ({"gtkps": np.zeros((2, 24, 3))}, "gtkps"),
        ({"lh_c": np.zeros(2)}, "BEDLAM2"),
    ],
)
def test_other_layouts_are_refused_with_what_to_use(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    reader = write(tmp_path, labels(**changes))
    [unit] = reader.units("train")
    with pytest.raises(RawFileError, match=rf"(?s){JOB}.*{expected}"):
        list(reader.read("train", unit))


def test_missing_key_is_named(tmp_path: Path) -> None:
    arrays = labels()
    del arrays["cam_ext"]
    reader = write(tmp_path, arrays)
    [unit] = reader.units("train")
    with pytest.raises(RawFileError, match="expected cam_ext"):
        list(reader.read("train", unit))


def test_truncated_npz_is_one_error(tmp_path: Path) -> None:
    reader = write(tmp_path, labels())
    path = tmp_path / f"all_npz_12_training/{JOB}.npz"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(RawFileError, match=JOB):
        reader.units("train")
