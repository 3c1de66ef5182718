"""Schedule: exact draws, batches within rounding, caps, and the same remaining samples whatever the processes."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.problem import Problem
from benchmark.proposers import PROPOSERS
from catalogs.selection import Budget, Pool, Selection, Source
from harmonize.errors import UsageError
from train.data.schedule import Schedule, State, Subset, draw_samples, split_evenly


def selection_of(*counts: int, draws: int, method: str = "uniform", cap: int | None = None, seed: int = 3) -> Selection:
    sources = tuple(Source(dataset=f"set{i:02d}", split="t", num_available=count) for i, count in enumerate(counts))
    budget = Budget(draws_per_epoch=draws, repeat_cap=cap, seed=seed)
    return PROPOSERS[method](Problem(pool=Pool(sources=sources, shards=()), budget=budget))


COUNTS = st.lists(st.integers(1, 300), min_size=1, max_size=8)


@settings(max_examples=50)
@given(counts=COUNTS, draws=st.integers(1, 700), size=st.integers(1, 64), epoch=st.integers(0, 5))
def test_epoch_is_exactly_the_selection_and_batches_are_within_rounding(
    counts: list[int], draws: int, size: int, epoch: int
) -> None:
    selection = selection_of(*counts, draws=draws, method="natural")
    size = min(size, draws)
    drawn = Schedule(selection, size).epoch(epoch)
    for i, member in enumerate(selection.members):
        mine = drawn.sample[drawn.member == i]
        assert len(mine) == member.num_draws
        repeats = np.bincount(mine, minlength=member.num_available)
        assert repeats.sum() == 0 or (
            repeats.max() - repeats.min() <= 1 and repeats.max() == -(-len(mine) // len(repeats))
        )
        assert np.count_nonzero(repeats) == member.num_distinct
        quota = size * member.num_draws / draws
        for at in range(0, draws - size + 1, size):
            # An incomplete last batch may take a little more than its part of a member, hence 1/num_full.
            assert abs(np.sum(drawn.member[at : at + size] == i) - quota) < 1 + size / (draws - draws % size)


def test_batches_are_exactly_floor_or_ceil_when_they_fill_the_epoch() -> None:
    selection = selection_of(900, 50, 37, 13, draws=1000, method="natural")
    drawn = Schedule(selection, 20).epoch(0)
    for i, member in enumerate(selection.members):
        counts = (drawn.member.reshape(50, 20) == i).sum(axis=1)
        quota = member.num_draws / 50
        assert set(counts.tolist()) <= {int(np.floor(quota)), int(np.ceil(quota))}


@given(counts=COUNTS, cap=st.integers(1, 4), epoch=st.integers(0, 9))
def test_repeat_cap_holds_in_every_epoch(counts: list[int], cap: int, epoch: int) -> None:
    draws = max(1, cap * sum(counts) * 2 // 3)
    selection = selection_of(*counts, draws=draws, method="repeat_capped", cap=cap)
    drawn = Schedule(selection, 1).epoch(epoch)
    repeats = Counter(zip(drawn.member.tolist(), drawn.sample.tolist(), strict=True))
    assert max(repeats.values()) <= cap


def test_samples_are_drawn_equally_often_over_epochs() -> None:
    totals = sum(np.bincount(draw_samples(10, 13, (1, 0), epoch, epoch), minlength=10) for epoch in range(10))
    assert set(np.asarray(totals).tolist()) == {13}


def test_epochs_and_seeds_differ_and_the_same_call_repeats() -> None:
    selection, other = selection_of(50, 90, draws=100), selection_of(50, 90, draws=100, seed=4)
    first, again = Schedule(selection, 10).epoch(0), Schedule(selection, 10).epoch(0)
    assert np.array_equal(first.sample, again.sample)
    assert np.array_equal(first.member, again.member)
    assert not np.array_equal(first.sample, Schedule(selection, 10).epoch(1).sample)
    assert not np.array_equal(first.sample, Schedule(other, 10).epoch(0).sample)


def test_order_is_the_published_one() -> None:
    """A change of these numbers changes every run that is ever resumed: raise the selection's format version."""
    drawn = Schedule(selection_of(4, 6, draws=10), 5).epoch(1)
    assert drawn.member.tolist() == [1, 1, 0, 0, 1, 1, 0, 0, 1, 0]
    assert drawn.sample.tolist() == [1, 0, 3, 0, 3, 2, 2, 1, 4, 3]


