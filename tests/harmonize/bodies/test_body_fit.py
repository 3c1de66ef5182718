from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from reference_forward import random_batch

from harmonize.bodies import BodyBatch, BodyModel, BodyModels, to_neutral
from harmonize.bodies.fit import _fitter, _transfer


def _natural(model: BodyModel, size: int, seed: int = 0) -> BodyBatch:
    """Moderate random poses; the hands of SMPL, which it cannot bend, at rest."""
    batch = random_batch(model, size, seed=seed, spread_rad=0.25)
    if model.kind == "smpl":
        batch.pose_aa[:, 22:] = 0
    return batch


def _rows(batch: BodyBatch, some: slice) -> BodyBatch:
    fields = {name: getattr(batch, name) for name in ("pose_aa", "betas", "transl_m", "expression", "kid_weight")}
    return BodyBatch(**{name: None if value is None else value[some] for name, value in fields.items()})


@pytest.mark.parametrize(
    ("kind", "gender", "limit_mm"), [("smpl", "neutral", 2), ("smpl", "female", 5), ("smplh", "male", 5)]
)
def test_smpl_family_becomes_smplx_within_millimetres(
    standin: BodyModels, kind: Any, gender: Any, limit_mm: float
) -> None:
    source, neutral = standin.get(kind, gender), standin.get("smplx", "neutral")
    batch = _natural(source, 12)
    fit = to_neutral(batch, source, standin)
    assert fit.batch.pose_aa.shape == (12, 55, 3)
    assert fit.batch.betas.shape == (12, 10)
    assert fit.has_betas.all()
    assert fit.error_mm.mean() < limit_mm
    # The recorded error is the distance of the two meshes, not what the solver believes.
    transfer = _transfer(source, neutral, standin)
    offset = neutral.vertices(fit.batch) - transfer.carry(source.vertices(batch))
    measured = 1000 * np.linalg.norm(offset, axis=-1)[:, transfer.is_valid].mean(axis=1)
    np.testing.assert_allclose(fit.error_mm, measured, atol=1e-3)
    # Joints that both models have lie together as well.
    body = 1000 * np.linalg.norm(neutral.joints(fit.batch)[:, :22] - source.joints(batch)[:, :22], axis=-1)
    assert body.mean() < 2 * limit_mm


def test_hands_of_smplh_are_kept_and_smpl_gets_flat_ones(standin: BodyModels) -> None:
    smplh, smpl = standin.get("smplh", "female"), standin.get("smpl", "male")
    with_hands = _natural(smplh, 3)
    fitted = to_neutral(with_hands, smplh, standin).batch.pose_aa
    np.testing.assert_allclose(fitted[:, 25:], with_hands.pose_aa[:, 22:], atol=1e-6)
    assert not to_neutral(_natural(smpl, 3), smpl, standin).batch.pose_aa[:, 22:].any()


def test_pose_is_found_where_the_skeletons_disagree(standin: BodyModels) -> None:
    """Copied rotations are a first guess only: from a wrong one the mesh still leads to the body."""
    source, neutral = standin.get("smpl", "neutral"), standin.get("smplx", "neutral")
    batch = _natural(source, 6)
    transfer = _transfer(source, neutral, standin)
    points = transfer.carry(source.vertices(batch))
    guess = np.zeros((6, 55, 3), np.float32)
    guess[:, :22] = batch.pose_aa[:, :22]
    guess[:, [1, 2, 3, 6, 9, 13, 14, 16, 17]] += np.random.default_rng(0).normal(0, 0.06, (6, 9, 3))

    def error_mm(pose: Any, betas: Any, transl: Any) -> float:
        found = neutral.vertices(BodyBatch(pose_aa=pose, betas=betas, transl_m=transl))
        return float(1000 * np.linalg.norm(found - points, axis=-1)[:, transfer.is_valid].mean())

    pose, betas, transl = _fitter(neutral).fit(points, transfer.is_valid, guess)
    assert error_mm(pose, betas, transl) < 5
    assert error_mm(guess, betas, transl) > 15


@pytest.mark.parametrize("gender", ["female", "male"])
def test_gendered_smplx_becomes_neutral(standin: BodyModels, gender: Any) -> None:
    source, neutral = standin.get("smplx", gender), standin.get("smplx", "neutral")
    batch = random_batch(source, 8)
    fit = to_neutral(batch, source, standin)
    np.testing.assert_array_equal(fit.batch.pose_aa, batch.pose_aa)
    np.testing.assert_array_equal(fit.batch.expression, batch.expression)
    np.testing.assert_allclose(neutral.joints(fit.batch)[:, 0], source.joints(batch)[:, 0], atol=5e-6)
    distance = 1000 * np.linalg.norm(neutral.vertices(fit.batch) - source.vertices(batch), axis=-1).mean(axis=1)
    np.testing.assert_allclose(fit.error_mm, distance, atol=1e-3)
    assert 0.1 < fit.error_mm.mean() < 3
    unconverted = neutral.vertices(batch) - source.vertices(batch)
    assert 1000 * np.linalg.norm(unconverted, axis=-1).mean() > 5 * fit.error_mm.mean()


