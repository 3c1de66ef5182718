"""Rankings: published facts, scores against hand-made tables, agreement against scipy and by counting orders."""

from __future__ import annotations

import csv
import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.published import DATASET_NAMES, instances, table
from benchmark.rankings.agreement import agreement, exact_tau_p, kendall_tau_b, spearman_rho
from benchmark.rankings.published import BENCHMARKS, PROXIES, published_ranking, recalled_errors
from benchmark.rankings.runs import COLUMNS, load_runs, mean_half_widths, run_errors
from benchmark.rankings.scores import ErrorTable, Ranking, average_ranks, in_domain_mask, rank_by, rank_on
from benchmark.rankings.tables import MARK, published_table, run_table, saved_ranking
from catalogs.cards import DATASETS
from harmonize.errors import DataError, UsageError

ORDER_OF_S = re.findall(
    r"\w+",
    "bedlam synbody instavariety gta_human2 mscoco egobody_mvset egobody_egoset rich mpii agora muco_3dhp prox ubody "
    "spec crowdpose mpi_inf_3dhp humansc3d posetrack behave chi3d h36m dna_rendering_hires pw3d arctic dna_rendering "
    "up3d talkshow fit3d mtp ochuman lspet ssp3d",
)


def table_of(cells: list[list[float]], in_domain: list[tuple[int, int]] | None = None) -> ErrorTable:
    errors = np.array(cells, dtype=np.float64)
    mask = np.zeros(errors.shape, dtype=bool)
    for cell in in_domain or []:
        mask[cell] = True
    return ErrorTable(
        datasets=tuple("abcdefgh"[: len(errors)]),
        benchmarks=tuple(f"b{i}" for i in range(errors.shape[1])),
        error_mm=errors,
        is_in_domain=mask,
    )


# --- what was published


def test_every_published_dataset_has_a_card_and_a_place() -> None:
    assert set(DATASET_NAMES.values()) == set(DATASETS) - {"ehf"}
    for proxy in PROXIES:
        assert sorted(published_ranking(proxy).scores) == list(range(1, 33))


def test_order_by_the_small_model() -> None:
    assert list(published_ranking("s").datasets) == ORDER_OF_S


@pytest.mark.parametrize(
    ("one", "other", "drawn", "every"), [("s", "b", 0.73, 0.75), ("b", "h4w", 0.74, 0.76), ("s", "h4w", 0.58, 0.60)]
)
def test_architectures_agree_in_part(one: str, other: str, drawn: float, every: float) -> None:
    # GTA-Human II has no point in the figure; its places are those that are left.
    first, second = published_ranking(one), published_ranking(other)  # type: ignore[arg-type]
    points = table("benchmark_rank_points")
    column = {"s": "rank_smplerx_s", "b": "rank_smplerx_b", "h4w": "rank_hand4whole"}
    a, b = (np.array([float(str(row[column[proxy]])) for row in points]) for proxy in (one, other))
    assert round(spearman_rho(a, b), 2) == drawn
    without = [{name: rank for name, rank in r.ranks.items() if name != "gta_human2"} for r in (first, second)]
    names = sorted(without[0])
    assert spearman_rho(*(np.array([r[n] for n in names]) for r in without)) == pytest.approx(spearman_rho(a, b))
    assert round(agreement(first, second).spearman, 2) == every


def test_size_does_not_predict_the_place() -> None:
    sizes = instances()
    for proxy, expected in (("s", -0.29), ("b", -0.05), ("h4w", 0.19)):
        ranks = published_ranking(proxy).ranks  # type: ignore[arg-type]
        pairs = np.array([[sizes[name], ranks[name]] for name in sizes])
        assert round(spearman_rho(pairs[:, 0], pairs[:, 1]), 2) == pytest.approx(expected, abs=0.011)


def test_unverified_recalled_errors_give_the_places_only_without_in_domain_cells() -> None:
    # Unverified: the errors are recalled from Table 1 of arXiv 2309.17448, not read.
    expected = [name for name in ORDER_OF_S if name != "agora"]
    out = rank_by(recalled_errors(), "mean", with_in_domain=False)
    assert list(out.datasets) == expected
    assert set(out.unranked) == {"agora"}
    within = rank_by(recalled_errors(), "mean", with_in_domain=True)
    assert list(within.datasets) != expected
    assert within.ranks["ubody"] < out.ranks["ubody"]


