"""PCK and areas under curves: counted by hand, closed forms, and masks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from benchmark.metrics.keypoints2d import auc2d, box_length_px, pck2d, torso_length_px
from benchmark.metrics.parts import JointPart
from benchmark.metrics.pck import AUC3D_MM, auc3d, pck3d
from harmonize.errors import DataError
from harmonize.geometry.rotations import aa_to_rotmat
from harmonize.keypoints import SMPLX_144

FOUR = JointPart(joints=(1, 2, 3, 4), roots=(0,))


def off_by(*lengths_mm: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A root, and a joint off by each length."""
    true = torch.tensor(np.random.default_rng(0).normal(size=(1, 1 + len(lengths_mm), 3)))
    pred = true.clone()
    pred[0, 1:, 2] += torch.tensor(lengths_mm).double() / 1000
    return pred + 7, true


def test_joints_nearer_than_150_mm_are_right() -> None:
    pred, true = off_by(0, 149.9, 150.1, 400)
    assert pck3d(pred, true, FOUR).tolist() == [0.5]
    assert pck3d(pred, true, FOUR, threshold_mm=500).tolist() == [1.0]
    assert pck3d(pred, true, FOUR, threshold_mm=100).tolist() == [0.25]


def test_the_area_is_the_mean_over_31_thresholds() -> None:
    assert tuple(range(0, 151, 5)) == AUC3D_MM
    assert len(AUC3D_MM) == 31
    one = JointPart(joints=(1,), roots=(0,))
    # Off by 52 mm: right from 55 mm on, at 20 thresholds of 31; off by nothing: at all but 0.
    assert auc3d(*off_by(52), one).item() == pytest.approx(20 / 31)
    assert auc3d(*off_by(0), one).item() == pytest.approx(30 / 31)
    assert auc3d(*off_by(151), one).item() == 0
    pred, true = off_by(3, 52, 99, 151)
    singly = [auc3d(pred, true, JointPart(joints=(joint,), roots=(0,))).item() for joint in FOUR.joints]
    assert auc3d(pred, true, FOUR).item() == pytest.approx(np.mean(singly))


def test_even_errors_give_half_the_area() -> None:
    lengths = (np.arange(3000) + 0.5) / 20
    part = JointPart(joints=tuple(range(1, 3001)), roots=(0,))
    assert auc3d(*off_by(*lengths), part).item() == pytest.approx(0.5, abs=1e-3)


def test_procrustes_alignment_forgives_turn_and_scale() -> None:
    true = torch.tensor(np.random.default_rng(0).normal(size=(3, 10, 3)))
    pred = 2 * true @ torch.tensor(aa_to_rotmat(np.array([0.4, 1.0, -0.3]))).T
    part = JointPart(joints=tuple(range(10)), roots=(0,))
    assert pck3d(pred, true, part, alignment="procrustes", threshold_mm=1e-6).tolist() == [1, 1, 1]
    assert float(pck3d(pred, true, part).max()) < 0.5


def test_unknown_joints_do_not_count() -> None:
    pred, true = (of.expand(4, 5, 3).clone() for of in off_by(0, 10, 400, 400))
    known = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [0, 1, 1, 1, 1]], dtype=torch.bool)
    true[~known] = math.nan
    np.testing.assert_equal(pck3d(pred, true, FOUR, known=known).tolist(), [0.5, 1.0, math.nan, math.nan])
    aligned = pck3d(pred, true, FOUR, known=known, alignment="procrustes")
    assert aligned.isnan().tolist() == [False, True, True, False]


def test_3d_input_is_checked() -> None:
    pred, true = off_by(0, 0, 0, 0)
    with pytest.raises(ValueError, match="root"):
        pck3d(pred, true, JointPart(joints=(1, 2)))
    pred[0, 2] = math.nan
    for metric in (pck3d, auc3d):
        with pytest.raises(DataError, match="sample 0"):
            metric(pred, true, FOUR)


def test_lengths_of_a_person() -> None:
    boxes = torch.tensor([[0.0, 0.0, 30.0, 80.0, 1.0], [5.0, 5.0, 40.0, 20.0, 1.0]])
    assert box_length_px(boxes).tolist() == [80, 40]
    points = torch.zeros(1, 144, 2)
    points[0, SMPLX_144.index("left_shoulder")] = torch.tensor([3.0, 0.0])
    points[0, SMPLX_144.index("right_hip")] = torch.tensor([0.0, 4.0])
    assert torso_length_px(points).tolist() == [5]
    assert torso_length_px(points, 0, 1).tolist() == [0]


def test_points_within_a_share_of_the_length_are_right() -> None:
    true = torch.tensor(np.random.default_rng(0).normal(size=(2, 4, 2))) * 100
    pred = true + torch.tensor([[0.0, 0], [3, 4], [0, 10], [60, 80]])
    length = torch.tensor([50.0, 100.0])
    assert pck2d(pred, true, length, threshold=0.15).tolist() == [0.5, 0.75]
    assert pck2d(3 * pred, 3 * true, 3 * length, threshold=0.15).tolist() == [0.5, 0.75]
    known = torch.tensor([[1, 0, 0, 1], [0, 0, 0, 0]], dtype=torch.bool)
    true[~known] = math.nan
    np.testing.assert_equal(pck2d(pred, true, length, threshold=0.15, known=known).tolist(), [0.5, math.nan])


def test_a_point_at_the_limit_is_right() -> None:
    pred, true = torch.tensor([[[3.0, 4.0], [3.0, 4.1]]]), torch.zeros(1, 2, 2)
    assert pck2d(pred, true, torch.tensor([40.0]), threshold=0.125).tolist() == [0.5]


def test_the_area_of_2d_points_is_the_mean_of_shares() -> None:
    chance = np.random.default_rng(0)
    true, pred = (torch.tensor(chance.normal(size=(5, 30, 2)) * 20) for _ in range(2))
    length, thresholds = torch.tensor(chance.uniform(20, 90, 5)), [0.1 * step for step in range(11)]
    singly = [pck2d(pred, true, length, threshold=threshold) for threshold in thresholds]
    torch.testing.assert_close(auc2d(pred, true, length, thresholds=thresholds), torch.stack(singly).mean(0))
    assert all(bool((low <= high).all()) for low, high in itertools.pairwise(singly))


def test_people_without_a_length_have_no_share() -> None:
    points = torch.zeros(3, 4, 2)
    found = pck2d(points, points, torch.tensor([0.0, math.nan, 1.0]), threshold=0.1)
    np.testing.assert_equal(found.tolist(), [math.nan, math.nan, 1.0])


def test_2d_input_is_checked() -> None:
    points = torch.zeros(3, 4, 2)
    with pytest.raises(ValueError, match="length_px"):
        pck2d(points, points, torch.ones(2), threshold=0.1)
    with pytest.raises(ValueError, match="expected"):
        pck2d(torch.zeros(3, 4, 3), torch.zeros(3, 4, 3), torch.ones(3), threshold=0.1)
    spoilt = points.clone()
    spoilt[2, 1] = math.inf
    with pytest.raises(DataError, match="sample 2"):
        pck2d(spoilt, points, torch.ones(3), threshold=0.1)