def remaining(schedule: Schedule, state: State, num: int, world_size: int) -> list[set[tuple[int, int, int]]]:
    """The global batches after `state`, put together again from all ranks (with multiplicity)."""
    batches: list[Counter[tuple[int, int]]] = [Counter() for _ in range(num)]
    for rank in range(world_size):
        for i, (_, draws) in enumerate(islice(schedule.batches(state, rank, world_size), num)):
            batches[i].update(zip(draws.member.tolist(), draws.sample.tolist(), strict=True))
    return [{(*pair, count) for pair, count in batch.items()} for batch in batches]


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
@pytest.mark.parametrize("subset", ["redrawn", "fixed"])
def test_resumed_run_sees_the_same_remaining_samples_on_any_number_of_processes(
    world_size: int, subset: Subset
) -> None:
    schedule = Schedule(selection_of(30, 70, 11, draws=65), 12, subset)
    whole = remaining(schedule, State(), 20, 1)
    states = [State(), *(state for state, _ in islice(schedule.batches(State()), 20))]
    assert states[6] == State(1, 0)
    for at in (0, 4, 5, 6, 13):
        assert remaining(schedule, states[at], 20 - at, world_size) == whole[at:]


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_positions_number_the_draws_of_an_epoch_over_all_processes(world_size: int) -> None:
    """So that what chance does to a draw does not depend on who draws it."""
    schedule = Schedule(selection_of(30, 70, 11, draws=65), 12)
    whole = schedule.epoch(1)
    seen = []
    for rank in range(world_size):
        for after, draws in islice(schedule.batches(State(1, 2), rank, world_size), 4):
            assert draws.epoch == 1
            assert (draws.position // 12 == (after.step or 6) - 1).all()
            assert np.array_equal(whole.sample[draws.position], draws.sample)
            assert np.array_equal(whole.member[draws.position], draws.member)
            seen += draws.position.tolist()
    assert sorted(seen) == list(range(24, 65))


def test_long_members_are_redrawn_until_all_were_drawn_or_stay_the_same_as_asked() -> None:
    """A long member (1000), one drawn exactly once (100), and one that must be repeated (30)."""
    selection = selection_of(1000, 100, 30, draws=300)
    for subset, num_seen in (("redrawn", 1000), ("fixed", 100)):
        schedule = Schedule(selection, 20, subset)
        epochs = [schedule.samples_of(0, epoch) for epoch in range(10)]
        assert len(np.unique(epochs)) == num_seen
        assert all(len(np.unique(one)) == 100 for one in epochs)
        assert not np.array_equal(epochs[0], epochs[1])  # the same samples are shuffled anew
    redrawn, fixed = (Schedule(selection, 20, subset) for subset in ("redrawn", "fixed"))
    for member in (1, 2):  # what is not long is drawn alike, and the rest of its epochs moves on
        assert np.array_equal(redrawn.samples_of(member, 3), fixed.samples_of(member, 3))
    assert set(fixed.samples_of(0, 7).tolist()) == set(redrawn.samples_of(0, 0).tolist())


def test_batches_mix_all_shards_of_a_member() -> None:
    """Samples lie in order in 10 shards of 500: every batch of 250 takes about 25 of each, in no order."""
    schedule = Schedule(selection_of(5000, draws=5000), 250)
    shard = schedule.epoch(0).sample.reshape(20, 250) // 500
    counts = np.stack([np.bincount(batch, minlength=10) for batch in shard])
    assert counts.min() >= 8
    assert counts.max() <= 45
    # Neighbours in the order lie in the same shard as often as chance has it: one in ten.
    assert abs(np.mean(shard[:, 1:] == shard[:, :-1]) - 0.1) < 0.02


def test_ranks_share_a_batch_evenly() -> None:
    schedule = Schedule(selection_of(30, 70, draws=48), 12)
    sizes = [len(next(schedule.batches(State(), rank, 3))[1].sample) for rank in range(3)]
    assert sizes == [4, 4, 4]


@settings(max_examples=50)
@given(per_batch=st.lists(st.integers(0, 9), min_size=1, max_size=6), num=st.integers(1, 40), seed=st.integers(0, 9))
def test_split_evenly_keeps_sums(per_batch: list[int], num: int, seed: int) -> None:
    totals = np.random.default_rng(seed).multinomial(num * sum(per_batch), [1 / len(per_batch)] * len(per_batch))
    counts = split_evenly(totals, num, (seed, 0))
    assert np.array_equal(counts.sum(axis=0), totals)
    assert set(counts.sum(axis=1).tolist()) == {sum(per_batch)}
    assert np.all(np.abs(counts - totals / num) < 1)


@pytest.mark.parametrize("size", [0, 11])
def test_impossible_batch_size_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match="batch_size"):
        Schedule(selection_of(10, draws=10), size)


def test_impossible_rank_is_refused() -> None:
    with pytest.raises(UsageError, match="rank"):
        Schedule(selection_of(10, draws=10), 2).batches(State(), 2, 2)


@pytest.mark.parametrize("state", [State(0, 5), State(-1, 0), State(0, -1)])
def test_place_that_a_run_cannot_be_at_is_refused(state: State) -> None:
    with pytest.raises(UsageError, match=r"step in \[0, 5\).*\n.*batch size the run was started with"):
        Schedule(selection_of(10, draws=10), 2).batches(state)


def test_unknown_subset_is_refused() -> None:
    with pytest.raises(UsageError, match="redrawn or fixed, found 'first'"):
        Schedule(selection_of(10, draws=10), 2, "first")  # type: ignore[arg-type]


def test_more_processes_than_the_last_batch_has_samples_are_refused() -> None:
    schedule = Schedule(selection_of(30, 70, 11, draws=64), 12)
    schedule.batches(State(), 3, 4)
    with pytest.raises(UsageError, match=r"each of 5 processes .* found 4 in the last batch(?s:.*)use batch_size 11"):
        schedule.batches(State(), 0, 5)
    with pytest.raises(UsageError, match="use fewer processes"):
        Schedule(selection_of(30, 70, 11, draws=64), 12).batches(State(), 0, 65)