def test_unverified_columns_need_to_be_asked_for_and_are_marked() -> None:
    plain = published_table(list(PROXIES), with_unverified=False)
    assert not any(name.startswith(MARK) for name in plain.rows[0])
    assert {"rank_s", "rank_b", "rank_h4w"} <= set(plain.rows[0])
    full = published_table(["s"], with_unverified=True)
    verified = {"dataset", "instances", "rank_s"}
    assert all(name.startswith(MARK) for name in set(full.rows[0]) - verified)
    assert any("UNVERIFIED" in note for note in full.notes)
    headings = {name for page in full.pages() for name in page[0]}
    assert {name for name in headings if not name.endswith("(?)")} == verified
    assert "unverified_ehf_pve" not in table("single_dataset_benchmark")[0]


def test_in_domain_cells_are_those_of_the_cards() -> None:
    mask = in_domain_mask(("ubody", "egobody_mvset", "bedlam", "my own"), tuple(BENCHMARKS))
    found = {(i, tuple(BENCHMARKS)[j]) for i, j in np.argwhere(mask).tolist()}
    assert found == {(0, "ubody"), (1, "egobody")}


# --- scores


def test_scores_by_hand() -> None:
    cells = table_of([[100, 10], [50, 30], [80, 20]])
    assert rank_by(cells, "mean", with_in_domain=True).datasets == ("b", "c", "a")
    relative = rank_by(cells, "normalised", with_in_domain=True)
    assert dict(zip(relative.datasets, relative.scores, strict=True)) == pytest.approx(
        {"a": (100 / 80 + 0.5) / 2, "c": 1.0, "b": (50 / 80 + 1.5) / 2}
    )
    by_b = rank_by(cells, "normalised", with_in_domain=True, reference_mm={"b0": 50, "b1": 30})
    assert dict(zip(by_b.datasets, by_b.scores, strict=True))["b"] == 1
    assert rank_by(cells, "mean_rank", with_in_domain=True).scores == (2, 2, 2)
    assert rank_by(cells, "mean_rank", with_in_domain=True).datasets == ("a", "b", "c")
    assert rank_on(cells, "b1", with_in_domain=True).datasets == ("a", "c", "b")


def test_leaving_in_domain_cells_out() -> None:
    cells = table_of([[10, 100], [60, 90], [70, 95]], in_domain=[(0, 0)])
    assert rank_by(cells, "mean", with_in_domain=True).datasets == ("a", "b", "c")
    out = rank_by(cells, "mean", with_in_domain=False)
    assert (out.datasets, out.scores) == (("b", "c", "a"), (75, 82.5, 100))
    assert rank_on(cells, "b0", with_in_domain=False).unranked == {"a": "in-domain on b0"}
    # Places on b0 are then among those that are compared there.
    assert rank_by(cells, "mean_rank", with_in_domain=False).ranks == {"b": 1, "c": 2, "a": 3}


def test_a_missing_cell_is_named_and_never_filled() -> None:
    cells = table_of([[10, math.nan], [60, 90], [math.nan, 20]], in_domain=[(0, 1)])
    assert rank_by(cells, "mean", with_in_domain=True).unranked == {"a": "no result on b1", "c": "no result on b0"}
    out = rank_by(cells, "mean", with_in_domain=False)
    assert out.datasets == ("a", "b")
    assert out.unranked == {"c": "no result on b0"}


@given(st.permutations(range(5)), st.sampled_from(["mean", "normalised", "mean_rank"]), st.integers(0, 99))
def test_scores_do_not_depend_on_the_order_of_rows(order: list[int], score: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells, mask = rng.uniform(50, 200, (5, 3)), rng.random((5, 3)) < 0.2
    names = tuple("abcde")
    one = ErrorTable(datasets=names, benchmarks=("x", "y", "z"), error_mm=cells, is_in_domain=mask)
    other = ErrorTable(
        datasets=tuple(names[i] for i in order),
        benchmarks=("x", "y", "z"),
        error_mm=cells[order],
        is_in_domain=mask[order],
    )
    assert rank_by(one, score, with_in_domain=False) == rank_by(other, score, with_in_domain=False)  # type: ignore[arg-type]


def test_wrong_tables_are_refused() -> None:
    with pytest.raises(DataError, match="above 0"):
        table_of([[0.0, 1.0]])
    with pytest.raises(DataError, match="twice: a"):
        ErrorTable(
            datasets=("a", "a"), benchmarks=("x",), error_mm=np.ones((2, 1)), is_in_domain=np.zeros((2, 1), bool)
        )


def test_ties_share_a_place_and_are_sorted_by_name() -> None:
    ranking = Ranking.of("r", {"z": 1.0, "b": 2.0, "a": 2.0})
    assert ranking.datasets == ("z", "a", "b")
    assert ranking.ranks == {"z": 1, "a": 2.5, "b": 2.5}
    assert average_ranks(np.array([3.0, math.nan, 1.0])).tolist()[::2] == [2, 1]


# --- agreement


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=12))
def test_coefficients_equal_those_of_scipy(pairs: list[tuple[int, int]]) -> None:
    from scipy import stats

    a, b = np.array(pairs, dtype=np.float64).T
    if len(set(a)) == 1 or len(set(b)) == 1:
        return
    assert kendall_tau_b(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)
    assert spearman_rho(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)


