"""Worlds and the judge: responses do what they are named after, and the judge can tell good from bad."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmark.judge import (
    CONTENDERS,
    NOT_JUDGED,
    Contender,
    Score,
    interval,
    judge_world,
    measured_regrets,
    summary,
    verdicts,
)
from benchmark.proposers import PROPOSERS
from benchmark.worlds import KINDS, make
from benchmark.worlds.responses import WORTH, effective_draws
from benchmark.worlds.world import Laboratory, World
from catalogs.selection import Selection
from harmonize.errors import UsageError


@pytest.mark.parametrize("kind", KINDS)
def test_no_mixture_that_is_tried_is_better_than_the_best(kind: str) -> None:
    world = make(kind, 3)
    shares, error = world.least()
    assert shares.sum() == pytest.approx(1)
    tried = np.random.default_rng(8).dirichlet(np.full(12, 0.5), 2000)
    assert error <= world.errors(tried).mean(axis=1).min() + 1e-3
    assert error < world.errors(np.full(12, 1 / 12)).mean() - 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_both_ways_to_the_response_agree(kind: str) -> None:
    world = make(kind, 2)
    selection = PROPOSERS["natural"](world.problem)
    shares = np.array([member.weight for member in selection.members])
    assert world.mean_error(selection) == pytest.approx(float(world.errors(shares).mean()), abs=0.02)
    keys = [f"item-{i:05d}" for i in range(len(world.scene.keys))]
    whole = replace(selection, sample_keys=tuple(sorted(keys)))
    assert world.mean_error(whole) == world.mean_error(selection)


def test_the_additive_world_is_linear_and_repetition_saturates() -> None:
    world = make("additive", 1)
    one, other = np.random.default_rng(0).dirichlet(np.ones(12), 2)
    middle = world.errors((one + other) / 2)
    np.testing.assert_allclose(middle, (world.errors(one) + world.errors(other)) / 2)
    assert world.least()[0].max() > 0.99
    assert effective_draws(np.array([0.0, 0.5, 1.0])).tolist() == [0.0, 0.5, 1.0]
    assert effective_draws(np.array([1e6]))[0] == pytest.approx(1 + WORTH)


def test_copies_are_worth_as_much_as_their_original() -> None:
    world = make("redundant", 0)
    owners = [set(world.scene.source[world.scene.copy_of == i]) for i in np.unique(world.scene.copy_of)]
    copies = sorted(max(owners, key=len))
    assert len(copies) == 6
    one, spread = np.zeros(12), np.zeros(12)
    one[copies[0]] = 1.0
    spread[copies] = 1 / 6
    np.testing.assert_allclose(world.errors(one), world.errors(spread))


def test_wrong_labels_cannot_be_seen_in_attributes_but_cost() -> None:
    world = make("mislabelled", 4)
    errors = world.errors(np.eye(12)).mean(axis=1)
    assert np.sort(errors)[-2] - np.median(errors) > 15


def test_the_matching_world_reaches_its_floor_at_the_planted_mixture() -> None:
    world = make("matching", 5)
    scene = world.scene
    gap = np.abs(world.least()[0] @ scene.topic_shares - scene.aims[0]).max()
    assert gap < 0.05


def test_runs_are_noisy_and_counted() -> None:
    world = make("saturating", 0)
    laboratory = Laboratory(world, 40, seed=1)
    shares = np.full(12, 1 / 12)
    errors = np.array([np.mean(list(laboratory.run(shares).errors.values())) for _ in range(40)])
    assert errors.mean() == pytest.approx(world.errors(shares).mean(), abs=4 * world.noise_mm / np.sqrt(40))
    assert 0.3 * world.noise_mm < errors.std() < 2 * world.noise_mm
    with pytest.raises(RuntimeError, match="all runs have been made"):
        laboratory.run(shares)


def test_every_proposer_is_judged_or_said_not_to_be() -> None:
    judged = {name.partition(",")[0] for name, contender in CONTENDERS.items() if not contender.is_control}
    assert judged | set(NOT_JUDGED) == set(PROPOSERS)
    assert not judged & set(NOT_JUDGED)
    assert all(NOT_JUDGED.values())


def _oracle(world: World, seed: int) -> Selection:
    lengths = dict(zip(world.scene.names, world.least()[0].tolist(), strict=True))
    return PROPOSERS["explicit_lengths"](world.problem, lengths=lengths)


def _worst(world: World, seed: int) -> Selection:
    worst = int(np.argmax(world.errors(np.eye(12)).mean(axis=1)))
    return PROPOSERS["explicit_lengths"](world.problem, lengths={world.scene.names[worst]: 1.0})


def test_the_judge_knows_the_best_and_the_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONTENDERS, "oracle", Contender(propose=_oracle))
    monkeypatch.setitem(CONTENDERS, "worst", Contender(propose=_worst))
    scores = [s for seed in range(4) for s in judge_world("matching", seed, ["uniform", "oracle", "worst"])]
    found = {one.method: one for one in verdicts(scores)}
    assert found["oracle"].regret_mm == pytest.approx(0, abs=0.05)
    assert found["oracle"].beats_uniform
    assert found["worst"].loses_to_uniform
    assert found["uniform"].gain_mm == 0
    lines = summary(list(found.values()))
    assert lines == ["oracle: beats uniform (matching)", "worst: does not beat uniform: worse (matching)"]


def test_methods_that_should_beat_uniform_do() -> None:
    """Where theory says so: matching where the error is the distance, runs where the response is learnable."""
    matching = [s for seed in range(6) for s in judge_world("matching", seed, ["uniform", "mean_matching"])]
    additive = [s for seed in range(6) for s in judge_world("additive", seed, ["uniform", "regmix", "top_k"])]
    for one in (*verdicts(matching), *verdicts(additive)):
        assert one.method == "uniform" or one.beats_uniform
    by_seed = {(s.seed, s.method): s.regret_mm for s in matching}
    assert all(by_seed[seed, "mean_matching"] <= by_seed[seed, "uniform"] for seed in range(6))


def test_attributes_alone_do_not_help_against_wrong_labels() -> None:
    scores = [s for seed in range(6) for s in judge_world("mislabelled", seed, ["uniform", "mean_matching", "top_k"])]
    found = {one.method: one for one in verdicts(scores)}
    assert not found["mean_matching"].beats_uniform
    assert found["top_k"].beats_uniform


@pytest.mark.parametrize("method", list(CONTENDERS))
def test_every_contender_answers_and_repeats_itself(method: str) -> None:
    world = make("learner", 1)
    one, other = CONTENDERS[method].propose(world, 1), CONTENDERS[method].propose(make("learner", 1), 1)
    assert one is not None
    assert other is not None
    assert one.content_hash == other.content_hash


def test_intervals_shrink_with_seeds_and_hold_the_mean() -> None:
    values = np.random.default_rng(0).normal(2.0, 1.0, 200)
    low, high = interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(200), rel=0.2)
    tie = [
        Score(kind="k", seed=i, method=m, regret_mm=v)
        for i in range(9)
        for m, v in (("uniform", 1.0), ("natural", 1.0 + (-1) ** i * 0.1))
    ]
    assert not any(one.beats_uniform or one.loses_to_uniform for one in verdicts(tie))


def test_measured_regrets_are_paired_by_seed_and_the_best_has_none() -> None:
    errors = {"uniform": {0: 10.0, 1: 14.0}, "good": {1: 11.0, 0: 8.0}, "mixed": {0: 7.0, 1: 13.0}}
    found = {(one.method, one.seed): one.regret_mm for one in measured_regrets("here", errors)}
    assert found == {
        **{("uniform", 0): 2.0, ("uniform", 1): 3.0, ("good", 0): 0.0, ("good", 1): 0.0},
        **{("mixed", 0): -1.0, ("mixed", 1): 2.0},
    }
    by_name = {one.method: one for one in verdicts(measured_regrets("here", errors), dict.fromkeys(errors, 7))}
    assert by_name["uniform"].gain_mm == 0
    assert by_name["good"].gain_mm == 2.5
    assert by_name["good"].beats_uniform
    assert (by_name["good"].gain_low_mm, by_name["good"].gain_high_mm) == (2.0, 3.0)
    assert by_name["good"].num_runs == 7


@pytest.mark.parametrize("errors", [{}, {"uniform": {}}, {"uniform": {0: 1.0, 1: 2.0}, "good": {0: 1.0}}])
def test_regrets_of_other_seeds_are_refused(errors: dict[str, dict[int, float]]) -> None:
    with pytest.raises(UsageError, match="same seeds"):
        measured_regrets("here", errors)
