"""Trainings on one dataset alone: which samples they may draw, and how often."""

from __future__ import annotations

import pytest

from benchmark.proxies import ProxyBudget, num_kept, proxies
from catalogs.selection import Pool, ShardRef, Source
from harmonize.errors import UsageError

SIZES = {"agora/train": 400, "bedlam/train": 2000, "pw3d/train": 3, "pw3d/train2": 5}
POOL = Pool(
    sources=tuple(
        Source(dataset=name.split("/")[0], split=name.split("/")[1], num_available=num) for name, num in SIZES.items()
    ),
    shards=tuple(ShardRef(shard=f"{name.replace('/', '-')}-000000", digest="d" * 64) for name in SIZES),
)
KEYS = {name: [f"{name}-{i:04d}" for i in range(num)] for name, num in SIZES.items()}


def test_one_training_for_each_dataset_and_seed() -> None:
    made = proxies(POOL, KEYS, ProxyBudget(draws=100, seeds=(0, 1)))
    assert [one.name for one in made] == ["agora-0", "agora-1", "bedlam-0", "bedlam-1", "pw3d-0", "pw3d-1"]
    assert [member.name for member in made[-1].selection.members] == ["pw3d/train", "pw3d/train2"]
    assert [ref.shard for ref in made[-1].selection.shards] == ["pw3d-train-000000", "pw3d-train2-000000"]
    assert {one.selection.draws_per_epoch for one in made} == {100}


def test_repeats_are_those_of_the_full_training() -> None:
    budget = ProxyBudget(draws=1000, full_draws=100_000)
    for one in proxies(POOL, KEYS, budget, datasets=["agora", "bedlam"]):
        repeats = one.selection.residuals["repeats"]
        assert repeats == pytest.approx(one.selection.residuals["repeats_of_the_full_training"])
        (member,) = one.selection.members
        assert member.num_available == SIZES[member.name] // 100
        assert repeats == pytest.approx(100_000 / SIZES[member.name])


def test_a_dataset_too_small_to_thin_out_keeps_a_sample_and_says_that_repeats_differ() -> None:
    (one,) = proxies(POOL, KEYS, ProxyBudget(draws=1000, full_draws=100_000), datasets=["pw3d"])
    assert [member.num_available for member in one.selection.members] == [1, 1]
    assert one.selection.residuals["repeats"] == 500
    assert one.selection.residuals["repeats_of_the_full_training"] == 12_500


def test_kept_samples_depend_on_the_seed_and_not_on_other_samples() -> None:
    budget = ProxyBudget(draws=1000, full_draws=10_000, seeds=(0, 1))
    first, second = proxies(POOL, KEYS, budget, datasets=["agora"])
    assert first.selection.sample_keys != second.selection.sample_keys
    assert (again := proxies(POOL, KEYS, budget, datasets=["agora"])[0]).selection == first.selection
    assert again.selection.content_hash == first.selection.content_hash
    kept = set(first.selection.sample_keys or ())
    fewer = {**KEYS, "agora/train": [key for key in KEYS["agora/train"] if key in kept or key.endswith("7")]}
    some = proxies(POOL, fewer, ProxyBudget(draws=1000, full_draws=10_000), datasets=["agora"])[0]
    assert set(some.selection.sample_keys or ()) <= kept


def test_all_samples_are_kept_without_a_full_training() -> None:
    assert num_kept(12, ProxyBudget(draws=5)) == 12
    (one,) = proxies(POOL, KEYS, ProxyBudget(draws=5), datasets=["agora"])
    assert one.selection.members[0].num_available == 400


def test_only_samples_that_may_be_drawn_are() -> None:
    allowed = {**KEYS, "agora/train": KEYS["agora/train"][:7]}
    (one,) = proxies(POOL, allowed, ProxyBudget(draws=50), datasets=["agora"])
    assert one.selection.sample_keys == tuple(KEYS["agora/train"][:7])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: proxies(POOL, KEYS, ProxyBudget(draws=5), datasets=["ehf"]), "no training split of ehf"),
        (lambda: proxies(POOL, {**KEYS, "agora/train": []}, ProxyBudget(draws=5)), "agora: no sample may be drawn"),
        (lambda: ProxyBudget(draws=5, full_draws=4), "at least the 5 draws"),
        (lambda: ProxyBudget(draws=5, seeds=(1, 1)), "each once"),
        (lambda: ProxyBudget(draws=5, seeds=()), "one or more"),
    ],
)
def test_what_cannot_be_is_refused(make, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=words):
        make()