def test_least_squares_cannot_be_bettered(standin: BodyModels) -> None:
    source, neutral = standin.get("smplx", "male"), standin.get("smplx", "neutral")
    batch = replace(random_batch(source, 2), pose_aa=np.zeros((2, 55, 3)), expression=None)
    fit = to_neutral(batch, source, standin)

    def cost(betas: Any) -> Any:
        body = BodyBatch(pose_aa=batch.pose_aa, betas=betas, transl_m=-neutral.rest_pelvis_m(betas))
        rest = replace(batch, transl_m=-source.rest_pelvis_m(batch.betas))
        offset = neutral.vertices(body).astype(np.float64) - source.vertices(rest)
        return (offset**2).sum(axis=(1, 2)) + 1e-3 * (betas**2).sum(axis=1)

    best = cost(fit.batch.betas)
    for beta in range(10):
        for step in (-0.3, 0.3):
            assert (cost(fit.batch.betas + step * np.eye(10)[beta]) > best).all()


def test_neutral_smplx_stays_itself(standin: BodyModels) -> None:
    model = standin.get("smplx", "neutral")
    batch = random_batch(model, 4)
    fit = to_neutral(batch, model, standin)
    for name in ("pose_aa", "betas", "transl_m", "expression"):
        np.testing.assert_array_equal(getattr(fit.batch, name), getattr(batch, name))
    assert (fit.error_mm == 0).all()
    assert fit.has_betas.all()
    few = replace(batch, betas=batch.betas[:, :4])
    padded = to_neutral(few, model, standin).batch.betas
    np.testing.assert_array_equal(padded, np.pad(few.betas, ((0, 0), (0, 6))))


def test_eleventh_beta_costs_little_and_leaves_others_alone(standin: BodyModels) -> None:
    model = standin.get("smplx", "neutral")
    batch = random_batch(model, 4, num_betas=11)
    batch.betas[2:, 10] = 0
    fit = to_neutral(batch, model, standin)
    assert (fit.error_mm[:2] > 0).all()
    assert (fit.error_mm < 15).all()
    assert (fit.error_mm[2:] == 0).all()
    np.testing.assert_array_equal(fit.batch.betas[2:], batch.betas[2:, :10])


def test_kids_come_closer_than_their_betas_alone(standin: BodyModels) -> None:
    model = standin.get("smplx", "male")
    batch = replace(random_batch(model, 4), kid_weight=np.full(4, 0.4))
    fit = to_neutral(batch, model, standin)
    neutral = standin.get("smplx", "neutral")
    grown_up = replace(batch, kid_weight=None)
    np.testing.assert_allclose(neutral.joints(fit.batch)[:, 0], model.joints(batch)[:, 0], atol=5e-6)
    as_adult = 1000 * np.linalg.norm(neutral.vertices(grown_up) - model.vertices(batch), axis=-1).mean(axis=1)
    assert (fit.error_mm < as_adult / 3).all()


def test_the_datasets_own_refit_is_used(standin: BodyModels) -> None:
    source, neutral = standin.get("smplx", "female"), standin.get("smplx", "neutral")
    batch = random_batch(source, 3)
    refit = np.random.default_rng(1).normal(size=(3, 10))
    fit = to_neutral(batch, source, standin, neutral_betas=refit)
    np.testing.assert_array_equal(fit.batch.betas, refit)
    np.testing.assert_allclose(neutral.joints(fit.batch)[:, 0], source.joints(batch)[:, 0], atol=5e-6)
    assert (fit.error_mm > to_neutral(batch, source, standin).error_mm).all()


def test_copy_does_what_smpler_x_does(standin: BodyModels) -> None:
    for kind, num_fingers in (("smpl", 0), ("smplh", 30)):
        source = standin.get(kind, "neutral")
        batch = _natural(source, 4)
        copied = to_neutral(batch, source, standin, "copy")
        np.testing.assert_array_equal(copied.batch.pose_aa[:, :22], batch.pose_aa[:, :22])
        np.testing.assert_array_equal(
            copied.batch.pose_aa[:, 55 - num_fingers :], batch.pose_aa[:, 52 - num_fingers :][:, :num_fingers]
        )
        np.testing.assert_array_equal(copied.batch.transl_m, batch.transl_m)
        assert not copied.batch.betas.any()
        assert not copied.has_betas.any()
        assert copied.error_mm.mean() > 3 * to_neutral(batch, source, standin).error_mm.mean()


def test_result_does_not_depend_on_the_batch(standin: BodyModels) -> None:
    for kind, gender in (("smplh", "male"), ("smplx", "female")):
        source = standin.get(kind, gender)
        batch = _natural(source, 6, seed=4)
        together, alone = to_neutral(batch, source, standin), to_neutral(_rows(batch, slice(4, 5)), source, standin)
        for name in ("pose_aa", "betas", "transl_m"):
            np.testing.assert_allclose(
                getattr(together.batch, name)[4], getattr(alone.batch, name)[0], atol=2e-4, err_msg=name
            )
        assert together.error_mm[4] == pytest.approx(alone.error_mm[0], abs=1e-2)


def test_empty_batch(standin: BodyModels) -> None:
    for kind in ("smpl", "smplh", "smplx"):
        source = standin.get(kind, "male")
        for mode in ("fit", "copy"):
            fit = to_neutral(random_batch(source, 0), source, standin, mode)
            assert fit.batch.pose_aa.shape == (0, 55, 3)
            assert fit.batch.betas.shape == (0, 10)
            assert len(fit.error_mm) == len(fit.has_betas) == 0
