"""Real records of MPI-INF-3DHP: one frame of training and one of the test set, with their cameras and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from real_records import (
    Floats,
    check_pixels,
    check_points,
    ingest,
    place,
    reprojection_px,
    samples_of,
    stored_joints,
)
from scipy.io import savemat

from harmonize.keypoints import convention
from harmonize.raw.npz import load_npz
from harmonize.raw.pickles import load_pickle

MM = 1000.0
NAMES_17, NAMES_28 = convention("mpi_inf_3dhp_test_17").names, convention("mpi_inf_3dhp_28").names


def with_28(joints_17: Floats) -> Floats:
    """Joints under the 28 names of the training set; those that a sample lacks are put at its pelvis."""
    where = [NAMES_17.index(name if name in NAMES_17 else "pelvis_extra") for name in NAMES_28]
    return joints_17[where]


def test_training_joints_fall_on_their_pixels(samples: Path, tmp_path: Path) -> None:
    source, folder = samples / "mpi_inf_3dhp", tmp_path / "raw/S4/Seq2"
    rows = load_npz(source / "annotations/3dhp_train_sample.npz")
    cameras = load_pickle(source / "annotations/cameras_train.pkl")
    picture = place(source / "images/S4_Seq2_Cam0_001033.jpg", folder / "imageFrames/video_0/frame_000001.jpg")
    pixels, joints = with_28(rows["part"][0, :, :2]), with_28(rows["S"][0, :, :3])
    cells = {"annot2": np.empty((14, 1), object), "annot3": np.empty((14, 1), object)}
    lines = ["Skeletool Camera Calibration File V1.0"]
    for number in range(14):
        cells["annot2"][number, 0], cells["annot3"][number, 0] = pixels.reshape(1, -1), MM * joints.reshape(1, -1)
        # The sample has the cameras that training uses; the others, of which nothing is read, repeat the first.
        camera = cameras.get(f"S4_Seq2_Cam{number}", cameras["S4_Seq2_Cam0"])
        inside, outside = np.eye(4), np.eye(4)
        inside[[0, 1], [0, 1]], inside[:2, 2] = camera["f"][:, 0], camera["c"][:, 0]
        outside[:3] = np.hstack([camera["R"], MM * camera["T"]])
        lines += [f"name {number}", "size 2048 2048", "radial 0"]
        lines += [
            f"{key} {' '.join(map(repr, matrix.ravel().tolist()))}"
            for key, matrix in (("intrinsic", inside), ("extrinsic", outside))
        ]
    savemat(folder / "annot.mat", cells)
    (folder / "camera.calibration").write_text("\n".join(lines))
    num_samples, reasons = ingest("mpi_inf_3dhp", tmp_path / "raw", "train", tmp_path / "store", form="official")
    assert (num_samples, reasons) == (1, {"image-missing": 13})
    (sample,) = samples_of(tmp_path / "store")
    check_points(sample.instance, NAMES_17, rows["part"][0])
    np.testing.assert_allclose(stored_joints(sample.instance, NAMES_17), rows["S"][0, :, :3], atol=1e-5)
    errors = reprojection_px(sample.instance, NAMES_17)
    assert np.median(errors) < 0.01
    assert errors.max() < 2.2, "hips and pelvis: their pixels are of other points than their 3D joints"
    image = sample.instance.image
    assert (image.source_width_px, image.source_height_px) == (2048, 2048), "the sample's cameras say 204 high"
    check_pixels(sample, picture)


def test_joints_of_the_test_set_fall_on_their_pixels(samples: Path, tmp_path: Path) -> None:
    source, folder = samples / "mpi_inf_3dhp", tmp_path / "raw/mpi_inf_3dhp_test_set/TS1"
    rows = load_npz(source / "annotations/3dhp_test_sample.npz")
    number = 2001
    picture = place(source / "images/TS1_002001.jpg", folder / f"imageSequence/img_{number:06d}.jpg")
    pixels, joints, is_valid = np.zeros((2, 17, 1, number)), np.zeros((3, 17, 1, number)), np.zeros((1, number))
    pixels[:, :, 0, -1], joints[:, :, 0, -1] = rows["part"][0, :, :2].T, MM * rows["S"][0, :, :3].T
    is_valid[0, -1] = 1
    savemat(folder / "annot_data.mat", {"annot2": pixels, "annot3": joints, "valid_frame": is_valid})
    found = ingest("mpi_inf_3dhp", tmp_path / "raw", "test", tmp_path / "store", form="official")
    assert found == (1, {"invalid-frame": number - 1})
    (sample,) = samples_of(tmp_path / "store")
    assert sample.instance.provenance.frame == f"{number:06d}"
    check_points(sample.instance, NAMES_17, rows["part"][0])
    errors = reprojection_px(sample.instance, NAMES_17)
    assert np.median(errors) < 0.01
    assert errors.max() < 1.5
    # The reader's camera, which the release does not hold, is the one that mmpose fitted.
    fitted, shift = load_pickle(source / "annotations/cameras_test.pkl")["TS1"], sample.instance.image
    centre = sample.instance.camera.principal_point_px + np.array([shift.crop_x_px, shift.crop_y_px])
    np.testing.assert_allclose(sample.instance.camera.focal_px, fitted["f"][:, 0], rtol=1e-3)
    np.testing.assert_allclose(centre, fitted["c"][:, 0], atol=1.0)
    image = sample.instance.image
    assert (image.source_width_px, image.source_height_px) == (2048, 2048)
    check_pixels(sample, picture)
