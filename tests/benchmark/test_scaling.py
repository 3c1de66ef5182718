"""Scaling: planted laws are found again, intervals hold what they promise, and the cheaper way is that of the law."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import least_squares

from benchmark import scaling
from benchmark.scaling_laws import Fit, fit_law
from harmonize.errors import DataError, UsageError

DRAWS = np.array([7.5e6, 1.5e7, 3e7, 4.5e7, 9e7])
SIZES = np.array([3e7, 1e8, 3e8, 7e8])


def world(draws: float, parameters: float) -> float:
    """A planted law, mm."""
    return float(35 + 30 * (draws / 2e7) ** -0.5 + 25 * (parameters / 1e8) ** -0.3)


def trainings(noise_mm: float = 0.0, seed: int = 0) -> tuple[scaling.Training, ...]:
    rng = np.random.default_rng(seed)
    return tuple(
        scaling.Training(
            model=f"{size:.0e}-{draws:.0e}",
            error_mm=world(draws, size) + rng.normal(0, noise_mm),
            draws=draws,
            parameters=size,
        )
        for size in SIZES
        for draws in DRAWS
    )


@functools.cache
def joint_fit(noise_mm: float = 0.0) -> Fit:
    return scaling.fit(trainings(noise_mm), ("draws", "parameters"))


@functools.cache
def published_fit() -> Fit:
    return scaling.fit(scaling.published_trainings(), ("draws", "parameters"))


@pytest.mark.parametrize(("floor", "exponent"), [(0.0, 0.2), (40.0, 0.4), (60.0, 1.2)])
def test_a_planted_power_law_is_found(floor: float, exponent: float) -> None:
    x = np.geomspace(1e5, 1e8, 10)
    fit = fit_law(["draws"], x[:, None], floor + 30 * (x / 1e6) ** -exponent)
    assert fit.law.floor == pytest.approx(floor, abs=0.05)
    assert fit.law.exponents[0] == pytest.approx(exponent, rel=2e-3)
    assert float(fit.law([1e6])) == pytest.approx(floor + 30, rel=1e-4)
    assert fit.r_squared > 0.999999


def test_a_planted_joint_law_is_found() -> None:
    fit = joint_fit()
    assert fit.law.exponents == pytest.approx((0.5, 0.3), rel=0.01)
    assert fit.law.floor == pytest.approx(35, abs=0.5)
    middle, low, high = fit.predict([[2e7, 2e8], [6e7, 5e8]])
    assert middle == pytest.approx([world(2e7, 2e8), world(6e7, 5e8)], abs=0.01)
    assert high - low == pytest.approx([0, 0], abs=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_no_other_solver_fits_better(seed: int) -> None:
    runs = trainings(noise_mm=1.0, seed=seed)
    fit = scaling.fit(runs, ("draws", "parameters"))
    errors, x = fit.error_mm, fit.x / np.array(fit.law.units)

    def residuals(p: np.ndarray) -> np.ndarray:
        return np.asarray(p[0] + p[1] * x[:, 0] ** -p[3] + p[2] * x[:, 1] ** -p[4] - errors)

    bounds = ([0, 0, 0, 0.02, 0.02], [np.inf, np.inf, np.inf, 3, 3])
    starts = ([30, 30, 30, a, b] for a in (0.1, 0.5, 1.5) for b in (0.1, 0.5, 1.5))
    best = min(2 * least_squares(residuals, start, bounds=bounds, max_nfev=2000).cost for start in starts)
    ours = float(((errors - fit.law(fit.x)) ** 2).sum())
    assert ours <= best * (1 + 1e-3)


def test_prediction_intervals_hold_future_trainings() -> None:
    x = np.geomspace(1e6, 1e8, 12)
    truth = 50 + 20 * (x / 1e7) ** -0.5
    new = np.geomspace(2e6, 5e7, 5)
    inside = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        fit = fit_law(["draws"], x[:, None], truth + rng.normal(0, 1, len(x)), num_resamples=200, seed=seed)
        _, low, high = fit.predict(new[:, None])
        future = 50 + 20 * (new / 1e7) ** -0.5 + rng.normal(0, 1, len(new))
        inside.append((low <= future) & (future <= high))
    assert 0.88 <= np.mean(inside) <= 0.99


def test_the_same_arguments_give_the_same_fit() -> None:
    runs = trainings(noise_mm=1.0)
    x, errors = np.array([[run.draws, run.parameters] for run in runs]), np.array([run.error_mm for run in runs])
    one, other, seeded = (fit_law(["d", "n"], x, errors, num_resamples=20, seed=seed) for seed in (5, 5, 6))
    assert one.law == other.law == seeded.law
    assert one.resamples == other.resamples != seeded.resamples


def test_units_do_not_matter() -> None:
    x = np.geomspace(1e5, 1e8, 8)
    errors = 50 + 30 * (x / 1e6) ** -0.4 + np.random.default_rng(1).normal(0, 0.5, 8)
    one, other = (fit_law(["draws"], (x * unit)[:, None], errors) for unit in (1.0, 1e-6))
    assert one.law.exponents == pytest.approx(other.law.exponents)
    assert one.law.floor == pytest.approx(other.law.floor)


def test_data_without_a_bend_say_so() -> None:
    x = np.geomspace(1e5, 1e8, 8)
    flat = fit_law(["draws"], x[:, None], 80 - 0.5 * np.log(x / 1e5))
    assert flat.at_limit == ("draws",)
    assert fit_law(["draws"], x[:, None], 40 + 30 * (x / 1e6) ** -0.4).at_limit == ()


def test_too_few_points_are_refused_and_just_enough_have_no_interval() -> None:
    x = np.array([1e6, 1e7, 1e8])
    exact = fit_law(["draws"], x[:, None], 40 + 30 * (x / 1e6) ** -0.4)
    assert (exact.residual_mm, exact.resamples) == (None, ())
    assert np.isnan(exact.predict([[1e7]])[1]).all()
    with pytest.raises(UsageError, match="3 parameters need at least 3 trainings, found 2"):
        fit_law(["draws"], x[:2, None], [80, 70])
    with pytest.raises(UsageError, match="5 parameters need at least 5"):
        scaling.fit(trainings()[:4], ("draws", "parameters"))
    with pytest.raises(UsageError, match="parameters: expected at least 3 different values, found 2"):
        scaling.fit(trainings()[:10], ("draws", "parameters"))
    with pytest.raises(DataError, match="above 0"):
        fit_law(["draws"], [[0.0], [1.0], [2.0]], [3, 2, 1])
    with pytest.raises(UsageError, match="num_datasets: expected a value"):
        scaling.fit(trainings(), ("num_datasets",))


def test_draws_needed_lie_on_the_curve_of_equal_error() -> None:
    law = joint_fit().law
    for target, size in ((80.0, 1e8), (90.0, 3e7), (66.0, 7e8)):
        draws = scaling.draws_needed(law, target, size)
        assert float(law([draws, size])) == pytest.approx(target)
    assert scaling.draws_needed(law, 45.0, 3e7) == math.inf


def test_the_cheapest_model_costs_no_more_than_any_other() -> None:
    joint = joint_fit()
    found = scaling.cheapest(joint, 70.0)
    assert found is not None
    assert found.cost is not None
    others = [size * scaling.draws_needed(joint.law, 70.0, size) for size in np.geomspace(1e6, 1e11, 4001)]
    assert found.cost <= min(others) * (1 + 1e-12)
    assert found.cost == pytest.approx(min(others), rel=1e-3)
    # At the cheapest point, a factor in draws and the same in parameters gain the same.
    at = scaling.Training(model="x", error_mm=70, draws=found.draws, parameters=found.parameters)
    one = scaling.margin(joint, at)
    assert one.more_draws_mm == pytest.approx(one.larger_model_mm, rel=0.02)
    assert scaling.cheapest(joint, joint.law.floor - 1) is None


@pytest.mark.parametrize(("draws", "size", "cheaper"), [(7.5e6, 7e8, "more data"), (9e7, 3e7, "larger model")])
def test_the_cheaper_way_is_that_of_the_planted_law(draws: float, size: float, cheaper: str) -> None:
    joint = joint_fit(0.3)
    found = scaling.margin(joint, scaling.Training(model="x", error_mm=1, draws=draws, parameters=size))
    assert found.cheaper == cheaper
    assert found.more_draws_mm == pytest.approx(world(draws, size) - world(1.1 * draws, size), abs=0.2)
    assert found.larger_model_mm == pytest.approx(world(draws, size) - world(draws, 1.1 * size), abs=0.2)
    assert found.model_share is not None
    assert (found.model_share > 0.9) == (cheaper == "larger model")


def test_what_lies_outside_is_extrapolated() -> None:
    joint = joint_fit(0.3)
    assert joint.is_extrapolated([[2e7, 1e8], [2e8, 1e8], [2e7, 1e9], [1e6, 1e8]]).tolist() == [False, True, True, True]
    near, far = scaling.reach(joint, 80.0, 1e8), scaling.reach(joint, 66.0, 1e8)
    assert (near.is_extrapolated, far.is_extrapolated) == (False, True)
    low, middle, high = near.draws_low, near.draws, near.draws_high
    assert None not in (low, middle, high)
    assert low <= middle <= high  # type: ignore[operator]
    unreachable = scaling.reach(joint, 40.0, 3e7)
    assert (unreachable.draws, unreachable.cost, unreachable.is_extrapolated) == (None, None, True)


def test_the_published_example() -> None:
    runs = scaling.published_trainings()
    assert len(runs) == 16
    by_name = {run.model: run for run in runs}
    assert by_name["SMPLer-X-H32"] == scaling.Training(
        model="SMPLer-X-H32",
        error_mm=63.0,
        draws=4.5e7,
        distinct_samples=by_name["SMPLer-X-S32"].distinct_samples,
        num_datasets=32,
        parameters=662e6,
    )
    # 5 datasets: SPEC has 71,982 instances and MSCOCO 149,813; the other three fill their shares of 150,000.
    assert by_name["SMPLer-X-B5"].distinct_samples == 71_982 + 149_813 + 3 * 150_000
    joint = published_fit()
    assert joint.residual_mm == pytest.approx(1.5, abs=0.1)
    assert joint.r_squared > 0.98
    assert {(one, other) for one, other, _ in scaling.rising_together(runs)} >= {("draws", "num_datasets")}
    assert all(0.02 < e < 3 for e in joint.law.exponents)


def test_only_what_varies_is_fitted(tmp_path: Path) -> None:
    path = tmp_path / "trainings.csv"
    x = np.geomspace(1e5, 1e8, 6)
    rows = [f"m{i},{draws},{50 + 30 * (draws / 1e6) ** -0.4},1e8" for i, draws in enumerate(x)]
    path.write_text("model,draws,error_mm,parameters\n" + "\n".join(rows) + "\n")
    fits, refused = scaling.all_fits(scaling.load_trainings(path))
    assert [one.of for one in fits] == ["draws"]
    assert refused == []
    assert fits[0].fit.law.exponents[0] == pytest.approx(0.4, rel=1e-2)
    path.write_text("model,draws,error_mm\na,1e5,90\nb,1e6,-1\n")
    with pytest.raises(DataError, match="row 2: error_mm"):
        scaling.load_trainings(path)
    path.write_text("model,error_mm\na,90\n")
    with pytest.raises(UsageError, match="at least one of draws"):
        scaling.load_trainings(path)


def test_figure_has_the_same_bytes_twice(tmp_path: Path) -> None:
    from benchmark.scaling_figure import scaling_figure
    from catalogs.atlas.style import PAGE_MM, Size, save, styled

    runs = scaling.published_trainings()
    joint = published_fit()
    paths = [tmp_path / f"{i}.svg" for i in range(2)]
    for path in paths:
        with styled():
            save(scaling_figure(runs, joint, Size(width_mm=PAGE_MM), 63.0), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    text = paths[0].read_text()
    assert "662M" in text
    assert "63 mm" in text
    with pytest.raises(UsageError, match="both must vary"):
        scaling_figure(runs, scaling.fit(runs[:4], ("draws",)), Size(width_mm=PAGE_MM), 63.0)