def test_exact_p_counts_all_orders() -> None:
    one = np.arange(6.0)
    orders = [np.array(order, dtype=np.float64) for order in itertools.permutations(range(6))]
    taus = np.array([kendall_tau_b(one, order) for order in orders])
    for number in (0, 7, 100, 359, 719):
        expected = float((abs(taus) >= abs(taus[number]) - 1e-12).mean())
        assert exact_tau_p(one, orders[number]) == pytest.approx(expected)


def test_exact_p_equals_that_of_scipy_at_the_published_size() -> None:
    from scipy import stats

    first, second = published_ranking("s"), published_ranking("h4w")
    a, b = (np.array([r.ranks[name] for name in sorted(r.datasets)]) for r in (first, second))
    assert exact_tau_p(a, b) == pytest.approx(stats.kendalltau(a, b, method="exact").pvalue)


def test_a_ranking_agrees_with_itself_and_opposes_its_reverse() -> None:
    one = Ranking.of("one", {name: float(i) for i, name in enumerate("abcdefgh")})
    reverse = Ranking.of("reverse", {name: -float(i) for i, name in enumerate("abcdefgh")})
    same = agreement(one, one, ks=(3,))
    assert (same.tau_b, same.spearman, same.tau_interval) == (1, pytest.approx(1), (1, 1))
    assert same.tau_p == pytest.approx(2 / math.factorial(8))
    assert (same.overlaps[0].num_common, same.overlaps[0].p) == (3, pytest.approx(1 / math.comb(8, 3)))
    opposite = agreement(one, reverse, ks=(3,))
    assert (opposite.tau_b, opposite.overlaps[0].num_common, opposite.overlaps[0].p) == (-1, 0, 1)
    assert agreement(one, reverse) == agreement(one, reverse)


def test_overlap_is_of_the_common_datasets() -> None:
    one = Ranking.of("one", {"only": 0.0, **{name: float(i) for i, name in enumerate("abcdef", 1)}})
    other = Ranking.of("other", {name: float(i) for i, name in enumerate("badcfe")})
    found = agreement(one, other, ks=(2,))
    assert (found.only_first, found.only_second, found.num_datasets) == (("only",), (), 6)
    assert found.overlaps[0].common == ("a", "b")


