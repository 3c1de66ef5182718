"""SMPLer-X's mixtures: members, integers, and the items of lists against its loader's rules, one draw at a time."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark import specialists
from benchmark.proposers import smplerx
from benchmark.published import DATASET_NAMES, instances, table
from benchmark.rankings.published import published_ranking
from benchmark.smplerx.lengths import (
    SHUFFLE_SEED,
    contribution,
    equal_share,
    list_order,
    num_distinct,
    remainder_positions,
    stepped_length,
)
from benchmark.smplerx.mixtures import best_k, contributions, mixture, mixture_names
from catalogs.selection import Budget, Pool, ShardRef, Source
from harmonize.errors import UsageError

SETS = tuple(DATASET_NAMES.values())


def pool_of(counts: dict[str, int]) -> Pool:
    return Pool(
        sources=tuple(Source(dataset=name, split="train", num_available=n) for name, n in sorted(counts.items())),
        shards=tuple(ShardRef(shard=f"{name}-train-000000", digest="0" * 64) for name in sorted(counts)),
    )


FULL = pool_of({name: instances().get(name, 1_802_200) for name in SETS})


# --- integers


@pytest.mark.parametrize(
    ("k", "total", "share"),
    [(5, 750_000, 150_000), (10, 1_500_000, 150_000), (20, 3_000_000, 150_000), (32, 4_500_000, 140_625)],
)
def test_shares_of_the_foundation_models(k: int, total: int, share: int) -> None:
    found = best_k(k)
    assert (found.draws_per_epoch, found.share, len(found.datasets)) == (total, share, k)
    assert share * k == total
    assert list(remainder_positions(total, k)) == []


def test_mixtures_are_nested_and_specialists_have_five_of_200_000() -> None:
    members = [set(best_k(k).datasets) for k in (5, 10, 20, 32)]
    assert all(small < large for small, large in itertools.pairwise(members))
    assert members[-1] == set(SETS)
    assert members[0] == {"mscoco", "agora", "bedlam", "spec", "gta_human2"}
    names = [name for name in mixture_names() if name.startswith("ft_")]
    assert len(names) == 6
    assert all((len(mixture(name).datasets), mixture(name).share) == (5, 200_000) for name in names)


def test_the_ten_are_nine_of_the_ten_best_for_b_and_the_eleventh() -> None:
    order = published_ranking("b").datasets
    assert set(best_k(10).datasets) == set(order[:9]) | {order[10]}
    assert order[9:11] == ("egobody_mvset", "crowdpose")


def test_passes_of_the_32_are_those_of_the_published_table() -> None:
    rows = {DATASET_NAMES[str(row["dataset"])]: row for row in table("effective_sampling_32")}
    found = contributions(best_k(32), instances())
    assert {one.dataset for one in found} == set(rows)
    for one in found:
        row = rows[one.dataset]
        assert (one.step, one.share) == (int(str(row["train_interval"])), int(str(row["share_per_epoch"])))
        if one.num_instances is None:
            assert (one.dataset, row["passes_per_epoch"]) == ("gta_human2", None)
            continue
        assert one.num_after_step == int(str(row["instances_after_interval"]))
        assert round(one.share / one.num_after_step, 2) == float(str(row["passes_per_epoch"]))
        assert one.effect == row["effect"]
    by_name = {one.dataset: one for one in found}
    assert by_name["dna_rendering"].passes == pytest.approx(0.0352, abs=5e-5)
    assert by_name["synbody"].passes == pytest.approx(0.222, abs=5e-4)
    assert by_name["ssp3d"].passes == pytest.approx(452.17, abs=5e-3)
    assert by_name["ssp3d"].num_distinct == 311


# --- items: the loader's rules, followed draw by draw


def loader_list(part_lengths: Sequence[int]) -> list[int]:
    items: list[int] = []
    for length in part_lengths:
        part = list(range(len(items), len(items) + length))
        random.seed(2023)
        random.shuffle(part)
        items.extend(part)
    return items


def loader_item(items: Sequence[int], position: int, share: int) -> int | None:
    """The item at a position of a share; None: drawn at random."""
    if len(items) < share and position >= len(items) * (share // len(items)):
        return None
    return items[position % len(items)]


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=3), st.integers(1, 200), st.integers(0, 3))
def test_items_of_a_balanced_share(parts: list[int], share: int, draw_seed: int) -> None:
    state = random.getstate()
    try:
        items = loader_list(parts)
    finally:
        random.setstate(state)
    num = len(items)
    found = contribution(num, share, "balance", part_lengths=parts, draw_seed=draw_seed)
    assert (found.shape, found.dtype) == ((share,), np.int64)
    for position, index in enumerate(found.tolist()):
        expected = loader_item(items, position, share)
        assert 0 <= index < num
        assert expected is None or index == expected
    assert len(set(found.tolist())) == num_distinct(num, share)
    again = contribution(num, share, "weighted", part_lengths=parts, draw_seed=draw_seed)
    assert (found == again).all()


def test_known_order_of_a_short_list() -> None:
    # Python's random, seeded with 2023, shuffles range(10) so; numpy's RandomState would not.
    generator = random.Random(2023)
    items = list(range(10))
    generator.shuffle(items)
    assert list_order([10]).tolist() == items
    assert items != np.random.RandomState(2023).permutation(10).tolist()
    assert list_order([10], seed=1).tolist() != items


def test_a_long_list_shows_the_same_items_in_every_epoch_and_a_short_one_all() -> None:
    long = [contribution(1000, 150, "balance", draw_seed=epoch) for epoch in range(3)]
    assert all((one == long[0]).all() for one in long)
    short = [Counter(contribution(40, 150, "balance", draw_seed=epoch).tolist()) for epoch in range(3)]
    assert all(len(one) == 40 and min(one.values()) >= 3 and one.total() == 150 for one in short)
    assert short[0] != short[1]


def test_what_fills_up_a_share_is_drawn_uniformly_with_replacement() -> None:
    counts = np.zeros(7)
    for epoch in range(3000):
        np.add.at(counts, contribution(7, 7 + 3, "balance", draw_seed=epoch)[7:], 1)
    expected = 3000 * 3 / 7
    assert ((counts - expected) ** 2 / expected).sum() < 22.5  # chi square with 6 degrees of freedom, p = 0.001


def test_a_long_dataset_of_several_files_shows_only_its_first_ones() -> None:
    parts = [500, 500, 500]
    shown = contribution(1500, 600, "balance", part_lengths=parts)
    assert Counter((shown // 500).tolist()) == {0: 500, 1: 100}
    # Files of equal length are shuffled in the same way.
    order = list_order(parts)
    assert (order[:500] == order[500:1000] - 500).all()


def test_lists_that_go_on_from_another_shuffle() -> None:
    generator = random.Random(SHUFFLE_SEED)
    first, second = list(range(30)), list(range(20))
    generator.shuffle(first)
    generator.shuffle(second)
    assert list_order([20], shuffled_before=(30,)).tolist() == second
    assert list_order([20]).tolist() != second


def test_concat_keeps_order_and_length() -> None:
    assert contribution(5, 5, "concat").tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(UsageError, match="its own length 5"):
        contribution(5, 6, "concat")


@pytest.mark.parametrize(("rows", "step"), [(100, 10), (101, 10), (109, 10), (951_066, 5), (1, 1), (3, 7)])
def test_frame_steps(rows: int, step: int) -> None:
    assert stepped_length(rows, step, starts_at_first=True) == len([i for i in range(rows) if i % step == 0])
    assert stepped_length(rows, step, starts_at_first=False) == len([i for i in range(1, rows + 1) if i % step == 0])


def test_what_equal_shares_leave_over() -> None:
    assert equal_share(1000, 7) == 142
    rest = list(remainder_positions(1000, 7))
    assert len(rest) == 1000 - 7 * 142
    assert all(0 <= dataset < 7 and position == i for i, (dataset, position) in enumerate(rest))


@pytest.mark.parametrize(
    "call",
    [
        lambda: equal_share(3, 4),
        lambda: contribution(0, 1, "balance"),
        lambda: contribution(5, 5, "balance", part_lengths=[2, 2]),
        lambda: best_k(7),
        lambda: mixture("top6"),
    ],
)
def test_wrong_demands_are_refused(call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError):
        call()


# --- proposers


def test_best_32_of_a_full_store_to_the_integer() -> None:
    selection = smplerx.best_k(FULL, Budget(draws_per_epoch=4_500_000), k=32)
    assert {member.num_draws for member in selection.members} == {140_625}
    assert len(selection.members) == 32
    ten = smplerx.best_k(FULL, Budget(draws_per_epoch=1_500_000), k=10)
    assert {member.num_draws for member in ten.members} == {150_000}
    assert {member.dataset for member in ten.members} == set(best_k(10).datasets)
    assert {ref.shard.split("-")[0] for ref in ten.shards} == set(best_k(10).datasets)


def test_specialists_over_a_store() -> None:
    selection = smplerx.specialist(FULL, Budget(draws_per_epoch=1_000_000), target="AGORA")
    draws = {member.dataset: member.num_draws for member in selection.members}
    assert draws == dict.fromkeys(("agora", "bedlam", "gta_human2", "spec", "synbody"), 200_000)
    with pytest.raises(UsageError, match="ft_EHF"):
        smplerx.specialist(FULL, Budget(draws_per_epoch=10), target="EHF")


def test_what_a_store_lacks_is_listed() -> None:
    with pytest.raises(UsageError, match="lacks 3 of 5 datasets: gta_human2, mscoco, spec") as error:
        smplerx.best_k(pool_of({"agora": 10, "bedlam": 10, "pw3d": 3}), Budget(draws_per_epoch=50), k=5)
    assert error.value.fields["missing"] == ["gta_human2", "mscoco", "spec"]
    rest = pool_of({name: 9 for name in SETS if name != "prox"})
    with pytest.raises(UsageError, match="ingest prox --raw DIR --store STORE --split qualitative"):
        smplerx.best_k(rest, Budget(draws_per_epoch=320), k=32)


def test_a_dataset_in_two_sources_has_one_part() -> None:
    sources = (
        Source(dataset="agora", split="train", num_available=30),
        Source(dataset="agora", split="train2", num_available=10),
        Source(dataset="bedlam", split="train", num_available=500),
    )
    selection = smplerx.weighted(
        Pool(sources=sources, shards=()), Budget(draws_per_epoch=120), lengths={"agora": 80, "bedlam": 40}
    )
    assert {member.name: member.num_draws for member in selection.members} == {
        "agora/train": 60,
        "agora/train2": 20,
        "bedlam/train": 40,
    }


def test_concat_and_weighted_hold_to_their_lengths() -> None:
    pool = pool_of({"agora": 30, "bedlam": 500})
    both = smplerx.concat(pool, Budget(draws_per_epoch=530))
    assert [member.num_draws for member in both.members] == [30, 500]
    with pytest.raises(UsageError, match="530 draws, found a budget of 500"):
        smplerx.concat(pool, Budget(draws_per_epoch=500))
    with pytest.raises(UsageError, match="found a budget of 6"):
        smplerx.weighted(pool, Budget(draws_per_epoch=6), lengths={"agora": 5})
    with pytest.raises(UsageError, match="lengths of 1 or more"):
        smplerx.weighted(pool, Budget(draws_per_epoch=5), lengths={"agora": 5, "bedlam": 0})


@given(st.dictionaries(st.sampled_from(SETS), st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1))
def test_given_lengths_are_drawn_to_the_integer(wanted: dict[str, tuple[int, int]]) -> None:
    lengths = {name: length for name, (_, length) in wanted.items()}
    budget = Budget(draws_per_epoch=sum(lengths.values()))
    selection = smplerx.weighted(pool_of({name: n for name, (n, _) in wanted.items()}), budget, lengths=lengths)
    assert {member.dataset: member.num_draws for member in selection.members} == lengths


def test_top_k_takes_the_best_that_there_are() -> None:
    pool = pool_of({"ssp3d": 5, "bedlam": 10, "agora": 7, "mtp": 3})
    selection = smplerx.top_k(pool, Budget(draws_per_epoch=30), k=3, ranking=published_ranking("s"))
    assert {member.dataset: member.num_draws for member in selection.members} == {"agora": 10, "bedlam": 10, "mtp": 10}
    assert "number 1 of 3 by SMPLer-X-S" in {member.dataset: member.reason for member in selection.members}["bedlam"]
    with pytest.raises(UsageError, match="expected 5 datasets"):
        smplerx.top_k(pool, Budget(draws_per_epoch=30), k=5, ranking=published_ranking("s"))


def test_first_shares_are_what_the_loader_would_show() -> None:
    keys = {"long": [f"k{i:03d}" for i in range(100)], "short": ["x", "y"]}
    found = smplerx.first_shares(keys, {"long": 30, "short": 30})
    assert found["short"] == ("x", "y")
    assert set(found["long"]) == {keys["long"][i] for i in contribution(100, 30, "balance").tolist()}


# --- specialists


def test_released_specialists_hold_their_target() -> None:
    for name, benchmark in specialists.TARGETS.items():
        released = specialists.released_for(benchmark)
        assert released == mixture(f"ft_{name}").datasets
        assert set(specialists.own_training_sets(benchmark, SETS)) <= set(released)
        assert specialists.own_training_sets(benchmark, SETS)
    with pytest.raises(UsageError, match="'ehf'"):
        specialists.released_for("ehf")


def test_companions_are_the_nearest() -> None:
    distances = {"pw3d": 5.0, "bedlam": 1.0, "agora": 2.0, "spec": 2.0, "mpii": -0.1, "prox": 9.0}
    found = specialists.recommend("pw3d", distances)
    assert (found.own, found.companions, found.too_far) == (("pw3d",), ("mpii", "bedlam", "agora", "spec"), ("prox",))
    assert found.draws_per_epoch == 1_000_000
    assert specialists.recommend("ehf", distances).own == ()
    assert len(specialists.recommend("ehf", distances).datasets) == 5
    shuffled = dict(sorted(distances.items(), reverse=True))
    assert specialists.recommend("pw3d", shuffled) == found


def test_a_distance_that_knows_the_release_finds_it_and_a_random_one_finds_what_chance_gives() -> None:
    knowing = {
        b: {name: float(name not in specialists.released_for(b)) for name in SETS} for b in specialists.TARGETS.values()
    }
    assert all(shared == wanted for shared, wanted, _ in specialists.agreement_with_release(knowing).values())
    rng, shared, chance = np.random.default_rng(0), 0, 0.0
    for _ in range(100):
        table_of = {b: dict(zip(SETS, rng.random(32).tolist(), strict=True)) for b in specialists.TARGETS.values()}
        for found, _, expected in specialists.agreement_with_release(table_of).values():
            shared, chance = shared + found, chance + expected
    assert shared == pytest.approx(chance, rel=0.2)


def test_wrong_distances_are_refused() -> None:
    with pytest.raises(UsageError, match="found none for agora"):
        specialists.recommend("ehf", {"agora": float("nan"), "bedlam": 1.0})
    with pytest.raises(UsageError, match="ehf: the test data of a benchmark"):
        specialists.recommend("pw3d", {"ehf": 1.0, "pw3d": 0.0})
    with pytest.raises(UsageError, match="expected 4 datasets beside its own"):
        specialists.recommend("pw3d", {"bedlam": 1.0, "pw3d": 0.0})
