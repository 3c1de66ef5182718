"""The realised mixture: counted from samples, the same over processes and resumes, and an error where it drifts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from small_store import person, write_shard

from benchmark.problem import Problem
from benchmark.proposers import PROPOSERS
from catalogs.selection import Budget, Selection
from catalogs.store import open, pool
from harmonize.errors import DataError
from train.data.feed import Feed
from train.data.mixture import Counts, MixtureLog, Realised, Tally
from train.data.opening import open_feed
from train.data.schedule import State


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 people: 30 of pw3d in two shards, 10 of agora."""
    folder = tmp_path_factory.mktemp("store")
    write_shard(folder, [person("pw3d", "train", i) for i in range(18)])
    write_shard(folder, [person("pw3d", "train", i) for i in range(18, 30)], number=1)
    write_shard(folder, [person("agora", "train", i) for i in range(10)])
    return folder


def select(store: Path, cap: int | None = 3) -> Selection:
    """36 draws an epoch, 18 of each: agora is repeated, pw3d needs two epochs to be seen whole."""
    with open(store) as con:
        budget = Budget(draws_per_epoch=36, repeat_cap=cap, seed=1)
        return PROPOSERS["uniform"](Problem(pool=pool(con), budget=budget))


@pytest.fixture(scope="module")
def feed(store: Path) -> Feed:
    return open_feed(store, select(store), batch_size=8)


def source(key: str) -> tuple[str, str]:
    return (key.split("-")[0], "train")


class Processes:
    """The tallies of several processes and what an all-reduce over them would give."""

    def __init__(self, feed: Feed, num: int, found: dict[str, np.ndarray] | None = None) -> None:
        self.feed = feed
        self.tallies = [Tally(feed, found, rank) for rank in range(num)]
        self.given: list[Counts] = []

    def _gather(self, counts: Counts) -> Counts:
        self.given.append(counts.copy())
        return counts

    def _sum(self, _: Counts) -> Counts:
        return np.asarray(np.sum(self.given, axis=0, dtype=np.int32), np.int32)

    def run(self, state: State, num: int) -> State:
        for rank, tally in enumerate(self.tallies):
            at = state
            for drawn in islice(self.feed.batches(state, rank, len(self.tallies)), num):
                tally.add(drawn.keys, [source(key) for key in drawn.keys])
                at = drawn.after
        return at

    def arrays(self) -> dict[str, np.ndarray]:
        self.given = []
        for tally in self.tallies:
            tally.arrays(self._gather)
        found = [tally.arrays(self._sum) for tally in self.tallies]
        for one in found[1:]:
            assert all(np.array_equal(one[name], found[0][name]) for name in one)
        return found[0]

    def realised(self, state: State) -> tuple[Realised, ...]:
        summed = self.arrays()
        both = np.concatenate([summed["epoch"], summed["seen"].astype(np.int32)])
        found = [tally.realised(state, lambda _: both) for tally in self.tallies]
        assert all(one == found[0] for one in found)
        return found[0]


def test_counts_are_those_of_the_samples(feed: Feed) -> None:
    alone = Processes(feed, 1)
    seen: Counter[str] = Counter()
    state, log = State(), []
    for epoch in range(2):
        in_epoch: Counter[str] = Counter()
        for drawn in islice(feed.batches(state), 5):
            alone.tallies[0].add(drawn.keys, [source(key) for key in drawn.keys])
            in_epoch.update(drawn.keys)
            state = drawn.after
        assert state == State(epoch + 1, 0)
        seen.update(in_epoch)
        log.append((alone.realised(state), in_epoch, Counter(seen)))
    for realised, in_epoch, so_far in log:
        for one in realised:
            mine = {key: num for key, num in so_far.items() if source(key)[0] == one.dataset}
            assert (one.num_draws, one.num_distinct) == (sum(mine.values()), len(mine))
            assert one.max_repeats == max(num for key, num in in_epoch.items() if source(key)[0] == one.dataset)
    # agora is drawn 18 times of 10; pw3d 18 of 30 in one epoch, all 30 in two.
    assert [asdict(one) for one in log[-1][0]] == [
        {
            "dataset": "agora",
            "split": "train",
            "requested": 36.0,
            "num_draws": 36,
            "num_distinct": 10,
            "max_repeats": 2,
        },
        {"dataset": "pw3d", "split": "train", "requested": 36.0, "num_draws": 36, "num_distinct": 30, "max_repeats": 1},
    ]


@pytest.mark.parametrize("num", [2, 3])
def test_processes_count_what_one_counts(feed: Feed, num: int) -> None:
    one, many = Processes(feed, 1), Processes(feed, num)
    state = State()
    for batches in (3, 2, 4, 1, 2):  # epochs of five batches
        after = one.run(state, batches)
        assert many.run(state, batches) == after
        state = after
        assert many.realised(state) == one.realised(state)


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 3), (3, 2)])
@pytest.mark.parametrize("at", [2, 5, 7])
def test_resumed_counts_are_those_of_an_uninterrupted_run(feed: Feed, before: int, after: int, at: int) -> None:
    def run(processes: Processes, state: State, num: int) -> State:
        for _ in range(num):
            state = processes.run(state, 1)
            if state.step == 0:
                processes.realised(state)
        return state

    whole, first = Processes(feed, 1), Processes(feed, before)
    run(whole, State(), 13)
    state = run(first, State(), at)
    resumed = Processes(feed, after, first.arrays())
    end = run(resumed, state, 13 - at)
    assert resumed.realised(end) == whole.realised(end)


