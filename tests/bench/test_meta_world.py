"""The world of `bench_meta`, its errors and its report: what the benchmark's claim rests on."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import measured_page
import meta_report
import meta_world
import numpy as np
import pytest
import torch
from meta_adaptation import STEPS, observed
from meta_errors import errors, true_points
from meta_pseudo import SHARES, between
from meta_runs import VARIANTS
from meta_training import TRAININGS
from meta_world import World, WorldConfig, build

from harmonize.bodies import BodyModels
from harmonize.keypoints import SMPLX_144
from train.body import Body
from train.camera import weak_from_pelvis
from train.data.detector import NO_ERRORS, TYPICAL
from train.losses.vertex_subset import vertex_subset
from train.models.prediction import Prediction

SMALL = WorldConfig(num_train=24, num_validation=8, num_test=12)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return _build(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def body() -> Body:
    models = BodyModels.open("standin")
    return Body(models, vertex_subset(models))


def _build(folder: Path) -> World:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meta_world, "cache_dir", lambda: folder)
        return build(SMALL)


def test_drawn_twice_is_the_same(world: World, tmp_path: Path) -> None:
    again = _build(tmp_path)
    assert torch.equal(again.test.crop, world.test.crop)
    for item in fields(world.test.truth):
        assert torch.equal(getattr(again.test.truth, item.name), getattr(world.test.truth, item.name))


def test_no_person_is_in_two_splits(world: World) -> None:
    betas = torch.cat([split.truth.betas for split in (world.train, world.validation, world.test)])
    assert len({tuple(of) for of in betas.tolist()}) == len(betas) == 24 + 8 + 12


def test_true_parameters_give_the_true_joints(world: World, body: Body) -> None:
    truth = world.test.truth
    joints = true_points(body, truth).joints_m
    torch.testing.assert_close(joints, truth.joints_m[..., :3], atol=1e-5, rtol=0)


def test_limbs_are_painted_where_they_are_projected(world: World) -> None:
    """The left thigh is red and the right one blue, so a mirrored or displaced picture would show."""
    batch = world.train.batch(torch.arange(24))
    points = batch.truth.keypoints_px[..., :2]
    reds = {}
    for side in ("left", "right"):
        hip, knee = (points[:, SMPLX_144.index(f"{side}_{joint}")] for joint in ("hip", "knee"))
        middle = (hip + knee) / 2
        column, row = middle.long().clamp(0, SMALL.size_px - 1).T
        colour = batch.observed.crop[torch.arange(24), :, row, column].float()
        reds[side] = (colour[:, 0] - colour[:, 2]).median()
    assert reds["left"] > 60
    assert reds["right"] < -60


def test_the_test_domain_is_another_one(world: World) -> None:
    train, test = world.train.truth, world.test.truth
    assert test.betas[:, :3].mean() > train.betas[:, :3].mean() + 0.3
    curl = [of.rotmat[:, 23:].diagonal(dim1=-2, dim2=-1).sum(-1).mean() for of in (train, test)]
    assert curl[1] < curl[0]  # fingers bent further from the flat hand


def test_detections_are_the_same_for_everyone(world: World) -> None:
    first, second = (observed(world.test, TYPICAL).observed.keypoints_px for _ in range(2))
    assert torch.equal(first, second)
    exact = observed(world.test, NO_ERRORS).observed.keypoints_px
    torch.testing.assert_close(exact, world.test.truth.keypoints_px)
    found = first[..., 2] > 0
    assert 0.5 < (first[..., :2] - exact[..., :2])[found].norm(dim=-1).max() < 200


def test_errors_are_zero_for_the_truth_and_a_known_shift_is_measured(world: World, body: Body) -> None:
    truth = world.test.truth
    camera = weak_from_pelvis(truth.pelvis_m, world.test.to_crop, (64, 64))
    right = Prediction(truth.rotmat, truth.betas, truth.expression, camera)
    perfect = errors(body, right, true_points(body, truth))
    assert set(perfect) >= {"pve_all", "pve_body", "pve_hands", "pve_face", "mpjpe_body", "pa_mpjpe_hands"}
    assert all(float(value.max()) < 0.1 for value in perfect.values())
    turned = truth.rotmat.clone()
    turned[:, 23:38] = torch.eye(3)
    flat = errors(body, right._replace(rotmat=turned), true_points(body, truth))
    assert flat["pve_hands"].min() > 1
    assert flat["pve_face"].max() < 0.1
    assert flat["mpjpe_body"].max() < 0.1


def test_bodies_between_truth_and_another_are_as_wrong_as_said(world: World, body: Body) -> None:
    batch = world.test.batch(torch.arange(12))
    truth = batch.truth
    camera = weak_from_pelvis(truth.pelvis_m, batch.observed.to_crop, (64, 64))
    other = Prediction(
        truth.rotmat[:, :1].expand(-1, 53, -1, -1).mT.contiguous(), truth.betas + 1, truth.expression, camera
    )
    true = true_points(body, truth)
    found = [errors(body, between(truth, batch, other, share, 64), true)["pve_all"] for share in SHARES]
    assert found[0].max() < 0.1
    torch.testing.assert_close(found[-1], errors(body, other, true)["pve_all"], atol=0.1, rtol=0)
    assert float(found[1].mean()) < float(found[2].mean())


def test_every_variant_has_its_training() -> None:
    assert {of.training for of in VARIANTS} == set(TRAININGS)
    assert {of.key for of in VARIANTS if not of.has_pseudo} == {"plain", "none", "dual_2d"}
    assert TRAININGS["batch"].unit == "batch"  # type: ignore[union-attr]


def _made_up(gain_mm: float, seeds: int = 3, people: int = 40) -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(seeds):
        before = 200 + rng.normal(0, 20, people)
        at_steps = [before - gain_mm * step / STEPS[-1] + rng.normal(0, 1, people) for step in STEPS]
        one = {
            "chosen": ["sgd 1"] * len(STEPS),
            "steps": 7,
            "movement_mm": 3.0,
            "errors": {name: [of.tolist() for of in at_steps] for name in ("pve_all", *dict(meta_report._METRICS))},
        }
        training = {"cosine": 0.5, "weight_change": 0.01}
        runs.append({"training": training, "true": one, "jittered": one})
    return runs


def test_gains_are_before_minus_after() -> None:
    runs = _made_up(30)
    assert meta_report.gains(runs, "true", steps=14).shape == (3, 40)
    assert meta_report.gains(runs, "true", steps=14).mean() == pytest.approx(30, abs=1)
    assert meta_report.gains(runs, "true").mean() == pytest.approx(15, abs=1)


def test_interval_holds_the_mean_and_narrows_with_people() -> None:
    rng = np.random.default_rng(1)
    few, many = (meta_report.interval(rng.normal(5, 10, (3, people))) for people in (20, 2000))
    for mean, low, high in (few, many):
        assert low < mean < high
    assert many[2] - many[1] < few[2] - few[1]
    assert many[1] < 5.5
    assert many[2] > 4.5


@pytest.mark.parametrize(("other", "gain", "error"), [(10.0, "larger", "smaller"), (50.0, "smaller", "larger")])
def test_report_says_whose_gain_and_error_is_larger(other: float, gain: str, error: str) -> None:
    ours = _made_up(30)
    quality = {
        "auxiliary_mm": {"pve_all": 180.0},
        "gates": {"body": 0.5},
        "cosines": [[0.1, 0.9]] * len(STEPS),
        "alone": [0.0] * len(STEPS),
        "shares": [[0.0] * (1 + len(STEPS))] * len(SHARES),
    }
    text = meta_report.report({"plain": _made_up(other), "dual": ours}, [quality])
    lines = text.splitlines()
    at = [number for number, line in enumerate(lines) if line.startswith(f"| plain training | gain | {gain} |")]
    assert len(at) == 2  # for each 2D source
    assert all(lines[number + 1].startswith(f"|  | error | {error} |") for number in at)


def test_page_keeps_what_is_outside_of_the_marks() -> None:
    page = f"before\n{measured_page.BEGIN}\nold\n{measured_page.END}\nafter\n"
    found = measured_page.put_between_marks(page, "new\n")
    assert found == f"before\n{measured_page.BEGIN}\nnew\n{measured_page.END}\nafter\n"
    with pytest.raises(ValueError, match="measured: begin"):
        measured_page.put_between_marks("nothing", "new\n")
