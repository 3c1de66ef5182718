"""`ehps plot`: files where asked, and words for what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from small_store import person, write_shard

from harmonize.errors import UsageError
from pipelines.commands.plot import plot
from pipelines.describe import Request, describe_store


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets with orientation and labels, and nothing else."""
    store = tmp_path_factory.mktemp("described")
    for dataset in ("agora", "pw3d"):
        write_shard(store, [person(dataset, "train", i) for i in range(5)])
    outcome = describe_store(Request(store=store, names=("orientation", "label")))
    assert outcome.failures == ()
    return store


def test_a_panel_goes_into_the_file_named(described: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "sphere.png"
    plot(described, "sphere", out=out, width_mm=85, dpi=100)
    assert capsys.readouterr().out.strip() == str(out)
    with Image.open(out) as picture:
        assert abs(picture.width - 85 / 25.4 * 100) <= 1


def test_a_dataset_can_be_drawn_alone(described: Path, tmp_path: Path) -> None:
    plot(described, "label.origin", out=tmp_path / "one.svg", datasets=["pw3d"])
    text = (tmp_path / "one.svg").read_text()
    assert ">pw3d<" in text
    assert ">agora<" not in text


def test_all_draws_what_is_there_and_says_what_is_not(
    described: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot(described, "all", out=tmp_path / "figures", format="svg", dpi=60, as_json=True)
    rows = {row["panel"]: row for row in json.loads(capsys.readouterr().out)}
    drawn = {name for name, row in rows.items() if row["file"]}
    assert drawn >= {"sphere", "orientation"}
    assert "ehps describe STORE --attributes shape" in rows["shape"]["missing"]
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == drawn


def test_without_a_panel_they_are_listed(described: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot(as_json=True)
    assert {"overview", "sphere", "camera"} <= {row["panel"] for row in json.loads(capsys.readouterr().out)}


@pytest.mark.parametrize(
    ("panel", "options", "message"),
    [
        ("sphere", {"out": None}, "-o is missing"),
        ("sphere", {"width_mm": 3}, "--width-mm: expected 40 to 600, found 3"),
        ("sphere", {"dpi": 5}, "--dpi: expected 50 to 1200, found 5"),
        ("sphere", {"format": "svg"}, "its name says another format"),
        ("sphere", {"datasets": ["agorra"]}, "agorra: expected one of agora, pw3d"),
        ("all", {}, "expected a folder for all panels"),
        ("sphre", {}, "did you mean sphere"),
        ("camera", {}, "--attributes camera"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    panel: str, options: dict[str, Any], message: str, described: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        plot(described, panel, **{"out": tmp_path / "f.png", **options})
    assert list(tmp_path.iterdir()) == []