def test_p_with_ties_is_near_the_count_of_all_orders() -> None:
    scores = [1.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    first = Ranking.of("first", dict(zip("abcdef", scores, strict=True)))
    second = Ranking.of("second", dict(zip("abcdef", [1.0, 2.0, 2.0, 5.0, 4.0, 6.0], strict=True)))
    found = agreement(first, second)
    b = np.array([second.ranks[name] for name in "abcdef"])
    taus = [kendall_tau_b(np.array(scores), b[list(order)]) for order in itertools.permutations(range(6))]
    assert not found.is_p_exact
    assert found.tau_p == pytest.approx(np.mean(np.abs(taus) >= abs(found.tau_b) - 1e-9), abs=0.01)


def test_bootstrap_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    # Pairs with correlation 0.7: tau = 2 / pi * asin(0.7) (Kruskal 1958).
    truth, inside = 2 / math.pi * math.asin(0.7), 0
    rng = np.random.default_rng(0)
    for trial in range(30):
        a = rng.normal(size=40)
        b = 0.7 * a + math.sqrt(1 - 0.49) * rng.normal(size=40)
        names = [f"d{i:02d}" for i in range(40)]
        found = agreement(
            Ranking.of("a", dict(zip(names, a.tolist(), strict=True))),
            Ranking.of("b", dict(zip(names, b.tolist(), strict=True))),
            seed=trial,
        )
        inside += found.tau_interval[0] <= truth <= found.tau_interval[1]
    assert 25 <= inside <= 30


def test_too_few_or_constant_rankings_are_refused() -> None:
    one = Ranking.of("one", {"a": 1.0, "b": 2.0, "c": 3.0})
    with pytest.raises(UsageError, match="at least 3 datasets"):
        agreement(one, Ranking.of("two", {"a": 1.0, "b": 2.0}))
    with pytest.raises(UsageError, match="share one place"):
        agreement(one, Ranking.of("flat", {"a": 1.0, "b": 1.0, "c": 1.0}))


# --- own runs


def write_runs(path: Path, rows: list[tuple[str, str, float, int]], **columns: object) -> Path:
    lines = [",".join(COLUMNS)]
    for number, (dataset, benchmark, error, seed) in enumerate(rows):
        metric = "mpjpe" if benchmark == "pw3d" else "pve"
        values = {
            **dict(
                zip(
                    COLUMNS,
                    (f"run{number}", dataset, benchmark, metric, error, "", "", seed, "vit_s", 1000),
                    strict=True,
                )
            ),
            **columns,
        }
        lines.append(",".join(str(values[name]) for name in COLUMNS))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_runs_to_scores_with_intervals(tmp_path: Path) -> None:
    from scipy import stats

    rows = [("bedlam", "ehf", e, s) for s, e in enumerate((80.0, 82.0, 84.0))]
    rows += [("bedlam", "pw3d", e, s) for s, e in enumerate((90.0, 94.0, 98.0))]
    rows += [("pw3d", "ehf", 120.0, 0), ("pw3d", "pw3d", 60.0, 0)]
    errors = run_errors(load_runs(write_runs(tmp_path / "runs.csv", rows)), "vit_s")
    assert errors.table.error_mm.tolist() == [[82, 94], [120, 60]]
    # The variance between trainings comes from the dataset that has several; means of one model over benchmarks.
    deviation = np.std([85, 88, 91], ddof=1)
    factor = stats.t.ppf(0.975, 2)
    widths = mean_half_widths(errors, with_in_domain=True)
    assert widths == pytest.approx({"bedlam": factor * deviation / math.sqrt(3), "pw3d": factor * deviation})
    result = run_table(errors, in_domain=(True, False))
    row = {r["dataset"]: r for r in result.rows}
    assert row["pw3d"]["mean_out_mm"] == 120
    assert row["pw3d"]["mean_in_mm"] == 90
    assert (row["bedlam"]["seeds"], row["pw3d"]["rank_mean_out"]) == (3, 2)
    parquet = tmp_path / "folder" / "runs.parquet"
    parquet.parent.mkdir()
    import pyarrow.csv
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.csv.read_csv(tmp_path / "runs.csv"), parquet)
    assert run_table(run_errors(load_runs(parquet.parent), "vit_s"), in_domain=(True,)).rows[0]["dataset"] == "bedlam"


