"""DNA-Rendering in both resolutions: SMC files and the RenBody tree, hand-made from their description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError
from harmonize.geometry.cameras import project_with
from harmonize.keypoints import SMPLX_144
from harmonize.readers.base import Reader
from harmonize.readers.dna_rendering import DnaRendering
from harmonize.readers.dna_rendering_hires import DnaRenderingHires

SEQUENCE, LINE = "0018_05", "20220924/actor_1/seq_1"
R = Rotation.from_euler("xyz", [170, 25, 5], degrees=True).as_matrix()
CENTRE = np.array([0.3, -1.2, 2.9])
RT = np.block([[R, CENTRE[:, None]], [np.zeros(3), np.ones(1)]])
K = np.array([[2600.0, 0, 1210], [0, 2590, 1030], [0, 0, 1]])
D = np.array([-0.11, 0.09, 0.001, -0.002, 0.01])


def body(num: int, *, num_betas: int = 1, num_expression: int | None = None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "fullpose": rng.normal(size=(num, 55, 3)),
        "transl": rng.normal(size=(num, 3)),
        "betas": rng.normal(size=(num_betas, 10)),
        "expression": rng.normal(size=(num if num_expression is None else num_expression, 10)),
    }


def write_smc(
    root: Path,
    smplx: dict[str, np.ndarray],
    *,
    gender: str | None = "female",
    points: dict[str, np.ndarray] | None = None,
) -> None:
    annotations = root / "dna_rendering_part1_annotations"
    annotations.mkdir(parents=True, exist_ok=True)
    with h5py.File(annotations / f"{SEQUENCE}_annots.smc", "w") as file:
        for key, value in smplx.items():
            file[f"SMPLx/{key}"] = value
        file["SMPLx/scale"] = 0.5
        for camera in ("00", "07", "47", "48", "59"):
            file[f"Camera_Parameter/{camera}/K"] = K + np.diag([int(camera), 0, 0])
            file[f"Camera_Parameter/{camera}/D"] = D
            file[f"Camera_Parameter/{camera}/RT"] = RT
            file[f"Camera_Parameter/{camera}/Color_Calibration"] = np.eye(3)
        for name, value in (points or {}).items():
            file[name] = value
    main = root / "dna_rendering_part1_main"
    main.mkdir(exist_ok=True)
    with h5py.File(main / f"{SEQUENCE}.smc", "w") as file:
        if gender is not None:
            file.attrs["gender"] = gender
        for group, size in (("Camera_5mp", (2448, 2048)), ("Camera_12mp", (3000, 4096))):
            file.create_group(group).attrs["resolution"] = np.array(size)


def read(reader: Reader, split: str = "all") -> list[Annotation | Reject]:
    return [item for unit in reader.units(split) for item in reader.read(split, unit)]


def kept(reader: Reader, split: str = "all") -> list[Annotation]:
    items = read(reader, split)
    people = [item for item in items if isinstance(item, Annotation)]
    assert len(people) == len(items)
    return people


def test_the_two_datasets_divide_the_cameras(tmp_path: Path) -> None:
    write_smc(tmp_path, body(2))
    low, high = kept(DnaRendering(tmp_path)), kept(DnaRenderingHires(tmp_path))
    assert [one.provenance.sequence.split("/")[1] for one in low[::2]] == ["00", "07", "47"]
    assert [one.provenance.sequence.split("/")[1] for one in high[::2]] == ["48", "59"]
    assert (low[0].provenance.sequence, low[1].provenance.frame) == (f"{SEQUENCE}/00", "000001")
    assert low[0].provenance.subject == high[0].provenance.subject == "0018", "the same actor: keep on one side"


def test_camera_numbers_are_padded_in_the_annotations_alone(tmp_path: Path) -> None:
    write_smc(tmp_path, body(1))
    people = {one.provenance.sequence: one for one in kept(DnaRendering(tmp_path))}
    picture = people[f"{SEQUENCE}/07"].image
    assert picture.path == f"dna_rendering_part1_main/{SEQUENCE}.smc"
    assert picture.member == "Camera_5mp/7/color/0"
    np.testing.assert_allclose(people[f"{SEQUENCE}/07"].camera.focal_px, [2607, 2590])
    assert kept(DnaRenderingHires(tmp_path))[0].image.member == "Camera_12mp/48/color/0"


def test_rt_is_the_pose_of_the_camera_and_the_lens_is_not_ideal(tmp_path: Path) -> None:
    write_smc(tmp_path, body(1))
    person = kept(DnaRendering(tmp_path))[0]
    assert person.body is not None
    assert person.body.to_cam is not None
    points = np.random.default_rng(2).normal(size=(9, 3))
    expected = (np.linalg.inv(RT) @ np.column_stack([points, np.ones(9)]).T)[:3].T
    for rotmat, offset in (
        (person.body.to_cam.rotmat, person.body.to_cam.transl_m),
        (person.camera.world_to_cam_rotmat, person.camera.world_to_cam_transl_m),
    ):
        np.testing.assert_allclose(points @ rotmat.T + offset, expected, atol=1e-5)
    x, y = 0.2, -0.3
    r2 = x * x + y * y
    radial = 1 + D[0] * r2 + D[1] * r2**2 + D[4] * r2**3
    bent = [
        x * radial + 2 * D[2] * x * y + D[3] * (r2 + 2 * x * x),
        y * radial + D[2] * (r2 + 2 * y * y) + 2 * D[3] * x * y,
    ]
    pixel = np.array(bent) * [2600, 2590] + [1210, 1030]
    np.testing.assert_allclose(project_with(person.camera, [[x, y, 1.0]])[0], pixel, atol=1e-3)


def test_the_body_is_gendered_with_relative_hands_and_without_scale(tmp_path: Path) -> None:
    stored = body(3, num_betas=3)
    write_smc(tmp_path, stored)
    for row, person in enumerate(kept(DnaRendering(tmp_path))[:3]):
        found = person.body
        assert found is not None
        assert (found.model, found.gender, found.hands) == ("smplx", "female", "relative")
        np.testing.assert_array_equal(found.pose_aa, stored["fullpose"][row])
        for key, value in (("transl", found.transl_m), ("betas", found.betas), ("expression", found.expression)):
            np.testing.assert_array_equal(value, stored[key][row])
        assert found.has_expression
        assert person.provenance.label_origin == "multi-view"


def test_one_shape_serves_all_and_missing_expressions_are_unknown(tmp_path: Path) -> None:
    stored = body(4, num_betas=1, num_expression=2)
    write_smc(tmp_path, stored)
    bodies = [one.body for one in kept(DnaRendering(tmp_path))[:4]]
    assert [one.has_expression for one in bodies if one is not None] == [True, True, False, False]
    for one in bodies:
        assert one is not None
        assert one.has_jaw
        np.testing.assert_array_equal(one.betas, stored["betas"][0])
    assert bodies[3] is not None
    assert bodies[3].expression is None


def test_a_frame_without_a_shape_is_rejected(tmp_path: Path) -> None:
    write_smc(tmp_path, body(4, num_betas=3))
    *first, last = read(DnaRendering(tmp_path))[:4]
    assert all(isinstance(one, Annotation) for one in first)
    assert isinstance(last, Reject)
    assert (last.reason, last.numbers) == ("no-betas", {"row": 3.0, "num_betas": 3.0})


def test_the_size_is_that_of_the_group_in_either_order(tmp_path: Path) -> None:
    write_smc(tmp_path, body(1))
    assert kept(DnaRendering(tmp_path))[0].image_size_px == (2448, 2048)
    with h5py.File(tmp_path / "dna_rendering_part1_annotations" / f"{SEQUENCE}_annots.smc", "a") as file:
        file["Camera_Parameter/48/K"][...] = [[5000, 0, 2050], [0, 5000, 1490], [0, 0, 1]]
    assert kept(DnaRenderingHires(tmp_path))[0].image_size_px == (4096, 3000)


def test_points_that_nobody_saw_are_unlabelled(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    points = np.concatenate([rng.normal(size=(1, 144, 3)), np.full((1, 144, 1), 0.8)], axis=2)
    points[0, 20] = points[0, 40] + 1e-5
    points[0, 30] = np.nan
    detected = np.concatenate([rng.uniform(0, 2000, (1, 133, 2)), np.full((1, 133, 1), 1.2)], axis=2)
    write_smc(tmp_path, body(1), points={"Keypoints_3D/keypoints3d": points, "Keypoints_2D/00": detected})
    first, second, *_ = kept(DnaRendering(tmp_path))
    assert first.keypoints3d is not None
    confidence = first.keypoints3d.values[:, 3]
    dropped = {20, 40, 30} | {SMPLX_144.index(f"spine_{i}") for i in (1, 2, 3)}
    dropped |= {SMPLX_144.index(f"{side}_collar") for side in ("left", "right")}
    assert set(np.flatnonzero(confidence == 0)) == dropped
    expected = (points[0, 0, :3] - CENTRE) @ R
    np.testing.assert_allclose(first.keypoints3d.values[0], [*expected, 0.8])
    [named] = first.keypoints2d
    assert named.origin == "detected"
    np.testing.assert_array_equal(named.values[:, :2], detected[0, :, :2])
    assert named.values[:, 2].max() == 1
    assert second.keypoints2d == ()


def test_2d_points_of_an_unknown_order_are_left_out(tmp_path: Path) -> None:
    write_smc(tmp_path, body(1), points={"Keypoints_2D/00": np.ones((1, 100, 3))})
    assert kept(DnaRendering(tmp_path))[0].keypoints2d == ()


@pytest.mark.parametrize("is_there", [True, False])
def test_without_a_gender_nobody_is_placed(tmp_path: Path, is_there: bool) -> None:
    write_smc(tmp_path, body(1), gender=None)
    if not is_there:
        (tmp_path / "dna_rendering_part1_main" / f"{SEQUENCE}.smc").unlink()
    assert {one.reason for one in read(DnaRendering(tmp_path)) if isinstance(one, Reject)} == {"no-gender"}


@pytest.mark.parametrize("key", ["fullpose", "transl", "betas"])
def test_a_missing_array_is_named(tmp_path: Path, key: str) -> None:
    stored = body(2)
    del stored[key]
    write_smc(tmp_path, stored)
    with pytest.raises(RawFileError, match=rf"{SEQUENCE}_annots\.smc: field 'SMPLx/{key}'"):
        read(DnaRendering(tmp_path))


def test_a_file_without_cameras_is_refused(tmp_path: Path) -> None:
    write_smc(tmp_path, body(1))
    with h5py.File(tmp_path / "dna_rendering_part1_annotations" / f"{SEQUENCE}_annots.smc", "a") as file:
        del file["Camera_Parameter"]
    with pytest.raises(RawFileError, match="Camera_Parameter"):
        read(DnaRendering(tmp_path))


def test_other_genders_and_shapes_are_refused(tmp_path: Path) -> None:
    write_smc(tmp_path, body(2), gender="robot")
    with pytest.raises(RawFileError, match=rf"{SEQUENCE}\.smc: field 'gender'"):
        read(DnaRendering(tmp_path))
    write_smc(tmp_path, body(2) | {"transl": np.zeros((3, 3))})
    with pytest.raises(RawFileError, match="SMPLx/transl"):
        read(DnaRendering(tmp_path))


def test_a_wrong_root_is_told_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match=r"_annots\.smc"):
        DnaRendering(tmp_path).units("all")
    for split in ("train", "test"):
        with pytest.raises(RawLayoutError, match=f"new_{split}_230207.txt"):
            DnaRenderingHires(tmp_path, form="renbody").units(split)


# --- RenBody ----------------------------------------------------------------------------------------------------------

PARTS = {"global_orient": 1, "body_pose": 21, "jaw_pose": 1, "leye_pose": 1, "reye_pose": 1}
PARTS |= {"left_hand_pose": 15, "right_hand_pose": 15}


def write_renbody(root: Path, num: int, pictures: list[str], *, lens: bool = True, line: str = LINE) -> dict[str, Any]:
    rng = np.random.default_rng(4)
    fits: dict[str, Any] = {key: rng.normal(size=(num, n, 3)) for key, n in PARTS.items()}
    fits |= {"transl": rng.normal(size=(num, 3)), "betas": rng.normal(size=(num, 10)), "gender": np.array("male")}
    fits["expression"] = rng.normal(size=(num, 10))
    folder = root / "smpl" / line / "smplx_xrmocap"
    folder.mkdir(parents=True)
    np.savez(folder / "human_data_smplx.npz", **fits)
    points, mask = rng.normal(size=(num, 190, 3)), np.ones((num, 190))
    mask[:, 5] = 0
    np.savez(folder / "human_data_optimized_keypoints3d.npz", keypoints3d=points, keypoints3d_mask=mask)
    cameras = {name: {"K": K, "RT": RT} | ({"D": D} if lens else {}) for name in ("09", "21", "50")}
    for name in cameras:
        images = root / "image" / line / "image" / name
        images.mkdir(parents=True)
        for stem in pictures:
            (images / f"{stem}.jpg").touch()
    np.save((root / "image" / line).parent / "annots.npy", np.array({"cams": cameras}, object))
    (root / "new_train_230207.txt").write_text(f"{line}\n\n")
    (root / "new_test_230207.txt").write_text("\n")
    return fits | {"points": points}


def test_the_tree_of_renbody(tmp_path: Path) -> None:
    stored = write_renbody(tmp_path, 2, ["000100", "000105"])
    people = kept(DnaRendering(tmp_path, form="renbody"), "train")
    assert [one.provenance.sequence for one in people[::2]] == [f"{LINE}/09", f"{LINE}/21"]
    assert [one.provenance.frame for one in people[:2]] == ["000100", "000105"]
    assert people[1].image.path == f"image/{LINE}/image/09/000105.jpg"
    found = people[1].body
    assert found is not None
    assert (found.gender, found.hands) == ("male", "relative")
    np.testing.assert_array_equal(found.pose_aa, np.concatenate([stored[key][1] for key in PARTS]))
    np.testing.assert_array_equal(found.transl_m, stored["transl"][1])
    assert people[1].keypoints3d is not None
    np.testing.assert_allclose(people[1].keypoints3d.values[0], [*(stored["points"][1, 0] - CENTRE) @ R, 1])
    assert people[1].keypoints3d.values[5, 3] == 0
    np.testing.assert_allclose(people[1].camera.distortion[:5], D)
    [high] = {one.provenance.sequence for one in kept(DnaRenderingHires(tmp_path, form="renbody"), "train")}
    assert high == f"{LINE}/50"
    assert DnaRendering(tmp_path, form="renbody").units("test") == []


def test_pictures_beyond_the_labels_are_cut_off(tmp_path: Path) -> None:
    write_renbody(tmp_path, 2, ["a", "b", "c"], lens=False)
    people = kept(DnaRendering(tmp_path, form="renbody"), "train")
    assert [one.provenance.frame for one in people] == ["a", "b"] * 2
    assert not people[0].camera.distortion.any()


def test_a_missing_picture_moves_no_row(tmp_path: Path) -> None:
    stored = write_renbody(tmp_path, 4, ["0010", "0011", "0013"])
    people = kept(DnaRendering(tmp_path, form="renbody"), "train")[:3]
    assert [one.provenance.frame for one in people] == ["0010", "0011", "0013"]
    assert people[2].body is not None
    np.testing.assert_array_equal(people[2].body.transl_m, stored["transl"][3])


def test_without_pictures_there_are_still_labels(tmp_path: Path) -> None:
    write_renbody(tmp_path / "renbody", 2, [])
    people = kept(DnaRendering(tmp_path, form="renbody"), "train")
    assert [one.provenance.frame for one in people[:2]] == ["000000", "000001"]
    assert people[0].image.path == f"renbody/image/{LINE}/image/09/000000.jpg"


@pytest.mark.parametrize("line", ["../../../etc/x/y", "only_one", "a/b/c/d"])
def test_a_line_that_is_no_sequence_is_refused(tmp_path: Path, line: str) -> None:
    write_renbody(tmp_path, 1, [])
    (tmp_path / "new_train_230207.txt").write_text(f"{LINE}\n{line}\n")
    with pytest.raises(RawFileError):
        DnaRendering(tmp_path, form="renbody").units("train")


def test_a_missing_file_of_a_listed_sequence_is_named(tmp_path: Path) -> None:
    write_renbody(tmp_path, 1, [])
    (tmp_path / "image" / LINE).parent.joinpath("annots.npy").unlink()
    with pytest.raises(RawLayoutError, match=r"image/20220924/actor_1/annots\.npy"):
        DnaRendering(tmp_path, form="renbody").units("train")


def test_cameras_that_are_no_record_are_refused(tmp_path: Path) -> None:
    write_renbody(tmp_path, 1, [])
    path = (tmp_path / "image" / LINE).parent / "annots.npy"
    for content in (
        np.zeros(3),
        np.array({"cams": {}}, object),
        np.array({"cams": {"09": 3}}, object),
        np.array({"cams": {"09": {"K": K}}}, object),
    ):
        np.save(path, content)
        with pytest.raises(RawFileError, match=r"annots\.npy"):
            read(DnaRendering(tmp_path, form="renbody"), "train")
