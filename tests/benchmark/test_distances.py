"""Distances against closed forms, their properties, what they refuse, and gaps that are planted."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_spaces import space_of, summary_of

from benchmark.distances import METRICS
from benchmark.distances.bootstrap import interval
from benchmark.distances.coverage import cover
from benchmark.distances.frechet import frechet
from benchmark.distances.jensen_shannon import jensen_shannon
from benchmark.distances.mmd import kernel, mmd2, mmd2_unbiased
from benchmark.distances.sliced_wasserstein import sliced_wasserstein
from benchmark.distances.table import benchmark_splits, is_in_domain, is_training, table, uncovered
from benchmark.gathering import merge
from benchmark.summaries import Summaries
from benchmark.summary import Summary
from catalogs.attributes.hands import articulation_deg
from harmonize.errors import UsageError

SPACE = space_of(3, num_cells=12)
LINE = space_of(1)


def gaussian(mean: Any, covariance: Any, num: int = 10_000) -> Summary:
    """A summary that says exactly this, without instances."""
    space = space_of(len(mean))
    empty = summary_of(space, np.zeros((0, len(mean))))
    return dataclasses.replace(empty, num=num, mean=np.array(mean, float), scatter=np.array(covariance, float) * num)


def drawn(seed: int, num: int = 400, shift: float = 0.0, scale: float = 1.0) -> Summary:
    rng = np.random.default_rng(seed)
    points = rng.normal(shift, scale, (num, 3))
    cells = np.clip(np.floor(points[:, 0] * 2 + 6), 0, 11)
    return summary_of(SPACE, points, cells, name=f"s{seed}")


@given(
    shift=st.lists(st.floats(-5, 5), min_size=3, max_size=3),
    first=st.lists(st.floats(0, 4), min_size=3, max_size=3),
    second=st.lists(st.floats(0, 4), min_size=3, max_size=3),
    seed=st.integers(0, 9),
)
def test_frechet_of_gaussians_with_common_axes(
    shift: list[float], first: list[float], second: list[float], seed: int
) -> None:
    """|m1 - m2|^2 + sum (s1 - s2)^2 over the standard deviations along the axes, also where these are 0."""
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    a = gaussian([0, 0, 0], turn @ np.diag(np.square(first)) @ turn.T)
    b = gaussian(shift, turn @ np.diag(np.square(second)) @ turn.T)
    wanted = np.sqrt(np.square(shift).sum() + np.square(np.subtract(first, second)).sum())
    assert frechet(a, b, shrinkage=0) == pytest.approx(wanted, abs=1e-6)


def test_frechet_of_any_gaussians_is_its_formula() -> None:
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    for size in (2, 5, 16):
        roots = rng.normal(size=(2, size, size))
        one, other = (root @ root.T for root in roots)
        means = rng.normal(size=(2, size))
        wanted = np.square(means[0] - means[1]).sum() + np.trace(one + other - 2 * np.real(sqrtm(one @ other)))
        found = frechet(gaussian(means[0], one), gaussian(means[1], other), shrinkage=0)
        assert found**2 == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("shrinkage", [0.0, 0.1])
def test_shrinkage_takes_variance_to_directions_without(shrinkage: float) -> None:
    flat, full = gaussian([0, 0], [[1, 0], [0, 0]]), gaussian([0, 0], np.eye(2) / 2)
    spreads = np.sqrt([(1 - shrinkage) + shrinkage / 2, shrinkage / 2])
    assert frechet(flat, full, shrinkage=shrinkage) == pytest.approx(np.linalg.norm(spreads - np.sqrt(0.5)))


def test_sliced_wasserstein_of_a_shift() -> None:
    points = np.random.default_rng(1).normal(size=(200, 1))
    a, b = summary_of(LINE, points), summary_of(LINE, points + 0.75)
    assert sliced_wasserstein(a, b, LINE) == pytest.approx(0.75, abs=1e-12)
    shift = np.array([0.3, -1, 2])
    c, d = summary_of(SPACE, np.zeros((20, 3))), summary_of(SPACE, np.tile(shift, (20, 1)))
    assert sliced_wasserstein(c, d, SPACE) == pytest.approx(np.abs(SPACE.directions @ shift).mean(), abs=1e-6)
    assert sliced_wasserstein(c, d, SPACE) == pytest.approx(np.linalg.norm(shift) / 2, rel=0.15)  # E |t_1| on a sphere


def test_wasserstein_of_unlike_shapes_on_a_line() -> None:
    """Half of the mass stays, half moves by 2."""
    a, b = summary_of(LINE, [[0.0]] * 10), summary_of(LINE, [[0.0], [2.0]] * 5)
    assert sliced_wasserstein(a, b, LINE) == pytest.approx(1)


def test_mmd2_is_that_of_the_kernel() -> None:
    a, b = drawn(1), drawn(2, shift=1)
    exact = sum(kernel(one.sample, one.sample, SPACE.median).mean() for one in (a, b))
    exact -= 2 * kernel(a.sample, b.sample, SPACE.median).mean()
    assert mmd2(a, b) == pytest.approx(exact, rel=0.15)
    num = len(a.sample)
    sums = [(kernel(one.sample, one.sample, SPACE.median).sum() - num) / (num * (num - 1)) for one in (a, b)]
    unbiased = sum(sums) - 2 * kernel(a.sample, b.sample, SPACE.median).mean()
    assert mmd2_unbiased(a, b, SPACE) == pytest.approx(unbiased, rel=1e-9)


def test_mmd2_unbiased_has_the_mean_of_the_closed_form() -> None:
    """E k(x, y) for x, y of N(0, I) and N(s, I): (v / (v + 2))^(d/2) exp(-|s|^2 / (2 (v + 2))), v the squared width."""
    shift = 0.7
    means = [mmd2_unbiased(drawn(seed, 80), drawn(1000 + seed, 80, shift=shift), SPACE) for seed in range(60)]
    variances = np.square(np.array([0.5, 1, 2]) * SPACE.median)
    same = np.mean((variances / (variances + 2)) ** 1.5)
    apart = np.mean((variances / (variances + 2)) ** 1.5 * np.exp(-3 * shift**2 / (2 * (variances + 2))))
    error = np.std(means) / np.sqrt(len(means))
    assert abs(np.mean(means) - 2 * (same - apart)) < 4 * error
    alike = [mmd2_unbiased(drawn(seed, 80), drawn(2000 + seed, 80), SPACE) for seed in range(60)]
    assert min(alike) < 0 < max(alike)  # and is not clipped
    assert abs(np.mean(alike)) < 4 * np.std(alike) / np.sqrt(len(alike))


def with_cells(counts: list[int]) -> Summary:
    cells = np.repeat(np.arange(12.0), counts + [0] * (12 - len(counts)))
    return summary_of(SPACE, np.random.default_rng(0).normal(size=(len(cells), 3)), cells)


def test_jensen_shannon_in_bits() -> None:
    assert jensen_shannon(with_cells([8]), with_cells([0, 8]), pseudo_count=0) == pytest.approx(1)
    half = 0.5 * np.log2(1 / 0.75) + 0.25 * np.log2(0.5 / 0.75) + 0.25 * np.log2(0.5 / 0.25)
    assert jensen_shannon(with_cells([8]), with_cells([4, 4]), pseudo_count=0) == pytest.approx(half)
    assert 0.9 < jensen_shannon(with_cells([8]), with_cells([0, 8])) < 1
    assert jensen_shannon(with_cells([3, 5]), with_cells([30, 50])) == pytest.approx(0, abs=1e-12)


def test_jensen_shannon_of_one_distribution_is_as_far_from_0_as_it_says() -> None:
    rng = np.random.default_rng(0)
    counts = rng.multinomial(600, np.full(12, 1 / 12), 100), rng.multinomial(200, np.full(12, 1 / 12), 100)
    found = [
        jensen_shannon(with_cells(list(a)), with_cells(list(b)), pseudo_count=0) for a, b in zip(*counts, strict=True)
    ]
    assert np.mean(found) == pytest.approx(11 * (1 / 600 + 1 / 200) / (8 * np.log(2)), rel=0.15)


def test_coverage_finds_the_planted_gap() -> None:
    rng = np.random.default_rng(3)
    keys = [f"near-{row}" for row in range(60)] + [f"far-{row}" for row in range(40)]
    points = np.concatenate([rng.normal(0, 1, (60, 3)), rng.normal(50, 1, (40, 3))])
    target = summary_of(SPACE, points, keys=keys)
    source = summary_of(SPACE, rng.normal(0, 1, (2000, 3)), name="source")
    found = cover(source, target)
    assert set(found.uncovered) == {key for key in keys if key.startswith("far")}
    assert found.coverage == pytest.approx(0.6)
    # Not the other way round: the source lacks most of what the benchmark has, but itself is near it.
    assert cover(target, source).coverage != pytest.approx(found.coverage)
    distances = np.linalg.norm(target.sample[:, None] - source.sample[None], axis=2)
    own = np.sort(np.linalg.norm(target.sample[:, None] - target.sample[None], axis=2), axis=1)[:, 5]
    np.testing.assert_allclose(found.distance, distances.min(axis=1), atol=1e-9)
    np.testing.assert_allclose(found.radius, own, atol=1e-9)
    assert found.density == pytest.approx((distances <= own[:, None]).sum() / (5 * 2000))


def test_coverage_and_density_of_the_same_distribution() -> None:
    found = [cover(drawn(seed, 500), drawn(100 + seed, 500)) for seed in range(8)]
    assert np.mean([one.coverage for one in found]) == pytest.approx(1 - 2**-5, abs=0.02)
    assert np.mean([one.density for one in found]) == pytest.approx(1, abs=0.05)


def all_metrics(a: Summary, b: Summary) -> dict[str, float]:
    return {name: metric.compute(a, b, SPACE) for name, metric in METRICS.items()}


def test_distance_to_itself() -> None:
    a = drawn(1)
    found = all_metrics(a, a)
    assert found.pop("coverage") == 1
    assert found.pop("density") == pytest.approx(6 / 5)  # the five neighbours, and each itself
    assert -2 / 400 < found.pop("mmd2_unbiased") <= 0  # pairs of an instance with itself count on one side only
    for name, value in found.items():
        assert value == pytest.approx(0, abs=1e-9), name


def test_symmetry() -> None:
    a, b = drawn(1), drawn(2, num=300, shift=0.5)
    there, back = all_metrics(a, b), all_metrics(b, a)
    for name, metric in METRICS.items():
        assert (there[name] == pytest.approx(back[name], rel=1e-9, abs=1e-12)) == metric.is_symmetric


def test_the_order_of_rows_and_of_parts_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    points, cells = rng.normal(0.4, 1, (300, 3)), rng.integers(0, 12, 300).astype(float)
    keys = [f"k{row}" for row in range(300)]
    order = rng.permutation(300)
    one = summary_of(SPACE, points, cells, keys=keys)
    other = summary_of(SPACE, points[order], cells[order], keys=[keys[row] for row in order])
    target = drawn(5)
    for name, value in all_metrics(one, target).items():
        assert all_metrics(other, target)[name] == pytest.approx(value, rel=1e-10), name


def test_a_duplicate_of_a_source_changes_nothing() -> None:
    a, target = drawn(1, num=300), drawn(2, num=200, shift=0.5)
    copy = dataclasses.replace(a, sample_keys=tuple(f"copy-{key}" for key in a.sample_keys))
    twice = merge(SPACE, a, copy)
    assert twice.num == 600
    before, after = all_metrics(a, target), all_metrics(twice, target)
    for name in ("frechet", "mmd2", "jensen_shannon", "coverage", "density"):
        assert after[name] == pytest.approx(before[name], rel=1e-9), name
    # These take as many instances of the one as of the other: another draw of the same distribution.
    assert after["sliced_wasserstein"] == pytest.approx(before["sliced_wasserstein"], rel=0.25)


def test_a_convention_that_was_forgotten_shows_as_a_distance() -> None:
    """The same hands as absolute angles and as angles from the mean hand that nobody added: no real difference."""
    rng = np.random.default_rng(6)
    mean_hand = rng.normal(0, 0.4, (15, 3)).astype(np.float32)
    relative = rng.normal(0, 0.2, (2, 400, 15, 3)).astype(np.float32)
    space = dataclasses.replace(space_of(1), name="hands")
    right, again, wrong = (
        summary_of(space, articulation_deg(pose, mean_hand)[:, None], name=name)
        for pose, name in ((relative[0] + mean_hand, "a"), (relative[1] + mean_hand, "b"), (relative[1], "c"))
    )
    for name in ("frechet", "sliced_wasserstein", "mmd2"):
        real, fake = (METRICS[name].compute(right, other, space) for other in (again, wrong))
        assert fake > 10 * real, name
    assert cover(wrong, right).coverage < 0.2 < 0.8 < cover(again, right).coverage


@pytest.mark.parametrize(("name", "least"), [("frechet", 4), ("mmd2", 2), ("mmd2_unbiased", 2)])
def test_too_few_instances_are_refused_with_the_number(name: str, least: int) -> None:
    few, many = drawn(1, num=least - 1), drawn(2)
    for pair in ((few, many), (many, few)):
        with pytest.raises(UsageError, match=f"at least {least} instances on each side, found {least - 1}") as error:
            METRICS[name].compute(*pair, SPACE)
        assert error.value.fields == {"needed": least, "found": least - 1}
    METRICS[name].compute(drawn(1, num=least), many, SPACE)


@pytest.mark.parametrize(("name", "least"), [("sliced_wasserstein", 5), ("jensen_shannon", 5), ("coverage", 6)])
def test_too_few_instances_of_the_target_are_refused(name: str, least: int) -> None:
    with pytest.raises(UsageError, match=f"at least {least} .* found {least - 1}"):
        METRICS[name].compute(drawn(2), drawn(1, num=least - 1), SPACE)
    METRICS[name].compute(drawn(2), drawn(1, num=least), SPACE)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_mixed_versions_are_refused(name: str) -> None:
    other = dataclasses.replace(drawn(2), space="made_up@000000000000")
    with pytest.raises(UsageError, match="expected summaries of one space, found made_up@"):
        METRICS[name].compute(drawn(1), other, SPACE)


def test_a_space_without_cells_has_no_histogram() -> None:
    with pytest.raises(UsageError, match="expected a space with cells"):
        jensen_shannon(summary_of(LINE, np.zeros((9, 1))), summary_of(LINE, np.ones((9, 1))))


@pytest.mark.parametrize("name", sorted(METRICS))
def test_intervals_hold_the_value_and_narrow_with_more_instances(name: str) -> None:
    widths = []
    for num in (60, 540):
        pair = drawn(1, num=num), drawn(2, num=num, shift=0.8)
        low, high = interval(METRICS[name], *pair, SPACE, num_draws=60)
        assert low <= METRICS[name].compute(*pair, SPACE) <= high
        assert interval(METRICS[name], *pair, SPACE, num_draws=60) == (low, high)
        widths.append(high - low)
    assert widths[1] < 0.7 * widths[0]


def test_intervals_are_wider_over_sequences_of_copies() -> None:
    rng = np.random.default_rng(9)
    clips = np.repeat(rng.normal(size=(20, 3)), 20, axis=0) + rng.normal(0, 0.01, (400, 3))
    keys = [f"{row // 20:02d}-{row % 20:02d}" for row in range(400)]
    one, other = summary_of(SPACE, clips, keys=keys), drawn(2, shift=0.8)
    groups = {key: key[:2] for key in keys} | {key: key for key in other.sample_keys}
    alone = interval(METRICS["frechet"], one, other, SPACE, num_draws=80)
    clipped = interval(METRICS["frechet"], one, other, SPACE, num_draws=80, groups=groups)
    assert clipped[1] - clipped[0] > 2 * (alone[1] - alone[0])


def test_few_sequences_have_no_interval() -> None:
    one, other = drawn(1), drawn(2)
    groups = {key: str(row % 4) for row, key in enumerate((*one.sample_keys, *other.sample_keys))}
    with pytest.raises(UsageError, match="at least 5 sequences on each side, found 4"):
        interval(METRICS["frechet"], one, other, SPACE, num_draws=5, groups=groups)


def test_intervals_hold_the_value_of_other_draws_about_as_often_as_they_say() -> None:
    """The mean of 40 independent estimates lies in most of their 95 % intervals."""
    pairs = [(drawn(seed, 150), drawn(500 + seed, 150, shift=0.8)) for seed in range(40)]
    values = [frechet(*pair) for pair in pairs]
    found = [interval(METRICS["frechet"], *pair, SPACE, num_draws=60) for pair in pairs]
    assert sum(low <= np.mean(values) <= high for low, high in found) >= 34


def summaries_of(**sources: Summary) -> Summaries:
    named = {name.replace("__", "/"): one for name, one in sources.items()}
    return Summaries(spaces={SPACE.name: SPACE}, by_space={SPACE.name: named})


def test_a_table_has_every_pair_and_marks_what_is_in_domain() -> None:
    found = summaries_of(agora__train=drawn(1), agora__validation=drawn(2), mscoco__train=drawn(3, num=3))
    cells = table(found, ["agora/train", "mscoco/train"], ["agora/validation"], ["frechet", "coverage"])
    assert [(cell.metric, cell.source, cell.is_in_domain) for cell in cells] == [
        ("frechet", "agora/train", True),
        ("frechet", "mscoco/train", False),
        ("coverage", "agora/train", True),
        ("coverage", "mscoco/train", False),
    ]
    assert cells[0].value == frechet(drawn(1), drawn(2))
    assert (cells[1].value, cells[1].num_source) == (None, 3)
    assert "at least 4 instances" in cells[1].problem
    assert cells[3].value is not None  # three instances can cover something
    among = table(found, ["agora/train", "agora/validation"], ["agora/train", "agora/validation"], ["frechet"])
    assert [cell.value for cell in among] == [pytest.approx(0), among[1].value, among[1].value, pytest.approx(0)]
    with pytest.raises(UsageError, match="no metric 'frechett'; there are coverage, "):
        table(found, ["agora/train"], ["agora/validation"], ["frechett"])
    with pytest.raises(UsageError, match="no source 'bedlam/train'"):
        table(found, ["bedlam/train"], ["agora/validation"], ["frechet"])


def test_a_permutation_of_sources_permutes_the_table() -> None:
    found = summaries_of(a__train=drawn(1), b__train=drawn(2, shift=0.3), c__train=drawn(3, scale=2))
    names = ["a/train", "b/train", "c/train"]
    one = {(cell.metric, cell.source, cell.target): cell.value for cell in table(found, names, names, list(METRICS))}
    back = names[::-1]
    other = {(cell.metric, cell.source, cell.target): cell.value for cell in table(found, back, back, list(METRICS))}
    assert one.keys() == other.keys()
    for place, value in one.items():
        assert other[place] == pytest.approx(value, rel=1e-9, abs=1e-12)


def test_uncovered_is_what_no_source_covers() -> None:
    rng = np.random.default_rng(3)
    corners = np.array([[0, 0, 0], [50, 0, 0], [0, 50, 0]])
    parts = [rng.normal(corner, 1, (40, 3)) for corner in corners]
    keys = [f"part{row // 40}-{row % 40}" for row in range(120)]
    found = summaries_of(
        ehf__test=summary_of(SPACE, np.concatenate(parts), keys=keys),
        one__train=summary_of(SPACE, rng.normal(corners[0], 1, (900, 3)), name="one"),
        two__train=summary_of(SPACE, rng.normal(corners[1], 1, (900, 3)), name="two"),
    )
    missing = uncovered(found, SPACE.name, ["one/train", "two/train"], "ehf/test")
    assert {one.key for one in missing} == {key for key in keys if key.startswith("part2")}
    assert all(one.distance > one.radius for one in missing)
    ratios = [one.distance / one.radius for one in missing]
    assert ratios == sorted(ratios, reverse=True)
    alone = uncovered(found, SPACE.name, ["two/train"], "ehf/test")
    assert {one.key[:5] for one in alone} == {"part0", "part2"}
    assert {one.nearest_source for one in alone} == {"two/train"}
    with pytest.raises(UsageError, match="found none of a source"):
        uncovered(found, SPACE.name, [], "ehf/test")


def test_benchmarks_are_the_evaluation_splits_of_the_cards() -> None:
    assert benchmark_splits() == {
        "agora": "agora/validation",
        "arctic": "arctic/p1_val",
        "dna_rendering_hires": "dna_rendering_hires/test",
        "egobody": "egobody_egoset/test",
        "ehf": "ehf/test",
        "pw3d": "pw3d/test",
        "ubody": "ubody/test",
    }
    assert not any(is_training(split) for split in benchmark_splits().values())
    assert is_training("pw3d/train")
    assert is_training("my_own/anything")
    assert is_in_domain("egobody_mvset/train", "egobody_egoset/test")
    assert not is_in_domain("pw3d/train", "ehf/test")
