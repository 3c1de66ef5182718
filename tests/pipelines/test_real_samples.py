"""Real HumanData files of the first kind, as mmhuman3d's own tests held them in August 2021: one person each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from real_records import ingest, place, samples_of

from harmonize.keypoints import SMPLX_144

PRERELEASE = {
    "h36m": ("sample_h36m_train.npz", "h36m_train.npz", 16),
    "mpi_inf_3dhp": ("sample_mpi_inf_3dhp_train.npz", "mpi_inf_3dhp_train.npz", 19),
    "mscoco": ("sample_coco_2014_train.npz", "mscoco_neural_train_2014.npz", 17),
    "mpii": ("sample_mpii_train.npz", "mpii_train.npz", 14),
}
"""Sample, a name that the form knows, and number of points that `mask` marks."""


@pytest.mark.parametrize("dataset", PRERELEASE)
def test_prerelease_points(dataset: str, samples: Path, tmp_path: Path) -> None:
    source, name, num_points = PRERELEASE[dataset]
    file = place(samples / "humandata_prerelease" / source, tmp_path / "raw", name)
    assert ingest(dataset, tmp_path / "raw", "train", tmp_path / "store", form="humandata", images="none") == (1, {})
    (sample,) = samples_of(tmp_path / "store")
    with np.load(file) as content:
        mask, points = content["mask"] > 0, content["keypoints2d"][0]
    assert mask.sum() == num_points
    # The old convention has other rows: the points are the same set, of which a person may lack some.
    given = points[mask & (points[:, 2] > 0), :2]
    keypoints = sample.instance.keypoints
    found = np.concatenate([keypoints.joints2d_px, keypoints.extra2d_px])
    found = found[found[:, 2] > 0, :2]
    assert len(found) == len(given) >= num_points - 2
    distance = np.linalg.norm(found[:, None] - given, axis=-1)
    assert max(distance.min(axis=0).max(), distance.min(axis=1).max()) < 1e-3
    rows = [SMPLX_144.index(name) for name in ("left_knee", "right_knee", "left_wrist", "right_wrist")]
    assert (keypoints.joints2d_px[rows, 2] > 0).all()
    assert keypoints.joints2d_origin != "none"
    assert not sample.instance.body.has_body
    assert not sample.instance.image.has_pixels
    assert not sample.instance.provenance.image_path.startswith("/")


def test_a_prerelease_body_without_a_position_is_a_recorded_reject(samples: Path, tmp_path: Path) -> None:
    """3DPW's one record has a box of 312 x 28 px, no 2D points, and a body without a position: nothing says where."""
    place(samples / "humandata_prerelease/sample_3dpw_test.npz", tmp_path / "raw/pw3d_test.npz")
    found = ingest("pw3d", tmp_path / "raw", "test", tmp_path / "store", form="humandata", images="none")
    assert found == (0, {"box-missing": 1})
