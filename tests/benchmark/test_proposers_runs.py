"""Proposers that learn from runs: planted coefficients and optima come back, and what is not known is not trusted."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from choosing import clouds, problem_of, weights_of

from benchmark.constraints import Constraints
from benchmark.laws import LAWS, held_out
from benchmark.problem import Problem, Run
from benchmark.proposers import PROPOSERS
from benchmark.proposers.bayesian import Process, expected_improvement, log_ratios
from benchmark.proposers.datamodel import effects_of
from benchmark.ridge import lasso, rank_correlation, ridge
from benchmark.run_table import random_mixtures
from harmonize.errors import UsageError


def runs_of(problem: Problem, mixtures: np.ndarray, errors: np.ndarray) -> list[Run]:
    return [
        Run(weights=dict(zip(problem.names, mixture.tolist(), strict=True)), errors={"ehf": float(error)})
        for mixture, error in zip(mixtures, errors, strict=True)
    ]


def mixtures_of(problem: Problem, num: int, seed: int = 0) -> np.ndarray:
    return random_mixtures(np.random.default_rng(seed), problem.counts, problem.limits, num)


def test_ridge_and_lasso_return_planted_coefficients() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(80, 6))
    slopes = np.array([3.0, -2.0, 0.0, 0.0, 1.0, 0.0])
    values = 7 + features @ slopes + rng.normal(0, 0.05, 80)
    for fit in (ridge, lasso):
        law = fit(features, values)
        np.testing.assert_allclose(law.slopes, slopes, atol=0.05)
        assert law.intercept == pytest.approx(7, abs=0.05)
        assert law.error == pytest.approx(0.05, rel=0.5)
    few = lasso(features, values, 0.3)
    assert few.slopes[[2, 3, 5]].tolist() == [0, 0, 0]
    assert 0 < few.slopes[0] < 3
    assert lasso(features, values, 1.0).slopes.tolist() == [0] * 6


def test_the_leave_one_out_error_is_that_of_leaving_each_out() -> None:
    rng = np.random.default_rng(1)
    features, values = rng.normal(size=(20, 3)), rng.normal(size=20)
    law = ridge(features, values, 1e-9)
    left = []
    for i in range(20):
        others = np.arange(20) != i
        left.append(values[i] - float(ridge(features[others], values[others], 1e-9)(features[i : i + 1])[0]))
    assert law.error == pytest.approx(float(np.sqrt(np.mean(np.square(left)))), rel=1e-6)


def test_rank_correlation_is_spearmans() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(2)
    for _ in range(5):
        one, other = rng.integers(0, 6, 30).astype(float), rng.normal(size=30)
        assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert rank_correlation(np.ones(5), np.arange(5.0)) == 0


@pytest.mark.parametrize("penalty", ["ridge", "lasso"])
def test_a_datamodel_returns_planted_effects_and_keeps_those_that_help(penalty: str) -> None:
    problem = problem_of(clouds(8))
    effects = np.array([-6.0, 4.0, -3.0, 2.0, 0.0, 5.0, -1.5, 3.0])
    rng = np.random.default_rng(3)
    inclusion = np.zeros((60, 8))
    for row in inclusion:
        row[rng.permutation(8)[: rng.integers(2, 7)]] = 1
    errors = 90 + inclusion @ effects + rng.normal(0, 0.3, 60)
    found, low, high, error = effects_of(inclusion, errors, penalty, 0)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, effects, atol=0.5)
    assert ((low <= effects + 0.15) & (effects - 0.15 <= high)).all()
    assert (high - low < 1.5).all()
    assert error < 0.6
    runs = runs_of(problem, inclusion / inclusion.sum(axis=1, keepdims=True), errors)
    selection = PROPOSERS["datamodel"](problem, runs=runs, penalty=penalty)
    weights = weights_of(selection)
    assert all(weights[f"set{i:02d}"] > 0 for i in (0, 2, 6))
    assert all(weights[f"set{i:02d}"] == 0 for i in (1, 3, 5, 7))
    assert "which may be none" not in selection.members[0].reason


def test_intervals_of_effects_hold_the_truth_about_as_often_as_they_say() -> None:
    held, doubted = [], []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        effects = np.append(rng.normal(0, 3, 7), 0.0)
        inclusion = (rng.random((60, 8)) < 0.5).astype(float)
        errors = 90 + inclusion @ effects + rng.normal(0, 1, 60)
        _, low, high, _ = effects_of(inclusion, errors, "ridge", seed)
        held.append((low <= effects) & (effects <= high))
        doubted.append(low[7] < 0 < high[7])
    assert 0.78 < np.mean(held) < 0.97
    assert np.mean(doubted) > 0.75


def test_a_dataset_in_all_runs_or_none_has_no_known_effect() -> None:
    problem = problem_of(clouds(3))
    mixtures = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]] * 5)
    with pytest.raises(UsageError, match="set00/train, set02/train: in all runs or in none"):
        PROPOSERS["datamodel"](problem, runs=runs_of(problem, mixtures, np.arange(10.0)))


@pytest.mark.parametrize(
    ("law", "response"),
    [
        ("linear", lambda w: 80 + w @ np.arange(6) * 4),
        ("log_linear", lambda w: 60 + np.exp(2 + w @ np.linspace(-2, 2, 6))),
        ("logarithmic", lambda w: 80 - np.log(w + 0.01) @ np.array([2, 1, 1, 0.5, 0.2, 0])),
        ("quadratic", lambda w: 80 + 40 * ((w - np.array([0.4, 0.3, 0.1, 0.1, 0.1, 0])) ** 2).sum(axis=-1)),
    ],
)
def test_each_law_predicts_a_world_that_follows_it(law: str, response: object) -> None:
    assert callable(response)
    problem = problem_of(clouds(6))
    mixtures = mixtures_of(problem, 60)
    errors = response(mixtures)
    found = held_out(LAWS[law], mixtures, errors, seed=0)
    assert found.rank_correlation > 0.99
    assert found.rms_mm < 0.05 * errors.std()


def test_regmix_finds_the_best_mixture_of_a_known_law() -> None:
    problem = problem_of(clouds(6))
    best = np.array([0.45, 0.35, 0.2, 0, 0, 0])
    mixtures = mixtures_of(problem, 48)

    def response(w: np.ndarray) -> np.ndarray:
        return 80 + 60 * ((w - best) ** 2).sum(axis=-1)

    noise = np.random.default_rng(5).normal(0, 0.1, len(mixtures))
    selection = PROPOSERS["regmix"](problem, runs=runs_of(problem, mixtures, response(mixtures) + noise))
    found = np.array([member.weight for member in selection.members])
    assert selection.parameters["law"] == "quadratic"
    assert response(found) - 80 < 0.15 * (response(np.full(6, 1 / 6)) - 80)
    assert float(selection.residuals["rank-correlation/ehf"]) > 0.9  # type: ignore[arg-type]


def test_boosted_trees_are_taken_where_no_form_fits_and_only_there() -> None:
    problem = problem_of(clouds(6))
    mixtures = mixtures_of(problem, 120)
    steps = 80 - 6 * ((mixtures[:, 0] > 0.15) ^ (mixtures[:, 1] > 0.15)) - 3 * (mixtures[:, 2] > 0.2)
    selection = PROPOSERS["regmix"](problem, runs=runs_of(problem, mixtures, steps))
    assert selection.parameters["law"] == "boosted"
    found = {name: float(selection.residuals[f"held-out-rank-correlation/{name}"]) for name in LAWS}  # type: ignore[arg-type]
    assert found["boosted"] == max(found.values()) > 0.7
    assert any("law linear: rank correlation" in text for text in selection.reasons)
    straight = PROPOSERS["regmix"](problem, runs=runs_of(problem, mixtures, 80 + mixtures @ np.arange(6) * 4))
    assert straight.parameters["law"] != "boosted"
    assert float(straight.residuals["held-out-rank-correlation/linear"]) > 0.999  # type: ignore[arg-type]


def test_without_scikit_learn_there_are_no_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["benchmark.proposers.regmix"], "has_trees", lambda: False)
    problem = problem_of(clouds(3))
    mixtures = mixtures_of(problem, 12)
    runs = runs_of(problem, mixtures, 80 + mixtures[:, 0])
    assert "held-out-rank-correlation/boosted" not in PROPOSERS["regmix"](problem, runs=runs).residuals
    with pytest.raises(UsageError, match="boosted trees need scikit-learn"):
        PROPOSERS["regmix"](problem, runs=runs, law="boosted")


def test_regmix_keeps_uniform_where_runs_say_nothing() -> None:
    num_kept = 0
    for seed in range(8):
        problem = problem_of(clouds(6), seed=seed)
        mixtures = mixtures_of(problem, 30, seed)
        errors = 80 + np.random.default_rng(seed).normal(0, 1, 30)
        selection = PROPOSERS["regmix"](problem, runs=runs_of(problem, mixtures, errors))
        is_uniform = [member.weight for member in selection.members] == pytest.approx([1 / 6] * 6)
        assert is_uniform == any("uniform mixture is kept" in text for text in selection.reasons)
        num_kept += is_uniform
    assert num_kept >= 7


def test_regmix_by_groups_divides_inside_by_size() -> None:
    problem = problem_of(clouds(4), counts={"set00": 100, "set01": 300, "set02": 500, "set03": 500})
    groups = {"set00/train": "g", "set01/train": "g", "set02/train": "h", "set03/train": "h"}
    mixtures = mixtures_of(problem, 20)
    errors = 80 - 30 * mixtures[:, :2].sum(axis=1)
    selection = PROPOSERS["regmix"](problem, runs=runs_of(problem, mixtures, errors), groups=groups, law="linear")
    weights = weights_of(selection)
    assert weights["set01"] == pytest.approx(3 * weights["set00"], rel=1e-6)
    assert weights["set00"] + weights["set01"] > 0.95


def test_regmix_obeys_constraints_that_random_mixtures_hardly_ever_meet() -> None:
    constraints = Constraints(min_share={"set05": 0.5}, max_share={"set00": 0.05})
    problem = problem_of(clouds(6), constraints=constraints, cap=1, draws=500)
    mixtures = mixtures_of(problem_of(clouds(6)), 40)
    selection = PROPOSERS["regmix"](problem, runs=runs_of(problem, mixtures, 80 - 10 * mixtures[:, 0]), law="linear")
    weights = weights_of(selection)
    assert weights["set05"] >= 0.5 - 1e-9
    assert weights["set00"] <= 0.05 + 1e-9
    assert max(member.num_repeats for member in selection.members) <= 1


def test_random_mixtures_obey_limits_and_reach_far() -> None:
    problem = problem_of(clouds(5), constraints=Constraints(max_share={"set01": 0.3}))
    mixtures = mixtures_of(problem, 500)
    assert problem.limits.holds(mixtures).all()
    assert mixtures.max(axis=1).max() > 0.9
    assert mixtures.max(axis=1).min() < 0.35
    np.testing.assert_array_equal(mixtures, mixtures_of(problem, 500))


def test_expected_improvement_is_the_mean_of_what_is_below_the_best() -> None:
    rng = np.random.default_rng(7)
    drawn = rng.normal(3.0, 0.5, 200_000)
    expected = np.maximum(2.8 - drawn, 0).mean()
    assert expected_improvement(np.array([3.0]), np.array([0.5]), 2.8)[0] == pytest.approx(expected, rel=0.02)
    assert expected_improvement(np.array([1.0]), np.array([0.0]), 2.0)[0] == pytest.approx(1.0)


def test_a_gaussian_process_passes_through_what_it_has_seen_and_doubts_the_rest() -> None:
    points = np.linspace(0, 6, 13)[:, None]
    process = Process.fit(points, np.sin(points[:, 0]))
    mean, deviation = process(np.array([[1.5], [3.25], [30.0]]))
    assert mean[:2] == pytest.approx(np.sin([1.5, 3.25]), abs=0.02)
    assert deviation[2] > 10 * deviation[1]
    np.testing.assert_allclose(log_ratios(np.array([[0.2, 0.3, 0.5]])).sum(), 0, atol=1e-12)


def test_bayesian_optimisation_beats_as_many_random_runs() -> None:
    best = np.array([0.5, 0.3, 0.2, 0, 0])

    def response(w: np.ndarray) -> np.ndarray:
        return 60 * ((w - best) ** 2).sum(axis=-1)

    found, random = [], []
    for seed in range(3):
        problem = problem_of(clouds(5), seed=seed)
        mixtures = mixtures_of(problem, 22, seed)
        random.append(response(mixtures).min())
        runs = runs_of(problem, mixtures[:8], response(mixtures[:8]))
        for _ in range(14):
            following = PROPOSERS["bayesian"](problem, runs=runs)
            shares = np.array([[member.weight for member in following.members]])
            runs += runs_of(problem, shares, response(shares))
        chosen = PROPOSERS["bayesian"](problem, runs=runs, goal="best")
        found.append(response(np.array([member.weight for member in chosen.members])))
    assert np.mean(found) < 0.6 * np.mean(random)
    assert np.mean(found) < 0.1 * response(np.full(5, 0.2))


@pytest.mark.parametrize("method", ["datamodel", "regmix", "bayesian"])
def test_wrong_runs_are_refused(method: str) -> None:
    problem = problem_of(clouds(2), {"ehf": np.random.default_rng(0).normal(size=(9, 2))})
    good = [Run(weights={"set00/train": 1 - i / 20, "set01/train": i / 20}, errors={"ehf": 80.0}) for i in range(12)]
    for wrong, words in [
        (Run(weights={"set00/train": 0.7}, errors={"ehf": 1.0}), "add up to 1"),
        (Run(weights={"set00/train": 1.5, "set01/train": -0.5}, errors={"ehf": 1.0}), "0 or more"),
        (Run(weights={"other/train": 1.0}, errors={"ehf": 1.0}), "other/train"),
        (Run(weights={"set00/train": 1.0}, errors={"agora": 1.0}), "no finite error on ehf"),
        (Run(weights={"set00/train": 1.0}, errors={"ehf": math.nan}), "no finite error on ehf"),
    ]:
        with pytest.raises(UsageError, match=words):
            PROPOSERS[method](problem, runs=[*good, wrong])
    with pytest.raises(UsageError, match="at least"):
        PROPOSERS[method](problem, runs=good[:2])
