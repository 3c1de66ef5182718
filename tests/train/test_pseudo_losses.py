"""The objective of adaptation: gates, gradients, and that it has no way to a label."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace

import pytest
import torch
from loss_people import (
    direction_like,
    exact_body,
    leaves,
    moved,
    points_of,
    predictions,
    recorded,
    rotations,
    seen,
)
from torch import Tensor

from harmonize.bodies import BodyModels
from harmonize.evidence import part_of
from harmonize.keypoints import SMPLX_144
from train.body import Body
from train.data.batch import Batch, Observed, Truth
from train.losses import pseudo as module
from train.losses.objectives import InnerLoss, OuterLoss
from train.losses.pseudo import agreement, pseudo_target, unified, unified_terms
from train.losses.reprojection import reprojection
from train.losses.supervised import UNIFIED, supervised
from train.models.prediction import Prediction

HANDS = [i for i, name in enumerate(SMPLX_144) if part_of(name).endswith("hand")]


class Scene:
    """Three people as the detector, the auxiliary network and the main network see them."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.actual = predictions(3)
        self.observed = seen(self.actual, points_of(body, self.actual))
        noise = direction_like(self.actual, 7)
        turns = rotations(3, 0.1, seed=8)
        turns[:, 0] = torch.eye(3)
        self.pseudo = self.actual._replace(
            rotmat=self.actual.rotmat @ turns,
            betas=self.actual.betas + 0.3 * noise.betas,
            expression=self.actual.expression + 0.3 * noise.expression,
        )
        self.main = predictions(3, seed=1)

    def unified(self, main: Prediction, pseudo: Prediction, observed: Observed | None = None) -> Tensor:
        observed = self.observed if observed is None else observed
        return unified(main, points_of(self.body, main), pseudo, points_of(self.body, pseudo), observed, UNIFIED)


@pytest.fixture(scope="module")
def scene(standin: BodyModels) -> Scene:
    return Scene(exact_body(standin))


def test_agreeing_with_both_costs_nothing_and_is_believed(scene: Scene) -> None:
    assert scene.unified(scene.actual, scene.actual).abs().max() < 1e-20
    gate = agreement(scene.actual, points_of(scene.body, scene.actual), scene.observed)
    assert torch.allclose(gate, torch.ones_like(gate))
    assert (scene.unified(scene.main, scene.actual) > 0.1).all()


def test_gate_is_confidence_times_agreement(scene: Scene) -> None:
    keypoints = scene.observed.keypoints_px.clone()
    parts = torch.tensor([part_of(name) == "body" for name in SMPLX_144])
    seen_points = keypoints[:, ["contour" not in name for name in SMPLX_144], :2]
    half = (seen_points.amax(1) - seen_points.amin(1)).amax(1) / 2
    keypoints[..., 0] += 0.2 * half[:, None]
    keypoints[:, parts, 2] = 0.8
    keypoints[:, HANDS, 2] = 0.0
    gate = agreement(scene.actual, points_of(scene.body, scene.actual), replace(scene.observed, keypoints_px=keypoints))
    # Everything is a fifth of a half box to the left: hands and face are not, within themselves. The person's box has
    # lost the hands, which may have spanned it.
    rest = keypoints[:, [i for i, name in enumerate(SMPLX_144) if "contour" not in name and i not in HANDS], :2]
    own_half = (rest.amax(1) - rest.amin(1)).amax(1) / 2
    assert torch.allclose(gate[:, 0], 0.8 * torch.exp(-((0.2 * half / own_half) ** 2) / 0.1))
    assert (gate[:, 0] < 0.8 * math.exp(-0.39)).all()
    assert (gate[:, 1:3] == 0).all()
    assert torch.allclose(gate[:, 3], torch.ones(()).double())


def test_it_is_the_2d_term_plus_the_gated_distance(scene: Scene) -> None:
    points, pseudo_points = points_of(scene.body, scene.main), points_of(scene.body, scene.pseudo)
    gate = agreement(scene.pseudo, pseudo_points, scene.observed)
    assert ((gate > 0.3) & (gate < 1)).all()
    terms = unified_terms(scene.main, points, scene.pseudo, pseudo_points, scene.observed, UNIFIED).per_sample
    assert torch.allclose(terms["keypoints"], 5 * reprojection(scene.main, points, scene.observed))
    difference = scene.main.rotmat - scene.pseudo.rotmat
    square = difference.square().flatten(2).mean(2)
    hands = torch.cat([gate[:, 1:2].expand(-1, 15), gate[:, 2:3].expand(-1, 15)], dim=1)
    assert torch.allclose(terms["body_pose"], gate[:, 0] * square[:, 1:22].mean(1))
    assert torch.allclose(terms["jaw"], gate[:, 3] * square[:, 22])
    assert torch.allclose(terms["hands"], (hands * square[:, 23:]).mean(1))
    assert torch.allclose(terms["betas"], 0.001 * gate[:, 0] * (scene.main.betas - scene.pseudo.betas).square().mean(1))
    assert (terms["camera"] == 0).all()
    assert all((value > 0).all() for name, value in terms.items() if name != "camera")


