"""Proposers of samples: inclusion frequencies, what is kept of motion and of copies, and quotas under constraints."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from choosing import clouds, problem_of

from benchmark.constraints import Constraints
from benchmark.problem import Samples
from benchmark.proposers import PROPOSERS
from benchmark.proposers.dsir import gumbel_top_k, log_importance
from benchmark.proposers.motion_frames import moved
from benchmark.proposers.semantic_dedup import earlier_twin
from benchmark.quotas import quotas
from harmonize.errors import UsageError


def samples_of(values: dict[str, np.ndarray], **more: tuple[str, ...]) -> dict[str, Samples]:
    return {
        f"{name}/train": Samples(keys=tuple(f"{name}-{i:05d}" for i in range(len(rows))), values=rows)
        for name, rows in values.items()
    }


def inclusion(weights: np.ndarray, k: int) -> np.ndarray:
    """Exact probabilities that successive draws without replacement in proportion to weights take each item."""
    found = np.zeros(len(weights))
    for order in permutations(range(len(weights)), k):
        left, probability = weights.sum(), 1.0
        for i in order:
            probability *= weights[i] / left
            left -= weights[i]
        found[list(order)] += probability
    return found


def test_gumbel_top_k_takes_samples_as_often_as_their_weights_say() -> None:
    weights, num = np.array([1.0, 2.0, 4.0, 0.5, 3.0]), 20_000
    rng = np.random.default_rng(0)
    counts = np.zeros(5)
    for _ in range(num):
        counts[gumbel_top_k(np.log(weights), 2, rng)] += 1
    expected = inclusion(weights, 2)
    deviation = np.sqrt(expected * (1 - expected) / num)
    assert (np.abs(counts / num - expected) < 4 * deviation).all()


def test_importance_is_the_ratio_of_smoothed_counts() -> None:
    raw, target = np.array([[0], [0], [0], [1]]), np.array([[1], [1], [0]])
    expected = np.log([(2 / 5) / (4 / 6)] * 3 + [(3 / 5) / (2 / 6)])
    np.testing.assert_allclose(log_importance(raw, target, smoothing=1.0), expected)
    both = np.column_stack([raw, raw])
    np.testing.assert_allclose(log_importance(both, np.column_stack([target, target]), smoothing=1.0), 2 * expected)


def test_dsir_takes_what_the_benchmark_has() -> None:
    rng = np.random.default_rng(3)
    rows = {"aa": rng.integers(0, 2, (400, 2)), "bb": rng.integers(2, 5, (400, 2)), "cc": rng.integers(0, 5, (400, 2))}
    target = {"ehf": Samples(keys=tuple(map(str, range(200))), values=rng.integers(2, 5, (200, 2)))}
    problem = problem_of({name: np.zeros((400, 2)) for name in rows}, draws=600)
    selection = PROPOSERS["dsir"](problem, samples=samples_of(rows), targets=target, num=300)
    assert selection.sample_keys is not None
    assert len(selection.sample_keys) == 300
    counts = {member.dataset: member.num_available for member in selection.members}
    assert counts["bb"] > 0.6 * 300
    assert counts.get("aa", 0) < 0.05 * 300
    assert all(member.num_draws == 2 * member.num_available for member in selection.members)
    before, after = selection.residuals["divergence-bits-of-all/ehf"], selection.residuals["divergence-bits/ehf"]
    assert float(after) < 0.3 * float(before)  # type: ignore[arg-type]
    again = PROPOSERS["dsir"](problem, samples=samples_of(dict(reversed(rows.items()))), targets=target, num=300)
    assert again.content_hash == selection.content_hash


def test_dsir_serves_benchmarks_that_differ_with_a_quota_each() -> None:
    values = np.repeat([0, 1, 2], [900, 50, 50])[:, None]
    few, many = np.zeros((10, 1), int) + 1, np.zeros((1000, 1), int) + 2  # pooled, the second would drown the first
    targets = {
        "few": Samples(keys=tuple(map(str, range(10))), values=few),
        "many": Samples(keys=tuple(map(str, range(1000))), values=many),
    }
    problem = problem_of({"aa": np.zeros((1000, 2))}, draws=80)
    selection = PROPOSERS["dsir"](problem, samples=samples_of({"aa": values}), targets=targets, num=80)
    taken = np.array([int(values[int(key[-5:]), 0]) for key in selection.sample_keys or ()])
    assert (taken == 1).sum() > 25
    assert (taken == 2).sum() > 25


def test_samples_obey_shares_filters_and_the_repeat_cap() -> None:
    rng = np.random.default_rng(3)
    rows = {"aa": rng.integers(0, 3, (100, 1)), "bb": rng.integers(0, 3, (300, 1))}
    target = {"ehf": Samples(keys=("x", "y"), values=np.array([[1], [2]]))}
    allowed = {
        "aa/train": tuple(f"aa-{i:05d}" for i in range(50)),
        "bb/train": tuple(f"bb-{i:05d}" for i in range(0, 300, 2)),
    }
    constraints = Constraints(samples=allowed, max_share={"bb": 0.6})
    problem = problem_of(
        {name: np.zeros((len(v), 2)) for name, v in rows.items()}, draws=300, cap=4, constraints=constraints
    )
    selection = PROPOSERS["dsir"](problem, samples=samples_of(rows), targets=target, num=100)
    assert set(selection.sample_keys or ()) <= {key for keys in allowed.values() for key in keys}
    assert [(m.dataset, m.num_available, m.num_draws) for m in selection.members] == [("aa", 40, 120), ("bb", 60, 180)]
    with pytest.raises(UsageError, match="expected 75 to 200 samples"):
        PROPOSERS["dsir"](problem, samples=samples_of(rows), targets=target, num=74)
    with pytest.raises(UsageError, match=r"150 samples are not feasible.*aa/train \(has 50 samples"):
        PROPOSERS["dsir"](problem, samples=samples_of(rows), targets=target, num=150)


def test_quotas_go_to_others_where_a_source_is_used_up() -> None:
    problem = problem_of(clouds(3), draws=90)
    assert quotas(problem, [1, 1, 1], 90, [10, 300, 300], "test") == [10, 40, 40]
    assert sum(quotas(problem, [5, 1, 0], 91, [90, 1, 0], "test")) == 91


def test_facility_location_over_samples_covers_the_benchmark() -> None:
    parts = clouds(3, spread=5.0)
    problem = problem_of(parts, {"ehf": np.concatenate([parts["set00"][:80], parts["set02"][:20]]) + 0.01}, draws=100)
    selection = PROPOSERS["facility_samples"](problem, num=20)
    counts = {member.dataset: member.num_available for member in selection.members}
    assert counts["set00"] > counts["set02"] > 0
    assert "set01" not in counts
    assert any(text.startswith("set01/train left out") for text in selection.reasons)
    random = np.random.default_rng(0)
    from benchmark.lazy_greedy import squared_distances, width_of

    aim = problem.targets["ehf"]["test:1"].sample
    everything = np.concatenate([parts[name] for name in sorted(parts)])
    width = width_of(aim)
    for _ in range(5):
        some = everything[random.permutation(len(everything))[:20]]
        covered = np.exp(-squared_distances(some, aim) / (2 * width**2)).max(axis=0).mean()
        assert covered < float(selection.residuals["coverage"])  # type: ignore[arg-type]


def test_frames_are_kept_when_something_moved_against_all_of_the_buffer() -> None:
    steps = np.array([0, 0.04, 0.11, 0.12, 0.30, 0.0, 0.45])
    joints = np.zeros((7, 2, 3))
    joints[:, 1, 0] = steps  # only one joint moves
    assert moved(joints, 0.1, 200) == [0, 2, 4, 6]  # going back to a pose that is in the buffer is nothing new
    assert moved(joints, 0.1, 1) == [0, 2, 4, 5, 6]  # ... unless it has left the buffer
    assert moved(joints, 0.0, 5) == list(range(7))


def test_a_long_pause_gives_one_frame() -> None:
    rows = np.zeros((60, 6))
    rows[50:, 0] = np.arange(10) * 0.2
    one = Samples(keys=tuple(f"aa-{i:05d}" for i in range(60)), values=rows, sequences=("s0",) * 30 + ("s1",) * 30)
    selection = PROPOSERS["motion_frames"](problem_of({"aa": np.zeros((60, 2))}, draws=24), samples={"aa/train": one})
    assert selection.sample_keys == ("aa-00000", "aa-00030", *(f"aa-{i:05d}" for i in range(51, 60)))
    assert selection.members[0].reason.startswith("11 of 60 frames moved 0.1 m or more")


def test_a_source_without_joints_is_left_out_of_motion_frames() -> None:
    rows = np.arange(30.0)[:, None] * np.ones(6)
    still = Samples(keys=tuple(f"aa-{i:05d}" for i in range(30)), values=rows, sequences=("s0",) * 30)
    unknown = Samples(keys=(), values=np.zeros((0, 6)))
    problem = problem_of({"aa": np.zeros((30, 2)), "bb": np.zeros((5, 2))}, draws=30)
    selection = PROPOSERS["motion_frames"](problem, samples={"aa/train": still, "bb/train": unknown})
    assert [member.name for member in selection.members] == ["aa/train"]
    assert "bb/train left out: no frame with 3D joints" in selection.reasons


def test_copies_are_dropped_also_across_sources() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=(80, 8)), rng.normal(size=(60, 8))
    second[:20] = 3.0 * first[:20] + rng.normal(0, 1e-4, (20, 8))  # same direction: copies
    problem = problem_of({"aa": np.zeros((80, 2)), "bb": np.zeros((60, 2))}, draws=240)
    selection = PROPOSERS["semantic_dedup"](
        problem, samples=samples_of({"aa": first, "bb": second}), epsilon=0.001, num_clusters=4
    )
    assert len(selection.sample_keys or ()) == 120
    dropped = {f"{name}-{i:05d}" for name, n in (("aa", 80), ("bb", 60)) for i in range(n)} - set(
        selection.sample_keys or ()
    )
    assert {int(key[-5:]) for key in dropped} == set(range(20))
    pairs = [value for name, value in selection.residuals.items() if name.startswith("copies/")]
    assert sum(int(value) for value in pairs) == 20  # type: ignore[arg-type]


def test_the_earlier_twin_is_the_most_similar_one() -> None:
    angles = np.radians([0, 90, 1, 91, 0.4, 180])
    units = np.column_stack([np.cos(angles), np.sin(angles)])
    assert earlier_twin(units, 1 - np.cos(np.radians(2))).tolist() == [-1, -1, 0, 1, 0, -1]


@pytest.mark.parametrize(
    ("method", "parameters", "words"),
    [
        ("dsir", {"num": 5, "targets": {}}, "no samples of a benchmark"),
        ("dsir", {"num": 5, "targets": {"e": Samples(keys=("a",), values=np.zeros((1, 2)))}}, "bins"),
        ("motion_frames", {}, "sequences"),
        ("motion_frames", {"buffer": 0}, "buffer"),
        ("semantic_dedup", {}, "points nowhere"),
        ("semantic_dedup", {"epsilon": 3.0}, "epsilon"),
    ],
)
def test_wrong_samples_are_refused(method: str, parameters: dict[str, object], words: str) -> None:
    problem = problem_of({"aa": np.zeros((9, 2))})
    values = np.zeros((9, 2), int) if method == "dsir" else np.zeros((9, 2))
    with pytest.raises(UsageError, match=words):
        PROPOSERS[method](problem, samples=samples_of({"aa": values}), **parameters)
    with pytest.raises(UsageError, match=f"nothing is known of the samples of aa/train|{words}"):
        PROPOSERS[method](problem, samples={}, **parameters)


def test_rows_must_be_finite_and_named_once() -> None:
    with pytest.raises(UsageError, match="NaN"):
        Samples(keys=("a",), values=np.array([[np.nan]]))
    with pytest.raises(UsageError, match="twice"):
        Samples(keys=("a", "a"), values=np.zeros((2, 1)))
    with pytest.raises(UsageError, match="1 keys, 2 rows"):
        Samples(keys=("a",), values=np.zeros((2, 1)))
