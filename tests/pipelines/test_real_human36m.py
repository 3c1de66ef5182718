"""Real records of Human3.6M: cameras, lens, joints, bodies and pictures together.

Joints were measured in 3D and are stored with their pixels, so cameras and lens can be held to them. The body
parameters of the four views are real too; without the licensed model no mesh can be checked, but orientations, the
change of frame and places relative to each other can.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cdflib.cdfwrite import CDF
from real_records import (
    Floats,
    check_pixels,
    ingest,
    place,
    reprojection_px,
    samples_of,
    stored_joints,
    stored_points,
)

from harmonize.geometry.cameras import project
from harmonize.geometry.frames import change_frame
from harmonize.geometry.rotations import aa_to_rotmat, rotmat_to_aa
from harmonize.keypoints import convention
from harmonize.raw.npz import load_npz
from harmonize.raw.pickles import load_pickle
from harmonize.readers.h36m_official import ROWS_17

MM = 1000.0
FRAMES = (("S1", "Directions 1", "54138969"), ("S7", "Greeting", "55011271"))
VIEWS = ("54138969", "55011271", "58860488", "60457274")
SPOT = (12, 2, 1000)  # S9 Photo: action, sub-action and frame, as the parsed release would number it
MAX_PELVIS_PX = 5.0


def write_cdf(path: Path, joints: Floats) -> None:
    """`Pose` of one frame, of 32 joints of which the 17 are measured."""
    rows = np.zeros((1, 32, joints.shape[1]), np.float32)
    rows[0, list(ROWS_17)] = joints
    path.parent.mkdir(parents=True, exist_ok=True)
    file = CDF(str(path), cdf_spec={"Majority": "row_major", "Compressed": False})
    spec = {"Variable": "Pose", "Data_Type": CDF.CDF_REAL4, "Num_Elements": 1, "Rec_Vary": True}
    file.write_var(spec | {"Dim_Sizes": [1, rows[0].size]}, var_data=rows.reshape(1, 1, -1))
    file.close()


def test_human36m_joints_fall_on_their_pixels_through_the_lens(samples: Path, tmp_path: Path) -> None:
    source, raw = samples / "h36m", tmp_path / "raw"
    rows = load_npz(source / "annotations/h36m_body3d_sample.npz")
    published = load_pickle(source / "annotations/cameras.pkl")
    place(source / "metadata.xml", raw / "metadata.xml")
    pictures, truth = {}, {}
    for row, (subject, action, camera) in enumerate(FRAMES):
        name = f"{action}.{camera}"
        write_cdf(raw / subject / "MyPoseFeatures/D3_Positions_mono" / f"{name}.cdf", MM * rows["S"][row, :, :3])
        picture = source / "images" / str(rows["imgname"][row])
        pictures[subject] = place(picture, raw / subject / "Images" / name / "frame_000000.jpg")
        truth[subject] = (rows["part"][row], rows["S"][row, :, :3], published[subject, camera])
    assert ingest("h36m", raw, "train", tmp_path / "store", form="cdf") == (2, {})
    names, sizes = convention("h36m_mmpose_17").names, {}
    for sample in samples_of(tmp_path / "store"):
        instance = sample.instance
        subject = instance.provenance.subject
        pixels, joints, camera = truth[subject]
        # The 2D points are not given here: they are made with the lens of metadata.xml, and hit those of the release.
        found = stored_points(instance, names)
        np.testing.assert_allclose(found[:, :2], pixels[:, :2], atol=1e-3)
        np.testing.assert_allclose(stored_joints(instance, names), joints, atol=1e-5)
        assert reprojection_px(instance, names).max() < 0.002
        without = project(joints, camera["f"][:, 0], camera["c"][:, 0], None)
        assert 1.0 < np.linalg.norm(without - pixels[:, :2], axis=1).max() < 2.7, "what a pinhole would miss by"
        # Published as camera to world, and the centre; in metres.
        rotmat = instance.camera.world_to_cam_rotmat
        np.testing.assert_allclose(rotmat, camera["R"].T, atol=1e-6)
        np.testing.assert_allclose(-rotmat.T @ instance.camera.world_to_cam_transl_m, camera["T"][:, 0], atol=1e-5)
        sizes[subject] = (instance.image.source_width_px, instance.image.source_height_px)
        check_pixels(sample, pictures[subject])
    # cameras.pkl says 1000 x 1000 for S7's camera.
    assert sizes == {"S1": (1000, 1002), "S7": (1000, 1002)}


def test_human36m_legs_are_on_their_sides(samples: Path) -> None:
    """The right leg comes first: SMPL's own x axis, which points to the left, says so."""
    source = samples / "h36m/annotations"
    body, joints = load_npz(source / "h36m_smpl_sample.npz"), load_npz(source / "h36m_body3d_sample.npz")["S"]
    names = convention("h36m_mmpose_17").names
    for row in range(2):
        root = aa_to_rotmat(body["pose"][row, :3])
        axes = {
            0: ("right_hip_extra", "left_hip_extra", 8.0),
            1: ("pelvis_extra", "neck_extra", 17.0),
        }
        for axis, (start, end, limit_degrees) in axes.items():
            line = joints[row, names.index(end), :3] - joints[row, names.index(start), :3]
            cosine = float(root[:, axis] @ line / np.linalg.norm(line))
            assert np.degrees(np.arccos(cosine)) < limit_degrees