def test_intervals_hold_the_truth(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    inside = total = 0
    for _ in range(30):
        rows = [(f"d{i}", "ehf", 100 + 10 * i + rng.normal(0, 2), s) for i in range(4) for s in range(1 + i % 2 * 2)]
        errors = run_errors(load_runs(write_runs(tmp_path / "runs.csv", rows)), "vit_s")
        widths = mean_half_widths(errors, with_in_domain=True)
        for i, name in enumerate(errors.table.datasets):
            inside += abs(errors.table.error_mm[i, 0] - (100 + 10 * i)) <= widths[name]
            total += 1
    assert 0.88 <= inside / total <= 1


def test_without_repeats_there_is_no_interval(tmp_path: Path) -> None:
    rows = [("bedlam", "ehf", 80.0, 0), ("agora", "ehf", 90.0, 0)]
    errors = run_errors(load_runs(write_runs(tmp_path / "runs.csv", rows)), "vit_s")
    assert errors.half_width_mm is None
    assert any("noise between trainings is unknown" in note for note in run_table(errors, in_domain=(True,)).notes)


def test_a_seed_that_lacks_a_benchmark_leaves_the_dataset_unranked(tmp_path: Path) -> None:
    rows = [("bedlam", "ehf", 80.0, 0), ("bedlam", "ehf", 82.0, 1), ("bedlam", "agora", 90.0, 0)]
    rows += [("agora", "ehf", 99.0, 0), ("agora", "agora", 50.0, 0)]
    errors = run_errors(load_runs(write_runs(tmp_path / "runs.csv", rows)), "vit_s")
    result = rank_by(errors.table, "mean", with_in_domain=True)
    assert (result.datasets, result.unranked) == (("agora",), {"bedlam": "no result on agora"})


def test_a_reference_is_the_unit(tmp_path: Path) -> None:
    rows = [("bedlam", "ehf", 80.0, 0), ("uniform", "ehf", 100.0, 0)]
    errors = run_errors(load_runs(write_runs(tmp_path / "runs.csv", rows)), "vit_s")
    values = {r["dataset"]: r["normalised_in"] for r in run_table(errors, in_domain=(True,), reference="uniform").rows}
    assert values == {"bedlam": 0.8, "uniform": 1}
    with pytest.raises(UsageError, match="nobody"):
        run_table(errors, in_domain=(True,), reference="nobody")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"error_mm": "nan"}, "error_mm: expected a number of mm above 0"),
        ({"error_mm": -3}, "row 1: error_mm"),
        ({"seed": -1}, "seed: expected an integer"),
        ({"dataset": ""}, "dataset: expected a name"),
        ({"low_mm": 9, "high_mm": 3}, "low to high"),
        ({"dataset": "bedlam", "seed": 0}, "rows 1 and 2 are both"),
    ],
)
def test_wrong_runs_are_refused(tmp_path: Path, columns: dict[str, object], message: str) -> None:
    path = write_runs(tmp_path / "runs.csv", [("bedlam", "ehf", 80.0, 0), ("agora", "ehf", 90.0, 0)], **columns)
    with pytest.raises(DataError, match=message):
        load_runs(path)


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found neither"):
        load_runs(tmp_path)
    with pytest.raises(UsageError, match="no such file"):
        load_runs(tmp_path / "none.csv")
    (tmp_path / "short.csv").write_text("run_id,dataset\nx,y\n")
    with pytest.raises(DataError, match="missing: benchmark"):
        load_runs(tmp_path / "short.csv")
    (tmp_path / "bad.parquet").write_text("not parquet")
    with pytest.raises(DataError, match="cannot be read"):
        load_runs(tmp_path / "bad.parquet")


def test_budgets_and_metrics_are_not_mixed(tmp_path: Path) -> None:
    one = write_runs(tmp_path / "one.csv", [("bedlam", "ehf", 80.0, 0)])
    two = write_runs(tmp_path / "two.csv", [("agora", "ehf", 85.0, 0)], draws=2000)
    both = load_runs(one) + load_runs(two)
    with pytest.raises(UsageError, match=r"1000, 2000 draws"):
        run_errors(both, "vit_s")
    assert run_errors(both, "vit_s", draws=2000).table.datasets == ("agora",)
    with pytest.raises(UsageError, match="there are vit_s"):
        run_errors(both, "vit_b")
    with pytest.raises(DataError, match="expected the primary metric pve, found pa_pve"):
        run_errors(load_runs(write_runs(one, [("bedlam", "ehf", 80.0, 0)], metric="pa_pve")), "vit_s")


def test_a_saved_ranking_reads_back(tmp_path: Path) -> None:
    from benchmark.rankings.tables import save_csv

    rows = published_table(list(PROXIES), with_unverified=False).rows
    save_csv(rows, tmp_path / "a.csv")
    assert saved_ranking(tmp_path / "a.csv").ranks == published_ranking("s").ranks
    assert saved_ranking(tmp_path / "a.csv", "rank_h4w").ranks == published_ranking("h4w").ranks
    with pytest.raises(UsageError, match="rank_x"):
        saved_ranking(tmp_path / "a.csv", "rank_x")


def test_a_dataset_with_in_domain_cells_alone_has_no_interval_without_them(tmp_path: Path) -> None:
    rows = [
        {"run_id": f"{name}-0", "dataset": name, "benchmark": "pw3d", "metric": "mpjpe", "error_mm": 100.0}
        | {"low_mm": None, "high_mm": None, "seed": 0, "architecture": "toy", "draws": 10}
        for name in ("mscoco", "pw3d")
    ]
    path = tmp_path / "runs.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    errors = run_errors(load_runs(path), "toy")
    assert [mean_half_widths(errors, with_in_domain=is_in) for is_in in (False, True)] == [{}, {}]