def test_counts_stay_small(feed: Feed) -> None:
    assert sum(array.nbytes for array in Tally(feed).arrays().values()) == 40 * 5 + 2 * 2 * 8


def test_log_has_a_line_for_each_source_and_forgets_what_a_resume_repeats(feed: Feed, tmp_path: Path) -> None:
    path, one = tmp_path / "mixture.jsonl", Processes(feed, 1)
    log, state = MixtureLog(path, State()), State()
    for _ in range(3):
        state = one.run(state, 2 if state.step < 4 else 1)
        log.write(state, one.realised(state))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["epoch"], row["step"], row["dataset"]) for row in rows] == [
        (epoch, step, name) for epoch, step in ((0, 2), (0, 4), (1, 0)) for name in ("agora", "pw3d")
    ]
    assert rows[1] == {"epoch": 0, "step": 2, **asdict(realised_after(feed, 2)[1])}
    with path.open("a") as file:
        file.write('{"epoch": 1, "st')  # killed while writing
    MixtureLog(path, State(0, 4))
    assert [json.loads(line) for line in path.read_text().splitlines()] == rows[:4]
    assert [entry.name for entry in tmp_path.iterdir()] == ["mixture.jsonl"]
    path.write_text("nonsense\n")
    with pytest.raises(DataError, match=r"mixture\.jsonl: expected lines with epoch and step, found 'nonsense'"):
        MixtureLog(path, State())


def realised_after(feed: Feed, num: int) -> tuple[Realised, ...]:
    one = Processes(feed, 1)
    return one.realised(one.run(State(), num))


# Drift


def drawn_keys(feed: Feed, num: int) -> list[list[str]]:
    return [list(drawn.keys) for drawn in islice(feed.batches(State()), num)]


def test_sample_of_no_member_is_refused(feed: Feed) -> None:
    with pytest.raises(DataError, match="behave/train: expected no draws, it is not in the selection, found sample b"):
        Tally(feed).add(["b"], [("behave", "train")])
    with pytest.raises(DataError, match=r"pw3d/train: expected no draws.*found sample pw3d-train-99999-0"):
        Tally(feed).add(["pw3d-train-99999-0"], [("pw3d", "train")])


def test_lost_and_doubled_batches_are_refused(feed: Feed) -> None:
    one = Processes(feed, 1)
    state = one.run(State(), 2)
    with pytest.raises(DataError, match=r"expected 24 draws in the epoch by .*step=3.* found 16(?s:.*)fix: "):
        one.realised(State(0, 3))
    one.run(State(), 1)
    with pytest.raises(DataError, match=r"expected 16 draws .* found 24"):
        one.realised(state)


def test_other_mixture_is_refused(feed: Feed) -> None:
    keys = [key for batch in drawn_keys(feed, 5) for key in batch]
    pw3d = list(feed.members.keys[1]) + [key for key in keys if key.startswith("pw3d")]
    tally = Tally(feed)
    tally.add(pw3d[:36], [source(key) for key in pw3d[:36]])
    with pytest.raises(DataError, match=r"agora/train: expected 18\.0 of 36 draws, found 0"):
        tally.realised(State(1, 0))


def test_sample_drawn_in_the_place_of_another_is_refused(feed: Feed) -> None:
    keys = [key for batch in drawn_keys(feed, 5) for key in batch]
    first, second = [i for i, key in enumerate(keys) if key.startswith("pw3d")][:2]
    keys[first] = keys[second]
    tally = Tally(feed)
    tally.add(keys, [source(key) for key in keys])
    with pytest.raises(DataError, match=r"pw3d/train: expected 18 samples in an epoch, found 17"):
        tally.realised(State(1, 0))


def test_repeat_cap_is_enforced_at_once_and_over_processes(feed: Feed) -> None:
    key = feed.members.keys[0][4]
    with pytest.raises(DataError, match=f"agora/train: expected at most 3 draws of a sample .* found 4 of {key}"):
        Tally(feed).add([key] * 4, [source(key)] * 4)
    processes = Processes(feed, 2)
    keys = [key for batch in drawn_keys(feed, 5) for key in batch]
    agora = [i for i, one in enumerate(keys) if one.startswith("agora")][:5]
    for i in agora:
        keys[i] = key
    for rank, tally in enumerate(processes.tallies):
        mine = [one for one in keys if one != key][rank::2] + ([key] * 3 if rank else [key] * (keys.count(key) - 3))
        tally.add(mine, [source(one) for one in mine])
    with pytest.raises(DataError, match=r"agora/train: expected at most 3 draws of a sample in an epoch, found [56]"):
        processes.realised(State(1, 0))


def test_counts_of_another_selection_are_refused(feed: Feed) -> None:
    found = Tally(feed).arrays()
    with pytest.raises(DataError, match="expected counts of 40 samples of 2 members in the checkpoint, found 39 of 2"):
        Tally(feed, {**found, "epoch": found["epoch"][1:]})


def test_streamed_batches_are_counted_too(store: Path) -> None:
    """Which samples come is not promised, the mixture is: caps and distinct samples are reported, not enforced."""
    streamed = open_feed(store, select(store, cap=2), batch_size=8, is_streamed=True)
    processes = Processes(streamed, 2)
    state = State()
    for _ in range(2):
        state = processes.run(state, 5)
        realised = processes.realised(state)
    assert state == State(2, 0)
    assert [one.num_draws for one in realised] == [36, 36]
    assert 8 <= realised[0].num_distinct <= 10
    assert 15 <= realised[1].num_distinct <= 30
