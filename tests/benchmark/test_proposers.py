"""Proposers: draws add up, caps hold, limits of the temperature, and what is not feasible is refused with what is."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.problem import Problem
from benchmark.proposers import PROPOSERS
from catalogs.selection import Budget, Pool, Selection, ShardRef, Source
from harmonize.errors import UsageError

COUNTS = st.lists(st.integers(1, 5_000_000), min_size=1, max_size=32)
SETTINGS: dict[str, dict[str, float]] = {"natural": {}, "uniform": {}, "temperature": {"tau": 2.0}, "repeat_capped": {}}


def pool_of(*counts: int) -> Pool:
    sources = tuple(Source(dataset=f"set{i:02d}", split="train", num_available=count) for i, count in enumerate(counts))
    return Pool(sources=sources, shards=(ShardRef(shard="set00-train-000000", digest="0" * 64),))


def problem_of(counts: list[int], draws: int, cap: int | None = None) -> Problem:
    return Problem(pool=pool_of(*counts), budget=Budget(draws_per_epoch=draws, repeat_cap=cap))


def propose(name: str, counts: list[int], draws: int, cap: int | None = None, **parameters: float) -> Selection:
    return PROPOSERS[name](problem_of(counts, draws, cap), **parameters)


def test_registry_is_sorted_and_complete() -> None:
    assert list(PROPOSERS) == sorted(PROPOSERS)
    assert set(SETTINGS) < set(PROPOSERS)


@pytest.mark.parametrize("name", ["natural", "uniform", "temperature"])
@given(counts=COUNTS, draws=st.integers(1, 5_000_000))
def test_draws_add_up_and_stay_within_one_of_the_weight(name: str, counts: list[int], draws: int) -> None:
    selection = propose(name, counts, draws, **SETTINGS[name])
    assert sum(member.num_draws for member in selection.members) == draws
    assert all(abs(member.num_draws - member.weight * draws) < 1 + 1e-6 for member in selection.members)
    assert all(member.reason for member in selection.members)
    assert selection.method == name


@given(counts=COUNTS, cap=st.integers(1, 9), share=st.floats(0.0, 1.0), tau=st.none() | st.floats(1, 50))
def test_repeat_cap_is_honoured_up_to_the_largest_feasible_budget(
    counts: list[int], cap: int, share: float, tau: float | None
) -> None:
    draws = max(1, int(cap * sum(counts) * share))
    selection = PROPOSERS["repeat_capped"](problem_of(counts, draws, cap), tau=tau)
    assert sum(member.num_draws for member in selection.members) == draws
    assert all(member.num_draws <= cap * member.num_available for member in selection.members)


@given(counts=COUNTS, cap=st.integers(1, 9), draws=st.integers(1, 10_000))
def test_water_level_is_common_to_all_that_are_below_their_cap(counts: list[int], cap: int, draws: int) -> None:
    if draws > cap * sum(counts):
        return
    weights = [m.weight for m in propose("repeat_capped", counts, draws, cap).members]
    below = [w for w, n in zip(weights, counts, strict=True) if w < cap * n / draws * (1 - 1e-9)]
    assert not below or max(below) == pytest.approx(min(below))
    # Nobody at the cap is above the level of those below it.
    assert not below or max(weights) <= min(below) * (1 + 1e-9)


@given(counts=COUNTS)
def test_temperature_one_is_natural_and_large_temperature_is_uniform(counts: list[int]) -> None:
    draws = 10_000
    cold, natural = propose("temperature", counts, draws, tau=1.0), propose("natural", counts, draws)
    hot, uniform = propose("temperature", counts, draws, tau=1e12), propose("uniform", counts, draws)
    for a, b in zip((*cold.members, *hot.members), (*natural.members, *uniform.members), strict=True):
        assert math.isclose(a.weight, b.weight, rel_tol=1e-9)
    middle = propose("temperature", counts, draws, tau=2.0)
    for low, between, high in zip(natural.members, middle.members, uniform.members, strict=True):
        small, large = sorted((low.weight, high.weight))
        # Flattening moves the smallest and the largest towards the uniform share.
        if low.num_available in (min(counts), max(counts)):
            assert small * (1 - 1e-9) <= between.weight <= large * (1 + 1e-9)


def test_exact_values() -> None:
    assert [m.num_draws for m in propose("natural", [10, 30], 8).members] == [2, 6]
    assert [m.num_draws for m in propose("uniform", [10, 30], 9).members] == [5, 4]
    assert [m.num_draws for m in propose("temperature", [10, 90], 8, tau=2).members] == [2, 6]
    assert [m.num_draws for m in propose("repeat_capped", [10, 1000, 1000], 620, cap=2).members] == [20, 300, 300]


def test_reasons_say_what_happened() -> None:
    first, second = propose("repeat_capped", [10, 1000], 620, cap=2).members
    assert first.reason == "limited to 2 draws of each of its 10 samples; 50.00% without constraints"
    assert second.reason == "96.77% of the draws: below the cap, 30.0% of what it allows; 50.00% without constraints"


def test_infeasible_demand_names_what_is_feasible() -> None:
    with pytest.raises(UsageError, match="at most 50 draws") as error:
        propose("repeat_capped", [10, 15], 51, cap=2)
    assert error.value.fields["feasible"] == 50
    propose("repeat_capped", [10, 15], 50, cap=2)
    with pytest.raises(UsageError, match=r"set00/train would be drawn 30 times.*allow 20") as error:
        propose("uniform", [10, 100], 60, cap=2)
    assert error.value.fields["feasible"] == 40
    propose("uniform", [10, 100], 40, cap=2)


@pytest.mark.parametrize("tau", [0.5, math.inf, math.nan])
def test_temperature_out_of_range_is_refused(tau: float) -> None:
    with pytest.raises(UsageError, match="tau"):
        propose("temperature", [1, 2], 5, tau=tau)


def test_repeat_capped_without_a_cap_is_refused() -> None:
    with pytest.raises(UsageError, match="repeat_cap"):
        propose("repeat_capped", [1, 2], 2)


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_empty_pool_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        propose(name, [], 5, cap=3, **SETTINGS[name])
