"""`ehps rank` and `ehps scaling` as commands: output, files, marks, messages."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from harmonize.errors import UsageError
from pipelines.commands.rank import rank
from pipelines.commands.scaling import scaling

RUNS = "run_id,dataset,benchmark,metric,error_mm,low_mm,high_mm,seed,architecture,draws\n"


def runs_file(path: Path) -> Path:
    errors = {"bedlam": (80, 90), "agora": (95, 60), "mpii": (120, 130)}
    rows = []
    for arch, worse in (("vit_s", 0), ("vit_b", 3)):
        for name, pair in errors.items():
            for benchmark, error in zip(("ehf", "agora"), pair, strict=True):
                shift = worse if name == "bedlam" else 0
                rows += [
                    f"{name}-{arch}-{s},{name},{benchmark},pve,{error + shift + s},,,{s},{arch},5000" for s in (0, 1)
                ]
    path.mkdir()
    (path / "runs.csv").write_text(RUNS + "\n".join(rows) + "\n")
    return path


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return rows


def test_published_places(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rank(published=True, csv=tmp_path / "out.csv", as_json=True)
    rows = printed(capsys)
    assert [row["dataset"] for row in rows[:3]] == ["bedlam", "synbody", "instavariety"]
    assert (rows[3]["instances"], rows[3]["rank_s"], rows[3]["rank_b"], rows[3]["rank_h4w"]) == (None, 4, 4, 1)
    assert not any("unverified" in name for name in rows[0])
    with (tmp_path / "out.csv").open() as file:
        saved = list(csv.DictReader(file))
    assert len(saved) == 32
    assert saved[0]["rank_s"] == "1"
    rank(published=True, proxy="h4w", as_json=True)
    assert [row["dataset"] for row in printed(capsys)[:2]] == ["gta_human2", "mscoco"]


def test_unverified_columns_carry_a_mark(capsys: pytest.CaptureFixture[str]) -> None:
    rank(published=True, proxy="s", unverified=True, in_domain="out")
    shown = capsys.readouterr()
    assert "mean_out_mm" in shown.out
    assert "(?)" in shown.out
    assert "UNVERIFIED" in shown.err
    assert "agora is not ranked: no result on egobody" in shown.err
    rank(published=True, unverified=True, in_domain="out", as_json=True)
    first = printed(capsys)[0]
    assert first["unverified_mean_out_mm"] == 117.1
    assert not any(name.endswith("_in") for name in first)


def test_own_runs_with_in_domain_cells_in_and_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    runs = runs_file(tmp_path / "runs")
    rank(runs=runs, architecture="vit_s", as_json=True)
    rows = {str(row["dataset"]): row for row in printed(capsys)}
    assert rows["agora"]["mean_in_mm"] == 78
    assert rows["agora"]["mean_out_mm"] == 95.5
    assert (rows["agora"]["rank_mean_in"], rows["agora"]["rank_mean_out"]) == (1, 2)
    assert rows["agora"]["rank_agora_out"] is None
    assert float(str(rows["mpii"]["mean_in_plus_minus_mm"])) > 0
    rank(runs=runs, as_json=True)
    assert len(printed(capsys)) == 6


def test_two_rankings_compared(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rank(compare=("s", "b"), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert round(found["spearman"], 2) == 0.75
    assert found["is_p_exact"] is True
    assert [one["num_common"] for one in found["overlaps"]] == [4, 7, 17]
    runs = runs_file(tmp_path / "runs")
    rank(compare=("s", str(runs)), architecture="vit_b", in_domain="in", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["num_datasets"], len(found["only_first"])) == (3, 29)
    rank(published=True, csv=tmp_path / "saved.csv", as_json=True)
    capsys.readouterr()
    rank(compare=("h4w", f"{tmp_path / 'saved.csv'}:rank_h4w"))
    shown = capsys.readouterr().out
    assert "Kendall tau-b" in shown
    assert "p exact" in shown


def test_figures_have_the_same_bytes_twice(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    paths = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for path in paths:
        rank(published=True, plot=path, as_json=True)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    text = paths[0].read_text()
    assert text.count(">bedlam<") == 3
    assert "31 of 32" in text  # GTA-Human II has no known size
    rank(runs=runs_file(tmp_path / "runs"), plot=tmp_path / "runs.pdf", as_json=True)
    assert (tmp_path / "runs.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected one of --published, --runs and --compare"),
        ({"published": True, "runs": Path("x")}, "expected one of"),
        ({"published": True, "in_domain": "out"}, "add --unverified"),
        ({"published": True, "draws": 5}, "--draws: not for --published"),
        ({"runs": Path("x"), "unverified": True}, "--unverified: not for own runs"),
        ({"runs": Path("nowhere")}, "no such file|expected a name ending"),
        ({"compare": ("s", "nowhere")}, "nowhere: expected s, b, h4w"),
        ({"compare": ("s", "b"), "in_domain": "both"}, "one ranking on each side"),
        ({"compare": ("s", "b"), "plot": Path("x.png")}, "--plot: not for --compare"),
    ],
)
def test_wrong_requests(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rank(**options)  # type: ignore[arg-type]


def test_scaling_answers_which_is_cheaper(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    scaling(csv=tmp_path / "fitted.csv", plot=tmp_path / "scaling.png", draws=9e7, parameters=3e8)
    shown = capsys.readouterr()
    assert "more data is cheaper" in shown.out
    assert "extrapolated" in shown.out
    assert "draws and num_datasets rise together" in shown.err
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "fitted.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert all(abs(float(row["fitted_mm"]) - float(row["error_mm"])) < 4 for row in rows)
    assert all(float(row["low_mm"]) < float(row["fitted_mm"]) < float(row["high_mm"]) for row in rows)


def test_scaling_of_own_trainings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "trainings.csv"
    path.write_text(
        "model,draws,error_mm\n" + "".join(f"m{d},{d},{50 + 1e4 / d}\n" for d in (100, 200, 400, 800, 1600))
    )
    scaling(runs=path, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert [row["error_against"] for row in document["fits"]] == ["draws"]
    assert document["fits"][0]["floor_mm"] == pytest.approx(50, abs=0.1)
    with pytest.raises(UsageError, match="need a joint fit"):
        scaling(runs=path, target=40)
    path.write_text("model,draws,error_mm\na,1,90\nb,2,80\n")
    with pytest.raises(UsageError, match=r"nothing can be fitted.*at least 3 trainings, found 2"):
        scaling(runs=path)
    with pytest.raises(UsageError, match="both --draws and --parameters"):
        scaling(draws=5)