@pytest.fixture
def views(samples: Path) -> dict[str, Floats]:
    """One moment of S9 in four views: cam_R, cam_t (mm), pose, shape, trans, by view."""
    content = load_npz(samples / "h36m_multiview_smpl/multiview_examples.npz")
    assert [Path(str(name)).name.split(".")[1][:8] for name in content["imgname"]] == list(VIEWS)
    return content


def place_and_pelvis(views: dict[str, Floats]) -> tuple[Floats, Floats]:
    """The translation (3,) in the world and the resting pelvis J0 (3,) that best explain the four translations."""
    system = np.concatenate([np.hstack([rotmat, rotmat - np.eye(3)]) for rotmat in views["cam_R"]])
    solved = np.linalg.lstsq(system, (views["trans"] - views["cam_t"] / MM).ravel(), rcond=None)[0]
    return solved[:3], solved[3:]


def test_published_translations_are_those_of_our_change_of_frame(views: dict[str, Floats]) -> None:
    """t_i = R_i (t + J0) + T_i - J0 has one t and one J0 for four cameras: twelve numbers from six unknown ones."""
    rotmats, offsets = views["cam_R"], views["cam_t"] / MM
    transl, pelvis = place_and_pelvis(views)
    for rotmat, offset, published in zip(rotmats, offsets, views["trans"], strict=True):
        _, found = change_frame(np.zeros((1, 3)), transl[None], pelvis[None], rotmat, offset)
        np.testing.assert_allclose(found[0], published, atol=1e-9)
        as_a_point = rotmat @ transl + offset
        assert np.linalg.norm(as_a_point - published) > 0.1, "which is what moving it as a point would miss by"
    assert abs(pelvis[0]) < 0.02, "and J0 is where SMPL's pelvis rests"
    assert -0.30 < pelvis[1] < -0.20
    assert abs(pelvis[2]) < 0.05


def write_parsed_release(samples: Path, root: Path, views: dict[str, Floats], rest_pelvis_m: Floats) -> None:
    """The four views as the release with NeuralAnnot's fits lists them; the body is the real one, in the world.

    Its pelvis is put where it was, though that of the model at hand rests elsewhere (`rest_pelvis_m`).
    """
    action, subaction, frame = SPOT
    cameras = load_pickle(samples / "h36m/annotations/cameras.pkl")
    files: dict[str, Any] = {"data": {"images": [], "annotations": []}, "camera": {}}
    for row, name in enumerate(VIEWS):
        sequence = f"s_09_act_{action:02d}_subact_{subaction:02d}_ca_{row + 1:02d}"
        file_name = f"{sequence}/{sequence}_{frame + 1:06d}.jpg"
        place(
            samples / f"h36m_multiview_smpl/S9_Photo.{name}_001001.jpg",
            root / "images" / file_name,
        )
        width, height = 1000, 1002 if row in (0, 3) else 1000
        keys = {"action_idx": action, "subaction_idx": subaction, "cam_idx": row + 1, "frame_idx": frame, "subject": 9}
        picture = {"id": row, "file_name": file_name, "width": width, "height": height}
        files["data"]["images"].append(picture | keys)
        side = 200 * views["scale"][row]
        corner = views["center"][row] - side / 2
        files["data"]["annotations"].append({"id": row, "image_id": row, "bbox": [*corner, side, side]})
        lens = cameras["S9", name]
        inside = {"f": lens["f"][:, 0].tolist(), "c": lens["c"][:, 0].tolist()}
        outside = {"R": views["cam_R"][row].tolist(), "t": views["cam_t"][row].tolist()}
        files["camera"][str(row + 1)] = inside | outside
    # Its root rotation is that of the first view, whichever the row.
    root_aa = rotmat_to_aa(views["cam_R"][0].T @ aa_to_rotmat(views["pose"][0, :3]))
    pose = [*root_aa.tolist(), *views["pose"][0, 3:].tolist()]
    transl = np.sum(place_and_pelvis(views), axis=0) - rest_pelvis_m
    fit = {"pose": pose, "shape": views["shape"][0].tolist(), "trans": transl.tolist()}
    files["SMPL_NeuralAnnot"] = {str(action): {str(subaction): {str(frame): fit}}}
    files["joint_3d"] = {str(action): {str(subaction): {"0": np.zeros((17, 3)).tolist()}}}  # none of this frame
    (root / "annotations").mkdir(parents=True)
    for kind, content in files.items():
        (root / f"annotations/Human36M_subject9_{kind}.json").write_text(json.dumps(content))
    place(samples / "h36m/metadata.xml", root / "metadata.xml")


