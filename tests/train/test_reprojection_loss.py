"""The 2D signal of test time: what it measures, what it ignores, and that it is smooth."""

from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from loss_people import (
    HEIGHT,
    WIDTH,
    direction_like,
    exact_body,
    leaves,
    moved,
    points_of,
    predictions,
    seen,
)
from torch import Tensor

from harmonize.bodies import BodyModels
from harmonize.evidence import part_of
from harmonize.keypoints import SMPLX_144
from train.body import Body
from train.data.batch import Observed
from train.losses import reprojection as module
from train.losses.reprojection import part_errors, project_joints, reprojection
from train.models.prediction import ROTATIONS, Prediction

HANDS = [i for i, name in enumerate(SMPLX_144) if part_of(name).endswith("hand")]
LEFT = [i for i in HANDS if SMPLX_144[i].startswith("left")]
FACE = [i for i, name in enumerate(SMPLX_144) if part_of(name) == "face" and "contour" not in name]
CONTOUR = [i for i, name in enumerate(SMPLX_144) if "contour" in name]
BODY = sorted(set(range(144)) - set(HANDS) - set(FACE) - set(CONTOUR))
RIGHT = sorted(set(HANDS) - set(LEFT))


@pytest.fixture(scope="module")
def body(standin: BodyModels) -> Body:
    return exact_body(standin)


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    return predictions(3)


@pytest.fixture(scope="module")
def observed(body: Body, prediction: Prediction) -> Observed:
    return seen(prediction, points_of(body, prediction))


def error(body: Body, prediction: Prediction, observed: Observed) -> Tensor:
    return reprojection(prediction, points_of(body, prediction), observed)


def with_points(observed: Observed, change: Tensor, rows: list[int]) -> Observed:
    """Points `rows` moved by (N, 2) or (2,) pixels in every sample."""
    keypoints = observed.keypoints_px.clone()
    keypoints[:, rows, :2] += change
    return replace(observed, keypoints_px=keypoints)


def with_confidence(observed: Observed, rows: list[int], confidence: float) -> Observed:
    keypoints = observed.keypoints_px.clone()
    keypoints[:, rows, 2] = confidence
    return replace(observed, keypoints_px=keypoints)


def test_counts() -> None:
    assert [len(rows) for rows in (BODY, LEFT, RIGHT, FACE, CONTOUR)] == [36, 20, 20, 51, 17]


def by_hand(projected: npt.NDArray[np.float64], keypoints: npt.NDArray[np.float64]) -> float:
    """One sample's error, written point by point."""
    is_confident = keypoints[:, 2] >= 0.2

    def half_box(rows: list[int]) -> float:
        chosen = [keypoints[i, :2] for i in rows if is_confident[i]]
        return float(np.ptp(chosen, axis=0).max() / 2) if chosen else 0.0

    person = max(half_box(BODY + HANDS + FACE), 0.1 * HEIGHT)
    total = 0.0
    for rows, weight in ((BODY, 1.0), (LEFT, 0.1), (RIGHT, 0.1), (FACE, 0.1)):
        chosen = [i for i in rows if is_confident[i]]
        if not chosen:
            continue
        size = person if rows is BODY else max(half_box(rows), 0.05 * person)
        offset = projected[chosen] - keypoints[chosen, :2]
        confidence = keypoints[chosen, 2]
        if rows is not BODY:
            offset = offset - np.average(offset, axis=0, weights=confidence**2)
        square = (offset**2).sum(1) / size**2
        total += weight * float((confidence**2 * square / (1 + square)).sum() / confidence.sum())
    return total


def test_agrees_with_a_sum_written_point_by_point(body: Body, observed: Observed) -> None:
    generator = np.random.default_rng(0)
    keypoints = observed.keypoints_px.numpy().copy()
    keypoints[..., :2] += generator.normal(scale=4, size=(3, 144, 2))
    keypoints[..., 2] = generator.uniform(0, 1, size=(3, 144))
    keypoints[1, FACE, 2] = 0.19
    keypoints[2, RIGHT[1:], 2] = 0
    other = predictions(3, seed=1)
    projected = project_joints(other, points_of(body, other), observed).numpy()
    found = error(body, other, replace(observed, keypoints_px=torch.from_numpy(keypoints)))
    expected = [by_hand(projected[i], keypoints[i]) for i in range(3)]
    assert found.tolist() == pytest.approx(expected, rel=1e-9)
    assert min(expected) > 0.01


def test_the_truth_costs_nothing_and_the_contour_neither(
    body: Body, prediction: Prediction, observed: Observed
) -> None:
    assert error(body, prediction, observed).abs().max() < 1e-20
    assert error(body, prediction, with_points(observed, torch.tensor([40.0, 9.0]), CONTOUR)).abs().max() < 1e-20
    assert (error(body, prediction, with_points(observed, torch.tensor([4.0, 9.0]), BODY)) > 1e-3).all()


