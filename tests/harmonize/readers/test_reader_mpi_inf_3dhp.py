"""MPI-INF-3DHP as parsed json with fits and as the site ships it, hand-made from their descriptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from harmonize.annotation import Annotation, Reject
from harmonize.errors import RawFileError, RawLayoutError, UsageError
from harmonize.readers.mpi_inf_3dhp import MpiInf3dhp

RNG = np.random.default_rng(17)
ROTMAT = Rotation.from_euler("xyz", [3.0, 0.4, 0.1]).as_matrix()
TRANSL_MM = np.array([-562.8666, 1398.138, 3852.623])
SKELETON_MM = np.array([0.0, 900.0, 0.0]) + RNG.normal(size=(17, 3)) * 200


def fit(model: str) -> dict[str, list[float]]:
    pose = RNG.normal(size=72) * 0.2
    shared = {"shape": RNG.normal(size=10).tolist(), "trans": [0.1, 1.1, 0.3]}
    if model == "SMPL":
        return {"pose": pose.tolist(), **shared}
    return {"root_pose": pose[:3].tolist(), "body_pose": pose[:63].tolist(), **shared}


def release(
    root: Path, base: str = "", *, frames: tuple[int, ...] = (6183, 6186), fitted: tuple[int, ...] = (6183, 6186)
) -> dict[str, Any]:
    images = [
        {"id": n, "file_name": f"img_0_{frame:06d}.jpg", "width": 1000, "height": 1000}
        | {"subject_idx": 1, "seq_idx": 2, "cam_idx": 0, "frame_idx": frame}
        for n, frame in enumerate(frames)
    ]
    annotations = [{"id": 50 + n, "image_id": n, "bbox": [400.5, 300, 120, 240]} for n in range(len(frames))]
    lens = {"R": ROTMAT.tolist(), "t": TRANSL_MM.tolist(), "focal": [731.3, 731.0], "princpt": [500.3, 513.4]}

    def nested(values: dict[int, Any]) -> dict[str, Any]:
        return {"1": {"2": {str(frame): value for frame, value in values.items()}}}

    files = {
        "1k": {"images": images, "annotations": annotations},
        "camera_1k": {"1": {"2": {"0": lens}}},
        "joint_3d": nested({frame: SKELETON_MM.tolist() for frame in frames}),
        "SMPLX_NeuralAnnot": nested({frame: fit("SMPLX") for frame in fitted}),
        "SMPL_NeuralAnnot": nested({frame: fit("SMPL") for frame in fitted}),
    }
    (root / base).mkdir(parents=True, exist_ok=True)
    for kind, content in files.items():
        (root / base / f"MPI-INF-3DHP_{kind}.json").write_text(json.dumps(content))
    return files


def people(root: Path, split: str = "train", form: str | None = None) -> list[Annotation | Reject]:
    reader = MpiInf3dhp(root, form=form)
    return [item for unit in reader.units(split) for item in reader.read(split, unit)]


def kept(items: list[Annotation | Reject]) -> list[Annotation]:
    assert all(isinstance(item, Annotation) for item in items), items
    return [item for item in items if isinstance(item, Annotation)]


@pytest.mark.parametrize("base", ["", "data/"])
def test_fits_joints_and_cameras_are_joined_by_their_numbers(tmp_path: Path, base: str) -> None:
    files = release(tmp_path, base)
    one, _ = kept(people(tmp_path))
    assert (one.provenance.sequence, one.provenance.frame) == ("S1/Seq2/video_0", "006183")
    assert (one.provenance.person, one.provenance.label_origin) == ("0", "neuralannot")
    assert one.image.path == f"{base}images_1k/S1/Seq2/imageSequence/img_0_006183.jpg"
    assert one.image_size_px == (1000, 1000)
    body = one.body
    assert body is not None
    entry = files["SMPLX_NeuralAnnot"]["1"]["2"]["6183"]
    np.testing.assert_allclose(body.pose_aa[:22].ravel(), entry["root_pose"] + entry["body_pose"], rtol=1e-6)
    np.testing.assert_allclose(body.transl_m, entry["trans"], rtol=1e-6)
    assert body.to_cam is not None
    np.testing.assert_allclose(body.to_cam.transl_m, TRANSL_MM / 1000)
    assert one.keypoints3d is not None
    np.testing.assert_allclose(one.keypoints3d.values[:, :3], (SKELETON_MM @ ROTMAT.T + TRANSL_MM) / 1000, atol=1e-5)
    assert one.keypoints3d.names[:3] == ("headtop", "neck_extra", "right_shoulder")
    np.testing.assert_allclose(one.boxes.person_xywh_px, [400.5, 300, 120, 240, 1])


def test_smpl_fits_are_a_form(tmp_path: Path) -> None:
    files = release(tmp_path)
    body = kept(people(tmp_path, form="neuralannot_smpl"))[0].body
    assert body is not None
    np.testing.assert_allclose(body.pose_aa.ravel(), files["SMPL_NeuralAnnot"]["1"]["2"]["6183"]["pose"], rtol=1e-6)


def test_a_frame_without_a_fit_keeps_its_joints(tmp_path: Path) -> None:
    release(tmp_path, fitted=(6186,))
    one, other = kept(people(tmp_path))
    assert (one.body, one.provenance.label_origin) == (None, "multi-view")
    assert one.keypoints3d is not None
    assert other.body is not None


def test_a_camera_that_is_not_there_rejects_its_people(tmp_path: Path) -> None:
    files = release(tmp_path)
    content = files["camera_1k"]["1"]["2"]
    (tmp_path / "MPI-INF-3DHP_camera_1k.json").write_text(json.dumps({"1": {"2": {"4": content["0"]}}}))
    rejected = people(tmp_path)
    assert [(item.reason, item.detail) for item in rejected if isinstance(item, Reject)] == [
        ("malformed", "camera 1/2/0: expected, found none")
    ] * 2


def test_only_the_official_form_has_a_test_split(tmp_path: Path) -> None:
    release(tmp_path)
    with pytest.raises(UsageError, match="unknown split 'test'"):
        people(tmp_path, "test")


def test_a_wrong_root_is_told_in_the_datasets_words(tmp_path: Path) -> None:
    with pytest.raises(RawLayoutError, match=r"MPI-INF-3DHP_1k\.json or data/MPI-INF-3DHP_1k\.json"):
        people(tmp_path)
    with pytest.raises(RawLayoutError, match=r"S1/Seq1/annot\.mat"):
        people(tmp_path, form="official")
    with pytest.raises(RawLayoutError, match=r"mpi_inf_3dhp_test_set/TS1/annot_data\.mat"):
        people(tmp_path, "test", "official")
    release(tmp_path)
    (tmp_path / "MPI-INF-3DHP_joint_3d.json").unlink()
    with pytest.raises(RawLayoutError, match="MPI-INF-3DHP_joint_3d"):
        people(tmp_path)


# --- the official training set ----------------------------------------------------------------------------------------

FRAMES = 4
PIXELS = RNG.uniform(100, 1900, (14, FRAMES, 56))
JOINTS_MM = np.tile([0.0, 0.0, 4000.0], 28) + RNG.normal(size=(14, FRAMES, 84)) * 300


def calibration(*, ending: str = " ", cameras: int = 14) -> str:
    place = np.eye(4)
    place[:3, :3], place[:3, 3] = ROTMAT, TRANSL_MM
    lens = np.diag([1497.693, 1497.103, 1.0, 1.0])
    lens[:2, 2] = [1024.704, 1051.394]
    lines = ["Skeletool Camera Calibration File V1.0"]
    for camera in range(cameras):
        lens[0, 0] = 1400 + camera
        lines += [
            f"name          {camera}",
            "  sensor      10 10",
            "  size        2048 2048",
            "  animated    0",
            f"  intrinsic   {' '.join(f'{number:.7f}' for number in lens.ravel())}{ending}",
            f"  extrinsic   {' '.join(f'{number:.7f}' for number in place.ravel())}{ending}",
            "  radial      0",
        ]
    return "\n".join(lines) + "\n"


def cells(values: np.ndarray) -> np.ndarray:
    found = np.empty((len(values), 1), object)
    for row, value in enumerate(values):
        found[row, 0] = value
    return found


def official(root: Path, sequence: str = "S1/Seq1", **changes: Any) -> None:
    folder = root / sequence
    folder.mkdir(parents=True, exist_ok=True)
    content = {"annot2": cells(PIXELS), "annot3": cells(JOINTS_MM), "univ_annot3": cells(JOINTS_MM * 0.9)}
    savemat(folder / "annot.mat", content | changes)
    (folder / "camera.calibration").write_text(calibration())


def test_official_joints_are_in_their_camera_already(tmp_path: Path) -> None:
    official(tmp_path)
    found = kept(people(tmp_path, form="official"))
    assert len(found) == 14 * FRAMES
    one = found[3 * FRAMES + 2]
    assert (one.provenance.sequence, one.provenance.frame, one.body) == ("S1/Seq1/video_3", "000002", None)
    assert one.provenance.label_origin == "multi-view"
    assert one.image.path == "S1/Seq1/imageSequence/video_3.avi"
    assert one.image.video is not None
    assert (one.image.video.index, one.image.video.num_frames) == (2, FRAMES)
    assert one.keypoints3d is not None
    np.testing.assert_allclose(one.keypoints3d.values[:, :3], JOINTS_MM[3, 2].reshape(28, 3) / 1000)
    [points] = one.keypoints2d
    np.testing.assert_allclose(points.values[:, :2], PIXELS[3, 2].reshape(28, 2))
    assert points.names[4:7] == ("pelvis_extra", "neck_extra", "head_extra")
    np.testing.assert_allclose(one.camera.focal_px, [1403, 1497.103], rtol=1e-6)
    np.testing.assert_allclose(one.camera.world_to_cam_transl_m, TRANSL_MM / 1000, rtol=1e-5)
    assert one.image_size_px == (2048, 2048)


@pytest.mark.parametrize("ending", ["", " ", "  "])
def test_calibration_lines_may_end_in_spaces(tmp_path: Path, ending: str) -> None:
    official(tmp_path)
    (tmp_path / "S1/Seq1/camera.calibration").write_text(calibration(ending=ending))
    one = kept(people(tmp_path, form="official"))[0]
    np.testing.assert_allclose(one.camera.principal_point_px, [1024.704, 1051.394], rtol=1e-6)
    np.testing.assert_allclose(one.camera.world_to_cam_rotmat, ROTMAT, atol=1e-6)


@pytest.mark.parametrize(
    "text", [calibration(cameras=13), calibration().replace("1051.3940000", "-" * 60), "", "<html>", "\xe9" * 9]
)
def test_a_damaged_calibration_is_one_error(tmp_path: Path, text: str) -> None:
    official(tmp_path)
    (tmp_path / "S1/Seq1/camera.calibration").write_text(text)
    with pytest.raises(RawFileError, match=r"camera\.calibration"):
        people(tmp_path, form="official")


def test_the_short_video_is_asked_frame_by_frame(tmp_path: Path) -> None:
    official(tmp_path, "S6/Seq2")
    videos = {
        (one.provenance.sequence, one.image.video.num_frames)
        for one in kept(people(tmp_path, form="official"))
        if one.image.video
    }
    assert {count for name, count in videos if name == "S6/Seq2/video_2"} == {1, 2, 3, 4}
    assert {count for name, count in videos if name == "S6/Seq2/video_1"} == {FRAMES}


@pytest.mark.parametrize(
    ("folder", "name"),
    [("video_2", "000002.jpg"), ("imageFrames/video_2", "frame_000002.jpg")],
)
def test_extracted_frames_count_from_one(tmp_path: Path, folder: str, name: str) -> None:
    official(tmp_path)
    (tmp_path / "S1/Seq1" / folder).mkdir(parents=True)
    image = kept(people(tmp_path, form="official"))[2 * FRAMES + 1].image
    assert (image.path, image.video) == (f"S1/Seq1/{folder}/{name}", None)


def test_cells_that_do_not_fit_together_are_one_error(tmp_path: Path) -> None:
    for changes in (
        {"annot2": cells(PIXELS[:, :3])},
        {"annot3": cells(JOINTS_MM[:13])},
        {"annot3": cells(JOINTS_MM[:, :, :83])},
        {"annot2": "x"},
    ):
        official(tmp_path, **changes)
        with pytest.raises(RawFileError, match=r"annot\.mat"):
            people(tmp_path, form="official")


# --- the test set -----------------------------------------------------------------------------------------------------


def scored(
    root: Path, number: int = 1, *, folder: str = "mpi_inf_3dhp_test_set/", frames: int = 3, focal: float = 1500.0
) -> np.ndarray:
    joints = np.array([0.0, 0.0, 4000.0]) + RNG.normal(size=(frames, 1, 17, 3)) * 400
    pixels = joints[..., :2] / joints[..., 2:] * focal + [1017.0, 1043.0]
    path = root / f"{folder}TS{number}/annot_data.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        valid = np.ones((frames, 1))
        valid[frames // 2] = frames < 2
        for name, value in (("annot2", pixels), ("annot3", joints), ("univ_annot3", joints), ("valid_frame", valid)):
            file.create_dataset(name, data=value).attrs["MATLAB_class"] = np.bytes_("double")
    return joints


@pytest.mark.parametrize("folder", ["mpi_inf_3dhp_test_set/", ""])
def test_the_test_set_has_a_camera_that_its_own_points_tell(tmp_path: Path, folder: str) -> None:
    joints = scored(tmp_path, folder=folder, focal=1234.0)
    first, second, third = people(tmp_path, "test", "official")
    assert isinstance(first, Annotation)
    assert isinstance(second, Reject)
    assert isinstance(third, Annotation)
    assert second.reason == "invalid-frame"
    assert (third.provenance.sequence, third.provenance.frame) == ("TS1", "000003"), "files count from 1"
    assert third.image.path == f"{folder}TS1/imageSequence/img_000003.jpg"
    assert third.keypoints3d is not None
    np.testing.assert_allclose(third.keypoints3d.values[:, :3], joints[2, 0] / 1000)
    np.testing.assert_allclose(third.camera.focal_px, 1234, rtol=1e-4)
    np.testing.assert_allclose(third.camera.principal_point_px, [1017, 1043], rtol=1e-4)
    assert not third.camera.distortion.any()


def test_a_single_test_frame_keeps_its_axes(tmp_path: Path) -> None:
    scored(tmp_path, frames=1)
    assert len(kept(people(tmp_path, "test", "official"))) == 1


def test_the_published_camera_is_taken_where_it_agrees(tmp_path: Path) -> None:
    joints = np.array([0.0, 0.0, 4000.0]) + RNG.normal(size=(2, 1, 17, 3)) * 400
    scored(tmp_path, 5, frames=2)
    rays = joints[..., :2] / joints[..., 2:]
    r2 = (rays**2).sum(axis=-1, keepdims=True)
    k1, k2, p1, p2, k3 = -0.276859611, 0.131125256, -0.000360494, -0.001149441, -0.049318332
    x, y = rays[..., :1], rays[..., 1:]
    bent = rays * (1 + r2 * (k1 + r2 * (k2 + r2 * k3)))
    bent += np.concatenate([2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y], axis=-1)
    pixels = bent * [1683.98, 1672.59] + [939.857, 560.14]
    with h5py.File(tmp_path / "mpi_inf_3dhp_test_set/TS5/annot_data.mat", "r+") as file:
        file["annot2"][...], file["annot3"][...], file["valid_frame"][...] = pixels, joints, 1.0
    one = kept(people(tmp_path, "test", "official"))[0]
    np.testing.assert_allclose(one.camera.distortion[:5], [k1, k2, p1, p2, k3], rtol=1e-5)
    np.testing.assert_allclose(one.camera.focal_px, [1683.98, 1672.59], rtol=1e-4)
