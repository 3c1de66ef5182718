"""Constraints: the nearest mixture obeys every bound and is the nearest; what is not feasible names what is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from benchmark.constraints import Constraints, candidates, feasible, limits_of
from benchmark.limits import Floats, Group, Limits, nearest
from benchmark.problem import Problem
from benchmark.proposers import PROPOSERS
from benchmark.quadratic import least_on
from catalogs.selection import Budget, Pool, ShardRef, Source
from harmonize.errors import UsageError


def pool_of(**counts: int) -> Pool:
    sources = tuple(Source(dataset=name, split="train", num_available=count) for name, count in counts.items())
    shards = tuple(ShardRef(shard=f"{name}-train-000000", digest="0" * 64) for name in counts)
    return Pool(sources=sources, shards=shards)


POOL = pool_of(agora=100, bedlam=1000, h36m=2000, mscoco=500, spec=300)  # synthetic, synthetic, real, real, mixed


def random_limits(rng: np.random.Generator, size: int) -> Limits:
    """Bounds around a mixture, so that it obeys them; groups nested two deep."""
    inside = rng.dirichlet(np.ones(size))
    lower = np.where(rng.random(size) < 0.3, inside * rng.random(size), 0.0)
    upper = np.where(rng.random(size) < 0.4, inside + (1 - inside) * rng.random(size) * 0.3, 1.0)
    groups = []
    cut = sorted(rng.choice(np.arange(1, size), 2, replace=False)) if size > 2 else [1, 1]
    for members in (tuple(range(cut[0])), tuple(range(cut[1]))):
        total = inside[list(members)].sum()
        groups.append(
            Group(label=f"{len(members)} sources", members=members, lower=total * 0.9, upper=min(1.0, total * 1.02))
        )
    return Limits(
        names=tuple(f"s{i:02d}" for i in range(size)),
        lower=lower,
        upper=upper,
        lower_why=("low",) * size,
        upper_why=("high",) * size,
        groups=tuple(groups[:1] if cut[0] == cut[1] else groups),
    )


@given(seed=st.integers(0, 2**31), size=st.integers(2, 32))
@settings(max_examples=150)
def test_nearest_mixture_obeys_all_bounds_and_adds_up(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    limits = random_limits(rng, size)
    assert limits.conflict() is None
    wanted = rng.dirichlet(np.ones(size)) * (rng.random(size) < 0.7) + (np.arange(size) == 0) * 1e-3
    shares = nearest(wanted, limits)
    assert abs(shares.sum() - 1) < 1e-9
    assert limits.holds(shares, 1e-9)


def constraints_of(limits: Limits) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"type": "eq", "fun": lambda w: w.sum() - 1}]
    for group in limits.groups:
        members = list(group.members)
        found.append({"type": "ineq", "fun": lambda w, m=members, g=group: w[m].sum() - g.lower})
        found.append({"type": "ineq", "fun": lambda w, m=members, g=group: g.upper - w[m].sum()})
    return found


def by_scipy(function: Any, limits: Limits, start: Floats) -> Floats:
    bounds = [(max(a, 1e-12), b) for a, b in zip(limits.lower, limits.upper, strict=True)]
    options = {"maxiter": 2000, "ftol": 1e-15}
    return minimize(
        function, start, bounds=bounds, constraints=constraints_of(limits), method="SLSQP", options=options
    ).x


@pytest.mark.parametrize("seed", range(12))
def test_nearest_has_the_smallest_divergence_that_a_general_solver_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    limits = random_limits(rng, 7)
    wanted = rng.dirichlet(np.ones(7)) + 0.01

    def divergence(w: Floats) -> float:
        return float(np.sum(w * np.log(np.maximum(w, 1e-12) / wanted)))

    ours = nearest(wanted, limits)
    theirs = by_scipy(divergence, limits, ours * 0.9 + 0.1 / 7)
    assert divergence(ours) <= divergence(theirs) + 1e-7
    moved = nearest(wanted * 7, limits)
    np.testing.assert_allclose(moved, ours, atol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_quadratic_programme_agrees_with_a_general_solver(seed: int) -> None:
    rng = np.random.default_rng(seed)
    limits = random_limits(rng, 9)
    root = rng.normal(size=(9, 12))
    quadratic, linear = root @ root.T + 1e-3 * np.eye(9), rng.normal(size=9) * 5

    def value(w: Floats) -> float:
        return float(w @ quadratic @ w / 2 + linear @ w)

    ours = least_on(limits, quadratic, linear)
    assert limits.holds(ours, 1e-9)
    theirs = by_scipy(value, limits, nearest(np.ones(9), limits))
    assert value(ours) <= value(theirs) + 1e-7


def test_quadratic_programme_of_64_sources_ends() -> None:
    rng = np.random.default_rng(3)
    limits = random_limits(rng, 64)
    root = rng.normal(size=(64, 8))  # far from full rank
    shares = least_on(limits, root @ root.T + 1e-8 * np.eye(64), np.zeros(64))
    assert limits.holds(shares, 1e-9)


@given(
    counts=st.lists(st.integers(1, 10**6), min_size=1, max_size=32),
    cap=st.integers(1, 9),
    fill=st.floats(0.0, 1.0),
    seed=st.integers(0, 99),
)
def test_water_filling_never_exceeds_caps_and_sums_to_one(counts: list[int], cap: int, fill: float, seed: int) -> None:
    draws = max(1, int(cap * sum(counts) * fill))
    pool = pool_of(**{f"set{i:02d}": count for i, count in enumerate(counts)})
    wanted = np.random.default_rng(seed).dirichlet(np.ones(len(counts))) + 1e-6
    shares = feasible(wanted, pool, Budget(draws_per_epoch=draws, repeat_cap=cap))
    limits = cap * np.array(counts) / draws
    assert abs(shares.sum() - 1) < 1e-9
    assert (shares <= limits + 1e-12).all()
    level = shares / wanted
    below = shares < limits * (1 - 1e-9)
    assert not below.any() or np.ptp(level[below]) <= 1e-9 * level[below].max()


def test_a_share_at_its_limit_equals_it() -> None:
    shares = feasible([1, 1, 1], pool_of(a=1, b=4, c=30), Budget(draws_per_epoch=10, repeat_cap=1))
    assert shares.tolist() == pytest.approx([0.1, 0.4, 0.5], abs=1e-15)
    assert shares[0] == 0.1


@pytest.mark.parametrize(
    ("constraints", "expected"),
    [
        (Constraints(max_share={"bedlam": 0.1}), [0.225, 0.1, 0.225, 0.225, 0.225]),
        (Constraints(min_share={"bedlam": 0.6}), [0.1, 0.6, 0.1, 0.1, 0.1]),
        (Constraints(synthetic=(0.7, 1.0)), [0.35, 0.35, 0.1, 0.1, 0.1]),
        (Constraints(synthetic=(0.0, 0.3)), [0.1, 0.1, 0.35, 0.35, 0.1]),
        (Constraints(synthetic=(0.0, 0.3), max_share={"h36m": 0.2}), [0.1, 0.1, 0.2, 0.5, 0.1]),
    ],
)
def test_shares_asked_for_are_met_and_the_rest_keeps_its_proportions(
    constraints: Constraints, expected: list[float]
) -> None:
    assert feasible(np.ones(5), POOL, Budget(draws_per_epoch=100), constraints) == pytest.approx(expected, abs=1e-12)


def test_mixed_datasets_count_against_both_bounds() -> None:
    shares = feasible(np.ones(5), POOL, Budget(draws_per_epoch=100), Constraints(synthetic=(0.6, 0.6)))
    assert shares[:2].sum() == pytest.approx(0.6)  # surely synthetic: at least 60%
    assert shares[4] == pytest.approx(0.0, abs=1e-12)  # perhaps synthetic: nothing is left of at most 60%


def test_what_nobody_wants_is_used_only_where_it_must_be() -> None:
    wanted = [1, 0, 1, 0, 0]
    assert feasible(wanted, POOL, Budget(draws_per_epoch=100)).tolist() == [0.5, 0, 0.5, 0, 0]
    shares = feasible(wanted, POOL, Budget(draws_per_epoch=100), Constraints(min_share={"mscoco": 0.2}))
    assert shares == pytest.approx([0.4, 0, 0.4, 0.2, 0])
    shares = feasible(wanted, POOL, Budget(draws_per_epoch=3000, repeat_cap=1))
    assert shares == pytest.approx([100 / 3000, 300 / 3000, 2000 / 3000, 300 / 3000, 300 / 3000], abs=1e-6)


def test_splits_of_one_dataset_share_its_bound() -> None:
    sources = [Source(dataset="pw3d", split=split, num_available=10) for split in ("train", "validation")]
    pool = Pool(sources=(Source(dataset="agora", split="train", num_available=10), *sources), shards=())
    shares = feasible([1, 1, 1], pool, Budget(draws_per_epoch=9), Constraints(max_share={"pw3d": 0.4}))
    assert shares == pytest.approx([0.6, 0.2, 0.2])


@pytest.mark.parametrize(
    ("draws", "cap", "constraints", "words", "most"),
    [
        (8000, 2, Constraints(), ["all sources", "2 draws of each of its 100 samples"], 7800),
        (900, 2, Constraints(min_share={"agora": 0.5}), ["agora/train: at least 50", "limited to 2 draws"], 400),
        (2000, 1, Constraints(synthetic=(0.8, 1.0)), ["synthetic datasets: at least 80", "agora/train"], 1375),
        (50, None, Constraints(min_share={"agora": 0.7, "spec": 0.6}), ["agora/train (smallest share 70"], 0),
        (50, None, Constraints(excluded=("agora", "bedlam"), synthetic=(0.1, 1)), ["synthetic", "no sources"], 0),
        (50, None, Constraints(excluded=("agora",), min_share={"agora": 0.1}), ["agora", "no sources allow"], 0),
        (50, None, Constraints(synthetic=(0, 0.2), min_share={"bedlam": 0.3}), ["at most 20", "bedlam/train"], 0),
    ],
)
def test_infeasible_demand_names_the_conflict_and_the_largest_budget(
    draws: int, cap: int | None, constraints: Constraints, words: list[str], most: int
) -> None:
    pool = candidates(POOL, constraints)[0]
    with pytest.raises(UsageError) as error:
        limits_of(pool, Budget(draws_per_epoch=draws, repeat_cap=cap), constraints)
    assert [word for word in words if word not in str(error.value)] == []
    assert error.value.fields["feasible"] == most
    if most:
        limits_of(pool, Budget(draws_per_epoch=most, repeat_cap=cap), constraints)
        with pytest.raises(UsageError):
            limits_of(pool, Budget(draws_per_epoch=most + 1, repeat_cap=cap), constraints)


def test_licences_datasets_and_samples_leave_sources_out_with_their_shards() -> None:
    keys = {"bedlam/train": ("b1", "b2"), "mscoco/train": (), "spec/train": ("s1",)}
    for constraints, names in [
        (Constraints(licences=("several", "open")), ["mscoco/train"]),
        (Constraints(excluded=("agora", "h36m")), ["bedlam/train", "mscoco/train", "spec/train"]),
        (Constraints(samples=keys), ["bedlam/train", "spec/train"]),
    ]:
        pool, left_out = candidates(POOL, constraints)
        assert [source.name for source in pool.sources] == names
        assert [ref.shard for ref in pool.shards] == [name.replace("/", "-") + "-000000" for name in names]
        assert len(left_out) == 5 - len(names)
    selection = PROPOSERS["natural"](
        Problem(pool=POOL, budget=Budget(draws_per_epoch=30), constraints=Constraints(samples=keys))
    )
    assert selection.sample_keys == ("b1", "b2", "s1")
    assert [(m.name, m.num_available, m.num_draws) for m in selection.members] == [
        ("bedlam/train", 2, 20),
        ("spec/train", 1, 10),
    ]
    assert "mscoco/train left out: none of its samples is allowed" in selection.reasons


def test_reasons_say_which_bound_holds_a_share() -> None:
    constraints = Constraints(max_share={"h36m": 0.1}, licences=("non-commercial-research",))
    selection = PROPOSERS["uniform"](Problem(pool=POOL, budget=Budget(draws_per_epoch=100), constraints=constraints))
    reason = {member.dataset: member.reason for member in selection.members}
    assert "largest share 10.00% asked for; 25.00% without constraints" in reason["h36m"]
    assert "30.00%" not in reason["bedlam"]
    assert "25.00% without constraints" in reason["bedlam"]
    assert selection.reasons == ("mscoco/train left out: its licence is several, allowed: non-commercial-research",)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Constraints(max_share={"agora": 1.2}), "max_share: agora"),
        (lambda: Constraints(min_share={"agora": float("nan")}), "min_share: agora"),
        (lambda: Constraints(synthetic=(0.6, 0.2)), "smallest share 0.6 is above the largest 0.2"),
        (lambda: Constraints(min_share={"agora": 0.5}, max_share={"agora": 0.4}), "agora: the smallest share"),
        (lambda: Constraints(licences=("free",)), "no class free"),
        (lambda: candidates(POOL, Constraints(excluded=("agorra",))), "did you mean agora"),
        (lambda: candidates(POOL, Constraints(max_share={"nothing": 0.1})), "no dataset 'nothing'"),
        (lambda: candidates(POOL, Constraints(licences=("open",))), "no source is left"),
    ],
)
def test_wrong_constraints_are_refused(make: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()