def test_a_part_that_nobody_sees_is_pulled_by_neither(scene: Scene) -> None:
    keypoints = scene.observed.keypoints_px.clone()
    keypoints[:, HANDS] = torch.tensor([float("nan"), float("nan"), 0.0], dtype=torch.float64)
    main = leaves(scene.main)
    (gradient,) = torch.autograd.grad(
        scene.unified(main, scene.pseudo, replace(scene.observed, keypoints_px=keypoints)).sum(), main.rotmat
    )
    assert torch.isfinite(gradient).all()
    assert (gradient[:, 23:] == 0).all()
    (gradient,) = torch.autograd.grad(scene.unified(main, scene.pseudo).sum(), main.rotmat)
    assert (gradient.flatten(2).abs().amax(2) > 0).all()


def test_gradients_reach_the_pseudo_body_but_not_through_the_gates(scene: Scene) -> None:
    points = points_of(scene.body, scene.main)
    pseudo = leaves(scene.pseudo)
    total = scene.unified(scene.main, pseudo).sum()
    found = torch.autograd.grad(total, [pseudo.rotmat, pseudo.betas, pseudo.expression])
    fixed = leaves(scene.pseudo)
    fixed_points = points_of(scene.body, fixed)
    gate = agreement(scene.pseudo, points_of(scene.body, scene.pseudo), scene.observed)
    target = pseudo_target(fixed, fixed_points, gate, scene.observed)
    total = supervised(scene.main, points, target, scene.observed, UNIFIED).total.sum()
    expected = torch.autograd.grad(total, [fixed.rotmat, fixed.betas, fixed.expression])
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
        assert (one != 0).any()


def test_derivatives_are_those_of_finite_differences(scene: Scene) -> None:
    main = leaves(scene.main)
    gradients = torch.autograd.grad(scene.unified(main, scene.pseudo).sum(), list(main), create_graph=True)
    direction = direction_like(main, 2)
    slope = torch.stack([(one * way).sum() for one, way in zip(gradients, direction, strict=True)]).sum()
    step = 1e-6
    plain = Prediction(*(part.detach() for part in main))
    ahead, back = (moved(plain, direction, sign * step) for sign in (1, -1))
    measured = (scene.unified(ahead, scene.pseudo) - scene.unified(back, scene.pseudo)).sum() / (2 * step)
    assert measured.item() == pytest.approx(slope.item(), rel=1e-5)
    curvature = torch.autograd.grad(slope, list(main))
    values = [leaves(place) for place in (ahead, back)]
    one, other = (torch.autograd.grad(scene.unified(at, scene.pseudo).sum(), list(at)) for at in values)
    for found, high, low in zip(curvature, one, other, strict=True):
        expected = (high - low) / (2 * step)
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_the_gradient_of_the_sum_is_each_samples_own(scene: Scene) -> None:
    main = leaves(scene.main)
    whole = torch.autograd.grad(scene.unified(main, scene.pseudo).sum(), list(main))
    for i in range(3):
        at = slice(i, i + 1)
        alone = leaves(Prediction(*(part[at] for part in scene.main)))
        pseudo = Prediction(*(part[at] for part in scene.pseudo))
        own = torch.autograd.grad(scene.unified(alone, pseudo, scene.observed.rows(at)).sum(), list(alone))
        for one, other in zip(own, whole, strict=True):
            assert torch.allclose(one, other[at], rtol=1e-10, atol=1e-14)


def test_corrupt_labels_change_the_outer_loss_and_nothing_of_the_inner(scene: Scene) -> None:
    for function in (unified, unified_terms, agreement, pseudo_target, reprojection, InnerLoss.__call__):
        kinds = [str(kind) for kind in inspect.get_annotations(function).values()]
        assert kinds
        assert not any("Truth" in kind or "Batch" in kind for kind in kinds)
    assert not hasattr(module, "Truth")
    actual_points = points_of(scene.body, scene.actual)
    truth = recorded(scene.actual, actual_points, scene.observed)
    broken: Truth = truth._each(lambda value: ~value if value.dtype == torch.bool else value + 1.0)
    inner, outer = InnerLoss(UNIFIED), OuterLoss(scene.body, UNIFIED)
    points, pseudo = points_of(scene.body, scene.main), (scene.pseudo, points_of(scene.body, scene.pseudo))
    values = []
    for label in (truth, broken):
        batch = Batch(observed=scene.observed, truth=label, keys=("a", "b", "c"), sources=(("d", "train"),) * 3)
        values.append(
            (
                inner(scene.main, points, batch.observed, pseudo),
                inner(scene.main, points, batch.observed, None),
                outer(scene.main, points, batch.truth, batch.observed),
            )
        )
    (pulled, only_2d, taught), (pulled_too, only_2d_too, misled) = values
    assert torch.equal(pulled, pulled_too)
    assert torch.equal(only_2d, only_2d_too)
    assert torch.equal(only_2d, 5 * reprojection(scene.main, points, scene.observed))
    assert (pulled > only_2d).all()
    assert (taught != misled).all()