def test_it_measures_in_parts_of_the_part(body: Body, prediction: Prediction, observed: Observed) -> None:
    at = observed.keypoints_px[..., :2]
    for rows, column in ((LEFT, 1), (RIGHT, 2), (FACE, 3)):
        middle = at[:, rows].mean(dim=1, keepdim=True)
        grown = observed.keypoints_px.clone()
        grown[:, rows, :2] = middle + 1.25 * (at[:, rows] - middle)
        # What is seen is 1.25 times what is predicted, so off by a fifth of the seen part, whatever its size in pixels.
        half = (grown[:, rows, :2].amax(1) - grown[:, rows, :2].amin(1)).amax(1) / 2
        square = (0.2 * (grown[:, rows, :2] - middle) / half[:, None, None]).square().sum(2)
        found = part_errors(at, grown, HEIGHT).squared
        assert torch.allclose(found[:, column], square.mean(1))
        assert (found[:, [i for i in range(4) if i != column]] < 1e-20).all()


def test_a_hand_in_the_wrong_place_is_the_arms_affair(body: Body, prediction: Prediction, observed: Observed) -> None:
    assert error(body, prediction, with_points(observed, torch.tensor([30.0, -20.0]), LEFT)).abs().max() < 1e-20
    wrist = [SMPLX_144.index("left_wrist")]
    assert (error(body, prediction, with_points(observed, torch.tensor([30.0, -20.0]), wrist)) > 1e-4).all()


def test_resolution_does_not_matter(body: Body, observed: Observed) -> None:
    other = predictions(3, seed=1)
    fine = replace(
        observed,
        crop=torch.zeros(3, 3, 2 * HEIGHT, 2 * WIDTH, dtype=torch.uint8),
        to_crop=observed.to_crop * 2,
        keypoints_px=observed.keypoints_px * torch.tensor([2.0, 2.0, 1.0]),
    )
    assert torch.allclose(error(body, other, fine), error(body, other, observed), rtol=1e-9)


def test_one_wild_point_is_bounded_and_a_faint_one_weighs_less(
    body: Body, prediction: Prediction, observed: Observed
) -> None:
    knee = [SMPLX_144.index("left_knee")]
    # Some other point spans the box already, or a wild point would enlarge its own measure.
    wide = with_points(observed, torch.tensor([0.0, 2000.0]), [SMPLX_144.index("right_heel")])
    base = error(body, prediction, wide)
    wild = error(body, prediction, with_points(wide, torch.tensor([0.0, 1900.0]), knee)) - base
    assert (wild < 1 / len(BODY)).all()
    off = with_points(observed, torch.tensor([0.0, 5.0]), knee)
    strong, faint = error(body, prediction, off), error(body, prediction, with_confidence(off, knee, 0.5))
    assert torch.allclose(faint / strong, torch.tensor(0.25 * 36 / 35.5).double())


@pytest.mark.parametrize("confidence", [0.0, 0.1])
def test_a_hand_that_nobody_sees_gets_no_gradient(body: Body, observed: Observed, confidence: float) -> None:
    other = leaves(predictions(3, seed=1))
    hidden = with_confidence(with_points(observed, torch.tensor(float("nan")), HANDS), HANDS, confidence)
    (gradient,) = torch.autograd.grad(error(body, other, hidden).sum(), other.rotmat)
    assert torch.isfinite(gradient).all()
    assert (gradient[:, 23:] == 0).all()
    assert (gradient[:, ROTATIONS["body_pose"]].flatten(2).abs().amax(2) > 0).sum(1).min() > 12
    (gradient,) = torch.autograd.grad(error(body, other, observed).sum(), other.rotmat)
    assert (gradient[:, 23:].flatten(2).abs().amax(2) > 0).all()


def test_nothing_seen_is_no_signal(body: Body, observed: Observed) -> None:
    other = leaves(predictions(3, seed=1))
    blank = replace(observed, keypoints_px=torch.full_like(observed.keypoints_px, float("nan")))
    found = error(body, other, blank)
    assert found.tolist() == [0, 0, 0]
    for gradient in torch.autograd.grad(found.sum(), [other.rotmat, other.betas, other.weak_camera]):
        assert (gradient == 0).all()


def test_first_and_second_derivatives_are_those_of_finite_differences(body: Body, observed: Observed) -> None:
    other = leaves(predictions(3, seed=1))
    used = tuple(other)

    def gradient_at(place: Prediction) -> list[Tensor]:
        values = leaves(Prediction(*(part.detach() for part in place)))
        return list(torch.autograd.grad(error(body, values, observed).sum(), list(values)))

    direction = direction_like(other, 3)
    gradients = torch.autograd.grad(error(body, other, observed).sum(), used, create_graph=True)
    slope = torch.stack([(one * way).sum() for one, way in zip(gradients, direction, strict=True)]).sum()
    step = 1e-6
    plain = Prediction(*(part.detach() for part in other))
    ahead, back = (moved(plain, direction, sign * step) for sign in (1, -1))
    measured = (error(body, ahead, observed).sum() - error(body, back, observed).sum()) / (2 * step)
    assert measured.item() == pytest.approx(slope.item(), rel=1e-5)
    curvature = torch.autograd.grad(slope, used)
    measured_curvature = [(a - b) / (2 * step) for a, b in zip(gradient_at(ahead), gradient_at(back), strict=True)]
    for found, expected in zip(curvature, measured_curvature, strict=True):
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_no_label_can_be_handed_to_it() -> None:
    functions = [
        value for _, value in inspect.getmembers(module, inspect.isfunction) if value.__module__ == module.__name__
    ]
    assert reprojection in functions
    for function in functions:
        assert not any("Truth" in str(kind) or "Batch" in str(kind) for kind in function.__annotations__.values())
    assert not hasattr(module, "Truth")
