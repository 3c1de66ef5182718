"""`ehps mixtures`: the integers of the published mixtures, and what is not known of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmark.published import DATASET_NAMES, table
from benchmark.smplerx.lengths import contribution
from harmonize.errors import UsageError
from pipelines.commands.mixtures import mixtures


def rows_of(capsys: pytest.CaptureFixture[str], *args: Any, **options: Any) -> list[dict[str, Any]]:
    mixtures(*args, **options, as_json=True)
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return rows


def test_every_released_mixture_has_the_published_members_and_draws(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["mixture"]: row for row in rows_of(capsys)}
    members = table("training_mixtures")
    assert list(rows) == [name for name in members[0] if name != "dataset"]
    for name, row in rows.items():
        expected = {DATASET_NAMES[str(one["dataset"])] for one in members if one[name] == "1"}
        assert set(row["members"].split(", ")) == expected
    draws = {name: (row["datasets"], row["draws_per_epoch"], row["draws_of_each"]) for name, row in rows.items()}
    assert draws["all32"] == (32, 4_500_000, 140_625)
    assert draws["top20"] == (20, 3_000_000, 150_000)
    assert draws["top10"] == (10, 1_500_000, 150_000)
    assert draws["top5"] == (5, 750_000, 150_000)
    assert all(draws[name] == (5, 1_000_000, 200_000) for name in rows if name.startswith("ft_"))
    # GTA-Human II has no published count; mixtures without it are known whole.
    assert (rows["all32"]["distinct"], rows["ft_RenBody"]["distinct"]) == (None, 1_000_000)


def test_the_32_are_those_of_the_published_table(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["dataset"]: row for row in rows_of(capsys, "all32")}
    for expected in table("effective_sampling_32"):
        row = rows[DATASET_NAMES[str(expected["dataset"])]]
        assert row["draws_per_epoch"] == int(str(expected["share_per_epoch"])) == 140_625
        assert row["frame_step"] == int(str(expected["train_interval"]))
        if expected["passes_per_epoch"] is None:
            assert row["distinct"] is row["whole_repeats"] is row["instances"] is None
            continue
        assert row["after_step"] == int(str(expected["instances_after_interval"]))
        assert round(row["draws_an_instance"], 2) == float(expected["passes_per_epoch"])
        assert row["effect"] == expected["effect"]
        drawn = row["whole_repeats"] * row["after_step"] + row["filled_at_random"]
        assert (drawn if row["effect"] == "repeated" else row["distinct"]) == 140_625


@pytest.mark.parametrize("dataset", ["ssp3d", "mtp", "mscoco"])
def test_a_row_is_what_the_loaders_rule_shows(capsys: pytest.CaptureFixture[str], dataset: str) -> None:
    row = next(row for row in rows_of(capsys, "all32") if row["dataset"] == dataset)
    shown = contribution(row["after_step"], row["draws_per_epoch"], "balance").tolist()
    assert (len(shown), len(set(shown))) == (row["draws_per_epoch"], row["distinct"])
    counts = [shown[: len(shown) - row["filled_at_random"]].count(item) for item in set(shown[:5])]
    assert set(counts) == {max(row["whole_repeats"], 1)}


def test_concat_shows_each_instance_once(capsys: pytest.CaptureFixture[str]) -> None:
    for row in rows_of(capsys, "ft_ARCTIC", strategy="concat"):
        assert row["draws_per_epoch"] == row["distinct"] == row["after_step"]
        assert row["effect"] == "each once"
    top5 = rows_of(capsys, strategy="concat")[0]
    assert (top5["draws_per_epoch"], top5["distinct_without_gta_human2"]) == (None, 610_647)


def test_weighted_takes_the_lengths_given(capsys: pytest.CaptureFixture[str]) -> None:
    given = {"arctic": 10, "bedlam": 300_000, "egobody_egoset": 1, "mscoco": 200_000, "posetrack": 28_457}
    lengths = [f"{name}={num}" for name, num in given.items()]
    rows = rows_of(capsys, "ft_ARCTIC", strategy="weighted", lengths=lengths)
    assert {row["dataset"]: row["draws_per_epoch"] for row in rows} == given
    mixtures("ft_ARCTIC", strategy="weighted", lengths=lengths)
    shown = capsys.readouterr()
    assert "528,468 draws in an epoch" in shown.out
    assert "lengths that were used for the published figure are not known" in shown.err


def test_what_is_unverified_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    mixtures("all32")
    shown = capsys.readouterr()
    assert "4,500,000 draws in an epoch" in shown.out
    assert "GTA-Human II has no point in the figure" in shown.err
    assert "mapping_evidence" in shown.err


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        (("top6",), {}, "no released mixture is called"),
        (("top5",), {"strategy": "weighted"}, "which needs them"),
        (("top5",), {"lengths": ["agora=3"]}, "lengths of datasets are for weighted"),
        ((), {"strategy": "weighted"}, "lengths are those of one mixture"),
        (("ft_ARCTIC",), {"strategy": "weighted", "lengths": ["arctic=5"]}, "otherwise for bedlam"),
        (("ft_ARCTIC",), {"strategy": "weighted", "lengths": ["arctic=0.5"]}, "whole numbers"),
    ],
)
def test_wrong_demands_are_refused(args: tuple[str, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        mixtures(*args, **options)
