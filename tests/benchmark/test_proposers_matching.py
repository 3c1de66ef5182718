"""Kernel mean matching, MixMin and facility location over datasets: planted answers, symmetries, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from choosing import SPACE, clouds, mixed, problem_of, summary_of, weights_of

from benchmark.constraints import Constraints
from benchmark.lazy_greedy import lazy_greedy
from benchmark.problem import Problem
from benchmark.proposers import PROPOSERS
from benchmark.proposers.mean_matching import PATH, lambda_path
from benchmark.proposers.mixmin import descend
from benchmark.quadratic import least_on
from harmonize.errors import UsageError

PLANTED = {"set00": 0.5, "set03": 0.3, "set05": 0.2}


def planted(**changes: object) -> Problem:
    parts = clouds(8)
    return problem_of(parts, {"ehf": mixed(parts, PLANTED, 4000)}, **changes)  # type: ignore[arg-type]


def test_a_planted_mixture_is_recovered() -> None:
    weights = weights_of(PROPOSERS["mean_matching"](planted(), strength=0.0))
    for name, weight in weights.items():
        assert weight == pytest.approx(PLANTED.get(name, 0.0), abs=0.02)


def test_the_strength_chosen_stays_near_the_planted_mixture_and_says_what_it_cost() -> None:
    selection = PROPOSERS["mean_matching"](planted())
    gap, start = selection.residuals[f"gap/{SPACE}"], selection.residuals[f"gap-of-uniform/{SPACE}"]
    assert isinstance(gap, float)
    assert isinstance(start, float)
    assert gap < 0.05 * start
    assert selection.parameters["is_strength_chosen"] is True
    path = [float(selection.residuals[f"path/{value:.3g}"]) for value in PATH]  # type: ignore[arg-type]
    assert path == sorted(path)  # a stronger pull never fits better
    noise = float(selection.residuals[f"noise/{SPACE}"])  # type: ignore[arg-type]
    assert gap <= min(path) + noise
    assert all("uniform) ->" in member.reason for member in selection.members)


def test_the_path_leads_from_the_best_match_to_the_baseline() -> None:
    path = lambda_path(planted())
    assert list(path) == list(PATH)
    assert path[PATH[-1]] == pytest.approx(1 / 8, abs=0.01)
    apart = [float(np.abs(path[value] - 1 / 8).sum()) for value in PATH]
    assert apart == sorted(apart, reverse=True)


def test_a_source_that_is_the_target_gets_all() -> None:
    parts = clouds(5)
    selection = PROPOSERS["mean_matching"](problem_of(parts, {"ehf": parts["set02"]}), strength=0.0)
    assert weights_of(selection)["set02"] == pytest.approx(1.0, abs=1e-4)


def test_the_order_of_sources_does_not_matter() -> None:
    order = ["set05", "set01", "set07", "set00", "set03", "set02", "set06", "set04"]
    for method in ("mean_matching", "facility_datasets", "uniform", "natural"):
        one, other = (PROPOSERS[method](problem) for problem in (planted(), planted(order=order)))
        assert one.content_hash == other.content_hash


def test_renaming_sources_renames_the_answer() -> None:
    parts = clouds(8)
    target = {"ehf": mixed(parts, PLANTED, 4000)}
    renamed = {f"set{7 - i:02d}": parts[f"set{i:02d}"] for i in range(8)}
    one, other = (weights_of(PROPOSERS["mean_matching"](problem_of(some, target))) for some in (parts, renamed))
    for i in range(8):
        assert one[f"set{i:02d}"] == pytest.approx(other[f"set{7 - i:02d}"], abs=1e-9)


def test_a_duplicate_of_a_source_does_not_change_the_matched_distribution() -> None:
    parts = clouds(6)
    target = {"ehf": mixed(parts, {"set00": 0.6, "set04": 0.4}, 2000)}
    twice = parts | {"set99": parts["set00"]}
    one, other = (
        weights_of(PROPOSERS["mean_matching"](problem_of(some, target), strength=0.0)) for some in (parts, twice)
    )
    assert other["set00"] == pytest.approx(other["set99"], abs=1e-6)
    assert other["set00"] + other["set99"] == pytest.approx(one["set00"], abs=1e-4)
    assert other["set04"] == pytest.approx(one["set04"], abs=1e-4)


def test_constraints_hold_and_the_rest_is_matched_under_them() -> None:
    selection = PROPOSERS["mean_matching"](planted(constraints=Constraints(max_share={"set00": 0.2})), strength=0.0)
    weights = weights_of(selection)
    assert weights["set00"] == pytest.approx(0.2, abs=1e-9)
    assert "largest share 20.00%" in next(m.reason for m in selection.members if m.dataset == "set00")
    free = PROPOSERS["mean_matching"](planted(), strength=0.0)
    assert float(selection.residuals[f"gap/{SPACE}"]) > float(free.residuals[f"gap/{SPACE}"])  # type: ignore[arg-type]
    capped = PROPOSERS["mean_matching"](planted(cap=1, draws=2000), strength=0.0)
    assert max(member.num_repeats for member in capped.members) <= 1


def test_benchmarks_count_as_told() -> None:
    parts = clouds(4)
    problem = problem_of(parts, {"ehf": parts["set00"], "agora": parts["set01"]})
    weights = weights_of(PROPOSERS["mean_matching"](problem, strength=0.0))
    assert weights["set00"] == pytest.approx(weights["set01"], abs=1e-3)
    told = PROPOSERS["mean_matching"](problem, strength=0.0, benchmark_weights={"ehf": 3.0, "agora": 1.0})
    assert weights_of(told)["set00"] == pytest.approx(0.75, abs=1e-3)


def test_what_cannot_be_matched_is_refused() -> None:
    parts = clouds(3)
    with pytest.raises(UsageError, match="no benchmark to choose for"):
        PROPOSERS["mean_matching"](problem_of(parts))
    problem = problem_of(parts, {"ehf": parts["set00"]})
    with pytest.raises(UsageError, match="strength"):
        PROPOSERS["mean_matching"](problem, strength=-1.0)
    with pytest.raises(UsageError, match="towards"):
        PROPOSERS["mean_matching"](problem, towards="best")
    with pytest.raises(UsageError, match="no benchmark agora"):
        PROPOSERS["mean_matching"](problem, benchmark_weights={"agora": 1.0})
    sources = dict(problem.sources)
    del sources["set01/train"]
    lacking = Problem(pool=problem.pool, budget=problem.budget, sources=sources, targets=problem.targets)
    with pytest.raises(UsageError, match="nothing is known of set01/train"):
        PROPOSERS["mean_matching"](lacking)
    other = {**problem.sources, "set01/train": {SPACE: summary_of(parts["set01"], space="test:2")}}
    versions = Problem(pool=problem.pool, budget=problem.budget, sources=other, targets=problem.targets)
    with pytest.raises(UsageError, match="different spaces: test:1, test:2"):
        PROPOSERS["mean_matching"](versions)


# Facility location over datasets


def test_a_copy_of_a_dataset_adds_nothing_and_comes_last() -> None:
    parts = clouds(3, spread=6.0)
    parts = {**parts, "set77": parts["set00"] + 1e-3}
    target = {"ehf": mixed(parts, {"set00": 0.6, "set01": 0.3, "set02": 0.1}, 300)}
    selection = PROPOSERS["facility_datasets"](problem_of(parts, target))
    weights = weights_of(selection)
    assert sorted(weights.values()) == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])
    assert (weights["set00"] == 0) != (weights["set77"] == 0)
    curve = [float(value) for name, value in sorted(selection.residuals.items())]  # type: ignore[arg-type]
    gains = np.diff([0.0, *curve])
    assert (gains >= -1e-12).all()
    assert (np.diff(gains) <= 1e-12).all()  # diminishing returns
    first = min(selection.residuals)
    assert first.split()[1] in ("set00/train", "set77/train")


def test_lazy_greedy_takes_what_plain_greedy_takes() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        similarity = rng.random((30, 40)) ** 3
        owner, most = rng.integers(4, size=30), np.array([3, 2, 4, 1])
        taken, gains = lazy_greedy(similarity, 8, owner=owner, most=most)
        best, left, expected = np.zeros(40), most.copy(), []
        for _ in range(8):
            gain = np.maximum(similarity - best, 0).mean(axis=1)
            gain[[i for i in range(30) if i in expected or not left[owner[i]]]] = -1
            expected.append(int(np.argmax(gain)))
            left[owner[expected[-1]]] -= 1
            best = np.maximum(best, similarity[expected[-1]])
        assert taken == expected
        assert sum(gains) == pytest.approx(best.mean())


# MixMin


def test_mixmin_finds_the_ensemble_that_is_right() -> None:
    rng = np.random.default_rng(1)
    models = rng.normal(size=(6, 50, 9))
    truth = 0.2 * models[0] + 0.5 * models[2] + 0.3 * models[5]
    problem = problem_of(clouds(6))
    predictions = {"ehf": dict(zip(problem.names, models, strict=True))}
    selection = PROPOSERS["mixmin"](problem, predictions=predictions, truth={"ehf": truth})
    assert [member.weight for member in selection.members] == pytest.approx([0.2, 0, 0.5, 0, 0, 0.3], abs=0.01)
    assert float(selection.residuals["rms/ehf"]) < 0.05 * float(selection.residuals["rms-of-uniform/ehf"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "constraints", [Constraints(), Constraints(max_share={"set00": 0.1}, min_share={"set01": 0.3})]
)
def test_exponentiated_gradient_reaches_the_quadratic_optimum(constraints: Constraints) -> None:
    root = np.random.default_rng(2).normal(size=(5, 20))
    table = root @ root.T / 20 + 0.01 * np.eye(5)
    limits = problem_of(clouds(5), constraints=constraints).limits
    ours = descend(
        table, np.full(5, 0.2) if constraints == Constraints() else np.array([0.1, 0.3, 0.2, 0.2, 0.2]), limits
    )[0]
    exact = least_on(limits, 2 * table, np.zeros(5))
    assert limits.holds(ours)
    assert ours @ table @ ours == pytest.approx(exact @ table @ exact, rel=1e-4)


def test_mixmin_refuses_what_is_not_there() -> None:
    problem = problem_of(clouds(2))
    truth = {"ehf": np.zeros((3, 6))}
    good = {name: np.ones((3, 6)) for name in problem.names}
    for predictions, words in [
        ({"ehf": {}}, "no predictions of the models of set00/train, set01/train"),
        ({"ehf": good | {"set01/train": np.ones((2, 6))}}, r"set01/train: expected predictions \(3, 6\)"),
        ({"ehf": good | {"set01/train": np.full((3, 6), np.nan)}}, "finite"),
    ]:
        with pytest.raises(UsageError, match=words):
            PROPOSERS["mixmin"](problem, predictions=predictions, truth=truth)
    with pytest.raises(UsageError, match="no benchmark has cached predictions"):
        PROPOSERS["mixmin"](problem, predictions={}, truth={})
