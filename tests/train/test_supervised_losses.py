"""Supervised terms: closed forms, masks, gradients, and that a wrong convention is punished."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from loss_people import (
    HEIGHT,
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
from scipy.spatial.transform import Rotation
from torch import Tensor

from harmonize.bodies import BodyModels
from harmonize.keypoints import SMPLX_144
from train.body import Body, Points
from train.data.batch import Observed, Truth
from train.losses.axis_angle import nearest_axis_angle
from train.losses.parts import VERTEX_PART
from train.losses.supervised import SMPLER_X, UNIFIED, LossWeights, Terms, supervised
from train.losses.targets import known
from train.models.prediction import Prediction

NUM_INNER, NUM_APART = 127, 91
NAN = float("nan")


@pytest.fixture(scope="module")
def body(standin: BodyModels) -> Body:
    return exact_body(standin)


class People:
    """Three people and a record that knows them exactly."""

    def __init__(self, body: Body, num: int = 3) -> None:
        self.body = body
        self.prediction = predictions(num)
        self.points = points_of(body, self.prediction)
        self.observed = seen(self.prediction, self.points)
        self.truth = recorded(self.prediction, self.points, self.observed)

    def terms(
        self,
        prediction: Prediction | None = None,
        points: Points | None = None,
        truth: Truth | None = None,
        weights: LossWeights = UNIFIED,
        observed: Observed | None = None,
    ) -> Terms:
        prediction = self.prediction if prediction is None else prediction
        points = points_of(self.body, prediction) if points is None else points
        observed = self.observed if observed is None else observed
        target = known(self.truth if truth is None else truth, observed, self.body)
        return supervised(prediction, points, target, observed, weights)


@pytest.fixture(scope="module")
def people(body: Body) -> People:
    return People(body)


@pytest.mark.parametrize("weights", [UNIFIED, SMPLER_X])
def test_what_the_record_says_costs_nothing(people: People, weights: LossWeights) -> None:
    terms = people.terms(weights=weights)
    assert set(terms.per_sample) == {
        *("global_orient", "body_pose", "hands", "jaw", "betas", "expression"),
        *("joints", "part_joints", "vertices", "keypoints", "camera"),
    }
    for name, value in terms.per_sample.items():
        assert value.shape == (3,), name
        assert value.abs().max() < 1e-12, name
    other = people.terms(predictions(3, seed=1), weights=weights)
    assert torch.allclose(other.total, torch.stack(list(other.per_sample.values())).sum(0))
    unused = {"vertices", "camera"} if weights is SMPLER_X else set()
    assert {name for name, value in other.per_sample.items() if (value == 0).any()} == unused


@pytest.mark.parametrize(
    ("joint", "joints", "part_joints"),
    [
        ("left_knee", 1 / NUM_INNER, 0.0),
        ("left_index_2", 1 / NUM_INNER, 1 / NUM_APART),
        ("right_wrist", 1 / NUM_INNER, 20 / NUM_APART),
        ("neck", 1 / NUM_INNER, 51 / NUM_APART),
        ("contour_middle", 0.0, 0.0),
    ],
)
def test_one_joint_a_centimetre_off(people: People, joint: str, joints: float, part_joints: float) -> None:
    joints_m = people.truth.joints_m.clone()
    joints_m[1, SMPLX_144.index(joint), 2] += 0.01
    truth = replace(people.truth, joints_m=joints_m)
    squared = people.terms(truth=truth).per_sample
    assert squared["joints"].tolist() == pytest.approx([0, 5 * joints * 1e-4 / 3, 0], abs=1e-15)
    assert squared["part_joints"].tolist() == pytest.approx([0, 20 * part_joints * 1e-4 / 3, 0], abs=1e-15)
    absolute = people.terms(truth=truth, weights=SMPLER_X).per_sample
    assert absolute["joints"].tolist() == pytest.approx([0, 100 * joints * 1e-2 / 3, 0], abs=1e-12)
    assert absolute["part_joints"].tolist() == pytest.approx([0, 100 * part_joints * 1e-2 / 3, 0], abs=1e-12)


@pytest.mark.parametrize(
    ("term", "at", "count"), [("global_orient", 0, 1), ("body_pose", 7, 21), ("jaw", 22, 1), ("hands", 40, 30)]
)
def test_one_rotation_by_a_known_angle(people: People, term: str, at: int, count: int) -> None:
    angle = 0.4
    turn = torch.from_numpy(Rotation.from_rotvec([0, angle, 0]).as_matrix())
    rotmat = people.prediction.rotmat.clone()
    rotmat[2, at] = rotmat[2, at] @ turn
    found = people.terms(people.prediction._replace(rotmat=rotmat), people.points).per_sample
    chord = 4 * (1 - math.cos(angle)) / 9
    for name in ("global_orient", "body_pose", "jaw", "hands"):
        expected = [0, 0, chord / count if name == term else 0]
        assert found[name].tolist() == pytest.approx(expected, abs=1e-12), name

    rest = torch.eye(3, dtype=torch.float64).expand(3, 53, 3, 3).clone()
    truth = replace(people.truth, rotmat=rest.clone())
    rest[2, at] = turn
    found = people.terms(people.prediction._replace(rotmat=rest), people.points, truth, SMPLER_X).per_sample
    assert found[term].tolist() == pytest.approx([0, 0, 10 * angle / 3 / 53], abs=1e-12)


def test_just_under_half_a_turn_either_way_is_nearly_the_same() -> None:
    right = torch.tensor([[math.pi - 0.01, 0.0, 0.0], [0.3, 0, 0], [0, 0, 0]], dtype=torch.float64)
    left = torch.tensor([[-(math.pi - 0.01), 0.0, 0.0], [-0.3, 0, 0], [0.1, 0, 0]], dtype=torch.float64)
    distance = (nearest_axis_angle(right, left) - left).abs().sum(1)
    assert distance.tolist() == pytest.approx([0.02, 0.6, 0.1])


def test_shape_face_and_camera_by_known_amounts(people: People) -> None:
    prediction = people.prediction
    change = torch.zeros(3, 10, dtype=torch.float64)
    change[0, 3] = 2.0
    camera = prediction.weak_camera * torch.tensor([math.exp(0.1), 1, 1])
    found = people.terms(
        prediction._replace(betas=prediction.betas + change, expression=prediction.expression - change),
        people.points,
    ).per_sample
    assert found["betas"].tolist() == pytest.approx([0.001 * 4 / 10, 0, 0])
    assert found["expression"].tolist() == pytest.approx([0.001 * 4 / 10, 0, 0])
    found = people.terms(prediction._replace(weak_camera=camera), people.points).per_sample
    assert found["camera"].tolist() == pytest.approx([0.01 / 3] * 3)
    vertices = people.points.vertices_m + torch.tensor([0.0, 0.01, 0.0])
    found = people.terms(prediction, Points(people.points.joints_m, vertices)).per_sample
    assert found["vertices"].tolist() == pytest.approx([0.5 * 0.01 / 3] * 3)


def test_heatmap_cells(people: People) -> None:
    cell = HEIGHT / 16
    keypoints = people.truth.keypoints_px.clone()
    keypoints[0, 4, 0] += cell
    hand = [i for i, name in enumerate(SMPLX_144) if name.startswith("left_index_")]
    others = [i for i, name in enumerate(SMPLX_144) if name.startswith("left_") and 25 <= i < 40 and i not in hand]
    keypoints[1, :, 2] = 0
    keypoints[1, hand + others, 2] = 1
    keypoints[1, hand + others, 1] += 3 * cell
    keypoints[2, :, 2] = 0
    keypoints[2, hand, 2] = 1
    keypoints[2, hand[0], 0] += 3 * cell
    found = people.terms(truth=replace(people.truth, keypoints_px=keypoints), weights=SMPLER_X)
    # One of 127 points by one cell; a whole hand moved; one of three points by three cells, so its mean by one.
    expected = [1 / NUM_INNER / 2, 0, (2 + 1 + 1) / 3 / 2]
    assert found.per_sample["keypoints"].tolist() == pytest.approx(expected, abs=1e-12)


def test_a_body_without_vertices_has_no_vertex_term(people: People, standin: BodyModels) -> None:
    bare = People(Body(standin).double())
    other = predictions(3, seed=1)
    found, whole = bare.terms(other).per_sample, people.terms(other).per_sample
    assert found["vertices"].tolist() == [0, 0, 0]
    assert all(torch.allclose(found[name], whole[name]) for name in found if name != "vertices")
    with pytest.raises(ValueError, match="768"):
        People(Body(standin, np.arange(5)).double()).terms()


FLAGS = {
    "has_betas": ("betas", {"betas", "vertices"}),
    "has_expression": ("expression", {"expression", "vertices"}),
    "has_pelvis": ("pelvis_m", {"camera"}),
}


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("weights", [UNIFIED, SMPLER_X])
def test_numbers_under_a_lowered_flag_reach_nothing(people: People, flag: str, weights: LossWeights) -> None:
    field, touched = FLAGS[flag]
    prediction = leaves(predictions(3, seed=1))
    whole = people.terms(prediction, weights=weights).per_sample
    has = getattr(people.truth, flag).clone()
    values = getattr(people.truth, field).clone()
    has[1], values[1] = False, NAN
    masked = people.terms(prediction, truth=replace(people.truth, **{flag: has, field: values}), weights=weights)
    for name, value in masked.per_sample.items():
        same = [0, 2] if name in touched else [0, 1, 2]
        assert torch.equal(value[same], whole[name][same]), name
        if name in touched and name != "vertices":
            assert value[1] == 0
    gradients = torch.autograd.grad(masked.total.sum(), list(prediction))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("weights", [UNIFIED, SMPLER_X])
def test_unknown_rotations_joints_and_points_are_left_out_of_the_means(people: People, weights: LossWeights) -> None:
    prediction = leaves(predictions(3, seed=1))
    whole = people.terms(prediction, weights=weights).per_sample
    has_rotation, rotmat = people.truth.has_rotation.clone(), people.truth.rotmat.clone()
    has_rotation[0, 23:], rotmat[0, 23:] = False, NAN
    joints_m, keypoints = people.truth.joints_m.clone(), people.truth.keypoints_px.clone()
    for values in (joints_m, keypoints):
        values[0, 25:] = NAN
        values[0, 25:, -1] = 0
    truth = replace(people.truth, has_rotation=has_rotation, rotmat=rotmat, joints_m=joints_m, keypoints_px=keypoints)
    terms = people.terms(prediction, truth=truth, weights=weights)
    found = terms.per_sample
    assert found["hands"][0] == found["part_joints"][0] == 0
    for name in ("global_orient", "body_pose", "jaw"):
        assert torch.equal(found[name], whole[name])
    error = points_of(people.body, prediction).joints_m[0, :25] - people.truth.joints_m[0, :25, :3]
    mean = 5 * error.square().mean() if weights is UNIFIED else 100 * error.abs().mean()
    assert torch.allclose(found["joints"][0], mean)
    assert all(torch.equal(found[name][1:], whole[name][1:]) for name in found)
    gradients = Prediction(*torch.autograd.grad(terms.total[0], list(prediction)))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert (gradients.rotmat[0, 23:] == 0).all()
    assert (gradients.rotmat[0, :22].flatten(1).abs().amax(1) > 0).sum() > 15


def test_vertices_count_where_all_that_moves_them_is_known(people: People) -> None:
    part = torch.tensor(VERTEX_PART)

    def counting(**lowered: Tensor) -> list[int]:
        target = known(replace(people.truth, **lowered), people.observed, people.body)
        return [int(target.vertex_weight[0, part == i].amin()) for i in range(4)]

    lowered = people.truth.has_rotation.clone()
    assert counting() == [1, 1, 1, 1]
    assert counting(has_betas=torch.zeros(3, dtype=torch.bool)) == [0, 0, 0, 0]
    assert counting(has_expression=torch.zeros(3, dtype=torch.bool)) == [1, 1, 1, 0]
    lowered[:, 30] = False
    assert counting(has_rotation=lowered) == [1, 0, 1, 1]
    lowered[:, 5] = False
    assert counting(has_rotation=lowered) == [0, 0, 0, 0]


def test_a_guessed_focal_length_teaches_no_camera(people: People) -> None:
    prediction = predictions(3, seed=1)
    observed = replace(people.observed, has_intrinsics=torch.tensor([True, False, True]))
    behind = people.truth.pelvis_m * torch.tensor([[1.0], [1.0], [-1.0]])
    found = people.terms(prediction, truth=replace(people.truth, pelvis_m=behind), observed=observed).per_sample
    assert (found["camera"] > 0).tolist() == [True, False, False]


@pytest.mark.parametrize("weights", [UNIFIED, SMPLER_X])
def test_a_sample_does_not_depend_on_its_batch(people: People, weights: LossWeights) -> None:
    prediction = predictions(3, seed=1)
    whole = people.terms(prediction, weights=weights)
    for i in range(3):
        alone = Prediction(*(part[i : i + 1] for part in prediction))
        observed, truth = people.observed.rows(slice(i, i + 1)), people.truth.rows(slice(i, i + 1))
        found = people.terms(alone, truth=truth, observed=observed, weights=weights)
        assert torch.allclose(found.total, whole.total[i : i + 1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("weights", [UNIFIED, SMPLER_X])
def test_gradient_is_that_of_finite_differences(people: People, weights: LossWeights) -> None:
    prediction = leaves(predictions(3, seed=1))
    gradients = torch.autograd.grad(people.terms(prediction, weights=weights).total.sum(), list(prediction))
    for seed in range(4):
        direction = direction_like(prediction, seed)
        step = 1e-6
        ahead, back = (
            people.terms(moved(prediction, direction, sign * step), weights=weights).total.sum() for sign in (1, -1)
        )
        slope = sum((gradient * change).sum() for gradient, change in zip(gradients, direction, strict=True))
        assert ((ahead - back) / (2 * step)).item() == pytest.approx(float(slope), rel=1e-5)


def _forgotten_hand_mean(people: People, models: BodyModels) -> Prediction:
    mean = models.get("smplx", "neutral").hand_mean_aa
    assert mean is not None
    turn = torch.from_numpy(Rotation.from_rotvec(np.asarray(mean, np.float64).reshape(30, 3)).as_matrix())
    rotmat = people.prediction.rotmat.clone()
    rotmat[:, 23:] = rotmat[:, 23:] @ turn.transpose(1, 2)
    return people.prediction._replace(rotmat=rotmat)


def _global_orient(people: People, turn: Tensor) -> Prediction:
    rotmat = people.prediction.rotmat.clone()
    rotmat[:, 0] = turn @ rotmat[:, 0]
    return people.prediction._replace(rotmat=rotmat)


@pytest.mark.parametrize("weights", [UNIFIED, SMPLER_X])
def test_wrong_conventions_cost_far_more_than_two_degrees(
    people: People, standin: BodyModels, weights: LossWeights
) -> None:
    noise = rotations(3, math.radians(2), seed=5)
    noise[:, 0] = torch.eye(3)
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    rotmat = people.prediction.rotmat
    swapped = torch.cat([rotmat[:, :23], rotmat[:, 38:], rotmat[:, 23:38]], dim=1)
    body, hands = slice(0, 53), slice(23, 53)
    wrong = {
        "y and z flipped": (body, _global_orient(people, flip), ("joints", "keypoints")),
        "transposed": (body, people.prediction._replace(rotmat=rotmat.transpose(-1, -2)), ("body_pose", "hands")),
        "hands swapped": (hands, people.prediction._replace(rotmat=swapped), ("hands", "part_joints")),
        "hand mean forgotten": (hands, _forgotten_hand_mean(people, standin), ("hands", "part_joints")),
    }
    least = 20 if weights.norm == "squared" else 4
    for name, (at, prediction, terms) in wrong.items():
        close = rotmat.clone()
        close[:, at] = close[:, at] @ noise[:, at]
        small = people.terms(people.prediction._replace(rotmat=close), weights=weights).per_sample
        found = people.terms(prediction, weights=weights).per_sample
        for term in terms:
            assert (small[term] > 0).all()
            assert (found[term] > least * small[term]).all(), (name, term, found[term], small[term])


def test_wrong_axes_of_the_picture_cost_far_more_than_a_pixel(people: People) -> None:
    pixel = people.truth.keypoints_px.clone()
    pixel[:, :, 0] += torch.where(torch.arange(144) % 2 == 0, 1.0, -1.0)
    small = people.terms(truth=replace(people.truth, keypoints_px=pixel)).per_sample["keypoints"]
    mirrored = people.truth.keypoints_px.clone()
    mirrored[:, :, 0] = 192 - mirrored[:, :, 0]
    exchanged = people.truth.keypoints_px[:, :, [1, 0, 2]]
    for keypoints in (mirrored, exchanged):
        found = people.terms(truth=replace(people.truth, keypoints_px=keypoints)).per_sample["keypoints"]
        assert (found > 20 * small).all()
    turned = replace(people.observed, to_crop=people.observed.to_crop.clone())
    turned.to_crop[:, :, :2] = turned.to_crop[:, :, :2].transpose(1, 2).clone()
    found = people.terms(observed=turned).per_sample["keypoints"]
    # The first crop is not turned: its map is its own transpose.
    assert found[0] < 1e-12
    assert (found[1:] > 3 * small[1:]).all()