def test_a_body_of_human36m_stands_in_one_place_for_four_cameras(
    samples: Path, views: dict[str, Floats], standin: Any, tmp_path: Path
) -> None:
    rest_pelvis_m = standin.get("smpl", "neutral").rest_pelvis_m(views["shape"][:1])[0]
    write_parsed_release(samples, tmp_path / "raw", views, rest_pelvis_m)
    assert ingest("h36m", tmp_path / "raw", "test", tmp_path / "store", form="neuralannot_smpl") == (4, {})
    cameras, world, facing = load_pickle(samples / "h36m/annotations/cameras.pkl"), [], {}
    for sample in samples_of(tmp_path / "store"):
        instance = sample.instance
        row = int(instance.provenance.sequence[-1]) - 1
        camera = instance.camera
        assert camera.distortion.any(), "metadata.xml has the lens of this camera"
        given = aa_to_rotmat(views["pose"][row, :3])
        expected = views["cam_R"][row] @ views["cam_R"][0].T @ given
        assert instance.source_body is not None
        np.testing.assert_allclose(aa_to_rotmat(instance.source_body.pose_aa[0]), expected, atol=1e-5)
        np.testing.assert_allclose(instance.source_body.pose_aa[1:24].ravel(), views["pose"][row, 3:], atol=1e-6)
        np.testing.assert_allclose(instance.source_body.betas[:10], views["shape"][row], atol=1e-6)
        stored = aa_to_rotmat(instance.body.global_orient_aa)
        assert np.degrees(np.arccos((np.trace(stored.T @ expected) - 1) / 2)) < 10, "SMPL-X, fitted to SMPL"
        joints = instance.keypoints.joints3d_cam_m[:22, :3].astype(float)
        world.append((joints - camera.world_to_cam_transl_m) @ camera.world_to_cam_rotmat)
        facing[row] = expected[:, 2]
        assert (camera.world_to_cam_rotmat.T @ expected[:, 1])[2] > 0.99, "z is up"
        pixels = project(joints, camera.focal_px, camera.principal_point_px, camera.distortion)
        pixels += [instance.image.crop_x_px, instance.image.crop_y_px]
        pelvis = views["cam_R"][row] @ np.sum(place_and_pelvis(views), axis=0) + views["cam_t"][row] / MM
        focal, centre = cameras["S9", VIEWS[row]]["f"][:, 0], cameras["S9", VIEWS[row]]["c"][:, 0]
        assert np.linalg.norm(pixels[0] - project(pelvis[None], focal, centre, None)[0]) < MAX_PELVIS_PX
        from_centre = np.abs(pixels - views["center"][row]) / (100 * views["scale"][row])
        assert from_centre.max() < 1.1, "the body is in the picture's box, but for the stand-in's proportions"
        check_pixels(sample, samples / f"h36m_multiview_smpl/S9_Photo.{VIEWS[row]}_001001.jpg")
    # Each view is fitted to SMPL-X by itself.
    assert np.ptp(world, axis=0).max() < 0.002
    # Left, right and towards the camera, left and away, right: as the pictures show.
    assert facing[0][0] < 0 < facing[1][0]
    assert facing[2][0] < 0 < facing[3][0]
    assert facing[1][2] < 0 < facing[2][2]
